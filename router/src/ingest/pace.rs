//! When a packet goes to its decoder: by media time, and never later than live media needs.

use std::time::{Duration, Instant};

use crosspoint_ffi::MediaTime;

use super::ReaderClock;

/// When to release a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Not before this moment; ask again then, or after a tick.
    At(Instant),
    /// Now; the pacer takes it as released.
    Now {
        /// Since when it could have been released: its arrival, or its due time when that came later. Delay from here on is ours.
        since: Instant,
    },
}

/// Paces packets by media time.
///
/// A publisher may send a file far faster than real time, and TCP pushes it back once we stop reading; another sends live pictures, which
/// must not wait for anything. [`Pacer`] tells them apart by how long before its due time a packet arrived:
///
/// - **live** (it arrived about when it was due, or late): released at once. Lateness moves the anchor only when every packet of a second
///   shared it, or when it was an interruption; a burst after a stall catches up. A sender whose clock runs fast is followed slowly;
/// - **ahead** (it was there before it was due): released when due. While the camera's reader is known, due times are shifted to fall
///   just behind its reads, by at most about half a frame: so each read finds exactly one new picture of a source of the same rate. The
///   rate stays the media's, because the shift is bounded. Lateness beyond a hiccup re-anchors, so that a file that stalled goes on where
///   it was instead of racing to catch up.
///
/// Copies: 0 (it sees times only).
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    anchor: Option<Anchor>,
    /// The newest decode time released, when that was due, and the smoothed distance between two.
    last: MediaTime,
    last_due: Option<Instant>,
    interval_s: Option<f64>,
    /// Whether the last packet released had been there before it was due.
    ahead: bool,
    /// The least lateness of the live packets since a moment.
    lateness: Option<(Instant, f64)>,
    reader: ReaderClock,
    /// What is added to due times so that they fall behind reads.
    shift_s: f64,
    /// Whether the sender makes packets as it sends them: then none is ever early.
    realtime: bool,
}

/// The moment at which a media time is due, before the shift.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    media: MediaTime,
    wall: Instant,
}

impl Pacer {
    /// Makes a pacer that anchors on the first packet's time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a pacer of packets that come as they are made. Those that come in a burst were held up on their way, and the newest anchors.
    #[must_use]
    pub fn realtime() -> Self {
        Self { realtime: true, ..Self::default() }
    }

    /// Takes a read of the camera, for the shift.
    pub fn handle_tick(&mut self, at: Instant) {
        self.reader.handle_read(at);
    }

    /// Forgets the anchor, so that the next packet is due at once: after a pause, or for a new publisher. The reader is still known.
    pub fn reanchor(&mut self) {
        *self = Self { reader: std::mem::take(&mut self.reader), realtime: self.realtime, ..Self::default() };
    }

    /// Moves all that is due by `seconds`.
    pub(super) fn postpone(&mut self, seconds: f64) {
        if let Some(anchor) = self.anchor.as_mut() {
            anchor.wall = moved(anchor.wall, seconds);
        }
        self.last_due = self.last_due.map(|due| moved(due, seconds));
    }

    /// Makes `time` due at `at`, and all else accordingly.
    pub(super) fn anchor(&mut self, time: MediaTime, at: Instant) {
        if let Some(anchor) = self.anchor {
            let was = moved(anchor.wall, (time - anchor.media).as_secs_f64());
            self.postpone(seconds_between(was, at));
        }
    }

    /// When a packet of this time is due, before the shift that is for pictures only.
    pub(super) fn when(&self, time: MediaTime) -> Option<Instant> {
        self.anchor.map(|anchor| moved(anchor.wall, (time - anchor.media).as_secs_f64()))
    }

    /// Whether the last packet released had been there before it was due.
    pub(super) fn is_ahead(&self) -> bool {
        self.ahead
    }

    /// Says when the packet next in decoding order, of this decode time and arrival, is due. A packet without a time goes with its
    /// predecessor, and so does one whose time is a little before its predecessor's.
    pub fn due(&mut self, time: Option<MediaTime>, arrival: Instant, now: Instant) -> Due {
        let Some(time) = time else { return Due::Now { since: arrival } };
        let Some(mut anchor) = self.anchor else {
            self.anchor_at(time, now);
            return Due::Now { since: arrival };
        };
        if self.jumps_to(time) {
            anchor = self.anchor_after_jump(time, now);
            self.anchor = Some(anchor);
        } else if time < self.last {
            // A presentation time of reordered pictures stood in for the decode time.
            return Due::Now { since: arrival };
        }
        let due = moved(anchor.wall, (time - anchor.media).as_secs_f64() + self.shift_s);
        let early_s = seconds_between(arrival, due);
        let is_ahead = early_s > self.tolerance_s() && !self.realtime;
        if now < due && (is_ahead || self.ahead) {
            return Due::At(due);
        }
        self.learn_interval(time);
        self.last_due = Some(due);
        if is_ahead || self.ahead {
            self.release_ahead(time, due, now);
        } else {
            self.release_live(time, early_s, now);
        }
        self.ahead = is_ahead;
        Due::Now { since: arrival.max(due.min(now)) }
    }

    fn release_ahead(&mut self, time: MediaTime, due: Instant, now: Instant) {
        self.lateness = None;
        if seconds_between(due, now) > self.tolerance_s() {
            return self.anchor_at(time, now);
        }
        let Some(interval_s) = self.interval_s else { return };
        match self.distance_to_tick(due, now, interval_s) {
            Some(error_s) => self.shift_s += TICK_GAIN * error_s,
            None => self.shift_s *= 1.0 - TICK_GAIN,
        }
        // Beyond half a frame the other neighbouring tick is nearer; the margin keeps noise at the border from flapping.
        if self.shift_s.abs() > SLIP * interval_s {
            self.shift_s -= interval_s.copysign(self.shift_s);
        }
    }

    fn release_live(&mut self, time: MediaTime, early_s: f64, now: Instant) {
        let Some(anchor) = self.anchor.as_mut() else { return };
        anchor.wall = moved(anchor.wall, self.shift_s);
        self.shift_s = 0.0;
        if early_s > 0.0 {
            // Slowly: a file sent at a little more than real time must become `ahead`, not be followed.
            anchor.wall = moved(anchor.wall, -early_s * if self.realtime { 1.0 } else { EARLY_GAIN });
            self.lateness = None;
            return;
        }
        let late_s = -early_s;
        if late_s > HICCUP_S {
            return self.anchor_at(time, now);
        }
        let (since, least_s) = self.lateness.map_or((now, late_s), |(since, least_s)| (since, least_s.min(late_s)));
        self.lateness = Some((since, least_s));
        if now.saturating_duration_since(since) >= LATENESS_WINDOW {
            anchor.wall = moved(anchor.wall, least_s);
            self.lateness = None;
        }
    }

    fn anchor_at(&mut self, time: MediaTime, now: Instant) {
        self.anchor = Some(Anchor { media: time, wall: now });
        self.last = time;
        self.last_due = Some(now);
        self.shift_s = 0.0;
        self.lateness = None;
        self.ahead = false;
    }

    /// Where a new timeline begins: one frame after the old one's last when that was ahead (a loop, a splice), else now.
    fn anchor_after_jump(&self, time: MediaTime, now: Instant) -> Anchor {
        let wall = match (self.last_due, self.interval_s) {
            (Some(last_due), Some(interval_s)) if self.ahead => moved(last_due, interval_s - self.shift_s),
            (_, _) => moved(now, -self.shift_s),
        };
        Anchor { media: time, wall }
    }

    fn learn_interval(&mut self, time: MediaTime) {
        let step_s = (time - self.last).as_secs_f64();
        self.last = time;
        if step_s > 0.0 && step_s <= FORWARDS.as_secs_f64() {
            let interval_s = self.interval_s.get_or_insert(step_s);
            *interval_s += INTERVAL_GAIN * (step_s.min(2.0 * *interval_s) - *interval_s);
        }
    }

    fn jumps_to(&self, time: MediaTime) -> bool {
        let step = time - self.last;
        step < -BACKWARDS || step > FORWARDS
    }

    /// How early a packet may be and still count as live.
    fn tolerance_s(&self) -> f64 {
        self.interval_s.map_or(TOLERANCE_S, |interval_s| TOLERANCE_S.min(interval_s / 2.0))
    }

    /// How far behind `due` the nearest moment for a release lies (negative: before it): just behind a read, or an even part between
    /// two reads when several frames fall between them. Nothing when the reader is not regular or the rates do not divide.
    fn distance_to_tick(&self, due: Instant, now: Instant, interval_s: f64) -> Option<f64> {
        let next = self.reader.next_read(now, Duration::ZERO)?;
        let period_s = self.reader.period()?.as_secs_f64();
        let ratio = (period_s / interval_s).max(interval_s / period_s);
        if (ratio - ratio.round()).abs() > RATIO_SLACK {
            return None;
        }
        let grid_s = if period_s > interval_s { period_s / ratio.round() } else { period_s };
        let distance_s = seconds_between(due, next + BEHIND_READ);
        Some(distance_s - grid_s * (distance_s / grid_s).round())
    }
}

pub(super) fn moved(instant: Instant, seconds: f64) -> Instant {
    let distance = Duration::from_secs_f64(seconds.abs());
    if seconds < 0.0 { instant.checked_sub(distance).unwrap_or(instant) } else { instant + distance }
}

pub(super) fn seconds_between(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(ahead) => ahead.as_secs_f64(),
        None => -from.saturating_duration_since(to).as_secs_f64(),
    }
}

/// Earlier than this, a packet is not live: twice the jitter of a sender that sleeps between pictures.
const TOLERANCE_S: f64 = 0.010;
/// Live media later than this was not held up but interrupted, and goes on from here instead of catching up.
const HICCUP_S: f64 = 10.0;
/// How long lateness must last to be the path's and not a hiccup's.
const LATENESS_WINDOW: Duration = Duration::from_secs(1);
/// Decode times that go back less than this are presentation times of reordered pictures; more is a new timeline (or a loop).
const BACKWARDS: MediaTime = MediaTime::from_millis(500);
/// Times that jump further than this were cut, not paused: no live source leaves a still picture undescribed for so long.
const FORWARDS: MediaTime = MediaTime::from_millis(5_000);
/// Part of a live packet's earliness that moves the anchor: follows a clock that is 0.5 % fast at most.
const EARLY_GAIN: f64 = 1.0 / 64.0;
/// Part of the distance to the tick that one frame closes: within a millisecond after a second.
const TICK_GAIN: f64 = 0.1;
/// The largest shift, in frames.
const SLIP: f64 = 0.6;
/// Releases follow a read by this: twice a Chromium timer's jitter, and long before the next.
const BEHIND_READ: Duration = Duration::from_millis(2);
/// How far from a whole number the ratio of the rates may be: 30 and 30.3 lock, 25 and 30 do not.
const RATIO_SLACK: f64 = 0.05;
const INTERVAL_GAIN: f64 = 0.1;

#[cfg(test)]
mod tests;
