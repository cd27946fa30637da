//! What does a picture of the screen cost: reading it from the X server, and making I420 of it?
//!
//! The read is timed on our side of the round trip, which waits for the server's: it is the sum of both. The conversion is interleaved
//! with the `yuv` crate's, one thread each.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::x11::{Display, Screen, bgra_to_i420};
use crosspoint_ffi::{Bgra, I420Mut, Plane};
use yuv::{BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix};

struct Server(Child, String);

impl Server {
    fn start(width: usize, height: usize) -> Option<Self> {
        let geometry = format!("{width}x{height}x24");
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", &geometry, "-nolisten", "tcp", "-noreset"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let mut server = Self(child, String::new());
        let mut number = String::new();
        BufReader::new(server.0.stdout.take()?).read_line(&mut number).ok()?;
        server.1 = format!(":{}", number.trim());
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const SIZES: [(usize, usize); 2] = [(1280, 720), (1920, 1080)];

fn grab(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grab whole screen");
    for (width, height) in SIZES {
        let Some(server) = Server::start(width, height) else { continue };
        let mut screen = Screen::new(Display::open(Some(&server.1)).expect("up")).expect("a screen");
        assert!(screen.notes().is_empty(), "the fast way");
        group.throughput(Throughput::Elements((width * height) as u64));
        group.bench_function(BenchmarkId::from_parameter(height), |bencher| {
            bencher.iter(|| {
                screen.damage_everything();
                assert_eq!(screen.grab().expect("alive").rows.len(), 1);
            });
        });
    }
    group.finish();
}

fn nothing_new(criterion: &mut Criterion) {
    let Some(server) = Server::start(1280, 720) else { return };
    let mut screen = Screen::new(Display::open(Some(&server.1)).expect("up")).expect("a screen");
    while screen.is_stale() {
        screen.grab().expect("alive");
        screen.handle_events().expect("alive");
    }
    criterion.bench_function("grab of an unchanged screen", |bencher| {
        bencher.iter(|| assert!(screen.grab().expect("alive").rows.is_empty()));
    });
}

fn convert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bgra to i420");
    for (width, height) in SIZES {
        let pixels: Vec<u8> = (0..width * height * 4).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let from = Bgra { width, height, pixels: Plane { data: &pixels, stride: width * 4 } };
        let (mut ours, mut theirs) = (vec![0; width * height * 3 / 2], vec![0; width * height * 3 / 2]);
        bgra_to_i420(&from, 0..height, &mut whole(&mut ours, width, height)).expect("fits");
        by_yuv(&from, &mut whole(&mut theirs, width, height));
        assert!(ours.iter().zip(&theirs).all(|(&ours, &theirs)| ours.abs_diff(theirs) <= 2), "the same picture");
        group.throughput(Throughput::Elements((width * height) as u64));
        group.bench_function(BenchmarkId::new("ours", height), |bencher| {
            let mut to = whole(&mut ours, width, height);
            bencher.iter(|| bgra_to_i420(black_box(&from), 0..height, &mut to));
        });
        group.bench_function(BenchmarkId::new("yuv crate", height), |bencher| {
            let mut to = whole(&mut theirs, width, height);
            bencher.iter(|| by_yuv(black_box(&from), &mut to));
        });
    }
    group.finish();
}

fn whole(bytes: &mut [u8], width: usize, height: usize) -> I420Mut<'_> {
    I420Mut::packed(bytes, width as u32, height as u32).expect("sized")
}

/// The same by the `yuv` crate.
fn by_yuv(from: &Bgra<'_>, to: &mut I420Mut<'_>) {
    let mut planar = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(to.y.data),
        y_stride: to.y.stride as u32,
        u_plane: BufferStoreMut::Borrowed(to.u.data),
        u_stride: to.u.stride as u32,
        v_plane: BufferStoreMut::Borrowed(to.v.data),
        v_stride: to.v.stride as u32,
        width: to.width as u32,
        height: to.height as u32,
    };
    let (range, matrix, mode) = (YuvRange::Limited, YuvStandardMatrix::Bt601, YuvConversionMode::Balanced);
    yuv::bgra_to_yuv420(&mut planar, from.pixels.data, from.pixels.stride as u32, range, matrix, mode).expect("fits");
}

criterion_group!(benches, grab, nothing_new, convert);
criterion_main!(benches);
