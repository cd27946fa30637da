//! How many events there were in a second.

use std::time::{Duration, Instant};

/// Events in the last full second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    began: Option<Instant>,
    count: u32,
    last: f32,
}

impl Rate {
    /// Counts an event at `now`.
    pub(super) fn count(&mut self, now: Instant) {
        self.roll(now);
        self.count += 1;
    }

    /// Says how many there were in the last full second before `now`.
    pub(super) fn per_second(mut self, now: Instant) -> f32 {
        self.roll(now);
        self.last
    }

    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(*self.began.get_or_insert(now));
        if age >= Duration::from_secs(1) {
            let full = if age < Duration::from_secs(2) { self.count as f32 / age.as_secs_f32() } else { 0.0 };
            *self = Self { began: Some(now), count: 0, last: full };
        }
    }
}
