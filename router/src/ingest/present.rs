//! When to write which picture into the live Y4M camera.

use std::time::{Duration, Instant};

use super::{Latency, ReaderClock};

/// What happened on the reader's side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReaderEvent {
    /// A page closed the camera.
    Closed,
    /// A page opened the camera.
    Opened,
    /// One frame was read.
    Read,
    /// The kernel cannot tell about readers.
    Unknown,
}

/// What to do next.
#[derive(Debug, Eq, PartialEq)]
pub enum PresentOutput<F> {
    /// Nothing, until something is reported.
    Idle,
    /// Nothing before this moment, unless something is reported.
    WaitUntil(Instant),
    /// Write this frame now, then call [`Presenter::handle_written`].
    Write(F),
    /// Write black now, then call [`Presenter::handle_written`].
    WriteBlack,
}

/// Counters since construction, and recent figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PresentStats {
    /// Whether a page has the camera open; nothing when the kernel cannot tell.
    pub in_use: Option<bool>,
    /// Frames offered.
    pub frames_in: u64,
    /// Frames written.
    pub frames_out: u64,
    /// Frames that a newer one, or black, replaced before they were written.
    pub dropped: u64,
    /// Frames written and then overwritten unread, so that those behind them need not wait.
    pub overwritten: u64,
    /// Frames that came while paused.
    pub withheld: u64,
    /// Writes that a read may have overlapped.
    pub possible_tears: u64,
    /// Reads seen.
    pub reads: u64,
    /// The reader's frames a second, once known.
    pub reader_fps: Option<f64>,
    /// Median of the recent delays from `since` to the end of the write.
    pub latency_p50: Option<Duration>,
    /// 99th percentile of the same.
    pub latency_p99: Option<Duration>,
}

/// Decides when frames are written. `F` is a decoded picture's handle.
///
/// The camera is one frame in a shared file, which its reader copies on a timer of its own. A write that overlaps a read tears that
/// picture, and a frame that is overwritten before it was read is lost. [`Presenter`] therefore writes around the reader's clock:
///
/// - at once, unless the next read is due within 2 ms of the write's end (more for a reader that jitters): then right after that read;
/// - a frame that was not read yet is left alone for up to one period of the reader. The next one waits that long, a third replaces it. So
///   two beating 30 Hz clocks lose nothing and add at most one period;
/// - without a known reader, at once.
///
/// Copies: 0 (frames are handles; the driver's write is the one pass over the pixels).
///
/// The driver's loop: report frames, reader events and time, then [`Presenter::poll`] until it says [`PresentOutput::Idle`] or
/// [`PresentOutput::WaitUntil`]. Around a write, read the pending reader events twice: before `poll`, and after the write but before
/// [`Presenter::handle_written`], with the time at which they were found. An event that is first found after a write may belong to
/// a read that overlapped it, and is counted so.
#[derive(Debug)]
pub struct Presenter<F> {
    reader: Reader,
    clock: ReaderClock,
    waiting: Option<Waiting<F>>,
    writing: Option<Writing>,
    read_while_writing: bool,
    /// When the picture in the camera was written, while nobody has read it.
    unread_since: Option<Instant>,
    written: Option<Written>,
    /// How many frames in a row waited for the one before them to be read.
    holds: u32,
    /// What the camera is to show when no frame waits.
    wants_black: bool,
    /// Whether it shows black, or will when the write that is going on has ended.
    is_black: bool,
    /// When the picture in the camera becomes another source's, and goes.
    swap_until: Option<Instant>,
    paused: bool,
    /// How long a write takes: rises at once, falls slowly.
    write_cost: Duration,
    stats: PresentStats,
    latency: Latency,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reader {
    Open(u32),
    Unknown,
}

#[derive(Debug)]
struct Waiting<F> {
    frame: F,
    since: Instant,
    /// Whether it waits for the frame before it to be read.
    held: bool,
}

/// A write that the driver is at.
#[derive(Debug)]
enum Writing {
    Black,
    Frame { since: Instant, held: bool },
}

/// The latest write, to tell which reads it may have torn.
#[derive(Clone, Copy, Debug)]
struct Written {
    ended: Instant,
    torn: bool,
}

impl<F> Presenter<F> {
    /// Makes a presenter that first blackens the camera, whose readers are not open until an event says so.
    #[must_use]
    pub fn new() -> Self {
        Self {
            reader: Reader::Open(0),
            clock: ReaderClock::new(),
            waiting: None,
            writing: None,
            read_while_writing: false,
            unread_since: None,
            written: None,
            holds: 0,
            wants_black: true,
            is_black: false,
            swap_until: None,
            paused: false,
            write_cost: Duration::ZERO,
            stats: PresentStats::default(),
            latency: Latency::new(),
        }
    }

    /// Takes a frame. Its latency counts from `since`: when its last byte arrived, or when pacing released it.
    pub fn handle_frame(&mut self, frame: F, since: Instant) {
        self.stats.frames_in += 1;
        if self.paused {
            self.stats.withheld += 1;
            return;
        }
        self.wants_black = false;
        self.swap_until = None;
        if self.waiting.replace(Waiting { frame, since, held: false }).is_some() {
            self.stats.dropped += 1;
        }
    }

    /// Takes what the reader did.
    pub fn handle_reader(&mut self, event: ReaderEvent, at: Instant) {
        match (event, self.reader) {
            (ReaderEvent::Opened, Reader::Open(count)) => self.reader = Reader::Open(count + 1),
            (ReaderEvent::Opened, Reader::Unknown) => self.reader = Reader::Open(1),
            (ReaderEvent::Closed, Reader::Open(count)) => {
                self.reader = Reader::Open(count.saturating_sub(1));
                self.clock.clear();
            }
            (ReaderEvent::Closed, Reader::Unknown) => {}
            (ReaderEvent::Read, reader) => {
                if matches!(reader, Reader::Open(0) | Reader::Unknown) {
                    // It opened the camera before we watched: a file that was adopted.
                    self.reader = Reader::Open(1);
                }
                self.handle_read(at);
            }
            (ReaderEvent::Unknown, _) => {
                self.reader = Reader::Unknown;
                self.clock.clear();
            }
        }
    }

    /// Takes the start and the end of the write that [`Presenter::poll`] asked for; gives the latency of a frame.
    pub fn handle_written(&mut self, started: Instant, ended: Instant) -> Option<Duration> {
        let writing = self.writing.take()?;
        let torn = std::mem::take(&mut self.read_while_writing);
        self.stats.possible_tears += u64::from(torn);
        self.written = Some(Written { ended, torn });
        let cost = ended.saturating_duration_since(started);
        self.write_cost = cost.max((self.write_cost * 15 + cost) / 16);
        match writing {
            Writing::Black => {
                self.unread_since = None;
                None
            }
            Writing::Frame { since, held } => {
                if self.unread_since.replace(ended).is_some() && self.holds >= HOLDS {
                    self.stats.overwritten += 1;
                    self.holds = 0;
                } else {
                    self.holds = if held { self.holds + 1 } else { 0 };
                }
                self.stats.frames_out += 1;
                let latency = ended.saturating_duration_since(since);
                self.latency.record(latency, ended);
                Some(latency)
            }
        }
    }

    /// Blackens the camera within one frame time and drops what comes, until [`Presenter::handle_resume`].
    pub fn handle_pause(&mut self) {
        self.paused = true;
        self.handle_blackout();
    }

    /// Shows the next frame that comes.
    pub fn handle_resume(&mut self) {
        self.paused = false;
    }

    /// Another source begins: the old one's picture stays until the next frame, but for 300 ms at most, then the camera is black.
    pub fn handle_swap(&mut self, now: Instant) {
        if !self.paused && !self.wants_black && (!self.is_black || self.waiting.is_some()) {
            self.swap_until = Some(now + LONGEST_SWAP);
        }
    }

    /// Blackens the camera until the next frame: the source is gone, or was stopped.
    pub fn handle_blackout(&mut self) {
        self.wants_black = true;
        self.swap_until = None;
        self.stats.dropped += u64::from(self.waiting.take().is_some());
    }

    /// Says what to do at `now`.
    pub fn poll(&mut self, now: Instant) -> PresentOutput<F> {
        if self.writing.is_some() {
            return PresentOutput::Idle;
        }
        if self.swap_until.is_some_and(|until| until <= now) {
            self.handle_blackout();
        }
        if !self.wants_black && self.waiting.is_none() {
            return self.swap_until.map_or(PresentOutput::Idle, PresentOutput::WaitUntil);
        }
        if let Some(until) = self.protected_until(now) {
            if let Some(waiting) = &mut self.waiting {
                waiting.held = true;
            }
            return PresentOutput::WaitUntil(until);
        }
        if let Some(until) = self.safe_from(now) {
            return PresentOutput::WaitUntil(until);
        }
        match self.waiting.take() {
            Some(Waiting { frame, since, held }) => {
                self.is_black = false;
                self.writing = Some(Writing::Frame { since, held });
                PresentOutput::Write(frame)
            }
            None => {
                (self.wants_black, self.is_black) = (false, true);
                self.writing = Some(Writing::Black);
                PresentOutput::WriteBlack
            }
        }
    }

    /// Whether a page has the camera open; nothing when the kernel cannot tell.
    #[must_use]
    pub fn in_use(&self) -> Option<bool> {
        match self.reader {
            Reader::Open(count) => Some(count > 0),
            Reader::Unknown => None,
        }
    }

    /// The counters and recent figures.
    #[must_use]
    pub fn stats(&self) -> PresentStats {
        PresentStats {
            in_use: self.in_use(),
            reader_fps: self.clock.period().map(|period| 1.0 / period.as_secs_f64()),
            latency_p50: self.latency.quantile(0.5),
            latency_p99: self.latency.quantile(0.99),
            ..self.stats
        }
    }

    fn handle_read(&mut self, at: Instant) {
        self.stats.reads += 1;
        self.clock.handle_read(at);
        if self.writing.is_some() {
            self.read_while_writing = true;
            return;
        }
        if let Some(written) = self.written.as_mut().filter(|written| !written.torn && at < written.ended + READ_SPAN) {
            // It may have begun before the write ended, so the frame counts as unread: the next read shows it whole.
            written.torn = true;
            self.stats.possible_tears += 1;
            return;
        }
        self.unread_since = None;
    }

    /// The period of a reader that is open and reads in a rhythm.
    fn rhythm(&self, now: Instant) -> Option<Duration> {
        let is_open = !matches!(self.reader, Reader::Open(0) | Reader::Unknown);
        self.clock.period().filter(|_| is_open && self.clock.is_regular(now))
    }

    /// Until when the picture in the camera is left alone because it was not read yet.
    fn protected_until(&self, now: Instant) -> Option<Instant> {
        let period = self.rhythm(now)?;
        let unread_since = self.unread_since.filter(|_| !self.wants_black && self.holds < HOLDS)?;
        Some(unread_since + period + self.patience(period)).filter(|&until| until > now)
    }

    /// From when on a write does not meet the reader's next read, if one at `now` might.
    fn safe_from(&self, now: Instant) -> Option<Instant> {
        let period = self.rhythm(now)?;
        let patience = self.patience(period);
        let next = self.clock.next_read(now, patience)?;
        let danger = GUARD.max(2 * self.clock.jitter()) + self.write_cost.min(period / 4);
        // A reader so fast that no gap is left is not worth waiting for.
        let is_close = now + danger > next && 2 * (danger + patience) < period;
        is_close.then_some(next + patience).filter(|&until| until > now)
    }

    /// How long after its predicted moment a read is still waited for.
    fn patience(&self, period: Duration) -> Duration {
        (3 * self.clock.jitter()).clamp(GUARD, (period / 4).max(GUARD))
    }
}

impl<F> Default for Presenter<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// How long the picture of a source that was replaced may stand in for the next one's.
const LONGEST_SWAP: Duration = Duration::from_millis(300);
/// The distance a write keeps from the reader's next read: what the reader's timer and our scheduling are seen to jitter by.
const GUARD: Duration = Duration::from_millis(2);
/// Frames that wait in a row before one overwrites the frame that keeps them waiting. A sender that jitters across the reader's clock
/// comes to wait again and again, and loses this share of its frames at most.
const HOLDS: u32 = 30;
/// A read's event comes at its end; a read takes less than this (0.3 ms for 720p, under 1 ms for 1080p).
const READ_SPAN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
