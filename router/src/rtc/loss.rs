//! What a viewer can take, by how much gets lost.

/// The loss-based half of congestion control (draft-ietf-rmcat-gcc-02, section 6), for viewers that give no other sign: a way that is too
/// narrow loses much of what it is given, one that is not loses little.
#[derive(Debug)]
pub(super) struct Loss {
    most_bps: u64,
    rate_bps: u64,
}

impl Loss {
    /// That of a viewer for which there are at most so many bits a second.
    pub(super) fn new(most_bps: u32) -> Self {
        let most_bps = u64::from(most_bps) * 5 / 4;
        Self { most_bps, rate_bps: most_bps }
    }

    /// What it can take, in bits a second.
    pub(super) fn rate_bps(&self) -> u64 {
        self.rate_bps
    }

    /// Takes which part was `lost` of the last second's `sent_bps`; says whether that changes the rate.
    pub(super) fn handle_report(&mut self, lost: f32, sent_bps: f64) -> bool {
        let before = self.rate_bps;
        if lost > MUCH {
            // The more there was room for the less the rate itself says.
            let carried = self.rate_bps.min(sent_bps as u64) as f64 * (1.0 - f64::from(lost) / 2.0);
            self.rate_bps = carried as u64;
        } else if lost < LITTLE {
            self.rate_bps = (self.rate_bps as f64 * GROWS) as u64 + 1_000;
        }
        self.rate_bps = self.rate_bps.min(self.most_bps);
        self.rate_bps != before
    }
}

/// What is lost on the air alone is seldom more.
const MUCH: f32 = 0.1;
/// With more than this lost the way is full, or nearly.
const LITTLE: f32 = 0.02;
/// A report comes once a second: twice the rate in nine.
const GROWS: f64 = 1.08;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_falls_with_much_loss_holds_with_some_and_grows_with_little() {
        let mut loss = Loss::new(4_000_000);
        assert!(!loss.handle_report(0.0, 1e9) && loss.rate_bps() == 5_000_000);
        assert!(loss.handle_report(0.5, 4e6) && loss.rate_bps() == 3_000_000);
        assert!(!loss.handle_report(0.05, 3e6));
        assert!(loss.handle_report(0.0, 3e6) && loss.rate_bps() == 3_241_000);
        for _ in 0..10 {
            loss.handle_report(0.01, 3e6);
        }
        assert_eq!(loss.rate_bps(), 5_000_000, "no more than there is");
    }
}
