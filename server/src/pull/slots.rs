//! Places for pull threads.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for pull threads. One that hangs inside libavformat is abandoned and keeps its place until it ends.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<Semaphore>);

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// Pull threads at a time (design decision 13).
    pub(crate) const MOST: usize = 8;
    /// A thread that was told to end takes a moment when it does not hang.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Makes the places.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(Self::MOST)))
    }

    /// Takes `count` places, or nothing when there are not as many.
    pub(crate) async fn take(&self, count: usize) -> Option<Vec<Slot>> {
        let mut slots = Vec::with_capacity(count);
        for _ in 0..count {
            let permit = tokio::time::timeout(Self::PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
            slots.push(Slot { _permit: permit.ok()?.ok()? });
        }
        Some(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Io;

    #[test]
    fn places_are_few_and_come_back() {
        Io::Epoll
            .block_on(async {
                let slots = Slots::new();
                let mut taken = slots.take(Slots::MOST).await.unwrap();
                assert!(slots.take(1).await.is_none());
                taken.pop();
                assert!(slots.take(2).await.is_none(), "one is not two");
                assert_eq!(slots.take(1).await.unwrap().len(), 1);
            })
            .unwrap();
    }
}
