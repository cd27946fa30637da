//! The camera that is a v4l2loopback device: its buffers are where pictures are made, and it comes and goes.
//!
//! A reader that gets no frame for 10 s gives the track up (Chromium does), so while somebody reads, the newest picture is shown again
//! whenever nothing came for one and a half frame times: a source of the canvas's rate is never doubled, and a slower one is filled up.
//!
//! A device that is missing, busy or not ours is tried again every second. One that was closed is not opened again before everybody has
//! let go of its buffers: they keep it open, and v4l2loopback takes the late end of an old writer for that of the new one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crosspoint_ffi::av::{Painter, Picture};
use crosspoint_ffi::lend::{Lender, Pool};
use crosspoint_ffi::v4l2::Output;
use crosspoint_ffi::{Copied, Error, Remedy, Result, VideoFormat};
use tracing::{info, warn};

/// Opens a device, if possible of a format.
pub(crate) type Open = Box<dyn FnMut(&Path, VideoFormat) -> Result<Output> + Send>;

/// A device that is written, while it is there.
///
/// Copies: 0 of pictures that were made in its buffers, 1 pass over others (2 where the device insists on another layout or refuses
/// mapping).
pub(crate) struct V4l2Camera {
    path: PathBuf,
    wanted: VideoFormat,
    open: Open,
    lender: Lender,
    output: Option<Output>,
    /// Why it was closed, until that is told.
    lost: Option<Error>,
    /// What the device was that was closed last, and until when its buffers are waited for.
    left: Option<(Weak<Pool>, Instant)>,
    /// Not before these moments the device is opened again, and closed for another format.
    try_at: Instant,
    format_at: Instant,
    repeat_at: Instant,
    /// What was copied inside devices that are closed.
    past: Copied,
    is_uneven: bool,
}

/// What became of the device while it was [tended](V4l2Camera::tend).
#[derive(Debug)]
pub(crate) enum Change {
    /// It was closed to be opened with another format, or it is gone for this reason.
    Closed(Option<Error>),
    /// It is there.
    Opened,
    /// It cannot be opened now, for this reason.
    Refused(Error),
}

impl V4l2Camera {
    /// Makes a camera of the device at `path`, to be opened when it is tended first.
    pub(crate) fn new(path: &Path, wanted: VideoFormat, lender: Lender, open: Open) -> Self {
        let (output, lost, left, past, now) = (None, None, None, Copied::default(), Instant::now());
        Self {
            path: path.to_owned(),
            wanted,
            open,
            lender,
            output,
            lost,
            left,
            try_at: now,
            format_at: now,
            repeat_at: now,
            past,
            is_uneven: false,
        }
    }

    /// Opens, closes and repeats what is due; says what changed, if anything did, and until when there is nothing to do.
    pub(crate) fn tend(&mut self, in_use: Option<bool>, now: Instant) -> (Option<Change>, Option<Instant>) {
        if let Some(error) = self.lost.take() {
            return (Some(Change::Closed(Some(error))), Some(now));
        }
        if self.output.is_none() {
            return self.try_open(now);
        }
        if in_use == Some(false) {
            // A reader holds the format that it found; without one the device can have ours.
            if self.format() == Some(self.wanted) {
                return (None, None);
            }
            if now < self.format_at {
                return (None, Some(self.format_at));
            }
            self.format_at = now + FORMAT_RETRY;
            self.close(now);
            return (Some(Change::Closed(None)), Some(now));
        }
        if now >= self.repeat_at {
            self.repeat_at = self.repeat_at.max(now) + self.period();
            if let Err(error) = self.heal().and_then(|()| self.output.as_mut().map_or(Ok(()), Output::repeat)) {
                self.judge(&error, now);
            }
        }
        (None, Some(if self.lost.is_some() { now } else { self.repeat_at }))
    }

    /// Whether somebody reads, when that changed and the device tells it.
    pub(crate) fn usage(&mut self, now: Instant) -> Option<bool> {
        let usage = self.output.as_ref()?.usage();
        usage.map_err(|error| self.judge(&error, now)).ok().flatten()
    }

    /// Shows a picture, by the painter where it has to be drawn, or black.
    pub(crate) fn show(&mut self, picture: Option<&Picture>, painter: &mut Painter, now: Instant) -> Result<()> {
        let shown = self.heal().and_then(|()| self.draw(picture, painter));
        self.repeat_at = now + self.period() * 3 / 2;
        if let Err(error) = &shown {
            self.judge(error, now);
        }
        shown
    }

    /// Has the device show another format as soon as no reader holds it to this one.
    pub(crate) fn want(&mut self, format: VideoFormat, now: Instant) {
        self.wanted = format;
        self.format_at = now;
    }

    /// Where the device is, or will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether [`V4l2Camera::tend`] has something to tell.
    pub(crate) fn has_news(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether the device is there.
    pub(crate) fn is_there(&self) -> bool {
        self.output.is_some()
    }

    /// The device, while it is there.
    pub(crate) fn output(&self) -> Option<&Output> {
        self.output.as_ref()
    }

    /// What was copied in here on the way to its readers, painting not counted.
    pub(crate) fn copied(&self) -> Copied {
        self.past + self.output.as_ref().map(Output::copied).unwrap_or_default()
    }

    fn try_open(&mut self, now: Instant) -> (Option<Change>, Option<Instant>) {
        if let Some((pool, until)) = &self.left
            && pool.strong_count() > 0
            && now < *until
        {
            return (None, Some(now + LETTING_GO));
        }
        if now < self.try_at {
            return (None, Some(self.try_at));
        }
        match (self.open)(&self.path, self.wanted) {
            Ok(output) => {
                self.lender.offer(output.pool().cloned());
                (self.left, self.is_uneven) = (None, false);
                self.repeat_at = now + self.period();
                let (format, (buffers, is_mapped)) = (output.format(), output.buffers());
                let path = self.path.display();
                info!(%path, width = format.width(), height = format.height(), rate = format.frame_rate(), buffers, is_mapped, "camera ready");
                if buffers < FEW || !is_mapped {
                    warn!(%path, buffers, is_mapped, "pictures are copied into the camera: v4l2loopback with max_buffers=4 or more spares that");
                }
                self.output = Some(output);
                (Some(Change::Opened), Some(self.repeat_at))
            }
            Err(error) => {
                self.try_at = now + RETRY;
                (Some(Change::Refused(error)), Some(self.try_at))
            }
        }
    }

    fn heal(&mut self) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        let before = output.buffers().0;
        output.heal()?;
        let buffers = output.buffers().0;
        if buffers < before {
            warn!(path = %self.path.display(), buffers, "a reader took buffers from the camera; until the module is loaded anew pictures are copied");
        }
        Ok(())
    }

    fn draw(&mut self, picture: Option<&Picture>, painter: &mut Painter) -> Result<()> {
        let Some(output) = &mut self.output else {
            return Err(Error::new("drawing a picture", Remedy::Drop, "the camera device is not there"));
        };
        let Some(picture) = picture else { return output.blacken() };
        if let Some(slot) = output.pool().and_then(|pool| picture.slot_in(pool)) {
            return output.publish(slot);
        }
        if !std::mem::replace(&mut self.is_uneven, true) {
            info!(
                width = picture.width(),
                height = picture.height(),
                "pictures do not fit the camera's buffers as they are: they are copied"
            );
        }
        output.draw(|canvas| {
            // It is another buffer than the last.
            painter.invalidate();
            painter.draw(picture, canvas)
        })
    }

    /// Closes the device when an error says that it is gone.
    fn judge(&mut self, error: &Error, now: Instant) {
        match error.remedy() {
            Remedy::Drop | Remedy::Retry => {}
            Remedy::Rebuild | Remedy::Report => {
                self.close(now);
                self.lost = Some(error.clone());
                self.try_at = now + RETRY;
            }
        }
    }

    fn close(&mut self, now: Instant) {
        self.lender.offer(None);
        if let Some(output) = self.output.take() {
            self.past = self.past + output.copied();
            self.left = output.pool().map(|pool| (Arc::downgrade(pool), now + MOST_PATIENCE));
        }
    }

    fn format(&self) -> Option<VideoFormat> {
        self.output.as_ref().map(Output::format)
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1) / self.wanted.frame_rate()
    }
}

impl Drop for V4l2Camera {
    fn drop(&mut self) {
        self.lender.offer(None);
    }
}

impl std::fmt::Debug for V4l2Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "V4l2Camera({}, {:?})", self.path.display(), self.output)
    }
}

/// How often a device that is not there is looked for.
const RETRY: Duration = Duration::from_secs(1);
/// How often a device that keeps another format though nobody reads it is asked again.
const FORMAT_RETRY: Duration = Duration::from_secs(10);
/// How often it is looked whether a closed device's buffers are free, and for how long: decoders let go within a picture.
const LETTING_GO: Duration = Duration::from_millis(5);
const MOST_PATIENCE: Duration = Duration::from_secs(5);
/// Below this many buffers none is lent.
const FEW: usize = crosspoint_ffi::lend::PROTECTED + 1;
