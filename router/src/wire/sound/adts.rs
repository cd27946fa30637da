//! AAC in ADTS frames (ISO/IEC 14496-3, 1.A.2).

use std::time::Instant;

use crosspoint_ffi::{Codec, MediaTime};

use super::{Cut, Out};

/// The header of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// What all frames of a stream share: version, protection, profile, rate, channels.
    fixed: [u8; 3],
    rate: u32,
    frame_bytes: usize,
    blocks: u32,
}

impl Header {
    /// Parses a header; nothing when it has no sync word, reserved values, or a length shorter than itself.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[sync, two, three, four, five, six, seven] = bytes.first_chunk::<HEADER_BYTES>()?;
        // Layer is always 0, which is what MPEG audio never has.
        if sync != 0xff || two & 0xf6 != 0xf0 {
            return None;
        }
        let rate = *RATES.get(usize::from(three >> 2 & 0xf))?;
        let frame_bytes = usize::from(four & 3) << 11 | usize::from(five) << 3 | usize::from(six >> 5);
        let checksum_bytes = if two & 1 == 0 { 2 } else { 0 };
        // Bits 1…2 of the third byte: the private bit does not belong to what frames share, the top bit of the channels does.
        let fixed = [two, three & 0xfd, four & 0xc0];
        (frame_bytes > HEADER_BYTES + checksum_bytes).then_some(Self { fixed, rate, frame_bytes, blocks: u32::from(seven & 3) + 1 })
    }

    /// The bytes of the frame, header included.
    pub(super) fn frame_bytes(self) -> usize {
        self.frame_bytes
    }

    /// Whether `next` may follow in the same stream.
    pub(super) fn agrees(self, next: Self) -> bool {
        self.fixed == next.fixed
    }

    fn duration(self) -> MediaTime {
        MediaTime::from_ticks(i64::from(self.blocks) * 1_024, self.rate)
    }
}

/// Cuts frames that agree with the first.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    locked: Option<Header>,
}

impl Cutter {
    pub(super) fn cut(&mut self, bytes: &[u8], now: Instant, out: &mut Out) -> Cut {
        if bytes.len() < HEADER_BYTES {
            return Cut::More(HEADER_BYTES);
        }
        let Some(header) = Header::parse(bytes).filter(|&header| self.locked.is_none_or(|locked| locked.agrees(header))) else {
            return Cut::Lost;
        };
        let Some(frame) = bytes.get(..header.frame_bytes) else { return Cut::More(header.frame_bytes) };
        self.locked = Some(header);
        out.packet(Codec::Aac, frame, header.duration(), None, now);
        Cut::Took(frame.len())
    }
}

const HEADER_BYTES: usize = 7;
const RATES: [u32; 13] = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
