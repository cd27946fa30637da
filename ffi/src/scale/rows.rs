//! Rows of a source plane to one row of its width.

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
                let area = |(first, shares): (usize, _)| Area { first, shares: Iterator::collect(shares) };
                Self::Area { areas: (0..axis.target).map(|y| area(axis.area(y))).collect(), sums: vec![0; width] }
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
                for (row, share) in (area.first..).zip(&area.shares) {
                    add(source.row(row, width), *share, sums);
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
        *out = ((u16::from(first) * rest + u16::from(second) * share + 128) >> 8) as u8;
    }
}

#[inline(always)]
fn add(row: &[u8], share: i16, sums: &mut [i32]) {
    for (sum, &sample) in sums.iter_mut().zip(row) {
        *sum += i32::from(sample) * i32::from(share);
    }
}
