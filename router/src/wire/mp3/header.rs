//! The header of an MPEG audio frame (ISO/IEC 11172-3, 2.4.2.3; 13818-3; and the customary MPEG-2.5).

use crosspoint_ffi::{AudioFormat, Codec, MediaTime};

/// A frame header that makes sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    version: Version,
    layer: Layer,
    rate: u32,
    channels: u8,
    frame_bytes: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    Mpeg1,
    Mpeg2,
    Mpeg25,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Layer {
    One,
    Two,
    Three,
}

impl Header {
    /// The bytes of a header.
    pub const BYTES: usize = 4;

    /// Parses a header; nothing when it has no sync word, reserved values, or free format (whose length it does not tell).
    #[must_use]
    pub fn parse(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let [sync, two, three, four] = bytes;
        if sync != 0xff || two & 0xe0 != 0xe0 || four & 3 == 2 {
            return None;
        }
        let version = match two >> 3 & 3 {
            0 => Version::Mpeg25,
            2 => Version::Mpeg2,
            3 => Version::Mpeg1,
            _ => return None,
        };
        let layer = match two >> 1 & 3 {
            1 => Layer::Three,
            2 => Layer::Two,
            3 => Layer::One,
            _ => return None,
        };
        let rate = match version {
            Version::Mpeg1 => RATES,
            Version::Mpeg2 => RATES.map(|rate| rate / 2),
            Version::Mpeg25 => RATES.map(|rate| rate / 4),
        };
        let rate = *rate.get(usize::from(three >> 2 & 3))?;
        let kbps = match (version, layer) {
            (Version::Mpeg1, Layer::One) => KBPS_1_I,
            (Version::Mpeg1, Layer::Two) => KBPS_1_II,
            (Version::Mpeg1, Layer::Three) => KBPS_1_III,
            (Version::Mpeg2 | Version::Mpeg25, Layer::One) => KBPS_2_I,
            (Version::Mpeg2 | Version::Mpeg25, Layer::Two | Layer::Three) => KBPS_2_II_III,
        };
        let kbps = kbps.get(usize::from(three >> 4)).copied().filter(|&kbps| kbps != 0)?;
        let channels = if four >> 6 == 3 { 1 } else { 2 };
        let mut header = Self { version, layer, rate, channels, frame_bytes: 0 };
        let padding = usize::from(three >> 1 & 1);
        let slot_bytes = if layer == Layer::One { 4 } else { 1 };
        // A slot is 4 bytes in layer I, 1 else; bits of a frame = samples · bit rate / sample rate.
        let slots = header.samples() as usize / 8 / slot_bytes * kbps * 1_000 / rate as usize;
        header.frame_bytes = (slots + padding) * slot_bytes;
        Some(header)
    }

    /// The bytes of the frame, header included.
    #[must_use]
    pub fn frame_bytes(self) -> usize {
        self.frame_bytes
    }

    /// The samples of each channel in the frame.
    #[must_use]
    pub fn samples(self) -> u32 {
        match (self.layer, self.version) {
            (Layer::One, _) => 384,
            (Layer::Two, _) | (Layer::Three, Version::Mpeg1) => 1152,
            (Layer::Three, Version::Mpeg2 | Version::Mpeg25) => 576,
        }
    }

    /// The sample rate and the channels.
    #[must_use]
    pub fn format(self) -> AudioFormat {
        AudioFormat { rate: self.rate, channels: self.channels }
    }

    /// How long the frame sounds.
    #[must_use]
    pub fn duration(self) -> MediaTime {
        MediaTime::from_ticks(i64::from(self.samples()), self.rate)
    }

    /// The codec; nothing for layer I, which is not carried.
    #[must_use]
    pub fn codec(self) -> Option<Codec> {
        match self.layer {
            Layer::One => None,
            Layer::Two => Some(Codec::Mp2),
            Layer::Three => Some(Codec::Mp3),
        }
    }

    /// Whether `next` may follow in the same stream: bit rate, padding and channel mode may change, these not.
    #[must_use]
    pub fn agrees(self, next: Self) -> bool {
        (self.version, self.layer, self.rate) == (next.version, next.layer, next.rate)
    }

    /// Whether `frame`, which begins with this header, holds an encoder's notes (Xing, Info, VBRI) in place of sound.
    pub(in crate::wire) fn is_info(self, frame: &[u8]) -> bool {
        if self.layer != Layer::Three {
            return false;
        }
        let side_bytes = match (self.version, self.channels) {
            (Version::Mpeg1, 1) => 17,
            (Version::Mpeg1, _) => 32,
            (Version::Mpeg2 | Version::Mpeg25, 1) => 9,
            (Version::Mpeg2 | Version::Mpeg25, _) => 17,
        };
        let tag_at = |at: usize| frame.get(at..at + 4);
        matches!(tag_at(Self::BYTES + side_bytes), Some(b"Xing" | b"Info")) || tag_at(VBRI_AT) == Some(b"VBRI")
    }
}

/// Fraunhofer's tag is at a fixed place.
const VBRI_AT: usize = 36;
const RATES: [u32; 3] = [44_100, 48_000, 32_000];
const KBPS_1_I: [usize; 15] = [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448];
const KBPS_1_II: [usize; 15] = [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
const KBPS_1_III: [usize; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const KBPS_2_I: [usize; 15] = [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256];
const KBPS_2_II_III: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_every_version_and_layer() {
        let table = [
            ([0xff, 0xfb, 0x90, 0x64], 417, 1152, 44_100, 2, Some(Codec::Mp3)),
            ([0xff, 0xfb, 0x92, 0x64], 418, 1152, 44_100, 2, Some(Codec::Mp3)),
            ([0xff, 0xf3, 0x84, 0xc4], 192, 576, 24_000, 1, Some(Codec::Mp3)),
            ([0xff, 0xe3, 0x18, 0xc4], 72, 576, 8_000, 1, Some(Codec::Mp3)),
            ([0xff, 0xfd, 0xa4, 0x00], 576, 1152, 48_000, 2, Some(Codec::Mp2)),
            ([0xff, 0xf5, 0x84, 0x00], 384, 1152, 24_000, 2, Some(Codec::Mp2)),
            ([0xff, 0xff, 0xc6, 0x00], 388, 384, 48_000, 2, None),
        ];
        for (bytes, frame_bytes, samples, rate, channels, codec) in table {
            let header = Header::parse(bytes).expect("a header");
            assert_eq!((header.frame_bytes(), header.samples(), header.codec()), (frame_bytes, samples, codec), "{bytes:x?}");
            assert_eq!(header.format(), AudioFormat { rate, channels }, "{bytes:x?}");
        }
    }

    #[test]
    fn reserved_values_and_free_format_are_refused() {
        for bytes in [
            [0xfe, 0xfb, 0x90, 0x64],
            [0xff, 0x1b, 0x90, 0x64],
            [0xff, 0xeb, 0x90, 0x64],
            [0xff, 0xf9, 0x90, 0x64],
            [0xff, 0xfb, 0x00, 0x64],
            [0xff, 0xfb, 0xf0, 0x64],
            [0xff, 0xfb, 0x9c, 0x64],
            [0xff, 0xfb, 0x90, 0x66],
        ] {
            assert_eq!(Header::parse(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn no_frame_is_longer_than_the_bound() {
        let longest =
            (0..=u32::MAX >> 12).filter_map(|low| Header::parse((0xfff0_0000_u32 | low).to_be_bytes())).map(Header::frame_bytes).max();
        let longest_25 =
            (0..=u32::MAX >> 12).filter_map(|low| Header::parse((0xffe0_0000_u32 | low).to_be_bytes())).map(Header::frame_bytes).max();
        assert_eq!(longest.max(longest_25), Some(2881));
    }
}
