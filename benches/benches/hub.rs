//! What does a publish cost when 1, 100 or 1000 viewers read it?

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::MediaTime;
use crosspoint_router::broadcast::{Cursor, Hub, Limits, Media, Next, Unit};

/// A picture of a 3 Mbit/s stream at 30 a second.
const UNIT_BYTES: usize = 12_900;

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hub");
    let now = Instant::now();
    let unit = Unit {
        media: Media::Video,
        key: true,
        bytes: Bytes::from(vec![0x47; UNIT_BYTES]),
        payloads: Default::default(),
        preface: None,
        time: MediaTime::ZERO,
        captured: now,
    };

    for viewers in [1_usize, 100, 1_000] {
        let mut hub = Hub::new(Limits::default(), Media::Video);
        let mut cursors: Vec<Cursor> = (0..viewers).map(|_| hub.join(now)).collect();
        group.throughput(Throughput::Elements(viewers as u64));
        group.bench_function(BenchmarkId::new("publish and read", viewers), |bencher| {
            bencher.iter(|| {
                hub.publish(unit.clone());
                for cursor in &mut cursors {
                    let Next::Unit(met) = hub.next(cursor) else { panic!("just published") };
                    // What a viewer does with it: share it into its socket's queue.
                    black_box(met.bytes.clone());
                }
            });
        });
        assert_eq!(hub.stats().dropped, 0, "everybody kept up");
        for cursor in cursors {
            hub.leave(cursor, now);
        }
    }
    group.finish();
}

criterion_group!(benches, publish);
criterion_main!(benches);
