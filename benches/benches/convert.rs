//! How many pixels a second does the painter put onto a canvas, and how many does libswscale?
//!
//! The window's pixels count. Each group is one way a picture may have to go, and its rows are interleaved ways of going it: `painter`
//! is what the house does; `libswscale_and_copy` scales into a frame and copies that into the window, as it must be done to leave the
//! rest of the canvas alone; `libswscale_alone` does not copy.
//!
//! The painter's results differ from libswscale's by their filters, so the two are only asserted to look alike.

mod clip;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::av::{Converter, Painter, Picture, VideoDecoder};
use crosspoint_ffi::{Codec, I420, I420Mut, Plane, PlaneMut};

/// A picture's size and pixel format, the canvas's size, and the size of the window it gets.
type Way = (&'static str, &'static str, &'static str, (usize, usize), (usize, usize));

const WAYS: [Way; 9] = [
    ("720p_to_720p", "1280x720", "yuv420p", (1_280, 720), (1_280, 720)),
    ("1080p_to_720p", "1920x1080", "yuv420p", (1_280, 720), (1_280, 720)),
    ("360p_to_720p", "640x360", "yuv420p", (1_280, 720), (1_280, 720)),
    ("2160p_to_720p", "3840x2160", "yuv420p", (1_280, 720), (1_280, 720)),
    ("720p_letterboxed_to_960x720", "1280x720", "yuv420p", (960, 720), (960, 540)),
    ("full_range_720p_to_720p", "1280x720", "yuvj420p", (1_280, 720), (1_280, 720)),
    ("full_range_1080p_to_720p", "1920x1080", "yuvj420p", (1_280, 720), (1_280, 720)),
    ("yuv444p_720p_to_720p", "1280x720", "yuv444p", (1_280, 720), (1_280, 720)),
    ("yuv420p10_1080p_to_720p", "1920x1080", "yuv420p10le", (1_280, 720), (1_280, 720)),
];

fn picture(size: &str, pixel_format: &str) -> Picture {
    let source = format!("testsrc2=size={size}:rate=30:duration=0.1");
    let options = format!("-pix_fmt {pixel_format} -c:v libx264 -preset ultrafast -qp 10");
    let packets = clip::packets(&source, Codec::H264, &options);
    let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
    decoder.send(&packets[0]).expect("a good packet");
    decoder.flush();
    decoder.receive().expect("a good packet").expect("a picture")
}

fn paint(criterion: &mut Criterion) {
    for (name, size, pixel_format, canvas, window) in WAYS {
        let picture = picture(size, pixel_format);
        let (mut ours, mut theirs) = (vec![255; canvas.0 * canvas.1 * 3 / 2], vec![16; canvas.0 * canvas.1 * 3 / 2]);
        let mut painter = Painter::new();
        let mut converter = Converter::new(&picture, window.0, window.1).expect("a known format");
        let (x, y) = ((canvas.0 - window.0) / 2, (canvas.1 - window.1) / 2);
        let by_painter = |painter: &mut Painter, bytes: &mut [u8]| painter.draw(&picture, &mut whole(bytes, canvas)).expect("drawn");
        let by_libswscale = |converter: &mut Converter, bytes: &mut [u8]| {
            let converted = converter.convert(&picture).expect("converted");
            copy(&converted, &mut whole(bytes, canvas).window(x, y, window.0, window.1));
        };
        by_painter(&mut painter, &mut ours);
        by_libswscale(&mut converter, &mut theirs);
        let luma = canvas.0 * canvas.1;
        let difference: u64 = ours[..luma].iter().zip(&theirs[..luma]).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
        assert!(difference < 5 * luma as u64, "{name}: looks alike");

        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((window.0 * window.1) as u64));
        group.bench_function("painter", |bencher| bencher.iter(|| by_painter(&mut painter, &mut ours)));
        group.bench_function("libswscale_and_copy", |bencher| bencher.iter(|| by_libswscale(&mut converter, &mut theirs)));
        group.bench_function("libswscale_alone", |bencher| bencher.iter(|| converter.convert(&picture).expect("converted").width));
        group.finish();
    }
}

fn whole(bytes: &mut [u8], (width, height): (usize, usize)) -> I420Mut<'_> {
    I420Mut::packed(bytes, width as u32, height as u32).expect("sized")
}

fn copy(from: &I420<'_>, to: &mut I420Mut<'_>) {
    let (width, height) = (to.width, to.height);
    let planes: [(Plane<'_>, &mut PlaneMut<'_>, usize); 3] = [(from.y, &mut to.y, 1), (from.u, &mut to.u, 2), (from.v, &mut to.v, 2)];
    for (from, to, half) in planes {
        for row in 0..height / half {
            to.row_mut(row, width / half).copy_from_slice(from.row(row, width / half));
        }
    }
}

criterion_group!(benches, paint);
criterion_main!(benches);
