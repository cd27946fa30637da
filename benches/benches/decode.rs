//! How many 720p pictures a second does each decoder give?

mod clip;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;

use crosspoint_ffi::av::{Painter, Threads, VideoDecoder};
use crosspoint_ffi::lend::{Lender, Pool};
use crosspoint_ffi::map::Region;
use crosspoint_ffi::{Codec, I420Mut, Packet, VideoFormat};

fn decode(decoder: &mut VideoDecoder, packets: &[Packet]) -> usize {
    let mut shown = 0;
    for packet in packets {
        decoder.send(packet).expect("a good packet");
        while let Some(picture) = decoder.receive().expect("a good packet") {
            shown += usize::from(picture.width() == 1_280 && picture.height() == 720);
        }
    }
    decoder.flush();
    while decoder.receive().expect("a good stream").is_some() {
        shown += 1;
    }
    shown
}

fn decoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode_720p");
    for (name, codec, options) in [
        ("mpeg1", Codec::Mpeg1Video, "-c:v mpeg1video -bf 0 -b:v 1500k"),
        ("mpeg2", Codec::Mpeg2Video, "-c:v mpeg2video -bf 2 -b:v 3000k"),
        ("h264", Codec::H264, "-c:v libx264 -preset veryfast -tune zerolatency -b:v 3000k"),
        ("h264_reordered", Codec::H264, "-c:v libx264 -preset veryfast -b:v 3000k"),
        ("hevc", Codec::Hevc, "-c:v libx265 -preset ultrafast -x265-params log-level=none -b:v 3000k"),
    ] {
        let packets = clip::packets("testsrc2=size=1280x720:rate=30:duration=1", codec, options);
        let mut decoder = VideoDecoder::new(codec).expect("a decoder");
        assert_eq!(decode(&mut decoder, &packets), packets.len(), "{name}: every packet is shown");
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.sample_size(10);
        group.bench_function(name, |bencher| bencher.iter(|| decode(&mut decoder, &packets)));
    }
    group.finish();
}

/// Decodes and draws each picture into a camera of its size, as the camera file is written.
fn draw(decoder: &mut VideoDecoder, packets: &[Packet], painter: &mut Painter, canvas: &mut I420Mut<'_>) {
    for packet in packets {
        decoder.send(packet).expect("a good packet");
        while let Some(picture) = decoder.receive().expect("a good packet") {
            painter.draw(&picture, canvas).expect("a good picture");
        }
    }
}

/// Does it matter whose memory pictures are made in that are copied into the camera?
fn into_camera(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("into_camera_720p");
    let format = VideoFormat::new(1_280, 720, 30).expect("a good format");
    let pool = Pool::new(Region::new(8, format.i420_bytes()).expect("memory"), format);
    let lender = Lender::default();
    lender.offer(Some(Arc::new(pool)));
    for (name, codec, options) in [
        ("mpeg1", Codec::Mpeg1Video, "-c:v mpeg1video -bf 0 -b:v 1500k"),
        ("h264", Codec::H264, "-c:v libx264 -preset veryfast -tune zerolatency -b:v 3000k"),
    ] {
        let packets = clip::packets("testsrc2=size=1280x720:rate=30:duration=1", codec, options);
        let mut bytes = vec![0; format.i420_bytes()];
        for (whose, lender) in [("own", Lender::default()), ("lent", lender.clone())] {
            let mut decoder = VideoDecoder::open_in(&lender, codec, None, Threads::Slices).expect("a decoder");
            let mut painter = Painter::new();
            let mut canvas = I420Mut::packed(&mut bytes, 1_280, 720).expect("sized");
            group.throughput(Throughput::Elements(packets.len() as u64));
            group.bench_function(format!("{name}_{whose}"), |bencher| {
                bencher.iter(|| draw(&mut decoder, &packets, &mut painter, &mut canvas))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decoders, into_camera);
criterion_main!(benches);
