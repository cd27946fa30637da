//! Sound frames out of PES payloads, which need not begin or end with one.
//!
//! FFmpeg's decoders take whole frames. Most take several at once, and then a payload that is made of whole frames goes on as it came.

mod header;

use std::ops::Range;

use crosspoint_ffi::{MediaTime, Payload, PayloadBuilder};

use super::kind::Kind;
use header::{Format, Unit};

/// Finds the frames of one stream, and keeps the one whose end is in the next payload.
///
/// Copies: 0 for payloads of whole frames that a decoder takes together, else 1 (into a payload of their own), and 1 more for a frame that
/// lies across two payloads.
#[derive(Debug)]
pub(super) struct Framer {
    format: Format,
    /// Bytes of a frame whose end is missing.
    tail: Vec<u8>,
    /// The time of the last payload in which frames began, and how many did.
    last: Option<(MediaTime, u32)>,
    /// The frames of the payload at hand; kept for its memory.
    found: Vec<Found>,
    joined: PayloadBuilder,
}

#[derive(Debug)]
struct Found {
    /// Where the unit begins, its header included.
    start: usize,
    frame: Range<usize>,
    duration: Option<MediaTime>,
}

impl Framer {
    /// Makes one for streams that have to be cut.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        let format = Format::of(kind)?;
        Some(Self { format, tail: Vec::new(), last: None, found: Vec::new(), joined: PayloadBuilder::default() })
    }

    /// Takes a payload, which is heard at `pts`, and calls `each` with what a decoder takes at once and when that is heard. Whether there
    /// was anything in it that could be one.
    pub(super) fn cut(
        &mut self,
        body: &mut PayloadBuilder,
        pts: Option<MediaTime>,
        mut each: impl FnMut(Payload, Option<MediaTime>),
    ) -> bool {
        let carried = self.tail.len();
        let tail_pts = self.tail_time(pts);
        if carried > 0 {
            self.tail.extend_from_slice(body.as_slice());
        }
        let bytes = if carried > 0 { &self.tail[..] } else { body.as_slice() };
        let rest = find(&mut self.format, bytes, &mut self.found);
        let has_rest = rest < bytes.len();
        let began = self.found.iter().filter(|found| found.start >= carried).count() + usize::from(has_rest && rest >= carried);
        if let (Some(pts), 1..) = (pts, began) {
            self.last = Some((pts, began as u32));
        }

        let is_whole = carried == 0 && !has_rest && self.found.iter().map(|found| found.frame.len()).sum::<usize>() == bytes.len();
        if self.format.joins() && is_whole {
            each(body.finish(), pts);
            return true;
        }
        let mut next = pts;
        let mut first = None;
        for found in &self.found {
            let time = if found.start < carried { tail_pts } else { next };
            if found.start >= carried {
                next = time.zip(found.duration).map(|(time, duration)| time + duration);
            }
            self.joined.extend_from_slice(&bytes[found.frame.clone()]);
            if self.format.joins() {
                first = first.or(Some(time));
            } else if !found.frame.is_empty() {
                each(self.joined.finish(), time);
            }
        }
        if !self.joined.as_slice().is_empty() {
            each(self.joined.finish(), first.flatten());
        }
        if carried > 0 {
            self.tail.drain(..rest);
        } else {
            self.tail.extend_from_slice(&body.as_slice()[rest..]);
        }
        has_rest || !self.found.is_empty()
    }

    /// Forgets what was kept: bytes behind it are missing.
    pub(super) fn lose(&mut self) {
        self.tail.clear();
        self.last = None;
        self.format.lose();
    }

    /// When the frame that was kept is heard: the last of those that began in its payload, all of one length.
    fn tail_time(&self, pts: Option<MediaTime>) -> Option<MediaTime> {
        let (Some((last, began)), Some(pts)) = (self.last, pts) else { return pts };
        let step = pts - last;
        if step <= MediaTime::ZERO || step > LONGEST_PAYLOAD {
            return Some(pts);
        }
        Some(pts - MediaTime::from_nanos(step.as_nanos() / i64::from(began)))
    }
}

/// Finds the frames in `bytes`, and where one begins whose end is missing.
fn find(format: &mut Format, bytes: &[u8], found: &mut Vec<Found>) -> usize {
    found.clear();
    let mut at = 0;
    while at < bytes.len() {
        match format.unit(&bytes[at..]) {
            Unit::Frame { header_bytes, bytes, duration } => {
                found.push(Found { start: at, frame: at + header_bytes..at + bytes, duration });
                at += bytes;
            }
            Unit::Lost => {
                format.lose();
                at += 1;
            }
            Unit::More => break,
        }
    }
    at
}

/// A payload longer than this is a jump.
const LONGEST_PAYLOAD: MediaTime = MediaTime::from_millis(1_000);

#[cfg(test)]
mod tests {
    use super::*;

    /// An AC-3 frame of 128 bytes: 32 kbit/s at 48 kHz.
    fn ac3(fill: u8) -> Vec<u8> {
        [&[0x0b, 0x77, 0, 0, 0, 0x40][..], &[fill; 122]].concat()
    }

    fn opus(fill: u8, bytes: usize) -> Vec<u8> {
        let mut unit = vec![0x7f, 0xe0];
        unit.extend(std::iter::repeat_n(0xff, bytes / 255));
        unit.push((bytes % 255) as u8);
        // 20 ms, one frame.
        unit.push(0xf8);
        unit.resize(unit.len() + bytes - 1, fill);
        unit
    }

    fn cut(framer: &mut Framer, body: &[u8], millis: i64) -> Vec<(Vec<u8>, i64)> {
        let (mut builder, mut out) = (PayloadBuilder::default(), Vec::new());
        builder.extend_from_slice(body);
        let pts = Some(MediaTime::from_millis(millis));
        framer.cut(&mut builder, pts, |data, pts| out.push((data.to_vec(), pts.map_or(-1, |pts| pts.as_nanos() / 1_000_000))));
        out
    }

    #[test]
    fn frames_across_payloads_come_out_once_and_at_their_time() {
        let mut framer = Framer::of(Kind::Ac3).expect("cut");
        let [a, b, c, d] = [1, 2, 3, 4].map(ac3);
        let stream = [&a[..], &b, &c, &d].concat();
        // Two frames begin in the first payload, one in each other.
        assert_eq!(cut(&mut framer, &stream[..200], 100), [(a.clone(), 100)]);
        assert_eq!(cut(&mut framer, &stream[200..300], 164), [(b.clone(), 132)]);
        assert_eq!(cut(&mut framer, &stream[300..], 196), [([&c[..], &d].concat(), 164)]);
        assert_eq!(cut(&mut framer, &stream, 228), [(stream.clone(), 228)], "whole frames go on together");
    }

    #[test]
    fn what_is_between_frames_is_left_out() {
        let mut framer = Framer::of(Kind::Ac3).expect("cut");
        let (a, b) = (ac3(1), ac3(2));
        assert_eq!(cut(&mut framer, &[&[9; 50], &a[..], &[7; 3], &b].concat(), 0), [([&a[..], &b].concat(), 0)]);
        assert_eq!(cut(&mut framer, &a[..60], 0), []);
        framer.lose();
        assert_eq!(cut(&mut framer, &b, 32), [(b, 32)], "a half whose rest is missing");
    }

    #[test]
    fn opus_comes_without_its_control_headers_packet_by_packet() {
        let mut framer = Framer::of(Kind::Opus(2)).expect("cut");
        let packet = |fill, bytes: usize| [&[0xf8][..], &vec![fill; bytes - 1]].concat();
        let body = [opus(1, 10), opus(2, 255), opus(3, 700)].concat();
        assert_eq!(cut(&mut framer, &body, 500), [(packet(1, 10), 500), (packet(2, 255), 520), (packet(3, 700), 540)]);
        // Trims at both ends, and an extension.
        let trimmed = [&[0x7f, 0xfc, 2, 0, 1, 0, 2, 1, 0xaa, 0xf8, 5][..]].concat();
        assert_eq!(cut(&mut framer, &trimmed, 0), [(vec![0xf8, 5], 0)]);
    }

    #[test]
    fn dts_comes_frame_by_frame_with_its_extension() {
        let core = |fill| [&[0x7f, 0xfe, 0x80, 0x01, 0xfc, 0x3c, 0x07, 0xf0, 0x36][..], &[fill; 119]].concat();
        let extension = [&[0x64, 0x58, 0x20, 0x25, 0, 0, 0, 0x02, 0xe0, 0][..], &[9; 14]].concat();
        let mut framer = Framer::of(Kind::Dts).expect("cut");
        let found = cut(&mut framer, &[core(1), extension.clone(), core(2)].concat(), 100);
        assert_eq!(found, [([core(1), extension].concat(), 100), (core(2), 110)]);
    }

    #[test]
    fn truehd_begins_at_a_major_sync_and_leaves_out_the_ac3_of_discs() {
        let unit = |sync: [u8; 4]| [&[0x80, 8, 0, 0][..], &sync, &[5; 8]].concat();
        let (major, minor) = (unit([0xf8, 0x72, 0x6f, 0xba]), unit([1, 2, 3, 4]));
        let mut framer = Framer::of(Kind::TrueHd).expect("cut");
        let body = [&minor[..], &major, &minor, &ac3(1), &minor].concat();
        assert_eq!(cut(&mut framer, &body, 0), [([&major[..], &minor, &minor].concat(), 0)]);
    }

    #[test]
    fn no_truncation_or_flipped_bit_panics_or_keeps_more_than_a_frame() {
        let streams = [
            (Kind::Ac3, [ac3(1), ac3(2)].concat()),
            (Kind::Eac3, [&[0x0b, 0x77, 0, 31, 0, 0x80][..], &[1; 58]].concat().repeat(3)),
            (Kind::Latm, [&[0x56, 0xe0, 50][..], &[1; 50]].concat().repeat(3)),
            (Kind::Opus(2), [opus(1, 300), opus(2, 20)].concat()),
            (Kind::Dts, [&[0x7f, 0xfe, 0x80, 0x01, 0xfc, 0x3c, 0x07, 0xf0, 0x36][..], &[1; 119]].concat().repeat(2)),
            (Kind::TrueHd, [0x80, 8, 0, 0, 0xf8, 0x72, 0x6f, 0xba, 1, 2, 3, 4, 5, 6, 7, 8].repeat(4)),
        ];
        for (kind, stream) in streams {
            for bytes in 0..stream.len() {
                let mut framer = Framer::of(kind).expect("cut");
                let first: usize = cut(&mut framer, &stream[..bytes], 0).iter().map(|(data, _)| data.len()).sum();
                let second: usize = cut(&mut framer, &stream[bytes..], 20).iter().map(|(data, _)| data.len()).sum();
                let whole: usize = cut(&mut Framer::of(kind).expect("cut"), &stream, 0).iter().map(|(data, _)| data.len()).sum();
                assert_eq!(first + second, whole, "{kind:?} split at {bytes}");
            }
            for bit in 0..stream.len() * 8 {
                let mut flipped = stream.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let mut framer = Framer::of(kind).expect("cut");
                for _ in 0..3 {
                    let out: usize = cut(&mut framer, &flipped, 0).iter().map(|(data, _)| data.len()).sum();
                    assert!(out <= stream.len() * 3 && framer.tail.len() < 1 << 21, "{kind:?} bit {bit}");
                }
            }
        }
    }
}
