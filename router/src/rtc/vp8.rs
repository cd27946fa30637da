//! VP8 as RTP payloads (RFC 7741).

use super::Payload;
use super::h264::MOST_PAYLOAD_BYTES;

/// Cuts a frame into payloads, in order; the last one carries the marker.
///
/// They are of one size, but for the last, which is what one send of a whole frame can take. The descriptor (4.2) says only where the frame
/// begins: there is one partition to us, one layer, and what was lost is told by the numbers of packets.
///
/// Copies: 1 (the pieces get headers of their own), once for all viewers.
///
/// ```
/// use crosspoint_router::rtc::packetize_vp8;
///
/// let payloads = packetize_vp8(&[7; 2500]);
/// let heads: Vec<_> = payloads.iter().map(|payload| (payload[0], payload.len())).collect();
/// assert_eq!(heads, [(0x10, 1100), (0, 1100), (0, 303)]);
/// ```
#[must_use]
pub fn packetize_vp8(frame: &[u8]) -> Vec<Payload> {
    let pieces = frame.chunks(MOST_PAYLOAD_BYTES - 1).enumerate();
    pieces.map(|(nth, piece)| [&[if nth == 0 { BEGINS } else { 0 }], piece].concat().into()).collect()
}

/// The S bit: a partition begins here.
const BEGINS: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_from_their_payloads() {
        for bytes in [0, 1, 1_098, 1_099, 1_100, 50_000] {
            let frame: Vec<u8> = (0..bytes).map(|nth| (nth % 251) as u8).collect();
            let payloads = packetize_vp8(&frame);
            assert_eq!(payloads.iter().flat_map(|payload| payload[1..].to_vec()).collect::<Vec<_>>(), frame);
            assert!(payloads.iter().enumerate().all(|(nth, payload)| payload[0] == if nth == 0 { BEGINS } else { 0 }));
            assert!(payloads.iter().all(|payload| payload.len() <= MOST_PAYLOAD_BYTES));
        }
    }
}
