//! One clock for the run, and the page's clock mapped to it.

use std::time::Instant;

/// Milliseconds of `CLOCK_MONOTONIC` since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts at 0 now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time now.
    pub(crate) fn now_ms(self) -> f64 {
        self.0.elapsed().as_secs_f64() * 1e3
    }
}

/// A question to another clock: what it showed lies between our two times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    /// Ours, just before the question was sent.
    pub(crate) asked_ms: f64,
    /// What the other clock showed when it was asked.
    pub(crate) theirs_ms: f64,
    /// Ours, when the answer was there.
    pub(crate) answered_ms: f64,
}

/// Maps another clock's times to ours.
///
/// Every [`RoundTrip`] bounds the distance between the clocks from both sides; the distance is where all bounds of a window overlap. So
/// the error is at most half of what is left, whatever the way there and the way back cost each. Windows follow drift.
#[derive(Debug, Default)]
pub(crate) struct ClockMap {
    windows: Vec<Window>,
    round_trips: usize,
}

#[derive(Debug)]
struct Window {
    index: i64,
    low_ms: f64,
    high_ms: f64,
}

impl ClockMap {
    /// Takes the result of one question.
    pub(crate) fn add(&mut self, trip: RoundTrip) {
        self.round_trips += 1;
        let index = index(trip.theirs_ms);
        let (low_ms, high_ms) = (trip.asked_ms - trip.theirs_ms, trip.answered_ms - trip.theirs_ms);
        match self.windows.iter_mut().find(|window| window.index == index) {
            Some(window) => {
                window.low_ms = window.low_ms.max(low_ms);
                window.high_ms = window.high_ms.min(high_ms);
            }
            None => self.windows.push(Window { index, low_ms, high_ms }),
        }
    }

    /// Our time for `theirs_ms`, or nothing when no question was answered yet.
    pub(crate) fn to_ours(&self, theirs_ms: f64) -> Option<f64> {
        let wanted = index(theirs_ms);
        let nearest = self.windows.iter().min_by_key(|window| window.index.abs_diff(wanted))?;
        Some(theirs_ms + (nearest.low_ms + nearest.high_ms) / 2.0)
    }

    /// The largest error of a mapped time.
    pub(crate) fn bound_ms(&self) -> Option<f64> {
        // Clocks that drifted apart inside a window leave bounds that cross: as wrong as they cross.
        self.windows.iter().map(|window| (window.high_ms - window.low_ms).abs() / 2.0).reduce(f64::max)
    }

    /// The questions answered.
    pub(crate) fn round_trips(&self) -> usize {
        self.round_trips
    }
}

fn index(theirs_ms: f64) -> i64 {
    (theirs_ms / WINDOW_MS).floor() as i64
}

/// Long enough for fifty questions, one of which meets two idle ends; short enough that a slewed clock (at most 500 ppm) moves 2.5 ms.
const WINDOW_MS: f64 = 5_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// A question whose ways took `there` and `back`, to a clock that is `ahead` of ours.
    fn trip(asked_ms: f64, there: f64, back: f64, ahead: f64) -> RoundTrip {
        RoundTrip { asked_ms, theirs_ms: asked_ms + there + ahead, answered_ms: asked_ms + there + back }
    }

    #[test]
    fn bounds_of_all_questions_overlap_at_the_distance() {
        let mut map = ClockMap::default();
        assert_eq!((map.to_ours(0.0), map.bound_ms()), (None, None));
        // A slow way there bounds one side only, a slow way back the other: together they are as good as one fast question.
        map.add(trip(100.0, 9.0, 0.1, 1_000.0));
        map.add(trip(200.0, 0.1, 9.0, 1_000.0));
        let bound = map.bound_ms().unwrap();
        assert!((bound - 0.1).abs() < 1e-6, "{bound}");
        let ours = map.to_ours(1_500.0).unwrap();
        assert!((ours - 500.0).abs() <= bound + 1e-9, "{ours}");
    }

    #[test]
    fn windows_follow_drift() {
        let mut map = ClockMap::default();
        for second in 0..60 {
            let asked = f64::from(second) * 1e3;
            map.add(trip(asked, 0.2, 0.2, asked * 100e-6));
        }
        for second in [3.0, 30.0, 58.0] {
            let theirs = second * 1e3 * (1.0 + 100e-6);
            let error = (map.to_ours(theirs).unwrap() - second * 1e3).abs();
            assert!(error < 0.6, "{error} ms after {second} s, though the clocks are 6 ms apart at the end");
        }
    }

    #[test]
    fn clocks_that_part_inside_a_window_widen_the_bound() {
        let mut map = ClockMap::default();
        map.add(trip(0.0, 0.1, 0.1, 0.0));
        map.add(trip(1_000.0, 0.1, 0.1, 5.0));
        assert!(map.bound_ms().unwrap() > 2.0);
    }
}
