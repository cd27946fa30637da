//! A histogram of recent delays that never allocates.

use std::time::{Duration, Instant};

/// Delays of the last [`Latency::WINDOW`] or so, in buckets of 9 % width from 50 µs to 3 s.
#[derive(Clone, Debug)]
pub struct Latency {
    present: [u32; BUCKETS],
    previous: [u32; BUCKETS],
    since: Option<Instant>,
}

impl Latency {
    /// How far back a delay counts: at least this, at most twice this.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// Makes an empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self { present: [0; BUCKETS], previous: [0; BUCKETS], since: None }
    }

    /// Counts one delay that ended at `now`.
    pub fn record(&mut self, delay: Duration, now: Instant) {
        self.roll(now);
        let octaves = (delay.as_secs_f64() / FLOOR_S).max(1.0).log2();
        let bucket = ((octaves * PER_OCTAVE) as usize).min(BUCKETS - 1);
        self.present[bucket] = self.present[bucket].saturating_add(1);
    }

    /// The delay that the fraction `share` (0…1) of the recent ones did not exceed, rounded up to its bucket's end; nothing when there
    /// were none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = |bucket: usize| u64::from(self.present[bucket]) + u64::from(self.previous[bucket]);
        let total: u64 = (0..BUCKETS).map(count).sum();
        let rank = ((total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = (0..BUCKETS).find(|&bucket| {
            seen += count(bucket);
            seen >= rank
        })?;
        Some(Duration::from_secs_f64(FLOOR_S * ((bucket + 1) as f64 / PER_OCTAVE).exp2()))
    }

    /// Lets the oldest window go when a new one begins.
    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(*self.since.get_or_insert(now));
        if age < Self::WINDOW {
            return;
        }
        self.previous = if age < 2 * Self::WINDOW { self.present } else { [0; BUCKETS] };
        self.present = [0; BUCKETS];
        self.since = Some(now);
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

const BUCKETS: usize = 128;
const PER_OCTAVE: f64 = 8.0;
const FLOOR_S: f64 = 50e-6;

#[cfg(test)]
mod tests {
    use super::super::clock::{epoch, ms};
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket() {
        let (now, mut latency) = (epoch(), Latency::new());
        assert_eq!(latency.quantile(0.5), None);
        for n in 1..=1_000 {
            latency.record(ms(f64::from(n) * 0.1), now);
        }
        for (share, exact_ms) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            let found = latency.quantile(share).expect("recorded").as_secs_f64() * 1e3;
            assert!((exact_ms..exact_ms * 1.1).contains(&found), "{share}: {found} ms for {exact_ms}");
        }
    }

    #[test]
    fn old_delays_are_forgotten() {
        let (now, mut latency) = (epoch(), Latency::new());
        latency.record(ms(500.0), now);
        latency.record(ms(1.0), now + Latency::WINDOW);
        assert!(latency.quantile(1.0) > Some(ms(400.0)));
        latency.record(ms(1.0), now + 3 * Latency::WINDOW);
        assert!(latency.quantile(1.0) < Some(ms(2.0)));
        latency.record(Duration::MAX, now + 3 * Latency::WINDOW);
        assert!(latency.quantile(1.0) > Some(ms(3_000.0)), "the last bucket takes what is beyond");
    }
}
