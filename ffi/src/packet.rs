//! Compressed media between a container and a codec.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};

use crate::MediaTime;

/// What a packet is compressed with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Codec {
    /// MPEG-4 AAC, in ADTS frames.
    Aac,
    /// AV1, temporal units in the low-overhead format (AV1 specification, 5.2).
    Av1,
    /// H.264 (ITU-T H.264), Annex B byte stream.
    H264,
    /// H.265 (ITU-T H.265), Annex B byte stream.
    Hevc,
    /// MPEG-1 video (ISO/IEC 11172-2).
    Mpeg1Video,
    /// MPEG-2 video (ISO/IEC 13818-2).
    Mpeg2Video,
    /// MPEG audio layer II.
    Mp2,
    /// MPEG audio layer III.
    Mp3,
    /// Opus packets (RFC 6716).
    Opus,
    /// Sound that only FFmpeg knows.
    OtherAudio(CodecId),
    /// Pictures that only FFmpeg knows.
    OtherVideo(CodecId),
    /// VP8 (RFC 6386).
    Vp8,
    /// VP9.
    Vp9,
}

/// FFmpeg's number of a codec (`AVCodecID`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CodecId(pub u32);

impl Codec {
    /// Whether it carries pictures.
    #[must_use]
    pub fn is_video(self) -> bool {
        match self {
            Self::Av1 | Self::H264 | Self::Hevc | Self::Mpeg1Video | Self::Mpeg2Video | Self::OtherVideo(_) | Self::Vp8 | Self::Vp9 => true,
            Self::Aac | Self::Mp2 | Self::Mp3 | Self::Opus | Self::OtherAudio(_) => false,
        }
    }
}

/// What a container says about a track that the packets themselves do not (`AVCodecParameters`). Zero stands for unknown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Parameters {
    /// The codec's own header (`extradata`).
    pub extradata: Payload,
    /// The container's four letters for the codec, little endian.
    pub codec_tag: u32,
    /// Bits of one sample as it is coded, for sound that has no other header.
    pub bits_per_coded_sample: u32,
    /// FFmpeg's number of the sample or pixel format, or -1.
    pub format: i32,
    /// Width and height of the pictures, in pixels.
    pub size: (u32, u32),
    /// Width and height of one pixel, as a ratio.
    pub pixel_aspect: (u32, u32),
    /// Samples a second, of each channel.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// FFmpeg's mask of the channels' places, or 0.
    pub channel_mask: u64,
    /// Bytes of one block of samples of all channels.
    pub block_align: u32,
}

/// One access unit (a picture, or one or more sound frames).
#[derive(Clone, Debug)]
pub struct Packet {
    /// How `data` is compressed.
    pub codec: Codec,
    /// The compressed bytes.
    pub data: Payload,
    /// When it is shown or heard.
    pub pts: Option<MediaTime>,
    /// When it is decoded; the same as `pts` where nothing is reordered.
    pub dts: Option<MediaTime>,
    /// Whether decoding can start here.
    pub key: bool,
    /// When its last byte reached us (or, for captured media, when it was captured).
    pub arrival: Instant,
    /// What its container said of its track; nothing when the packets say all there is to know. Packets of one track share it.
    pub parameters: Option<Arc<Parameters>>,
}

impl Packet {
    /// The time that orders decoding: `dts`, else `pts`.
    #[must_use]
    pub fn decode_time(&self) -> Option<MediaTime> {
        self.dts.or(self.pts)
    }
}

/// Shared compressed bytes, followed in memory by [`Payload::PADDING`] zero bytes that are not part of them.
///
/// FFmpeg's bit readers read past the end of a packet (`AV_INPUT_BUFFER_PADDING_SIZE`); with the padding built in, a payload goes to a
/// decoder without a copy.
///
/// Copies: 0 (a clone shares).
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Payload(Bytes);

impl Payload {
    /// The zero bytes behind the payload.
    pub const PADDING: usize = 64;

    /// Copies `bytes` once, adding the padding.
    #[must_use]
    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        let mut builder = PayloadBuilder::with_capacity(bytes.len());
        builder.extend_from_slice(bytes);
        builder.finish()
    }

    /// Takes `bytes` whose last [`Payload::PADDING`] are zero and not part of the payload, or nothing when they are not.
    #[must_use]
    pub fn from_padded(bytes: Bytes) -> Option<Self> {
        let padding = bytes.len().checked_sub(Self::PADDING)?;
        bytes[padding..].iter().all(|&byte| byte == 0).then_some(Self(bytes))
    }

    /// The payload and its padding.
    #[must_use]
    pub fn as_padded(&self) -> &[u8] {
        &self.0
    }

    /// The payload without its padding, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.slice(..self.len())
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[..self.0.len().saturating_sub(Self::PADDING)]
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// Gathers a [`Payload`] from pieces.
///
/// Copies: 1 (container pieces are scattered; a payload is contiguous).
#[derive(Debug, Default)]
pub struct PayloadBuilder(BytesMut);

impl PayloadBuilder {
    /// Makes a builder with room for `bytes` bytes and the padding.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes + Payload::PADDING))
    }

    /// Makes room for `bytes` more bytes and the padding, so that gathering them neither allocates nor moves what is there.
    pub fn reserve(&mut self, bytes: usize) {
        self.0.reserve(bytes + Payload::PADDING);
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The payload; the builder is empty afterwards and reuses what room is left.
    #[must_use]
    pub fn finish(&mut self) -> Payload {
        self.0.put_bytes(0, Payload::PADDING);
        Payload(self.0.split().freeze())
    }

    /// Forgets the bytes so far.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_follows_every_payload() {
        let payload = Payload::copy_from_slice(b"abc");
        assert_eq!(&payload[..], b"abc");
        assert_eq!(payload.as_padded()[3..], [0; Payload::PADDING]);
        assert_eq!(payload.to_bytes(), &b"abc"[..]);
        assert!(Payload::default().is_empty());
    }

    #[test]
    fn builder_is_empty_after_finish() {
        let mut builder = PayloadBuilder::with_capacity(8);
        builder.extend_from_slice(b"one");
        let one = builder.finish();
        builder.extend_from_slice(b"two");
        assert_eq!((&one[..], &builder.finish()[..]), (&b"one"[..], &b"two"[..]));
    }

    #[test]
    fn from_padded_refuses_what_is_not_padded() {
        assert!(Payload::from_padded(Bytes::from_static(&[0; 63])).is_none());
        assert!(Payload::from_padded(Bytes::from_static(&[1; 65])).is_none());
        assert_eq!(Payload::from_padded(Bytes::from_static(&[0; 65])).map(|p| p.len()), Some(1));
    }
}
