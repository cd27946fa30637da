//! The display, there or not.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crosspoint_ffi::fd::{Wake, wait_readable};
use crosspoint_ffi::x11::{Display, Grab, Screen};
use crosspoint_ffi::{Error, Remedy, Result};
use tracing::{debug, info, warn};

use super::canvas::Canvas;
use super::{Shared, took};

/// Where pictures come from.
pub(super) struct Source {
    shared: Arc<Shared>,
    display: Connection,
    /// Nothing until the display was looked for once.
    canvas: Option<Canvas>,
    back_off: Duration,
}

enum Connection {
    Gone { retry: Instant },
    Live(Box<Screen>),
}

/// Between one attempt to open the display and the next: first and longest. An attempt costs little, and a display that comes back is
/// to be seen soon.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// The size of the black picture when the display was never seen.
const UNSEEN: (u32, u32) = (1_280, 720);

impl Source {
    /// Makes a source that has not looked for its display yet.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, display: Connection::Gone { retry: Instant::now() }, canvas: None, back_off: BACK_OFF.0 }
    }

    /// Takes in what the X server sent, or looks for the display again when it is time to.
    pub(super) fn attend(&mut self) {
        let attended = match &mut self.display {
            Connection::Live(screen) => screen.handle_events(),
            Connection::Gone { retry } if *retry <= Instant::now() => self.open(),
            Connection::Gone { .. } => Ok(()),
        };
        attended.unwrap_or_else(|error| self.lose(&error));
    }

    /// Whether a look at the display might see something new.
    pub(super) fn is_stale(&self) -> bool {
        match &self.display {
            Connection::Live(screen) => screen.is_stale(),
            Connection::Gone { .. } => false,
        }
    }

    /// Brings the picture up to the display.
    pub(super) fn capture(&mut self) {
        let Connection::Live(screen) = &mut self.display else { return };
        let captured = Instant::now();
        match screen.grab().and_then(|grab| draw(&mut self.canvas, &grab, captured, &self.shared)) {
            Ok(()) => {
                self.back_off = BACK_OFF.0;
                if !self.shared.view.live.swap(true, Relaxed) {
                    self.shared.trouble.clear();
                }
            }
            // A resize on its way.
            Err(error) if error.remedy() == Remedy::Retry && self.canvas.is_some() => debug!(%error, "look refused"),
            Err(error) => self.lose(&error),
        }
    }

    /// The picture; nothing until the display was looked at once.
    pub(super) fn canvas(&self) -> Option<&Canvas> {
        self.canvas.as_ref()
    }

    /// Waits for `wake`, for `until`, or for the display: for news from it, unless there are some already, or for its return.
    pub(super) fn wait(&self, wake: &Wake, until: Option<Instant>) -> Result<()> {
        let left = |until: Option<Instant>| until.map(|until| until.saturating_duration_since(Instant::now()));
        match &self.display {
            // Between two pictures only time is waited for: each change more would wake us for nothing.
            Connection::Live(screen) if screen.is_stale() => wait_readable([wake.as_fd()], left(until)),
            Connection::Live(screen) => wait_readable([wake.as_fd(), screen.fd()], left(until)),
            Connection::Gone { retry } => wait_readable([wake.as_fd()], left(until.into_iter().chain([*retry]).min())),
        }
    }

    fn open(&mut self) -> Result<()> {
        let screen = Screen::new(Display::open(self.shared.display.as_deref())?)?;
        let (width, height) = screen.size();
        info!(width, height, "display opened");
        for note in screen.notes() {
            warn!(note, "slow capture");
        }
        self.display = Connection::Live(Box::new(screen));
        Ok(())
    }

    /// Goes on without the display: in black.
    fn lose(&mut self, error: &Error) {
        self.shared.view.live.store(false, Relaxed);
        if self.shared.trouble.note(error) {
            warn!(%error, "display not usable; retrying");
        }
        let was_live = matches!(self.display, Connection::Live(_));
        self.display = Connection::Gone { retry: Instant::now() + self.back_off };
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
        if was_live || self.canvas.is_none() {
            self.canvas.get_or_insert_with(|| Canvas::new(UNSEEN)).blacken(Instant::now());
        }
    }
}

/// Converts what a grab saw changed.
fn draw(canvas: &mut Option<Canvas>, grab: &Grab<'_>, captured: Instant, shared: &Shared) -> Result<()> {
    if grab.rows.is_empty() {
        return Ok(());
    }
    let even = |side: usize| u32::try_from(side & !1).unwrap_or(0);
    let size = (even(grab.picture.width), even(grab.picture.height));
    let drawn = canvas.get_or_insert_with(|| Canvas::new(size));
    drawn.resize(size);
    let read = took(&shared.view.reading_us, captured);
    drawn.draw(&grab.picture, grab.rows, captured)?;
    took(&shared.view.converting_us, read);
    if !shared.view.live.load(Relaxed) {
        drawn.renew(captured);
    }
    let rows: usize = grab.rows.iter().map(ExactSizeIterator::len).sum();
    shared.view.captures.fetch_add(1, Relaxed);
    shared.view.rows.fetch_add(rows as u64, Relaxed);
    Ok(())
}
