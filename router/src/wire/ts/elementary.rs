//! One elementary stream: transport packets of its PID in, PES payloads out.

use std::collections::VecDeque;
use std::time::Instant;

use crosspoint_ffi::{Packet, PayloadBuilder};

use super::cell::{Cell, Continuity, Order};
use super::classify::Classifier;
use super::ending::{Ending, Guesses};
use super::frames::Framer;
use super::kind::Kind;
use super::pes::{Header, Parse, Unwrap};
use super::{Event, Reason, Stream};

/// What all streams of a demuxer write to.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) events: VecDeque<Event>,
    pub(super) clock: Unwrap,
}

impl Out {
    pub(super) fn bad(&mut self, reason: Reason) {
        self.events.push_back(Event::Bad(reason));
    }
}

/// Assembles the PES packets of one PID.
///
/// Copies: 1 (the pieces of a payload lie in transport packets; a decoder wants them together, with padding).
#[derive(Debug)]
pub(super) struct Elementary {
    pid: u16,
    kind: Kind,
    stream: Stream,
    classifier: Classifier,
    framer: Option<Framer>,
    continuity: Continuity,
    guesses: Guesses,
    state: State,
    /// The bytes of a PES header, until it is whole.
    head: Vec<u8>,
    body: PayloadBuilder,
    /// When the last byte of `body` came.
    arrival: Option<Instant>,
    /// About how large the next payload will be.
    expected_bytes: usize,
}

#[derive(Debug)]
enum State {
    /// Gathers a payload.
    Body(Header),
    /// Handed out the last payload; whether that was right the next packet tells.
    Ended(Ending),
    /// Gathers a header.
    Head,
    /// Skips until the next start.
    Skip,
}

impl Elementary {
    pub(super) fn new(stream: Stream, kind: Kind, pid: u16) -> Self {
        Self {
            pid,
            kind,
            stream,
            classifier: Classifier::new(kind),
            framer: Framer::of(kind),
            continuity: Continuity::default(),
            guesses: Guesses::default(),
            state: State::Skip,
            head: Vec::with_capacity(HEAD_MAX_BYTES),
            body: PayloadBuilder::with_capacity(ARENA_BYTES),
            arrival: None,
            expected_bytes: 0,
        }
    }

    /// Takes a transport packet of this PID.
    pub(super) fn handle(&mut self, cell: &Cell<'_>, now: Instant, out: &mut Out) {
        match self.continuity.check(cell) {
            Order::Duplicate => return,
            Order::Gap => {
                out.bad(Reason::Continuity);
                self.lose(out);
            }
            Order::Jump if !cell.starts => self.lose(out),
            Order::Jump | Order::Next => {}
        }
        if cell.scrambled {
            out.bad(Reason::Scrambled);
            self.state = State::Skip;
            return;
        }
        let Some(payload) = cell.payload else { return };
        self.guesses.went_on(cell.starts);
        if cell.starts {
            self.start(payload, out);
        }
        self.append(payload, now, out);
        if cell.stuffed {
            self.guess(if cell.starts { Ending::First } else { Ending::Last }, out);
        }
    }

    /// Drops what is being gathered: bytes of it are missing.
    pub(super) fn lose(&mut self, out: &mut Out) {
        self.state = State::Skip;
        self.body.clear();
        if let Some(framer) = &mut self.framer {
            framer.lose();
        }
        out.events.push_back(Event::Gap(self.stream));
    }

    /// Notes that the publisher paused before what comes next.
    pub(super) fn paused(&mut self, at_boundary: bool) {
        let open = matches!(self.state, State::Body(_) | State::Head);
        self.guesses.paused(!at_boundary || open);
    }

    /// Whether a silence would end the payload that is being gathered.
    pub(super) fn can_end_idle(&self) -> bool {
        self.is_open() && !self.body.as_slice().is_empty() && self.guesses.trusts(Ending::Idle)
    }

    /// Hands out the payload that is being gathered, if silence may end it.
    pub(super) fn end_idle(&mut self, out: &mut Out) {
        self.guess(Ending::Idle, out);
    }

    /// Hands out the payload that is being gathered, since nothing comes after.
    pub(super) fn finish(&mut self, out: &mut Out) {
        if self.is_open() {
            self.end(Ending::Next, out);
        }
    }

    pub(super) fn is(&self, kind: Kind, pid: u16) -> bool {
        (self.kind, self.pid) == (kind, pid)
    }

    pub(super) fn pid(&self) -> u16 {
        self.pid
    }

    /// Whether a payload of unstated length is being gathered.
    fn is_open(&self) -> bool {
        matches!(&self.state, State::Body(header) if self.stated(header).is_none())
    }

    /// The payload's stated length, while what this stream states can be believed.
    fn stated(&self, header: &Header) -> Option<usize> {
        header.payload_bytes.filter(|_| self.guesses.trusts(Ending::Stated))
    }

    /// Goes from one PES packet to the next, which begins with `payload`.
    fn start(&mut self, payload: &[u8], out: &mut Out) {
        match &self.state {
            State::Body(header) if self.stated(header).is_none() => self.end(Ending::Next, out),
            State::Body(_) | State::Head => {
                out.bad(Reason::Truncated);
                self.lose(out);
            }
            State::Ended(_) => self.guesses.was_right(),
            State::Skip => {}
        }
        self.head.clear();
        self.body.clear();
        self.state = State::Head;
        if payload.is_empty() {
            self.state = State::Skip;
        }
    }

    fn append(&mut self, mut payload: &[u8], now: Instant, out: &mut Out) {
        while matches!(self.state, State::Head) {
            match Header::parse(&self.head) {
                Parse::Bad(reason) => {
                    out.bad(reason);
                    self.lose(out);
                }
                Parse::Header(header, _) => {
                    self.body.reserve(self.stated(&header).unwrap_or(self.expected_bytes));
                    self.state = State::Body(header);
                }
                Parse::Need(bytes) => {
                    let (taken, rest) = payload.split_at(payload.len().min(bytes - self.head.len()));
                    if taken.is_empty() {
                        return;
                    }
                    self.head.extend_from_slice(taken);
                    payload = rest;
                }
            }
        }
        match &self.state {
            State::Body(header) => {
                let stated = self.stated(header);
                let missing = stated.unwrap_or(usize::MAX) - self.body.as_slice().len();
                let taken = &payload[..payload.len().min(missing)];
                if self.body.as_slice().len() + taken.len() > PES_MAX_BYTES {
                    out.bad(Reason::Oversized);
                    return self.lose(out);
                }
                self.body.extend_from_slice(taken);
                self.arrival = Some(now);
                if stated == Some(self.body.as_slice().len()) {
                    self.end(Ending::Stated, out);
                }
            }
            &State::Ended(ending) if !payload.is_empty() => {
                self.guesses.was_wrong(ending);
                out.bad(Reason::Late);
                self.lose(out);
            }
            State::Ended(_) | State::Head | State::Skip => {}
        }
    }

    fn guess(&mut self, ending: Ending, out: &mut Out) {
        if self.is_open() && !self.body.as_slice().is_empty() && self.guesses.trusts(ending) {
            self.end(ending, out);
        }
    }

    fn end(&mut self, ending: Ending, out: &mut Out) {
        let State::Body(header) = std::mem::replace(&mut self.state, State::Ended(ending)) else { return };
        let bytes = self.body.as_slice().len();
        let (Some(arrival), 1..) = (self.arrival, bytes) else { return };
        let Some((codec, key)) = self.classifier.classify(self.body.as_slice()) else {
            out.bad(Reason::UnknownCodec);
            self.body.clear();
            return;
        };
        // Large pictures stay expected for a while: they come back at the next key frame.
        self.expected_bytes = bytes.max(self.expected_bytes - self.expected_bytes / 16);
        let dts = header.dts.map(|raw| out.clock.unwrap(raw));
        let pts = header.pts.map(|raw| out.clock.unwrap(raw));
        let (stream, parameters) = (self.stream, self.classifier.parameters());
        let Some(framer) = &mut self.framer else {
            let packet = Packet { codec, data: self.body.finish(), pts, dts: dts.or(pts), key, arrival, parameters };
            return out.events.push_back(Event::Packet { stream, packet });
        };
        let has_sense = framer.cut(&mut self.body, pts, |data, pts| {
            let packet = Packet { codec, data, pts, dts: pts, key, arrival, parameters: parameters.clone() };
            out.events.push_back(Event::Packet { stream, packet });
        });
        self.body.clear();
        if !has_sense {
            out.bad(Reason::UnknownCodec);
        }
    }
}

/// A PES packet larger than this is damage: key frames of the largest canvas at the highest sensible rate are below 2 MiB.
const PES_MAX_BYTES: usize = 8 << 20;
/// The longest PES header: nine bytes, the last of which counts what follows.
const HEAD_MAX_BYTES: usize = 9 + 255;
/// What payloads are cut from; also how much a small payload can keep alive.
const ARENA_BYTES: usize = 64 << 10;
