//! The screen's picture in half its size.

use crosspoint_ffi::scale::{SampleRange, Scaler};
use crosspoint_ffi::{I420, I420Mut};

use super::blocks::Before;

/// A picture that is made smaller again and again, and which of its blocks came out otherwise.
///
/// Copies: 1 (a quarter of the picture, once for all viewers of the rendition).
#[derive(Debug, Default)]
pub(super) struct Half {
    scaler: Scaler,
    bytes: Vec<u8>,
    /// What it was before.
    before: Vec<u8>,
    width: u32,
    height: u32,
    /// Whether there was one of the same size before.
    is_comparable: bool,
}

/// The smallest side of a picture that is encoded.
const LEAST_SIDE: usize = 16;

impl Half {
    /// Makes `picture` half its size: sides stay even, and as large as an encoder needs.
    pub(super) fn take(&mut self, picture: &I420<'_>) {
        let side = |side: usize| u32::try_from((side / 4 * 2).max(LEAST_SIDE)).unwrap_or(u32::MAX);
        let (width, height) = (side(picture.width), side(picture.height));
        std::mem::swap(&mut self.bytes, &mut self.before);
        self.is_comparable = !self.before.is_empty() && (self.width, self.height) == (width, height);
        (self.width, self.height) = (width, height);
        self.bytes.resize(width as usize * height as usize * 3 / 2, 0);
        let mut target = I420Mut::packed(&mut self.bytes, width, height).expect("even and sized");
        self.scaler.scale(picture, SampleRange::Limited, &mut target);
    }

    /// What was made last; its sides are even.
    ///
    /// # Panics
    /// When nothing was.
    pub(super) fn picture(&self) -> I420<'_> {
        I420::packed(&self.bytes, self.width, self.height).expect("even and sized")
    }

    /// The blocks that differ from the one before, by their number, row by row; nothing when that had another size, or there was none.
    pub(super) fn changed(&self) -> Option<impl Iterator<Item = u32>> {
        let before = Before { bytes: &self.before, rows: 0..self.height as usize };
        self.is_comparable.then(|| before.changed(self.picture()).map(|block| u32::try_from(block).unwrap_or(u32::MAX)))
    }
}
