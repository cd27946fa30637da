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
//! [`wire`] turns bytes into packets and back and keeps no pipeline state; [`rtc`] is what speaks WebRTC at either end; [`control`] says
//! what runs.
#![forbid(unsafe_code)]

pub mod broadcast;
pub mod control;
pub mod ingest;
pub mod rtc;
pub mod wire;
