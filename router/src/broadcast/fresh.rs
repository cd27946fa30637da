//! Whether what was captured is still live when it comes.

use std::time::{Duration, Instant};

use crosspoint_ffi::MediaTime;

/// Tells captured media that is live from what a standstill held back.
///
/// After a process was frozen or starved, all that was captured meanwhile comes at once. Viewers would take it in: a browser's jitter buffer
/// grows by as much and gives it back over many seconds, and holds the pictures back meanwhile. So what is [`Freshness::LATE`] older than
/// usual is not let through, nor what follows it until it is young again.
///
/// What is usual is the least age of late, which may grow slowly: another path, or an age that was told wrong, silences nothing for good.
///
/// Copies: 0 (it sees times only).
#[derive(Clone, Debug, Default)]
pub struct Freshness {
    usual: Option<(Instant, f64)>,
    stale: bool,
}

impl Freshness {
    /// How much older than usual is too old.
    pub const LATE: Duration = Duration::from_millis(200);

    /// Makes one that takes the first age for the usual one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether something of this age is let through at `now`. Ages may be negative: a sink mixes ahead of its clock.
    pub fn admits(&mut self, age: MediaTime, now: Instant) -> bool {
        let age_s = age.as_secs_f64();
        let (then, usual_s) = self.usual.unwrap_or((now, age_s));
        let elapsed_s = now.saturating_duration_since(then).as_secs_f64().min(LONGEST_STEP_S);
        let usual_s = age_s.min(usual_s + GROWTH * elapsed_s);
        self.usual = Some((now, usual_s));
        self.stale = age_s - usual_s > if self.stale { YOUNG_S } else { LATE_S };
        !self.stale
    }
}

const LATE_S: f64 = Freshness::LATE.as_millis() as f64 / 1e3;
/// What is this much older than usual is young again.
const YOUNG_S: f64 = 0.03;
/// The usual age grows by this part of the time that passes: a lasting delay of half a second is taken for usual within ten seconds.
const GROWTH: f64 = 0.05;
/// Nothing becomes usual while nothing comes.
const LONGEST_STEP_S: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere; nothing looks at where")]
    fn origin() -> Instant {
        Instant::now()
    }

    /// Pieces of 10 ms, each of the age that `age_ms` gives for its number; tells which are let through.
    fn run(fresh: &mut Freshness, start: Instant, age_ms: impl Fn(u64) -> i64, pieces: u64) -> Vec<bool> {
        (0..pieces).map(|n| fresh.admits(MediaTime::from_millis(age_ms(n)), start + Duration::from_millis(10 * n))).collect()
    }

    #[test]
    fn hiccups_pass_and_a_standstill_is_left_out_until_what_comes_is_young() {
        let (mut fresh, start) = (Freshness::new(), origin());
        let uneven = run(&mut fresh, start, |n| [5, -8, 20, 150][n as usize % 4], 400);
        assert!(uneven.iter().all(|&through| through), "{uneven:?}");
        // A second and a half comes at once, after as long.
        let thaw = start + Duration::from_millis(5_500);
        let through: Vec<_> =
            (0..155).map(|n| fresh.admits(MediaTime::from_millis(1_500 - 10 * n), thaw + Duration::from_micros(n as u64 * 20))).collect();
        let first = through.iter().position(|&through| through).expect("the end of it");
        assert!((144..=150).contains(&first) && through[first..].iter().all(|&through| through), "{through:?}");
    }

    #[test]
    fn lasting_delay_is_usual_before_long() {
        let (mut fresh, start) = (Freshness::new(), origin());
        run(&mut fresh, start, |_| 10, 10);
        let through = run(&mut fresh, start + Duration::from_millis(100), |_| 510, 2_000);
        let first = through.iter().position(|&through| through).expect("it is not silent for good");
        assert!((500..1_000).contains(&first) && through[first..].iter().all(|&through| through), "from piece {first} on");
    }
}
