//! When the next picture of an encoding is due.

use std::time::{Duration, Instant};

/// What is encoded of a screen that stands still.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u32)]
pub(crate) enum Refresh {
    /// Nothing, once it is shown as well as can be.
    Never,
    /// A picture now and then: players of a TS or of RTMP need some even so. One soon after a change, because many hold a picture until
    /// they know when the next is due, and then one a second.
    #[default]
    Seldom,
    /// As many as of one that moves.
    Constant,
}

/// The turns of one encoding: at most one a frame period.
#[derive(Debug)]
pub(super) struct Schedule {
    period: Duration,
    refresh: Refresh,
    /// The time of the last turn, which a picture came of or not.
    turn: Option<Instant>,
    /// The time of the last picture.
    picture: Option<Instant>,
    /// From the last picture to its refresh.
    gap: Duration,
    /// Whether the last picture was rough: then another comes soon, to everybody.
    rough: bool,
}

/// To a refresh of [`Refresh::Seldom`]: from a change, and from another refresh. Not more of them: a blinking caret would cost more in
/// refreshes than in changes.
const GAP: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// From one picture of the same to a finer one. The bits for it must come back first: more of them would each be a little finer, at as much
/// work.
const FINER: Duration = Duration::from_millis(400);

impl Schedule {
    /// Makes the schedule of at most `frame_rate` pictures a second.
    pub(super) fn new(frame_rate: u32) -> Self {
        // Rounded up: frames are never closer than the rate says, or players that count in frames give two the same number.
        let period = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(frame_rate.max(1))));
        Self { period, refresh: Refresh::default(), turn: None, picture: None, gap: GAP.0, rough: false }
    }

    /// Changes what a screen that stands still is worth.
    pub(super) fn set_refresh(&mut self, refresh: Refresh) {
        self.refresh = refresh;
    }

    /// Says whether another picture of the same would be finer than the last one.
    pub(super) fn set_rough(&mut self, rough: bool) {
        self.rough = rough;
    }

    /// When its next turn is; nothing: not before there is news. `news` is a change, seen or suspected, or an order.
    pub(super) fn due(&self, news: bool, now: Instant) -> Option<Instant> {
        let Some(turn) = self.turn else { return Some(now) };
        let soonest = turn + self.period;
        if news { Some(soonest) } else { self.refresh_due().map(|due| due.max(soonest)) }
    }

    /// Whether a picture is due at `now` of a screen that did not change.
    pub(super) fn is_refresh_due(&self, now: Instant) -> bool {
        self.picture.is_none() || self.refresh_due().is_some_and(|due| due <= now)
    }

    /// Takes its turn, at which nothing was there to be shown.
    pub(super) fn pass(&mut self, now: Instant) {
        self.turn = Some(self.step(true, now));
    }

    /// Takes its turn with a picture, of something new or not; answers the picture's time.
    ///
    /// Times are even steps of the frame period, unless there was a pause: what our own wake-ups jitter by is not the screen's.
    pub(super) fn take(&mut self, news: bool, now: Instant) -> Instant {
        let stamp = self.step(news, now);
        self.gap = if news { GAP.0 } else { GAP.1 };
        (self.turn, self.picture) = (Some(stamp), Some(stamp));
        stamp
    }

    /// Says that nobody waits for what follows the last picture: it was of a screen that stands still, for the sake of its being a key frame.
    pub(super) fn settle(&mut self) {
        self.gap = GAP.1;
    }

    fn refresh_due(&self) -> Option<Instant> {
        let gap = match self.refresh {
            Refresh::Constant => Some(self.period),
            _ if self.rough => Some(self.gap.min(FINER)),
            Refresh::Seldom => Some(self.gap),
            Refresh::Never => None,
        };
        Some(self.picture? + gap?)
    }

    fn step(&self, news: bool, now: Instant) -> Instant {
        let due = self.turn.and_then(|_| self.due(news, now));
        due.filter(|&due| now < due + self.period).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// The times of pictures over `length`, of a screen that has news at the times told: a thread that wakes `late` after each due time.
    fn pictures(mut schedule: Schedule, news: impl Fn(Duration) -> bool, length: Duration, late: Duration) -> Vec<u128> {
        let start = Instant::now();
        let (mut now, mut stamps) = (start, Vec::new());
        while now < start + length {
            let fresh = news(now - start);
            if schedule.due(fresh, now).is_some_and(|due| due <= now) {
                let now = now + late;
                if fresh || schedule.is_refresh_due(now) {
                    stamps.push((schedule.take(fresh, now) - start).as_millis());
                } else {
                    schedule.pass(now);
                }
            }
            now += ms(1);
        }
        stamps
    }

    #[test]
    fn motion_is_shown_in_even_steps_however_late_we_wake() {
        let expected: Vec<u128> = (0..20).map(|n| n * 50).collect();
        for late in [0, 7] {
            let stamps = pictures(Schedule::new(20), |_| true, ms(1_000), ms(late));
            assert_eq!(stamps, expected.iter().map(|stamp| stamp + u128::from(late)).collect::<Vec<_>>(), "{late}");
        }
    }

    #[test]
    fn still_screen_is_refreshed_as_it_is_told_to() {
        for (refresh, expected) in [
            (Refresh::Never, vec![0]),
            (Refresh::Seldom, vec![0, 100, 1_100, 2_100, 3_100]),
            (Refresh::Constant, (0..8).map(|n| n * 500).collect()),
        ] {
            let mut schedule = Schedule::new(if refresh == Refresh::Constant { 2 } else { 60 });
            schedule.set_refresh(refresh);
            assert_eq!(pictures(schedule, |at| at.is_zero(), ms(4_000), ms(0)), expected, "{refresh:?}");
        }
    }

    #[test]
    fn rough_picture_is_followed_by_finer_ones_whatever_is_asked_for() {
        for refresh in [Refresh::Never, Refresh::Seldom] {
            let mut schedule = Schedule::new(30);
            schedule.set_refresh(refresh);
            let start = Instant::now();
            let mut due = start;
            for (news, expected) in [(true, 100), (false, 500), (false, 900)] {
                schedule.take(news, due);
                schedule.set_rough(true);
                due = schedule.due(false, due).expect("a finer one");
                assert_eq!(due, start + ms(expected), "{refresh:?}");
                assert!(!schedule.is_refresh_due(due - ms(1)) && schedule.is_refresh_due(due));
            }
            schedule.take(false, due);
            schedule.set_rough(false);
            assert_eq!(schedule.due(false, due), (refresh == Refresh::Seldom).then_some(due + ms(1_000)));
        }
    }

    #[test]
    fn change_after_a_rest_is_shown_at_once_and_refreshed_soon() {
        let stamps = pictures(Schedule::new(30), |at| at.is_zero() || at == ms(2_000), ms(2_400), ms(0));
        assert_eq!(stamps, [0, 100, 1_100, 2_000, 2_100]);
    }

    #[test]
    fn regular_key_frame_takes_the_place_of_a_refresh() {
        let mut schedule = Schedule::new(30);
        let start = Instant::now();
        schedule.take(true, start);
        schedule.settle();
        assert_eq!(schedule.due(false, start), Some(start + ms(1_000)));
    }

    #[test]
    fn suspicion_that_finds_nothing_costs_a_turn_and_no_picture() {
        let mut schedule = Schedule::new(25);
        schedule.set_refresh(Refresh::Never);
        let start = Instant::now();
        schedule.take(true, start);
        let mut now = start + ms(40);
        for _ in 0..3 {
            assert_eq!(schedule.due(true, now), Some(now));
            assert!(!schedule.is_refresh_due(now));
            schedule.pass(now + ms(3));
            assert_eq!(schedule.due(false, now), None);
            now += ms(40);
        }
        assert_eq!(schedule.take(true, now), start + ms(160));
    }
}
