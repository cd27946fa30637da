//! How far a measurement is, to whoever watches.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A bar that fills over a time that is known, or by steps. It goes when this is dropped, and is not there where stderr is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    ticking: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts one for what takes so many seconds.
    pub(crate) fn over(what: &'static str, seconds: u32) -> Self {
        let bar = bar(what, u64::from(seconds) * 1_000, "{eta} left");
        if bar.is_hidden() {
            return Self { bar, ticking: None };
        }
        let (shown, start) = (bar.clone(), Instant::now());
        let ticking = tokio::spawn(async move {
            loop {
                shown.set_position(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
                sleep(TICK).await;
            }
        });
        Self { bar, ticking: Some(ticking) }
    }
}

impl Progress {
    /// Starts one for so many steps, whose time is not known.
    pub(crate) fn of(what: &'static str, steps: usize) -> Self {
        let bar = bar(what, steps as u64, "{pos} of {len}");
        // Empty at first, rather than not there until the first step is done.
        bar.tick();
        Self { bar, ticking: None }
    }

    /// One of them is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }
}

fn bar(what: &'static str, length: u64, end: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    // A template that is wrong leaves the usual look.
    if let Ok(style) = ProgressStyle::with_template(&format!("loadtest: {{msg}} {{wide_bar}} {end}")) {
        bar.set_style(style);
    }
    bar.set_message(what);
    SHOWN.set(Some(bar.downgrade()));
    bar
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticking) = &self.ticking {
            ticking.abort();
        }
        self.bar.finish_and_clear();
    }
}

/// Does what writes to the terminal, with the bar out of its way.
pub(crate) fn above(write: impl FnOnce()) {
    match SHOWN.with_borrow(|shown| shown.as_ref().and_then(WeakProgressBar::upgrade)) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

thread_local! {
    /// The bar that is on the terminal: there is one thread, and one measurement at a time.
    static SHOWN: RefCell<Option<WeakProgressBar>> = const { RefCell::new(None) };
}

/// Seldom enough to disturb nothing.
const TICK: Duration = Duration::from_millis(500);
