//! The memory of the three slots.

use super::index::Slot;
use super::sync::UnsafeCell;

/// Three places for a value.
pub(super) struct Slots<T>([Padded<UnsafeCell<Option<T>>>; 3]);

/// Two cache lines of its own for each slot: x86-64 fetches lines in pairs.
#[repr(align(128))]
struct Padded<C>(C);

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self([(); 3].map(|()| Padded(UnsafeCell::new(None))))
    }

    /// Puts `value` into the slot and gives what was there.
    ///
    /// # Safety
    /// `slot` is held by the calling end: no other thread can hold a [`Slot`] of the same index until the caller trades it through
    /// [`super::index::Middle`].
    pub(super) unsafe fn replace(&self, slot: &Slot, value: Option<T>) -> Option<T> {
        self.0[slot.index()].0.with_mut(|place| {
            // SAFETY: `place` comes from a live `UnsafeCell`, so it is aligned and initialised; the caller's duty makes this the only
            // access to it now.
            unsafe { place.replace(value) }
        })
    }
}

// SAFETY: a shared `Slots` gives access to a value only through `replace`, whose caller holds the slot exclusively; values thus move
// between threads, which `T: Send` allows, and are never shared, so `T: Sync` is not needed.
unsafe impl<T: Send> Sync for Slots<T> {}
