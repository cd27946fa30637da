//! Percentiles, by HdrHistogram.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Measured values, as counts of what is alike in three digits: what it takes does not grow with how many there are.
///
/// A value's unit is its caller's; it is counted in thousandths of it (milliseconds in microseconds), those below zero apart. A percentile
/// is never less than the value that was measured, and at most a thousandth more. How many there are, the least, the largest and the mean
/// are exact.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// From zero on.
    above: Histogram<u64>,
    /// Those below zero, without their sign.
    below: Histogram<u64>,
    sum: f64,
    least: f64,
    most: f64,
}

/// What a report shows of a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// What a figure was in the rounds of a run. They are few, and every one is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle, or halfway between the two that are.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of what each round gave; nothing when none gave anything.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = rounds.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (below, above) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Self { least: *sorted.first()?, median: f64::midpoint(*below, *above), most: *sorted.last()? })
    }
}

impl Default for Distribution {
    fn default() -> Self {
        let empty = Histogram::new(DIGITS).expect("three digits are some that it can have");
        Self { above: empty.clone(), below: empty, sum: 0.0, least: f64::INFINITY, most: f64::NEG_INFINITY }
    }
}

impl Distribution {
    /// Takes a value.
    pub fn record(&mut self, value: f64) {
        let thousandths = ((value.abs() * 1e3).round() as u64).min(LARGEST);
        let part = if value < 0.0 { &mut self.below } else { &mut self.above };
        part.record(thousandths).expect("it grows as far as the largest value");
        self.sum += value;
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    /// Takes a time between two events that should be `expected` apart, and with it the times until the second one from each that
    /// should have come meanwhile: a stall is as many long times as events would have been in it, not one.
    pub fn record_at_rate(&mut self, value: f64, expected: f64) {
        let mut waited = value;
        while waited > 0.0 {
            self.record(waited);
            waited -= expected;
            if waited < expected {
                return;
            }
        }
        self.record(value.max(0.0));
    }

    /// Takes all values of another.
    pub fn add(&mut self, other: &Self) {
        for (part, more) in [(&mut self.above, &other.above), (&mut self.below, &other.below)] {
            part.add(more).expect("it grows as far as the largest value");
        }
        self.sum += other.sum;
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.above.len() + self.below.len()
    }

    /// The smallest value that at least `percent` of all values do not exceed (nearest rank), or nothing when there are none.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let (count, below) = (self.count(), self.below.len());
        let rank = ((percent / 100.0 * count as f64).ceil() as u64).clamp(1, count.max(1));
        // The largest without its sign is the least.
        let value = if rank <= below {
            -(nth(&self.below, below - rank + 1).0 as f64) / 1e3
        } else {
            nth(&self.above, rank - below).1 as f64 / 1e3
        };
        (count > 0).then(|| value.clamp(self.least, self.most))
    }

    /// The mean, or nothing when there are no values.
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum / self.count() as f64)
    }

    /// What a report shows, or nothing when there are no values.
    pub fn summary(&self) -> Option<Summary> {
        Some(Summary {
            count: self.count(),
            mean: self.mean()?,
            p50: self.percentile(50.0)?,
            p90: self.percentile(90.0)?,
            p95: self.percentile(95.0)?,
            p99: self.percentile(99.0)?,
            max: self.most,
        })
    }

    /// Values that are alike, and how many they are.
    pub fn steps(&self) -> impl Iterator<Item = (f64, u64)> {
        let below = self.below.iter_recorded().map(|step| (-(step.value_iterated_to() as f64) / 1e3, step.count_at_value()));
        below.chain(self.above.iter_recorded().map(|step| (step.value_iterated_to() as f64 / 1e3, step.count_at_value())))
    }
}

/// The least and the largest of what is alike to the value of a rank.
fn nth(part: &Histogram<u64>, rank: u64) -> (u64, u64) {
    let mut left = rank;
    let step = part.iter_recorded().find(|step| {
        let is_here = left <= step.count_at_value();
        left = left.saturating_sub(step.count_at_value());
        is_here
    });
    step.map_or((0, 0), |step| (part.lowest_equivalent(step.value_iterated_to()), part.highest_equivalent(step.value_iterated_to())))
}

impl FromIterator<f64> for Distribution {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut distribution = Self::default();
        values.into_iter().for_each(|value| distribution.record(value));
        distribution
    }
}

/// What is alike in so many is counted as one.
const DIGITS: u8 = 3;
/// No run is longer than a day, in microseconds; so a histogram has at most 240 kB.
const LARGEST: u64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let cases: [(&[f64], f64, Option<f64>); 9] = [
            (&[], 50.0, None),
            (&[3.0], 1.0, Some(3.0)),
            (&[3.0], 99.0, Some(3.0)),
            (&[4.0, 1.0, 3.0, 2.0], 50.0, Some(2.0)),
            (&[4.0, 1.0, 3.0, 2.0], 51.0, Some(3.0)),
            (&[4.0, 1.0, 3.0, 2.0], 100.0, Some(4.0)),
            (&[4.0, 1.0, 3.0, 2.0], 0.0, Some(1.0)),
            (&[-4.0, 1.0, -3.0, 2.0], 25.0, Some(-4.0)),
            (&[-4.0, 1.0, -3.0, 2.0], 50.0, Some(-3.0)),
        ];
        for (values, percent, expected) in cases {
            let measured = values.iter().copied().collect::<Distribution>().percentile(percent);
            let is_alike = |measured: f64, expected: f64| measured >= expected && measured - expected <= expected.abs() / 1e3;
            assert!(
                measured.zip(expected).map_or(measured == expected, |(measured, expected)| is_alike(measured, expected)),
                "{percent} % of {values:?}: {measured:?}"
            );
        }
    }

    #[test]
    fn spread_is_of_the_rounds_in_any_order() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(Spread::of([5.0, 4.0]), Some(Spread { least: 4.0, median: 4.5, most: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn every_percentile_is_that_of_the_values_kept_or_at_most_a_thousandth_more() {
        let mut seed = 1_u64;
        let mut values: Vec<f64> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Some below zero, most of some milliseconds, some of minutes; in whole microseconds, as they are counted.
            (((seed >> 33) as f64 / f64::from(1 << 28)).exp2() * 2_000.0 - 4_000.0).round() / 1e3
        })
        .take(20_000)
        .collect();
        let distribution: Distribution = values.iter().copied().collect();
        values.sort_by(f64::total_cmp);
        for percent in [0.1, 1.0, 25.0, 50.0, 90.0, 95.0, 99.0, 99.9] {
            let (exact, measured) =
                (values[(percent / 100.0 * 20_000.0_f64).ceil() as usize - 1], distribution.percentile(percent).unwrap());
            assert!(measured >= exact && measured - exact <= exact.abs() / 1e3 + 1e-9, "{percent} %: {measured}, not {exact}");
        }
        let summary = distribution.summary().unwrap();
        assert_eq!((summary.count, summary.max), (20_000, values[19_999]));
        assert!((summary.mean - values.iter().sum::<f64>() / 20_000.0).abs() < 1e-6);
        assert_eq!(distribution.steps().map(|(_, count)| count).sum::<u64>(), 20_000);
    }

    #[test]
    fn two_together_are_as_if_they_had_been_one() {
        let of = |values: &[f64]| values.iter().copied().collect::<Distribution>();
        let mut both = of(&[-2.0, 1.0]);
        both.add(&of(&[3.0, 50_000.0]));
        assert_eq!(both.summary(), of(&[-2.0, 1.0, 3.0, 50_000.0]).summary());
        both.add(&Distribution::default());
        assert_eq!((both.count(), both.percentile(0.0), both.percentile(100.0)), (4, Some(-2.0), Some(50_000.0)));
    }

    #[test]
    fn what_it_takes_does_not_grow_with_how_many_there_are() {
        let mut distribution = Distribution::default();
        let mut fill = |times: u32| {
            (0..times).for_each(|nth| distribution.record(f64::from(nth % 1_000)));
            distribution.steps().count()
        };
        assert_eq!((fill(2_000), fill(200_000)), (1_000, 1_000));
        distribution.record(f64::MAX);
        assert_eq!((distribution.count(), distribution.above.max()), (202_001, distribution.above.highest_equivalent(LARGEST)));
    }

    #[test]
    fn stall_is_as_many_waits_as_events_would_have_been_in_it() {
        let mut gaps = Distribution::default();
        (0..90).for_each(|_| gaps.record_at_rate(10.0, 10.0));
        gaps.record_at_rate(100.0, 10.0);
        // 100, 90, … 10 of the second that it would have been.
        assert_eq!((gaps.count(), gaps.percentile(100.0)), (100, Some(100.0)));
        assert!((gaps.percentile(95.0).unwrap() - 50.0).abs() < 0.1, "{:?}", gaps.summary());
        // Late by less than a period, it stands for itself.
        gaps.record_at_rate(19.0, 10.0);
        assert_eq!(gaps.count(), 101);
    }
}
