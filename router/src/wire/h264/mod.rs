//! H.264 (ITU-T H.264): what its parameter sets say, and pictures of ours between those of an encoder.

mod escape;
mod parameters;
mod splicer;

pub use splicer::Splicer;

pub(in crate::wire) use parameters::Sps;
