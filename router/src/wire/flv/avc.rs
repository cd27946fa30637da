//! What a decoder of H.264 is set up with: the configuration record and the picture's size.

use crate::wire::annexb::{h264_nal, nals};
use crate::wire::bits::Bits;

/// The parameter sets of an access unit as `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.2.4.1), if it has both.
pub(super) fn configuration(unit: &[u8]) -> Option<Vec<u8>> {
    let of = |kind| nals(unit).filter(move |nal| nal[0] & 0x1f == kind && nal.len() <= usize::from(u16::MAX));
    let (sps, pps) = (of(h264_nal::SPS), of(h264_nal::PPS));
    let &[_, profile, constraints, level, ..] = sps.clone().next()? else { return None };
    let (sps_count, pps_count) = (sps.clone().count(), pps.clone().count());
    if sps_count > 31 || !(1..=255).contains(&pps_count) {
        return None;
    }
    // Lengths of NAL units take four bytes.
    let mut record = vec![1, profile, constraints, level, 0xff, 0xe0 | sps_count as u8];
    let put = |record: &mut Vec<u8>, nal: &[u8]| {
        record.extend((nal.len() as u16).to_be_bytes());
        record.extend_from_slice(nal);
    };
    sps.for_each(|nal| put(&mut record, nal));
    record.push(pps_count as u8);
    pps.for_each(|nal| put(&mut record, nal));
    Some(record)
}

/// Width and height that the first sequence parameter set (H.264, 7.3.2.1.1) of an access unit states.
pub(super) fn size(unit: &[u8]) -> Option<(u32, u32)> {
    let sps = nals(unit).find(|nal| nal[0] & 0x1f == h264_nal::SPS)?;
    let bytes = unescaped(sps.get(1..)?);
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
    bits.exp_golomb()?;
    match bits.exp_golomb()? {
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
    // Reference frames, and whether numbers may have gaps.
    bits.exp_golomb()?;
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
    let height = cropped(rows.checked_add(1)?.checked_mul(2 - frames_only)? - 1, unit_y, [crop[2], crop[3]])?;
    Some((width, height))
}

/// The bytes without those that keep start codes from appearing (7.4.1.1).
fn unescaped(nal: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(nal.len());
    let mut zeros = 0;
    for &byte in nal {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        bytes.push(byte);
    }
    bytes
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
