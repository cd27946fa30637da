//! Rows of a source plane to one row of its width.
//!
//! The arithmetic here and in the next steps cannot overflow. It wraps all the same, for checks for that keep loops from vectorising,
//! and a debug build must scale in real time too.

use super::axis::{Axis, Filter, Pair, WHOLE, WHOLE_BITS};
use crate::Plane;

/// What makes each target row, still as wide as the source.
#[derive(Debug, Default)]
pub(super) enum Rows {
    Area {
        areas: Vec<Area>,
        /// The row so far, in units of [`WHOLE`].
        sums: Vec<i32>,
    },
    Pair(Vec<Pair>),
    #[default]
    Same,
}

/// The source rows of a target row.
#[derive(Debug)]
pub(super) struct Area {
    first: usize,
    shares: Vec<i16>,
}

impl Rows {
    /// The rows of an axis, `width` samples each.
    pub(super) fn new(axis: &Axis, width: usize) -> Self {
        match axis.filter() {
            Filter::Area => {
                let area = |y| {
                    let (first, shares) = axis.area(y);
                    Area { first, shares: shares.collect() }
                };
                Self::Area { areas: (0..axis.target).map(area).collect(), sums: vec![0; width] }
            }
            Filter::Pair => Self::Pair((0..axis.target).map(|y| axis.pair(y)).collect()),
            Filter::Same => Self::Same,
        }
    }

    /// Fills `out` with what target row `y` is made of.
    #[inline(always)]
    pub(super) fn write(&mut self, source: Plane<'_>, y: usize, out: &mut [u8]) {
        let width = out.len();
        match self {
            Self::Area { areas, sums } => {
                sums.fill(WHOLE / 2);
                let area = &areas[y];
                for (row, &share) in (area.first..).zip(&area.shares) {
                    add(source.row(row, width), share, sums);
                }
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = (*sum >> WHOLE_BITS) as u8;
                }
            }
            Self::Pair(pairs) => {
                let pair = pairs[y];
                blend(source.row(pair.first, width), source.row(pair.second, width), pair.share, out);
            }
            Self::Same => out.copy_from_slice(source.row(y, width)),
        }
    }
}

#[inline(always)]
fn blend(first: &[u8], second: &[u8], share: u8, out: &mut [u8]) {
    let (rest, share) = (256 - u16::from(share), u16::from(share));
    for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
        // At most 255 · 256 + 128, which fits.
        let sum = u16::from(first).wrapping_mul(rest).wrapping_add(u16::from(second).wrapping_mul(share)).wrapping_add(128);
        *out = (sum >> 8) as u8;
    }
}

#[inline(always)]
fn add(row: &[u8], share: i16, sums: &mut [i32]) {
    let share = i32::from(share);
    for (sum, &sample) in sums.iter_mut().zip(row) {
        *sum = sum.wrapping_add(i32::from(sample).wrapping_mul(share));
    }
}
