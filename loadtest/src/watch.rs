//! What one viewer of a transport stream in WebSocket messages gets, checked byte by byte.
//!
//! [`Watch`] reads no clock and no socket: bytes go in with the time they came.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use anyhow::{Result, bail, ensure};

/// The account of a viewer, and what it is in the middle of.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    buffer: Vec<u8>,
    continuity: Continuity,
    course: Course,
    /// Media messages.
    pub(crate) messages: u64,
    /// The bytes of those.
    pub(crate) bytes: u64,
    /// Transport packets that do not go on from the one before, pictures that are not of a time behind it, and a start in the middle.
    pub(crate) breaks: u64,
    /// Messages with a transport packet that nobody sent.
    pub(crate) corrupt: u64,
    /// What the other end has to be told: that we are there, when it asks.
    pub(crate) answers: Vec<u8>,
    /// Pictures that began: which they are (of a transport stream by [`picture_of`], of RTMP the time they are of), and when they came.
    pub(crate) pictures: Vec<(u64, Instant)>,
}

impl Watch {
    /// Takes what came; `content` is what was sent, if that is known.
    ///
    /// # Errors
    /// When it is not whole messages of transport packets, or the other end closes.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant, content: Option<&Content>) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(message) = Message::parse(&self.buffer[at..]) {
            let payload = at + message.head..at + message.head + message.length;
            at = payload.end;
            let payload = &self.buffer[payload];
            match message.opcode {
                BINARY => {
                    ensure!(payload.len().is_multiple_of(CELL_BYTES), "a message of {} bytes is not whole packets", payload.len());
                    self.messages += 1;
                    self.bytes += payload.len() as u64;
                    let mut is_corrupt = false;
                    for cell in payload.chunks_exact(CELL_BYTES) {
                        is_corrupt |= cell[0] != SYNC || content.is_some_and(|content| !content.knows(cell));
                        self.breaks += u64::from(!self.continuity.goes_on(cell)) + u64::from(!self.course.goes_on(cell));
                        self.pictures.extend(picture_in(cell).map(|picture| (picture, now)));
                    }
                    self.corrupt += u64::from(is_corrupt);
                }
                CLOSE => bail!("closed by the relay"),
                // Who does not answer is taken for gone. A control frame has 125 bytes at most (5.5), a client's is masked, here with 0.
                PING if payload.len() < 126 => {
                    self.answers.extend([0x80 | PONG, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
                    self.answers.extend_from_slice(payload);
                }
                _ => {}
            }
        }
        self.buffer.drain(..at);
        ensure!(self.buffer.len() < LONGEST, "a message of more than {LONGEST} bytes");
        Ok(())
    }
}

/// A message's header (RFC 6455, 5.2); a server's is not masked, and none of ours is fragmented.
pub(crate) struct Message {
    pub(crate) opcode: u8,
    pub(crate) head: usize,
    pub(crate) length: usize,
}

impl Message {
    /// The message at the start of `bytes`; nothing until it is whole.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (head, length): (usize, u64) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let length = usize::try_from(length).ok()?;
        (bytes.len() >= head.checked_add(length)?).then_some(Self { opcode: first & 0x0f, head, length })
    }
}

/// The last counter of each PID (ISO/IEC 13818-1, 2.4.3.3).
#[derive(Debug, Default)]
struct Continuity(BTreeMap<u16, u8>);

impl Continuity {
    /// Whether a packet goes on from the one before.
    fn goes_on(&mut self, cell: &[u8]) -> bool {
        let (pid, counter, has_payload) = (pid(cell), cell[3] & 0x0f, cell[3] & 0x10 != 0);
        // A clip that is sent again begins with a counter of its own, and tables first: what comes behind them is a new start.
        if pid == PAT_PID {
            self.0.clear();
        }
        self.0.insert(pid, counter).is_none_or(|last| counter == (last + u8::from(has_payload)) & 0x0f)
    }
}

/// Where pictures begin, and the last one's time.
#[derive(Debug, Default)]
struct Course {
    has_begun: bool,
    last: Option<u64>,
}

impl Course {
    /// Whether a packet goes on from those before: where a picture begins, the first is one that decoding can start at (2.4.3.5), and others
    /// are of a later time, but not by much.
    fn goes_on(&mut self, cell: &[u8]) -> bool {
        // As for counters.
        if pid(cell) == PAT_PID {
            self.last = None;
        }
        let payload = payload_at(cell);
        if !begins_pes(cell, payload) {
            return true;
        }
        let is_in_time = match (time_of(cell, payload), self.last) {
            (Some(time), Some(last)) => (1..=LONGEST_STEP).contains(&(time.wrapping_sub(last) & TIME_MASK)),
            (Some(_), None) => true,
            (None, _) => false,
        };
        self.last = time_of(cell, payload).or(self.last);
        let is_start = cell[3] & 0x20 != 0 && cell[4] > 0 && cell[5] & 0x40 != 0;
        is_in_time && (std::mem::replace(&mut self.has_begun, true) || is_start)
    }
}

/// The transport packets of pictures that a publisher sends, by their hashes.
#[derive(Debug)]
pub(crate) struct Content(HashSet<u64>);

impl Content {
    /// Of all messages that are sent.
    pub(crate) fn of<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(messages.into_iter().flat_map(|message| message.chunks_exact(CELL_BYTES)).map(hash).collect())
    }

    fn knows(&self, cell: &[u8]) -> bool {
        // Tables may be the relay's own.
        matches!(pid(cell), PAT_PID | PMT_PID) || self.0.contains(&hash(cell))
    }
}

/// Fast, and no two packets of a clip are likely to have the same.
fn hash(cell: &[u8]) -> u64 {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    without_times(cell).chunks(8).fold(0, |hash: u64, bytes| (hash ^ word(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29))
}

/// A packet without what a relay has to write anew when a clip is sent again, since its times and counters only rise: the continuity
/// counter (which is checked by itself), the clock reference (2.4.3.4) and the times of a PES packet (2.4.3.6).
fn without_times(cell: &[u8]) -> Vec<u8> {
    let mut cell = cell.to_vec();
    let payload = payload_at(&cell);
    cell[3] &= 0xf0;
    if cell[3] & 0x20 != 0 && cell[4] >= 7 && cell[5] & 0x10 != 0 {
        cell[6..12].fill(0);
    }
    if begins_pes(&cell, payload) {
        let times = 5 * usize::from(cell.get(payload + 7).map_or(0, |flags| (flags >> 7 & 1) + (flags >> 6 & 1)));
        if let Some(times) = cell.get_mut(payload + 9..payload + 9 + times) {
            times.fill(0);
        }
    }
    cell
}

/// Where a packet's payload begins.
fn payload_at(cell: &[u8]) -> usize {
    4 + if cell[3] & 0x20 == 0 { 0 } else { 1 + usize::from(cell[4]) }
}

/// Whether a PES packet of video begins in a packet (stream ids 0xe0 to 0xef).
fn begins_pes(cell: &[u8], payload: usize) -> bool {
    cell[1] & 0x40 != 0 && cell[3] & 0x10 != 0 && matches!(cell.get(payload..), Some([0, 0, 1, 0xe0..=0xef, ..]))
}

/// When the PES packet that begins at `payload` is shown (2.4.3.7).
fn time_of(cell: &[u8], payload: usize) -> Option<u64> {
    let header = cell.get(payload..payload + 14).filter(|header| header[7] & 0x80 != 0)?;
    let [first, high @ .., low0, low1] = [header[9], header[10], header[11], header[12], header[13]];
    let parts = [u64::from(first >> 1 & 7), u64::from(u16::from_be_bytes(high) >> 1), u64::from(u16::from_be_bytes([low0, low1]) >> 1)];
    Some(parts[0] << 30 | parts[1] << 15 | parts[2])
}

fn pid(cell: &[u8]) -> u16 {
    u16::from_be_bytes([cell[1] & 0x1f, cell[2]])
}

/// Which picture begins in a packet: what is in the packet, whatever its times are.
fn picture_in(cell: &[u8]) -> Option<u64> {
    begins_pes(cell, payload_at(cell)).then(|| hash(cell))
}

/// Which picture begins first in a message.
pub(crate) fn picture_of(message: &[u8]) -> Option<u64> {
    message.chunks_exact(CELL_BYTES).find_map(picture_in)
}

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const SYNC: u8 = 0x47;
const CELL_BYTES: usize = 188;
const PAT_PID: u16 = 0;
/// Where our muxer has it.
const PMT_PID: u16 = 0x1000;
/// Times have 33 bits, and 90 000 are a second.
const TIME_MASK: u64 = (1 << 33) - 1;
/// Longer than any stall that a viewer stays for.
const LONGEST_STEP: u64 = 60 * 90_000;
/// More than any message of a clip.
const LONGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(pid: u16, counter: u8) -> Vec<u8> {
        let mut cell = vec![0xff; CELL_BYTES];
        cell[..4].copy_from_slice(&[SYNC, (pid >> 8) as u8, pid as u8, 0x10 | counter]);
        cell
    }

    fn message(payload: &[u8]) -> Vec<u8> {
        [&[0x82, 126][..], &(payload.len() as u16).to_be_bytes(), payload].concat()
    }

    #[test]
    fn jumps_of_counters_are_seen() {
        let mut watch = Watch::default();
        let mut take = |cells: &[Vec<u8>]| watch.take(&message(&cells.concat()), Instant::now(), None).map(|()| watch.breaks);
        assert_eq!(take(&[cell(256, 15), cell(256, 0), cell(257, 7)]).unwrap(), 0);
        assert_eq!(take(&[cell(256, 2), cell(257, 8)]).unwrap(), 1);
        assert!(take(&[vec![SYNC; 100]]).is_err());
    }

    #[test]
    fn picture_is_known_by_what_is_in_it_whatever_its_times_are() {
        let starting = |counter: u8, adaptation: &[u8], payload: &[u8]| {
            let mut cell = cell(256, counter);
            cell[1] |= 0x40;
            cell[3] |= if adaptation.is_empty() { 0 } else { 0x20 };
            cell[4..4 + adaptation.len()].copy_from_slice(adaptation);
            cell[4 + adaptation.len()..][..payload.len()].copy_from_slice(payload);
            cell
        };
        let pes = |time: u8, content: u8| [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x29, 0x8d, 0x15, 0xcf, time, content];
        let picture = picture_in(&starting(1, &[], &pes(0x13, 7)));
        assert!(picture.is_some());
        assert_eq!(picture_in(&starting(9, &[], &pes(0x55, 7))), picture, "at another time");
        assert_ne!(picture_in(&starting(1, &[], &pes(0x13, 8))), picture, "another one");
        let clock = |time: u8| [7, 0x10, time, 2, 3, 4, 5, 6];
        let [one, other] = [1, 2].map(|time| picture_in(&starting(1, &clock(time), &pes(time, 7))));
        assert!(one.is_some() && one == other, "by another clock");
        // With a decode time, that is time, too; without one it is content.
        let mut both = pes(0x13, 7).to_vec();
        both[7] = 0xc0;
        both.extend([0, 0, 0, 0]);
        let decode = |byte: u8| picture_in(&starting(1, &[], &[&both[..14], &[byte; 5]].concat()));
        assert_eq!(decode(1), decode(2));
        assert_eq!(picture_in(&starting(1, &[], &[0, 0, 1, 0xc0])), None, "sound");
        assert_eq!(picture_in(&cell(256, 0)), None, "the middle of one");
    }

    #[test]
    fn start_in_the_middle_and_times_that_go_back_or_leap_are_breaks() {
        let picture = |time: u64, is_key: bool| {
            let mut cell = cell(256, 0);
            cell[1] |= 0x40;
            cell[3] |= 0x20;
            let bits = |shift: u32, mask: u64| (time >> shift & mask) as u8;
            let head = [1, if is_key { 0x40 } else { 0 }, 0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5];
            let time = [0x21 | bits(30, 7) << 1, bits(22, 0xff), bits(15, 0x7f) << 1 | 1, bits(7, 0xff), bits(0, 0x7f) << 1 | 1];
            cell[4..20].copy_from_slice(&[&head[..], &time].concat());
            cell
        };
        let breaks = |cells: &[Vec<u8>]| {
            let mut course = Course::default();
            cells.iter().filter(|cell| !course.goes_on(cell)).count()
        };
        let last = (1 << 33) - 3_000;
        assert_eq!(
            breaks(&[picture(last, true), picture(last + 1_500, false), picture(1_500, false), picture(4_500, true)]),
            0,
            "over the end"
        );
        assert_eq!(breaks(&[picture(3_000, false), picture(6_000, false)]), 1, "no key frame first");
        assert_eq!(breaks(&[picture(6_000, true), picture(3_000, false), picture(3_000, false)]), 2, "back, and the same again");
        assert_eq!(breaks(&[picture(0, true), picture(1 << 32, false)]), 1, "a leap");
        assert_eq!(breaks(&[picture(6_000, true), cell(PAT_PID, 0), picture(3_000, false), cell(257, 9)]), 0, "a new start");
    }

    #[test]
    fn messages_are_taken_when_they_are_whole() {
        let (long, mut watch) = (message(&[cell(256, 1), cell(256, 2)].concat()), Watch::default());
        for (nth, byte) in long.iter().enumerate() {
            assert_eq!(watch.messages, 0, "{nth}");
            watch.take(&[*byte], Instant::now(), None).unwrap();
        }
        assert_eq!((watch.messages, watch.bytes), (1, 376));
        assert!(watch.take(&[0x88, 0], Instant::now(), None).is_err(), "a close");
        assert_eq!(Message::parse(&[0x81, 2, b'o', b'k']).map(|message| (message.opcode, message.length)), Some((1, 2)));
    }

    #[test]
    fn ping_is_answered_with_what_it_said() {
        let mut watch = Watch::default();
        watch.take(&[0x89, 2, b'h', b'i'], Instant::now(), None).unwrap();
        assert_eq!((watch.answers, watch.messages), (vec![0x8a, 0x82, 0, 0, 0, 0, b'h', b'i'], 0));
    }

    #[test]
    fn packet_that_nobody_sent_is_corrupt() {
        let sent = [cell(256, 1), cell(256, 2)].concat();
        let (content, mut watch) = (Content::of([&sent[..]]), Watch::default());
        watch.take(&message(&sent), Instant::now(), Some(&content)).unwrap();
        assert_eq!(watch.corrupt, 0);
        for bit in [0, 8 * 100 + 3, 8 * 375 + 7] {
            let mut turned = sent.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            watch.take(&message(&turned), Instant::now(), Some(&content)).unwrap();
        }
        assert_eq!(watch.corrupt, 3);
    }
}
