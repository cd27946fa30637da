//! Which packets of a stream came, by their numbers.

use std::collections::BTreeSet;

/// The account of one stream's packets. A packet that is skipped was lost on its way; it is repaired when it comes after all.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    first: Option<u64>,
    next: u64,
    /// Packets that came, each counted once.
    pub(crate) packets: u64,
    /// Packets that did not come when it was their turn.
    pub(crate) lost: u64,
    /// Of those, packets that came after all.
    pub(crate) repaired: u64,
    /// Packets that came again.
    pub(crate) again: u64,
    holes: BTreeSet<u64>,
}

impl Tally {
    /// Takes note of a packet.
    pub(crate) fn take(&mut self, number: u64) {
        if self.first.is_none() {
            (self.first, self.next) = (Some(number), number);
        }
        if number >= self.next {
            self.lost += number - self.next;
            self.holes.extend(self.next.max(number.saturating_sub(HOLES))..number);
            while self.holes.len() > HOLES as usize {
                self.holes.pop_first();
            }
            self.next = number + 1;
        } else if self.holes.remove(&number) {
            self.repaired += 1;
        } else {
            self.again += 1;
            return;
        }
        self.packets += 1;
    }

    /// Packets that never came.
    pub(crate) fn missing(&self) -> u64 {
        self.lost - self.repaired
    }
}

/// How far back a packet may be repaired: a second of the fastest stream.
const HOLES: u64 = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        numbers.iter().for_each(|&number| tally.take(number));
        tally
    }

    #[test]
    fn skipped_packets_are_lost_and_late_ones_repair() {
        let cases: [(&[u64], [u64; 4]); 6] = [
            (&[], [0, 0, 0, 0]),
            (&[65_530, 65_531, 65_532], [3, 0, 0, 0]),
            (&[1, 2, 5, 6], [4, 2, 0, 0]),
            (&[1, 2, 5, 3, 6], [5, 2, 1, 0]),
            (&[1, 2, 2, 3, 1], [3, 0, 0, 2]),
            (&[7, 6, 8], [2, 0, 0, 1]),
        ];
        for (numbers, [packets, lost, repaired, again]) in cases {
            let tally = tally(numbers);
            assert_eq!((tally.packets, tally.lost, tally.repaired, tally.again), (packets, lost, repaired, again), "{numbers:?}");
            assert_eq!(tally.missing(), lost - repaired);
        }
    }

    #[test]
    fn long_silence_is_a_loss_and_costs_no_memory() {
        let tally = tally(&[0, u64::MAX / 2]);
        assert_eq!((tally.packets, tally.lost), (2, u64::MAX / 2 - 1));
        assert!(tally.holes.len() <= HOLES as usize);
    }
}
