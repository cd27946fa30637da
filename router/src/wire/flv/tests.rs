//! Packets into tags.

use bytes::{Bytes, BytesMut};
use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};
use proptest::prelude::*;

use super::*;
use crate::wire::rtmp::amf0::Value;

/// Of x264, 1280×720.
const SPS: [u8; 23] = [
    0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40, 0x00, 0x00, 0x0f, 0x03, 0xc6, 0x0c,
    0xa8,
];
const PPS: [u8; 4] = [0x68, 0xce, 0x0f, 0xc8];
const ADTS: [u8; 10] = [0xff, 0xf1, 0x4c, 0x80, 0x01, 0x5f, 0xfc, 0x21, 0x10, 0x05];

#[expect(clippy::disallowed_methods, reason = "a packet has an arrival")]
fn packet(codec: Codec, ms: i64, key: bool, data: &[u8]) -> Packet {
    let time = Some(MediaTime::from_millis(ms));
    let data = Payload::copy_from_slice(data);
    Packet { codec, data, pts: time, dts: time, key, arrival: std::time::Instant::now(), parameters: None }
}

fn key_picture() -> Vec<u8> {
    let mut unit = vec![0, 0, 0, 1, 9, 0xf0];
    for nal in [&SPS[..], &PPS, &[0x65, 0x88, 0x84]] {
        unit.extend([0, 0, 0, 1]);
        unit.extend_from_slice(nal);
    }
    unit
}

fn written(muxer: &mut Muxer, packet: &Packet) -> Vec<Tag> {
    let mut out = BytesMut::new();
    let wrote = muxer.write(packet, &mut out);
    assert_eq!(wrote, !out.is_empty());
    tags(out.freeze()).collect()
}

#[test]
fn key_unit_carries_all_that_it_takes_to_start_there() {
    let mut muxer = Muxer::new(true, true);
    let early = written(&mut muxer, &packet(Codec::H264, 0, false, &[0, 0, 1, 0x41, 0x9a]));
    assert!(early.is_empty(), "nobody could decode it");

    let tags = written(&mut muxer, &packet(Codec::H264, 33, true, &key_picture()));
    assert_eq!(
        tags.iter().map(|tag| (tag.kind, tag.time_ms, tag.is_header())).collect::<Vec<_>>(),
        [(Kind::Script, 33, true), (Kind::Video, 33, true), (Kind::Video, 33, false),]
    );
    let mut record = vec![0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 23];
    record.extend(SPS);
    record.extend([1, 0, 4]);
    record.extend(PPS);
    assert_eq!(tags[1].body, record);
    assert_eq!(tags[2].body, [0x17, 1, 0, 0, 0, 0, 0, 0, 3, 0x65, 0x88, 0x84][..], "parameter sets and delimiter are left out");
    let mut rest = &tags[0].body[..];
    assert_eq!(Value::take(&mut rest), Some("onMetaData".into()));
    let metadata = Value::take(&mut rest).unwrap();
    let number = |name| metadata.field(name).and_then(Value::as_number);
    assert_eq!((number("width"), number("height")), (Some(1280.0), Some(720.0)));

    let sound = written(&mut muxer, &packet(Codec::Aac, 40, true, &ADTS));
    assert_eq!(sound.iter().map(|tag| &tag.body[..]).collect::<Vec<_>>(), [&[0xaf, 0, 0x11, 0x90][..], &[0xaf, 1, 0x21, 0x10, 0x05]]);
    assert_eq!(written(&mut muxer, &packet(Codec::Aac, 61, true, &ADTS)).len(), 1);
    let inter = written(&mut muxer, &packet(Codec::H264, 66, false, &[0, 0, 1, 0x41, 0x9a]));
    assert_eq!(inter[0].body, [0x27, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, 0x9a][..]);
    let kinds: Vec<_> = written(&mut muxer, &packet(Codec::H264, 99, true, &key_picture())).iter().map(|tag| tag.kind).collect();
    assert_eq!(kinds, [Kind::Script, Kind::Video, Kind::Audio, Kind::Video], "and now the sound's header, too");
}

#[test]
fn sound_alone_starts_anywhere() {
    let mut muxer = Muxer::new(false, true);
    for ms in [0, 21] {
        let kinds: Vec<_> =
            written(&mut muxer, &packet(Codec::Aac, ms, true, &ADTS)).iter().map(|tag| (tag.kind, tag.is_header())).collect();
        assert_eq!(kinds, [(Kind::Script, true), (Kind::Audio, true), (Kind::Audio, false)]);
    }
    assert!(written(&mut muxer, &packet(Codec::H264, 0, true, &key_picture())).is_empty());
}

#[test]
fn times_wrap_as_the_field_does() {
    let mut muxer = Muxer::new(true, false);
    for (ms, field) in [(0xff_ffff, 0xff_ffff), (0x100_0000, 0x100_0000), (i64::from(u32::MAX), u32::MAX), (1 << 32, 0), (-1, u32::MAX)] {
        let tags = written(&mut muxer, &packet(Codec::H264, ms, true, &key_picture()));
        assert!(tags.iter().all(|tag| tag.time_ms == field), "{ms}");
    }
}

#[test]
fn packets_that_cannot_be_packed_are_refused() {
    let mut muxer = Muxer::new(true, true);
    let mut cut = ADTS.to_vec();
    cut.pop();
    for bad in [
        packet(Codec::Aac, 0, true, &cut),
        packet(Codec::Aac, 0, true, &[]),
        packet(Codec::Vp8, 0, true, &[1]),
        packet(Codec::H264, 0, true, &[0, 0, 1, 0x65, 0x88]),
        Packet { pts: None, dts: None, ..packet(Codec::Aac, 0, true, &ADTS) },
    ] {
        assert!(written(&mut muxer, &bad).is_empty(), "{bad:?}");
    }
}

#[test]
fn sizes_are_read_from_cropped_and_high_profile_parameter_sets() {
    // Of x264: high profile, 1920×1080, cropped from 1088 rows.
    let high = [
        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00,
        0xf0, 0x3c, 0x60, 0xc6, 0x58,
    ];
    for (sps, size) in [(&SPS[..], Some((1280, 720))), (&high, Some((1920, 1080))), (&SPS[..6], None)] {
        assert_eq!(avc::size(&[&[0, 0, 1], sps].concat()), size);
    }
}

proptest! {
    #[test]
    fn any_bytes_have_tags_or_none(bytes in proptest::collection::vec(prop_oneof![0_u8..20, any::<u8>()], 0..200)) {
        let bytes = Bytes::from(bytes);
        let total: usize = tags(bytes.clone()).map(|tag| tag.body.len() + HEADER_BYTES + TRAILER_BYTES).sum();
        prop_assert!(total <= bytes.len());
    }

    #[test]
    fn any_packet_is_packed_or_refused(
        mut data in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200), flip in any::<(usize, u8)>(), key in any::<bool>(),
    ) {
        let mut muxer = Muxer::new(true, true);
        for codec in [Codec::H264, Codec::Aac] {
            let _ = written(&mut muxer, &packet(codec, 0, key, &data));
        }
        // What was good but for one byte, or was cut.
        let mut picture = key_picture();
        let at = flip.0 % picture.len();
        picture[at] ^= flip.1;
        let _ = written(&mut muxer, &packet(Codec::H264, 0, true, &picture));
        let _ = written(&mut muxer, &packet(Codec::H264, 0, true, &picture[..at]));
        let sound = ADTS.len();
        data.splice(0..0, ADTS);
        data[flip.0 % sound] ^= flip.1;
        let _ = written(&mut muxer, &packet(Codec::Aac, 0, true, &data));
    }
}
