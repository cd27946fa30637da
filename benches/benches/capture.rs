//! What does a picture of the screen cost: reading it from the X server, and making I420 of it?
//!
//! The read is timed on our side of the round trip, which waits for the server's: it is the sum of both. Against libswscale, the
//! conversion is that of 1 thread each.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::x11::{Display, Screen, bgra_to_i420};
use crosspoint_ffi::{Bgra, I420Mut, Plane};

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
        let mut bytes = vec![0; width * height * 3 / 2];
        let mut to = I420Mut::packed(&mut bytes, width as u32, height as u32).expect("sized");
        bgra_to_i420(&from, 0..height, &mut to).expect("fits");
        assert!((16..=235).contains(&to.y.data[0]));
        group.throughput(Throughput::Elements((width * height) as u64));
        group.bench_function(BenchmarkId::from_parameter(height), |bencher| {
            bencher.iter(|| bgra_to_i420(black_box(&from), 0..height, &mut to));
        });
    }
    group.finish();
}

criterion_group!(benches, grab, nothing_new, convert);
criterion_main!(benches);
