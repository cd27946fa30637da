//! A viewer's pictures, from when they are to be sent until nobody asks for them again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Payload;

/// The units of pictures that wait to be sent, and those that were sent a short while ago.
///
/// Payloads are shared with all other viewers, and a unit is one entry here however many packets it has: what is kept to be sent again costs
/// a viewer some 2 kB. Packets are numbered in the order they are to be sent in.
///
/// Copies: 0.
#[derive(Debug)]
pub(super) struct Outbox {
    units: VecDeque<Entry>,
    /// The number of the next packet to come, and of the next one to be sent.
    end: u64,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    first: u64,
    payloads: Arc<[Payload]>,
    rtp_time: u32,
    captured: Instant,
    /// When it came here.
    at: Instant,
}

/// A packet of a picture.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub(super) number: u64,
    pub(super) payload: &'a Payload,
    pub(super) rtp_time: u32,
    pub(super) captured: Instant,
    /// Whether it is its picture's first.
    pub(super) first: bool,
    /// Whether it is its picture's last.
    pub(super) last: bool,
}

impl Outbox {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { units: VecDeque::new(), end: FIRST, next: FIRST }
    }

    /// Takes a picture that is to be sent.
    pub(super) fn push(&mut self, payloads: &Arc<[Payload]>, rtp_time: u32, captured: Instant, now: Instant) {
        while self.units.len() > 1 && self.units.front().is_some_and(|unit| unit.end() <= self.next && unit.at + KEPT < now) {
            self.units.pop_front();
        }
        if payloads.is_empty() {
            return;
        }
        self.units.push_back(Entry { first: self.end, payloads: Arc::clone(payloads), rtp_time, captured, at: now });
        self.end += payloads.len() as u64;
    }

    /// Whether something waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.next < self.end
    }

    /// How many packets [`Outbox::take`] would give, and how many bytes these have.
    pub(super) fn waiting(&self, most: usize) -> (usize, usize) {
        let numbers = self.next..self.end.min(self.next + most as u64);
        let bytes = numbers.clone().filter_map(|number| self.find(number)).map(|piece| piece.payload.len()).sum();
        (numbers.count(), bytes)
    }

    /// The next packets to be sent, `most` of them; they count as sent.
    pub(super) fn take(&mut self, most: usize) -> impl Iterator<Item = Piece<'_>> {
        let first = self.next;
        self.next = self.end.min(first + most as u64);
        (first..self.next).filter_map(|number| self.find(number))
    }

    /// A packet that was sent with this number, if it is still there.
    pub(super) fn sent(&self, number: u16) -> Option<Piece<'_>> {
        let newest = self.next.checked_sub(1)?;
        let back = (newest as u16).wrapping_sub(number);
        self.find(newest.checked_sub(back.into())?)
    }

    /// The packets that were sent last, the newest one first.
    pub(super) fn newest(&self) -> impl Iterator<Item = Piece<'_>> {
        let oldest = self.units.front().map_or(self.next, |unit| unit.first);
        (oldest..self.next).rev().filter_map(|number| self.find(number))
    }

    fn find(&self, number: u64) -> Option<Piece<'_>> {
        let unit = self.units.partition_point(|unit| unit.first <= number).checked_sub(1)?;
        let unit = &self.units[unit];
        let nth = usize::try_from(number - unit.first).ok()?;
        let payload = unit.payloads.get(nth)?;
        let last = nth + 1 == unit.payloads.len();
        Some(Piece { number, payload, rtp_time: unit.rtp_time, captured: unit.captured, first: nth == 0, last })
    }
}

impl Entry {
    fn end(&self) -> u64 {
        self.first + self.payloads.len() as u64
    }
}

/// What is older is not worth sending again: whoever misses it has asked for a key frame.
const KEPT: Duration = Duration::from_secs(1);
/// Far enough from 0 that nothing before it is asked for by mistake.
const FIRST: u64 = 1;

#[cfg(test)]
mod tests {
    use super::super::simulation::epoch;
    use super::*;

    fn unit(packets: usize, byte: u8) -> Arc<[Payload]> {
        (0..packets).map(|nth| Payload::from(vec![byte; nth + 1])).collect()
    }

    fn numbers<'a>(pieces: impl Iterator<Item = Piece<'a>>) -> Vec<(u64, usize, bool, bool)> {
        pieces.map(|piece| (piece.number, piece.payload.len(), piece.first, piece.last)).collect()
    }

    #[test]
    fn packets_go_in_order_and_are_found_again() {
        let mut outbox = Outbox::new();
        let now = epoch();
        outbox.push(&unit(3, 1), 10, now, now);
        outbox.push(&unit(1, 2), 20, now, now);
        assert_eq!(numbers(outbox.take(2)), [(1, 1, true, false), (2, 2, false, false)]);
        assert!(outbox.is_waiting() && outbox.sent(3).is_none(), "it was not sent yet");
        assert_eq!(numbers(outbox.take(9)), [(3, 3, false, true), (4, 1, true, true)]);
        assert!(!outbox.is_waiting());
        assert_eq!(outbox.sent(2).map(|piece| (piece.number, piece.rtp_time)), Some((2, 10)));
        assert_eq!(outbox.sent(0).map(|piece| piece.number), None);
        assert_eq!(outbox.sent(65_000).map(|piece| piece.number), None);
        assert_eq!(outbox.newest().map(|piece| piece.number).collect::<Vec<_>>(), [4, 3, 2, 1]);
    }

    #[test]
    fn second_of_pictures_is_kept_and_the_last_one_for_ever() {
        let mut outbox = Outbox::new();
        let at = |nth: u64| epoch() + Duration::from_millis(100 * nth);
        for nth in 0..70_000 {
            outbox.push(&unit(1, 0), nth as u32, at(nth), at(nth));
            assert_eq!(outbox.take(9).count(), 1);
        }
        assert!(outbox.units.len() <= 12, "{}", outbox.units.len());
        let last = 70_000_u64;
        assert_eq!(outbox.sent(last as u16).map(|piece| piece.number), Some(last), "numbers wrap");
        assert_eq!(outbox.sent((last - 9) as u16).map(|piece| piece.number), Some(last - 9));
        assert!(outbox.sent((last - 20) as u16).is_none(), "it is too old");
        outbox.push(&unit(0, 0), 0, at(80_000), at(80_000));
        assert_eq!(outbox.units.len(), 1);
    }

    #[test]
    fn what_waits_is_never_forgotten() {
        let mut outbox = Outbox::new();
        for nth in 0..50 {
            let now = epoch() + Duration::from_secs(nth);
            outbox.push(&unit(2, 0), 0, now, now);
        }
        assert_eq!(outbox.take(1_000).count(), 100);
    }
}
