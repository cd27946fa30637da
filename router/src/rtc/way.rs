//! What is known of the way to a viewer, and what may go on it.

use std::time::{Duration, Instant};

use super::Offer;
use super::able::Able;
use super::allowance::Allowance;
use super::estimate::{Estimator, Fate};
use super::meter::Meter;
use super::rtcp::{Arrivals, ReferenceClock};
use crate::broadcast::Bitrates;

/// The way to a viewer: what it carries, as we estimate it or as the viewer says, and the account of what is sent by that.
#[derive(Debug)]
pub(super) struct Way {
    able: Able,
    allowance: Allowance,
    /// Nothing where the viewer estimates it, or nobody.
    estimator: Option<Estimator>,
    reference: ReferenceClock,
}

impl Way {
    /// That to a viewer which made this offer, for which pictures have so many bits a second.
    pub(super) fn new(offer: &Offer, bitrates: Bitrates) -> Self {
        // Most ways carry it all; one that does not says so in a round trip or two.
        let estimator = offer.has_transport_feedback().then(|| Estimator::new(u64::from(bitrates.usual_bps)));
        Self { able: Able::new(bitrates), allowance: Allowance::default(), estimator, reference: ReferenceClock::default() }
    }

    /// Takes note of whether sound goes on it, too.
    pub(super) fn set_sound(&mut self, has_sound: bool) {
        self.able.has_sound = has_sound;
    }

    /// Takes when packets arrived.
    pub(super) fn handle_arrivals(&mut self, arrivals: &Arrivals<'_>, meter: &mut Meter, now: Instant) {
        let Some(estimator) = &mut self.estimator else { return };
        let reference = self.reference.time(arrivals.reference());
        let arrived = |after: i64| {
            let after_reference = Duration::from_micros(after.unsigned_abs());
            if after < 0 { reference.saturating_sub(after_reference) } else { reference + after_reference }
        };
        estimator.handle_feedback(arrivals.iter().map(|(number, after)| Fate { number, arrived: after.map(arrived) }), now);
        let estimate = estimator.rate_bps();
        if let Some(lost) = estimator.lost(now) {
            meter.handle_share(lost);
        }
        self.take_estimate(estimate, now);
    }

    /// Takes which part of the pictures was lost, which says something where nothing else does.
    pub(super) fn handle_lost(&mut self, lost: f32, meter: &mut Meter, now: Instant) {
        if self.estimator.is_none() {
            meter.handle_share(lost);
            if let Some(able) = self.able.handle_loss(lost, now) {
                self.allowance.set_rate(able, now);
            }
        }
    }

    /// Takes what the viewer says that it can take, where we do not estimate it.
    pub(super) fn handle_said(&mut self, bps: u64, now: Instant) {
        if self.estimator.is_none()
            && let Some(able) = self.able.handle_said(bps, now)
        {
            self.allowance.set_rate(able, now);
        }
    }

    /// Takes note of a datagram that leaves, if it has a number.
    pub(super) fn handle_sent(&mut self, number: Option<u16>, bytes: usize, now: Instant) {
        if let (Some(estimator), Some(number)) = (&mut self.estimator, number) {
            let probe = estimator.is_probing();
            estimator.handle_sent(number, bytes, probe, now);
        }
    }

    /// Whether a picture may go, of which it takes note.
    pub(super) fn admit(&mut self, key: bool, bytes: usize, now: Instant) -> bool {
        self.able.offer(bytes, now);
        self.allowance.admit(key, bytes, now)
    }

    /// Has more looked for than the way is known to carry, if more is wanted: of pictures that do not come any more, and were little, nothing
    /// is.
    pub(super) fn want(&mut self, has_paused: bool, now: Instant) {
        let quiet = has_paused && self.is_little(now);
        let wanted = self.able.wanted_bps();
        if let Some(estimator) = &mut self.estimator {
            estimator.set_wanted(if quiet { 0 } else { wanted }, now);
        }
    }

    /// How many bytes are to be sent for nothing but to see what the way carries.
    pub(super) fn poll_padding(&mut self, now: Instant) -> Option<usize> {
        let estimator = self.estimator.as_mut()?;
        let before = estimator.rate_bps();
        let padding = estimator.poll_padding(now);
        // What nobody has answered for a while lowers it.
        let estimate = estimator.rate_bps();
        if estimate != before {
            self.take_estimate(estimate, now);
        }
        padding
    }

    /// What it carries of pictures, in bits a second, if that is known.
    pub(super) fn rate_bps(&self) -> Option<u32> {
        self.allowance.rate_bps()
    }

    /// What there was of pictures lately, in bits a second.
    pub(super) fn offered_bps(&self, now: Instant) -> f64 {
        self.able.offered_bps(now)
    }

    /// Whether that is next to nothing.
    pub(super) fn is_little(&self, now: Instant) -> bool {
        self.able.is_little(now)
    }

    /// Whether pictures go on at a key frame, which is to be asked for now.
    pub(super) fn wants_key(&mut self, now: Instant) -> bool {
        self.allowance.wants_key(now)
    }

    /// When [`Way::wants_key`] or [`Way::poll_padding`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let estimate = self.estimator.as_ref().and_then(Estimator::deadline);
        [self.allowance.deadline(), estimate].into_iter().flatten().min()
    }

    /// What is to be said of it: how many bits of pictures a second the viewer can take.
    pub(super) fn poll(&mut self) -> Option<u32> {
        self.able.poll()
    }

    fn take_estimate(&mut self, bits: u64, now: Instant) {
        let able = self.able.handle_estimate(bits);
        self.allowance.set_rate(able, now);
    }
}
