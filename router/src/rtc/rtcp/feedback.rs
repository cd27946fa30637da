//! What one packet says of our streams.

use std::slice::Iter;

use super::{Arrivals, EXTENDED_REPORT, Feedback, GOODBYE, PAYLOAD_FEEDBACK, Packet, RECEIVER_REPORT, SENDER_REPORT, TRANSPORT_FEEDBACK};

/// The feedback in one packet.
pub(super) enum Part<'a> {
    Blocks(Iter<'a, [Word; 6]>),
    Keys(Iter<'a, [Word; 2]>),
    Whole(Option<Feedback<'a>>),
}

impl<'a> Part<'a> {
    /// Nothing if the packet is malformed.
    pub(super) fn parse(packet: &Packet<'a>) -> Option<Self> {
        let body = packet.body;
        match (packet.kind, packet.count) {
            (SENDER_REPORT, blocks) => Self::blocks(body.get(SENDER_BYTES..)?, blocks),
            (RECEIVER_REPORT, blocks) => Self::blocks(body.get(SSRC_BYTES..)?, blocks),
            // One of nobody is valid and says nothing.
            (GOODBYE, sources @ 1..) => body.get(..usize::from(sources) * SSRC_BYTES).map(|_| Self::Whole(Some(Feedback::Goodbye))),
            (EXTENDED_REPORT, _) => Self::time(body),
            (TRANSPORT_FEEDBACK, MISSING) => Self::missing(body),
            (TRANSPORT_FEEDBACK, ARRIVALS) => {
                let (_, control) = split_ssrc(body)?;
                Some(Self::Whole(Some(Feedback::Arrivals(Arrivals::parse(control)?))))
            }
            (PAYLOAD_FEEDBACK, PICTURE_LOST) => {
                let (ssrc, _) = split_ssrc(body)?;
                Some(Self::Whole(Some(Feedback::Key { ssrc, fir: None })))
            }
            (PAYLOAD_FEEDBACK, FULL_INTRA) => {
                // Of which streams stands in the entries alone (RFC 5104, 4.3.1.2).
                let (_, control) = split_ssrc(body)?;
                let (entries, []) = words(control)?.as_chunks() else { return None };
                Some(Self::Keys(entries.iter()))
            }
            (PAYLOAD_FEEDBACK, APPLICATION) => Self::able(body),
            _ => Some(Self::Whole(None)),
        }
    }

    /// The first so many report blocks; what a profile may add to them is skipped.
    fn blocks(body: &'a [u8], count: u8) -> Option<Self> {
        let (words, _) = body.as_chunks();
        let (blocks, _) = words.as_chunks();
        Some(Self::Blocks(blocks.get(..count.into())?.iter()))
    }

    /// Of an extended report's blocks the one that is asked to be given back (RFC 3611, 4.4).
    fn time(body: &'a [u8]) -> Option<Self> {
        let (&ssrc, mut blocks) = body.split_first_chunk()?;
        while let Some((&[kind, _, words @ ..], rest)) = blocks.split_first_chunk::<4>() {
            let (block, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(words)) * 4)?;
            if kind == REFERENCE_TIME {
                let middle = u32::from_be_bytes(*block.get(2..)?.first_chunk()?);
                return Some(Self::Whole(Some(Feedback::Time { ssrc: u32::from_be_bytes(ssrc), middle })));
            }
            blocks = rest;
        }
        Some(Self::Whole(None))
    }

    fn missing(body: &'a [u8]) -> Option<Self> {
        let (ssrc, control) = split_ssrc(body)?;
        let numbers = Missing { entries: words(control)?.iter(), first: 0, bits: 0 };
        Some(Self::Whole(Some(Feedback::Missing { ssrc, numbers })))
    }

    /// An application's own, of which one is known to all (draft-alvestrand-rmcat-remb-03, 2.2).
    fn able(body: &'a [u8]) -> Option<Self> {
        let (_, control) = split_ssrc(body)?;
        let Some(control) = control.strip_prefix(b"REMB") else { return Some(Self::Whole(None)) };
        let (&[sources, high, middle, low], rest) = control.split_first_chunk()?;
        rest.get(..usize::from(sources) * SSRC_BYTES)?;
        let (exponent, mantissa) = (high >> 2, u64::from(u32::from_be_bytes([0, high & 3, middle, low])));
        // Zero has 64 of them, more than an exponent can be.
        let fits = mantissa.leading_zeros() >= exponent.into();
        let bps = if fits { mantissa << exponent } else { u64::MAX };
        Some(Self::Whole(Some(Feedback::Able { bps })))
    }
}

impl<'a> Iterator for Part<'a> {
    type Item = Feedback<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Blocks(blocks) => {
                let &[ssrc, [lost, ..], _highest, _jitter, last_report, since] = blocks.next()?;
                Some(Feedback::Report {
                    ssrc: u32::from_be_bytes(ssrc),
                    lost: f32::from(lost) / 256.0,
                    last_report: u32::from_be_bytes(last_report),
                    since: u32::from_be_bytes(since),
                })
            }
            Self::Keys(entries) => {
                let &[ssrc, [number, ..]] = entries.next()?;
                Some(Feedback::Key { ssrc: u32::from_be_bytes(ssrc), fir: Some(number) })
            }
            Self::Whole(feedback) => feedback.take(),
        }
    }
}

/// Numbers of packets that are missing, up to 17 in each four bytes: at most 4 250 in a datagram of 1 000 bytes, in whatever order, and
/// the same ones again if a viewer likes.
#[derive(Clone, Debug)]
pub(in crate::rtc) struct Missing<'a> {
    entries: Iter<'a, Word>,
    first: u16,
    /// Which of `first` and those after it are still to be told, the lowest bit for itself.
    bits: u32,
}

impl Iterator for Missing<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.bits == 0 {
            let &[first_high, first_low, after_high, after_low] = self.entries.next()?;
            self.first = u16::from_be_bytes([first_high, first_low]);
            self.bits = u32::from(u16::from_be_bytes([after_high, after_low])) << 1 | 1;
        }
        let after = self.bits.trailing_zeros() as u16;
        self.bits &= self.bits - 1;
        Some(self.first.wrapping_add(after))
    }
}

/// A number of 24 bits.
pub(super) fn signed_24([high, middle, low]: [u8; 3]) -> i32 {
    i32::from_be_bytes([high, middle, low, 0]) >> 8
}

/// The stream that a feedback packet is about, and its control information (RFC 4585, 6.1).
fn split_ssrc(body: &[u8]) -> Option<(u32, &[u8])> {
    let (&[_, _, _, _, ssrc @ ..], control) = body.split_first_chunk::<8>()?;
    Some((u32::from_be_bytes(ssrc), control))
}

/// Control information that is of whole words, and at least one of them.
fn words(control: &[u8]) -> Option<&[Word]> {
    let (words, []) = control.as_chunks() else { return None };
    (!words.is_empty()).then_some(words)
}

/// What packets are made of.
type Word = [u8; 4];

/// Formats of feedback (RFC 4585, 6.2 and 6.3; RFC 5104, 4.3.1; draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1).
const MISSING: u8 = 1;
const ARRIVALS: u8 = 15;
const PICTURE_LOST: u8 = 1;
const FULL_INTRA: u8 = 4;
const APPLICATION: u8 = 15;

/// A block of an extended report: the time by its sender's clock.
const REFERENCE_TIME: u8 = 4;

const SSRC_BYTES: usize = 4;
/// Of a sender report, what is before its blocks.
const SENDER_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::tests::{BLOCKS, FIR, NACK, PLI, REMB, SENDER};
    use super::*;

    fn said(packet: &[u8]) -> Vec<String> {
        parse(packet).map(|feedback| format!("{feedback:?}")).collect()
    }

    fn missing(control: &[u8]) -> Option<Vec<u16>> {
        let mut packet = vec![0x81, 205, 0, u8::try_from(control.len() / 4 + 2).unwrap(), 0, 0, 0, 1, 0, 0, 0, 2];
        packet.extend(control);
        parse(&packet).find_map(|feedback| match feedback {
            Feedback::Missing { numbers, .. } => Some(numbers.collect()),
            Feedback::Able { .. }
            | Feedback::Arrivals(_)
            | Feedback::Goodbye
            | Feedback::Key { .. }
            | Feedback::Report { .. }
            | Feedback::Time { .. } => None,
        })
    }

    fn able(rate: [u8; 3]) -> Vec<String> {
        let [high, middle, low] = rate;
        said(&[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, high, middle, low, 0, 0, 0, 9])
    }

    #[test]
    fn blocks_of_either_report_are_told() {
        let first = "Report { ssrc: 287454020, lost: 0.25, last_report: 2863311530, since: 65536 }";
        let second = "Report { ssrc: 2271560481, lost: 0.99609375, last_report: 0, since: 0 }";
        assert_eq!(said(BLOCKS), [first, second]);
        assert_eq!(said(SENDER), [first]);
    }

    #[test]
    fn reports_have_none_to_31_blocks_and_no_fewer_than_they_say() {
        assert!(said(&[0x80, 201, 0, 1, 0, 0, 0, 1]).is_empty());
        let mut most = vec![0x9f, 201, 0, 187, 0, 0, 0, 1];
        most.resize(188 * 4, 7);
        assert_eq!(said(&most).len(), 31);
        // One word of a profile's own is no block.
        most[3] += 1;
        most.extend([9; 4]);
        assert_eq!(said(&most).len(), 31);
        most[0] = 0x81;
        assert_eq!(said(&most).len(), 1);
        assert!(said(&[0x81, 201, 0, 1, 0, 0, 0, 1]).is_empty());
    }

    #[test]
    fn key_frames_are_wanted_by_either_way() {
        assert_eq!(said(PLI), ["Key { ssrc: 2, fir: None }"]);
        assert_eq!(said(FIR), ["Key { ssrc: 2, fir: Some(13) }", "Key { ssrc: 3, fir: Some(255) }"]);
        assert!(said(&[0x84, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]).is_empty(), "of nobody");
        let half = [0x84, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 13, 0, 0, 0, 0, 0, 0, 3];
        assert!(said(&half).is_empty(), "one and a half");
    }

    #[test]
    fn missing_are_each_first_one_and_those_of_its_bits() {
        assert_eq!(missing(&[0, 10, 0, 0]), Some(vec![10]));
        assert_eq!(missing(&[0, 0, 0x80, 0x85]), Some(vec![0, 1, 3, 8, 16]));
        assert_eq!(missing(&[0xff, 0xfe, 0, 0x17, 0, 20, 0, 0]), Some(vec![65_534, 65_535, 0, 1, 3, 20]), "across the end");
        let all = missing(&[1, 0, 0xff, 0xff, 0, 1, 0xff, 0xff]).unwrap();
        assert_eq!(all, (256..=272).chain(1..=17).collect::<Vec<u16>>());
        assert_eq!(missing(&[]), None);
        assert_eq!(said(NACK).len(), 1);
        assert!(said(&[0xa1, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0, 0, 0, 11, 0, 2]).is_empty(), "one and a half");
    }

    #[test]
    fn rate_is_a_mantissa_shifted_and_as_much_as_fits() {
        // 0x3fb93 shifted by one.
        assert_eq!(able([0x07, 0xfb, 0x93]), ["Able { bps: 522022 }"]);
        assert_eq!(able([0, 0, 0]), ["Able { bps: 0 }"]);
        assert_eq!(able([0xfc, 0, 0]), ["Able { bps: 0 }"]);
        assert_eq!(able([0xfc, 0, 1]), [format!("Able {{ bps: {} }}", 1_u64 << 63)]);
        assert_eq!(able([0xfc, 0, 2]), [format!("Able {{ bps: {} }}", u64::MAX)]);
        assert_eq!(able([46 << 2 | 3, 0xff, 0xff]), [format!("Able {{ bps: {} }}", 0x3_ffff_u64 << 46)]);
        assert_eq!(able([47 << 2 | 3, 0xff, 0xff]), [format!("Able {{ bps: {} }}", u64::MAX)]);
        assert_eq!(said(REMB), ["Able { bps: 2500000 }"]);
    }

    #[test]
    fn applications_own_is_skipped_unless_it_is_a_rate() {
        let mut packet = REMB.to_vec();
        packet[15] = b'C';
        packet.extend(PLI);
        assert_eq!(said(&packet), ["Key { ssrc: 2, fir: None }"]);
        let mut fewer = REMB.to_vec();
        fewer[16] = 3;
        fewer.extend(PLI);
        assert!(said(&fewer).is_empty(), "of more streams than it names");
    }

    #[test]
    fn goodbye_is_of_somebody() {
        assert_eq!(said(&[0x81, 203, 0, 1, 0, 0, 0, 1]), ["Goodbye"]);
        assert_eq!(said(&[0x81, 203, 0, 3, 0, 0, 0, 1, 5, b'o', b'u', b't', b'!', b'!', 0, 0]), ["Goodbye"], "and why");
        assert!(said(&[0x80, 203, 0, 0]).is_empty());
        assert!(said(&[0x82, 203, 0, 1, 0, 0, 0, 1]).is_empty());
    }
}
