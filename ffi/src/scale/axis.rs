//! Which source samples, in which shares, make a target sample, along one side of a plane.

/// One side of a plane: so many samples become so many others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// The plane's own samples.
    pub(super) source: usize,
    /// The samples to be made of them.
    pub(super) target: usize,
    /// The picture's sides in luma samples, whose ratio is the scale of every plane; `source / target` is not where a side is odd.
    luma: (usize, usize),
}

/// How an axis is scaled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Filter {
    Area,
    Pair,
    Same,
}

/// The mean of two source samples: `second` counts `share` 256ths of it, `first` the rest.
///
/// A share is never 0 or 256, so that both fit in 8 bits: where one sample is all, it is both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pair {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) share: u8,
}

impl Axis {
    /// The axis of a luma plane.
    pub(super) fn luma(source: usize, target: usize) -> Self {
        Self { source, target, luma: (source, target) }
    }

    /// The axis of a chroma plane, for the same luma sides.
    pub(super) fn chroma(source: usize, target: usize) -> Self {
        Self { source: source.div_ceil(2), target: target / 2, luma: (source, target) }
    }

    /// The filter that neither aliases nor blurs more than it must.
    pub(super) fn filter(&self) -> Filter {
        let (source, target) = self.luma;
        if source == target {
            Filter::Same
        } else if source <= 2 * target {
            Filter::Pair
        } else {
            Filter::Area
        }
    }

    /// The two source samples nearest to the middle of target sample `at`.
    pub(super) fn pair(&self, at: usize) -> Pair {
        let (source, target) = self.luma;
        let all = |sample: usize| Pair { first: sample, second: sample, share: 128 };
        // The middle of a sample is half a sample from its index: (at + ½) · source / target − ½, over 2 · target.
        let Some(middle) = ((2 * at + 1) * source).checked_sub(target) else {
            return all(0);
        };
        let first = middle / (2 * target);
        let share = (middle % (2 * target) * 256 + target) / (2 * target);
        match (first, share) {
            (first, _) if first + 1 >= self.source => all(self.source - 1),
            (first, 0) => all(first),
            (first, 256) => all(first + 1),
            (first, share) => Pair { first, second: first + 1, share: share as u8 },
        }
    }

    /// The first source sample under target sample `at`, and the shares of it and those after it; they add up to [`WHOLE`].
    pub(super) fn area(&self, at: usize) -> (usize, impl Iterator<Item = i16>) {
        // In units in which a target sample is `source` wide, and a source sample `target`.
        let (source, target) = self.luma;
        let (start, end) = (at * source, (at + 1) * source);
        let (first, after) = (start / target, end.div_ceil(target).min(self.source));
        // What lies before a sample's end, rounded once: the differences add up.
        let before = move |sample: usize| ((sample * target).clamp(start, end) - start) as u64 * WHOLE as u64;
        let rounded = move |sample: usize| (before(sample) + source as u64 / 2) / source as u64;
        (first, (first..after).map(move |sample| (rounded(sample + 1) - rounded(sample)) as i16))
    }

    /// The most source samples under any target sample.
    pub(super) fn widest_area(&self) -> usize {
        (0..self.target).map(|at| self.area(at).1.count()).max().unwrap_or(0)
    }
}

/// What the shares of an area add up to.
pub(super) const WHOLE: i32 = 1 << WHOLE_BITS;

/// As many bits as leave a share of a half (the largest, at two source samples) inside an `i16`.
pub(super) const WHOLE_BITS: u32 = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_lie_around_the_middle() {
        let pair = |first, second, share| Pair { first, second, share };
        for (axis, at, expected) in [
            (Axis::luma(3, 2), 0, pair(0, 1, 64)),
            (Axis::luma(3, 2), 1, pair(1, 2, 192)),
            (Axis::luma(4, 2), 1, pair(2, 3, 128)),
            (Axis::luma(2, 4), 0, pair(0, 0, 128)),
            (Axis::luma(2, 4), 1, pair(0, 1, 64)),
            (Axis::luma(2, 4), 3, pair(1, 1, 128)),
            (Axis::luma(1, 4), 3, pair(0, 0, 128)),
            (Axis::luma(5, 4), 2, pair(2, 3, 160)),
            (Axis::chroma(5, 4), 1, pair(1, 2, 96)),
        ] {
            assert_eq!(axis.pair(at), expected, "{axis:?} {at}");
        }
    }

    #[test]
    fn areas_are_the_samples_covered() {
        let area = |axis: Axis, at| (axis.area(at).0, axis.area(at).1.collect::<Vec<_>>());
        assert_eq!(area(Axis::luma(8, 2), 1), (4, vec![8_192; 4]));
        assert_eq!(area(Axis::luma(5, 2), 0), (0, vec![13_107, 13_107, 6_554]));
        assert_eq!(area(Axis::luma(5, 2), 1), (2, vec![6_554, 13_107, 13_107]));
        assert_eq!(area(Axis::chroma(5, 2), 0), (0, vec![13_107, 13_107, 6_554]));
    }

    proptest! {
        #[test]
        fn shares_are_whole_and_samples_exist(source in 1_usize..5_000, half in 1_usize..1_000) {
            let axes = [Axis::luma(source, 2 * half), Axis::chroma(source, 2 * half)];
            for (axis, at) in axes.iter().flat_map(|axis| (0..axis.target).map(move |at| (axis, at))) {
                if axis.filter() == Filter::Area {
                    let (first, shares) = axis.area(at);
                    let shares: Vec<_> = shares.collect();
                    prop_assert!(first + shares.len() <= axis.source);
                    prop_assert!(shares.iter().all(|&share| share >= 0));
                    prop_assert_eq!(shares.iter().map(|&share| i32::from(share)).sum::<i32>(), WHOLE);
                } else {
                    let pair = axis.pair(at);
                    prop_assert!(pair.share > 0 && pair.first <= pair.second && pair.second < axis.source);
                }
            }
        }
    }
}
