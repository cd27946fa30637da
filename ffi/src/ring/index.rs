//! Which slot lies between the two ends, and whether it holds an unread value: one atomic byte.

use super::sync::{AtomicU8, Ordering};

/// The right to one of the three slots. Not `Clone`: there are exactly three, and they are only ever traded.
#[derive(Debug)]
pub(super) struct Slot(u8);

impl Slot {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const SECOND: Self = Self(1);
    pub(super) const THIRD: Self = Self(2);

    pub(super) fn index(&self) -> usize {
        usize::from(self.0)
    }
}

/// The slot in the middle, with [`FRESH`] set while its value is unread. Alone on its cache lines: both ends write it.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Middle(AtomicU8);

impl Middle {
    pub(super) fn new(slot: Slot) -> Self {
        Self(AtomicU8::new(slot.0))
    }

    /// Puts the writer's slot, filled, into the middle; gives what was there, and whether that was unread. The caller must let go of
    /// `filled` and keep the result instead.
    pub(super) fn publish(&self, filled: &Slot) -> (Slot, bool) {
        // AcqRel. Release: partner of the acquire in `take`, so that the reader sees the value we wrote. Acquire: partner of the
        // release in `take`, so that our next write into the slot comes after the reader emptied it.
        let before = self.0.swap(filled.0 | FRESH, Ordering::AcqRel);
        (Slot(before & !FRESH), before & FRESH != 0)
    }

    /// Puts the reader's slot, emptied, into the middle when an unread value is there; gives that value's slot. The caller must let go
    /// of `emptied` and keep the result instead.
    pub(super) fn take(&self, emptied: &Slot) -> Option<Slot> {
        if !self.is_fresh() {
            return None;
        }
        // Only the reader clears `FRESH`, so it is still set. AcqRel. Acquire: partner of the release in `publish`, for the value.
        // Release: partner of the acquire in `publish`, for the emptied slot.
        let before = self.0.swap(emptied.0, Ordering::AcqRel);
        debug_assert!(before & FRESH != 0, "nobody else clears it");
        Some(Slot(before & !FRESH))
    }

    pub(super) fn is_fresh(&self) -> bool {
        // Relaxed, no partner: a hint only; what is behind it is acquired by the swap in `take`.
        self.0.load(Ordering::Relaxed) & FRESH != 0
    }
}

const FRESH: u8 = 1 << 7;
