//! Stamps for captured sound.

use crosspoint_ffi::MediaTime;

/// Gives captured samples times that are as even as their number and as true as the monotonic clock.
///
/// A sound server tells a capture moment that jitters by milliseconds, and its sample clock drifts against ours. Times therefore follow
/// from the count of samples, slewed towards the moments told; only what cannot be jitter, a gap, is jumped over.
#[derive(Clone, Debug)]
pub struct SoundClock {
    rate: u32,
    next: Option<MediaTime>,
}

impl SoundClock {
    /// Makes a clock for 48 kHz that takes its time from the first samples.
    #[must_use]
    pub fn new() -> Self {
        Self { rate: 48_000, next: None }
    }

    /// Stamps the first of `samples` (a channel) that are told to be captured at `told`.
    pub fn stamp(&mut self, samples: u32, told: MediaTime) -> MediaTime {
        let stamped = match self.next {
            Some(next) if (told - next).abs() < GAP => next + MediaTime::from_nanos((told - next).as_nanos() / SLEW),
            // Never back: a muxer's times do not run backwards.
            Some(next) => told.max(next),
            None => told,
        };
        self.next = Some(stamped + MediaTime::from_ticks(i64::from(samples), self.rate));
        stamped
    }
}

impl Default for SoundClock {
    fn default() -> Self {
        Self::new()
    }
}

/// What cannot be jitter of the told moment.
const GAP: MediaTime = MediaTime::from_millis(80);
/// The part of the error taken away at each stamp: at 100 stamps a second, half of a step is gone after half a second, and 1 ms of
/// jitter moves a stamp by 16 µs.
const SLEW: i64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_smoothed_and_drift_is_followed() {
        let mut clock = SoundClock::new();
        let mut last = MediaTime::from_millis(-10);
        for n in 0..60_000_i64 {
            // 10 ms of samples that take 10.001 ms (100 ppm), told with ±5 ms of jitter.
            let truth = MediaTime::from_micros(n * 10_001);
            let told = truth + MediaTime::from_micros((n * 7_919) % 10_000 - 5_000);
            let stamped = clock.stamp(480, told);
            let step = stamped - last;
            assert!((step - MediaTime::from_millis(10)).abs() < MediaTime::from_micros(250), "stamp {n}: {step:?}");
            if n > 500 {
                assert!((stamped - truth).abs() < MediaTime::from_millis(2), "stamp {n}");
            }
            last = stamped;
        }
    }

    #[test]
    fn gap_is_jumped_and_time_never_runs_back() {
        let mut clock = SoundClock::new();
        clock.stamp(480, MediaTime::ZERO);
        assert_eq!(clock.stamp(480, MediaTime::from_millis(500)), MediaTime::from_millis(500));
        assert_eq!(clock.stamp(480, MediaTime::ZERO), MediaTime::from_millis(510));
    }
}
