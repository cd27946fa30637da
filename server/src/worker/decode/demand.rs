//! The present thread's word to the decode thread: whether anybody reads the camera.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::Job;

/// The present thread's end: it never waits, and the decode thread wakes at once.
#[derive(Debug)]
pub(crate) struct CameraDemand {
    turns: Arc<AtomicU64>,
    jobs: mpsc::Sender<Job>,
}

/// The decode thread's end.
#[derive(Debug)]
pub(super) struct Wanted(Arc<AtomicU64>);

/// Makes both ends, of which the first wakes the thread that takes from `jobs`. Nobody reads yet.
pub(super) fn pair(jobs: mpsc::Sender<Job>) -> (CameraDemand, Wanted) {
    let turns = Arc::new(AtomicU64::new(0));
    (CameraDemand { turns: Arc::clone(&turns), jobs }, Wanted(turns))
}

/// Whether somebody reads the camera after so many turns: they begin with somebody who comes, and take turns.
pub(super) fn is_read(turns: u64) -> bool {
    turns % 2 == 1
}

impl CameraDemand {
    /// Has the thread look around: something else than this has changed.
    pub(crate) fn stir(&self) {
        // As below.
        let _ = self.jobs.try_send(Job::Demand);
    }

    /// Tells whether anybody reads the camera.
    pub(crate) fn set(&mut self, read: bool) {
        // Relaxed: only this end writes it.
        let turns = self.turns.load(Ordering::Relaxed);
        if is_read(turns) == read {
            return;
        }
        // Release, with the Acquire of `Wanted::turns`: what the present thread did before is done when the decode thread acts on it.
        self.turns.store(turns + 1, Ordering::Release);
        // A full queue means that the thread is awake, and looks after each of its jobs.
        let _ = self.jobs.try_send(Job::Demand);
    }
}

impl Wanted {
    /// How often readers came and went: see [`is_read`].
    pub(super) fn turns(&self) -> u64 {
        // Acquire, with the Release of `CameraDemand::set`.
        self.0.load(Ordering::Acquire)
    }
}
