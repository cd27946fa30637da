//! FLV tags (Adobe Flash Video File Format 10.1, annex E): H.264 and AAC as RTMP carries them.

mod adts;
mod avc;
mod mux;

use bytes::{Buf, Bytes};

pub use mux::Muxer;

/// What a tag, and the RTMP message that carries its body, is of. The numbers are those of both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Sound.
    Audio = 8,
    /// Data: `onMetaData`.
    Script = 18,
    /// Pictures.
    Video = 9,
}

impl Kind {
    /// Tells by the number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        match number {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }
}

/// One tag.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tag {
    /// What it is of.
    pub kind: Kind,
    /// When it is decoded, in milliseconds that wrap.
    pub time_ms: u32,
    /// What is in it.
    pub body: Bytes,
}

impl Tag {
    /// Whether it describes what follows instead of being part of it: metadata and sequence headers, which a player needs once.
    #[must_use]
    pub fn is_header(&self) -> bool {
        match self.kind {
            Kind::Audio => self.body.first().is_some_and(|first| first >> 4 == AAC) && self.body.get(1) == Some(&0),
            Kind::Script => true,
            Kind::Video => self.body.first().is_some_and(|first| first & 0x0f == AVC) && self.body.get(1) == Some(&0),
        }
    }
}

/// The tags that stand in `bytes`, up to the first that is not whole.
///
/// Copies: 0 (bodies share `bytes`).
#[must_use]
pub fn tags(bytes: Bytes) -> Tags {
    Tags { rest: bytes }
}

/// Iterator of [`tags`].
#[derive(Clone, Debug)]
pub struct Tags {
    rest: Bytes,
}

impl Iterator for Tags {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        let header = self.rest.get(..HEADER_BYTES)?;
        let kind = Kind::of(header[0])?;
        let body_bytes = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let time_ms = u32::from_be_bytes([header[7], header[4], header[5], header[6]]);
        let whole = HEADER_BYTES + body_bytes + TRAILER_BYTES;
        if self.rest.len() < whole {
            return None;
        }
        let body = self.rest.slice(HEADER_BYTES..HEADER_BYTES + body_bytes);
        self.rest.advance(whole);
        Some(Tag { kind, time_ms, body })
    }
}

/// H.264 among the codecs of pictures.
const AVC: u8 = 7;
/// AAC among the formats of sound.
const AAC: u8 = 10;
/// Type, size, time and stream of a tag.
const HEADER_BYTES: usize = 11;
/// The size again, behind each tag.
const TRAILER_BYTES: usize = 4;
/// The most that the size of a body can say.
const BODY_MAX_BYTES: usize = 0xff_ffff;

#[cfg(test)]
mod tests;
