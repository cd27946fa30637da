//! Pictures that repeat the one before, without an encoder.

use super::parameters::{Pps, Sps};
use crate::wire::annexb::{h264_nal, start_code};
use crate::wire::bits::{BitWriter, Bits};

/// Writes pictures between those of an encoder that say: all as before.
///
/// Such a picture is one P slice in which every macroblock is skipped (7.3.4, `mb_skip_run`): of 10 bytes, at no cost to whoever makes it.
/// It takes the place of the picture that it repeats as the reference, and a `frame_num` of its own (7.4.3), so all that the encoder makes
/// up to its next IDR picture is numbered anew: [`Repeater::handle_unit`] sees every access unit before anybody else.
///
/// This takes a stream of plain P pictures that refer to the one before: CAVLC, frames, one reference, output in the order of decoding. Of
/// any other none is repeated. x264 makes it in its baseline profile without B-frames when it is told one reference.
///
/// Copies: 0 (numbers are changed in place).
///
/// ```
/// use crosspoint_router::wire::h264::Repeater;
///
/// let mut repeater = Repeater::new();
/// assert_eq!(repeater.repeat(), None, "there was no picture yet");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Repeater {
    /// Of the stream since its last IDR picture; nothing before one, or when it cannot be repeated.
    sequence: Option<Sequence>,
}

#[derive(Clone, Copy, Debug)]
struct Sequence {
    macroblocks: u32,
    pps_id: u32,
    deblocking_control: bool,
    frame_num_bits: u32,
    /// Pictures repeated since the IDR picture: what is added to the encoder's numbers.
    repeated: u32,
    /// The last picture's number as the stream has it.
    frame_num: u32,
}

impl Repeater {
    /// Makes one that has seen no picture.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an access unit (annex B) that the encoder made, in the order that it made them, and numbers it so that it follows what
    /// was repeated.
    pub fn handle_unit(&mut self, unit: &mut [u8]) {
        let mut at = 0;
        while let Some(start) = start_code(&unit[at..]) {
            at += start + 3;
            match unit.get(at).map(|header| header & 0x1f) {
                Some(h264_nal::IDR) => {
                    // Parameter sets may have come without a picture before it; an encoder that repeats them has them in this unit.
                    self.sequence = Sequence::of(unit);
                    return;
                }
                Some(h264_nal::SLICE) => {
                    let numbered = self.sequence.as_mut().map(|sequence| sequence.number(&mut unit[at + 1..]));
                    if numbered == Some(None) {
                        self.sequence = None;
                    }
                }
                _ => {}
            }
        }
    }

    /// A picture (annex B) that repeats the last one, and follows it.
    pub fn repeat(&mut self) -> Option<Vec<u8>> {
        Some(self.sequence.as_mut()?.repeat())
    }
}

impl Sequence {
    /// What begins with this IDR picture, if it can be repeated.
    fn of(unit: &[u8]) -> Option<Self> {
        let (sps, pps) = (Sps::of(unit)?, Pps::of(unit)?);
        let is_plain = sps.frames_only && sps.reference_frames == 1 && sps.order_type == IN_ORDER && !pps.arithmetic && !pps.elaborate;
        // Larger numbers could bring forth or take away start codes, which a change in place must not.
        let is_short = sps.frame_num_bits <= LONGEST_NUMBER && pps.id == 0 && sps.macroblocks <= MOST_MACROBLOCKS;
        (is_plain && is_short).then_some(Self {
            macroblocks: sps.macroblocks,
            pps_id: pps.id,
            deblocking_control: pps.deblocking_control,
            frame_num_bits: sps.frame_num_bits,
            repeated: 0,
            frame_num: 0,
        })
    }

    /// Changes the number in a slice's header (7.3.3). Nothing: it has none.
    fn number(&mut self, slice: &mut [u8]) -> Option<()> {
        let mut bits = Bits::new(slice, 0);
        // The first macroblock, the type, the parameter set.
        (0..3).try_for_each(|_| bits.exp_golomb().map(drop))?;
        let at = bits.position();
        self.frame_num = (bits.take(self.frame_num_bits)? + self.repeated) & self.mask();
        for nth in 0..self.frame_num_bits {
            let place = at + nth as usize;
            let bit = (self.frame_num >> (self.frame_num_bits - 1 - nth) & 1) as u8;
            let shift = 7 - place % 8;
            slice[place / 8] = slice[place / 8] & !(1 << shift) | bit << shift;
        }
        Some(())
    }

    fn repeat(&mut self) -> Vec<u8> {
        self.repeated = (self.repeated + 1) & self.mask();
        self.frame_num = (self.frame_num + 1) & self.mask();
        let mut slice = BitWriter::behind(vec![0, 0, 0, 1, REFERENCE_SLICE]);
        slice.put_exp_golomb(0);
        slice.put_exp_golomb(ALL_P);
        slice.put_exp_golomb(self.pps_id);
        slice.put(self.frame_num, self.frame_num_bits);
        // As many references as the parameter set says, in their order, and the oldest goes.
        slice.put(0, 3);
        // The quantizer is the parameter set's.
        slice.put_exp_golomb(0);
        if self.deblocking_control {
            // Off: there is nothing to be smoothed.
            slice.put_exp_golomb(1);
        }
        slice.put_exp_golomb(self.macroblocks);
        // The end of the slice.
        slice.put(1, 1);
        slice.into_bytes()
    }

    fn mask(&self) -> u32 {
        (1 << self.frame_num_bits) - 1
    }
}

/// `pic_order_cnt_type`: pictures are shown in the order of decoding.
const IN_ORDER: u32 = 2;
/// A slice of a picture that others refer to.
const REFERENCE_SLICE: u8 = 2 << 5 | h264_nal::SLICE;
/// `slice_type`: a P slice, as are all of this picture.
const ALL_P: u32 = 5;
/// The longest number in whose place no other can bring forth 16 zero bits in a row: up to 7 more may stand behind it before the first one,
/// three flags and the zeros of a quantizer's change by at most 51 (6).
const LONGEST_NUMBER: u32 = 6;
/// More than 3840x2160 has, and the most whose code has no 16 zero bits in a row behind what may stand before it.
const MOST_MACROBLOCKS: u32 = (1 << 15) - 2;

#[cfg(test)]
mod tests;
