//! How long things take, by buckets: what Prometheus sums over machines, which quantiles cannot be.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts of durations, written by one thread and read by another at any time.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// By the bucket of [`BOUNDS_US`], the last for what is above them all.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct HistogramStats {
    counts: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Histogram {
    /// Counts one.
    pub(crate) fn note(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|&bound_us| us <= bound_us).unwrap_or(BOUNDS_US.len());
        // Readers may see one without the other: they are a count and a sum, and nothing is reached through them.
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }

    pub(crate) fn stats(&self) -> HistogramStats {
        HistogramStats { counts: self.counts.each_ref().map(|count| count.load(Relaxed)), sum_us: self.sum_us.load(Relaxed) }
    }
}

impl HistogramStats {
    /// The upper bounds in seconds, and how many were not above them.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS_US.iter().map(|bound_us| *bound_us as f64 / 1e6).chain([f64::INFINITY]).zip(sums)
    }

    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }
}

/// From a frame that is hardly any work over one to three frame periods of 30 fps to a way that nobody would call live.
const BOUNDS_US: [u64; 14] =
    [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 33_000, 66_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let histogram = Histogram::default();
        for us in [0, 1_000, 1_001, 33_000, 5_000_000] {
            histogram.note(Duration::from_micros(us));
        }
        let stats = histogram.stats();
        let cumulative: Vec<_> = stats.cumulative().collect();
        assert_eq!((cumulative[2], cumulative[3], cumulative[7]), ((0.001, 2), (0.002, 3), (0.033, 4)));
        assert_eq!(cumulative.last(), Some(&(f64::INFINITY, 5)));
        assert_eq!(stats.sum_seconds(), 5.035_001);
    }
}
