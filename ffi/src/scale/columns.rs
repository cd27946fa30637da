//! A row of a source plane to a row of the target's width.

use super::axis::{Axis, Filter, WHOLE, WHOLE_BITS};

/// What makes each sample of a row.
#[derive(Debug, Default)]
pub(super) enum Columns {
    Area(Areas),
    Pair(Vec<Sixteen>),
    #[default]
    Same,
}

/// Sixteen target samples, each the mean of two source samples, as a vector unit wants them.
///
/// Eight target samples reach over at most sixteen source samples, because two that are next to each other are at most two apart.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub(super) struct Sixteen {
    /// Two for each target sample, counted from its half's start.
    pub(super) picks: [u8; 32],
    /// 256ths, one for each pick.
    pub(super) shares: [u8; 32],
    /// The first source sample of either half.
    pub(super) starts: [u32; 2],
}

/// Target samples, each the mean of as many source samples.
#[derive(Debug)]
pub(super) struct Areas {
    taps: usize,
    starts: Vec<u32>,
    /// `taps` for each target sample, the last of which may be 0.
    shares: Vec<i16>,
}

impl Columns {
    /// The columns of an axis.
    pub(super) fn new(axis: &Axis) -> Self {
        match axis.filter() {
            Filter::Area => Self::Area(Areas::new(axis)),
            Filter::Pair => Self::Pair((0..axis.target).step_by(16).map(|at| Sixteen::new(axis, at)).collect()),
            Filter::Same => Self::Same,
        }
    }

    /// How many bytes behind a row's last sample may be read (and count nothing).
    pub(super) fn reach(&self) -> usize {
        match self {
            Self::Area(areas) => areas.taps,
            Self::Pair(_) => 16,
            Self::Same => 0,
        }
    }

    /// Makes a target row of a source row with [`Self::reach`] spare bytes behind it.
    #[inline(always)]
    pub(super) fn write(&self, row: &[u8], out: &mut [u8]) {
        match self {
            Self::Area(areas) => areas.write(row, out),
            Self::Pair(sixteens) => {
                for (sixteen, out) in sixteens.iter().zip(out.chunks_mut(16)) {
                    sixteen.write(row, out);
                }
            }
            Self::Same => out.copy_from_slice(&row[..out.len()]),
        }
    }

    /// [`Self::write`], for AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    pub(super) fn write_by_avx2(&self, row: &[u8], out: &mut [u8]) {
        match self {
            Self::Pair(sixteens) => super::avx2::write_pairs(sixteens, row, out),
            Self::Area(_) | Self::Same => self.write(row, out),
        }
    }
}

impl Sixteen {
    /// The target samples from `at` on; those past the last are made of the row's first bytes and nothing is made of them.
    fn new(axis: &Axis, at: usize) -> Self {
        let mut sixteen = Self { picks: [0; 32], shares: [0; 32], starts: [0; 2] };
        for (half, at) in [at, at + 8].into_iter().enumerate().filter(|(_, at)| *at < axis.target) {
            let start = axis.pair(at).first;
            sixteen.starts[half] = start as u32;
            for at in at..(at + 8).min(axis.target) {
                let (pair, slot) = (axis.pair(at), half * 16 + at % 8 * 2);
                sixteen.picks[slot] = (pair.first - start) as u8;
                sixteen.picks[slot + 1] = (pair.second - start) as u8;
                sixteen.shares[slot] = (256 - u16::from(pair.share)) as u8;
                sixteen.shares[slot + 1] = pair.share;
            }
        }
        sixteen
    }

    #[inline(always)]
    fn write(&self, row: &[u8], out: &mut [u8]) {
        for (half, out) in out.chunks_mut(8).enumerate() {
            let source = row[self.starts[half] as usize..].first_chunk::<16>().expect("spare bytes behind the row");
            let (picks, shares) = (&self.picks[half * 16..][..16], &self.shares[half * 16..][..16]);
            for ((out, picks), shares) in out.iter_mut().zip(picks.as_chunks::<2>().0).zip(shares.as_chunks::<2>().0) {
                let part = |n: usize| u16::from(source[usize::from(picks[n] % 16)]).wrapping_mul(u16::from(shares[n]));
                *out = (part(0).wrapping_add(part(1)).wrapping_add(128) >> 8) as u8;
            }
        }
    }
}

impl Areas {
    fn new(axis: &Axis) -> Self {
        // Whole fours vectorise.
        let taps = axis.widest_area().next_multiple_of(4);
        let mut areas = Self { taps, starts: Vec::with_capacity(axis.target), shares: Vec::with_capacity(axis.target * taps) };
        for at in 0..axis.target {
            let (first, shares) = axis.area(at);
            areas.starts.push(first as u32);
            areas.shares.extend(shares);
            areas.shares.resize((at + 1) * taps, 0);
        }
        areas
    }

    #[inline(always)]
    fn write(&self, row: &[u8], out: &mut [u8]) {
        match self.taps {
            4 => self.write_of::<4>(row, out),
            8 => self.write_of::<8>(row, out),
            _ => {
                for ((out, &start), shares) in out.iter_mut().zip(&self.starts).zip(self.shares.chunks_exact(self.taps)) {
                    *out = mean(&row[start as usize..][..self.taps], shares);
                }
            }
        }
    }

    #[inline(always)]
    fn write_of<const TAPS: usize>(&self, row: &[u8], out: &mut [u8]) {
        for ((out, &start), shares) in out.iter_mut().zip(&self.starts).zip(self.shares.as_chunks::<TAPS>().0) {
            *out = mean(row[start as usize..].first_chunk::<TAPS>().expect("spare bytes behind the row"), shares);
        }
    }
}

#[inline(always)]
fn mean(samples: &[u8], shares: &[i16]) -> u8 {
    let part = |(&sample, &share): (&u8, &i16)| i32::from(sample).wrapping_mul(i32::from(share));
    let sum = samples.iter().zip(shares).map(part).fold(WHOLE / 2, i32::wrapping_add);
    (sum >> WHOLE_BITS) as u8
}
