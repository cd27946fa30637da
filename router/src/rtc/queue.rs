//! What a viewer's way carries, by what waits on it.

use std::time::{Duration, Instant};

/// The queue before the narrowest part of a way, as the time shows that it takes until the viewer has acknowledged a packet.
///
/// The estimate of what the way carries (GCC's, from the trend of arrival times) needs some twenty pictures to be sure that it has become
/// narrower, while the queue grows. How fast it grows says how much: of what was sent meanwhile, the rest was carried.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The shortest round trips of the window that runs and of the one before.
    least: [Option<Duration>; 2],
    window: Option<Instant>,
    /// The last two round trips, the newer one first.
    last: [Option<(Instant, Duration)>; 2],
    carried_bps: Option<u64>,
    /// What was carried when a queue was there last, and when that was.
    known: Option<(Instant, u64)>,
}

impl Queue {
    /// Takes how long the newest acknowledged packet took, and how much is sent; says what the way carries as long as much waits on it.
    pub(super) fn handle_round_trip(&mut self, round_trip: Duration, sent_bps: f64, now: Instant) -> Option<u64> {
        if self.window.is_none_or(|since| now >= since + WINDOW) {
            self.least = [None, self.least[0]];
            self.window = Some(now);
        }
        self.least[0] = Some(self.least[0].map_or(round_trip, |least| least.min(round_trip)));
        let empty = self.least.into_iter().flatten().min().unwrap_or(round_trip);
        let waits = round_trip - empty;
        // Where less is sent than was carried, feedback comes sooner or later by a picture's distance: what grows then must do so for longer.
        let is_odd = self.carried_bps.is_some_and(|carried| sent_bps < carried as f64);
        let growth = |&(at, before): &(Instant, Duration)| round_trip.saturating_sub(before).div_duration_f64(now - at);
        let grows = self.last.iter().take(if is_odd { 2 } else { 1 }).flatten().map(growth).reduce(f64::min).unwrap_or(0.0);
        self.last = [Some((now, round_trip)), self.last[0]];
        if waits < SHORT {
            self.carried_bps = None;
            return None;
        }
        if waits > LONG && grows > GROWING {
            let carried = (sent_bps / (1.0 + grows) * DRAINS) as u64;
            self.carried_bps = Some(self.carried_bps.map_or(carried, |known| known.min(carried)));
        }
        self.known = self.carried_bps.map(|carried| (now, carried)).or(self.known);
        self.carried_bps
    }

    /// What the way carries at the least, while much waits on it and for some time after that: an estimate falls while a queue becomes
    /// shorter, and of the little that is sent then it thinks that little more would fit.
    pub(super) fn least_bps(&self, now: Instant) -> Option<u64> {
        self.known.filter(|&(at, _)| now < at + HOLDS).map(|(_, carried)| carried / 2)
    }
}

/// Viewers give feedback every 50 to 100 ms, and wait so long with it: what takes less longer than usual is no queue.
const SHORT: Duration = Duration::from_millis(60);
/// What takes this much longer is one.
const LONG: Duration = Duration::from_millis(100);
/// Of the time that passes: a queue that grows slower is the estimate's to see.
const GROWING: f64 = 0.3;
/// Of what is carried, so that the queue becomes shorter.
const DRAINS: f64 = 0.85;
/// So long it takes the estimate to find back.
const HOLDS: Duration = Duration::from_secs(5);
/// A way may have become a longer one: after two of these that is usual.
const WINDOW: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::simulation::epoch;
    use super::*;

    /// Feeds round trips in milliseconds, 100 ms apart, of a viewer that is sent 3 Mbit/s; gives what is carried at the end.
    fn after(queue: &mut Queue, start_ms: u64, trips: impl IntoIterator<Item = u64>) -> Option<u64> {
        let at = |nth: usize| epoch() + Duration::from_millis(start_ms + 100 * nth as u64);
        trips.into_iter().enumerate().fold(None, |_, (nth, trip)| queue.handle_round_trip(Duration::from_millis(trip), 3e6, at(nth)))
    }

    #[test]
    fn growing_queue_tells_what_is_carried_until_it_is_gone() {
        let mut queue = Queue::default();
        assert_eq!(after(&mut queue, 0, [50, 90, 60, 100, 50]), None, "feedback comes sooner or later");
        // Twice as much waits each time as has passed: a third is carried.
        let third = Some((1e6 * DRAINS) as u64);
        assert_eq!(after(&mut queue, 500, [250]), third);
        assert_eq!(after(&mut queue, 600, [300, 300, 250, 150]), third, "it stands, and becomes shorter");
        assert_eq!(after(&mut queue, 1_000, [80]), None);
    }

    #[test]
    fn feedback_that_comes_late_while_little_is_sent_is_no_narrower_way() {
        let mut queue = Queue::default();
        let third = Some((1e6 * DRAINS) as u64);
        assert_eq!(after(&mut queue, 0, [50, 50, 250]), third);
        let mut slower = |trip, millis| queue.handle_round_trip(Duration::from_millis(trip), 3e5, epoch() + Duration::from_millis(millis));
        assert_eq!(slower(250, 300), third);
        assert_eq!(slower(300, 400), third, "a picture's distance");
        assert!(slower(350, 500) < third, "twice");
    }

    #[test]
    fn some_of_what_was_carried_fits_for_a_while_when_the_queue_is_gone() {
        let mut queue = Queue::default();
        let at = |millis| epoch() + Duration::from_millis(millis);
        assert_eq!(queue.least_bps(at(0)), None);
        assert!(after(&mut queue, 0, [50, 50, 250]).is_some());
        assert_eq!(after(&mut queue, 300, [50]), None);
        assert_eq!(queue.least_bps(at(5_000)), Some((1e6 * DRAINS / 2.0) as u64));
        assert_eq!(queue.least_bps(at(5_300)), None);
    }

    #[test]
    fn longer_way_is_no_queue_for_ever() {
        let mut queue = Queue::default();
        assert_eq!(after(&mut queue, 0, [50; 10]), None);
        assert!(after(&mut queue, 1_000, [400; 50]).is_some());
        assert_eq!(after(&mut queue, 6_000, [400; 250]), None);
    }
}
