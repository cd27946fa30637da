use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::clip::packets;
use crate::av::{Picture, Threads, VideoDecoder};
use crate::{Codec, MediaTime, Packet, Payload, Remedy};

const SOURCE: &str = "testsrc2=size=320x240:rate=25:duration=2";

/// Decodes everything and says after which packet (by number) each picture came.
fn decode(codec: Codec, packets: &[Packet]) -> Vec<(usize, Picture)> {
    let mut decoder = VideoDecoder::new(codec).expect("a decoder");
    let mut pictures = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        decoder.send(packet).expect("a good packet");
        while let Some(picture) = decoder.receive().expect("a good packet") {
            pictures.push((number, picture));
        }
    }
    decoder.flush();
    while let Some(picture) = decoder.receive().expect("a good stream") {
        pictures.push((packets.len(), picture));
    }
    pictures
}

/// Checks count and order, and gives the largest number of packets that came between a picture's own packet and it.
fn worst_delay(codec: Codec, packets: &[Packet]) -> usize {
    let pictures = decode(codec, packets);
    assert_eq!(pictures.len(), packets.len(), "a picture for every packet");
    assert!(pictures.is_sorted_by(|(_, a), (_, b)| a.pts() < b.pts()), "display order");
    let delay =
        |(at, picture): &(usize, Picture)| at - packets.iter().position(|packet| packet.pts == picture.pts()).expect("a packet's own time");
    pictures.iter().map(delay).max().expect("pictures")
}

/// The delay that display order asks for: a picture may go when a packet's decode time has reached its time.
fn due_delay(packets: &[Packet]) -> usize {
    let due = |(number, packet): (usize, &Packet)| {
        let due = packets.iter().position(|other| other.dts >= packet.pts).unwrap_or(packets.len());
        due.max(number) - number
    };
    packets.iter().enumerate().map(due).max().expect("packets")
}

#[test]
fn stream_without_reordering_is_shown_packet_by_packet() {
    for (codec, options) in [
        (Codec::Mpeg1Video, "-c:v mpeg1video -bf 0 -b:v 1500k"),
        (Codec::Mpeg2Video, "-c:v mpeg2video -bf 0 -b:v 1500k"),
        (Codec::H264, "-c:v libx264 -preset ultrafast -profile:v baseline -tune zerolatency"),
        (Codec::H264, "-c:v libx264 -preset veryfast -profile:v high -bf 0"),
        (Codec::Hevc, "-c:v libx265 -preset ultrafast -x265-params bframes=0:log-level=none"),
    ] {
        assert_eq!(worst_delay(codec, &packets(SOURCE, codec, options)), 0, "{options}");
    }
}

#[test]
fn reordered_stream_is_shown_as_soon_as_order_allows() {
    for (codec, options) in [
        (Codec::Mpeg1Video, "-c:v mpeg1video -bf 2 -b:v 1500k"),
        (Codec::Mpeg2Video, "-c:v mpeg2video -bf 2 -b:v 1500k"),
        (Codec::Mpeg2Video, "-c:v mpeg2video -bf 2 -flags +ildct+ilme -b:v 3000k"),
        (Codec::H264, "-c:v libx264 -preset ultrafast -bf 2 -x264-params b-pyramid=none:b-adapt=0"),
        (Codec::H264, "-c:v libx264 -preset veryfast -bf 3 -x264-params b-pyramid=normal:b-adapt=0:keyint=20"),
        (Codec::Hevc, "-c:v libx265 -preset ultrafast -x265-params bframes=3:b-adapt=0:log-level=none"),
    ] {
        let packets = packets(SOURCE, codec, options);
        assert!(packets.iter().any(|packet| packet.pts != packet.dts), "{options} reorders");
        assert_eq!(worst_delay(codec, &packets), due_delay(&packets), "{options}");
    }
}

/// Takes `bitstream_restriction_flag` and what follows it out of the SPS of x264's streams, where it is the VUI's end.
fn forget_depth(packets: &mut [Packet]) -> usize {
    let mut changed = 0;
    for packet in packets {
        let mut bytes = packet.data.to_vec();
        let Some(start) = bytes.windows(5).position(|window| window[..4] == [0, 0, 0, 1] && window[4] & 0x1f == 7).map(|at| at + 4) else {
            continue;
        };
        let end = start + bytes[start..].windows(3).position(|window| window == [0, 0, 1]).expect("a PPS follows");
        let end = end - bytes[..end].iter().rev().take_while(|&&byte| byte == 0).count();
        let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1 == 1;
        // x264 ends its VUI with: flag 1, motion_vectors_over_pic_boundaries 1, ue 0, ue 0, two equal ue of 11 (0001100), then
        // reorder and buffering depths, and the stop bit. Found backwards by the two of 11.
        let last = (end * 8 - 8..end * 8).rev().find(|&at| bit(at)).expect("a stop bit");
        let pattern =
            [true, true, true, true, false, false, false, true, true, false, false, false, false, false, true, true, false, false];
        let flag = (start * 8..last).rev().find(|&at| pattern.iter().enumerate().all(|(n, &want)| bit(at + n) == want));
        let Some(flag) = flag else { continue };
        // The flag becomes 0, the next bit the stop bit, the rest zero.
        bytes[flag / 8] &= !(0x80 >> (flag % 8));
        let stop = flag + 1;
        for at in stop..=last {
            bytes[at / 8] &= !(0x80 >> (at % 8));
        }
        bytes[stop / 8] |= 0x80 >> (stop % 8);
        bytes.drain(stop / 8 + 1..end);
        packet.data = Payload::copy_from_slice(&bytes);
        changed += 1;
    }
    changed
}

#[test]
fn h264_that_declares_no_depth_loses_and_delays_nothing() {
    for (options, delay) in
        [("-bf 0", Some(0)), ("-bf 2 -x264-params b-adapt=0:b-pyramid=none", None), ("-bf 3 -x264-params b-adapt=0:b-pyramid=normal", None)]
    {
        let mut packets = packets(SOURCE, Codec::H264, &format!("-c:v libx264 -preset veryfast -level 3.1 -g 20 {options}"));
        assert!(forget_depth(&mut packets) > 0, "{options}: an SPS was changed");
        assert_eq!(worst_delay(Codec::H264, &packets), delay.unwrap_or_else(|| due_delay(&packets)), "{options}");
    }
}

#[test]
fn picture_carries_the_arrival_of_its_own_packet() {
    let mut packets = packets(SOURCE, Codec::H264, "-c:v libx264 -preset ultrafast -bf 2 -x264-params b-adapt=0");
    let start = Instant::now();
    for (number, packet) in packets.iter_mut().enumerate() {
        packet.arrival = start + Duration::from_millis(number as u64);
    }
    for (_, picture) in decode(Codec::H264, &packets) {
        let packet = packets.iter().find(|packet| packet.pts == picture.pts()).expect("a packet's own time");
        assert_eq!(picture.arrival(), packet.arrival);
    }
}

#[test]
fn size_may_change_in_the_stream() {
    for (codec, options) in [(Codec::H264, "-c:v libx264 -preset ultrafast -bf 0"), (Codec::Mpeg1Video, "-c:v mpeg1video -bf 0")] {
        let mut stream = packets("testsrc2=size=320x240:rate=25:duration=0.4", codec, options);
        let offset = MediaTime::from_millis(1_000);
        stream.extend(packets("testsrc2=size=640x360:rate=25:duration=0.4", codec, options).into_iter().map(|packet| Packet {
            pts: packet.pts.map(|pts| pts + offset),
            dts: packet.dts.map(|dts| dts + offset),
            ..packet
        }));
        let sizes: Vec<_> = decode(codec, &stream).iter().map(|(_, picture)| (picture.width(), picture.height())).collect();
        assert_eq!(sizes, [[(320, 240); 10], [(640, 360); 10]].concat(), "{codec:?}");
    }
}

#[test]
fn stream_begins_anew_after_flush_and_reset() {
    let packets = packets("testsrc2=size=160x120:rate=25:duration=0.4", Codec::Mpeg2Video, "-c:v mpeg2video -bf 2");
    let mut decoder = VideoDecoder::new(Codec::Mpeg2Video).expect("a decoder");
    for _ in 0..3 {
        let mut count = 0;
        for packet in &packets {
            decoder.send(packet).expect("a good packet");
            count += std::iter::from_fn(|| decoder.receive().expect("a good packet")).count();
        }
        decoder.flush();
        count += std::iter::from_fn(|| decoder.receive().expect("a good stream")).count();
        assert_eq!(count, packets.len());
    }
    decoder.send(&packets[0]).expect("a good packet");
    decoder.reset();
    assert!(decoder.receive().expect("an empty decoder").is_none());
}

#[test]
fn packet_is_lent_and_given_back() {
    let packet = packets("testsrc2=size=160x120:rate=25:duration=1", Codec::H264, "-c:v libx264 -bf 0").swap_remove(0);
    let payload = packet.data.clone();
    let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
    decoder.send(&packet).expect("a good packet");
    drop((packet, decoder));
    let whole = payload.to_bytes();
    drop(payload);
    assert!(whole.is_unique(), "the decoder dropped its reference");
}

#[test]
fn empty_packet_is_refused_and_sound_is_no_picture() {
    let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
    let empty = Packet {
        codec: Codec::H264,
        data: Payload::default(),
        pts: None,
        dts: None,
        key: false,
        arrival: Instant::now(),
        parameters: None,
    };
    assert_eq!(decoder.send(&empty).map_err(|error| error.remedy()), Err(Remedy::Drop));
    assert_eq!(VideoDecoder::new(Codec::Mp3).map(drop).map_err(|error| error.remedy()), Err(Remedy::Report));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Truncated, bit-flipped and lost packets cost pictures, not the decoder: it shows the clean stream that follows.
    #[test]
    fn damage_passes(seed in any::<u64>(), which in 0_usize..4) {
        use std::sync::LazyLock;
        static CLIPS: LazyLock<Vec<(Codec, Vec<Packet>)>> = LazyLock::new(|| {
            let source = "testsrc2=size=160x120:rate=25:duration=1";
            [
                (Codec::Mpeg1Video, "-c:v mpeg1video -bf 2"),
                (Codec::Mpeg2Video, "-c:v mpeg2video -bf 2"),
                (Codec::H264, "-c:v libx264 -preset veryfast"),
                (Codec::Hevc, "-c:v libx265 -preset ultrafast -x265-params log-level=none"),
            ]
            .map(|(codec, options)| (codec, packets(source, codec, options)))
            .into()
        });
        let (codec, clip) = &CLIPS[which];
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as usize
        };
        let mut decoder = VideoDecoder::new(*codec).expect("a decoder");
        for packet in clip {
            let mut bytes = packet.data.to_vec();
            match random() % 4 {
                0 => bytes.truncate(random() % bytes.len()),
                1 => (0..1 + random() % 8).for_each(|_| {
                    let at = random() % bytes.len();
                    bytes[at] ^= 1 << (random() % 8);
                }),
                2 => bytes.clear(),
                _ => {}
            }
            let damaged = Packet { data: Payload::copy_from_slice(&bytes), ..packet.clone() };
            if let Err(error) = decoder.send(&damaged) {
                prop_assert_eq!(error.remedy(), Remedy::Drop);
            }
            loop {
                match decoder.receive() {
                    Ok(None) => break,
                    Ok(Some(picture)) => prop_assert!(picture.width() > 0),
                    Err(error) => prop_assert_eq!(error.remedy(), Remedy::Drop),
                }
            }
        }
        decoder.reset();
        let mut shown = 0;
        for packet in clip {
            let _ = decoder.send(packet);
            shown += std::iter::from_fn(|| decoder.receive().ok().flatten()).count();
        }
        decoder.flush();
        shown += std::iter::from_fn(|| decoder.receive().ok().flatten()).count();
        prop_assert!(shown + 3 >= clip.len(), "{shown} of {}", clip.len());
    }
}

#[test]
fn unreferenced_pictures_are_skipped_on_demand() {
    for (codec, options) in [
        (Codec::H264, "-c:v libx264 -preset veryfast -bf 2 -x264-params b-pyramid=none:b-adapt=0"),
        (Codec::Mpeg2Video, "-c:v mpeg2video -bf 2 -b:v 1500k"),
    ] {
        let packets = packets(SOURCE, codec, options);
        let mut decoder = VideoDecoder::new(codec).expect("a decoder");
        let mut counts = [0, 0];
        for (number, packet) in packets.iter().enumerate() {
            decoder.skip_unreferenced(number < 30);
            decoder.send(packet).expect("a good packet");
            counts[usize::from(number >= 30)] += std::iter::from_fn(|| decoder.receive().expect("a good packet")).count();
        }
        assert!(counts[0] <= 13 && counts[1] >= 17, "{codec:?}: {counts:?}");
    }
}

#[test]
fn decoder_by_frame_gives_the_same_pictures_later() {
    let packets = packets(SOURCE, Codec::H264, "-c:v libx264 -preset veryfast -bf 0");
    let mut decoder = VideoDecoder::open(Codec::H264, None, Threads::Frames).expect("a decoder");
    let (mut early, mut times) = (0, Vec::new());
    for packet in &packets {
        decoder.send(packet).expect("a good packet");
        times.extend(std::iter::from_fn(|| decoder.receive().expect("a good packet")).map(|picture| picture.pts()));
        early = times.len();
    }
    decoder.flush();
    times.extend(std::iter::from_fn(|| decoder.receive().expect("a good stream")).map(|picture| picture.pts()));
    assert!(early < packets.len(), "some are inside");
    assert_eq!(times, packets.iter().map(|packet| packet.pts).collect::<Vec<_>>());
}

#[test]
fn log_is_routed_and_silenced() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::av::{LogLevel, set_log};

    static LINES: AtomicUsize = AtomicUsize::new(0);
    fn count(level: LogLevel, line: &str) {
        // Relaxed: only the count matters, and the decoder logs on this thread.
        LINES.fetch_add(usize::from(level == LogLevel::Error && line.starts_with("[h264")), Ordering::Relaxed);
        panic!("a panic in the hook stays in the hook");
    }
    let junk = Packet {
        codec: Codec::H264,
        data: Payload::copy_from_slice(&[0, 0, 1, 0x65, 0x88, 0x84, 0x21]),
        pts: None,
        dts: None,
        key: true,
        arrival: Instant::now(),
        parameters: None,
    };
    let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
    set_log(Some(count));
    assert!(decoder.send(&junk).is_err());
    set_log(None);
    assert!(LINES.load(Ordering::Relaxed) > 0);
}
