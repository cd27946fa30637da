//! How many 720p pictures a second does each decoder give?

mod clip;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::av::VideoDecoder;
use crosspoint_ffi::{Codec, Packet};

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

criterion_group!(benches, decoders);
criterion_main!(benches);
