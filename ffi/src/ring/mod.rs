//! Newest-wins hand-over of owned values from one thread to another.
//!
//! A stage that shows live media wants the newest value and nothing else, and the stage before it must never wait for that. [`newest`]
//! makes such a pair: three slots, of which the writer owns one, the reader owns one, and one lies between them. Publishing swaps the
//! writer's slot with the middle one, taking swaps the reader's. An unread value that a newer one displaces comes back to the writer,
//! so that the writer pays for dropping it and can count it.
//!
//! Copies: 0 beyond the moves of `T` into and out of a slot (`T` is a handle, such as a reference-counted picture).
//!
//! ```
//! let (mut writer, mut reader) = crosspoint_ffi::ring::newest();
//! assert_eq!(writer.publish("one"), None);
//! assert_eq!(writer.publish("two"), Some("one"), "displaced unread");
//! assert_eq!(reader.take(), Some("two"));
//! assert_eq!(reader.take(), None);
//! ```

use std::fmt;

mod index;
mod slots;
mod sync;

use index::{Middle, Slot};
use slots::Slots;
use sync::Arc;

/// Makes a pair whose reader takes the newest value the writer published. This is the only allocation.
#[must_use]
pub fn newest<T: Send>() -> (Writer<T>, Reader<T>) {
    let shared = Arc::new(Shared { middle: Middle::new(Slot::SECOND), slots: Slots::new() });
    (Writer { shared: Arc::clone(&shared), back: Slot::FIRST }, Reader { shared, front: Slot::THIRD })
}

/// The publishing end; see [`newest`].
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    /// The slot that is ours; empty between calls.
    back: Slot,
}

impl<T: Send> Writer<T> {
    /// Publishes `value`, and gives back the value before it when that was never taken. Wait-free: one swap.
    #[must_use = "an unread value that was displaced is a drop to count"]
    pub fn publish(&mut self, value: T) -> Option<T> {
        // SAFETY: `back` is the writer's alone: the three `Slot`s are distinct from construction on, and each `exchange` trades one
        // for another, so no slot is ever held twice. `&mut self` keeps a second call out.
        let stale = unsafe { self.shared.slots.replace(&self.back, Some(value)) };
        debug_assert!(stale.is_none(), "both ends leave the slot they give away for good empty");
        let (slot, unread) = self.shared.middle.publish(&self.back);
        self.back = slot;
        if !unread {
            return None;
        }
        // SAFETY: as above; `back` is now the slot that was in the middle, and the swap that made it ours acquired its contents.
        unsafe { self.shared.slots.replace(&self.back, None) }
    }
}

/// The taking end; see [`newest`].
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    /// The slot that is ours; empty between calls.
    front: Slot,
}

impl<T: Send> Reader<T> {
    /// Takes the newest value, or nothing when it was taken already. Wait-free: one load, and one swap when there is a value.
    pub fn take(&mut self) -> Option<T> {
        self.front = self.shared.middle.take(&self.front)?;
        // SAFETY: `front` is the reader's alone, for the reason given in `Writer::publish`, and the swap that made it ours acquired
        // its contents. `&mut self` keeps a second call out.
        unsafe { self.shared.slots.replace(&self.front, None) }
    }

    /// Whether [`Reader::take`] would give a value.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.shared.middle.is_fresh()
    }
}

/// What both ends hold; the last one to go drops a value left inside.
struct Shared<T> {
    middle: Middle,
    slots: Slots<T>,
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
