//! The pictures that a source has released, and the gaps between them.

use std::time::{Duration, Instant};

use crosspoint_ffi::{MediaTime, Packet};

/// The pictures released so far.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    pub(super) last: Option<Instant>,
    pub(super) last_time: Option<MediaTime>,
    pub(super) interval: Duration,
    pub(super) gap_told: bool,
    /// The one picture of a source that has no other; and whether it is to be shown again.
    pub(super) still: Option<Packet>,
    pub(super) is_still: bool,
    pub(super) again: bool,
}

impl Pictures {
    /// Takes the next one.
    pub(super) fn released(&mut self, packet: &Packet, now: Instant) {
        if let (Some(last), Some(time)) = (self.last_time, packet.decode_time())
            && let Some(step) = (time - last).to_duration()
            && !step.is_zero()
        {
            self.interval = step.min(SLOWEST);
        }
        self.last_time = packet.decode_time().or(self.last_time);
        self.last = Some(now);
        self.gap_told = false;
        if self.is_still {
            self.still = Some(packet.clone());
        }
    }

    /// When there will have been none for too long, if none comes.
    pub(super) fn gap(&self) -> Option<Instant> {
        if self.gap_told || self.is_still {
            return None;
        }
        self.last.map(|last| last + GAP.max(self.interval.mul_f64(1.5)))
    }
}

/// Without a picture for this long, the last one stands for nothing any more.
pub(super) const GAP: Duration = Duration::from_secs(1);
/// The slowest picture rate that is one.
const SLOWEST: Duration = Duration::from_secs(10);
