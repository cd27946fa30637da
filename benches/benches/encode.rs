//! How many 720p pictures a second does the H.264 encoder take, of a still screen and of one that scrolls?

use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::av::{H264Encoder, H264Settings, Preset};
use crosspoint_ffi::{I420, MediaTime, VideoFormat};

const WIDTH: usize = 1_280;
const HEIGHT: usize = 720;

/// Something like lines of text, scrolled up by `rows`.
fn screen(rows: usize) -> Vec<u8> {
    let luma = |at: usize| {
        let (x, y) = (at % WIDTH, at / WIDTH + rows);
        let ink = y % 18 < 11 && (x * 7 + y / 18 * 131) % 23 < 9 && (x / 3 + y / 2) % 3 == 0;
        if ink { 40 } else { 230 }
    };
    (0..WIDTH * HEIGHT).map(luma).chain(std::iter::repeat_n(128, WIDTH * HEIGHT / 2)).collect()
}

fn encoder(criterion: &mut Criterion) {
    let format = VideoFormat::new(WIDTH as u32, HEIGHT as u32, 30).expect("even and in range");
    let mut group = criterion.benchmark_group("encode_h264_720p");
    group.throughput(Throughput::Elements(1));
    for (name, screens) in [("still", vec![screen(0)]), ("scrolling", (0..30).map(|n| screen(n * 6)).collect())] {
        let mut encoder =
            H264Encoder::new(H264Settings { format, bitrate_bps: 3_000_000, max_bitrate_bps: 3_000_000, preset: Preset::Ultrafast })
                .expect("libx264");
        let mut number = 0;
        let mut next = || {
            let picture = I420::packed(&screens[number % screens.len()], WIDTH as u32, HEIGHT as u32).expect("sized");
            let pts = MediaTime::from_ticks(number as i64, 30);
            number += 1;
            encoder.encode(&picture, pts, Instant::now(), number == 1).expect("encoded").expect("no delay")
        };
        let first = next();
        assert!(first.key && first.data.len() > 1_000, "{name}: a key frame first");
        assert!(!next().key, "{name}: and only when asked for");
        group.bench_function(name, |bencher| bencher.iter(&mut next));
    }
    group.finish();
}

criterion_group!(benches, encoder);
criterion_main!(benches);
