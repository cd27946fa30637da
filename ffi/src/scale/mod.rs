//! Planar pictures to another size and to limited range, straight to where they are seen.
//!
//! A [`Scaler`] makes each target row out of the source rows under it, in a row of its own small enough for the first-level cache, and
//! then the row's samples out of that, so the picture is read once and each target sample is written once, with its final value. Both
//! steps are weighted means whose weights, in integers that add up to one, are worked out when the geometry changes:
//!
//! | source samples per target sample | filter |
//! |---|---|
//! | 1 | none: rows are copied |
//! | up to 2 | the two nearest source samples, by distance (bilinear) |
//! | more | all source samples under the target sample, by the share it covers of each (area) |
//!
//! The two filters meet at 2, where they are the same one. Chroma is taken to lie in the middle of its luma samples. Down to a
//! hundredth of the size the result is within 2 of exact arithmetic (2.3 where the range was full, for it is rounded once more), and
//! it is the same on every machine: AVX2, where the machine has it, computes the same integers.
//!
//! ```
//! use crosspoint_ffi::scale::{SampleRange, Scaler};
//! use crosspoint_ffi::{I420, I420Mut};
//!
//! let picture = vec![90; 640 * 360 * 3 / 2];
//! let picture = I420::packed(&picture, 640, 360).expect("sized");
//! let mut canvas = vec![0; 1280 * 720 * 3 / 2];
//! let mut canvas = I420Mut::packed(&mut canvas, 1280, 720).expect("sized");
//! Scaler::new().scale(&picture, SampleRange::Limited, &mut canvas.window(160, 0, 960, 720));
//! assert_eq!(canvas.y.row_mut(0, 1280)[158..164], [0, 0, 90, 90, 90, 90]);
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod axis;
mod columns;
mod levels;
mod rows;
#[cfg(test)]
mod tests;

use axis::Axis;
use columns::Columns;
use levels::Levels;
use rows::Rows;

use crate::{I420, I420Mut, Plane, PlaneMut};

/// What the samples of a picture range over.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SampleRange {
    /// All of 0…255, as JPEG has them.
    Full,
    /// Luma 16…235 and chroma 16…240, as ITU-R BT.601 has them.
    #[default]
    Limited,
}

/// How many luma samples share one of each chroma plane.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Chroma {
    /// One: 4:4:4.
    Full,
    /// Two beside each other: 4:2:2.
    Half,
    /// Two by two: 4:2:0.
    #[default]
    Quarter,
}

/// A picture in three planes of 8-bit samples; sides may be odd.
#[derive(Clone, Copy, Debug)]
pub struct Planar<'a> {
    /// The width of the luma plane.
    pub width: usize,
    /// The height of the luma plane.
    pub height: usize,
    /// How large the chroma planes are, their sides rounded up.
    pub chroma: Chroma,
    /// Luma.
    pub y: Plane<'a>,
    /// Blue difference.
    pub u: Plane<'a>,
    /// Red difference.
    pub v: Plane<'a>,
}

impl<'a> From<&I420<'a>> for Planar<'a> {
    fn from(picture: &I420<'a>) -> Self {
        let I420 { width, height, y, u, v } = *picture;
        Self { width, height, chroma: Chroma::Quarter, y, u, v }
    }
}

/// Scales pictures, remembering the weights of the last geometry.
///
/// Copies: 1 pass (a row at a time goes through a buffer of its own).
#[derive(Debug, Default)]
pub struct Scaler {
    geometry: Geometry,
    luma: PlaneScaler,
    chroma: PlaneScaler,
    portable: bool,
}

/// What weights are made for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Geometry {
    source: (usize, usize),
    target: (usize, usize),
    chroma: Chroma,
    range: SampleRange,
}

impl Scaler {
    /// Makes a scaler that has scaled nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A scaler that does without the machine's extensions, to compare with.
    #[cfg(test)]
    fn portable() -> Self {
        Self { portable: true, ..Self::default() }
    }

    /// Fills `target`, whose sides are even, with `source`, whose samples have the range `range`; the target's range is limited.
    ///
    /// Allocates when the geometry is not that of the last call, else never.
    ///
    /// # Panics
    /// When a plane is smaller than its picture's sides say.
    pub fn scale(&mut self, source: &I420<'_>, range: SampleRange, target: &mut I420Mut<'_>) {
        self.scale_planar(&Planar::from(source), range, target);
    }

    /// [`Scaler::scale`], of chroma planes of any size: that is only another ratio.
    ///
    /// # Panics
    /// When a plane is smaller than its picture's sides say.
    pub fn scale_planar(&mut self, source: &Planar<'_>, range: SampleRange, target: &mut I420Mut<'_>) {
        let (from, to) = ((source.width, source.height), (target.width, target.height));
        let geometry = Geometry { source: from, target: to, chroma: source.chroma, range };
        if source.width == 0 || source.height == 0 || target.width == 0 || target.height == 0 {
            return;
        }
        if self.geometry != geometry {
            let full = |source, target: usize| Axis::luma(source, target / 2);
            let (across, down) = match source.chroma {
                Chroma::Full => (full(from.0, to.0), full(from.1, to.1)),
                Chroma::Half => (Axis::chroma(from.0, to.0), full(from.1, to.1)),
                Chroma::Quarter => (Axis::chroma(from.0, to.0), Axis::chroma(from.1, to.1)),
            };
            self.luma = PlaneScaler::new(Axis::luma(from.0, to.0), Axis::luma(from.1, to.1), Levels::luma(range));
            self.chroma = PlaneScaler::new(across, down, Levels::chroma(range));
            self.geometry = geometry;
        }
        self.luma.scale(source.y, &mut target.y, self.portable);
        self.chroma.scale(source.u, &mut target.u, self.portable);
        self.chroma.scale(source.v, &mut target.v, self.portable);
    }
}

/// Scales planes of one geometry.
#[derive(Debug, Default)]
struct PlaneScaler {
    rows: Rows,
    levels: Option<Levels>,
    columns: Columns,
    /// A row of source samples: what `rows` makes, `levels` shifts and `columns` reads, with spare bytes behind it for the last.
    row: Vec<u8>,
    source_width: usize,
    target: (usize, usize),
}

impl PlaneScaler {
    fn new(across: Axis, down: Axis, levels: Option<Levels>) -> Self {
        let columns = Columns::new(&across);
        Self {
            rows: Rows::new(&down, across.source),
            levels,
            row: vec![0; across.source + columns.reach()],
            columns,
            source_width: across.source,
            target: (across.target, down.target),
        }
    }

    fn scale(&mut self, source: Plane<'_>, target: &mut PlaneMut<'_>, portable: bool) {
        #[cfg(target_arch = "x86_64")]
        if !portable && is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has AVX2, by the line above; that is all the function asks.
            return unsafe { self.scale_by_avx2(source, target) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = portable;
        self.scale_by(source, target, Columns::write);
    }

    /// [`Self::scale_by`], compiled for AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn scale_by_avx2(&mut self, source: Plane<'_>, target: &mut PlaneMut<'_>) {
        self.scale_by(source, target, |columns, row, out| columns.write_by_avx2(row, out));
    }

    #[inline(always)]
    fn scale_by(&mut self, source: Plane<'_>, target: &mut PlaneMut<'_>, write: impl Fn(&Columns, &[u8], &mut [u8])) {
        let (width, height) = self.target;
        for y in 0..height {
            let out = target.row_mut(y, width);
            if self.levels.is_none() && matches!(self.columns, Columns::Same) {
                self.rows.write(source, y, out);
                continue;
            }
            let row = &mut self.row[..self.source_width];
            self.rows.write(source, y, row);
            if let Some(levels) = self.levels {
                levels.shift(row);
            }
            write(&self.columns, &self.row, out);
        }
    }
}
