//! Criterion benchmarks over the three crates; each question is one file in `benches/`.
