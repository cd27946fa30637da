//! The clock of whoever reads the camera, estimated from the moments of its reads.

use std::time::{Duration, Instant};

/// Phase and period of a reader that reads on a timer of its own.
///
/// The first intervals give the period by their median; from then on a second-order loop follows phase and period. A read that was missed
/// or seen twice does not move it; a reader that changes its rhythm is learnt anew.
#[derive(Clone, Debug, Default)]
pub struct ReaderClock {
    last_read: Option<Instant>,
    /// The latest intervals in seconds, in a ring, and how many there ever were.
    intervals_s: [f64; WATCHED],
    watched: usize,
    locked: Option<Locked>,
}

#[derive(Clone, Copy, Debug)]
struct Locked {
    /// The smoothed moment of the latest read.
    phase: Instant,
    period_s: f64,
    /// The smoothed distance between prediction and read.
    jitter_s: f64,
    /// Reads in a row that were far from every prediction.
    strays: u32,
}

impl ReaderClock {
    /// Makes a clock that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the moment of a read.
    pub fn handle_read(&mut self, at: Instant) {
        let interval = self.last_read.map(|last| at.saturating_duration_since(last));
        if interval.is_some_and(|interval| interval < SHORTEST) {
            return;
        }
        if interval.is_some_and(|interval| interval > SILENCE) {
            self.clear();
        } else if let Some(interval) = interval {
            self.intervals_s[self.watched % WATCHED] = interval.as_secs_f64();
            self.watched += 1;
            self.follow(at);
        }
        self.last_read = Some(at);
    }

    /// Forgets the reader.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The time from read to read, once known.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.locked.map(|locked| Duration::from_secs_f64(locked.period_s))
    }

    /// The latest read.
    #[must_use]
    pub fn last_read(&self) -> Option<Instant> {
        self.last_read
    }

    /// How far from its prediction a read is to be expected.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.locked.map_or(Duration::ZERO, |locked| Duration::from_secs_f64(locked.jitter_s))
    }

    /// Whether reads come in a known rhythm and have not stopped.
    #[must_use]
    pub fn is_regular(&self, now: Instant) -> bool {
        match (self.locked, self.last_read) {
            (Some(locked), Some(last)) => {
                locked.strays == 0 && now.saturating_duration_since(last).as_secs_f64() < MISSES * locked.period_s
            }
            (_, _) => false,
        }
    }

    /// The first predicted read after `now` that has not happened yet, or nothing while reads are not regular. One that is overdue by
    /// less than `patience` still counts as coming.
    #[must_use]
    pub fn next_read(&self, now: Instant, patience: Duration) -> Option<Instant> {
        if !self.is_regular(now) {
            return None;
        }
        let locked = self.locked?;
        let waited = now.saturating_duration_since(locked.phase).as_secs_f64() - patience.as_secs_f64();
        let steps = (waited / locked.period_s).ceil().max(1.0);
        Some(locked.phase + Duration::from_secs_f64(steps * locked.period_s))
    }

    /// Moves phase and period towards a read, or takes them from the latest intervals when there are none or the rhythm changed.
    fn follow(&mut self, at: Instant) {
        if self.watched < WATCHED {
            return;
        }
        let mut sorted_s = self.intervals_s;
        sorted_s.sort_unstable_by(f64::total_cmp);
        let median_s = sorted_s[WATCHED / 2];
        match &mut self.locked {
            Some(locked) if (median_s - locked.period_s).abs() < CHANGED * locked.period_s && locked.strays < STRAYS => locked.follow(at),
            Some(_) | None => self.locked = Some(Locked { phase: at, period_s: median_s, jitter_s: 0.0, strays: 0 }),
        }
    }
}

impl Locked {
    fn follow(&mut self, at: Instant) {
        let elapsed_s = at.saturating_duration_since(self.phase).as_secs_f64();
        let steps = (elapsed_s / self.period_s).round();
        let error_s = elapsed_s - steps * self.period_s;
        if steps < 1.0 || error_s.abs() > STRAY * self.period_s {
            self.strays += 1;
            return;
        }
        self.strays = 0;
        self.phase += Duration::from_secs_f64((steps * self.period_s + PHASE_GAIN * error_s).max(0.0));
        self.period_s += PERIOD_GAIN * error_s / steps;
        self.jitter_s += JITTER_GAIN * (error_s.abs() - self.jitter_s);
    }
}

/// Intervals whose median tells the rhythm: it shrugs off one missed and one doubled read.
const WATCHED: usize = 5;
/// A median this far from the period, as a part of it, is another rhythm.
const CHANGED: f64 = 0.15;
/// A gap after which nothing of the old rhythm is believed.
const SILENCE: Duration = Duration::from_secs(2);
/// Two reads closer than this are one read in two pieces.
const SHORTEST: Duration = Duration::from_millis(4);
/// Periods without a read after which a reader counts as stopped.
const MISSES: f64 = 3.5;
/// The part of a period by which a read may miss its prediction and still be of the rhythm.
const STRAY: f64 = 0.35;
/// Stray reads in a row that mean a new phase.
const STRAYS: u32 = 3;
/// Loop gains: a step of the phase is followed within ten reads; a millisecond of jitter moves the prediction by 0.3 ms. Damping
/// of a second-order loop of these gains is about 0.75.
const PHASE_GAIN: f64 = 0.15;
const PERIOD_GAIN: f64 = 0.01;
const JITTER_GAIN: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::super::clock::{Random, epoch, ms};
    use super::*;

    #[test]
    fn follows_a_jittery_reader_through_missed_and_doubled_reads() {
        for (fps, seed) in [(30.0, 1), (29.97, 2), (60.0, 3), (15.0, 4)] {
            let (start, mut random, mut clock) = (epoch(), Random(seed), ReaderClock::new());
            let period_ms = 1_000.0 / fps;
            for n in 1..600 {
                let at = start + ms(f64::from(n) * period_ms + random.unit());
                let predicted = clock.next_read(at, ms(2.0));
                if n > 60 {
                    let error = predicted.map(|p| p.max(at) - p.min(at)).expect("regular");
                    assert!(error < ms(1.2), "{fps} fps, read {n}: {error:?}");
                }
                if n % 50 != 0 {
                    clock.handle_read(at);
                }
                if n % 70 == 0 {
                    clock.handle_read(at + ms(0.2));
                }
            }
            let period = clock.period().expect("locked").as_secs_f64() * 1e3;
            assert!((period - period_ms).abs() < 0.02 * period_ms, "{period} for {period_ms}");
        }
    }

    #[test]
    fn learns_a_new_rhythm_and_knows_when_reads_stop() {
        let (start, mut clock) = (epoch(), ReaderClock::new());
        let mut at = start;
        for step_ms in [33.3, 16.6, 33.3, 20.0, 16.6] {
            for _ in 0..30 {
                at += ms(step_ms);
                clock.handle_read(at);
            }
            let period_ms = clock.period().expect("locked").as_secs_f64() * 1e3;
            assert!((period_ms - step_ms).abs() < 0.1, "{period_ms} for {step_ms}");
        }
        assert!(clock.is_regular(at + ms(30.0)));
        assert!(!clock.is_regular(at + ms(100.0)));
        assert_eq!(clock.next_read(at + ms(100.0), ms(0.0)), None);
    }
}
