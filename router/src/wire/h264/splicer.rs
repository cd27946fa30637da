//! Pictures of ours between those of an encoder.

use crosspoint_ffi::{Error, I420, Plane, Remedy, Result};

use super::escape::{append_nal, unescaped};
use super::parameters::{Pps, Sps};
use crate::wire::annexb::{h264_nal, nals, start_code};
use crate::wire::bits::{BitWriter, Bits};

/// Writes pictures between those of an encoder, which does not know of them: such that say that all is as before, and such that show a few
/// places anew.
///
/// They are P pictures of one slice in which macroblocks are skipped (7.3.4, `mb_skip_run`) or hold their samples as they are (7.3.5,
/// `I_PCM`: exact, 384 bytes each). They cost next to nothing to make: a repetition is 10 bytes.
///
/// Such a picture takes the place of the one before as the reference, and a `frame_num` of its own (7.4.3), so all that the encoder makes up
/// to its next IDR picture is numbered anew: [`Splicer::handle_unit`] sees every access unit before anybody else. What the encoder makes
/// refers to its own last picture. That shows the same as what was repeated since; behind a patch it does not, so the patch has decoders
/// keep it as a long-term reference (8.2.5.4), and the encoder's next picture is told to refer to that (7.3.3.1) and then to let it go.
///
/// This takes a stream of plain P pictures that refer to the one before: CAVLC, frames, one reference of the one or two that the parameter
/// set gives room for (patches take two), output in the order of decoding. Of any other nothing is repeated or patched. x264 makes it in its
/// baseline profile without B-frames when it is told one reference and `dpb-size=2`.
///
/// Copies: 0 (numbers are changed in place; 1 of the encoder's picture behind a patch).
///
/// ```
/// use crosspoint_router::wire::h264::Splicer;
///
/// let mut splicer = Splicer::new();
/// assert_eq!(splicer.repeat(), None, "there was no picture yet");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Splicer {
    /// Of the stream since its last IDR picture; nothing before one, or when it takes none of ours.
    sequence: Option<Sequence>,
}

#[derive(Clone, Copy, Debug)]
struct Sequence {
    sps: Sps,
    pps: Pps,
    /// Pictures of ours since the IDR picture: what is added to the encoder's numbers.
    spliced: u32,
    /// The last picture's number as the stream has it.
    frame_num: u32,
    /// Whether decoders hold a picture besides the last one, at hand as a reference to no use.
    is_crowded: bool,
    /// Whether they keep what the encoder made last, because there were patches since.
    is_kept: bool,
}

impl Splicer {
    /// Makes one that has seen no picture.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of an access unit (annex B) that the encoder made, in the order that it made them, and has it follow what was spliced in:
    /// in place, or, where that takes more bytes, by the answer, which stands for it.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when it should refer to a picture behind a patch and its slices are not plain: it must not be shown.
    pub fn handle_unit(&mut self, unit: &mut [u8]) -> Result<Option<Vec<u8>>> {
        let (mut at, mut has_slices) = (0, false);
        while let Some(start) = start_code(&unit[at..]) {
            at += start + 3;
            match unit.get(at).map(|header| header & 0x1f) {
                Some(h264_nal::IDR) => {
                    // Parameter sets may have come without a picture before it; an encoder that repeats them has them in this unit.
                    self.sequence = Sequence::of(unit);
                    return Ok(None);
                }
                Some(h264_nal::SLICE) => {
                    has_slices = true;
                    let Some(sequence) = &mut self.sequence else { continue };
                    if sequence.number(&mut unit[at + 1..]).is_none() {
                        let was_kept = std::mem::take(&mut self.sequence).is_some_and(|sequence| sequence.is_kept);
                        return if was_kept { Err(not_plain()) } else { Ok(None) };
                    }
                }
                _ => {}
            }
        }
        let Some(sequence) = self.sequence.as_mut().filter(|_| has_slices) else { return Ok(None) };
        sequence.is_crowded = true;
        if !sequence.is_kept {
            return Ok(None);
        }
        sequence.is_kept = false;
        let referred = sequence.refer(unit);
        if referred.is_none() {
            self.sequence = None;
        }
        referred.ok_or_else(not_plain).map(Some)
    }

    /// A picture (annex B) that repeats the last one, and follows it.
    pub fn repeat(&mut self) -> Option<Vec<u8>> {
        let sequence = self.sequence.as_mut()?;
        let mut slice = sequence.begin(false);
        slice.put_exp_golomb(sequence.sps.macroblocks);
        Some(end(slice))
    }

    /// A picture (annex B) that follows the last one and differs from it in `blocks`: macroblocks by their number, row by row, in rising
    /// order, whose samples are those of `picture`, which is of the stream's size.
    ///
    /// Nothing when the stream takes no patches, or there is no such block.
    pub fn patch(&mut self, picture: &I420<'_>, blocks: &[u32]) -> Option<Vec<u8>> {
        let sequence = self.sequence.as_mut()?;
        let Sps { width, height, columns, macroblocks, reference_frames, .. } = sequence.sps;
        let fits = (picture.width, picture.height) == (width as usize, height as usize);
        let are_blocks = blocks.is_sorted_by(|block, next| block < next) && *blocks.last()? < macroblocks;
        if !fits || !are_blocks || reference_frames != PATCH_REFERENCES || !sequence.pps.deblocking_control {
            return None;
        }
        let mut slice = sequence.begin(true);
        let mut next = 0;
        for &block in blocks {
            slice.put_exp_golombs(&[block - next, I_PCM]);
            let (column, row) = ((block % columns) as usize, (block / columns) as usize);
            put_samples(&mut slice, picture.y, (picture.width, picture.height), (column * 16, row * 16), 16);
            for plane in [picture.u, picture.v] {
                put_samples(&mut slice, plane, (picture.width / 2, picture.height / 2), (column * 8, row * 8), 8);
            }
            next = block + 1;
        }
        if next < macroblocks {
            slice.put_exp_golomb(macroblocks - next);
        }
        Some(end(slice))
    }
}

impl Sequence {
    /// What begins with this IDR picture, if it takes pictures of ours.
    fn of(unit: &[u8]) -> Option<Self> {
        let (sps, pps) = (Sps::of(unit)?, Pps::of(unit)?);
        let has_references = (1..=PATCH_REFERENCES).contains(&sps.reference_frames);
        let is_plain = sps.frames_only && has_references && sps.order_type == IN_ORDER && !pps.arithmetic && !pps.elaborate;
        // Larger numbers could bring forth or take away start codes, which a change in place must not.
        let is_short = sps.frame_num_bits <= LONGEST_NUMBER && pps.id == 0;
        (is_plain && is_short).then_some(Self { sps, pps, spliced: 0, frame_num: 0, is_crowded: false, is_kept: false })
    }

    /// Changes the number in a slice's header (7.3.3). Nothing: it has none.
    fn number(&mut self, slice: &mut [u8]) -> Option<()> {
        let bits_of_number = self.sps.frame_num_bits;
        let mut bits = Bits::new(slice, 0);
        skip_to_number(&mut bits)?;
        let at = bits.position();
        self.frame_num = (bits.take(bits_of_number)? + self.spliced) & self.mask();
        for nth in 0..bits_of_number {
            let place = at + nth as usize;
            let bit = (self.frame_num >> (bits_of_number - 1 - nth) & 1) as u8;
            let shift = 7 - place % 8;
            slice[place / 8] = slice[place / 8] & !(1 << shift) | bit << shift;
        }
        Some(())
    }

    /// The encoder's picture behind patches, referring to the one that is kept, which nobody needs after it.
    fn refer(&self, unit: &[u8]) -> Option<Vec<u8>> {
        let mut referred = Vec::with_capacity(unit.len() + 64);
        for nal in nals(unit) {
            let payload = unescaped(&nal[1..]);
            let payload = if nal[0] & 0x1f == h264_nal::SLICE { self.refer_slice(nal[0], &payload)? } else { payload };
            append_nal(&mut referred, nal[0], &payload);
        }
        Some(referred)
    }

    fn refer_slice(&self, header: u8, payload: &[u8]) -> Option<Vec<u8>> {
        let mut bits = Bits::new(payload, 0);
        skip_to_number(&mut bits)?;
        bits.take(self.sps.frame_num_bits)?;
        if bits.bit()? == 1 {
            // It says itself how many references it has.
            bits.exp_golomb()?;
        }
        let at = bits.position();
        // Its references are in their order, and the oldest goes: the flags that say otherwise are followed by how.
        if header & REFERENCED == 0 || bits.take(2)? != 0 {
            return None;
        }
        let whole = bits.position().next_multiple_of(8);
        let rest = bits.take((whole - bits.position()) as u32)?;
        let mut slice = BitWriter::behind(payload[..at / 8].to_vec());
        slice.put(u32::from(*payload.get(at / 8)?) >> (8 - at % 8), (at % 8) as u32);
        slice.put(1, 1);
        slice.put_exp_golombs(&[reorder::LONG_TERM, 0, reorder::END]);
        slice.put(1, 1);
        slice.put_exp_golombs(&[marking::LONG_TERM_COUNT, 0, marking::END]);
        // 16 bits more: what follows keeps its place within bytes, on which samples as they are depend.
        slice.put(rest, (whole - at - 2) as u32);
        slice.put_bytes(payload.get(whole / 8..)?);
        Some(slice.into_bytes())
    }

    /// Begins a picture of ours: the slice's header. With `keeps`, decoders keep what the encoder made last.
    fn begin(&mut self, keeps: bool) -> BitWriter {
        self.spliced = (self.spliced + 1) & self.mask();
        self.frame_num = (self.frame_num + 1) & self.mask();
        let mut slice = BitWriter::default();
        slice.put_exp_golombs(&[0, ALL_P, self.pps.id]);
        slice.put(self.frame_num, self.sps.frame_num_bits);
        // As many references as the parameter set says, in their order.
        slice.put(0, 2);
        let keeps_now = keeps && !self.is_kept;
        slice.put(u32::from(keeps_now), 1);
        if keeps_now {
            if self.is_crowded {
                // The one before the last goes.
                slice.put_exp_golombs(&[marking::UNUSED, 1]);
            }
            slice.put_exp_golombs(&[marking::LONG_TERM_COUNT, 1, marking::LONG_TERM, 0, 0, marking::END]);
        }
        // Otherwise the oldest goes. Of two that are held, one being kept, that is the last.
        (self.is_kept, self.is_crowded) = (self.is_kept || keeps, !(self.is_kept || keeps));
        // The quantizer is the parameter set's.
        slice.put_exp_golomb(0);
        if self.pps.deblocking_control {
            // Off: there is nothing to be smoothed.
            slice.put_exp_golomb(1);
        }
        slice
    }

    fn mask(&self) -> u32 {
        (1 << self.sps.frame_num_bits) - 1
    }
}

/// Reads a slice's first macroblock, its type and its parameter set.
fn skip_to_number(bits: &mut Bits<'_>) -> Option<()> {
    (0..3).try_for_each(|_| bits.exp_golomb().map(drop))
}

/// Writes a square of samples whose top left one is at `x`, `y`; beyond the picture's sides their last ones, which are never seen.
fn put_samples(slice: &mut BitWriter, plane: Plane<'_>, (width, height): (usize, usize), (x, y): (usize, usize), side: usize) {
    for row in y..y + side {
        let samples = plane.row(row.min(height - 1), width);
        let inside = &samples[x..width.min(x + side)];
        slice.put_bytes(inside);
        (inside.len()..side).for_each(|_| slice.put_bytes(&samples[width - 1..]));
    }
}

/// The access unit of one slice.
fn end(mut slice: BitWriter) -> Vec<u8> {
    slice.put(1, 1);
    let mut unit = Vec::new();
    append_nal(&mut unit, REFERENCE_SLICE, &slice.into_bytes());
    unit
}

fn not_plain() -> Error {
    Error::new("splicing pictures", Remedy::Rebuild, "a slice of the encoder's is not plain")
}

/// `pic_order_cnt_type`: pictures are shown in the order of decoding.
const IN_ORDER: u32 = 2;
/// What a patched stream has room for: the encoder's last picture, and the last of ours.
const PATCH_REFERENCES: u32 = 2;
/// `nal_ref_idc`: others refer to this picture when it is not zero.
const REFERENCED: u8 = 3 << 5;
/// A slice of a picture that others refer to.
const REFERENCE_SLICE: u8 = 2 << 5 | h264_nal::SLICE;
/// `slice_type`: a P slice, as are all of this picture.
const ALL_P: u32 = 5;
/// `mb_type` of a macroblock of a P slice that holds its samples as they are (tables 7-11 and 7-13).
const I_PCM: u32 = 5 + 25;
/// The longest number in whose place no other can bring forth 16 zero bits in a row: up to 7 more may stand behind it before the first one,
/// three flags and the zeros of a quantizer's change by at most 51 (6).
const LONGEST_NUMBER: u32 = 6;

/// `modification_of_pic_nums_idc` (table 7-7).
mod reorder {
    /// The long-term picture of the number that follows is next.
    pub(super) const LONG_TERM: u32 = 2;
    pub(super) const END: u32 = 3;
}

/// `memory_management_control_operation` (table 7-9).
mod marking {
    pub(super) const END: u32 = 0;
    /// A short-term picture goes: so many before this one, less 1.
    pub(super) const UNUSED: u32 = 1;
    /// A short-term picture is kept: so many before this one, less 1, as the long-term one of the index that follows.
    pub(super) const LONG_TERM: u32 = 3;
    /// So many long-term pictures there may be; others go.
    pub(super) const LONG_TERM_COUNT: u32 = 4;
}

#[cfg(test)]
mod tests;
