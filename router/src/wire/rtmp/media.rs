//! FLV tags into the messages of one peer.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Chunks, Message};
use crate::wire::flv::{Kind, Tag};

/// Makes one peer's messages of shared tags: times that start at 0 for it, headers once.
///
/// Sound that belongs before the first picture is left out. Headers that the peer has already are, too; a header that changes goes out
/// again in its place.
///
/// Copies: 0 (a message shares the tag's body); 1 of some hundred bytes for a publisher's metadata.
#[derive(Debug)]
pub struct Chunker {
    stream: u32,
    chunk_bytes: usize,
    publishes: bool,
    /// The last tag's time, and the same on the peer's clock, which starts at 0 and does not wrap.
    clock: Option<(u32, i64)>,
    start_ms: i64,
    /// The last header of each kind.
    script: Bytes,
    audio: Bytes,
    video: Bytes,
}

impl Chunker {
    /// Makes a chunker for a player on a message stream, after a chunk size was announced.
    #[must_use]
    pub fn for_player(stream: u32, chunk_bytes: usize) -> Self {
        let none = Bytes::new;
        Self { stream, chunk_bytes, publishes: false, clock: None, start_ms: 0, script: none(), audio: none(), video: none() }
    }

    /// Makes a chunker for a server that we publish to.
    #[must_use]
    pub fn for_server(stream: u32, chunk_bytes: usize) -> Self {
        Self { publishes: true, ..Self::for_player(stream, chunk_bytes) }
    }

    /// The same with a clock that starts at `start_ms` instead of 0.
    #[must_use]
    pub fn starting_at(self, start_ms: u32) -> Self {
        Self { start_ms: start_ms.into(), ..self }
    }

    /// The chunks of a tag, or nothing when the peer has no use for it.
    #[must_use]
    pub fn handle_tag(&mut self, tag: Tag) -> Option<Chunks> {
        let now = match self.clock {
            None => self.start_ms,
            Some((last, elapsed)) => elapsed + i64::from(tag.time_ms.wrapping_sub(last).cast_signed()),
        };
        if tag.is_header() {
            let last = match tag.kind {
                Kind::Audio => &mut self.audio,
                Kind::Script => &mut self.script,
                Kind::Video => &mut self.video,
            };
            if *last == tag.body {
                return None;
            }
            last.clone_from(&tag.body);
        } else if now < self.start_ms {
            return None;
        }
        self.clock = Some((tag.time_ms, now));
        let body = if self.publishes && tag.kind == Kind::Script { set_data_frame(&tag.body) } else { tag.body };
        let id = match tag.kind {
            Kind::Audio => AUDIO_ID,
            Kind::Script => SCRIPT_ID,
            Kind::Video => VIDEO_ID,
        };
        let message = Message { kind: tag.kind as u8, time_ms: now.max(0) as u32, stream: self.stream, body };
        Some(message.chunks(id, self.chunk_bytes))
    }
}

/// Metadata as publishers send it: by the name of a command that makes the server keep it for those who come later.
fn set_data_frame(metadata: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(SET_DATA_FRAME.len() + metadata.len());
    body.put_slice(SET_DATA_FRAME);
    body.put_slice(metadata);
    body.freeze()
}

/// An AMF0 string.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
// Chunk streams of our own beside the session's.
const AUDIO_ID: u8 = 4;
const SCRIPT_ID: u8 = 5;
const VIDEO_ID: u8 = 6;
