//! A stream of sound into packets, whatever its bytes say it is.
//!
//! MPEG audio (MP3, MP2), AAC in ADTS frames, Ogg (Opus, Vorbis, FLAC) and WAV (PCM) are told apart by their first bytes, and again
//! wherever one does not go on: behind rubbish, or where a second file begins.

mod adts;
mod mpeg;
mod ogg;
mod sniff;
mod tag;
mod wav;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crosspoint_ffi::{Codec, MediaTime, Packet, Parameters, PayloadBuilder};

use sniff::Sniff;

/// What a [`Parser`] yields.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something was wrong with the bytes; for counters.
    Bad(Reason),
    /// Some sound.
    Frame(Frame),
}

/// Some sound and how long it lasts.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The packet; its `pts` counts the sound before it.
    pub packet: Packet,
    /// How long it sounds.
    pub duration: MediaTime,
}

/// What was wrong with a stream of sound.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// A frame of MPEG layer I, which is not carried.
    LayerOne,
    /// A frame did not follow where it should, or none did for more bytes than one has; the next beginning is searched for.
    SyncLost,
    /// A container whose sound is of no kind that is carried.
    Unsupported,
}

impl Reason {
    /// How a metric names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LayerOne => "layer_one",
            Self::SyncLost => "sync_lost",
            Self::Unsupported => "unsupported_sound",
        }
    }
}

/// Cuts a byte stream into packets.
///
/// It joins anywhere: the first frame is believed when another that agrees with it follows (or its container says so), every further one
/// at once, so that it comes out with its last byte. Tags and notes of encoders are skipped.
///
/// Copies: 1 (from the chunk into a padded payload), and 1 more for a frame that lies across two chunks.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of a unit whose end is missing, or in which no beginning was found yet.
    carry: Vec<u8>,
    /// Bytes that still have to pass.
    skip_bytes: usize,
    /// How many bytes the unit that the carry begins needs.
    wanted: usize,
    /// What the bytes are, while that is known.
    format: Option<Format>,
    /// The bytes did not go on as they did, and nothing else has begun yet.
    lost: bool,
    /// Nothing of that format was taken yet.
    fresh: bool,
    /// Whether bytes were skipped since the last frame: a tag is looked for only where a frame should be, since the letters of one in
    /// other bytes could announce hundreds of megabytes.
    searching: bool,
    /// Bytes thrown away since the last frame or the last time that was told.
    vain: usize,
    mpeg: mpeg::Cutter,
    adts: adts::Cutter,
    ogg: ogg::Cutter,
    wav: wav::Cutter,
    out: Out,
}

/// The formats, as their first bytes tell them apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Adts,
    Mpeg,
    Ogg,
    Wav,
}

/// What a cutter makes of the bytes in front of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    /// They do not go on in this format.
    Lost,
    /// So many bytes are needed.
    More(usize),
    /// So many bytes are understood, and may be more than there are: they pass unseen.
    Took(usize),
}

impl Parser {
    /// Makes a parser that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream's next bytes, any number of them, which came at `now`.
    pub fn push(&mut self, mut bytes: &[u8], now: Instant) {
        while !bytes.is_empty() {
            if self.carry.is_empty() {
                let used = self.parse(bytes, now);
                bytes = &bytes[used..];
            }
            // What is left needs more bytes to be understood; no more than that, so that the next unit is cut from the chunk itself.
            let missing = self.wanted.saturating_sub(self.carry.len()).max(1);
            let (taken, rest) = bytes.split_at(missing.min(bytes.len()));
            self.carry.extend_from_slice(taken);
            bytes = rest;
            if self.carry.len() >= self.wanted {
                let carry = std::mem::take(&mut self.carry);
                let used = self.parse(&carry, now);
                self.carry = carry;
                self.carry.drain(..used);
            }
        }
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// Takes what it can from `bytes`; returns how many bytes that were.
    fn parse(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut at = 0;
        loop {
            let passed = self.skip_bytes.min(bytes.len() - at);
            self.skip_bytes -= passed;
            at += passed;
            let rest = &bytes[at..];
            self.wanted = 1;
            if rest.is_empty() {
                return at;
            }
            let cut = match self.format {
                Some(Format::Adts) => self.adts.cut(rest, now, &mut self.out),
                Some(Format::Mpeg) => self.mpeg.cut(rest, now, &mut self.out),
                Some(Format::Ogg) => self.ogg.cut(rest, now, &mut self.out),
                Some(Format::Wav) => self.wav.cut(rest, now, &mut self.out),
                None => self.begin(rest),
            };
            match cut {
                Cut::Took(bytes) => {
                    self.skip_bytes = bytes;
                    if self.format.is_some() && bytes > 0 {
                        (self.fresh, self.lost, self.searching, self.vain) = (false, false, false, 0);
                    }
                }
                Cut::More(wanted) => {
                    self.wanted = wanted.max(rest.len() + 1);
                    return at;
                }
                // Another file, a tag, or rubbish.
                Cut::Lost if self.format.is_some() && !self.fresh => (self.format, self.lost) = (None, true),
                Cut::Lost => {
                    self.lost |= self.format.take().is_some() && !self.searching;
                    at += self.search(rest);
                }
            }
        }
    }

    /// Finds out what begins here.
    fn begin(&mut self, bytes: &[u8]) -> Cut {
        match sniff::sniff(bytes, !self.searching) {
            Sniff::Format(format) => {
                (self.format, self.fresh) = (Some(format), true);
                match format {
                    Format::Adts => self.adts = adts::Cutter::default(),
                    Format::Mpeg => self.mpeg = mpeg::Cutter::default(),
                    // It knows by itself where another stream begins, and the one that was lost may go on.
                    Format::Ogg => self.ogg.resume(),
                    Format::Wav => self.wav = wav::Cutter::default(),
                }
                Cut::Took(0)
            }
            Sniff::More(wanted) => Cut::More(wanted),
            Sniff::Nothing => Cut::Lost,
            Sniff::Tag(bytes) => Cut::Took(bytes),
        }
    }

    /// Skips to where something may begin; says by how much.
    fn search(&mut self, bytes: &[u8]) -> usize {
        self.searching = true;
        if std::mem::take(&mut self.lost) {
            self.out.bad(Reason::SyncLost);
        }
        let skipped = 1 + memchr::memchr3(0xff, b'O', b'R', &bytes[1..]).unwrap_or(bytes.len() - 1);
        self.vain += skipped;
        if self.vain > VAIN_BYTES {
            self.vain = 0;
            self.out.bad(Reason::SyncLost);
        }
        skipped
    }
}

/// What the cutters make.
#[derive(Debug, Default)]
struct Out {
    events: VecDeque<Event>,
    body: PayloadBuilder,
    position: MediaTime,
}

impl Out {
    fn bad(&mut self, reason: Reason) {
        self.events.push_back(Event::Bad(reason));
    }

    /// Sound without a packet passes.
    fn pass(&mut self, duration: MediaTime) {
        self.position += duration;
    }

    fn packet(&mut self, codec: Codec, bytes: &[u8], duration: MediaTime, parameters: Option<&Arc<Parameters>>, now: Instant) {
        self.body.reserve(bytes.len().max(ARENA_BYTES));
        self.body.extend_from_slice(bytes);
        let pts = Some(self.position);
        self.position += duration;
        let packet = Packet { codec, data: self.body.finish(), pts, dts: pts, key: true, arrival: now, parameters: parameters.cloned() };
        self.events.push_back(Event::Frame(Frame { packet, duration }));
    }
}

/// Rubbish is told of again after so many bytes: the longest frame of MPEG audio.
const VAIN_BYTES: usize = 2881;
/// Payloads are cut from pieces of this size: a few frames each, so that one kept keeps little alive.
const ARENA_BYTES: usize = 2048;
