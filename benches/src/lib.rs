//! Criterion benchmarks over the three crates; each question is one file in `benches/`.
//!
//! `make bench` runs them all, `cargo bench -p crosspoint-benches --bench hub` one. Each first asserts that what it times does what it should,
//! then times it, and beside it what it is held against: libswscale, the `yuv` crate. A report per group comes to lie in `target/criterion`.
//!
//! ```
//! use std::hint::black_box;
//!
//! use criterion::{Criterion, Throughput};
//! use crosspoint_ffi::MediaTime;
//!
//! /// What does a time cost on its way into a transport stream?
//! fn times(criterion: &mut Criterion) {
//!     let time = MediaTime::from_millis(1_500);
//!     assert_eq!(time.to_90khz(), 135_000);
//!     let mut group = criterion.benchmark_group("times");
//!     group.throughput(Throughput::Elements(1));
//!     group.bench_function("to 90 kHz", |bencher| bencher.iter(|| black_box(time).to_90khz()));
//!     group.finish();
//! }
//! # // A benchmark's own `main` is `criterion_main!`'s.
//! # let _: fn(&mut Criterion) = times;
//! ```
