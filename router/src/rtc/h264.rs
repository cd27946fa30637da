//! H.264 as RTP payloads (RFC 6184), packetization mode 1.

use std::sync::Arc;

use crate::wire::annexb::{h264_nal, nals};

/// One RTP payload, which all viewers share.
pub type Payload = Arc<[u8]>;

/// Cuts an access unit (Annex B) into payloads, in order; the last one carries the marker.
///
/// Parameter sets and messages in a row go in one packet, so that a decoder has all or none of them. NAL units that are too long for a packet
/// are cut into as few pieces as can be, all of one size but for each one's last, which is little shorter: with some padding behind those,
/// that is what one send of a whole frame (`UDP_SEGMENT`) can take.
///
/// Copies: 1 (the pieces get headers of their own), once for all viewers.
///
/// ```
/// use crosspoint_router::rtc::packetize;
///
/// let unit = [&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 1, 0x65][..], &[9; 2500]].concat();
/// let payloads = packetize(&unit);
/// let sizes: Vec<_> = payloads.iter().map(|payload| payload.len()).collect();
/// assert_eq!((payloads[0][0] & 0x1f, &sizes[..]), (24, &[9, 836, 836, 834][..]));
/// ```
#[must_use]
pub fn packetize(access_unit: &[u8]) -> Vec<Payload> {
    let mut payloads = Vec::with_capacity(access_unit.len() / MOST_PAYLOAD_BYTES + 2);
    let mut small: Vec<&[u8]> = Vec::new();
    let mut small_bytes = 1;
    let piece_bytes = piece_bytes(nals(access_unit).map(<[u8]>::len));
    for nal in nals(access_unit) {
        let kind = nal[0] & 0x1f;
        if kind == h264_nal::AUD {
            continue;
        }
        let is_small = matches!(kind, h264_nal::SPS | h264_nal::PPS | h264_nal::SEI) && 3 + nal.len() <= MOST_PAYLOAD_BYTES;
        if !is_small || small_bytes + 2 + nal.len() > MOST_PAYLOAD_BYTES {
            aggregate(&mut small, &mut payloads);
            small_bytes = 1;
        }
        if is_small {
            small_bytes += 2 + nal.len();
            small.push(nal);
        } else if nal.len() <= MOST_PAYLOAD_BYTES {
            payloads.push(Payload::from(nal));
        } else {
            fragment(nal, piece_bytes, &mut payloads);
        }
    }
    aggregate(&mut small, &mut payloads);
    payloads
}

/// Puts NAL units into one packet, STAP-A (5.7.1) when there are several.
fn aggregate(nals: &mut Vec<&[u8]>, payloads: &mut Vec<Payload>) {
    match nals[..] {
        [] => return,
        [nal] => payloads.push(Payload::from(nal)),
        [..] => {
            let importance = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or(0);
            let mut payload = vec![importance | STAP_A];
            for nal in nals.iter() {
                // Together they fit a packet.
                payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
                payload.extend_from_slice(nal);
            }
            payloads.push(Payload::from(payload));
        }
    }
    nals.clear();
}

/// How long pieces are of NAL units with these lengths: those that need most each for itself say it for all.
fn piece_bytes(nals: impl Iterator<Item = usize>) -> usize {
    let bodies = nals.filter(|&bytes| bytes > MOST_PAYLOAD_BYTES).map(|bytes| bytes - 1);
    bodies.map(|bytes| bytes.div_ceil(bytes.div_ceil(MOST_PIECE_BYTES))).max().unwrap_or(MOST_PIECE_BYTES)
}

/// Cuts a NAL unit into pieces, FU-A (5.8).
fn fragment(nal: &[u8], piece_bytes: usize, payloads: &mut Vec<Payload>) {
    let (header, body) = (nal[0], &nal[1..]);
    let pieces = body.chunks(piece_bytes);
    let last = pieces.len() - 1;
    for (nth, piece) in pieces.enumerate() {
        let start = if nth == 0 { 0x80 } else { 0 };
        let end = if nth == last { 0x40 } else { 0 };
        let mut payload = Vec::with_capacity(2 + piece.len());
        payload.push(header & 0x60 | FU_A);
        payload.push(start | end | header & 0x1f);
        payload.extend_from_slice(piece);
        payloads.push(Payload::from(payload));
    }
}

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
/// With the headers of RTP and its extensions, SRTP's tag, UDP and IPv6 it fits the 1280 bytes that every path carries.
pub(super) const MOST_PAYLOAD_BYTES: usize = 1100;
/// Before a piece there are two bytes.
const MOST_PIECE_BYTES: usize = MOST_PAYLOAD_BYTES - 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(nals: &[Vec<u8>]) -> Vec<u8> {
        nals.iter().flat_map(|nal| [&[0, 0, 0, 1][..], nal].concat()).collect()
    }

    fn nal(header: u8, bytes: usize) -> Vec<u8> {
        let mut nal = vec![header];
        nal.extend(std::iter::repeat_n(0xaa, bytes - 1));
        nal
    }

    /// Undoes [`packetize`].
    fn depacketize(payloads: &[Payload]) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        for payload in payloads {
            match payload[0] & 0x1f {
                STAP_A => {
                    let mut rest = &payload[1..];
                    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
                        let (nal, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
                        out.push(nal.to_vec());
                        rest = tail;
                    }
                }
                FU_A if payload[1] & 0x80 != 0 => {
                    out.push([&[payload[0] & 0x60 | payload[1] & 0x1f], &payload[2..]].concat());
                }
                FU_A => out.last_mut().expect("a start before it").extend_from_slice(&payload[2..]),
                _ => out.push(payload.to_vec()),
            }
        }
        out
    }

    #[test]
    fn nal_units_come_back_from_their_payloads() {
        let cases: [&[Vec<u8>]; 6] = [
            &[],
            &[nal(0x41, 50)],
            &[nal(0x41, 1100), nal(0x41, 1101), nal(0x41, 5000)],
            &[nal(0x67, 20), nal(0x68, 5), nal(0x06, 30), nal(0x65, 40_000)],
            &[nal(0x06, 700), nal(0x06, 700), nal(0x65, 10)],
            &[nal(0x06, 3000), nal(0x65, 10)],
        ];
        for nals in cases {
            let payloads = packetize(&unit(nals));
            assert_eq!(depacketize(&payloads), nals);
            assert!(payloads.iter().all(|payload| payload.len() <= MOST_PAYLOAD_BYTES));
        }
    }

    #[test]
    fn delimiters_are_left_out_and_a_frame_is_equal_pieces() {
        let payloads = packetize(&unit(&[vec![9, 0xf0], nal(0x41, 10_000)]));
        let (last, rest) = payloads.split_last().unwrap();
        assert!(rest.len() == 9 && rest.iter().all(|payload| payload.len() == 1002) && last.len() == 1001);
    }

    #[test]
    fn slices_of_a_frame_are_pieces_of_one_size_and_none_is_much_shorter() {
        for (first, second) in [(6_000, 7_000), (6_500, 6_000), (3_000, 9_500), (2_200, 1_500)] {
            let (first, second) = (packetize(&unit(&[nal(0x41, first)])), packetize(&unit(&[nal(0x41, first), nal(0x41, second)])));
            let sizes: Vec<_> = second.iter().map(|payload| payload.len()).collect();
            let short: Vec<_> = sizes[..sizes.len() - 1].iter().filter(|size| **size != sizes[0]).collect();
            assert!(short.len() <= 1 && short.iter().all(|size| **size + 255 > sizes[0]), "{sizes:?}");
            assert!(second.len() >= first.len() && sizes[0] <= MOST_PAYLOAD_BYTES);
        }
    }

    #[test]
    fn any_bytes_can_be_cut() {
        let mut bytes = unit(&[nal(0x67, 20), nal(0x68, 5), nal(0x65, 4000)]);
        for at in 0..bytes.len() {
            let _ = packetize(&bytes[..at]);
            bytes[at] ^= 0x5a;
            let _ = packetize(&bytes);
            bytes[at] ^= 0x5a;
        }
    }
}
