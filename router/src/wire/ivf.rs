//! IVF, the plain container of VP8, VP9 and AV1: a file header, then each picture behind its length and time.
//!
//! ```
//! use crosspoint_ffi::{Codec, MediaTime};
//! use crosspoint_router::wire::ivf;
//!
//! let header = ivf::file_header(Codec::Vp8, (640, 360)).expect("VP8 has an IVF form");
//! assert_eq!(&header[..12], b"DKIF\x00\x00\x20\x00VP80");
//! let frame = ivf::frame_header(1_000, MediaTime::from_millis(100));
//! assert_eq!(frame, [0xe8, 3, 0, 0, 0x28, 0x23, 0, 0, 0, 0, 0, 0]);
//! ```

use crosspoint_ffi::{Codec, MediaTime};

use super::bits::Bits;

/// The header of a file whose times are in 90 kHz; nothing for a codec without an IVF form. A size of zero stands for unknown.
#[must_use]
pub fn file_header(codec: Codec, (width, height): (u32, u32)) -> Option<[u8; FILE_HEADER_BYTES]> {
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(0).to_le_bytes();
    let mut header = [0; FILE_HEADER_BYTES];
    header[..4].copy_from_slice(b"DKIF");
    // Version 0 at 4.
    header[6..8].copy_from_slice(&(FILE_HEADER_BYTES as u16).to_le_bytes());
    header[8..12].copy_from_slice(four_letters(codec)?);
    header[12..14].copy_from_slice(&side(width));
    header[14..16].copy_from_slice(&side(height));
    header[16..20].copy_from_slice(&90_000_u32.to_le_bytes());
    header[20..24].copy_from_slice(&1_u32.to_le_bytes());
    // The number of frames of a stream is not known: 0.
    Some(header)
}

/// What comes before a picture of `bytes` bytes that is shown at `pts`.
#[must_use]
pub fn frame_header(bytes: u32, pts: MediaTime) -> [u8; FRAME_HEADER_BYTES] {
    let mut header = [0; FRAME_HEADER_BYTES];
    header[..4].copy_from_slice(&bytes.to_le_bytes());
    header[4..].copy_from_slice(&pts.to_90khz().to_le_bytes());
    header
}

/// Width and height in pixels as a VP8 (RFC 6386, 9.1) or VP9 (bitstream specification, 6.2) key frame states them; nothing when it does
/// not, and for every other codec.
#[must_use]
pub fn key_frame_size(codec: Codec, frame: &[u8]) -> Option<(u32, u32)> {
    match codec {
        Codec::Vp8 => {
            let [tag, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *frame else { return None };
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            (tag & 1 == 0).then(|| (side(w0, w1), side(h0, h1)))
        }
        Codec::Vp9 => vp9_size(frame),
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
        | Codec::OtherVideo(_) => None,
    }
}

fn vp9_size(frame: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::new(frame, 0);
    let (marker, low, high) = (bits.take(2)?, bits.take(1)?, bits.take(1)?);
    let profile = high << 1 | low;
    if marker != 2 || (profile == 3 && bits.take(1)? != 0) {
        return None;
    }
    let (shows_existing, inter) = (bits.take(1)?, bits.take(1)?);
    // Whether it is shown and error resilient, then the sync code.
    bits.take(2)?;
    if shows_existing != 0 || inter != 0 || bits.take(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.take(1)?;
    }
    const SRGB: u32 = 7;
    match (bits.take(3)? == SRGB, profile) {
        (false, 1 | 3) => bits.take(4)?,
        (false, _) | (true, 1 | 3) => bits.take(1)?,
        (true, _) => return None,
    };
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}

fn four_letters(codec: Codec) -> Option<&'static [u8; 4]> {
    match codec {
        Codec::Av1 => Some(b"AV01"),
        Codec::H264 => Some(b"H264"),
        Codec::Vp8 => Some(b"VP80"),
        Codec::Vp9 => Some(b"VP90"),
        Codec::Aac
        | Codec::Hevc
        | Codec::Mpeg1Video
        | Codec::Mpeg2Video
        | Codec::Mp2
        | Codec::Mp3
        | Codec::Opus
        | Codec::OtherAudio(_)
        | Codec::OtherVideo(_) => None,
    }
}

/// The bytes of [`file_header`].
pub const FILE_HEADER_BYTES: usize = 32;
/// The bytes of [`frame_header`].
pub const FRAME_HEADER_BYTES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_without_an_ivf_form_have_no_header() {
        for (codec, expected) in [(Codec::Av1, true), (Codec::H264, true), (Codec::Vp9, true), (Codec::Hevc, false), (Codec::Opus, false)] {
            assert_eq!(file_header(codec, (2, 2)).is_some(), expected, "{codec:?}");
        }
        let huge = file_header(Codec::Vp9, (70_000, 360)).expect("a form");
        assert_eq!(huge[12..16], [0, 0, 0x68, 1], "a side that does not fit is unknown");
    }

    #[test]
    fn key_frames_state_their_size() {
        let vp8 = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x01, 7];
        let vp9 = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x70];
        let table = [
            (Codec::Vp8, &vp8[..], Some((640, 360))),
            (Codec::Vp8, &[0x11, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1], None),
            (Codec::Vp8, &vp8[..9], None),
            (Codec::Vp9, &vp9[..], Some((640, 360))),
            (Codec::Vp9, &[0x86, 0x49, 0x83, 0x42], None),
            (Codec::Av1, &vp9[..], None),
        ];
        for (codec, frame, expected) in table {
            assert_eq!(key_frame_size(codec, frame), expected, "{codec:?} {frame:x?}");
        }
        for end in 0..vp9.len() {
            assert_eq!(key_frame_size(Codec::Vp9, &vp9[..end]), None, "cut at {end}");
        }
    }
}
