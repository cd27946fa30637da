//! The time of day, for what is told in it.

use std::time::{Instant, SystemTime};

/// One moment by both clocks, from which the time of day of any other follows.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The moment on the clock that all else goes by.
    pub at: Instant,
    /// What time of day it was.
    pub time_of_day: SystemTime,
}

impl Clock {
    /// The time of day at a moment.
    pub(super) fn time_of_day(self, at: Instant) -> SystemTime {
        match at.checked_duration_since(self.at) {
            Some(since) => self.time_of_day + since,
            None => self.time_of_day - self.at.duration_since(at),
        }
    }
}
