//! Which pictures a viewer is sent, by what it can take.

use std::time::{Duration, Instant};

/// What a viewer was sent, against what its way carries.
///
/// An account in time: each picture costs what it takes to carry at the viewer's rate, and time pays. A viewer that is more than
/// [`MOST_OWED`] behind gets no pictures until most of that is paid, and goes on at a key frame, for which it asks. The sound, which is
/// not on the account, goes on meanwhile.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// Bits a second; without an estimate everything is allowed.
    rate_bps: Option<u32>,
    /// When all that was sent so far will have been carried.
    paid: Option<Instant>,
    /// Whether nothing is sent before a key frame.
    skipping: bool,
    /// When a key frame was last asked for.
    asked: Option<Instant>,
}

impl Allowance {
    /// The rate, if one is known.
    pub(super) fn rate_bps(&self) -> Option<u32> {
        self.rate_bps
    }

    /// Takes note of what the viewer can take now: what it owes is carried at that.
    pub(super) fn set_rate(&mut self, rate_bps: u32, now: Instant) {
        let before = self.rate_bps.replace(rate_bps.max(1));
        if let Some(before) = before {
            let owed = self.owed(now).mul_f64(f64::from(before) / f64::from(rate_bps.max(1)));
            self.paid = Some(now + owed.min(MOST_OWED * 2));
        }
    }

    /// Whether a picture is to be sent, of which it takes note.
    pub(super) fn admit(&mut self, key: bool, bytes: usize, now: Instant) -> bool {
        let Some(rate_bps) = self.rate_bps else { return true };
        let owed = self.owed(now);
        if key {
            self.skipping &= owed > RESUMES_OWED;
        } else {
            self.skipping |= owed > MOST_OWED;
        }
        if !self.skipping {
            let cost = Duration::from_secs_f64(bytes as f64 * 8.0 / f64::from(rate_bps));
            self.paid = Some(now + owed + cost);
        }
        !self.skipping
    }

    /// Whether a key frame is to be asked for now.
    pub(super) fn wants_key(&mut self, now: Instant) -> bool {
        let wanted = self.deadline().is_some_and(|at| at <= now);
        if wanted {
            self.asked = Some(now);
        }
        wanted
    }

    /// When a key frame is to be asked for.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let paid = self.paid.filter(|_| self.skipping)?;
        let resumes = paid.checked_sub(RESUMES_OWED).unwrap_or(paid);
        Some(self.asked.map_or(resumes, |asked| resumes.max(asked + ASK_EVERY)))
    }

    fn owed(&self, now: Instant) -> Duration {
        self.paid.map_or(Duration::ZERO, |paid| paid.saturating_duration_since(now))
    }
}

/// Further behind than this, pictures are of the past. A key frame may take 300 ms at the full rate (the encoder's buffer), and twice
/// that on a way that has just become half as wide.
const MOST_OWED: Duration = Duration::from_secs(1);
/// Behind by this much or less, a viewer can take a key frame.
const RESUMES_OWED: Duration = Duration::from_millis(250);
/// A key frame for one is one for all who share the encoder.
const ASK_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::super::simulation::epoch;
    use super::*;

    const FRAME: Duration = Duration::from_millis(40);

    /// Offers 25 pictures of `bytes` a second for `seconds`, key frames when they are asked for; says how many of either were sent.
    fn offer(allowance: &mut Allowance, bytes: usize, seconds: u32) -> (u32, u32) {
        let (mut now, mut keys, mut others) = (epoch(), 0, 0);
        for _ in 0..seconds * 25 {
            let key = allowance.wants_key(now);
            if allowance.admit(key, bytes, now) {
                *(if key { &mut keys } else { &mut others }) += 1;
            }
            now += FRAME;
        }
        (keys, others)
    }

    #[test]
    fn everything_is_sent_that_the_rate_carries() {
        let mut allowance = Allowance::default();
        assert_eq!(offer(&mut allowance, 1_000_000, 10), (0, 250), "without an estimate");
        allowance.set_rate(1_000_000, epoch());
        assert_eq!(offer(&mut allowance, 5_000, 10), (0, 250), "at the rate");
    }

    #[test]
    fn viewer_that_is_behind_goes_on_at_key_frames_as_far_as_it_can() {
        let mut allowance = Allowance::default();
        allowance.set_rate(250_000, epoch());
        let (keys, others) = offer(&mut allowance, 5_000, 60);
        assert!((10..=31).contains(&keys), "{keys} key frames in a minute");
        let carried = (keys + others) * 5_000 * 8 / 60;
        assert!((150_000..=275_000).contains(&carried), "{carried} bits a second of 250 000");
    }

    #[test]
    fn what_is_owed_takes_longer_on_a_narrower_way() {
        let (mut allowance, now) = (Allowance::default(), epoch());
        allowance.set_rate(1_000_000, now);
        assert!(allowance.admit(true, 100_000, now));
        assert_eq!(allowance.owed(now), Duration::from_millis(800));
        allowance.set_rate(500_000, now);
        assert_eq!(allowance.owed(now), Duration::from_millis(1_600));
        assert!(!allowance.admit(false, 10, now) && !allowance.admit(true, 10, now));
        assert_eq!(allowance.deadline(), Some(now + Duration::from_millis(1_350)));
        let later = now + Duration::from_millis(1_350);
        assert!(allowance.wants_key(later) && !allowance.wants_key(later));
        assert!(!allowance.admit(false, 10, later) && allowance.admit(true, 10, later) && allowance.admit(false, 10, later));
    }
}
