//! Every C library of Crosspoint and all of its `unsafe` code.
//!
//! With no feature on, this crate links nothing: it is the vocabulary that the rest of the house speaks ([`MediaTime`], [`Packet`],
//! [`VideoFormat`], picture views and their [`scale`], the newest-wins [`ring`]) and the memory it speaks about ([`map`], and [`trim`] at rest). Each feature adds a C
//! library behind an interface that cannot be misused: `av` (FFmpeg, and libopus where that hides it), `pulse` (PulseAudio), `v4l2` (the kernel's video devices),
//! `x11` (Xlib and its extensions). They never import each other.
//!
//! ```
//! use crosspoint_ffi::{I420Mut, MediaTime, VideoFormat};
//!
//! let format = VideoFormat::new(1280, 720, 30).expect("even and in range");
//! let mut bytes = vec![0; format.i420_bytes()];
//! let mut picture = I420Mut::packed(&mut bytes, format.width(), format.height()).expect("sized by the format");
//! picture.fill_black();
//! assert_eq!(MediaTime::from_90khz(90_000), MediaTime::from_millis(1_000));
//! ```

#[cfg(feature = "av")]
pub mod av;
pub mod exit;
pub mod fd;
pub mod lend;
pub mod map;
pub mod opus;
#[cfg(feature = "pulse")]
pub mod pulse;
pub mod ring;
pub mod scale;
pub mod trim;
pub mod udp;
#[cfg(feature = "v4l2")]
pub mod v4l2;
#[cfg(feature = "x11")]
pub mod x11;

mod error;
mod format;
mod frame;
mod packet;
mod time;

pub use error::{Error, Remedy, Result};
pub use format::{AudioFormat, VideoFormat};
pub use frame::{Bgra, Copied, I420, I420Mut, Plane, PlaneMut};
pub use packet::{Codec, CodecId, Packet, Parameters, Payload, PayloadBuilder};
pub use time::MediaTime;
