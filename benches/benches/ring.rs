//! How long does it take to hand a value over, within a thread and between two?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::ring;

fn hand_over(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    group.throughput(Throughput::Elements(1));

    let picture = Arc::new(vec![0_u8; 1_382_400]);
    let (mut writer, mut reader) = ring::newest();
    group.bench_function("same thread", |bencher| {
        bencher.iter(|| {
            assert!(writer.publish(Arc::clone(&picture)).is_none());
            reader.take().expect("just published")
        });
    });

    group.bench_function("displace unread", |bencher| {
        drop(writer.publish(Arc::clone(&picture)));
        bencher.iter(|| writer.publish(Arc::clone(&picture)).expect("nobody takes"));
    });

    // There and back over two rings, both ends polling (yielding, or a busy machine measures its scheduler's slices); one hand-over is half of it.
    group.bench_function("between threads", |bencher| {
        let (mut there, mut there_end) = ring::newest::<u64>();
        let (mut back, mut back_end) = ring::newest::<u64>();
        let stop = Arc::new(AtomicBool::new(false));
        let echo = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                // Relaxed, no partner: nothing is behind the flag.
                while !stop.load(Ordering::Relaxed) {
                    match there_end.take() {
                        Some(value) => assert!(back.publish(value).is_none()),
                        None => std::thread::yield_now(),
                    }
                }
            }
        });
        bencher.iter_custom(|rounds| {
            let start = Instant::now();
            for round in 0..rounds {
                assert!(there.publish(round).is_none());
                let value = loop {
                    match back_end.take() {
                        Some(value) => break value,
                        None => std::thread::yield_now(),
                    }
                };
                assert_eq!(value, round);
            }
            start.elapsed() / 2
        });
        stop.store(true, Ordering::Relaxed);
        echo.join().expect("the echo does not panic");
    });
    group.finish();
}

criterion_group!(benches, hand_over);
criterion_main!(benches);
