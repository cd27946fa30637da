//! RTMP (Adobe's Real Time Messaging Protocol 1.0) as two sessions without sockets: [`Server`] for players, [`Client`] to push.
//!
//! Bytes of the peer go in by `handle_input`; then `poll_output` gives bytes to write and events until it gives nothing. Media does not pass
//! through a session: once it says that media may flow, [`Chunker`] makes the message of each FLV tag, whose chunks are a header of its own before a body
//! that all peers share. They are written between the session's own bytes, never inside them.
//!
//! A peer can make a session hold a bounded number of bytes, whatever it announces: messages longer than what a player or a server says, more chunk
//! streams than anybody uses, and questions whose answers nobody reads end the session.
//!
//! ```
//! use bytes::Bytes;
//! use crosspoint_router::wire::flv::{Kind, Tag};
//! use crosspoint_router::wire::rtmp::{Chunker, RANDOM_BYTES, Server, ServerOutput};
//!
//! let mut session = Server::new("live", &[7; RANDOM_BYTES]);
//! session.handle_input(&[&[3][..], &[0; 1536]].concat())?;
//! let Some(ServerOutput::Send(answer)) = session.poll_output() else { panic!("a handshake is answered") };
//! assert_eq!(answer.len(), 1 + 2 * 1536);
//!
//! // … until it says `Play` and is told to accept, which names the message stream and the size of chunks.
//! let mut chunker = Chunker::for_player(1, 0xff_ffff);
//! let picture = Tag { kind: Kind::Video, time_ms: 90_000, body: Bytes::from_static(&[0x27, 1, 0, 0, 0]) };
//! let (head, body) = chunker.handle_tag(picture.clone()).and_then(|mut chunks| chunks.next()).expect("one chunk");
//! assert_eq!(head.as_ref()[1..4], [0; 3], "its clock starts at 0");
//! assert_eq!(body.as_ptr(), picture.body.as_ptr(), "the body is shared");
//! # Ok::<(), crosspoint_router::wire::rtmp::Error>(())
//! ```

pub mod amf0;
mod chunk;
mod client;
mod command;
mod handshake;
mod media;
mod server;
mod target;

use chunk::Reader;
pub use chunk::{Chunks, Head, Message};
pub use client::{Client, ClientEvent, ClientOutput};
pub use handshake::RANDOM_BYTES;
pub use media::Chunker;
pub use server::{Server, ServerEvent, ServerOutput};
pub use target::{BadTarget, TargetUrl};

/// Why a session is over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The peer names a chunk stream that has not begun, or a chunk size of 0.
    #[error("the peer's chunks make no sense")]
    Chunk,
    /// A message that is longer than any that is expected.
    #[error("the peer announces a message of {0} bytes")]
    Long(usize),
    /// More chunk streams than any peer uses.
    #[error("the peer opens too many chunk streams")]
    ManyStreams,
    /// A command that cannot be read.
    #[error("the peer's command makes no sense")]
    Command,
    /// The peer asks and asks, and reads no answer.
    #[error("the peer reads no answers")]
    Unread,
    /// The peer speaks another version, or another protocol.
    #[error("the peer does not speak rtmp")]
    Version,
    /// The server turned us down, in its words.
    #[error("{0}")]
    Refused(String),
}

/// Message types (5.4, 6.2, 7.1).
mod kind {
    pub(super) const SET_CHUNK_SIZE: u8 = 1;
    pub(super) const ABORT: u8 = 2;
    pub(super) const ACKNOWLEDGEMENT: u8 = 3;
    pub(super) const USER_CONTROL: u8 = 4;
    pub(super) const WINDOW: u8 = 5;
    pub(super) const PEER_BANDWIDTH: u8 = 6;
    pub(super) const COMMAND_AMF3: u8 = 17;
    pub(super) const COMMAND: u8 = 20;
}

/// User control events (7.1.7).
mod user {
    pub(super) const STREAM_BEGIN: u16 = 0;
    pub(super) const STREAM_EOF: u16 = 1;
    pub(super) const PING: u16 = 6;
    pub(super) const PONG: u16 = 7;
}

/// What a chunk holds until a peer says otherwise (5.4.1).
const DEFAULT_CHUNK_BYTES: usize = 128;
/// The window that we ask peers to acknowledge by; servers send 2.5 MB or 5 MB, and nobody waits for it.
const WINDOW_BYTES: u32 = 5_000_000;
/// Answers that may wait to be written. A session has some hundred bytes to say in its life, but for answers to pings.
const OUTPUT_MAX_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests;
