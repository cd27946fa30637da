//! A bad link: what passes is late, lost, corrupted or held back, by dice that fall alike in every run.
//!
//! It stands between a router and a viewer, so that a viewer's account can be held against what was done to it. [`Link`] reads no clock
//! and no socket: units (messages of a WebSocket, datagrams) go in with the time, and come out when they are due.

pub(crate) mod serve;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::publish::Dice;

/// What is done to units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Impairment {
    /// By how much each is late.
    pub(crate) delay: Duration,
    /// The part of them that is lost, 0 to 1.
    pub(crate) loss: f64,
    /// The part of the others in which a bit is turned over, 0 to 1.
    pub(crate) corruption: f64,
    /// From when on after the first one nothing passes, and for how long.
    pub(crate) stall: Option<(Duration, Duration)>,
}

/// What bad links did, by their own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Done {
    pub(crate) units: u64,
    pub(crate) lost: u64,
    pub(crate) corrupted: u64,
}

impl Done {
    /// All of them together.
    pub(crate) fn of(links: impl IntoIterator<Item = Self>) -> Self {
        links.into_iter().fold(Self::default(), |sum, link| Self {
            units: sum.units + link.units,
            lost: sum.lost + link.lost,
            corrupted: sum.corrupted + link.corrupted,
        })
    }
}

/// One direction of a bad link.
#[derive(Debug)]
pub(crate) struct Link {
    impairment: Impairment,
    dice: Dice,
    first: Option<Instant>,
    queue: VecDeque<(Instant, Vec<u8>)>,
    done: Done,
}

impl Link {
    /// One whose dice are thrown from `seed` on.
    pub(crate) fn new(impairment: Impairment, seed: u32) -> Self {
        Self { impairment, dice: Dice::new(seed), first: None, queue: VecDeque::new(), done: Done::default() }
    }

    /// Takes a unit of which the first `head` bytes are not touched.
    ///
    /// Copies: 1 (it is kept until it is due).
    pub(crate) fn take(&mut self, now: Instant, unit: &[u8], head: usize) {
        let first = *self.first.get_or_insert(now);
        self.done.units += 1;
        if self.dice.roll() < self.impairment.loss {
            self.done.lost += 1;
            return;
        }
        let mut unit = unit.to_vec();
        if self.dice.roll() < self.impairment.corruption && head < unit.len() {
            self.done.corrupted += 1;
            let at = head + (self.dice.roll() * (unit.len() - head) as f64) as usize;
            let last = unit.len() - 1;
            unit[at.min(last)] ^= 1 << ((self.dice.roll() * 8.0) as u32).min(7);
        }
        let mut due = now + self.impairment.delay;
        if let Some((after, length)) = self.impairment.stall {
            let (start, end) = (first + after, first + after + length);
            if (start..end).contains(&due) {
                due = end;
            }
        }
        self.queue.push_back((due, unit));
    }

    /// The next unit that is due.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.queue.front().is_some_and(|(due, _)| *due <= now).then(|| self.queue.pop_front()).flatten().map(|(_, unit)| unit)
    }

    /// What was done until now.
    pub(crate) fn done(&self) -> Done {
        self.done
    }

    /// When the next one is.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.queue.front().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_what_they_were_told_to_be() {
        let (mut link, now) = (Link::new(Impairment { loss: 0.01, corruption: 0.05, ..Impairment::default() }, 1), Instant::now());
        let mut changed = 0;
        for _ in 0..200_000 {
            link.take(now, b"\x82\x01m", 2);
            changed += u64::from(link.poll(now).is_some_and(|unit| unit != b"\x82\x01m" && unit.starts_with(b"\x82\x01")));
        }
        let Done { units, lost, corrupted } = link.done();
        assert_eq!((units, changed), (200_000, corrupted));
        assert!((1_900..2_100).contains(&lost) && (9_500..10_300).contains(&corrupted), "{lost} lost, {corrupted} corrupted");
    }

    #[test]
    fn units_come_out_in_order_when_they_are_due() {
        let (delay, start) = (Duration::from_millis(50), Instant::now());
        let stall = Some((Duration::from_millis(20), Duration::from_millis(100)));
        let mut link = Link::new(Impairment { delay, stall, ..Impairment::default() }, 1);
        for nth in 0..3 {
            link.take(start + Duration::from_millis(10) * nth, &[nth as u8], 0);
        }
        // All of them would be there within the stall, which ends 120 ms after the first came.
        assert_eq!((link.poll(start + Duration::from_millis(119)), link.due()), (None, Some(start + Duration::from_millis(120))));
        let end = start + Duration::from_millis(120);
        assert_eq!([link.poll(end), link.poll(end), link.poll(end), link.poll(end)], [Some(vec![0]), Some(vec![1]), Some(vec![2]), None]);
    }
}
