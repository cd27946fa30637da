//! The thread's loop.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crosspoint_ffi::fd::Wake;
use tracing::{debug, warn};

use super::encoding::Encoding;
use super::source::Source;
use super::{Roster, Shared};

/// The screen's thread: who is served, and from what.
pub(super) struct Turn {
    shared: Arc<Shared>,
    wake: Arc<Wake>,
    source: Source,
    encodings: Vec<Encoding>,
}

impl Turn {
    pub(super) fn new(shared: Arc<Shared>, wake: Arc<Wake>) -> Self {
        Self { source: Source::new(Arc::clone(&shared)), shared, wake, encodings: Vec::new() }
    }

    /// Serves until nobody is left.
    pub(super) fn run(mut self) {
        debug!("screen capture begins");
        loop {
            // Before the roll is called: whoever comes or orders after that raises it again.
            self.wake.lower();
            if !self.call_roll() {
                break;
            }
            self.source.attend();
            let (now, stale) = (Instant::now(), self.source.is_stale());
            let due = self.due(stale, now);
            if due.is_some_and(|due| due <= now) {
                self.serve(stale, now);
            } else if let Err(error) = self.source.wait(&self.wake, due) {
                // The kernel is out of memory: nothing here can go on, and nobody is to spin.
                warn!(%error, "screen capture cannot wait");
                self.shared.trouble.note(error);
                break;
            }
        }
        debug!("screen capture ended");
    }

    /// Lets in who has come and out who has gone; says whether anybody is left. Nobody being left is final.
    fn call_roll(&mut self) -> bool {
        let mut roster = self.shared.roster();
        self.encodings.append(&mut roster.arrivals);
        self.encodings.retain(|encoding| !encoding.is_ended());
        if self.encodings.is_empty() {
            // Under the same lock: who comes now starts another thread.
            roster.wake = None;
        }
        drop(roster);
        self.encodings.iter_mut().for_each(Encoding::read_orders);
        !self.encodings.is_empty()
    }

    /// When the next encoding has its turn.
    fn due(&self, stale: bool, now: Instant) -> Option<Instant> {
        match self.source.canvas() {
            Some(canvas) => self.encodings.iter().filter_map(|encoding| encoding.due(canvas, stale, now)).min(),
            None => stale.then_some(now),
        }
    }

    /// Looks at the display once, and gives a turn to every encoding that is due.
    fn serve(&mut self, stale: bool, now: Instant) {
        if stale {
            self.source.capture();
        }
        let Some(canvas) = self.source.canvas() else { return };
        for encoding in &mut self.encodings {
            if encoding.due(canvas, stale, now).is_some_and(|due| due <= now) {
                encoding.turn(canvas, now, &self.shared);
            }
        }
    }
}

impl Drop for Turn {
    /// However it ended, who comes next starts another thread.
    fn drop(&mut self) {
        self.shared.view.live.store(false, Relaxed);
        let mut roster = self.shared.roster();
        if roster.wake.as_ref().is_some_and(|wake| Arc::ptr_eq(wake, &self.wake)) {
            *roster = Roster::default();
        }
    }
}
