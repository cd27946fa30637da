//! Packets into what one kind of viewer gets.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use crosspoint_ffi::{Codec, Packet};
use crosspoint_router::broadcast::{Media, Unit};
use crosspoint_router::rtc;
use crosspoint_router::wire::flv;
use crosspoint_router::wire::ts::Muxer;

use crate::worker::screen::{Refresh, ScreenCodec};
use crate::ws::{HEADER_MAX_BYTES, frame_in_place};

/// What a channel's viewers get.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Packing {
    /// FLV tags, for RTMP.
    Flv,
    /// RTP payloads, for WebRTC.
    Rtp,
    /// MPEG-TS in WebSocket frames.
    Ts,
}

impl Packing {
    /// Its name in figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flv => "flv",
            Self::Rtp => "rtp",
            Self::Ts => "ts",
        }
    }

    /// The sound that goes with pictures of a codec, or alone.
    pub(super) fn sound(self, pictures: Option<ScreenCodec>) -> Codec {
        match (self, pictures) {
            (Self::Rtp, _) => Codec::Opus,
            (Self::Ts, Some(ScreenCodec::Mpeg1)) => Codec::Mp2,
            (Self::Ts, Some(ScreenCodec::H264 | ScreenCodec::Vp8) | None) | (Self::Flv, _) => Codec::Aac,
        }
    }

    /// How often its players need a picture of a screen that stands still.
    pub(super) fn refresh(self) -> Refresh {
        match self {
            Self::Rtp => Refresh::Never,
            Self::Flv | Self::Ts => Refresh::Seldom,
        }
    }

    /// How many packets of sound that are there at once make one unit: each unit wakes every viewer.
    pub(super) fn sound_together(self) -> usize {
        match self {
            Self::Flv | Self::Ts => 10,
            // Each is a packet of its own on the wire.
            Self::Rtp => 1,
        }
    }

    /// At every how many beats silence comes.
    pub(super) fn silence_beats(self) -> u32 {
        match self {
            // 213 ms; players of RTMP hold more, and platforms seconds.
            Self::Flv => 2,
            // 107 ms; who runs by the clock of the sound is that much behind.
            Self::Rtp | Self::Ts => 1,
        }
    }

    /// How far apart its receivers want key frames at most.
    pub(super) fn key_interval(self) -> Option<Duration> {
        match self {
            // Platforms cut the stream at key frames and count on this distance.
            Self::Flv => Some(Duration::from_secs(2)),
            Self::Rtp | Self::Ts => None,
        }
    }

    /// How many pictures a new player gets at the full rate, though the screen stands still. FFmpeg's players guess the rate of an FLV from 40
    /// pictures before they show the first, for up to 90 s.
    pub(super) fn opening_pictures(self) -> u32 {
        match self {
            Self::Flv => 50,
            Self::Rtp | Self::Ts => 0,
        }
    }

    /// Makes the packer of a stream that has pictures of a codec, sound, or both.
    pub(super) fn packer(self, pictures: Option<ScreenCodec>, has_sound: bool) -> Packer {
        let video = pictures.map(|codec| match codec {
            ScreenCodec::H264 => Codec::H264,
            ScreenCodec::Mpeg1 => Codec::Mpeg1Video,
            ScreenCodec::Vp8 => Codec::Vp8,
        });
        let audio = has_sound.then(|| self.sound(pictures));
        match self {
            Self::Flv => Packer::Flv(flv::Muxer::new(video.is_some(), audio.is_some())),
            Self::Rtp => Packer::Rtp { video, audio },
            Self::Ts => Packer::Ts(Muxer::for_codecs(video, audio).expect("streams of it are of codecs with stream types")),
        }
    }
}

/// Packs one stream.
///
/// Copies: 1 (into the bytes that all viewers share).
pub(super) enum Packer {
    Flv(flv::Muxer),
    Rtp { video: Option<Codec>, audio: Option<Codec> },
    Ts(Muxer),
}

impl Packer {
    /// The unit of packets of one track, at which viewers can begin if `key`; nothing when it is of a track that the stream was not begun with, or
    /// comes before the first key frame.
    pub(super) fn pack(&mut self, packets: &[Packet], key: bool) -> Option<Unit> {
        let packet = packets.first()?;
        let media = if packet.codec.is_video() { Media::Video } else { Media::Audio };
        let time = packet.decode_time()?;
        let mut payloads: Arc<[rtc::Payload]> = Arc::default();
        let (preface, bytes) = match self {
            Self::Flv(muxer) => (None, flv(muxer, packets)?),
            Self::Rtp { video, audio } => {
                if ![*video, *audio].contains(&Some(packet.codec)) {
                    return None;
                }
                payloads = match media {
                    Media::Audio => Arc::new([rtc::Payload::from(&packet.data[..])]),
                    Media::Video if packet.codec == Codec::Vp8 => rtc::packetize_vp8(&packet.data).into(),
                    Media::Video => rtc::packetize(&packet.data).into(),
                };
                (None, packet.data.to_bytes())
            }
            Self::Ts(muxer) => ts(muxer, packets, key)?,
        };
        Some(Unit { media, key, bytes, payloads, preface, time, captured: packet.arrival })
    }
}

fn flv(muxer: &mut flv::Muxer, packets: &[Packet]) -> Option<Bytes> {
    let payload_bytes: usize = packets.iter().map(|packet| packet.data.len()).sum();
    let mut tags = BytesMut::with_capacity(payload_bytes + FLV_ROOM_BYTES);
    let written = packets.iter().filter(|packet| muxer.write(packet, &mut tags)).count();
    (written > 0).then(|| tags.freeze())
}

fn ts(muxer: &mut Muxer, packets: &[Packet], key: bool) -> Option<(Option<Bytes>, Bytes)> {
    let preface = key.then(|| {
        let mut frame = BytesMut::zeroed(HEADER_MAX_BYTES);
        frame.extend_from_slice(&muxer.discontinuity());
        frame_in_place(frame, HEADER_MAX_BYTES)
    });
    let payload_bytes: usize = packets.iter().map(|packet| packet.data.len()).sum();
    let mut frame = BytesMut::with_capacity(HEADER_MAX_BYTES + payload_bytes + payload_bytes / 16 + 1024);
    frame.resize(HEADER_MAX_BYTES, 0);
    let written = packets.iter().filter(|packet| muxer.write(packet, &mut frame)).count();
    (written > 0).then(|| (preface, frame_in_place(frame, HEADER_MAX_BYTES)))
}

/// What goes before a packet: headers of four tags, metadata, parameter sets.
const FLV_ROOM_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crosspoint_ffi::av::AudioEncoder;
    use crosspoint_ffi::{AudioFormat, MediaTime};

    use super::*;

    #[test]
    fn packets_of_sound_go_out_in_one_piece() {
        let mut encoder = AudioEncoder::new(Codec::Aac, AudioFormat::STEREO_48K, 128_000).expect("an encoder");
        encoder.encode(&[0; 8 * 1024 * 4], MediaTime::ZERO, Instant::now()).expect("encoded");
        let packets: Vec<Packet> = std::iter::from_fn(|| encoder.receive()).take(Packing::Ts.sound_together()).collect();
        assert!(packets.len() > 1, "{} packets", packets.len());
        let pack = |packing: Packing| packing.packer(None, true).pack(&packets, true).expect("a unit").bytes;
        let sounds = flv::tags(pack(Packing::Flv)).filter(|tag| tag.kind == flv::Kind::Audio && tag.body[1] == 1).count();
        assert_eq!(sounds, packets.len(), "FLV tags, and their sequence header apart");
        let frame = pack(Packing::Ts);
        let length = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
        assert_eq!((frame[1], length), (126, frame.len() - 4), "one WebSocket frame");
        assert_eq!(frame.windows(4).filter(|start| *start == [0, 0, 1, 0xc0]).count(), packets.len(), "PES");
    }
}
