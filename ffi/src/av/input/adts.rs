//! AAC as MP4 and FLV store it to AAC that says what it is.

use crate::{Payload, PayloadBuilder};

/// The fixed part of an ADTS header (ISO/IEC 13818-7, 6.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Adts {
    /// Audio object type less one.
    profile: u8,
    rate_index: u8,
    channels: u8,
}

impl Adts {
    /// Reads an `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1); nothing when ADTS cannot say it: an object type above 4, a rate that is not
    /// in the table, or channels that are described in the stream.
    pub(super) fn of_config(config: &[u8]) -> Option<Self> {
        let &[first, second, ..] = config else { return None };
        let (object, rate_index, channels) = (first >> 3, (first & 7) << 1 | second >> 7, second >> 3 & 15);
        // 960 samples a frame instead of 1024, which ADTS cannot say.
        let is_short = second & 4 != 0;
        // The core layer and its delay belong to scalable streams.
        let depends = second & 2 != 0;
        let fits = (1..=4).contains(&object) && rate_index < 13 && (1..=7).contains(&channels) && !is_short && !depends;
        fits.then_some(Self { profile: object - 1, rate_index, channels })
    }

    /// Puts the header before a raw frame; nothing when the frame is longer than ADTS can say.
    ///
    /// Copies: 1 (of some hundred bytes: the header goes before them).
    pub(super) fn frame(self, raw: &[u8]) -> Option<Payload> {
        let length = u16::try_from(raw.len() + HEADER_BYTES).ok().filter(|length| *length < 1 << 13)?;
        let mut builder = PayloadBuilder::with_capacity(usize::from(length));
        builder.extend_from_slice(&[
            // Sync word; MPEG-4, layer 0, no checksum.
            0xff,
            0xf1,
            self.profile << 6 | self.rate_index << 2 | self.channels >> 2,
            (self.channels & 3) << 6 | (length >> 11) as u8,
            (length >> 3) as u8,
            // Fullness all ones ("variable rate"), one raw block.
            (length << 5) as u8 | 0x1f,
            0xfc,
        ]);
        builder.extend_from_slice(raw);
        Some(builder.finish())
    }
}

/// Whether a frame begins with an ADTS header.
pub(super) fn is_adts(frame: &[u8]) -> bool {
    frame.len() > HEADER_BYTES && frame[0] == 0xff && frame[1] & 0xf6 == 0xf0
}

const HEADER_BYTES: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_becomes_a_header_where_adts_can_say_it() {
        let adts = |profile, rate_index, channels| Some(Adts { profile, rate_index, channels });
        for (config, expected) in [
            (&[0x12, 0x10][..], adts(1, 4, 2)),
            (&[0x11, 0x88], adts(1, 3, 1)),
            (&[0x11, 0xb0], adts(1, 3, 6)),
            (&[0x12, 0x10, 0x56, 0xe5, 0x00], adts(1, 4, 2)),
            // Object type 5: SBR said in the config.
            (&[0x2b, 0x92, 0x08, 0x00], None),
            // The rate in 24 bits.
            (&[0x17, 0x80, 0, 0, 0x10], None),
            // Channels described in the stream.
            (&[0x12, 0x00], None),
            (&[0x12, 0x14], None),
            (&[0x12], None),
            (&[], None),
        ] {
            assert_eq!(Adts::of_config(config), expected, "{config:02x?}");
        }
    }

    #[test]
    fn header_counts_itself() {
        let adts = Adts::of_config(&[0x12, 0x10]).expect("representable");
        let framed = adts.frame(&[7; 300]).expect("short");
        assert!(is_adts(&framed));
        assert_eq!(framed[..7], [0xff, 0xf1, 0x50, 0x80, 0x26, 0x7f, 0xfc]);
        assert_eq!(framed[7..], [7; 300]);
        assert!(adts.frame(&[0; 8_185]).is_none());
        assert!(!is_adts(&framed[7..]));
    }
}
