//! The sans-IO core of Crosspoint.
//!
//! Bytes, frames and `now` go in; packets, bytes, commands and the next deadline come out. Nothing here reads a clock, opens a socket or
//! starts a thread, so everything here is tested in virtual time by calling it. Media moves left to right only:
//!
//! ```text
//! ingest      bytes ─▶ source ─Packet▶ pace ─▶ (decode) ─▶ present ─▶ camera
//! broadcast   (capture, encode) ─Packet▶ pack ─▶ hub ─cursor▶ viewer
//! ```
//!
//! Each stage is worked in the same way: tell it one thing, then ask it until it says when to come again. Here a publisher that sends ahead of
//! its time, and is made to wait by its own clock:
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};
//! use crosspoint_router::ingest::{MediaSource, Nature, SourceOutput};
//!
//! # #[expect(clippy::disallowed_methods, reason = "an example's clock")]
//! let start = Instant::now();
//! let picture = |at_ms: i64| Packet {
//!     codec: Codec::Mpeg1Video,
//!     data: Payload::copy_from_slice(b"a picture"),
//!     pts: Some(MediaTime::from_millis(at_ms)),
//!     dts: None,
//!     key: true,
//!     arrival: start,
//!     parameters: None,
//! };
//!
//! let mut source = MediaSource::new(Nature::Recorded);
//! source.set_wanted(true, false);
//! source.handle_packet(picture(0));
//! source.handle_packet(picture(40));
//! assert!(matches!(source.poll(start), SourceOutput::Release(..)), "the first is shown at once");
//! let SourceOutput::Wait { until: Some(due), .. } = source.poll(start) else { panic!("the second is early") };
//! assert_eq!(due, start + Duration::from_millis(40));
//! assert!(matches!(source.poll(due), SourceOutput::Release(..)));
//! ```
//!
//! [`wire`] turns bytes into packets and back and keeps no pipeline state; [`rtc`] is what speaks WebRTC at either end; [`control`] says
//! what runs.
#![forbid(unsafe_code)]

pub mod broadcast;
pub mod control;
pub mod ingest;
pub mod rtc;
pub mod wire;
