//! One camera file, written by the present thread.

use crosspoint_ffi::av::Painter;
use crosspoint_ffi::fd::WatchId;
use crosspoint_router::ingest::Presenter;

use super::Shown;
use crate::devices::Y4mCamera;

/// One camera file and the rule by which it is written.
pub(super) struct Camera {
    pub(super) file: Y4mCamera,
    pub(super) id: Option<WatchId>,
    pub(super) presenter: Presenter<Shown>,
    painter: Painter,
}

impl Camera {
    /// Makes a camera of its file, watched as `id`.
    pub(super) fn new(file: Y4mCamera, id: Option<WatchId>, presenter: Presenter<Shown>) -> Self {
        Self { file, id, presenter, painter: Painter::new() }
    }

    /// Draws what is to be shown into the file.
    pub(super) fn draw(&mut self, shown: &Shown) -> crosspoint_ffi::Result<()> {
        let mut canvas = self.file.picture();
        match shown {
            Shown::Black | Shown::Swap => {
                canvas.fill_black();
                self.painter.invalidate();
                Ok(())
            }
            Shown::Picture { picture, .. } => self.painter.draw(picture, &mut canvas),
        }
    }
}
