//! The frame parser over made-up streams.

use std::time::Instant;

use crosspoint_ffi::{AudioFormat, Codec, MediaTime};
use proptest::prelude::*;

use super::{Event, Frame, Header, Parser, Reason};

#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> Instant {
    Instant::now()
}

/// `count` frames of 128 kbit/s at 44.1 kHz that cannot be taken for headers inside.
fn frames(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for nth in 0..count {
        let header = [0xff, 0xfb, if nth % 3 == 0 { 0x90 } else { 0x92 }, 0x64];
        let frame_bytes = Header::parse(header).expect("a header").frame_bytes();
        bytes.extend(header);
        bytes.extend((4..frame_bytes).map(|at| (at + nth) as u8 & 0x7f));
    }
    bytes
}

fn tag(body_bytes: usize) -> Vec<u8> {
    let mut bytes = b"ID3\x04\0\0".to_vec();
    bytes.extend([body_bytes >> 21, body_bytes >> 14, body_bytes >> 7, body_bytes].map(|seven| seven as u8 & 0x7f));
    // Sync words inside, as in pictures that tags carry.
    bytes.extend([0xff, 0xfb, 0x90, 0x64].iter().cycle().take(body_bytes));
    bytes
}

fn parse(bytes: &[u8], chunk: usize) -> (Vec<Frame>, Vec<Reason>) {
    let (mut parser, now) = (Parser::new(), origin());
    let (mut frames, mut bad) = (Vec::new(), Vec::new());
    for chunk in bytes.chunks(chunk) {
        parser.push(chunk, now);
        assert!(parser.carry.len() <= super::WINDOW_BYTES, "bounded");
        while let Some(event) = parser.poll() {
            match event {
                Event::Bad(reason) => bad.push(reason),
                Event::Frame(frame) => frames.push(frame),
            }
        }
    }
    (frames, bad)
}

fn data(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.packet.data.to_vec()).collect()
}

#[test]
fn frames_come_out_whole_with_their_times() {
    let bytes = frames(20);
    for chunk in [1, 3, 417, 1_000, 100_000] {
        let (found, bad) = parse(&bytes, chunk);
        assert_eq!((found.len(), data(&found), bad.len()), (20, bytes.clone(), 0), "chunk {chunk}");
        let last = &found[19];
        assert_eq!(last.packet.pts, Some(found[0].duration + found[1].duration + MediaTime::from_nanos(17 * found[0].duration.as_nanos())));
        assert_eq!((last.packet.codec, last.format), (Codec::Mp3, AudioFormat { rate: 44_100, channels: 2 }));
    }
}

#[test]
fn a_frame_comes_out_with_its_last_byte() {
    let bytes = frames(3);
    let (mut parser, now) = (Parser::new(), origin());
    parser.push(&bytes[..bytes.len() - 1], now);
    assert_eq!(std::iter::from_fn(|| parser.poll()).count(), 2);
    parser.push(&bytes[bytes.len() - 1..], now);
    assert_eq!(std::iter::from_fn(|| parser.poll()).count(), 1);
}

#[test]
fn tags_and_notes_are_skipped() {
    let sound = frames(4);
    let mut note = frames(1);
    note[36..40].copy_from_slice(b"Info");
    let mut tail = b"TAG".to_vec();
    tail.resize(128, b' ');
    let bytes = [tag(0), tag(30_000), note, sound.clone(), tail, tag(2_000), sound.clone()].concat();
    for chunk in [1, 100, 65_536] {
        let (found, bad) = parse(&bytes, chunk);
        assert_eq!((data(&found), bad.len()), ([&sound[..], &sound].concat(), 0), "chunk {chunk}");
        assert_eq!(found[0].packet.pts, Some(MediaTime::ZERO), "a note is not sound");
    }
}

#[test]
fn joins_anywhere_and_finds_sync_again() {
    let sound = frames(10);
    for start in [1, 2, 100, 416] {
        let (found, bad) = parse(&sound[start..], 50);
        assert_eq!((found.len(), bad.len()), (9, 0), "start {start}");
    }
    let bytes = [&sound[..], &[0xff; 5_000], b"ID3\x04\0\0\x7f\x7f\x7f\x7f", &sound].concat();
    for chunk in [1, 1_000, 65_536] {
        let (found, bad) = parse(&bytes, chunk);
        // Told when it began, and again when more was thrown away than a frame has.
        assert_eq!((data(&found), bad), ([&sound[..], &sound].concat(), vec![Reason::SyncLost; 2]), "chunk {chunk}");
    }
}

#[test]
fn what_never_was_sound_is_told_of() {
    for chunk in [1, 1_000, 65_536] {
        assert_eq!(parse(&[0x55; 4_000], chunk).1, [Reason::SyncLost], "chunk {chunk}");
    }
}

#[test]
fn a_lone_header_in_garbage_is_not_a_frame() {
    let mut bytes = vec![0x55; 20_000];
    bytes[100..104].copy_from_slice(&[0xff, 0xfb, 0x90, 0x64]);
    assert_eq!(parse(&bytes, 700).0.len(), 0);
}

#[test]
fn no_truncation_or_flipped_bit_panics() {
    let bytes = [tag(50), frames(5)].concat();
    for end in 0..bytes.len() {
        assert!(parse(&bytes[..end], 300).0.len() <= 5);
    }
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&flipped, 300).0.len() <= 6, "bit {bit}");
    }
}

proptest! {
    #[test]
    fn chunking_does_not_matter(cuts in proptest::collection::vec(1_usize..3_000, 1..40), start in 0_usize..900, flip in any::<u16>()) {
        let mut bytes = [tag(400), frames(12), tag(900), frames(6)].concat();
        let bits = bytes.len() * 8;
        bytes[usize::from(flip) % bits / 8] ^= 1 << (flip % 8);
        let whole = parse(&bytes[start..], usize::MAX);
        let (mut parser, now) = (Parser::new(), origin());
        let mut rest = &bytes[start..];
        for &cut in cuts.iter().cycle() {
            let (taken, later) = rest.split_at(cut.min(rest.len()));
            parser.push(taken, now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let mut cut = Vec::new();
        while let Some(event) = parser.poll() {
            if let Event::Frame(frame) = event {
                cut.push(frame);
            }
        }
        prop_assert_eq!(data(&cut), data(&whole.0));
    }
}
