//! When packets arrived, of whatever stream (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::Duration;

use super::feedback::signed_24;

/// Which packets of a row arrived, and when (section 3.1).
///
/// How each fared is told in chunks; for those that arrived, so many quarters of a millisecond after the one before follow.
#[derive(Clone, Debug)]
pub(in crate::rtc) struct Arrivals<'a> {
    first: u16,
    packets: u16,
    reference: i32,
    /// Of as many packets as there are, or more.
    chunks: &'a [[u8; 2]],
    /// As many as there are, or fewer.
    deltas: &'a [u8],
}

impl<'a> Arrivals<'a> {
    /// Nothing if there are fewer chunks than packets.
    pub(super) fn parse(control: &'a [u8]) -> Option<Self> {
        let (&[first_high, first_low, packets_high, packets_low, reference @ .., _count], rest) = control.split_first_chunk::<8>()?;
        let packets = u16::from_be_bytes([packets_high, packets_low]);
        let (chunks, _) = rest.as_chunks();
        let (mut told, mut used) = (0, 0);
        while told < u32::from(packets) {
            told += u32::from(Chunk::from(*chunks.get(used)?).packets());
            used += 1;
        }
        Some(Self {
            first: u16::from_be_bytes([first_high, first_low]),
            packets,
            reference: signed_24(reference),
            chunks: chunks.get(..used)?,
            deltas: rest.get(used * 2..)?,
        })
    }

    /// How many packets it tells of.
    pub(super) fn packets(&self) -> u16 {
        self.packets
    }

    /// The time from which arrivals are counted, in 64 ms, of which the viewer gives the lowest 24 bits: see [`ReferenceClock`].
    pub(in crate::rtc) fn reference(&self) -> i32 {
        self.reference
    }

    /// Each packet in order, and how many microseconds after the reference it arrived (before it, if fewer than none), or nothing if it has
    /// not. Ends early at what is not to be trusted: an arrival without its time, a reserved status.
    ///
    /// In few bytes a viewer can tell of many packets, but of no more than [`MOST_TOLD`](super::MOST_TOLD) in a datagram.
    pub(in crate::rtc) fn iter(&self) -> impl Iterator<Item = (u16, Option<i64>)> {
        let statuses = self.chunks.iter().flat_map(|&chunk| Chunk::from(chunk).statuses());
        let (mut deltas, mut at_us) = (self.deltas, 0);
        (0..self.packets).zip(statuses).map_while(move |(after, status)| {
            let quarters = match status {
                NOT_ARRIVED => return Some((self.first.wrapping_add(after), None)),
                SMALL_DELTA => i64::from(u8::from_be_bytes(read(&mut deltas)?)),
                LARGE_DELTA => i64::from(i16::from_be_bytes(read(&mut deltas)?)),
                _ => return None,
            };
            at_us += quarters * QUARTER_US;
            Some((self.first.wrapping_add(after), Some(at_us)))
        })
    }
}

/// How some packets fared, one after another (sections 3.1.2 to 3.1.4).
#[derive(Clone, Copy)]
enum Chunk {
    /// So many the same.
    Run { status: u16, packets: u16 },
    /// 14 of one bit, the highest first.
    Bits(u16),
    /// Seven of two bits.
    Pairs(u16),
}

impl Chunk {
    fn packets(self) -> u16 {
        match self {
            Self::Run { packets, .. } => packets,
            Self::Bits(_) => 14,
            Self::Pairs(_) => 7,
        }
    }

    fn statuses(self) -> impl Iterator<Item = u16> {
        (0..self.packets()).map(move |at| match self {
            Self::Run { status, .. } => status,
            Self::Bits(bits) => bits >> (13 - at) & 1,
            Self::Pairs(pairs) => pairs >> (12 - at * 2) & 3,
        })
    }
}

impl From<[u8; 2]> for Chunk {
    fn from(bytes: [u8; 2]) -> Self {
        let chunk = u16::from_be_bytes(bytes);
        match chunk >> 14 {
            0 | 1 => Self::Run { status: chunk >> 13, packets: chunk & 0x1fff },
            2 => Self::Bits(chunk),
            _ => Self::Pairs(chunk),
        }
    }
}

/// Makes the reference times of one viewer's feedbacks times of one clock, though they begin again after twelve days and may come out of
/// order.
///
/// Each is taken for the one nearest to the newest so far, which is right within six days of that.
#[derive(Debug, Default)]
pub(in crate::rtc) struct ReferenceClock {
    newest: Option<(i32, u64)>,
}

impl ReferenceClock {
    /// The time of a reference, from an origin that is before all of them.
    pub(in crate::rtc) fn time(&mut self, reference: i32) -> Duration {
        let (newest, at) = *self.newest.get_or_insert((reference, ORIGIN));
        let step = (reference.wrapping_sub(newest) << 8) >> 8;
        let time = at.saturating_add_signed(step.into());
        if step > 0 {
            self.newest = Some((reference, time));
        }
        Duration::from_millis(time.saturating_mul(REFERENCE_MS))
    }
}

fn read<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (&first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(first)
}

/// Statuses of packets (section 3.1.1); the fourth is reserved.
const NOT_ARRIVED: u16 = 0;
const SMALL_DELTA: u16 = 1;
const LARGE_DELTA: u16 = 2;

/// The unit of deltas.
const QUARTER_US: i64 = 250;
/// The unit of reference times.
const REFERENCE_MS: u64 = 64;
/// The first reference time may be followed by one that is older by half of all there are.
const ORIGIN: u64 = 1 << 23;

#[cfg(test)]
mod tests {
    use super::super::tests::Random;
    use super::*;

    /// Feedback on packets from `first` on, with the given chunks and deltas.
    fn arrivals(first: u16, packets: u16, chunks: &[u16], deltas: &[u8]) -> Option<Vec<(u16, Option<i64>)>> {
        let mut control = [first.to_be_bytes(), packets.to_be_bytes()].concat();
        control.extend([0xff, 0xff, 0xfe, 7]);
        control.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
        control.extend(deltas);
        let arrivals = Arrivals::parse(&control)?;
        assert_eq!((arrivals.first, arrivals.reference()), (first, -2));
        Some(arrivals.iter().collect())
    }

    /// Which of the packets arrived.
    fn arrived(packets: u16, chunk: u16) -> String {
        let all = arrivals(0, packets, &[chunk], &[0; 400]).unwrap();
        all.iter().map(|(_, at)| if at.is_some() { '1' } else { '0' }).collect()
    }

    #[test]
    fn chunks_of_the_draft_are_understood() {
        assert_eq!(arrived(221, 0x00dd), "0".repeat(221));
        assert_eq!(arrived(24, 0x6018), "", "all reserved");
        assert_eq!(arrived(14, 0x9f1c), "01111100011100");
        assert_eq!(arrived(7, 0xcd50), "0", "then reserved");
    }

    #[test]
    fn deltas_of_either_size_are_summed() {
        // Small, large, none, large, small, none, none.
        let all = arrivals(65_534, 6, &[0b1101_1000_1001_0000], &[0xff, 0x7f, 0xff, 0x80, 0x00, 4]);
        let [first, second] = [63_750, 63_750 + 8_191_750];
        let third = second - 8_192_000;
        let all_are = [(65_534, Some(first)), (65_535, Some(second)), (0, None), (1, Some(third)), (2, Some(third + 1_000)), (3, None)];
        assert_eq!(all, Some(all_are.to_vec()));
        assert_eq!(arrivals(9, 1, &[0x4001], &[0xff, 0xff]), Some(vec![(9, Some(-250))]), "before the reference");
    }

    #[test]
    fn chunks_may_tell_of_more_packets_than_there_are_but_not_of_fewer() {
        assert_eq!(arrived(3, 0x2fff), "111");
        assert_eq!(arrived(3, 0xbfff), "111");
        assert_eq!(arrived(3, 0xd55f), "111", "reserved are none of them");
        assert_eq!(arrivals(0, 15, &[0xbfff], &[]), None);
        assert_eq!(arrivals(0, 8, &[0xd555], &[]), None);
        assert_eq!(arrivals(0, 1, &[0x2000; 9], &[]), None, "of none, many times");
        assert_eq!(arrivals(0, 1, &[0x2000, 0x2000, 0x2001], &[1]), Some(vec![(0, Some(250))]));
        assert_eq!(arrivals(5, 0, &[], &[]), Some(vec![]));
        assert_eq!(arrivals(0, u16::MAX, &[0x1fff; 9], &[]).map(|all| all.len()), Some(65_535));
    }

    #[test]
    fn arrivals_without_their_time_end_it() {
        assert_eq!(arrivals(0, 3, &[0x2003], &[4, 4]), Some(vec![(0, Some(1_000)), (1, Some(2_000))]));
        assert_eq!(arrivals(0, 2, &[0x4002], &[0, 4, 0]), Some(vec![(0, Some(1_000))]));
    }

    #[test]
    fn whatever_arrives_is_told_by_whatever_chunks() {
        let mut random = Random(11);
        for _ in 0..2_000 {
            let (first, packets) = (random.below(65_536) as u16, 1 + random.below(300) as usize);
            let (loss, large) = (random.below(100), random.below(100));
            let (mut expected, mut statuses, mut deltas, mut at_us) = (vec![], vec![], vec![], 0);
            for after in 0..packets {
                let number = first.wrapping_add(after as u16);
                if random.below(100) < loss {
                    statuses.push(NOT_ARRIVED);
                    expected.push((number, None));
                    continue;
                }
                let quarters = if random.below(100) < large { random.below(65_536) as i64 - 32_768 } else { random.below(256) as i64 };
                if let Ok(small) = u8::try_from(quarters) {
                    statuses.push(SMALL_DELTA);
                    deltas.push(small);
                } else {
                    statuses.push(LARGE_DELTA);
                    deltas.extend((quarters as i16).to_be_bytes());
                }
                at_us += quarters * 250;
                expected.push((number, Some(at_us)));
            }
            let chunks = chunks(&statuses, &mut random);
            assert_eq!(arrivals(first, packets as u16, &chunks, &deltas), Some(expected));
        }
    }

    /// Chunks for statuses, each of one of the kinds that can tell what comes next.
    fn chunks(mut statuses: &[u16], random: &mut Random) -> Vec<u16> {
        let mut chunks = vec![];
        while let Some(&status) = statuses.first() {
            let few = &statuses[..statuses.len().min(14)];
            let (chunk, told) = match random.below(3) {
                0 if few.iter().all(|&status| status < 2) => {
                    (few.iter().zip((0..14).rev()).fold(0x8000, |chunk, (status, at)| chunk | status << at), few.len())
                }
                1 => {
                    let pairs = &few[..few.len().min(7)];
                    (pairs.iter().zip((0..14).step_by(2).rev()).fold(0xc000, |chunk, (status, at)| chunk | status << at), pairs.len())
                }
                _ => {
                    let run = statuses.iter().take_while(|&&next| next == status).count();
                    let run = 1 + random.below(run as u64) as usize;
                    (status << 13 | run as u16, run)
                }
            };
            chunks.push(chunk);
            statuses = &statuses[told..];
        }
        chunks
    }

    #[test]
    fn reference_times_go_on_across_the_end_and_back() {
        let mut clock = ReferenceClock::default();
        let origin = clock.time(0x7f_fffe);
        let mut after = |reference: i32| clock.time(reference).as_millis() as i64 - origin.as_millis() as i64;
        assert_eq!(after(0x7f_ffff), 64);
        assert_eq!(after(-0x80_0000), 128, "the sign is not one");
        assert_eq!(after(0x7f_fffd), -64, "an older one");
        assert_eq!(after(-0x7f_fffe), 256);
        assert_eq!(after(-1), 64 * (1 + 0x80_0000));
        assert_eq!(after(0), 64 * (2 + 0x80_0000));
        assert_eq!(after(0x7f_fffe), 64 << 24, "all of them");
    }

    #[test]
    fn reference_times_are_never_negative_nor_too_many() {
        let mut clock = ReferenceClock::default();
        let origin = clock.time(0);
        // Back in steps, of which each would be forward if it were from the one before.
        assert_eq!(clock.time(-0x40_0000), origin / 2);
        assert_eq!(clock.time(-0x80_0000), Duration::ZERO);
        assert_eq!(clock.time(0x40_0000), origin * 3 / 2);
        let mut clock = ReferenceClock { newest: Some((0, u64::MAX - 1)) };
        assert_eq!(clock.time(0x7f_ffff), Duration::from_millis(u64::MAX));
        let mut random = Random(5);
        for _ in 0..10_000 {
            clock.time(random.next() as i32);
        }
    }
}
