//! What a PES payload is: its codec, and whether decoding can start there.

use std::sync::Arc;

use crosspoint_ffi::{Codec, Parameters, Payload};

use super::codec_id;
use super::kind::Kind;
use crate::wire::{annexb, mp3};

/// Tells payloads of one kind of stream apart, with what earlier payloads told.
#[derive(Debug)]
pub(super) struct Classifier {
    kind: Kind,
    /// What the stream's own headers said it is.
    codec: Option<Codec>,
    /// Whether the headers that decoding needs were seen: they need not be repeated at each key frame.
    headers: bool,
    /// What a decoder must be told before the first packet.
    parameters: Option<Arc<Parameters>>,
}

impl Classifier {
    pub(super) fn new(kind: Kind) -> Self {
        let parameters = match kind {
            Kind::Opus(channels) => Some(Arc::new(opus_parameters(channels))),
            Kind::Aac
            | Kind::Ac3
            | Kind::BlurayPcm
            | Kind::Cavs
            | Kind::Dirac
            | Kind::Dts
            | Kind::Eac3
            | Kind::H264
            | Kind::Hevc
            | Kind::Latm
            | Kind::Mpeg1Video
            | Kind::Mpeg2Video
            | Kind::Mpeg4Video
            | Kind::MpegAudio
            | Kind::S302m
            | Kind::TrueHd
            | Kind::Vc1
            | Kind::Vvc => None,
        };
        Self { kind, codec: None, headers: false, parameters }
    }

    /// What the decoder of the payload that was classified last must be told.
    pub(super) fn parameters(&self) -> Option<Arc<Parameters>> {
        self.parameters.clone()
    }

    /// The codec of `payload` and whether it is a key frame; nothing when it is not what the stream type says.
    pub(super) fn classify(&mut self, payload: &[u8]) -> Option<(Codec, bool)> {
        match self.kind {
            Kind::H264 => {
                let outline = annexb::h264(payload);
                self.headers |= outline.sps;
                Some((Codec::H264, self.headers && outline.is_key()))
            }
            Kind::Hevc => {
                let outline = annexb::hevc(payload);
                self.headers |= outline.sps;
                Some((Codec::Hevc, self.headers && outline.is_key()))
            }
            Kind::Mpeg1Video | Kind::Mpeg2Video => Some(self.mpeg_video(payload)),
            Kind::Mpeg4Video => Some(self.mpeg4_video(payload)),
            Kind::Vc1 => self.vc1(payload),
            Kind::Vvc => Some((codec_id::VVC, self.vvc(payload))),
            Kind::Cavs => Some((codec_id::CAVS, codes(payload).any(|rest| rest[0] == CAVS_INTRA_PICTURE))),
            Kind::Dirac => payload.starts_with(b"BBCD").then(|| (codec_id::DIRAC, payload.get(4) == Some(&DIRAC_SEQUENCE_HEADER))),
            Kind::Aac => {
                if self.codec.is_none() && !payload.windows(2).any(|sync| sync[0] == 0xff && sync[1] & 0xf6 == 0xf0) {
                    return None;
                }
                self.codec = Some(Codec::Aac);
                Some((Codec::Aac, true))
            }
            Kind::MpegAudio => {
                // The payload need not start with a frame, and the stream type does not tell the layer.
                let found = payload.windows(4).find_map(|bytes| mp3::Header::parse([bytes[0], bytes[1], bytes[2], bytes[3]]));
                if self.codec.is_none() || payload.first() == Some(&0xff) {
                    self.codec = found.and_then(mp3::Header::codec).or(self.codec);
                }
                self.codec.map(|codec| (codec, true))
            }
            Kind::Ac3 => Some((codec_id::AC3, true)),
            Kind::BlurayPcm => Some((codec_id::PCM_BLURAY, true)),
            Kind::Dts => Some((codec_id::DTS, true)),
            Kind::Eac3 => Some((codec_id::EAC3, true)),
            Kind::Latm => Some((codec_id::AAC_LATM, true)),
            Kind::Opus(_) => Some((Codec::Opus, true)),
            Kind::S302m => Some((codec_id::S302M, true)),
            Kind::TrueHd => Some((codec_id::TRUEHD, true)),
        }
    }

    /// MPEG-4 part 2: a picture can be decoded by itself when it is coded so, once an object layer was described.
    fn mpeg4_video(&mut self, payload: &[u8]) -> (Codec, bool) {
        let mut intra = false;
        for rest in codes(payload) {
            match *rest {
                [0x20..=0x2f, ..] => self.headers = true,
                [VISUAL_OBJECT_PLANE, coding, ..] => {
                    intra = coding >> 6 == 0;
                    break;
                }
                _ => {}
            }
        }
        (codec_id::MPEG4, self.headers && intra)
    }

    /// VC-1, advanced profile. Its decoder wants the sequence and entry point headers beforehand.
    fn vc1(&mut self, payload: &[u8]) -> Option<(Codec, bool)> {
        let (mut start, mut end, mut entry) = (None, payload.len(), false);
        for rest in codes(payload) {
            let at = payload.len() - rest.len() - START_CODE_BYTES;
            match rest[0] {
                VC1_SEQUENCE => start = start.or(Some(at)),
                VC1_ENTRY_POINT => entry = true,
                VC1_FRAME => {
                    end = at;
                    break;
                }
                _ => {}
            }
        }
        if let (Some(start), true) = (start, entry) {
            let headers = &payload[start..end];
            if self.parameters.as_ref().is_none_or(|known| known.extradata[..] != *headers) {
                let extradata = Payload::copy_from_slice(headers);
                self.parameters = Some(Arc::new(Parameters { extradata, format: -1, ..Parameters::default() }));
            }
        }
        // Without the headers no decoder can be opened.
        self.parameters.is_some().then_some((codec_id::VC1, entry))
    }

    /// Whether a VVC picture can be decoded by itself (ISO/IEC 23090-3, table 5).
    fn vvc(&mut self, payload: &[u8]) -> bool {
        let kinds = annexb::nals(payload).filter_map(|nal| nal.get(1).map(|second| second >> 3));
        let mut is_key = false;
        for kind in kinds {
            self.headers |= kind == VVC_SPS;
            is_key |= VVC_RANDOM_ACCESS.contains(&kind);
        }
        self.headers && is_key
    }

    /// MPEG-1 and MPEG-2 video. FFmpeg's muxer gives both the stream type of MPEG-2; the sequence extension tells.
    fn mpeg_video(&mut self, payload: &[u8]) -> (Codec, bool) {
        let (mut sequence, mut intra) = (false, false);
        for rest in codes(payload) {
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
        let stated = if self.kind == Kind::Mpeg1Video { Codec::Mpeg1Video } else { Codec::Mpeg2Video };
        (self.codec.unwrap_or(stated), self.headers && intra)
    }
}

/// What follows each start code, its own byte first.
fn codes(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        rest = &rest[annexb::start_code(rest)? + START_CODE_BYTES..];
        Some(rest)
    })
    .filter(|rest| !rest.is_empty())
}

/// The identification header (RFC 7845, 5.1) of a `channel_config_code`: 0 is two channels that have nothing to do with each other, the
/// others are Vorbis' layouts.
fn opus_parameters(code: u8) -> Parameters {
    let channels = if code == 0 { 2 } else { code };
    let (family, coupled, map) = match code {
        0 => (255, 0, &[0, 1][..]),
        1 => (0, 0, &[][..]),
        2 => (0, 1, &[][..]),
        3 => (1, 1, &[0, 2, 1][..]),
        4 => (1, 2, &[0, 1, 2, 3][..]),
        5 => (1, 2, &[0, 4, 1, 2, 3][..]),
        6 => (1, 2, &[0, 4, 1, 2, 3, 5][..]),
        7 => (1, 3, &[0, 4, 1, 2, 3, 5, 6][..]),
        _ => (1, 3, &[0, 6, 1, 2, 3, 4, 5, 7][..]),
    };
    let mut header = b"OpusHead\x01".to_vec();
    // No samples to skip, 48 kHz, no gain.
    header.extend([channels, 0, 0, 0x80, 0xbb, 0, 0, 0, 0, family]);
    if family != 0 {
        header.extend([channels - coupled, coupled]);
        header.extend(map);
    }
    Parameters {
        extradata: Payload::copy_from_slice(&header),
        format: -1,
        sample_rate: 48_000,
        channels: channels.into(),
        ..Parameters::default()
    }
}

const START_CODE_BYTES: usize = 3;
// ISO/IEC 13818-2, tables 6-1, 6-2 and 6-12.
const PICTURE_START: u8 = 0x00;
const SEQUENCE_START: u8 = 0xb3;
const EXTENSION_START: u8 = 0xb5;
const SEQUENCE_EXTENSION: u8 = 1;
const INTRA_PICTURE: u8 = 1;
/// ISO/IEC 14496-2, table 6-3.
const VISUAL_OBJECT_PLANE: u8 = 0xb6;
// SMPTE 421M, annex E.5.
const VC1_FRAME: u8 = 0x0d;
const VC1_ENTRY_POINT: u8 = 0x0e;
const VC1_SEQUENCE: u8 = 0x0f;
/// GB/T 20090.2, table 12.
const CAVS_INTRA_PICTURE: u8 = 0xb3;
/// Dirac specification, table 9.1.
const DIRAC_SEQUENCE_HEADER: u8 = 0x00;
const VVC_SPS: u8 = 15;
/// IDR and CRA pictures.
const VVC_RANDOM_ACCESS: std::ops::RangeInclusive<u8> = 7..=9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mpeg_video_key_frames_need_a_sequence_header_once() {
        let sequence = [0, 0, 1, 0xb3, 1, 2, 3, 4];
        let extension = [0, 0, 1, 0xb5, 0x14, 0];
        let picture = |coding: u8| [0, 0, 1, 0, 0, coding << 3, 0, 0];
        let mut classifier = Classifier::new(Kind::Mpeg2Video);
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
            assert_eq!(Classifier::new(Kind::MpegAudio).classify(payload), codec.map(|codec| (codec, true)), "{payload:?}");
        }
    }

    #[test]
    fn key_pictures_of_other_codecs_are_those_that_need_no_other() {
        let plane = |coding: u8| vec![0, 0, 1, 0xb6, coding << 6, 9];
        let layer = [&[0, 0, 1, 0xb0, 0xf1, 0, 0, 1, 0x20, 8][..], &plane(0)].concat();
        let vc1 = [0, 0, 1, 0x0f, 0xc0, 1, 0, 0, 1, 0x0e, 2, 0, 0, 1, 0x0d, 3];
        type Rows<'a> = &'a [(&'a [u8], Option<bool>)];
        let table: [(Kind, Rows<'_>); 5] = [
            (Kind::Mpeg4Video, &[(&plane(0), Some(false)), (&layer, Some(true)), (&plane(1), Some(false)), (&plane(0), Some(true))]),
            (Kind::Vc1, &[(&vc1[10..], None), (&vc1, Some(true)), (&vc1[11..], Some(false))]),
            (Kind::Vvc, &[(&[0, 0, 1, 0, 7 << 3], Some(false)), (&[0, 0, 1, 0, 15 << 3, 0, 0, 1, 0, 8 << 3], Some(true))]),
            (Kind::Cavs, &[(&[0, 0, 1, 0xb0, 0, 0, 1, 0xb3], Some(true)), (&[0, 0, 1, 0xb6, 0], Some(false))]),
            (Kind::Dirac, &[(b"BBCD\0", Some(true)), (b"BBCD\x0c", Some(false)), (b"BBC", None)]),
        ];
        for (kind, payloads) in table {
            let mut classifier = Classifier::new(kind);
            for (row, (payload, key)) in payloads.iter().enumerate() {
                assert_eq!(classifier.classify(payload).map(|(_, key)| key), *key, "{kind:?} row {row}");
            }
        }
    }

    #[test]
    fn vc1_headers_are_told_anew_only_when_they_change() {
        let headers = [0, 0, 1, 0x0f, 0xc0, 1, 0, 0, 1, 0x0e, 2];
        let frame = [&headers[..], &[0, 0, 1, 0x0d, 3]].concat();
        let mut classifier = Classifier::new(Kind::Vc1);
        let mut told = |payload: &[u8]| {
            classifier.classify(payload);
            classifier.parameters().expect("told")
        };
        let first = told(&frame);
        assert_eq!(first.extradata[..], headers);
        assert!(Arc::ptr_eq(&first, &told(&frame)));
        let mut other = frame.clone();
        other[5] = 7;
        assert!(!Arc::ptr_eq(&first, &told(&other)));
    }
}
