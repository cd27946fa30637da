//! How far behind a live source's edge we are, and how to stay there.

use std::time::{Duration, Instant};

/// Keeps the distance to the edge of a live source whose media comes in lumps (HLS, a live HTTP stream).
///
/// Its packets wait, so neither a clock that runs fast nor an interruption shows as lateness: they make packets wait longer, and the
/// delay grows unseen. [`Edge`] watches the least wait of each minute. What exceeds the first minute's is played off, half a per cent
/// faster than the media's own rate: nobody hears that.
#[derive(Debug, Default)]
pub(super) struct Edge {
    window: Option<Window>,
    /// The least wait that is normal.
    usual_s: Option<f64>,
    excess_s: f64,
    slewed: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    least_s: f64,
}

impl Edge {
    /// Takes how long a packet that arrived now has to wait.
    pub(super) fn handle_packet(&mut self, arrival: Instant, wait_s: f64) {
        let window = self.window.get_or_insert(Window { began: arrival, least_s: wait_s });
        window.least_s = window.least_s.min(wait_s);
        if arrival.saturating_duration_since(window.began) < WINDOW {
            return;
        }
        let least_s = window.least_s;
        self.window = None;
        let usual_s = *self.usual_s.get_or_insert_with(|| least_s.max(RESERVE_S));
        self.excess_s = least_s - usual_s - SLACK_S;
    }

    /// How much earlier all that waits is due from now on, in seconds.
    pub(super) fn slew(&mut self, now: Instant) -> f64 {
        let since = self.slewed.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if self.excess_s <= 0.0 {
            return 0.0;
        }
        let step_s = (since.as_secs_f64() * RATE).min(self.excess_s);
        self.excess_s -= step_s;
        if let Some(window) = self.window.as_mut() {
            // What was played off is no wait of the window's earlier packets any more.
            window.least_s -= step_s;
        }
        step_s
    }
}

/// Longer than any segment, so that each window sees the moment before one arrives.
const WINDOW: Duration = Duration::from_secs(60);
/// What a source keeps in reserve at least: a segment comes a little sooner or later.
const RESERVE_S: f64 = 0.25;
/// An excess that is not worth the while.
const SLACK_S: f64 = 0.1;
/// How much faster than its own rate media plays while it catches up.
const RATE: f64 = 0.005;
