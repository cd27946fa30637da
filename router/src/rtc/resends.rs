//! Which of what is missing is sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::offered::Offered;

/// What was sent again lately: no packet twice in a round trip, in which nobody can know whether it came, and not more than a way bears that
/// loses some because it is full.
#[derive(Debug)]
pub(super) struct Resends {
    lately: VecDeque<(u64, Instant)>,
    bits: Offered,
    round_trip: Duration,
}

impl Resends {
    /// Takes how long it takes to hear of a packet.
    pub(super) fn handle_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip.min(LONGEST);
    }

    /// Whether to send a packet again, of which it takes note; `sent_bps` is what is sent for the first time.
    pub(super) fn admit(&mut self, number: u64, bytes: usize, sent_bps: f64, now: Instant) -> bool {
        // A viewer asks again after a round trip, by its own measure.
        let since = self.round_trip.mul_f64(0.8);
        while self.lately.len() >= MOST || self.lately.front().is_some_and(|&(_, at)| at + since < now) {
            self.lately.pop_front();
        }
        let allowed = sent_bps.max(LEAST_BPS) * MOST_AGAIN;
        if self.lately.iter().any(|&(other, _)| other == number) || self.bits.rate_bps(now) > allowed {
            return false;
        }
        self.bits.add(bytes, now);
        self.lately.push_back((number, now));
        true
    }
}

impl Default for Resends {
    fn default() -> Self {
        Self { lately: VecDeque::new(), bits: Offered::over(Duration::from_secs(1)), round_trip: Duration::from_millis(20) }
    }
}

/// More is no round trip.
const LONGEST: Duration = Duration::from_secs(1);
/// Two bursts of one picture.
const MOST: usize = 64;
/// Of what is sent, what may be sent again.
const MOST_AGAIN: f64 = 0.15;
/// What is taken for sent of a screen that stands still.
const LEAST_BPS: f64 = 1_000_000.0;

#[cfg(test)]
mod tests {
    use super::super::simulation::epoch;
    use super::*;

    #[test]
    fn packet_goes_again_once_in_a_round_trip() {
        let mut resends = Resends::default();
        resends.handle_round_trip(Duration::from_millis(100));
        let at = |millis| epoch() + Duration::from_millis(millis);
        assert!(resends.admit(1, 1_000, 1e6, at(0)) && resends.admit(2, 1_000, 1e6, at(10)));
        assert!(!resends.admit(1, 1_000, 1e6, at(70)) && !resends.admit(2, 1_000, 1e6, at(80)));
        assert!(resends.admit(1, 1_000, 1e6, at(100)));
    }

    #[test]
    fn way_that_loses_much_is_not_given_as_much_again() {
        let mut resends = Resends::default();
        let sent = (0..3_000).filter(|&nth| resends.admit(nth, 1_000, 3e6, epoch() + Duration::from_millis(nth))).count();
        // Of 3 Mbit/s for 3 s.
        assert!((150..=250).contains(&sent), "{sent} packets of 8000 bits");
    }
}
