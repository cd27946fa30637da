//! How much there was to send.

use std::time::{Duration, Instant};

/// A rate, of which the past counts ever less.
#[derive(Debug)]
pub(super) struct Offered {
    over: Duration,
    bits: f64,
    at: Option<Instant>,
}

impl Offered {
    /// That of nothing so far, in which what was so long ago counts a third.
    pub(super) fn over(over: Duration) -> Self {
        Self { over, bits: 0.0, at: None }
    }

    /// Takes note of what there was now.
    pub(super) fn add(&mut self, bytes: usize, now: Instant) {
        self.bits = self.left(now) + bytes as f64 * 8.0;
        self.at = Some(now);
    }

    /// The bits a second.
    pub(super) fn rate_bps(&self, now: Instant) -> f64 {
        self.left(now) / self.over.as_secs_f64()
    }

    fn left(&self, now: Instant) -> f64 {
        let age = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.bits * (-age.div_duration_f64(self.over)).exp()
    }
}
