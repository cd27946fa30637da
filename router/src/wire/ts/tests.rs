//! Demuxer and muxer against each other, in virtual time.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};
use proptest::prelude::*;

use super::{CELL_BYTES, Demuxer, Event, Muxer, Reason, Stream};

#[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
fn origin() -> Instant {
    Instant::now()
}

/// An H.264 picture of about `bytes` bytes: delimiter, parameter sets when it is a key frame, one slice.
fn picture(nth: usize, bytes: usize, arrival: Instant) -> Packet {
    let key = nth.is_multiple_of(10);
    let mut data = vec![0, 0, 0, 1, 0x09, 0xf0];
    if key {
        data.extend([0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x68, 0xce]);
    }
    data.extend([0, 0, 1, if key { 0x65 } else { 0x41 }, if key { 0x88 } else { 0x9a }]);
    data.extend((0..bytes).map(|at| (at * 31 + nth) as u8 | 1));
    let time = Some(MediaTime::from_90khz(nth as i64 * 3_000));
    Packet { codec: Codec::H264, data: Payload::copy_from_slice(&data), pts: time, dts: time, key, arrival, parameters: None }
}

fn sound(nth: usize, bytes: usize, arrival: Instant) -> Packet {
    let mut data = vec![0xff, 0xf1, 0x50, 0x80];
    data.extend((0..bytes).map(|at| (at * 7 + nth) as u8));
    let time = Some(MediaTime::from_90khz(nth as i64 * 1_920));
    Packet { codec: Codec::Aac, data: Payload::copy_from_slice(&data), pts: time, dts: time, key: true, arrival, parameters: None }
}

fn mux(packets: &[Packet]) -> Vec<u8> {
    let has = |codec| packets.iter().any(|packet| packet.codec == codec);
    let (mut muxer, mut out) = (Muxer::new(has(Codec::H264), has(Codec::Aac)), BytesMut::new());
    for packet in packets {
        assert!(muxer.write(packet, &mut out));
    }
    out.to_vec()
}

fn drain(demuxer: &mut Demuxer) -> (Vec<Packet>, Vec<Event>) {
    let (mut packets, mut rest) = (Vec::new(), Vec::new());
    while let Some(event) = demuxer.poll() {
        match event {
            Event::Packet { packet, .. } => packets.push(packet),
            Event::Bad(_) | Event::Gap(_) => rest.push(event),
        }
    }
    (packets, rest)
}

fn demux(bytes: &[u8], chunk: usize, now: Instant) -> (Vec<Packet>, Vec<Event>) {
    let mut demuxer = Demuxer::new();
    for chunk in bytes.chunks(chunk) {
        demuxer.push(chunk, now);
    }
    drain(&mut demuxer)
}

fn bads(events: &[Event], wanted: Reason) -> usize {
    events.iter().filter(|event| matches!(event, Event::Bad(reason) if *reason == wanted)).count()
}

/// A packet without its arrival.
type Row = (Codec, Payload, [Option<MediaTime>; 2], bool);

fn outline(packets: &[Packet]) -> Vec<Row> {
    packets.iter().map(|packet| (packet.codec, packet.data.clone(), [packet.pts, packet.dts], packet.key)).collect()
}

fn cell_at(bytes: &[u8], at: usize) -> &[u8] {
    &bytes[at * CELL_BYTES..(at + 1) * CELL_BYTES]
}

fn is_video_start(cell: &[u8]) -> bool {
    cell[1] == 0x41 && cell[2] == 0
}

/// Rewrites a muxed stream so that its video states no length.
fn unstated(mut bytes: Vec<u8>) -> Vec<u8> {
    for cell in bytes.chunks_mut(CELL_BYTES).filter(|cell| is_video_start(cell)) {
        let at = if cell[3] & 0x20 != 0 { 5 + usize::from(cell[4]) } else { 4 };
        cell[at + 4..at + 6].fill(0);
    }
    bytes
}

#[test]
fn every_size_comes_out_with_its_last_cell_stated_or_not() {
    let now = origin();
    for bytes in (1..800).chain([65_500, 65_510, 65_520, 65_530, 70_000]) {
        let packets = [picture(0, bytes, now), picture(1, bytes, now)];
        for stream in [mux(&packets), unstated(mux(&packets))] {
            let (found, bad) = demux(&stream, 997, now);
            assert_eq!((found.len(), bad.len()), (2, 0), "{bytes} bytes");
            assert!(found.iter().zip(&packets).all(|(found, packet)| found.data == packet.data));
        }
    }
}

#[test]
fn times_on_the_wire_lead_and_wrap() {
    let now = origin();
    let mut packets: Vec<_> = (0..4).map(|nth| picture(0, 50 + nth, now)).collect();
    for (packet, ticks) in packets.iter_mut().zip([-3_000_i64, 0, (1 << 33) - 10_000, (1 << 33) + 3_000]) {
        packet.dts = Some(MediaTime::from_90khz(ticks));
        packet.pts = Some(MediaTime::from_90khz(ticks + 6_000));
    }
    let (found, bad) = demux(&mux(&packets[2..]), 188, now);
    let lead = MediaTime::from_millis(100);
    assert_eq!(bad.len(), 0);
    assert_eq!(found[1].dts.zip(found[0].dts).map(|(a, b)| (a - b).to_90khz()), Some(13_000), "over the wrap");
    let (found, _) = demux(&mux(&packets[..2]), 188, now);
    assert_eq!(found[0].dts, packets[0].dts.map(|dts| dts + lead));
    assert_eq!(found[1].pts, packets[1].pts.map(|pts| pts + lead));
}

#[test]
fn a_delimiter_is_added_only_where_missing() {
    let now = origin();
    let mut bare = picture(0, 100, now);
    bare.data = Payload::copy_from_slice(&bare.data[6..]);
    let (found, _) = demux(&mux(&[picture(0, 100, now), bare]), 188, now);
    assert_eq!(found[0].data, found[1].data);
}

#[test]
fn what_the_program_does_not_carry_is_refused() {
    let now = origin();
    let mut out = BytesMut::new();
    let mut muxer = Muxer::new(true, false);
    assert!(!muxer.write(&sound(0, 10, now), &mut out), "no sound in it");
    assert!(!muxer.write(&picture(1, 10, now), &mut out), "not a key frame");
    let timeless = Packet { pts: None, dts: None, ..picture(0, 10, now) };
    assert!(!muxer.write(&timeless, &mut out) && out.is_empty());
    assert!(muxer.write(&picture(0, 10, now), &mut out) && muxer.write(&picture(1, 10, now), &mut out));
}

#[test]
fn tables_come_before_key_frames_and_twice_a_second() {
    let now = origin();
    let stream = mux(&(0..100).map(|nth| sound(nth, 200, now)).collect::<Vec<_>>());
    let tables = stream.chunks(CELL_BYTES).filter(|cell| cell[1] & 0x1f == 0 && cell[2] == 0).count();
    assert_eq!(tables, 5, "100 frames of 21.3 ms");
    let stream = mux(&(0..31).map(|nth| picture(nth, 200, now)).collect::<Vec<_>>());
    for (at, cell) in
        stream.chunks(CELL_BYTES).enumerate().filter(|(_, cell)| is_video_start(cell) && cell[3] & 0x20 != 0 && cell[5] & 0x40 != 0)
    {
        assert_eq!((cell_at(&stream, at - 2)[..3].to_vec(), cell[1]), (vec![0x47, 0x40, 0], 0x41));
    }
}

#[test]
fn the_clock_never_runs_back_and_never_rests_for_long() {
    let now = origin();
    // Two seconds of video before the first sound, then sound that lags behind.
    let mut packets: Vec<_> = (0..60).map(|nth| picture(nth, 300, now)).collect();
    for nth in 0..30 {
        packets.push(sound(90 + nth, 100, now));
        packets.push(picture(60 + nth, 300, now));
    }
    let stream = mux(&packets);
    let clocks: Vec<u64> = stream
        .chunks(CELL_BYTES)
        .filter(|cell| cell[3] & 0x20 != 0 && cell[4] > 0 && cell[5] & 0x10 != 0)
        .map(|cell| u64::from(u32::from_be_bytes([cell[6], cell[7], cell[8], cell[9]])) << 1 | u64::from(cell[10] >> 7))
        .collect();
    assert!(clocks.windows(2).all(|pair| pair[1] >= pair[0] && pair[1] - pair[0] <= 12_000), "{clocks:?}");
    assert_eq!(demux(&stream, 188, now).1.len(), 0, "clock packets do not disturb the counters");
}

#[test]
fn a_missing_cell_costs_its_picture_and_says_so() {
    let now = origin();
    let stream = mux(&(0..12).map(|nth| picture(nth, 900, now)).collect::<Vec<_>>());
    let starts: Vec<usize> = (0..stream.len() / CELL_BYTES).filter(|&at| is_video_start(cell_at(&stream, at))).collect();
    for lost in starts[3]..starts[4] {
        let mut bytes = stream.clone();
        bytes.drain(lost * CELL_BYTES..(lost + 1) * CELL_BYTES);
        let (found, bad) = demux(&bytes, 500, now);
        assert_eq!(found.len(), 11, "cell {lost}");
        assert_eq!(bads(&bad, Reason::Continuity), 1);
        assert!(bad.iter().any(|event| matches!(event, Event::Gap(Stream::Video))));
    }
}

#[test]
fn repeated_cells_are_dropped_and_damaged_or_scrambled_ones_cost_a_picture() {
    let now = origin();
    let stream = mux(&(0..12).map(|nth| picture(nth, 900, now)).collect::<Vec<_>>());
    let doubled: Vec<u8> = stream.chunks(CELL_BYTES).flat_map(|cell| [cell, cell].concat()).collect();
    let (found, bad) = demux(&doubled, 4_000, now);
    assert_eq!((found.len(), bad.len()), (12, 0));
    for (byte, bits, reason) in [(1, 0x80, Reason::TransportError), (3, 0x80, Reason::Scrambled)] {
        let mut bytes = stream.clone();
        bytes[20 * CELL_BYTES + byte] ^= bits;
        let (found, bad) = demux(&bytes, 4_000, now);
        assert_eq!((found.len(), bads(&bad, reason)), (11, 1), "{reason:?}");
    }
}

#[test]
fn a_muxer_that_stuffs_where_it_likes_is_found_out_after_two_pictures() {
    let now = origin();
    let stream = unstated(mux(&(0..12).map(|nth| picture(nth, 900, now)).collect::<Vec<_>>()));
    // Every second cell of a picture gives its last byte to a cell of its own, which makes both of them stuffed.
    let (mut bytes, mut counter) = (Vec::new(), 0_u8);
    for cell in stream.chunks(CELL_BYTES) {
        let mut put = |mut cell: Vec<u8>, video: bool| {
            if video {
                cell[3] = cell[3] & 0xf0 | counter & 0x0f;
                counter += 1;
            }
            bytes.extend(cell);
        };
        let video = cell[1] & 0x1f == 1 && cell[2] == 0;
        if !video || cell[3] & 0x20 != 0 {
            put(cell.to_vec(), video);
            continue;
        }
        let mut first = [&[0x47, cell[1], cell[2], 0x30, 0], &cell[4..187]].concat();
        first.truncate(CELL_BYTES);
        let mut second = [0x47, 0x01, 0x00, 0x30, 182, 0].to_vec();
        second.resize(CELL_BYTES - 1, 0xff);
        second.push(cell[187]);
        put(first, true);
        put(second, true);
    }
    let mut demuxer = Demuxer::new();
    demuxer.push(&bytes, now);
    demuxer.finish();
    let (found, bad) = drain(&mut demuxer);
    assert_eq!(bads(&bad, Reason::Late), 2);
    let whole = demux(&stream, 1_000, now).0;
    assert_eq!(outline(&found)[2..], outline(&whole)[2..], "all but the first two are whole");
}

/// Pushes pictures that state no length and fill their last cell, every 33 ms, and tells after each whether it can end by silence.
fn waits(pauses_within: bool) -> Vec<bool> {
    let now = origin();
    let mut demuxer = Demuxer::new();
    let mut waits = Vec::new();
    for (nth, picture) in exact_fits(20, now).iter().enumerate() {
        let at = now + Duration::from_millis(33) * nth as u32;
        let (first, second) = picture.split_at(if pauses_within { CELL_BYTES * 2 } else { 0 });
        demuxer.push(first, at);
        demuxer.push(second, at + Duration::from_millis(if pauses_within { 10 } else { 0 }));
        waits.push(demuxer.poll_deadline().is_some());
    }
    waits
}

/// The cells of each of `count` pictures; all but the first 15 fill their last cell.
fn exact_fits(count: usize, now: Instant) -> Vec<Vec<u8>> {
    let mut muxer = Muxer::new(true, false);
    let mut counter = 0_u8;
    (0..count)
        .map(|nth| {
            let mut out = BytesMut::new();
            assert!(muxer.write(&picture(nth, 700, now), &mut out));
            let mut cells = unstated(out.to_vec());
            if nth >= 15 {
                // Drops the stuffed cell: what is left is an exact fit.
                cells.truncate(cells.len() - CELL_BYTES);
            }
            for cell in cells.chunks_mut(CELL_BYTES).filter(|cell| cell[1] & 0x1f == 1) {
                cell[3] = cell[3] & 0xf0 | counter & 0x0f;
                counter += 1;
            }
            cells
        })
        .collect()
}

#[test]
fn silence_ends_an_exact_fit_of_a_publisher_that_pauses_between_pictures() {
    assert_eq!(waits(false), [[false; 15].to_vec(), [true; 5].to_vec()].concat());
    assert_eq!(waits(true), [false; 20]);

    let now = origin();
    let mut demuxer = Demuxer::new();
    for (nth, picture) in exact_fits(16, now).iter().enumerate() {
        demuxer.push(picture, now + Duration::from_millis(33) * nth as u32);
    }
    let before = drain(&mut demuxer).0.len();
    let last = now + Duration::from_millis(33) * 15;
    let deadline = demuxer.poll_deadline().expect("waits for silence");
    demuxer.handle_timeout(deadline - Duration::from_micros(1));
    assert!(demuxer.poll().is_none(), "too early");
    demuxer.handle_timeout(deadline);
    let (after, _) = drain(&mut demuxer);
    assert_eq!((before, after.len(), after[0].arrival, demuxer.poll_deadline()), (15, 1, last, None));
}

#[test]
fn publisher_that_is_held_back_does_not_pause() {
    let now = origin();
    let mut demuxer = Demuxer::new();
    for (nth, picture) in exact_fits(20, now).iter().enumerate() {
        let at = now + Duration::from_millis(33) * nth as u32;
        demuxer.push(picture, at);
        // Room for the next is there only when it comes.
        demuxer.handle_waiting(at + Duration::from_millis(32));
        assert_eq!(demuxer.poll_deadline(), None, "picture {nth}");
    }
    assert_eq!(drain(&mut demuxer).0.len(), 19);
}

#[test]
fn pauses_within_pictures_of_stated_length_count_too() {
    let now = origin();
    let (mut muxer, mut demuxer) = (Muxer::new(true, false), Demuxer::new());
    for nth in 0..20 {
        let mut out = BytesMut::new();
        assert!(muxer.write(&picture(nth, 700, now), &mut out));
        let at = now + Duration::from_millis(33) * nth as u32;
        let cells = if nth < 19 { out.to_vec() } else { unstated(out.to_vec()) };
        let (first, second) = cells.split_at(CELL_BYTES * 2);
        demuxer.push(first, at);
        assert_eq!(demuxer.poll_deadline(), None, "picture {nth}");
        demuxer.push(second, at + Duration::from_millis(10));
    }
    assert_eq!(drain(&mut demuxer).0.len(), 20);
}

#[test]
fn half_a_cell_never_waits_for_silence() {
    let now = origin();
    let mut demuxer = Demuxer::new();
    for (nth, picture) in exact_fits(18, now).iter().enumerate() {
        let at = now + Duration::from_millis(33) * nth as u32;
        for (nth, byte) in picture.chunks(1).enumerate() {
            demuxer.push(byte, at);
            assert!(demuxer.poll_deadline().is_none() || (nth + 1).is_multiple_of(CELL_BYTES));
        }
    }
    assert_eq!(drain(&mut demuxer).0.len(), 17);
}

#[test]
fn no_truncation_or_flipped_bit_panics_or_makes_a_packet_from_nothing() {
    let now = origin();
    let packets: Vec<_> = (0..6).flat_map(|nth| [picture(nth, 400, now), sound(nth, 90, now)]).collect();
    let stream = mux(&packets);
    for bytes in 0..stream.len() {
        assert!(demux(&stream[..bytes], 4_096, now).0.len() <= packets.len());
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..4_000 {
        let mut bytes = stream.clone();
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            bytes[(random >> 8) as usize % stream.len()] ^= 1 << (random & 7);
        }
        let found = demux(&bytes, 4_096, now).0;
        assert!(found.len() <= packets.len() + 1, "three flipped bits made {} packets", found.len());
    }
}

fn any_packets() -> impl Strategy<Value = Vec<(bool, usize)>> {
    proptest::collection::vec((any::<bool>(), prop_oneof![1_usize..600, 150_usize..200, 60_000_usize..70_000]), 1..12)
}

proptest! {
    #[test]
    fn what_is_muxed_is_demuxed(kinds in any_packets(), chunk in 1_usize..2_000) {
        let now = origin();
        let mut nth = 0;
        let packets: Vec<_> = kinds.iter().map(|&(video, bytes)| if video {
            nth += 1;
            picture(nth - 1, bytes, now)
        } else {
            sound(nth, bytes % 5_000, now)
        }).collect();
        let (found, bad) = demux(&mux(&packets), chunk, now);
        prop_assert!(bad.is_empty(), "{:?}", bad);
        let lead = MediaTime::from_millis(100);
        let expected: Vec<_> = packets.iter().map(|packet| Packet { pts: packet.pts.map(|at| at + lead), dts: packet.dts.map(|at| at + lead), ..packet.clone() }).collect();
        // Fewer than four cells are not recognised as a transport stream.
        if mux(&packets).len() > 3 * CELL_BYTES {
            prop_assert_eq!(outline(&found), outline(&expected));
        }
    }

    #[test]
    fn chunking_does_not_matter(cuts in proptest::collection::vec(1_usize..900, 1..60), flip in any::<u16>(), start in 0_usize..600) {
        let now = origin();
        let packets: Vec<_> = (0..8).flat_map(|nth| [picture(nth, 700, now), sound(nth, 90, now)]).collect();
        let mut stream = mux(&packets);
        let bits = stream.len() * 8;
        stream[usize::from(flip) % bits / 8] ^= 1 << (flip % 8);
        let whole = demux(&stream[start..], usize::MAX, now);
        let mut demuxer = Demuxer::new();
        let mut rest = &stream[start..];
        for &cut in cuts.iter().cycle() {
            let (now_bytes, later) = rest.split_at(cut.min(rest.len()));
            demuxer.push(now_bytes, now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let cut = drain(&mut demuxer);
        prop_assert_eq!(outline(&cut.0), outline(&whole.0));
        prop_assert_eq!(format!("{:?}", cut.1), format!("{:?}", whole.1));
    }
}
