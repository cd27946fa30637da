//! The load and latency harness of Crosspoint.

fn main() {}
