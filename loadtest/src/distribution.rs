//! Percentiles.

use serde::Serialize;

/// A set of measured values, sorted. Runs are bounded, so every value is kept and every percentile is one that was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distribution(Vec<f64>);

/// What a report shows of a [`Distribution`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// How many values.
    pub(crate) count: usize,
    /// Their mean.
    pub(crate) mean: f64,
    /// The median.
    pub(crate) p50: f64,
    /// The 90th percentile.
    pub(crate) p90: f64,
    /// The 95th percentile.
    pub(crate) p95: f64,
    /// The 99th percentile.
    pub(crate) p99: f64,
    /// The largest.
    pub(crate) max: f64,
}

/// What a figure was in the rounds of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// The smallest.
    pub(crate) least: f64,
    /// The one in the middle, or halfway between the two that are.
    pub(crate) median: f64,
    /// The largest.
    pub(crate) most: f64,
}

impl Spread {
    /// Of what each round gave; nothing when none gave anything.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let Distribution(sorted) = rounds.into_iter().collect();
        let (below, above) = (sorted.get(sorted.len().saturating_sub(1) / 2)?, sorted.get(sorted.len() / 2)?);
        Some(Self { least: *sorted.first()?, median: f64::midpoint(*below, *above), most: *sorted.last()? })
    }
}

impl Distribution {
    /// The smallest value that at least `percent` of all values do not exceed (nearest rank), or nothing when there are none.
    pub(crate) fn percentile(&self, percent: f64) -> Option<f64> {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).copied()
    }

    /// The mean, or nothing when there are no values.
    pub(crate) fn mean(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.iter().sum::<f64>() / self.0.len() as f64)
    }

    /// What a report shows, or nothing when there are no values.
    pub(crate) fn summary(&self) -> Option<Summary> {
        Some(Summary {
            count: self.0.len(),
            mean: self.mean()?,
            p50: self.percentile(50.0)?,
            p90: self.percentile(90.0)?,
            p95: self.percentile(95.0)?,
            p99: self.percentile(99.0)?,
            max: *self.0.last()?,
        })
    }
}

impl FromIterator<f64> for Distribution {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_nearest_rank() {
        let cases: [(&[f64], f64, Option<f64>); 7] = [
            (&[], 50.0, None),
            (&[3.0], 1.0, Some(3.0)),
            (&[3.0], 99.0, Some(3.0)),
            (&[4.0, 1.0, 3.0, 2.0], 50.0, Some(2.0)),
            (&[4.0, 1.0, 3.0, 2.0], 51.0, Some(3.0)),
            (&[4.0, 1.0, 3.0, 2.0], 100.0, Some(4.0)),
            (&[4.0, 1.0, 3.0, 2.0], 0.0, Some(1.0)),
        ];
        for (values, percent, expected) in cases {
            assert_eq!(values.iter().copied().collect::<Distribution>().percentile(percent), expected, "{percent} % of {values:?}");
        }
    }

    #[test]
    fn spread_is_of_the_rounds_in_any_order() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { least: 1.0, median: 2.0, most: 3.0 }));
        assert_eq!(Spread::of([5.0, 4.0]), Some(Spread { least: 4.0, median: 4.5, most: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn summary_of_a_ramp() {
        let summary = (1..=1_000).map(f64::from).collect::<Distribution>().summary();
        assert_eq!(summary, Some(Summary { count: 1_000, mean: 500.5, p50: 500.0, p90: 900.0, p95: 950.0, p99: 990.0, max: 1_000.0 }));
        assert_eq!(Distribution::default().summary(), None);
    }
}
