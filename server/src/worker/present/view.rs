//! What the present thread tells the others.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crosspoint_ffi::Copied;
use crosspoint_router::ingest::PresentStats;
use tokio::sync::watch;

use super::rate::Rate;
use crate::histogram::Histogram;

/// What the present thread tells the others.
#[derive(Debug, Default)]
pub(crate) struct PresentView {
    stats: Mutex<(PresentStats, Rate, Copied)>,
    /// Pictures that could not be drawn.
    pub(crate) undrawn: AtomicU64,
    /// How long drawing a picture took.
    pub(crate) draw_time: Histogram,
    /// From a picture's arrival to the end of that.
    pub(crate) latency: Histogram,
    /// The moment of the reader's latest read: the clock that early media is released on.
    pub(crate) tick: watch::Sender<Option<Instant>>,
}

impl PresentView {
    /// The counters, the frames written in the last full second, and what was copied.
    pub(crate) fn stats(&self) -> (PresentStats, f32, Copied) {
        let (stats, rate, copied) = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        (stats, rate.per_second(Instant::now()), copied)
    }

    /// Tells them.
    pub(super) fn tell(&self, stats: PresentStats, rate: Rate, copied: Copied) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = (stats, rate, copied);
    }
}
