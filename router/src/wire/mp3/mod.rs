//! MPEG audio (MP3, MP2): what a frame's header says. Streams of frames are cut by [`sound`](super::sound).

mod header;

pub use header::Header;
