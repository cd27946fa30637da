//! H.264 of a screen that moves and rests.

use std::time::Instant;

use crosspoint_ffi::av::{H264Encoder, H264Settings};
use crosspoint_ffi::{Codec, I420, MediaTime, Packet, Payload, Result};
use crosspoint_router::wire::h264::Splicer;

/// An H.264 encoder that is left alone while the picture stays the same, or nearly so.
///
/// To compare a picture with itself costs x264 milliseconds. It does so until the picture is as fine as can be. What is needed from then on is
/// made here: pictures that repeat the one before, patches of the few places that changed (a caret, a letter typed), and key frames that are
/// sent again.
///
/// Copies: 0 (what is sent again is shared; a patch is its samples, and the encoder's next picture is copied once behind it).
#[derive(Debug)]
pub(super) struct Film {
    encoder: H264Encoder,
    splicer: Splicer,
    rest: Option<Rest>,
    /// The macroblocks that were patched since the encoder's last picture, in order.
    patched: Vec<u32>,
    /// Pictures encoded since it had to be, because of a change, that one included.
    since_change: u32,
    /// What the encoder made last, as it made it.
    #[cfg(test)]
    encoders_own: Vec<u8>,
}

/// A key frame of the encoder's last picture, and the finer ones of the same behind it: all that the encoder made since. As long as patches
/// do for what changes, the stream can begin with them again.
#[derive(Debug)]
struct Rest {
    packets: Vec<Packet>,
    /// As it was behind the last of them.
    splicer: Splicer,
    /// How many of them were sent since the last key frame.
    sent: usize,
    /// Whether no other picture was sent since the last of them.
    is_last: bool,
    /// Whether none was sent twice, and nothing between them.
    is_open: bool,
}

/// What differs from the picture before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Change<'a> {
    /// Nothing does.
    Nothing,
    /// These macroblocks: by their number, row by row, in rising order.
    Few(&'a [u32]),
    /// All may.
    Much,
}

/// What comes of a picture.
#[derive(Debug)]
pub(super) struct Made {
    /// In order; the last one is of the time that was asked for.
    pub(super) packets: Vec<Packet>,
    pub(super) work: Work,
}

/// What was done for a picture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Work {
    /// The encoder had it.
    Encoded,
    /// What changed stands in it as it is.
    Patched,
    /// What was made before stands for it.
    Repeated,
}

/// A picture that the encoder did not make now: its access unit, and whether it is a key frame.
type Unit = (Payload, bool);

impl Film {
    /// Opens the encoder.
    pub(super) fn new(settings: H264Settings) -> Result<Self> {
        Ok(Self {
            encoder: H264Encoder::new(settings)?,
            splicer: Splicer::new(),
            rest: None,
            patched: Vec::new(),
            since_change: 0,
            #[cfg(test)]
            encoders_own: Vec::new(),
        })
    }

    /// Changes the bitrate from the next picture on.
    pub(super) fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.encoder.set_bitrate(bitrate_bps);
    }

    /// Whether another picture of the same would be finer than what was sent last.
    pub(super) fn is_rough(&self) -> bool {
        self.is_worth_more() || self.rest.as_ref().is_some_and(Rest::is_behind)
    }

    /// The next packets: of `picture`, or what stands for it, as the `change` since the last one allows.
    pub(super) fn next(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool, change: Change<'_>) -> Result<Made> {
        let made = match change {
            Change::Nothing => self.again(picture, key),
            Change::Few(blocks) => self.patch(picture, blocks, pts, key),
            Change::Much => None,
        };
        if let Some((units, work)) = made {
            return Ok(Made { packets: stamped(units, pts, captured, 0), work });
        }
        // The encoder goes on from its last picture; whoever was sent its key frame again must have that, too.
        let behind = if key { Vec::new() } else { self.catch_up() };
        let (splicer, mut spliced) = (&mut self.splicer, Ok(None));
        let packet = self.encoder.encode_amended(picture, pts, captured, key, |unit| {
            #[cfg(test)]
            self.encoders_own.clone_from(&unit.to_vec());
            spliced = splicer.handle_unit(unit);
        })?;
        let packet = match spliced? {
            Some(unit) => packet.map(|packet| Packet { data: Payload::copy_from_slice(&unit), ..packet }),
            None => packet,
        };
        let is_same = change == Change::Nothing && self.patched.is_empty();
        self.since_change = if is_same { self.since_change.saturating_add(1) } else { 1 };
        self.patched.clear();
        self.keep(packet.as_ref(), is_same);
        let mut packets = stamped(behind, pts, captured, 1);
        packets.extend(packet);
        Ok(Made { packets, work: Work::Encoded })
    }

    /// What stands for a picture of the same.
    fn again(&mut self, picture: &I420<'_>, key: bool) -> Option<(Vec<Unit>, Work)> {
        if self.is_worth_more() {
            return None;
        }
        if key && !self.patched.is_empty() {
            return self.begin_patched(picture).map(|units| (units, Work::Repeated));
        }
        if key {
            self.rewind()?;
        }
        if self.rest.as_ref().is_some_and(Rest::is_behind) {
            return self.send_kept().map(|unit| (vec![unit], Work::Repeated));
        }
        let unit = self.splicer.repeat()?;
        self.come_between();
        Some((vec![(Payload::copy_from_slice(&unit), false)], Work::Repeated))
    }

    /// What stands for a picture that differs in `blocks`.
    fn patch(&mut self, picture: &I420<'_>, blocks: &[u32], pts: MediaTime, key: bool) -> Option<(Vec<Unit>, Work)> {
        let patched = union(&self.patched, blocks);
        let sent = if key { patched.len() } else { blocks.len() };
        let is_possible = patched.len() <= MOST_BLOCKS && !self.is_worth_more() && (!key || self.can_rewind());
        if !is_possible || !self.encoder.afford(pts, sent * BLOCK_BITS) {
            return None;
        }
        if key {
            self.patched = patched;
            return self.begin_patched(picture).map(|units| (units, Work::Patched));
        }
        let mut ahead = self.splicer.clone();
        if let Some(rest) = self.rest.as_ref().filter(|rest| rest.is_behind()) {
            ahead = rest.splicer.clone();
        }
        let unit = ahead.patch(picture, blocks)?;
        let mut units = self.catch_up();
        (self.splicer, self.patched) = (ahead, patched);
        self.come_between();
        units.push((Payload::copy_from_slice(&unit), false));
        Some((units, Work::Patched))
    }

    /// The key frame again with all that came behind it, and all patches in one.
    fn begin_patched(&mut self, picture: &I420<'_>) -> Option<Vec<Unit>> {
        self.rewind()?;
        let mut units = self.catch_up();
        let unit = self.splicer.patch(picture, &self.patched)?;
        self.come_between();
        units.push((Payload::copy_from_slice(&unit), false));
        Some(units)
    }

    /// Begins the stream anew with what is kept, if it can.
    fn rewind(&mut self) -> Option<()> {
        let can = self.can_rewind();
        let rest = self.rest.as_mut().filter(|_| can)?;
        (rest.sent, rest.is_open) = (0, false);
        Some(())
    }

    fn can_rewind(&self) -> bool {
        // Two of the same identity must not meet (`idr_pic_id`, 7.4.3).
        let meets = |rest: &Rest| rest.is_last && rest.packets.len() == 1;
        self.rest.as_ref().is_some_and(|rest| !(rest.is_behind() || meets(rest)))
    }

    /// The next one of those that are kept.
    fn send_kept(&mut self) -> Option<Unit> {
        let rest = self.rest.as_mut()?;
        let packet = rest.packets.get(rest.sent)?;
        (rest.sent, rest.is_last) = (rest.sent + 1, true);
        if !rest.is_behind() {
            self.splicer = rest.splicer.clone();
        }
        Some((packet.data.clone(), packet.key))
    }

    /// All that is left of those that are being sent again.
    fn catch_up(&mut self) -> Vec<Unit> {
        std::iter::from_fn(|| self.send_kept()).collect()
    }

    /// Takes note that a picture was sent that is none of those that are kept.
    fn come_between(&mut self) {
        if let Some(rest) = &mut self.rest {
            (rest.is_last, rest.is_open) = (false, false);
        }
    }

    /// Keeps what the encoder made, or forgets all when it is no more of the same.
    fn keep(&mut self, packet: Option<&Packet>, is_same: bool) {
        let Some(packet) = packet else { return self.rest = None };
        let open = self.rest.take().filter(|rest| rest.is_open && is_same && !packet.key);
        if !packet.key && open.is_none() {
            return;
        }
        let mut packets = open.map_or_else(Vec::new, |rest| rest.packets);
        packets.push(packet.clone());
        self.rest = Some(Rest { sent: packets.len(), packets, splicer: self.splicer.clone(), is_last: true, is_open: true });
    }

    /// Whether the encoder could make it finer.
    fn is_worth_more(&self) -> bool {
        self.since_change < MOST && self.encoder.is_rough()
    }
}

impl Rest {
    /// Whether some are still to be sent again.
    fn is_behind(&self) -> bool {
        self.sent < self.packets.len()
    }
}

/// Packets of `units`, each a millisecond before the next, the last of them `steps` before `pts`.
fn stamped(units: Vec<Unit>, pts: MediaTime, captured: Instant, steps: i64) -> Vec<Packet> {
    let last = i64::try_from(units.len()).unwrap_or(0) - 1 + steps;
    let packet = |(step, (data, key)): (i64, Unit)| {
        let time = Some(pts - MediaTime::from_millis(step));
        Packet { codec: Codec::H264, data, pts: time, dts: time, key, arrival: captured, parameters: None }
    };
    (0..=last).rev().zip(units).map(packet).collect()
}

/// What is in either of two that are in order, in order.
fn union(some: &[u32], others: &[u32]) -> Vec<u32> {
    let mut both = [some, others].concat();
    both.sort_unstable();
    both.dedup();
    both
}

/// Pictures of the same that are encoded one after another, at most: more of them are no finer, or the bitrate is too low for any. As many
/// milliseconds are less than the shortest frame period.
const MOST: u32 = 6;
/// Macroblocks that are patched before the encoder has them all: as many bytes as a small key frame.
pub(super) const MOST_BLOCKS: usize = 64;
/// What a macroblock takes that holds its samples as they are: 256 of luma, 64 of each chroma.
const BLOCK_BITS: usize = 384 * 8;

#[cfg(test)]
mod tests;
