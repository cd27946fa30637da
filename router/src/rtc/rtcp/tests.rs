//! Whole datagrams, whole and otherwise.

use super::*;

pub(super) const BLOCKS: &[u8] = &[
    0x82, 201, 0, 13, 0, 0, 0, 1, 0x11, 0x22, 0x33, 0x44, 64, 0, 0, 9, 0, 1, 0x12, 0x34, 0, 0, 0, 5, 0xaa, 0xaa, 0xaa, 0xaa, 0, 1, 0, 0,
    0x87, 0x65, 0x43, 0x21, 255, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
pub(super) const SENDER: &[u8] = &[
    0x81, 200, 0, 12, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 0, 0, 0, 7, 0, 0, 1, 0, 0x11, 0x22, 0x33, 0x44, 64, 0, 0, 9, 0, 1,
    0x12, 0x34, 0, 0, 0, 5, 0xaa, 0xaa, 0xaa, 0xaa, 0, 1, 0, 0,
];
pub(super) const NACK: &[u8] = &[0x81, 205, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0x80, 0x01, 0xff, 0xff, 0, 1];
pub(super) const PLI: &[u8] = &[0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
pub(super) const FIR: &[u8] = &[0x84, 206, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 13, 0, 0, 0, 0, 0, 0, 3, 255, 0, 0, 0];
/// 156 250 shifted by four, for two streams.
pub(super) const REMB: &[u8] =
    &[0x8f, 206, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 2, 0x12, 0x62, 0x5a, 0, 0, 0, 2, 0, 0, 0, 3];
/// A run of two, seven of two bits, 14 of one; filled with two bytes of padding, as browsers do.
const ARRIVALS: &[u8] = &[
    0xaf, 205, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 0, 12, 0x12, 0x34, 0x56, 7, 0x20, 2, 0xe1, 0, 0xa0, 0, 4, 8, 0xff, 0xfc, 12, 16,
    0, 2, 0, 2,
];
const DESCRIPTION: &[u8] = &[0x81, 202, 0, 3, 0, 0, 0, 1, 1, 4, b'n', b'a', b'm', b'e', 0, 0];
const EXTENDED: &[u8] = &[0x80, 207, 0, 4, 0, 0, 0, 1, 4, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
const APPLICATION: &[u8] = &[0x85, 204, 0, 3, 0, 0, 0, 1, b'a', b'b', b'c', b'd', 0, 0, 0, 1];
const LEAVING: &[u8] = &[0x81, 203, 0, 1, 0, 0, 0, 1];

const ALL: [&[u8]; 11] = [BLOCKS, SENDER, DESCRIPTION, NACK, PLI, FIR, REMB, ARRIVALS, EXTENDED, APPLICATION, LEAVING];

/// The same numbers each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What each part says, in a word and a number.
fn said(packet: &[u8]) -> Vec<(&'static str, u64)> {
    let say = |feedback| match feedback {
        Feedback::Able { bps } => ("able", bps),
        Feedback::Arrivals(arrivals) => ("arrivals", arrivals.iter().count() as u64),
        Feedback::Goodbye => ("goodbye", 0),
        Feedback::Key { ssrc, fir: None } => ("lost", ssrc.into()),
        Feedback::Key { fir: Some(number), .. } => ("fir", number.into()),
        Feedback::Missing { numbers, .. } => ("missing", numbers.count() as u64),
        Feedback::Report { ssrc, .. } => ("report", ssrc.into()),
        Feedback::Time { middle, .. } => ("time", middle.into()),
    };
    parse(packet).map(say).collect()
}

/// What [`ALL`] say, and how many bytes of them it takes to.
const SAID: [(usize, (&str, u64)); 11] = [
    (56, ("report", 0x1122_3344)),
    (56, ("report", 0x8765_4321)),
    (108, ("report", 0x1122_3344)),
    (144, ("missing", 5)),
    (156, ("lost", 2)),
    (184, ("fir", 13)),
    (184, ("fir", 255)),
    (212, ("able", 2_500_000)),
    (248, ("arrivals", 12)),
    (268, ("time", 0x0304_0506)),
    (292, ("goodbye", 0)),
];

#[test]
fn parts_of_a_compound_packet_are_told_in_order() {
    assert_eq!(said(&ALL.concat()), SAID.map(|(_, said)| said));
}

#[test]
fn any_packet_may_stand_alone() {
    let alone: Vec<_> = ALL.iter().flat_map(|packet| said(packet)).collect();
    assert_eq!(alone, SAID.map(|(_, said)| said));
}

#[test]
fn arrivals_are_before_the_padding() {
    let Some(Feedback::Arrivals(arrivals)) = parse(ARRIVALS).next() else { panic!("no arrivals") };
    assert_eq!(arrivals.reference(), 0x12_3456);
    let at_us = |number: u16| match number {
        65_534 => Some(1_000),
        65_535 => Some(3_000),
        0 => Some(2_000),
        2 => Some(5_000),
        7 => Some(9_000),
        _ => None,
    };
    let expected: Vec<_> = [65_534, 65_535].into_iter().chain(0..10).map(|number| (number, at_us(number))).collect();
    assert_eq!(arrivals.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn packet_cut_anywhere_says_what_is_whole() {
    let whole = ALL.concat();
    for length in 0..whole.len() {
        let expected: Vec<_> = SAID.iter().filter(|(end, _)| *end <= length).map(|(_, said)| *said).collect();
        assert_eq!(said(&whole[..length]), expected, "{length} bytes");
    }
}

#[test]
fn packet_cut_with_its_length_says_no_more() {
    for packet in ALL {
        for words in 0..packet.len() / 4 - 1 {
            let mut cut = packet[..4 + words * 4].to_vec();
            cut[3] = words as u8;
            // Nor is padding looked for before its beginning.
            let (before, after) = (said(&cut), said(packet));
            assert!(before.len() <= after.len(), "{words} words of {packet:?}");
        }
    }
}

#[test]
fn version_and_padding_are_right_or_the_end() {
    let row = |first: u8, last: u8| {
        let mut packet = [LEAVING, PLI].concat();
        packet[8] = first;
        packet[19] = last;
        packet.extend(LEAVING);
        said(&packet).len()
    };
    assert_eq!(row(0x81, 2), 3);
    for version in [0x01, 0x41, 0xc1] {
        assert_eq!(row(version, 2), 1);
    }
    assert_eq!(row(0xa1, 0), 1, "padding of nothing");
    assert_eq!(row(0xa1, 1), 1, "padding of what is needed");
    assert_eq!(row(0xa1, 9), 1, "padding of more than there is");
    assert_eq!(said(&[0xa0, 201, 0, 0]).len(), 0);
    let padded = [0xa1, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4];
    assert_eq!(said(&padded), [("lost", 2)]);
}

#[test]
fn few_bytes_do_not_tell_of_too_many_packets() {
    let none = |packets: u16| {
        let [high, low] = packets.to_be_bytes();
        let head = [0x8f, 205, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, high, low, 0, 0, 0, 0];
        [&head[..], &[0x1f, 0xff, 0x1f, 0xff, 0x1f, 0xff, 0, 0]].concat()
    };
    assert_eq!(said(&none(MOST_TOLD)), [("arrivals", 16_384)]);
    assert_eq!(said(&none(MOST_TOLD + 1)), []);
    let two = [none(MOST_TOLD - 1), none(1), none(0), PLI.to_vec(), none(1), PLI.to_vec()].concat();
    assert_eq!(said(&two), [("arrivals", 16_383), ("arrivals", 1), ("arrivals", 0), ("lost", 2)]);
}

#[test]
fn whatever_is_made_of_packets_is_bounded() {
    let mut random = Random(1);
    let mut packet = Vec::new();
    for _ in 0..1_000_000 {
        packet.clear();
        packet.extend(ALL[random.below(ALL.len() as u64) as usize]);
        if random.below(4) == 0 {
            packet.extend(ALL[random.below(ALL.len() as u64) as usize]);
        }
        for _ in 0..random.below(5) {
            let at = random.below(packet.len() as u64) as usize;
            packet[at] = match random.below(4) {
                0 => 0,
                1 => 0xff,
                2 => packet[at] ^ 1 << random.below(8),
                _ => random.next() as u8,
            };
        }
        if random.below(8) == 0 {
            packet.truncate(random.below(packet.len() as u64) as usize);
        }
        check(&packet);
    }
}

/// Nothing that is said is more than there are bytes to say it.
fn check(packet: &[u8]) {
    let mut parts = 0;
    for feedback in parse(packet) {
        parts += 1;
        match feedback {
            Feedback::Missing { numbers, .. } => assert!(numbers.count() <= packet.len() / 4 * 17),
            Feedback::Arrivals(arrivals) => {
                let (mut next, mut told, mut arrived) = (None, 0, 0);
                for (number, at) in arrivals.iter() {
                    assert_eq!(number, next.unwrap_or(number));
                    next = Some(number.wrapping_add(1));
                    told += 1;
                    arrived += usize::from(at.is_some());
                }
                assert!(told <= usize::from(MOST_TOLD) && arrived <= packet.len());
            }
            Feedback::Report { lost, .. } => assert!((0.0..=1.0).contains(&lost)),
            Feedback::Able { .. } | Feedback::Goodbye | Feedback::Key { .. } | Feedback::Time { .. } => (),
        }
    }
    assert!(parts * 8 <= packet.len());
}
