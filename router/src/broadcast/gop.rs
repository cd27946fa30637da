//! The newest units of a stream, by number, and where its key frames are.

use std::collections::VecDeque;
use std::time::Instant;

use super::hub::{Limits, Unit};

/// A bounded run of consecutive units. When full it forgets the oldest.
#[derive(Debug)]
pub(super) struct History {
    units: VecDeque<Unit>,
    /// The numbers of the key units among them, ascending.
    keys: VecDeque<u64>,
    /// The number of the next unit.
    end: u64,
    bytes: usize,
    limits: Limits,
}

impl History {
    pub(super) fn new(limits: Limits) -> Self {
        Self { units: VecDeque::with_capacity(limits.units + 1), keys: VecDeque::new(), end: 0, bytes: 0, limits }
    }

    /// Appends a unit, then forgets what is over the limits; the newest always stays.
    pub(super) fn push(&mut self, unit: Unit) {
        if unit.key {
            self.keys.push_back(self.end);
        }
        self.end += 1;
        self.bytes += unit.bytes.len();
        self.units.push_back(unit);
        while self.units.len() > 1 && (self.units.len() > self.limits.units || self.bytes > self.limits.bytes) {
            self.forget_oldest();
        }
    }

    /// Forgets all; numbers go on.
    pub(super) fn clear(&mut self) {
        self.units.clear();
        self.keys.clear();
        self.bytes = 0;
    }

    /// The number of the oldest unit kept.
    pub(super) fn start(&self) -> u64 {
        self.end - self.units.len() as u64
    }

    /// The number that the next unit gets.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn unit(&self, number: u64) -> Option<&Unit> {
        let index = number.checked_sub(self.start())?;
        self.units.get(usize::try_from(index).ok()?)
    }

    /// The newest key unit's number, when it is `from` or later.
    pub(super) fn newest_key(&self, from: u64) -> Option<u64> {
        self.keys.back().copied().filter(|&key| key >= from)
    }

    /// The first key unit's number at `from` or later.
    pub(super) fn key_at_or_after(&self, from: u64) -> Option<u64> {
        self.keys.get(self.keys.partition_point(|&key| key < from)).copied()
    }

    /// When the unit was captured.
    pub(super) fn captured(&self, number: u64) -> Option<Instant> {
        self.unit(number).map(|unit| unit.captured)
    }

    fn forget_oldest(&mut self) {
        let start = self.start();
        if let Some(unit) = self.units.pop_front() {
            self.bytes -= unit.bytes.len();
        }
        if self.keys.front() == Some(&start) {
            self.keys.pop_front();
        }
    }
}
