//! How many bytes a second go through the transport stream demuxer and muxer.

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};
use crosspoint_router::wire::ts::{Demuxer, Event, Muxer};

/// Ten seconds of 720p30 at 3 Mb/s with sound at 128 kb/s: the sizes that viewers get.
fn packets(now: Instant) -> Vec<Packet> {
    let mut packets = Vec::new();
    for nth in 0..300_i64 {
        let key = nth % 60 == 0;
        let mut data = vec![0, 0, 0, 1, 9, 0xf0];
        if key {
            data.extend([0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x68, 0xce]);
        }
        data.extend([0, 0, 1, if key { 0x65 } else { 0x41 }, if key { 0x88 } else { 0x9a }]);
        data.extend((0..if key { 80_000 } else { 11_300 }).map(|at| (at * 31 + nth) as u8 | 1));
        packets.push(packet(Codec::H264, &data, MediaTime::from_ticks(nth, 30), key, now));
    }
    for nth in 0..468 {
        let data: Vec<u8> = [0xff, 0xf1, 0x50, 0x80].into_iter().chain((0..337).map(|at| (at * 7 + nth) as u8)).collect();
        packets.push(packet(Codec::Aac, &data, MediaTime::from_ticks(nth * 1024, 48_000), true, now));
    }
    packets.sort_by_key(Packet::decode_time);
    packets
}

fn packet(codec: Codec, data: &[u8], time: MediaTime, key: bool, arrival: Instant) -> Packet {
    Packet { codec, data: Payload::copy_from_slice(data), pts: Some(time), dts: Some(time), key, arrival, parameters: None }
}

fn mux(packets: &[Packet], out: &mut BytesMut) {
    let mut muxer = Muxer::new(true, true);
    for packet in packets {
        assert!(muxer.write(packet, out));
    }
}

fn demux(stream: &[u8], chunk: usize, now: Instant) -> usize {
    let (mut demuxer, mut count) = (Demuxer::new(), 0);
    for chunk in stream.chunks(chunk) {
        demuxer.push(chunk, now);
        while let Some(event) = demuxer.poll() {
            count += usize::from(matches!(black_box(event), Event::Packet { .. }));
        }
    }
    count
}

fn ts(c: &mut Criterion) {
    let now = Instant::now();
    let packets = packets(now);
    let mut stream = BytesMut::new();
    mux(&packets, &mut stream);

    let mut group = c.benchmark_group("ts/demux");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    for chunk in [188, 1_316, 65_536] {
        assert_eq!(demux(&stream, chunk, now), packets.len());
        group.bench_with_input(BenchmarkId::new("chunk", chunk), &chunk, |b, &chunk| b.iter(|| demux(&stream, chunk, now)));
    }
    group.finish();

    let mut group = c.benchmark_group("ts/mux");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    let mut out = BytesMut::with_capacity(stream.len());
    group.bench_function("h264+aac", |b| {
        b.iter(|| {
            out.clear();
            mux(&packets, &mut out);
            assert_eq!(out.len(), stream.len());
        });
    });
    group.finish();
}

criterion_group!(benches, ts);
criterion_main!(benches);
