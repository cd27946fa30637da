//! AAC out of its ADTS frame (ISO/IEC 14496-3, 1.A.2.2).

/// One frame of sound and what a decoder is set up with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Frame<'a> {
    /// An `AudioSpecificConfig` (1.6.2.1): object type, rate and channels.
    pub(super) config: [u8; 2],
    /// The frame without its header.
    pub(super) raw: &'a [u8],
}

/// Takes `bytes` apart that are one whole frame.
pub(super) fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let &[sync, second, third, fourth, fifth, sixth, _, ..] = bytes else { return None };
    // Twelve bits of sync, and layer 0.
    if sync != 0xff || second & 0xf6 != 0xf0 {
        return None;
    }
    let header_bytes = if second & 1 == 1 { 7 } else { 9 };
    let (profile, rate) = (third >> 6, third >> 2 & 0x0f);
    let channels = (third & 1) << 2 | fourth >> 6;
    let frame_bytes = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    // Channels of 0 stand for a description inside the frame, rates from 13 on for none.
    if frame_bytes != bytes.len() || frame_bytes <= header_bytes || channels == 0 || rate > 12 {
        return None;
    }
    let config = u16::from(profile + 1) << 11 | u16::from(rate) << 7 | u16::from(channels) << 3;
    Some(Frame { config: config.to_be_bytes(), raw: &bytes[header_bytes..] })
}
