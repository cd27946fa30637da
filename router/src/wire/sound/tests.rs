//! The parser over made-up streams.

use std::time::Instant;

use crosspoint_ffi::{Codec, CodecId, MediaTime};
use proptest::prelude::*;

use super::{Event, Frame, Parser, Reason};
use crate::wire::mp3::Header;

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
        assert!(parser.carry.len() <= 66_000, "bounded by the longest page");
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
        assert_eq!(last.packet.codec, Codec::Mp3);
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
        assert_eq!((found.len(), bad), (20, vec![Reason::SyncLost; 2]), "chunk {chunk}");
        assert!(data(&found) == [&sound[..], &sound].concat(), "chunk {chunk}");
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

/// `count` AAC frames of 48 kHz stereo.
fn adts(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|nth| {
            let frame_bytes = 40 + nth;
            let header = [0xff, 0xf1, 0x4c, 0x80, (frame_bytes >> 3) as u8, (frame_bytes << 5) as u8 | 0x1f, 0xfc];
            header.into_iter().chain((7..frame_bytes).map(move |at| (at * nth) as u8 & 0x3f))
        })
        .collect()
}

/// A page of an Ogg stream; a packet that fills its last segment goes on.
fn page(flags: u8, granule: u64, sequence: u32, packets: &[&[u8]], unfinished: bool) -> Vec<u8> {
    let mut lacing = Vec::new();
    for (nth, packet) in packets.iter().enumerate() {
        lacing.resize(lacing.len() + packet.len() / 255, 255);
        if !(unfinished && nth == packets.len() - 1) {
            lacing.push((packet.len() % 255) as u8);
        }
    }
    let mut bytes = b"OggS\0".to_vec();
    bytes.push(flags);
    bytes.extend(granule.to_le_bytes());
    bytes.extend(7_u32.to_le_bytes());
    bytes.extend(sequence.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.push(lacing.len() as u8);
    bytes.extend(lacing);
    bytes.extend(packets.concat());
    // Bit by bit, in place of the parser's table.
    let checksum = bytes.iter().fold(0_u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    });
    bytes[22..26].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

const OPUS_HEAD: &[u8] = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0";

/// Five packets of 20 ms, of which the fourth lies on two pages.
fn opus() -> Vec<u8> {
    let packets: Vec<Vec<u8>> = (0..5).map(|nth| [&[0xfc, nth][..], &[nth; 600]].concat()).collect();
    [
        page(2, 0, 0, &[OPUS_HEAD], false),
        page(0, 0, 1, &[b"OpusTags comments"], false),
        page(0, 2_880, 2, &[&packets[0], &packets[1], &packets[2], &packets[3][..510]], true),
        page(1, 4_800, 3, &[&packets[3][510..], &packets[4]], false),
    ]
    .concat()
}

/// A WAV of so many blocks of 16-bit stereo at 48 kHz; its length as `said`.
fn wav(blocks: usize, said: Option<u32>) -> Vec<u8> {
    let data: Vec<u8> = (0..blocks * 4).map(|at| at as u8).collect();
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x02\0".to_vec();
    bytes.extend([48_000_u32, 192_000].into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(b"\x04\0\x10\0data");
    bytes.extend(said.unwrap_or(data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

fn length(frames: &[Frame]) -> MediaTime {
    frames.iter().fold(MediaTime::ZERO, |sum, frame| sum + frame.duration)
}

#[test]
fn adts_frames_come_out_whole() {
    let bytes = adts(20);
    for chunk in [1, 5, 100, 100_000] {
        let (found, bad) = parse(&bytes, chunk);
        assert_eq!((found.len(), data(&found), bad.len()), (20, bytes.clone(), 0), "chunk {chunk}");
        assert_eq!((found[0].packet.codec, found[0].duration), (Codec::Aac, MediaTime::from_ticks(1_024, 48_000)));
    }
}

#[test]
fn ogg_packets_come_out_joined_with_their_head() {
    for chunk in [1, 100, 100_000] {
        let (found, bad) = parse(&opus(), chunk);
        assert_eq!((found.len(), bad.len()), (5, 0), "chunk {chunk}");
        for (nth, frame) in found.iter().enumerate() {
            assert_eq!((frame.packet.data.len(), frame.packet.data[1], frame.packet.data[601]), (602, nth as u8, nth as u8));
            assert_eq!(frame.packet.pts, Some(MediaTime::from_millis(20 * nth as i64)));
            let parameters = frame.packet.parameters.as_ref().expect("an Opus head");
            assert_eq!((frame.packet.codec, &parameters.extradata[..], parameters.channels), (Codec::Opus, OPUS_HEAD, 2));
        }
    }
}

#[test]
fn lost_page_costs_the_packets_on_it() {
    let mut bytes = opus();
    let pages: Vec<usize> = memchr::memmem::find_iter(&bytes, b"OggS").collect();
    bytes[pages[2] + 700] ^= 1;
    let (found, bad) = parse(&bytes, 500);
    assert_eq!(found.iter().map(|frame| frame.packet.data[1]).collect::<Vec<_>>(), [4], "the half of a packet is none");
    assert!(bad.contains(&Reason::SyncLost));
}

#[test]
fn wav_samples_come_out_in_lumps_of_at_most_20_ms() {
    for said in [None, Some(0), Some(u32::MAX), Some(0x7fff_fff0)] {
        for chunk in [1, 7, 1_000, 100_000] {
            let (found, bad) = parse(&wav(4_800, said), chunk);
            assert_eq!((data(&found), bad.len()), (wav(4_800, None)[56..].to_vec(), 0), "{said:?}, chunk {chunk}");
            assert_eq!(length(&found), MediaTime::from_millis(100));
            assert!(found.iter().all(|frame| frame.duration <= MediaTime::from_millis(20)));
            assert_eq!(found[0].packet.codec, Codec::OtherAudio(CodecId(0x1_0000)));
            assert_eq!(found[0].packet.parameters.as_ref().map(|parameters| parameters.block_align), Some(4));
        }
    }
}

#[test]
fn live_samples_do_not_wait_for_more() {
    let bytes = wav(4_800, Some(u32::MAX));
    let (mut parser, now) = (Parser::new(), origin());
    parser.push(&bytes[..56], now);
    for chunk in bytes[56..].chunks(480) {
        parser.push(chunk, now);
        assert_eq!(std::iter::from_fn(|| parser.poll()).count(), 1, "10 ms come out with their last byte");
    }
}

#[test]
fn another_file_begins_wherever_it_begins() {
    let tagged = [tag(500), adts(6)].concat();
    let parts = [wav(1_000, Some(u32::MAX)), wav(333, None), frames(5), opus(), adts(7), wav(50, None), opus(), tagged, frames(3)];
    let bytes = parts.concat();
    for chunk in [1, 1_000, 1 << 20] {
        let (found, bad) = parse(&bytes, chunk);
        let count = |codec| found.iter().filter(|frame| frame.packet.codec == codec).count();
        let pcm: MediaTime = found
            .iter()
            .filter(|frame| frame.packet.codec == Codec::OtherAudio(CodecId(0x1_0000)))
            .fold(MediaTime::ZERO, |sum, frame| sum + frame.duration);
        assert_eq!(pcm.to_ticks(48_000), 1_383, "chunk {chunk}");
        assert_eq!((count(Codec::Mp3), count(Codec::Opus), count(Codec::Aac), bad), (8, 10, 13, vec![]), "chunk {chunk}");
        let mut next = MediaTime::ZERO;
        for frame in &found {
            assert_eq!(frame.packet.pts, Some(next), "time runs on");
            next += frame.duration;
        }
    }
}

#[test]
fn samples_of_unknown_kind_are_told_of() {
    let mut bytes = wav(1_000, None);
    bytes[32] = 0x55;
    assert!(parse(&bytes, 100).1.contains(&Reason::Unsupported));
    assert!(parse(&page(2, 0, 0, &[b"\x80theora"], false), 100).1.contains(&Reason::Unsupported));
}

#[test]
fn no_truncation_or_flipped_bit_panics() {
    for bytes in [[tag(50), frames(5)].concat(), adts(8), opus(), wav(300, None), wav(300, Some(0))] {
        for end in 0..bytes.len() {
            assert!(parse(&bytes[..end], 300).0.len() <= 10);
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&flipped, 300).0.len() <= 40, "bit {bit}");
        }
    }
}

proptest! {
    #[test]
    fn chunking_does_not_matter(cuts in proptest::collection::vec(1_usize..3_000, 1..40), start in 0_usize..900, flip in any::<u16>()) {
        let mut bytes = [tag(400), frames(12), tag(900), wav(700, None), adts(9), opus(), wav(300, Some(0))].concat();
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
        prop_assert_eq!(length(&cut), length(&whole.0));
    }
}
