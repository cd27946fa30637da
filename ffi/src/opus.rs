//! Opus packets: what their first bytes say, and what stands for one that was lost (RFC 6716, 3).

use crate::{MediaTime, Payload, PayloadBuilder};

/// How long a packet sounds.
#[must_use]
pub fn duration(packet: &[u8]) -> MediaTime {
    let Some(&toc) = packet.first() else { return MediaTime::ZERO };
    let frame_us = match toc >> 3 {
        config @ 0..12 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        config @ 12..CELT_ONLY => [10_000, 20_000][usize::from(config & 1)],
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & CODE {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |count| i64::from(count & FRAMES)),
    };
    // No packet sounds longer than that.
    MediaTime::from_micros((frame_us * frames).min(120_000))
}

/// The frame that was lost, of the kind that `next` has: it has no bytes, which decoders take for a loss and make up for by what was there
/// before.
#[must_use]
pub fn lost(next: &[u8]) -> Payload {
    Payload::copy_from_slice(&[next.first().copied().unwrap_or(0) & !CODE])
}

/// The frame that was lost right before `next`. A sender may repeat a frame in the packet after it, with fewer bits (in-band forward error
/// correction, RFC 6716, 2.1.7): so `next` goes along where it can hold such a repetition, as padding, which says nothing to decoders that do
/// not look for it.
#[must_use]
pub fn lost_before(next: &[u8]) -> Payload {
    let Some(&toc) = next.first().filter(|&toc| toc >> 3 < CELT_ONLY) else { return lost(next) };
    let mut stand_in = PayloadBuilder::with_capacity(next.len() + next.len() / LONGEST_STEP + 3);
    stand_in.extend_from_slice(&[toc | CODE, PADDED | 1]);
    let mut left = next.len();
    while left > LONGEST_STEP {
        stand_in.extend_from_slice(&[LONGER]);
        left -= LONGEST_STEP;
    }
    stand_in.extend_from_slice(&[left as u8]);
    stand_in.extend_from_slice(next);
    stand_in.finish()
}

/// Whether `packet` is one frame that was lost.
#[must_use]
pub fn is_lost(packet: &[u8]) -> bool {
    packet.len() == 1 && packet[0] & CODE == 0 || repetition(packet).is_some()
}

/// The packet after the one that was lost, in which that may be repeated: what [`lost_before`] sent along.
#[must_use]
pub fn repetition(stand_in: &[u8]) -> Option<&[u8]> {
    let (&[toc, count], mut rest) = stand_in.split_first_chunk()?;
    if toc & CODE != CODE || count != PADDED | 1 {
        return None;
    }
    let mut length = 0;
    loop {
        let (&step, after) = rest.split_first()?;
        rest = after;
        length += usize::from(step.min(LONGEST_STEP as u8));
        if step != LONGER {
            break;
        }
    }
    (rest.len() == length && length > 0).then_some(rest)
}

/// The first configuration without a SILK layer, which is what is repeated (RFC 6716, table 2).
const CELT_ONLY: u8 = 16;
/// How many frames a packet has, of the first byte; all ones where the next byte says it (RFC 6716, 3.2.5).
const CODE: u8 = 0b11;
/// In the byte that says it: how many, and whether there is padding behind them.
const FRAMES: u8 = 0x3f;
const PADDED: u8 = 0x40;
/// A byte of a padding's length that is followed by another, and what such a one counts.
const LONGER: u8 = 255;
const LONGEST_STEP: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;

    /// Wideband, 20 ms (SILK alone); fullband, 20 ms (hybrid, and CELT alone); each with one frame.
    const SILK: u8 = 9 << 3;
    const HYBRID: u8 = 15 << 3;
    const CELT: u8 = 31 << 3;

    #[test]
    fn lasts_as_its_first_bytes_say() {
        let ms = |packet: &[u8]| duration(packet).as_nanos() as f64 / 1e6;
        assert_eq!([ms(&[]), ms(&[SILK]), ms(&[3 << 3]), ms(&[12 << 3]), ms(&[28 << 3])], [0.0, 20.0, 60.0, 10.0, 2.5]);
        assert_eq!([ms(&[CELT | 1]), ms(&[CELT | 2]), ms(&[CELT | 3, 3]), ms(&[CELT | 3, 0x80 | 63])], [40.0, 40.0, 60.0, 120.0]);
    }

    #[test]
    fn packet_after_a_loss_goes_along_whole() {
        for length in [1, 2, 253, 254, 255, 256, 508, 509, 510, 1_275] {
            for toc in [SILK, HYBRID, HYBRID | 1] {
                let next: Vec<_> = (0..length).map(|at| if at == 0 { toc } else { at as u8 }).collect();
                let stand_in = lost_before(&next);
                assert_eq!(repetition(&stand_in), Some(&next[..]), "{length} bytes");
                assert!(is_lost(&stand_in));
                assert_eq!(duration(&stand_in), MediaTime::from_millis(20), "one frame");
            }
        }
    }

    #[test]
    fn what_cannot_be_repeated_is_one_byte() {
        for stand_in in [lost_before(&[CELT, 1, 2]), lost(&[CELT, 1, 2]), lost_before(&[CELT | 2, 1, 2])] {
            assert_eq!((&stand_in[..], is_lost(&stand_in), repetition(&stand_in)), (&[CELT][..], true, None));
        }
        assert_eq!(&lost(&[SILK | 1, 7])[..], [SILK]);
        assert_eq!(&lost_before(&[])[..], [0]);
    }

    #[test]
    fn sound_and_rubbish_are_no_loss() {
        let stand_in = lost_before(&[SILK; 300]);
        let mut packets = vec![&[][..], &[SILK, 1], &[SILK | 3], &[SILK | 3, PADDED | 1], &[SILK | 3, PADDED | 1, 0], &[SILK | 1]];
        packets.extend((2..stand_in.len()).map(|length| &stand_in[..length]));
        for packet in packets {
            assert!(!is_lost(packet), "{} bytes: {:?}", packet.len(), packet.get(..3));
        }
        // As many bytes as a sender's own padding behind a frame.
        let padded = [SILK | 3, PADDED | 1, 2, 7, 7, 7, 0, 0];
        assert_eq!((is_lost(&padded), repetition(&padded)), (false, None));
    }
}
