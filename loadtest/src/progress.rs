//! How far a measurement is, to whoever watches.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A bar that fills over a time that is known. It goes when this is dropped, and is not there where stderr is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    ticking: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts one for what takes so many seconds.
    pub(crate) fn over(what: &'static str, seconds: u32) -> Self {
        let bar = ProgressBar::with_draw_target(Some(u64::from(seconds) * 1_000), ProgressDrawTarget::stderr());
        if bar.is_hidden() {
            return Self { bar, ticking: None };
        }
        // A template that is wrong leaves the usual look.
        if let Ok(style) = ProgressStyle::with_template("loadtest: {msg} {wide_bar} {eta} left") {
            bar.set_style(style);
        }
        bar.set_message(what);
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

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ticking) = &self.ticking {
            ticking.abort();
        }
        self.bar.finish_and_clear();
    }
}

/// Seldom enough to disturb nothing.
const TICK: Duration = Duration::from_millis(500);
