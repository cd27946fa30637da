//! What the parameter sets say of the pictures (ITU-T H.264, 7.3.2.1.1 and 7.3.2.2).

use super::escape::unescaped;
use crate::wire::annexb::{h264_nal, nals};
use crate::wire::bits::Bits;

/// A sequence parameter set, as far as somebody needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::wire) struct Sps {
    /// The picture that is shown, in luma samples.
    pub(in crate::wire) width: u32,
    /// The same.
    pub(in crate::wire) height: u32,
    /// Macroblocks of a row, those that cropping hides with them.
    pub(super) columns: u32,
    /// The same of a frame.
    pub(super) macroblocks: u32,
    /// The bits that `frame_num` takes.
    pub(super) frame_num_bits: u32,
    /// `pic_order_cnt_type`.
    pub(super) order_type: u32,
    /// `max_num_ref_frames`.
    pub(super) reference_frames: u32,
    /// `frame_mbs_only_flag`.
    pub(super) frames_only: bool,
}

/// A picture parameter set, as far as somebody needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Pps {
    /// `pic_parameter_set_id`.
    pub(super) id: u32,
    /// `entropy_coding_mode_flag`: CABAC instead of CAVLC.
    pub(super) arithmetic: bool,
    /// Whether a P slice's header or body holds what [`super::Splicer`] does not write: slice groups, weights, redundant pictures.
    pub(super) elaborate: bool,
    /// `deblocking_filter_control_present_flag`.
    pub(super) deblocking_control: bool,
}

impl Sps {
    /// Reads the first one of an access unit.
    pub(in crate::wire) fn of(unit: &[u8]) -> Option<Self> {
        let bytes = body(unit, h264_nal::SPS)?;
        let profile = *bytes.first()?;
        let mut bits = Bits::new(&bytes, 24);
        bits.exp_golomb()?;
        let mut chroma = 1;
        if HIGH_PROFILES.contains(&profile) {
            chroma = bits.exp_golomb()?;
            if chroma == 3 {
                bits.bit()?;
            }
            // Bit depths of luma and chroma, and the lossless flag.
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            bits.bit()?;
            if bits.bit()? == 1 {
                (0..if chroma == 3 { 12 } else { 8 }).try_for_each(|nth| skip_scaling_list(&mut bits, if nth < 6 { 16 } else { 64 }))?;
            }
        }
        let frame_num_bits = bits.exp_golomb()?.checked_add(4)?;
        let order_type = bits.exp_golomb()?;
        match order_type {
            0 => _ = bits.exp_golomb()?,
            1 => {
                bits.bit()?;
                bits.exp_golomb()?;
                bits.exp_golomb()?;
                let cycle = bits.exp_golomb()?.min(255);
                (0..cycle).try_for_each(|_| bits.exp_golomb().map(drop))?;
            }
            _ => {}
        }
        let reference_frames = bits.exp_golomb()?;
        // Whether numbers may have gaps.
        bits.bit()?;
        let (columns, rows) = (bits.exp_golomb()?, bits.exp_golomb()?);
        let frames_only = bits.bit()?;
        if frames_only == 0 {
            bits.bit()?;
        }
        bits.bit()?;
        let (unit_x, unit_y) = match chroma {
            0 | 3 => (1, 2 - frames_only),
            2 => (2, 2 - frames_only),
            _ => (2, 2 * (2 - frames_only)),
        };
        let mut crop = [0; 4];
        if bits.bit()? == 1 {
            for side in &mut crop {
                *side = bits.exp_golomb()?;
            }
        }
        let cropped = |blocks: u32, unit: u32, sides: [u32; 2]| {
            let off = sides[0].checked_add(sides[1])?.checked_mul(unit)?;
            blocks.checked_add(1)?.checked_mul(16)?.checked_sub(off)
        };
        let width = cropped(columns, unit_x, [crop[0], crop[1]])?;
        let frame_rows = rows.checked_add(1)?.checked_mul(2 - frames_only)?;
        let height = cropped(frame_rows - 1, unit_y, [crop[2], crop[3]])?;
        let columns = columns.checked_add(1)?;
        let macroblocks = columns.checked_mul(frame_rows)?;
        Some(Self { width, height, columns, macroblocks, frame_num_bits, order_type, reference_frames, frames_only: frames_only == 1 })
    }
}

impl Pps {
    /// Reads the first one of an access unit.
    pub(super) fn of(unit: &[u8]) -> Option<Self> {
        let bytes = body(unit, h264_nal::PPS)?;
        let mut bits = Bits::new(&bytes, 0);
        let id = bits.exp_golomb()?;
        // The sequence's.
        bits.exp_golomb()?;
        let arithmetic = bits.bit()? == 1;
        // Whether the order is told for fields, too.
        bits.bit()?;
        let slice_groups = bits.exp_golomb()?;
        if slice_groups > 0 {
            return Some(Self { id, arithmetic, elaborate: true, deblocking_control: false });
        }
        // How many references there are, of two lists.
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        let weighted = bits.bit()? == 1;
        bits.take(2)?;
        // Quantizers: of P and I, of SP and SI, of chroma.
        (0..3).try_for_each(|_| bits.exp_golomb().map(drop))?;
        let deblocking_control = bits.bit()? == 1;
        // Whether intra is predicted from intra only.
        bits.bit()?;
        let redundant = bits.bit()? == 1;
        Some(Self { id, arithmetic, elaborate: weighted || redundant, deblocking_control })
    }
}

/// What stands behind the header of the first NAL unit of a kind.
fn body(unit: &[u8], kind: u8) -> Option<Vec<u8>> {
    let nal = nals(unit).find(|nal| nal[0] & 0x1f == kind)?;
    Some(unescaped(nal.get(1..)?))
}

/// A scaling list of `size` numbers, if there is one (7.3.2.1.1.1).
fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    if bits.bit()? == 0 {
        return Some(());
    }
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            let code = bits.exp_golomb()? as i32;
            let delta = if code & 1 == 1 { (code >> 1) + 1 } else { -(code >> 1) };
            next = last.wrapping_add(delta) & 0xff;
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// The profiles whose parameter sets say more about chroma (7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
