//! The released packets that their decoder has not had yet: which to decode now, which to keep, which to skip.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crosspoint_ffi::{Codec, MediaTime, Packet, Parameters};

/// What to do next.
#[derive(Debug)]
pub enum BacklogOutput {
    /// Decode this, then call [`Backlog::handle_decoded`].
    Decode(Step),
    /// Nothing, until something is reported.
    Idle,
}

/// One packet to decode, and how.
#[derive(Debug)]
pub struct Step {
    /// The packet.
    pub packet: Packet,
    /// Packets before it were skipped: the decoder has to forget what it knows.
    pub restart: bool,
    /// Whether what comes of it is only a step towards a newer picture, and not to be shown.
    pub is_hidden: bool,
    /// Whether it may be skipped when no other picture refers to it.
    pub skips_unreferenced: bool,
    /// Whether the decoder is to spread pictures, not slices, over its threads: they come later, but more of them.
    pub by_frame: bool,
}

/// Counters since construction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct BacklogStats {
    /// Packets that came.
    pub packets: u64,
    /// Packets that were never decoded because nobody watched and a key frame made them worthless.
    pub unwatched: u64,
    /// Packets that were skipped because decoding was behind, or because what they refer to was.
    pub late: u64,
}

/// Holds the packets between their release and their decoder, so that an unwatched source costs next to nothing and is live at once when
/// somebody looks, and so that a source that is too heavy for the machine loses pictures instead of gaining delay.
///
/// - **Watched**: every packet is decoded at once. When more wait than decode in a tenth of a second, pictures that no other refers to are
///   skipped, and a key frame lets go of all before it; at four tenths nothing more is taken until the next key frame. When a
///   picture costs more than the time to the next for a second of decoding, the decoder is asked to work by frame from a key frame on.
/// - **Unwatched**: packets are kept from the last key frame on. What is kept never takes longer to decode than a quarter of a second, by
///   what a packet was seen to cost, nor is it larger than 8 MiB: beyond that the oldest is decoded for each that comes. The first
///   packets of a source are always decoded, to learn what they cost and whether they decode at all.
/// - **Somebody looks**: what is kept is decoded in one burst, of which only the newest picture is to be shown.
///
/// Copies: 0 (packets are shared bytes).
#[derive(Debug)]
pub struct Backlog {
    queue: VecDeque<Packet>,
    bytes: usize,
    track: Option<Track>,
    is_watched: bool,
    /// Until when a burst may hide what it decodes.
    burst: Option<Instant>,
    needs_key: bool,
    restart: bool,
    by_frame: bool,
    stats: BacklogStats,
}

/// What is learnt of one codec with one set of parameters.
#[derive(Debug)]
struct Track {
    codec: Codec,
    parameters: Option<Arc<Parameters>>,
    /// Packets still to be decoded whoever watches.
    probes: u32,
    /// The smoothed time that a packet takes to decode.
    cost: Option<Duration>,
    /// The smoothed distance of two packets, and the newest one's time.
    interval: Option<Duration>,
    last: Option<MediaTime>,
    /// Time spent decoding while each picture cost more than the time to the next.
    strain: Duration,
}

impl Backlog {
    /// Makes an empty backlog that nobody watches.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            track: None,
            is_watched: false,
            burst: None,
            needs_key: false,
            restart: false,
            by_frame: false,
            stats: BacklogStats::default(),
        }
    }

    /// Takes the next packet in decoding order.
    pub fn handle_packet(&mut self, packet: Packet) {
        self.stats.packets += 1;
        self.learn(&packet);
        if packet.key {
            self.handle_key();
        } else if self.needs_key || self.is_full() {
            self.needs_key = true;
            self.stats.late += 1;
            return;
        }
        self.bytes += packet.data.len();
        self.queue.push_back(packet);
    }

    /// Takes whether anybody watches.
    pub fn handle_demand(&mut self, is_watched: bool, now: Instant) {
        if is_watched != self.is_watched {
            self.is_watched = is_watched;
            self.burst = (is_watched && !self.queue.is_empty()).then_some(now + LONGEST_BURST);
        }
    }

    /// Another source begins, or this one is gone: forgets all of it.
    pub fn handle_reset(&mut self) {
        self.let_go();
        (self.track, self.burst, self.needs_key, self.by_frame) = (None, None, false, false);
    }

    /// The decoder is lost, and with it what later packets refer to: goes on at a key frame.
    pub fn handle_loss(&mut self) {
        self.stats.late += self.let_go();
        self.needs_key = true;
    }

    /// Takes how long the packet of the last [`Step`] took. What came meanwhile has to be reported before.
    pub fn handle_decoded(&mut self, took: Duration) {
        let (is_measured, is_behind) = (self.is_watched && self.burst.is_none(), !self.queue.is_empty());
        let Some(track) = &mut self.track else { return };
        let cost = track.cost.map_or(took, |cost| cost - cost / GAIN + took / GAIN);
        track.cost = Some(cost);
        match track.interval {
            Some(interval) if is_measured && cost > interval => track.strain += if is_behind { took } else { Duration::ZERO },
            Some(_) | None => track.strain = Duration::ZERO,
        }
    }

    /// Says what to do at `now`.
    pub fn poll(&mut self, now: Instant) -> BacklogOutput {
        let is_probe = self.track.as_ref().is_some_and(|track| track.probes > 0);
        let is_kept = !self.is_watched && !is_probe && self.work() <= MOST_KEPT_WORK && self.bytes <= MOST_KEPT_BYTES;
        let next = if is_kept { None } else { self.queue.pop_front() };
        let Some(packet) = next else {
            if self.queue.is_empty() {
                self.burst = None;
            }
            return BacklogOutput::Idle;
        };
        self.bytes -= packet.data.len();
        self.burst = self.burst.filter(|&until| now < until);
        let is_strained = match &mut self.track {
            Some(track) => {
                track.probes = track.probes.saturating_sub(1);
                track.strain >= MOST_STRAIN
            }
            None => false,
        };
        if is_strained && packet.key && !self.by_frame {
            (self.by_frame, self.restart) = (true, true);
        }
        let leads_on = self.burst.is_some() && !self.queue.is_empty();
        BacklogOutput::Decode(Step {
            packet,
            restart: std::mem::take(&mut self.restart),
            is_hidden: !self.is_watched || leads_on,
            skips_unreferenced: leads_on || (!self.is_watched && !is_probe) || (self.is_watched && self.work() > MUCH_WORK),
            by_frame: self.by_frame,
        })
    }

    /// Whether packets are kept for somebody who may come to watch.
    #[must_use]
    pub fn is_keeping(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What a packet costs to decode and how far packets are apart, once known.
    #[must_use]
    pub fn pace(&self) -> Option<(Duration, Duration)> {
        self.track.as_ref().and_then(|track| track.cost.zip(track.interval))
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> BacklogStats {
        self.stats
    }

    /// A key frame comes: nothing before it is needed for what follows.
    fn handle_key(&mut self) {
        if !self.is_watched || self.burst.is_some() {
            self.stats.unwatched += self.let_go();
        } else if self.needs_key || self.work() > MUCH_WORK {
            self.stats.late += self.let_go();
        }
        self.restart |= self.needs_key;
        self.needs_key = false;
    }

    /// Whether what waits is so much that another packet would be shown too late.
    fn is_full(&self) -> bool {
        (self.is_watched && self.burst.is_none() && self.work() > MOST_WORK) || self.bytes > 2 * MOST_KEPT_BYTES
    }

    fn learn(&mut self, packet: &Packet) {
        let is_known = self.track.as_ref().is_some_and(|track| track.is_of(packet));
        let track = match &mut self.track {
            Some(track) if is_known => track,
            unknown => {
                self.by_frame = false;
                unknown.insert(Track::of(packet))
            }
        };
        let Some(time) = packet.decode_time() else { return };
        let step = track.last.replace(time).map_or(0, |last| (time - last).as_nanos());
        if let Ok(step) = u64::try_from(step).map(Duration::from_nanos)
            && (SHORTEST_INTERVAL..LONGEST_INTERVAL).contains(&step)
        {
            track.interval = Some(track.interval.map_or(step, |interval| interval - interval / GAIN + step / GAIN));
        }
    }

    /// Drops what waits; says how many packets that were.
    fn let_go(&mut self) -> u64 {
        let count = self.queue.len() as u64;
        self.queue.clear();
        self.bytes = 0;
        self.restart |= count > 0;
        count
    }

    /// How long what waits takes to decode.
    fn work(&self) -> Duration {
        let cost = self.track.as_ref().and_then(|track| track.cost).unwrap_or(UNKNOWN_COST);
        cost.saturating_mul(u32::try_from(self.queue.len()).unwrap_or(u32::MAX))
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self::new()
    }
}

impl Track {
    fn of(packet: &Packet) -> Self {
        Self {
            codec: packet.codec,
            parameters: packet.parameters.clone(),
            probes: PROBES,
            cost: None,
            interval: None,
            last: None,
            strain: Duration::ZERO,
        }
    }

    fn is_of(&self, packet: &Packet) -> bool {
        let same = match (&self.parameters, &packet.parameters) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.codec == packet.codec && same
    }
}

/// What is kept for a watcher: half of the 500 ms in which a picture has to be live, the rest is the machine's other work.
const MOST_KEPT_WORK: Duration = Duration::from_millis(250);
/// Two seconds of a heavy 1080p stream.
const MOST_KEPT_BYTES: usize = 8 << 20;
/// More waiting than this is worth skipping pictures for: three frames of a 30 Hz camera.
const MUCH_WORK: Duration = Duration::from_millis(100);
/// The most delay that decoding may gain.
const MOST_WORK: Duration = Duration::from_millis(400);
/// How long a burst may hide its pictures: it ends long before, unless pictures come as fast as they are decoded.
const LONGEST_BURST: Duration = Duration::from_secs(1);
/// How much decoding shows that a stream is too heavy, and not the machine busy for a moment.
const MOST_STRAIN: Duration = Duration::from_secs(1);
/// Decoded of every source: enough to tell the cost of a picture beside that of the key frame.
const PROBES: u32 = 10;
/// Taken for the cost of a packet before one was decoded.
const UNKNOWN_COST: Duration = Duration::from_millis(5);
/// One part in this of a new measurement moves a smoothed one.
const GAIN: u32 = 16;
/// Times closer than this are two fields of a picture.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(2);
/// Times further apart than this are no rate.
const LONGEST_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
