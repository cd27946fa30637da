//! What a decoder of H.264 is set up with: the configuration record and the picture's size.

use crate::wire::annexb::{h264_nal, nals};
use crate::wire::h264::Sps;

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

/// Width and height that the first sequence parameter set of an access unit states.
pub(super) fn size(unit: &[u8]) -> Option<(u32, u32)> {
    let sps = Sps::of(unit)?;
    Some((sps.width, sps.height))
}
