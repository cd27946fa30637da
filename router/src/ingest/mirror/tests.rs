//! The mirror in virtual time.

use std::sync::Arc;
use std::time::Instant;

use crosspoint_ffi::{Codec, CodecId, MediaTime, Packet, Parameters, Payload};

use super::super::clock::{epoch, ms};
use super::{FeedFormat, KEPT_MAX_BYTES, Mirror};
use crate::wire::annexb;

/// The `nth` picture of a source of 25 pictures a second whose every tenth is a key frame.
fn picture(nth: i64) -> Packet {
    let key = nth % 10 == 0;
    let data = Payload::copy_from_slice(&[nth as u8; 100]);
    let pts = Some(MediaTime::from_millis(nth * 40));
    Packet { codec: Codec::Mpeg1Video, data, pts, dts: pts, key, arrival: epoch(), parameters: None }
}

fn sound(nth: i64) -> Packet {
    Packet { codec: Codec::Mp2, data: Payload::copy_from_slice(&[200]), key: true, ..picture(nth) }
}

/// A mirror, its clock, and what it sent.
struct Bench {
    mirror: Mirror,
    start: Instant,
    sent: Vec<Packet>,
}

impl Bench {
    fn new() -> Self {
        Self { mirror: Mirror::new(), start: epoch(), sent: Vec::new() }
    }

    /// Releases picture after picture in real time and gives the first byte of what went out.
    fn run(&mut self, pictures: std::ops::Range<i64>) -> Vec<u8> {
        let before = self.sent.len();
        for nth in pictures {
            let _ = self.mirror.handle_picture(&picture(nth), self.start + ms(nth as f64 * 40.0));
            self.sent.extend(std::iter::from_fn(|| self.mirror.poll()));
        }
        self.sent[before..].iter().map(|packet| packet.data[0]).collect()
    }

    fn assert_rising(&self) {
        let times: Vec<_> = self.sent.iter().filter(|packet| packet.codec.is_video()).map(|packet| packet.dts).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    }
}

#[test]
fn joiner_gets_what_followed_the_key_frame_with_the_next_live_picture() {
    let mut bench = Bench::new();
    assert_eq!(bench.run(0..14), [], "nobody watches");
    bench.mirror.set_watched(true);
    assert!(bench.mirror.poll().is_none(), "nothing is live");
    assert_eq!(bench.run(14..15), [10, 11, 12, 13, 14], "one burst");
    assert_eq!(bench.run(15..22), [15, 16, 17, 18, 19, 20, 21]);
    bench.assert_rising();
}

#[test]
fn packets_are_kept_from_the_key_frame_on_and_no_more_than_the_limit() {
    let mut bench = Bench::new();
    bench.run(0..10);
    assert_eq!(bench.mirror.kept_bytes(), 1_000);
    bench.run(10..11);
    assert_eq!(bench.mirror.kept_bytes(), 100);
    let large = Packet { data: Payload::copy_from_slice(&vec![1; KEPT_MAX_BYTES]), ..picture(11) };
    let _ = bench.mirror.handle_picture(&large, bench.start);
    assert_eq!(bench.mirror.kept_bytes(), 0);
    bench.mirror.set_watched(true);
    assert_eq!(bench.run(12..21), [20], "a viewer waits for a key frame");
}

#[test]
fn pause_is_silent_and_resume_begins_at_the_key_frame() {
    let mut bench = Bench::new();
    bench.mirror.set_watched(true);
    bench.run(0..12);
    bench.mirror.set_paused(true);
    assert_eq!(bench.run(12..33), []);
    bench.mirror.set_paused(false);
    assert!(bench.mirror.poll().is_none(), "nothing is live");
    assert_eq!(bench.run(33..35), [30, 31, 32, 33, 34]);
    bench.assert_rising();
}

#[test]
fn short_pause_inside_a_group_repeats_it_later_in_time() {
    let mut bench = Bench::new();
    bench.mirror.set_watched(true);
    bench.run(0..6);
    bench.mirror.set_paused(true);
    bench.mirror.set_paused(false);
    assert_eq!(bench.run(6..8), [0, 1, 2, 3, 4, 5, 6, 7]);
    bench.assert_rising();
}

#[test]
fn swapped_source_begins_at_its_key_frame_on_the_same_timeline() {
    let mut bench = Bench::new();
    bench.mirror.set_watched(true);
    bench.run(0..25);
    bench.mirror.handle_begin();
    let now = bench.start + ms(1_000.0);
    for nth in [7_003, 7_010, 7_011] {
        let _ = bench.mirror.handle_picture(&picture(nth), now);
    }
    bench.sent.extend(std::iter::from_fn(|| bench.mirror.poll()));
    assert_eq!(bench.sent.len(), 27);
    let last: Vec<_> = bench.sent[24..].iter().filter_map(|packet| packet.dts.map(MediaTime::to_90khz)).collect();
    assert_eq!(last, [960 * 90, 1_000 * 90, 1_040 * 90]);
}

#[test]
fn times_that_jump_back_go_on_where_the_clock_is() {
    let mut bench = Bench::new();
    bench.mirror.set_watched(true);
    bench.run(0..50);
    let now = bench.start + ms(2_000.0);
    let _ = bench.mirror.handle_picture(&picture(0), now);
    bench.mirror.handle_sound(&sound(49), now);
    bench.mirror.handle_sound(&sound(0), now);
    bench.sent.extend(std::iter::from_fn(|| bench.mirror.poll()));
    bench.assert_rising();
    assert_eq!(bench.sent.len(), 52, "sound of before the jump belongs nowhere");
    assert_eq!(bench.sent[50].dts, bench.sent[51].dts);
}

#[test]
fn packets_without_times_get_the_clocks() {
    let mut bench = Bench::new();
    bench.mirror.set_watched(true);
    for nth in 0..3 {
        let timeless = Packet { pts: None, dts: None, ..picture(nth) };
        let _ = bench.mirror.handle_picture(&timeless, bench.start + ms(nth as f64 * 40.0));
    }
    bench.sent.extend(std::iter::from_fn(|| bench.mirror.poll()));
    assert_eq!(bench.sent.len(), 3);
    bench.assert_rising();
}

#[test]
fn kind_follows_the_codec_and_viewers_are_told_when_it_matters() {
    let mut mirror = Mirror::new();
    let mut tell = |codec| mirror.handle_picture(&Packet { codec, ..picture(0) }, epoch());
    assert!(!tell(Codec::Mpeg1Video), "a transport stream is what viewers are told before there is anything");
    assert!(tell(Codec::H264), "another player");
    assert!(!tell(Codec::OtherVideo(CodecId(7))), "it is encoded as the same");
    assert!(tell(Codec::Vp8) && tell(Codec::Vp9));
    assert!(!tell(Codec::Vp9));
    assert!(tell(Codec::OtherVideo(CodecId(7))));
    assert_eq!(mirror.kind().map(|kind| (kind.format, kind.encoded)), Some((FeedFormat::MpegTs, true)));
    let mut fresh = Mirror::new();
    assert!(fresh.handle_picture(&Packet { codec: Codec::Av1, ..picture(0) }, epoch()));
}

#[test]
fn what_has_no_form_goes_out_as_it_was_encoded() {
    let (mut mirror, now) = (Mirror::new(), epoch());
    mirror.set_watched(true);
    let _ = mirror.handle_picture(&Packet { codec: Codec::OtherVideo(CodecId(7)), ..picture(0) }, now);
    assert!(mirror.poll().is_none());
    mirror.handle_encoded(&Packet { codec: Codec::H264, ..picture(10) }, now);
    assert!(mirror.poll().is_some());
    let _ = mirror.handle_picture(&picture(0), now);
    mirror.handle_encoded(&Packet { codec: Codec::H264, ..picture(20) }, now);
    assert_eq!(std::iter::from_fn(|| mirror.poll()).count(), 1, "a late encoding of the source before");
}

#[test]
fn key_frames_without_their_parameter_sets_get_them() {
    let unit = |nals: &[&[u8]]| Payload::copy_from_slice(&nals.iter().flat_map(|nal| [&[0, 0, 0, 1], *nal].concat()).collect::<Vec<_>>());
    let (sps, pps, idr, vps) = ([0x67, 0x42, 7], [0x68, 0xce], [0x65, 0x88], [0x40, 1, 9]);
    let (hevc_sps, hevc_pps, hevc_idr) = ([0x42, 1, 8], [0x44, 1, 6], [0x26, 1, 5]);
    let kept = Parameters { extradata: unit(&[&sps, &pps]), ..Parameters::default() };
    let cases: [(Codec, Option<Parameters>, Vec<Payload>); 3] = [
        (Codec::H264, None, vec![unit(&[&sps, &pps, &idr]), unit(&[&idr])]),
        (Codec::H264, Some(kept), vec![unit(&[&idr])]),
        (Codec::Hevc, None, vec![unit(&[&vps, &hevc_sps, &hevc_pps, &hevc_idr]), unit(&[&hevc_sps, &hevc_pps, &hevc_idr])]),
    ];
    for (codec, parameters, pictures) in cases {
        let mut mirror = Mirror::new();
        mirror.set_watched(true);
        let parameters = parameters.map(Arc::new);
        for data in pictures {
            let _ = mirror.handle_picture(&Packet { codec, data, parameters: parameters.clone(), ..picture(0) }, epoch());
        }
        let last = std::iter::from_fn(|| mirror.poll()).last().expect("something");
        let kinds: Vec<_> = annexb::nals(&last.data).map(|nal| nal[0]).collect();
        let (h264, hevc) = (vec![0x67, 0x68, 0x65], vec![0x40, 0x42, 0x44, 0x26]);
        // What was missing comes in front.
        assert_eq!(kinds, if codec == Codec::H264 { h264 } else { hevc }, "{codec:?}");
    }
}
