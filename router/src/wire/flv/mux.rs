//! Pictures and sound into tags.

use bytes::{BufMut, BytesMut};
use crosspoint_ffi::{Codec, MediaTime, Packet};

use super::{AAC, AVC, BODY_MAX_BYTES, HEADER_BYTES, Kind, adts, avc};
use crate::wire::annexb::{h264_nal, nals};
use crate::wire::rtmp::amf0::Value;

/// Writes H.264 (Annex B) and AAC (ADTS) as FLV tags.
///
/// A unit at which a viewer can start carries all that it takes to do so, in front: metadata, the sequence headers of both tracks, then
/// the picture. Where headers are wanted once they are skipped by those who have them already ([`super::Tag::is_header`]); so nobody can meet
/// a picture whose headers it lost, however it joins, lags or resumes.
///
/// Copies: 1 (NAL units behind their lengths; raw AAC behind its two bytes).
#[derive(Debug)]
pub struct Muxer {
    video: bool,
    audio: bool,
    /// The body of the picture's sequence header.
    avc: Option<Vec<u8>>,
    size: Option<(u32, u32)>,
    aac: Option<[u8; 2]>,
    metadata: Vec<u8>,
}

impl Muxer {
    /// Makes a muxer for pictures, sound or both.
    #[must_use]
    pub fn new(video: bool, audio: bool) -> Self {
        Self { video, audio, avc: None, size: None, aac: None, metadata: metadata(video, audio, None) }
    }

    /// Appends the tags of `packet` to `out`; or nothing, and says so with `false`, when it has no time, is of a codec or track that the
    /// muxer does not have, or cannot be taken apart.
    ///
    /// Video starts at its first key frame with parameter sets; what comes before is refused likewise.
    #[must_use]
    pub fn write(&mut self, packet: &Packet, out: &mut BytesMut) -> bool {
        let (Some(pts), Some(dts)) = (packet.pts, packet.decode_time()) else { return false };
        if packet.data.len() > BODY_MAX_BYTES / 2 {
            return false;
        }
        let time_ms = dts.to_ticks(1_000) as u32;
        match packet.codec {
            Codec::H264 if self.video => self.write_video(packet, time_ms, pts - dts, out),
            Codec::Aac if self.audio => self.write_audio(packet, time_ms, out),
            Codec::Aac
            | Codec::Av1
            | Codec::H264
            | Codec::Hevc
            | Codec::Mpeg1Video
            | Codec::Mpeg2Video
            | Codec::Mp2
            | Codec::Mp3
            | Codec::Opus
            | Codec::OtherAudio(_)
            | Codec::OtherVideo(_)
            | Codec::Vp8
            | Codec::Vp9 => false,
        }
    }

    fn write_video(&mut self, packet: &Packet, time_ms: u32, composition: MediaTime, out: &mut BytesMut) -> bool {
        if packet.key {
            if let Some(record) = avc::configuration(&packet.data) {
                self.learn_video(record, &packet.data);
            }
            self.write_headers(time_ms, out);
        }
        if self.avc.is_none() {
            return false;
        }
        let start = begin(Kind::Video, time_ms, out);
        out.put_u8(if packet.key { 0x10 } else { 0x20 } | AVC);
        out.put_u8(1);
        out.put_int(composition.to_ticks(1_000), 3);
        for nal in nals(&packet.data) {
            // The parameter sets are in the sequence header, and delimiters are for byte streams.
            if !matches!(nal[0] & 0x1f, h264_nal::SPS | h264_nal::PPS | h264_nal::AUD) {
                out.put_u32(nal.len() as u32);
                out.put_slice(nal);
            }
        }
        finish(start, out);
        true
    }

    fn write_audio(&mut self, packet: &Packet, time_ms: u32, out: &mut BytesMut) -> bool {
        let Some(frame) = adts::frame(&packet.data) else { return false };
        let changed = self.aac.replace(frame.config) != Some(frame.config);
        if !self.video {
            self.write_headers(time_ms, out);
        } else if changed {
            write_aac_header(frame.config, time_ms, out);
        }
        let start = begin(Kind::Audio, time_ms, out);
        out.put_slice(&[AAC_FLAGS, 1]);
        out.put_slice(frame.raw);
        finish(start, out);
        true
    }

    fn learn_video(&mut self, record: Vec<u8>, unit: &[u8]) {
        if self.avc.as_ref() == Some(&record) {
            return;
        }
        self.avc = Some(record);
        self.size = avc::size(unit);
        self.metadata = metadata(self.video, self.audio, self.size);
    }

    /// Writes all that a viewer needs who starts here, as far as it is known.
    fn write_headers(&self, time_ms: u32, out: &mut BytesMut) {
        if self.video && self.avc.is_none() {
            return;
        }
        let start = begin(Kind::Script, time_ms, out);
        out.put_slice(&self.metadata);
        finish(start, out);
        if let Some(record) = &self.avc {
            let start = begin(Kind::Video, time_ms, out);
            out.put_slice(&[0x10 | AVC, 0, 0, 0, 0]);
            out.put_slice(record);
            finish(start, out);
        }
        if let Some(config) = self.aac {
            write_aac_header(config, time_ms, out);
        }
    }
}

fn write_aac_header(config: [u8; 2], time_ms: u32, out: &mut BytesMut) {
    let start = begin(Kind::Audio, time_ms, out);
    out.put_slice(&[AAC_FLAGS, 0]);
    out.put_slice(&config);
    finish(start, out);
}

/// Writes a tag's header but for the size, and says where the tag starts.
fn begin(kind: Kind, time_ms: u32, out: &mut BytesMut) -> usize {
    let start = out.len();
    let [extension, high, middle, low] = time_ms.to_be_bytes();
    out.put_slice(&[kind as u8, 0, 0, 0, high, middle, low, extension, 0, 0, 0]);
    start
}

/// Writes a tag's size into its header and behind it.
fn finish(start: usize, out: &mut BytesMut) {
    let tag_bytes = out.len() - start;
    let body_bytes = (tag_bytes - HEADER_BYTES) as u32;
    out[start + 1..start + 4].copy_from_slice(&body_bytes.to_be_bytes()[1..]);
    out.put_u32(tag_bytes as u32);
}

/// The script that players show and platforms ask for.
fn metadata(video: bool, audio: bool, size: Option<(u32, u32)>) -> Vec<u8> {
    let mut pairs = vec![("encoder", Value::from("Crosspoint"))];
    if let Some((width, height)) = size {
        pairs.extend([("width", Value::from(width)), ("height", Value::from(height))]);
    }
    if video {
        pairs.push(("videocodecid", Value::from(u32::from(AVC))));
    }
    if audio {
        pairs.push(("audiocodecid", Value::from(u32::from(AAC))));
    }
    let mut body = Vec::new();
    Value::from("onMetaData").put(&mut body);
    Value::EcmaArray(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).put(&mut body);
    body
}

/// AAC, and what the standard wants beside it whatever the sound really is: 44.1 kHz, 16 bits, stereo.
const AAC_FLAGS: u8 = AAC << 4 | 0x0f;
