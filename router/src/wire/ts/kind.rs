//! What a program map says a stream is: its stream type (ISO/IEC 13818-1, table 2-34, and what ATSC, SCTE and Blu-ray discs add) and, where
//! that only says "private", its descriptors (table 2-45; ETSI EN 300 468, table 12).

use super::psi::{Entry, descriptors};
use super::{Stream, stream_type};

/// A kind of stream that is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// AAC in ADTS frames.
    Aac,
    Ac3,
    BlurayPcm,
    /// Chinese AVS, part 2.
    Cavs,
    /// Dirac and VC-2.
    Dirac,
    /// DTS and what extends it.
    Dts,
    Eac3,
    H264,
    Hevc,
    /// AAC in LATM elements.
    Latm,
    Mpeg1Video,
    Mpeg2Video,
    /// MPEG-4 part 2.
    Mpeg4Video,
    /// MPEG audio of any layer.
    MpegAudio,
    /// Opus, with its `channel_config_code`.
    Opus(u8),
    /// SMPTE 302M: PCM and whatever pretends to be PCM.
    S302m,
    TrueHd,
    Vc1,
    Vvc,
}

impl Kind {
    /// What `entry` of a map is, or nothing when it is not taken; `is_hdmv` in a program that calls itself Blu-ray's.
    pub(super) fn of(entry: &Entry<'_>, is_hdmv: bool) -> Option<Self> {
        Some(match entry.stream_type {
            stream_type::MPEG1_VIDEO => Self::Mpeg1Video,
            stream_type::MPEG2_VIDEO => Self::Mpeg2Video,
            stream_type::MPEG1_AUDIO | stream_type::MPEG2_AUDIO => Self::MpegAudio,
            stream_type::AAC_ADTS => Self::Aac,
            stream_type::MPEG4_VIDEO => Self::Mpeg4Video,
            stream_type::AAC_LATM => Self::Latm,
            stream_type::H264 => Self::H264,
            stream_type::HEVC => Self::Hevc,
            stream_type::VVC => Self::Vvc,
            stream_type::CAVS => Self::Cavs,
            stream_type::HDMV_PCM if is_hdmv => Self::BlurayPcm,
            stream_type::AC3 => Self::Ac3,
            // FFmpeg's muxer writes the disc's types of these two anywhere.
            stream_type::HDMV_DTS | stream_type::DTS => Self::Dts,
            stream_type::HDMV_TRUEHD => Self::TrueHd,
            stream_type::HDMV_DTS_HD | stream_type::HDMV_DTS_MASTER | stream_type::HDMV_DTS_SECOND if is_hdmv => Self::Dts,
            stream_type::HDMV_EAC3 | stream_type::HDMV_EAC3_SECOND if is_hdmv => Self::Eac3,
            stream_type::EAC3 => Self::Eac3,
            stream_type::DIRAC => Self::Dirac,
            stream_type::VC1 => Self::Vc1,
            stream_type::PRIVATE_PES | 0x80.. => return private(entry.descriptors),
            _ => return None,
        })
    }

    /// Which of the two streams it is for.
    pub(super) fn stream(self) -> Stream {
        match self {
            Self::Cavs
            | Self::Dirac
            | Self::H264
            | Self::Hevc
            | Self::Mpeg1Video
            | Self::Mpeg2Video
            | Self::Mpeg4Video
            | Self::Vc1
            | Self::Vvc => Stream::Video,
            Self::Aac
            | Self::Ac3
            | Self::BlurayPcm
            | Self::Dts
            | Self::Eac3
            | Self::Latm
            | Self::MpegAudio
            | Self::Opus(_)
            | Self::S302m
            | Self::TrueHd => Stream::Audio,
        }
    }
}

/// Whether the descriptors of a program call it Blu-ray's.
pub(super) fn is_hdmv(program: &[u8]) -> bool {
    descriptors(program).any(|(tag, body)| tag == REGISTRATION && (body.starts_with(b"HDMV") || body.starts_with(b"HDPR")))
}

/// What descriptors say that a stream of a private type is.
fn private(entry: &[u8]) -> Option<Kind> {
    descriptors(entry).find_map(|(tag, body)| match (tag, body) {
        (REGISTRATION, [b'A', b'C', b'-', b'3', ..]) | (DVB_AC3, _) => Some(Kind::Ac3),
        (REGISTRATION, [b'E', b'A', b'C', b'3', ..]) | (DVB_EAC3, _) => Some(Kind::Eac3),
        (REGISTRATION, [b'D', b'T', b'S', b'1'..=b'3', ..]) | (DVB_DTS, _) | (EXTENSION, [DVB_DTS_HD, ..]) => Some(Kind::Dts),
        (REGISTRATION, [b'B', b'S', b'S', b'D', ..]) => Some(Kind::S302m),
        (REGISTRATION, [b'd', b'r', b'a', b'c', ..]) => Some(Kind::Dirac),
        (REGISTRATION, [b'H', b'E', b'V', b'C', ..]) => Some(Kind::Hevc),
        (REGISTRATION, [b'V', b'C', b'-', b'1', ..]) => Some(Kind::Vc1),
        (EXTENSION, &[OPUS, channels, ..]) if channels <= OPUS_CHANNELS_MAX => Some(Kind::Opus(channels)),
        _ => None,
    })
}

const REGISTRATION: u8 = 0x05;
const DVB_AC3: u8 = 0x6a;
const DVB_EAC3: u8 = 0x7a;
const DVB_DTS: u8 = 0x7b;
/// What follows says which descriptor it is.
const EXTENSION: u8 = 0x7f;
const DVB_DTS_HD: u8 = 0x0e;
/// "Encapsulation of Opus in MPEG-2 TS" took a tag of the user's own.
const OPUS: u8 = 0x80;
/// The `channel_config_code`s of Vorbis' layouts; others list a mapping of their own.
const OPUS_CHANNELS_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_descriptors_tell_what_a_stream_is() {
        let table: [(u8, &[u8], bool, Option<Kind>); 24] = [
            (0x02, &[], false, Some(Kind::Mpeg2Video)),
            (0x10, &[], false, Some(Kind::Mpeg4Video)),
            (0x11, &[], false, Some(Kind::Latm)),
            (0x33, &[], false, Some(Kind::Vvc)),
            (0x80, &[], true, Some(Kind::BlurayPcm)),
            (0x80, &[], false, None),
            (0x81, b"\x05\x04AC-3", false, Some(Kind::Ac3)),
            (0x82, &[], false, Some(Kind::Dts)),
            (0x83, &[], false, Some(Kind::TrueHd)),
            (0x84, &[], true, Some(Kind::Eac3)),
            (0x86, &[], true, Some(Kind::Dts)),
            (0x86, b"\x05\x04CUEI", false, None),
            (0x87, &[], false, Some(Kind::Eac3)),
            (0xd1, &[], false, Some(Kind::Dirac)),
            (0xea, b"\x05\x04VC-1", false, Some(Kind::Vc1)),
            (0x06, &[], false, None),
            (0x06, b"\x0a\x04eng\0\x6a\x01\0", false, Some(Kind::Ac3)),
            (0x06, b"\x05\x04EAC3\x7a\x01\0", false, Some(Kind::Eac3)),
            (0x06, b"\x7b\0", false, Some(Kind::Dts)),
            (0x06, b"\x05\x04BSSD", false, Some(Kind::S302m)),
            (0x06, b"\x05\x04Opus\x7f\x02\x80\x06", false, Some(Kind::Opus(6))),
            (0x06, b"\x05\x04Opus\x7f\x03\x80\x82\x01", false, None),
            (0x06, b"\x59\x08eng\x10\0\x01\0\x01", false, None),
            // Longer than there is.
            (0x06, b"\x05\x09AC-3", false, None),
        ];
        for (stream_type, descriptors, is_hdmv, kind) in table {
            let entry = Entry { stream_type, pid: 0x100, descriptors };
            assert_eq!(Kind::of(&entry, is_hdmv), kind, "{stream_type:#x} {descriptors:x?}");
        }
        assert!(is_hdmv(b"\x88\x04\x0f\xff\xfc\xfc\x05\x04HDMV") && !is_hdmv(b"\x05\x04CUEI"));
    }
}
