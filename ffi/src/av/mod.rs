//! FFmpeg: packets to pictures and samples, and back, with nothing held that could be shown.
//!
//! | stage | in | out | copies |
//! |---|---|---|---|
//! | [`Input`] | a file or an address | [`Packet`](crate::Packet) | 1 out of the file or socket |
//! | [`VideoDecoder`] | [`Packet`](crate::Packet) | [`Picture`] | 0 (the packet is lent, the picture is the decoder's own frame or made in a slot that is lent to it) |
//! | [`Painter`] | [`Picture`] | [`I420Mut`](crate::I420Mut) | 1 pass from planar 8-bit, 2 from any other kind |
//! | [`Converter`] | [`Picture`] | [`I420`](crate::I420) | 1 pass |
//! | [`H264Encoder`] | [`I420`](crate::I420) | [`Packet`](crate::Packet) | 0 of ours (x264 copies what it is lent) |
//! | [`Mpeg1Encoder`] | [`I420`](crate::I420) | [`Packet`](crate::Packet) | 1 (libavcodec's) |
//! | [`Vp8Encoder`] | [`I420`](crate::I420) | [`Packet`](crate::Packet) | 0 of ours (libvpx copies what it is lent) |
//! | [`AudioDecoder`] | [`Packet`](crate::Packet) | [`Samples`] | 0 |
//! | [`Resampler`] | [`Samples`] | bytes somebody lends | 1 pass |
//! | [`AudioEncoder`] | bytes | [`Packet`](crate::Packet) | 1 pass in; of AAC 1 of the few hundred bytes out (the ADTS header goes before them) |
//!
//! Every stage has one owner and is driven by calling it; none starts a thread of ours. FFmpeg's own log is silent until
//! [`set_log`] routes it.

mod audio;
mod audio_encoder;
mod codec;
mod convert;
mod decoder;
mod encoder;
mod input;
mod layout;
mod lend;
mod log;
mod opus;
mod owned;
mod packet;
mod painter;
mod picture;
mod reorder;
mod resample;

#[cfg(test)]
mod tests;

pub use audio::{AudioDecoder, Samples};
pub use audio_encoder::AudioEncoder;
pub use convert::Converter;
pub use decoder::{Threads, VideoDecoder};
pub use encoder::{H264Encoder, H264Settings, Mpeg1Encoder, Preset, Vp8Encoder};
pub use input::{Input, Interrupt, Read, Track};
pub use log::{LogLevel, set_log};
pub use painter::Painter;
pub use picture::Picture;
pub use resample::Resampler;
