//! What a PES payload is: its codec, and whether decoding can start there.

use crosspoint_ffi::Codec;

use super::{Stream, stream_type};
use crate::wire::{annexb, mp3};

/// Which of the two streams a stream type is for, or nothing when it is not supported.
pub(super) fn stream_of(kind: u8) -> Option<Stream> {
    match kind {
        stream_type::MPEG1_VIDEO | stream_type::MPEG2_VIDEO | stream_type::H264 | stream_type::HEVC => Some(Stream::Video),
        stream_type::MPEG1_AUDIO | stream_type::MPEG2_AUDIO | stream_type::AAC_ADTS => Some(Stream::Audio),
        _ => None,
    }
}

/// Tells payloads of one stream type apart, with what earlier payloads told.
#[derive(Debug)]
pub(super) struct Classifier {
    kind: u8,
    /// What the stream's own headers said it is.
    codec: Option<Codec>,
    /// Whether the headers that decoding needs were seen: they need not be repeated at each key frame.
    headers: bool,
}

impl Classifier {
    pub(super) fn new(kind: u8) -> Self {
        Self { kind, codec: None, headers: false }
    }

    /// The codec of `payload` and whether it is a key frame; nothing when it is not what the stream type says.
    pub(super) fn classify(&mut self, payload: &[u8]) -> Option<(Codec, bool)> {
        match self.kind {
            stream_type::H264 => {
                let outline = annexb::h264(payload);
                self.headers |= outline.sps;
                Some((Codec::H264, self.headers && outline.is_key()))
            }
            stream_type::HEVC => {
                let outline = annexb::hevc(payload);
                self.headers |= outline.sps;
                Some((Codec::Hevc, self.headers && outline.is_key()))
            }
            stream_type::MPEG1_VIDEO | stream_type::MPEG2_VIDEO => Some(self.mpeg_video(payload)),
            stream_type::AAC_ADTS => {
                if self.codec.is_none() && !payload.windows(2).any(|sync| sync[0] == 0xff && sync[1] & 0xf6 == 0xf0) {
                    return None;
                }
                self.codec = Some(Codec::Aac);
                Some((Codec::Aac, true))
            }
            _ => {
                // The payload need not start with a frame, and the stream type does not tell the layer.
                let found = payload.windows(4).find_map(|bytes| mp3::Header::parse([bytes[0], bytes[1], bytes[2], bytes[3]]));
                if self.codec.is_none() || payload.first() == Some(&0xff) {
                    self.codec = found.and_then(mp3::Header::codec).or(self.codec);
                }
                self.codec.map(|codec| (codec, true))
            }
        }
    }

    /// MPEG-1 and MPEG-2 video. FFmpeg's muxer gives both the stream type of MPEG-2; the sequence extension tells.
    fn mpeg_video(&mut self, payload: &[u8]) -> (Codec, bool) {
        let (mut sequence, mut intra) = (false, false);
        let mut rest = payload;
        while let Some(at) = annexb::start_code(rest) {
            rest = &rest[at + 3..];
            match rest {
                [SEQUENCE_START, ..] => {
                    sequence = true;
                    self.headers = true;
                    self.codec = Some(Codec::Mpeg1Video);
                }
                [EXTENSION_START, id, ..] if sequence && id >> 4 == SEQUENCE_EXTENSION => self.codec = Some(Codec::Mpeg2Video),
                [PICTURE_START, _, second, ..] => {
                    intra = second >> 3 & 7 == INTRA_PICTURE;
                    break;
                }
                _ => {}
            }
        }
        let stated = if self.kind == stream_type::MPEG1_VIDEO { Codec::Mpeg1Video } else { Codec::Mpeg2Video };
        (self.codec.unwrap_or(stated), self.headers && intra)
    }
}

// ISO/IEC 13818-2, tables 6-1, 6-2 and 6-12.
const PICTURE_START: u8 = 0x00;
const SEQUENCE_START: u8 = 0xb3;
const EXTENSION_START: u8 = 0xb5;
const SEQUENCE_EXTENSION: u8 = 1;
const INTRA_PICTURE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpeg_video_key_frames_need_a_sequence_header_once() {
        let sequence = [0, 0, 1, 0xb3, 1, 2, 3, 4];
        let extension = [0, 0, 1, 0xb5, 0x14, 0];
        let picture = |coding: u8| [0, 0, 1, 0, 0, coding << 3, 0, 0];
        let mut classifier = Classifier::new(stream_type::MPEG2_VIDEO);
        let table: [(Vec<u8>, (Codec, bool)); 6] = [
            (picture(1).to_vec(), (Codec::Mpeg2Video, false)),
            ([&sequence[..], &picture(1)].concat(), (Codec::Mpeg1Video, true)),
            (picture(2).to_vec(), (Codec::Mpeg1Video, false)),
            (picture(1).to_vec(), (Codec::Mpeg1Video, true)),
            ([&sequence[..], &extension, &picture(1)].concat(), (Codec::Mpeg2Video, true)),
            (vec![0, 0, 1], (Codec::Mpeg2Video, false)),
        ];
        for (row, (payload, expected)) in table.into_iter().enumerate() {
            assert_eq!(classifier.classify(&payload), Some(expected), "row {row}");
        }
    }

    #[test]
    fn audio_codec_is_the_layers() {
        for (payload, codec) in [
            (&[0xff, 0xfb, 0x90, 0x00][..], Some(Codec::Mp3)),
            (&[0xff, 0xfd, 0x90, 0x00], Some(Codec::Mp2)),
            (&[7, 0xff, 0xf3, 0x90, 0x00], Some(Codec::Mp3)),
            (&[1, 2, 3], None),
        ] {
            assert_eq!(Classifier::new(stream_type::MPEG1_AUDIO).classify(payload), codec.map(|codec| (codec, true)), "{payload:?}");
        }
    }
}
