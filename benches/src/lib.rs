//! Criterion benchmarks over the three crates; each question is one file in `benches/`.
//!
//! `make bench` runs them all, `cargo bench -p crosspoint-benches --bench hub` one. Each first asserts that what it times does what it should,
//! then times it, and beside it what it is held against: libswscale, the `yuv` crate. A report per group comes to lie in `target/criterion`.
