//! One timeline for what is sent, whatever the sources' own times do.

use std::time::Instant;

use crosspoint_ffi::{MediaTime, Packet};

/// Places packets on a timeline that only rises: a source's own times with an offset, chosen anew at every start and every leap.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// What time zero stands for.
    epoch: Option<Instant>,
    /// What is added to the source's times; nothing before a start.
    offset: Option<MediaTime>,
    /// The source's time of the last picture.
    last_in: Option<MediaTime>,
    /// The decode time of the last picture sent.
    last_out: Option<MediaTime>,
}

impl Timeline {
    /// The next packet is another source's.
    pub(super) fn lift(&mut self) {
        (self.offset, self.last_in) = (None, None);
    }

    /// A run of packets from `first` to `last`, the newest released at `now`, is to follow what was sent.
    pub(super) fn anchor(&mut self, first: &Packet, last: &Packet, now: Instant) {
        let (Some(first), Some(last)) = (first.decode_time(), last.decode_time()) else { return self.lift() };
        self.last_in = None;
        self.set_offset(first, last - first, now);
    }

    /// Gives the packet its place; nothing when it is sound that belongs to another time than the pictures.
    pub(super) fn place(&mut self, packet: &Packet, now: Instant) -> Option<Packet> {
        if !packet.codec.is_video() {
            let place = |time: MediaTime| Some(time + self.offset?);
            let pts = packet.pts.and_then(place)?;
            let near = self.last_out.is_some_and(|last| (pts - last).abs() <= LEAP);
            return near.then(|| Packet { pts: Some(pts), dts: Some(pts), ..packet.clone() });
        }
        let Some(time) = packet.decode_time() else {
            // Without a time of its own it is shown when it came.
            let now = self.free(self.wall(now));
            self.last_out = Some(now);
            return Some(Packet { pts: Some(now), dts: Some(now), ..packet.clone() });
        };
        let leaps = self.last_in.is_some_and(|last| time < last || time - last > LEAP);
        let offset = match self.offset {
            Some(offset) if !leaps => offset,
            Some(_) | None => self.set_offset(time, MediaTime::ZERO, now),
        };
        let dts = time + offset;
        (self.last_in, self.last_out) = (Some(time), Some(dts));
        Some(Packet { pts: Some(packet.pts.map_or(dts, |pts| pts + offset)), dts: Some(dts), ..packet.clone() })
    }

    /// Lets `first`, the beginning of `span`, fall where the span ends at `now`, or later when that is taken.
    fn set_offset(&mut self, first: MediaTime, span: MediaTime, now: Instant) -> MediaTime {
        self.epoch.get_or_insert(now);
        let offset = self.free(self.wall(now) - span) - first;
        self.offset = Some(offset);
        offset
    }

    /// `wanted`, or the first moment behind what was sent.
    fn free(&self, wanted: MediaTime) -> MediaTime {
        wanted.max(self.last_out.map_or(MediaTime::ZERO, |last| last + STEP))
    }

    fn wall(&self, now: Instant) -> MediaTime {
        self.epoch.map_or(MediaTime::ZERO, |epoch| MediaTime::from(now.saturating_duration_since(epoch)))
    }
}

/// How far apart pictures stand where two timelines meet.
const STEP: MediaTime = MediaTime::from_millis(20);
/// A difference in time that is no longer one between two pictures.
const LEAP: MediaTime = MediaTime::from_millis(1_000);
