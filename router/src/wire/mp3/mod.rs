//! A stream of MPEG audio frames (MP3, MP2) into packets.

use std::collections::VecDeque;
use std::time::Instant;

use crosspoint_ffi::{AudioFormat, MediaTime, Packet, PayloadBuilder};

mod header;
#[cfg(test)]
mod tests;

pub use header::Header;

/// What a [`Parser`] yields.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something was wrong with the bytes; for counters.
    Bad(Reason),
    /// One frame.
    Frame(Frame),
}

/// One frame and what its header says.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The frame; its `pts` counts the samples of all frames before it.
    pub packet: Packet,
    /// How long it sounds.
    pub duration: MediaTime,
    /// Its sample rate and channels.
    pub format: AudioFormat,
}

/// What was wrong with a stream of frames.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// A frame of layer I, which is not carried.
    LayerOne,
    /// A frame did not follow where it should, or none did for more bytes than one has; two that follow each other are searched for.
    SyncLost,
}

impl Reason {
    /// How a metric names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LayerOne => "layer_one",
            Self::SyncLost => "sync_lost",
        }
    }
}

/// Cuts a byte stream into frames.
///
/// It joins anywhere: the first frame is believed when another that agrees with it follows, every further one at once, so that it comes
/// out with its last byte. ID3 tags and the notes of encoders (Xing, Info, VBRI) are skipped.
///
/// Copies: 1 (from the chunk into a padded payload), and 1 more for a frame that lies across two chunks.
#[derive(Debug, Default)]
pub struct Parser {
    /// Bytes of a frame whose end is missing, or in which no frame was found yet.
    carry: Vec<u8>,
    /// Bytes of a tag that still have to pass.
    skip_bytes: usize,
    /// Whether bytes were skipped since the last frame: a tag is looked for only where a frame should be, since the letters of one in
    /// other bytes could announce hundreds of megabytes.
    searching: bool,
    /// Bytes thrown away since the last frame or the last time that was told.
    vain: usize,
    /// The last header, while in sync.
    locked: Option<Header>,
    body: PayloadBuilder,
    position: MediaTime,
    events: VecDeque<Event>,
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
            // What is left needs more bytes to be understood; and what was left before is looked at with the next few.
            let room = WINDOW_BYTES - self.carry.len();
            let (taken, rest) = bytes.split_at(self.wanted().min(room).min(bytes.len()));
            self.carry.extend_from_slice(taken);
            bytes = rest;
            let carry = std::mem::take(&mut self.carry);
            let used = self.parse(&carry, now);
            self.carry = carry;
            self.carry.drain(..used);
        }
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many more bytes finish the frame that the carry begins, so that the one after it is cut from the chunk itself.
    fn wanted(&self) -> usize {
        let missing = match (self.locked, self.carry.first_chunk()) {
            (Some(_), Some(&header)) => Header::parse(header).map(|header| header.frame_bytes().saturating_sub(self.carry.len())),
            (Some(_), None) => Some(Header::BYTES.saturating_sub(self.carry.len())),
            (None, _) => None,
        };
        missing.filter(|&missing| missing > 0).unwrap_or(WINDOW_BYTES)
    }

    /// Takes what it can from `bytes`; returns how many bytes that were.
    fn parse(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut at = 0;
        loop {
            let passed = self.skip_bytes.min(bytes.len() - at);
            self.skip_bytes -= passed;
            at += passed;
            let rest = &bytes[at..];
            match self.look(rest) {
                Look::Frame(header) => {
                    self.frame(header, &rest[..header.frame_bytes()], now);
                    at += header.frame_bytes();
                }
                Look::More => return at,
                Look::Search => {
                    if self.locked.take().is_some() {
                        self.events.push_back(Event::Bad(Reason::SyncLost));
                    }
                    self.searching = true;
                    let skipped = 1 + memchr::memchr(0xff, &rest[1..]).unwrap_or(rest.len() - 1);
                    at += skipped;
                    self.vain += skipped;
                    if self.vain > FRAME_MAX_BYTES {
                        self.vain = 0;
                        self.events.push_back(Event::Bad(Reason::SyncLost));
                    }
                }
                Look::Tag(tag_bytes) => self.skip_bytes = tag_bytes,
            }
        }
    }

    /// What `bytes` begin with.
    fn look(&self, bytes: &[u8]) -> Look {
        let Some(&start) = bytes.first_chunk::<{ Header::BYTES }>() else { return Look::More };
        if let Some(look) = tag(bytes).filter(|_| !self.searching) {
            return look;
        }
        let Some(header) = Header::parse(start) else { return Look::Search };
        let frame_bytes = header.frame_bytes();
        if self.locked.is_some_and(|locked| locked.agrees(header)) {
            return if bytes.len() >= frame_bytes { Look::Frame(header) } else { Look::More };
        }
        let Some(next) = bytes.get(frame_bytes..).and_then(<[u8]>::first_chunk) else { return Look::More };
        match Header::parse(*next) {
            Some(next) if header.agrees(next) => Look::Frame(header),
            Some(_) | None => Look::Search,
        }
    }

    fn frame(&mut self, header: Header, bytes: &[u8], now: Instant) {
        self.locked = Some(header);
        self.searching = false;
        self.vain = 0;
        if header.is_info(bytes) {
            return;
        }
        let (pts, duration) = (self.position, header.duration());
        self.position += duration;
        let Some(codec) = header.codec() else {
            self.events.push_back(Event::Bad(Reason::LayerOne));
            return;
        };
        self.body.reserve(bytes.len().max(ARENA_BYTES));
        self.body.extend_from_slice(bytes);
        let packet = Packet { codec, data: self.body.finish(), pts: Some(pts), dts: Some(pts), key: true, arrival: now };
        self.events.push_back(Event::Frame(Frame { packet, duration, format: header.format() }));
    }
}

enum Look {
    /// A whole frame.
    Frame(Header),
    /// Too few bytes to tell.
    More,
    /// Neither a frame nor a tag.
    Search,
    /// A tag of this many bytes.
    Tag(usize),
}

/// An ID3 tag, of version 2 in front of a file or version 1 behind it; nothing when `bytes` do not begin with one.
fn tag(bytes: &[u8]) -> Option<Look> {
    if bytes.starts_with(b"TAG") {
        return Some(Look::Tag(ID3V1_BYTES));
    }
    if !bytes.starts_with(b"ID3") {
        return None;
    }
    let Some(&[_, _, _, version, revision, flags, a, b, c, d]) = bytes.first_chunk::<ID3V2_HEADER_BYTES>() else { return Some(Look::More) };
    // The length has 7 bits a byte: a set top bit, or a version of 255, is not a tag.
    if version == 0xff || revision == 0xff || (a | b | c | d) & 0x80 != 0 {
        return None;
    }
    let body = [a, b, c, d].into_iter().fold(0, |bytes, seven| bytes << 7 | usize::from(seven));
    let footer = if flags & 0x10 != 0 { ID3V2_HEADER_BYTES } else { 0 };
    Some(Look::Tag(ID3V2_HEADER_BYTES + body + footer))
}

const ID3V1_BYTES: usize = 128;
const ID3V2_HEADER_BYTES: usize = 10;
/// The longest frame: MPEG-2.5 layer II at 160 kbit/s and 8 kHz, padded.
const FRAME_MAX_BYTES: usize = 2881;
/// What is carried at most: a frame and the header that confirms it, with room to take bytes in runs.
const WINDOW_BYTES: usize = 2 * FRAME_MAX_BYTES;
/// Payloads are cut from pieces of this size: a few frames each, so that one kept keeps little alive.
const ARENA_BYTES: usize = 2048;
