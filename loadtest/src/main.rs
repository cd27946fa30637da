//! The load and latency harness of Crosspoint.
#![forbid(unsafe_code)]

fn main() {}
