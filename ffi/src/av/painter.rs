//! Pictures onto a canvas.

use super::convert::Converter;
use super::layout::{Window, fit};
use super::picture::Picture;
use crate::scale::{SampleRange, Scaler};
use crate::{Copied, I420Mut, Result};

/// Draws pictures onto canvases, scaled to fit with their shape kept, black around them.
///
/// A canvas may be read by another process while it is written: every sample of the picture's window is written once, with its final
/// value, and the border only when it moved.
///
/// Pictures of two interlaced fields are drawn as they are, woven; nothing takes the fields apart. Colours are passed on as they are coded.
///
/// Copies: 1 pass over the window from planar 8-bit 4:2:0, 4:2:2 and 4:4:4 of any size and range, which is what cameras and encoders make.
/// 2 from any other kind (10 bits, RGB, grey, semi-planar): libswscale converts and scales it into a frame of its own, as it writes past
/// windows, and that is copied.
#[derive(Default)]
pub struct Painter {
    scaler: Scaler,
    converter: Option<Converter>,
    /// The canvas and the window of the last drawing.
    bordered: Option<(usize, usize, Window)>,
    copied: Copied,
}

impl Painter {
    /// Makes a painter that has drawn nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets that the border was painted: somebody else wrote the canvas, or the next canvas is another one.
    pub fn invalidate(&mut self) {
        self.bordered = None;
    }

    /// The passes over pictures' samples so far.
    #[must_use]
    pub fn copied(&self) -> Copied {
        self.copied
    }

    /// Draws `picture` onto `canvas`, whose sides are even.
    ///
    /// # Errors
    /// [`Remedy::Drop`](crate::Remedy::Drop) when the picture is of a kind that cannot be converted; the canvas is as it was.
    pub fn draw(&mut self, picture: &Picture, canvas: &mut I420Mut<'_>) -> Result<()> {
        let window = fit((picture.width(), picture.height()), picture.pixel_aspect(), (canvas.width, canvas.height));
        let mut inside = canvas.window(window.x, window.y, window.width, window.height);
        if let Some(planar) = picture.as_planar() {
            self.scaler.scale_planar(&planar, picture.range(), &mut inside);
            self.copied.count(inside.bytes());
        } else {
            let converter = match self.converter.take() {
                Some(converter) if converter.fits(picture, window.width, window.height) => converter,
                Some(_) | None => Converter::new(picture, window.width, window.height)?,
            };
            let converted = self.converter.insert(converter).convert(picture)?;
            self.copied.count(inside.bytes());
            self.scaler.scale(&converted, SampleRange::Limited, &mut inside);
            self.copied.count(inside.bytes());
        }
        let bordered = Some((canvas.width, canvas.height, window));
        if self.bordered != bordered {
            paint_border(canvas, window);
            self.bordered = bordered;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Painter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Painter({:?})", self.bordered)
    }
}

fn paint_border(canvas: &mut I420Mut<'_>, inside: Window) {
    let (width, height) = (canvas.width, canvas.height);
    let (right, below) = (inside.x + inside.width, inside.y + inside.height);
    for (x, y, width, height) in [
        (0, 0, width, inside.y),
        (0, below, width, height - below),
        (0, inside.y, inside.x, inside.height),
        (right, inside.y, width - right, inside.height),
    ] {
        if width > 0 && height > 0 {
            canvas.window(x, y, width, height).fill_black();
        }
    }
}
