//! How far the server is with a stream, from its last word and the time since.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::time::{Duration, Instant};

use libpulse_sys as pa;

use super::stream::forget;
use crate::MediaTime;

/// What is known of a stream's time, and when the server is asked again.
///
/// The library can interpolate (`PA_STREAM_INTERPOLATE_TIMING`), but its smoother does not survive that the server or we stand still for a
/// moment: a stream that ran dry then seems to hold what it has played, until it plays again. This is the same sum without a filter.
pub(super) struct Timing {
    told: Cell<Option<Told>>,
    plan: RefCell<Plan>,
}

/// What the server said.
#[derive(Clone, Copy)]
struct Told {
    /// When that was so.
    at: Instant,
    /// How far ahead of its clock the device was: what a sink had taken; of a source, less what it had not given yet.
    device: MediaTime,
    /// Whether samples moved. They do not in a stream that is dry or corked.
    moves: bool,
}

/// When the server is asked next.
struct Plan {
    asked: Instant,
    next: Instant,
    interval: Duration,
}

impl Timing {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { told: Cell::new(None), plan: RefCell::new(Plan { asked: now, next: now, interval: FIRST }) }
    }

    /// Asks soon and often for a while: something changed.
    pub(super) fn restart(&self) {
        self.plan.borrow_mut().restart();
    }

    /// Asks when it is time. The library's own periodic update (`PA_STREAM_AUTO_TIMING_UPDATE`) keeps a timer running for ever; this asks
    /// as often, but only while somebody wants to know.
    ///
    /// # Safety
    /// `stream` is alive and ready.
    pub(super) unsafe fn update(&self, stream: *mut pa::pa_stream) {
        if !self.plan.borrow_mut().is_due() {
            return;
        }
        // SAFETY: the caller's duty; without a callback there is no userdata.
        let operation = unsafe { pa::pa_stream_update_timing_info(stream, None, ptr::null_mut()) };
        // SAFETY: what the library just returned, used nowhere else.
        unsafe { forget(operation) };
    }

    /// Keeps the answer that `info` brought.
    pub(super) fn note(&self, info: &pa::pa_timing_info) {
        let now = Instant::now();
        // SAFETY: reads the time that it is lent.
        let age_us = unsafe { pa::pa_timeval_age(&info.timestamp) };
        // It is a time of day, which somebody may set meanwhile; no answer is older than its question.
        let age = Duration::from_micros(age_us).min(now.saturating_duration_since(self.plan.borrow().asked));
        let device = micros(info.sink_usec) - micros(info.source_usec);
        self.told.set(Some(Told { at: now.checked_sub(age).unwrap_or(now), device, moves: info.playing != 0 }));
    }

    /// Notes that a stream which stood still goes on now: with the first bytes after it ran dry.
    pub(super) fn start(&self) {
        if let Some(told) = self.told.get().filter(|told| !told.moves) {
            self.told.set(Some(Told { at: Instant::now(), device: told.device_now(), moves: true }));
            self.restart();
        }
    }

    /// What the device had taken ahead of its clock, less the time since, down to nothing; nothing before the server told.
    pub(super) fn device(&self) -> Option<MediaTime> {
        self.told.get().map(|told| told.device_now())
    }

    /// When the device's clock comes to the sample that `queued` leads to, from now; before now when negative. Nothing before the server
    /// told.
    pub(super) fn until(&self, queued: MediaTime) -> Option<MediaTime> {
        self.told.get().map(|told| if told.moves { queued + told.device - told.age() } else { queued })
    }
}

impl Told {
    fn age(self) -> MediaTime {
        MediaTime::from(self.at.elapsed())
    }

    fn device_now(self) -> MediaTime {
        (self.device - self.age()).max(MediaTime::ZERO)
    }
}

impl Plan {
    /// Whether to ask now.
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        if now > self.next + LAST {
            // Nobody has asked for long: what is known is old.
            self.restart();
        }
        *self = Self { asked: now, next: now + self.interval, interval: (self.interval * 2).min(LAST) };
        true
    }

    fn restart(&mut self) {
        *self = Self { asked: self.asked, next: Instant::now(), interval: FIRST };
    }
}

fn micros(time: pa::pa_usec_t) -> MediaTime {
    MediaTime::from_micros(i64::try_from(time).unwrap_or(i64::MAX))
}

/// Between the first question and the next: what just changed settles within a few.
const FIRST: Duration = Duration::from_millis(10);

/// Two clocks of one machine drift apart by well under a millisecond in this time.
const LAST: Duration = Duration::from_millis(1_000);
