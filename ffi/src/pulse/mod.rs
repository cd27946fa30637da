//! PulseAudio: the microphone that the browser hears, the speaker that we capture.
//!
//! A process has one [`Connection`], made and driven by one thread: nothing happens but inside [`Connection::iterate`], which runs
//! the library's callbacks once. From it come the streams, [`Playback`] into a sink and [`Record`] from a source, and what is known
//! about the sound devices: [`Connection::ensure_devices`] makes those that are missing, and the connection then keeps count of who
//! listens and who plays. A server that goes away, or a stream that it ends, is an error of `iterate` with
//! [`Remedy::Rebuild`](crate::Remedy::Rebuild): drop everything and connect again.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//!
//! use crosspoint_ffi::AudioFormat;
//! use crosspoint_ffi::pulse::{Connection, Latency, MICROPHONE_SINK};
//!
//! # fn main() -> crosspoint_ffi::Result<()> {
//! let deadline = Instant::now() + Duration::from_secs(2);
//! let mut connection = Connection::connect(None, "crosspoint", deadline)?;
//! connection.ensure_devices(deadline)?;
//! let mut playback = connection.playback(MICROPHONE_SINK, AudioFormat::STEREO_48K, Latency::LIVE)?;
//! loop {
//!     connection.iterate(None)?;
//!     let wanted = playback.writable_bytes();
//!     playback.write_with(wanted, |lent| {
//!         lent.fill(0);
//!         lent.len()
//!     })?;
//! }
//! # }
//! ```
//!
//! The types of this module belong to the thread that made them, but for [`Waker`].

mod code;
mod connection;
mod devices;
mod mainloop;
mod playback;
mod record;
mod request;
mod signals;
mod stream;
mod timing;
mod usage;

#[cfg(test)]
mod tests;

pub use connection::Connection;
pub use devices::Devices;
pub use mainloop::Waker;
pub use playback::{Latency, Playback};
pub use record::Record;

/// The sink that feeds the microphone.
pub const MICROPHONE_SINK: &str = "audio_input";

/// The monitor of [`MICROPHONE_SINK`]. Chromium lists no monitors: it hears [`MICROPHONE_SOURCE`].
pub const MICROPHONE_MONITOR: &str = "audio_input.monitor";

/// The source that applications list and record; it repeats [`MICROPHONE_MONITOR`].
pub const MICROPHONE_SOURCE: &str = "microphone";

/// The sink that applications play into.
pub const SPEAKER_SINK: &str = "audio_output";

/// What [`SPEAKER_SINK`] plays.
pub const SPEAKER_MONITOR: &str = "audio_output.monitor";
