//! How long to wait before the next attempt.

use std::time::Duration;

/// Waits that double from half a second to half a minute, each off by up to a quarter, so that what went away for many is not stormed by all
/// at once.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
}

impl BackOff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait before the next attempt, by a random byte.
    pub(super) fn wait(&mut self, random: u8) -> Duration {
        let wait = self.next.mul_f64(0.75 + f64::from(random) / 255.0 / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        wait.clamp(FIRST, LONGEST)
    }

    /// An attempt went well: the next wait is the first again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_half_a_minute_and_are_spread() {
        for random in [0, 128, 255] {
            let mut back_off = BackOff::new();
            let waits: Vec<_> = (0..10).map(|_| back_off.wait(random)).collect();
            assert!(waits.iter().all(|wait| (FIRST..=LONGEST).contains(wait)), "{waits:?}");
            assert!(waits.is_sorted() && waits[9] >= LONGEST.mul_f64(0.75), "{waits:?}");
            back_off.reset();
            assert!(back_off.wait(random) <= FIRST.mul_f64(1.25));
        }
        assert!(BackOff { next: LONGEST }.wait(0) < BackOff { next: LONGEST }.wait(200));
    }
}
