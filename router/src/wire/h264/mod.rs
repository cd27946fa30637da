//! H.264 (ITU-T H.264): what its parameter sets say, and pictures that repeat the one before.

mod parameters;
mod repeater;

pub use repeater::Repeater;

pub(in crate::wire) use parameters::Sps;
