//! H.264 and HEVC byte streams (ITU-T H.264 and H.265, annex B): NAL units, and where decoding can start.
//!
//! ```
//! use crosspoint_router::wire::annexb;
//!
//! let picture = [0, 0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x65, 0x88];
//! assert_eq!(annexb::nals(&picture).collect::<Vec<_>>(), [&[0x09, 0xf0][..], &[0x65, 0x88]]);
//! assert!(annexb::h264(&picture).idr);
//! ```

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::bits::Bits;

/// The NAL units of `bytes`, without start codes and trailing zeros; what is before the first start code is skipped.
///
/// Copies: 0.
pub fn nals(bytes: &[u8]) -> Nals<'_> {
    let rest = start_code(bytes).map_or(&[][..], |at| &bytes[at + 3..]);
    Nals { rest }
}

/// Where the next start code (`00 00 01`) is.
#[must_use]
pub fn start_code(bytes: &[u8]) -> Option<usize> {
    static START: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(&[0, 0, 1]));
    START.find(bytes)
}

/// Iterator of [`nals`].
#[derive(Clone, Debug)]
pub struct Nals<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let (nal, rest) = match start_code(self.rest) {
                Some(at) => (&self.rest[..at], &self.rest[at + 3..]),
                None => (self.rest, &[][..]),
            };
            self.rest = rest;
            // A NAL unit does not end in a zero byte: zeros belong to the next start code or are trailing.
            let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if end > 0 {
                return Some(&nal[..end]);
            }
        }
        None
    }
}

/// What an access unit begins with, up to its first slice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outline {
    /// Begins with an access unit delimiter.
    pub aud: bool,
    /// Holds a sequence parameter set.
    pub sps: bool,
    /// Holds a picture parameter set.
    pub pps: bool,
    /// Is an IDR picture (H.264) or a random access point (HEVC IRAP).
    pub idr: bool,
    /// Holds a recovery point SEI message (H.264).
    pub recovery: bool,
    /// Its first slice is intra (H.264).
    pub intra: bool,
}

impl Outline {
    /// Whether a decoder that has the parameter sets can start here: an IDR picture, a recovery point, or an intra picture
    /// that comes with its sequence parameter set.
    #[must_use]
    pub fn is_key(self) -> bool {
        self.idr || self.recovery || (self.sps && self.intra)
    }
}

/// The [`Outline`] of an H.264 access unit. Reads up to the first slice header only.
#[must_use]
pub fn h264(bytes: &[u8]) -> Outline {
    let mut outline = Outline::default();
    for (nth, nal) in nals(bytes).enumerate() {
        match nal[0] & 0x1f {
            h264_nal::IDR => {
                outline.idr = true;
                outline.intra = true;
                break;
            }
            h264_nal::SLICE | h264_nal::PARTITION_A => {
                outline.intra = is_intra(&nal[1..]);
                break;
            }
            h264_nal::SEI => outline.recovery |= has_recovery_point(&nal[1..]),
            h264_nal::SPS => outline.sps = true,
            h264_nal::PPS => outline.pps = true,
            h264_nal::AUD => outline.aud |= nth == 0,
            _ => {}
        }
    }
    outline
}

/// The [`Outline`] of an HEVC access unit. Reads up to the first slice only.
#[must_use]
pub fn hevc(bytes: &[u8]) -> Outline {
    let mut outline = Outline::default();
    for (nth, nal) in nals(bytes).enumerate() {
        match nal[0] >> 1 & 0x3f {
            slice @ 0..=31 => {
                outline.idr = hevc_nal::IRAP.contains(&slice);
                break;
            }
            hevc_nal::SPS => outline.sps = true,
            hevc_nal::PPS => outline.pps = true,
            hevc_nal::AUD => outline.aud |= nth == 0,
            _ => {}
        }
    }
    outline
}

/// Whether a slice header (7.3.3) says that the slice is intra: `first_mb_in_slice`, then `slice_type`, both exp-Golomb coded.
fn is_intra(slice: &[u8]) -> bool {
    // Emulation prevention is not undone: the first two codes of a slice header are too short to hold three zero bytes' worth but in
    // pictures of more macroblocks than any level allows.
    let mut bits = Bits::new(slice, 0);
    bits.exp_golomb().is_some() && bits.exp_golomb().is_some_and(|slice_type| matches!(slice_type, 2 | 4 | 7 | 9))
}

/// Whether SEI messages (7.3.2.3) hold a recovery point, payload type 6.
fn has_recovery_point(mut messages: &[u8]) -> bool {
    // The last byte holds the trailing bits.
    while messages.len() > 2 {
        let Some((kind, rest)) = sei_number(messages) else { return false };
        let Some((bytes, rest)) = sei_number(rest) else { return false };
        if kind == 6 {
            return true;
        }
        let Some(rest) = rest.get(bytes..) else { return false };
        messages = rest;
    }
    false
}

/// A number as runs of 255 and a last byte.
fn sei_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let runs = bytes.iter().take_while(|&&byte| byte == 0xff).count();
    let last = usize::from(*bytes.get(runs)?);
    Some((runs * 255 + last, &bytes[runs + 1..]))
}

/// H.264 NAL unit types (table 7-1), the low five bits of the first byte.
pub mod h264_nal {
    /// A slice of a picture that is not an IDR picture.
    pub const SLICE: u8 = 1;
    /// The first partition of such a slice.
    pub const PARTITION_A: u8 = 2;
    /// A slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// A sequence parameter set.
    pub const SPS: u8 = 7;
    /// A picture parameter set.
    pub const PPS: u8 = 8;
    /// An access unit delimiter.
    pub const AUD: u8 = 9;
}

/// HEVC NAL unit types (table 7-1), bits 1 to 6 of the first byte.
pub mod hevc_nal {
    use std::ops::RangeInclusive;

    /// Slices of random access points.
    pub const IRAP: RangeInclusive<u8> = 16..=23;
    /// A sequence parameter set.
    pub const SPS: u8 = 33;
    /// A picture parameter set.
    pub const PPS: u8 = 34;
    /// An access unit delimiter.
    pub const AUD: u8 = 35;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nals_are_cut_at_start_codes() {
        let table: [(&[u8], &[&[u8]]); 7] = [
            (&[], &[]),
            (&[1, 2, 3], &[]),
            (&[0, 0, 1], &[]),
            (&[0, 0, 1, 5], &[&[5]]),
            (&[9, 0, 0, 0, 1, 5, 0, 0, 0, 1, 6, 7], &[&[5], &[6, 7]]),
            (&[0, 0, 1, 5, 0, 0, 0, 0], &[&[5]]),
            (&[0, 0, 1, 0, 0, 1, 5, 0, 0], &[&[5]]),
        ];
        for (bytes, expected) in table {
            assert_eq!(nals(bytes).collect::<Vec<_>>(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn h264_outline_by_kind_of_access_unit() {
        let outline = Outline::default();
        let table: [(&str, &[u8], Outline, bool); 6] = [
            ("idr", &[0, 0, 1, 0x65, 0x88], Outline { idr: true, intra: true, ..outline }, true),
            ("p slice", &[0, 0, 1, 0x41, 0x9a], outline, false),
            ("i slice", &[0, 0, 1, 0x41, 0x88], Outline { intra: true, ..outline }, false),
            (
                "aud, sps, pps, i slice",
                &[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 1, 0, 0, 1, 0x41, 0x88],
                Outline { aud: true, sps: true, pps: true, intra: true, ..outline },
                true,
            ),
            (
                "recovery point behind another message",
                &[0, 0, 1, 0x06, 5, 2, 1, 1, 6, 1, 0xc4, 0x80, 0, 0, 1, 0x41, 0x9a],
                Outline { recovery: true, ..outline },
                true,
            ),
            ("sei past its end", &[0, 0, 1, 0x06, 5, 200, 1, 1, 0x80, 0, 0, 1, 0x41, 0x9a], outline, false),
        ];
        for (name, bytes, expected, key) in table {
            assert_eq!(h264(bytes), expected, "{name}");
            assert_eq!(h264(bytes).is_key(), key, "{name}");
        }
    }

    #[test]
    fn hevc_outline_by_kind_of_access_unit() {
        let parameters = [0, 0, 1, 70, 1, 0x50, 0, 0, 1, 66, 1, 1, 0, 0, 1, 68, 1, 1];
        for (nal, key) in [(0_u8, false), (1, false), (15, false), (16, true), (19, true), (21, true), (23, true)] {
            let mut unit = parameters.to_vec();
            unit.extend([0, 0, 1, nal << 1, 1, 0x80]);
            let expected = Outline { aud: true, sps: true, pps: true, idr: key, ..Outline::default() };
            assert_eq!(hevc(&unit), expected, "{nal}");
        }
    }

    proptest! {
        #[test]
        fn nals_come_back_as_joined(units in proptest::collection::vec(proptest::collection::vec(2_u8.., 1..40), 0..10), long in any::<bool>()) {
            let mut bytes = Vec::new();
            for unit in &units {
                bytes.extend_from_slice(if long { &[0, 0, 0, 1] } else { &[0, 0, 1] });
                bytes.extend_from_slice(unit);
            }
            prop_assert_eq!(nals(&bytes).map(<[u8]>::to_vec).collect::<Vec<_>>(), units);
        }

        #[test]
        fn any_bytes_have_an_outline(bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..200)) {
            let _ = (h264(&bytes), hevc(&bytes));
        }
    }
}
