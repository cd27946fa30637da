//! How many pixels a second does the painter put onto a canvas?
//!
//! The group `paint` draws I420, the group `convert` what only libswscale takes; the canvas's pixels count.
#![expect(missing_docs, reason = "criterion's macros make public functions without docs")]

mod clip;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::av::{Painter, Picture, VideoDecoder};
use crosspoint_ffi::{Codec, I420Mut};

fn picture(size: &str, pixel_format: &str) -> Picture {
    let source = format!("testsrc2=size={size}:rate=30:duration=1");
    let options = format!("-pix_fmt {pixel_format} -c:v libx264 -preset ultrafast -qp 10");
    let packets = clip::packets(&source, Codec::H264, &options);
    let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
    decoder.send(&packets[0]).expect("a good packet");
    decoder.flush();
    decoder.receive().expect("a good packet").expect("a picture")
}

fn painter(criterion: &mut Criterion) {
    for (group, name, size, pixel_format, (width, height)) in [
        ("paint", "copy_720p", "1280x720", "yuv420p", (1_280_u32, 720_u32)),
        ("paint", "1080p_to_720p", "1920x1080", "yuv420p", (1_280, 720)),
        ("paint", "360p_to_720p", "640x360", "yuv420p", (1_280, 720)),
        ("paint", "720p_letterboxed_to_960x720", "1280x720", "yuv420p", (960, 720)),
        ("convert", "yuv444p_720p", "1280x720", "yuv444p", (1_280, 720)),
        ("convert", "yuvj420p_720p", "1280x720", "yuvj420p", (1_280, 720)),
        ("convert", "yuv420p10_1080p_to_720p", "1920x1080", "yuv420p10le", (1_280, 720)),
    ] {
        let picture = picture(size, pixel_format);
        let mut bytes = vec![255; (width * height * 3 / 2) as usize];
        let mut painter = Painter::new();
        let mut canvas = I420Mut::packed(&mut bytes, width, height).expect("sized");
        painter.draw(&picture, &mut canvas).expect("drawn");
        let luma = canvas.as_i420();
        assert!((0..luma.height).all(|row| luma.y.row(row, luma.width).iter().all(|&sample| sample != 255)), "{name}: all written");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(u64::from(width * height)));
        group.bench_function(name, |bencher| bencher.iter(|| painter.draw(&picture, &mut canvas).expect("drawn")));
        group.finish();
    }
}

criterion_group!(benches, painter);
criterion_main!(benches);
