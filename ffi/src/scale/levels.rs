//! Full-range samples to limited range.

use super::SampleRange;

/// What makes one plane's samples limited: times `factor`, plus `offset`, both in 65 536ths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    factor: u32,
    offset: u32,
}

impl Levels {
    /// What luma of `range` needs: 0…255 becomes 16…235.
    pub(super) fn luma(range: SampleRange) -> Option<Self> {
        // The offset's half rounds.
        let offset = (16 << 16) + (1 << 15);
        (range == SampleRange::Full).then_some(Self { factor: ratio(219), offset })
    }

    /// What chroma of `range` needs: 0…255 becomes 16…240, and 128 stays.
    pub(super) fn chroma(range: SampleRange) -> Option<Self> {
        let factor = ratio(224);
        let offset = (128 << 16) + (1 << 15) - 128 * factor;
        (range == SampleRange::Full).then_some(Self { factor, offset })
    }

    /// Makes samples limited, where they are.
    #[inline(always)]
    pub(super) fn shift(self, samples: &mut [u8]) {
        for sample in samples {
            *sample = (u32::from(*sample).wrapping_mul(self.factor).wrapping_add(self.offset) >> 16) as u8;
        }
    }
}

/// How far a full range is stretched over one of `steps`.
const fn ratio(steps: u32) -> u32 {
    ((steps << 16) + 127) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_land_where_bt601_puts_them() {
        let exact_luma = |sample: u8| 16.0 + f64::from(sample) * 219.0 / 255.0;
        let exact_chroma = |sample: u8| 128.0 + (f64::from(sample) - 128.0) * 224.0 / 255.0;
        for sample in 0..=255 {
            let mut row = [sample; 2];
            Levels::luma(SampleRange::Full).expect("to be shifted").shift(&mut row[..1]);
            Levels::chroma(SampleRange::Full).expect("to be shifted").shift(&mut row[1..]);
            assert_eq!(row.map(f64::from), [exact_luma(sample).round(), exact_chroma(sample).round()], "{sample}");
        }
        assert!(Levels::luma(SampleRange::Limited).is_none() && Levels::chroma(SampleRange::Limited).is_none());
    }
}
