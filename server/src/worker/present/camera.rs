//! One camera, written by the present thread.

use std::path::PathBuf;
use std::time::Instant;

use crosspoint_ffi::av::Painter;
use crosspoint_ffi::fd::{FileWatch, WatchId};
use crosspoint_ffi::{Copied, Result, VideoFormat};
use crosspoint_router::ingest::{Presenter, ReaderEvent};
use tracing::warn;

use super::Shown;
use crate::devices::{Change, V4l2Camera, Y4mCamera, readers};

/// What is written.
#[derive(Debug)]
pub(crate) enum Device {
    /// A device of the kernel's.
    V4l2(Box<V4l2Camera>),
    /// A file, at this path or in former times.
    Y4m(Y4mCamera, PathBuf),
}

/// One camera and the rule by which it is written.
pub(super) struct Camera {
    device: Device,
    pub(super) id: Option<WatchId>,
    pub(super) presenter: Presenter<Shown>,
    painter: Painter,
}

impl Camera {
    /// Makes a camera whose readers are those that `watch` tells of.
    pub(super) fn new(device: Device, watch: Option<&FileWatch>) -> Self {
        let mut camera = Self { device, id: None, presenter: Presenter::new(), painter: Painter::new() };
        if let Device::Y4m(file, _) = &camera.device {
            camera.id = watch.and_then(|watch| watch.add(file.file()).map_err(|error| warn!(%error, UNKNOWN)).ok());
            if camera.id.is_none() {
                camera.presenter.handle_reader(ReaderEvent::Unknown, Instant::now());
            }
        }
        camera
    }

    /// Another camera of another format in the place of this one, if it takes one; else this one changes by itself.
    pub(super) fn replaced(&mut self, format: VideoFormat) -> Result<Option<Device>> {
        match &mut self.device {
            Device::V4l2(camera) => {
                camera.want(format, Instant::now());
                Ok(None)
            }
            Device::Y4m(file, _) if file.format() == format => Ok(None),
            Device::Y4m(file, path) => Ok(Some(Device::Y4m(file.replaced(path, format)?, path.clone()))),
        }
    }

    /// Draws what is to be shown into the camera.
    pub(super) fn draw(&mut self, shown: &Shown) -> Result<()> {
        let picture = match shown {
            Shown::Black | Shown::Swap => None,
            Shown::Picture { picture, .. } => Some(&**picture),
        };
        match (&mut self.device, picture) {
            (Device::V4l2(camera), picture) => camera.show(picture, &mut self.painter, Instant::now()),
            (Device::Y4m(file, _), Some(picture)) => self.painter.draw(picture, &mut file.picture()),
            (Device::Y4m(file, _), None) => {
                file.picture().fill_black();
                self.painter.invalidate();
                Ok(())
            }
        }
    }

    /// Looks after a device that comes and goes; says what changed and until when there is nothing to do.
    pub(super) fn tend(&mut self, watch: Option<&FileWatch>, now: Instant) -> (Option<Change>, Option<Instant>) {
        let Device::V4l2(camera) = &mut self.device else { return (None, None) };
        if let Some(is_used) = camera.usage(now) {
            set_readers(&mut self.presenter, Some(usize::from(is_used)), now);
        }
        let (change, until) = camera.tend(self.presenter.in_use(), now);
        match change {
            Some(Change::Closed(_)) => {
                if let (Some(watch), Some(id)) = (watch, self.id.take()) {
                    watch.remove(id);
                }
                set_readers(&mut self.presenter, Some(0), now);
            }
            Some(Change::Opened) => self.meet_readers(watch, now),
            Some(Change::Refused(_)) | None => {}
        }
        (change, until)
    }

    /// Whether there is anything to draw on.
    pub(super) fn is_there(&self) -> bool {
        match &self.device {
            Device::V4l2(camera) => camera.is_there(),
            Device::Y4m(..) => true,
        }
    }

    /// Whether it is to be tended at once.
    pub(super) fn has_news(&self) -> bool {
        match &self.device {
            Device::V4l2(camera) => camera.has_news(),
            Device::Y4m(..) => false,
        }
    }

    /// The passes over pictures on the way into the camera.
    pub(super) fn copied(&self) -> Copied {
        let inside = match &self.device {
            Device::V4l2(camera) => camera.copied(),
            Device::Y4m(..) => Copied::default(),
        };
        inside + self.painter.copied()
    }

    /// A device that tells itself who reads it.
    pub(super) fn urgent(&self) -> Option<&std::fs::File> {
        match &self.device {
            Device::V4l2(camera) => camera.output().filter(|output| output.has_usage()).map(|output| output.file()),
            Device::Y4m(..) => None,
        }
    }

    /// A device was opened: who reads it, and who will.
    fn meet_readers(&mut self, watch: Option<&FileWatch>, now: Instant) {
        let Device::V4l2(camera) = &mut self.device else { return };
        let told = camera.usage(now);
        let Some(output) = camera.output() else { return };
        if output.has_usage() {
            return set_readers(&mut self.presenter, Some(usize::from(told == Some(true))), now);
        }
        self.id = watch.and_then(|watch| watch.add_device(output.file()).map_err(|error| warn!(%error, UNKNOWN)).ok());
        // After the watch began: who comes meanwhile is counted twice rather than not at all.
        let readers = self.id.and_then(|_| readers::count(camera.path()));
        set_readers(&mut self.presenter, readers, now);
    }
}

/// Makes a device's readers as many as are known to be there.
fn set_readers(presenter: &mut Presenter<Shown>, readers: Option<usize>, now: Instant) {
    let Some(readers) = readers else { return presenter.handle_reader(ReaderEvent::Unknown, now) };
    // What is not known becomes known by an opening.
    presenter.handle_reader(ReaderEvent::Opened, now);
    while presenter.in_use() == Some(true) {
        presenter.handle_reader(ReaderEvent::Closed, now);
    }
    for _ in 0..readers {
        presenter.handle_reader(ReaderEvent::Opened, now);
    }
}

/// What is said when nobody can tell who reads.
pub(super) const UNKNOWN: &str = "camera_in_use is not known: frames are written as they come";
