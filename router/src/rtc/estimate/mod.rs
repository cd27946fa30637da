//! What the way to a viewer carries, from when its packets arrived (transport-wide congestion control).
//!
//! ```text
//! packets ───▶ History ◀─── feedback
//!                 │ each packet's fate, once
//!    ┌────────┬───┴────┬─────────┐
//! Trendline  Carried  Losses  Probes
//!    └────────┴───┬────┴─────────┘
//!                Rate
//! ```
//!
//! This is Google congestion control at the sender (draft-ietf-rmcat-gcc-02; transport-wide feedback is
//! draft-holmer-rmcat-transport-wide-cc-extensions-01), in the form that libwebrtc has given it since: a trend line in place of the Kalman
//! filter, and probes. Beside it goes what our pictures are good for, as they leave in bursts: while packets wait, what arrives is what the
//! way carries. So a way that has become narrow is answered at once and by the right amount, and its queue is drained.
//!
//! All that a viewer tells may be wrong. Its clock is compared to itself alone, numbers are looked up and never counted with, and what was
//! not sent cannot have arrived.
//!
//! Copies: 0.

use std::time::{Duration, Instant};

mod carried;
mod history;
mod losses;
mod probes;
mod rate;
#[cfg(test)]
mod simulation;
mod trendline;

use carried::{Acked, Carried};
use history::{History, State};
use losses::Losses;
use probes::Probes;
use rate::{Rate, Seen};
use trendline::Trendline;

/// A packet's fate by the viewer's feedback.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fate {
    /// Its transport-wide number, as sent.
    pub(super) number: u16,
    /// When it arrived, by the viewer's clock, whose origin is the same for a session; nothing if it has not so far.
    pub(super) arrived: Option<Duration>,
}

/// The estimate of one viewer's way.
#[derive(Debug)]
pub(super) struct Estimator {
    /// The first moment that was given, from which all are counted; and the last, both ways.
    origin: Option<Instant>,
    last: Option<Instant>,
    now: Micros,
    history: History,
    trendline: Trendline,
    carried: Carried,
    acked: Acked,
    losses: Losses,
    probes: Probes,
    rate: Rate,
    wanted_bps: f64,
    /// How long the packets of the last group waited that waited least.
    waits: i64,
    /// From the sending of the newest packet that arrived until that was heard.
    round_trip: Option<Micros>,
    /// When the newest packet was sent that arrived.
    newest_arrived: Micros,
    /// Whether feedback came at all.
    heard: bool,
    /// What no feedback came after, and when the rate was last halved for it.
    unanswered: Option<Unanswered>,
    halved: Option<Micros>,
}

/// Packets that were sent without a pause, and that nothing was heard of.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    since: Micros,
    last: Micros,
    packets: u32,
}

/// Microseconds since an estimator's first moment.
type Micros = u64;

impl Estimator {
    /// That of a way of which nothing is known but what to begin with.
    pub(super) fn new(start_bps: u64) -> Self {
        Self {
            origin: None,
            last: None,
            now: 0,
            history: History::new(),
            trendline: Trendline::new(),
            carried: Carried::new(),
            acked: Acked::default(),
            losses: Losses::default(),
            probes: Probes::default(),
            rate: Rate::new(start_bps),
            wanted_bps: 0.0,
            waits: 0,
            round_trip: None,
            newest_arrived: 0,
            heard: false,
            unanswered: None,
            halved: None,
        }
    }

    /// Takes note of a packet that leaves now, with all its datagram's bytes, in the order of numbers, which go up by one each.
    pub(super) fn handle_sent(&mut self, number: u16, bytes: usize, probe: bool, now: Instant) {
        let now = self.advance(now);
        self.history.push(number, bytes, now);
        let fresh = Unanswered { since: now, last: now, packets: 0 };
        let before = self.unanswered.filter(|before| now < before.last + SILENCE).unwrap_or(fresh);
        self.unanswered = Some(Unanswered { last: now, packets: before.packets.saturating_add(1), ..before });
        if probe {
            self.probes.handle_sent(number, bytes);
        }
    }

    /// Takes a feedback, its fates in the order of numbers. It may come late or twice, and may be wrong.
    pub(super) fn handle_feedback(&mut self, fates: impl Iterator<Item = Fate>, now: Instant) {
        let now = self.advance(now);
        let (mut bytes, mut newest, mut is_news) = (0, None, false);
        for Fate { number, arrived } in fates {
            let Some(sent) = self.history.sent(number, now) else { continue };
            let is_known = match sent.state {
                State::Arrived => true,
                State::Missing => arrived.is_none(),
                State::Untold => false,
            };
            if is_known {
                continue;
            }
            is_news = true;
            let arrived = arrived.map(micros);
            self.history.settle(number, arrived);
            let Some(arrived) = arrived else { continue };
            bytes += u64::from(sent.bytes);
            newest = newest.max(Some(sent.at));
            // It fits, see MOST_TIME.
            let arrived = arrived as i64;
            let Some(delay) = self.carried.handle_arrival(sent.at, arrived, sent.bytes, now) else { continue };
            if let Some(least) = self.trendline.handle_arrival(sent.at, arrived, delay) {
                self.waits = self.carried.behind_of(least);
            }
        }
        if !is_news {
            return;
        }
        if let Some(newest) = newest {
            self.round_trip = Some(now - newest);
            self.newest_arrived = self.newest_arrived.max(newest);
        }
        self.handle_answer(now);
        self.acked.handle_feedback(bytes, now);
        self.losses.handle_feedback(&self.history, self.newest_arrived, now);
        self.update(now);
    }

    /// Takes note of what is to be reached at the least, if the way carries it. While less is known to be carried it is probed.
    pub(super) fn set_wanted(&mut self, bps: u64, now: Instant) {
        self.advance(now);
        self.wanted_bps = bps as f64;
    }

    /// Bits a second that the way carries, as far as is known.
    pub(super) fn rate_bps(&self) -> u64 {
        self.rate.bps() as u64
    }

    /// The part of the packets that was lost in the last second, if enough were sent to say.
    pub(super) fn lost(&self, now: Instant) -> Option<f32> {
        self.losses.lost(self.since_origin(now))
    }

    /// How many bytes of padding should be sent now for a probe; nothing when none is due. Packets that are sent while
    /// [`Estimator::is_probing`] belong to it, media and padding. A probe has a few packets at the least, so those of 250 bytes or so cost
    /// a narrow way less.
    ///
    /// It is also when time has passed: the rate is another one after it if nothing was heard for long.
    pub(super) fn poll_padding(&mut self, now: Instant) -> Option<usize> {
        let now = self.advance(now);
        self.handle_silence(now);
        self.find(now);
        if self.has_reason() {
            self.probes.begin(self.rate.bps(), self.wanted_bps, now);
        }
        self.probes.poll(self.round_trip.unwrap_or(LEAST_TRIP) + FEEDBACK_LATE, now)
    }

    /// Whether a probe is being sent.
    pub(super) fn is_probing(&self) -> bool {
        self.probes.is_running()
    }

    /// When [`Estimator::poll_padding`] is due, if no other call comes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let probe = self.probes.deadline(self.has_reason());
        let due = [probe, self.silence()].into_iter().flatten().min()?;
        self.origin?.checked_add(Duration::from_micros(due))
    }

    /// Whether there is more to be found. A way of which nothing was heard yet may not be there yet.
    fn has_reason(&self) -> bool {
        self.heard && self.wanted_bps > self.rate.bps() && self.rate.may_probe()
    }

    /// Goes on to `now`, which never goes back.
    fn advance(&mut self, now: Instant) -> Micros {
        // Packets leave many at a time.
        if self.last != Some(now) {
            self.origin.get_or_insert(now);
            self.last = Some(now);
            self.now = self.now.max(self.since_origin(now));
        }
        self.now
    }

    fn since_origin(&self, now: Instant) -> Micros {
        self.origin.map_or(0, |origin| micros(now.saturating_duration_since(origin)))
    }

    /// When the rate is to be halved next, as nothing is heard of what was sent.
    fn silence(&self) -> Option<Micros> {
        // Of a few that were all that was sent, the one feedback may have been lost.
        let lasts = |what: &Unanswered| what.packets >= SILENCE_PACKETS && what.last >= what.since + SILENCE_SENT;
        let Unanswered { since, .. } = self.unanswered.filter(|what| self.heard && !self.rate.is_least() && lasts(what))?;
        let trip = self.round_trip.unwrap_or(LEAST_TRIP).clamp(LEAST_TRIP, MOST_TRIP);
        Some(self.halved.map_or(since + SILENCE, |halved| halved + trip))
    }

    fn handle_silence(&mut self, now: Micros) {
        if self.silence().is_some_and(|at| at <= now) {
            self.halved = Some(now);
            self.rate.handle_silence();
        }
    }

    /// Takes it that the viewer is heard.
    fn handle_answer(&mut self, now: Micros) {
        self.heard = true;
        self.unanswered = None;
        if self.halved.take().is_some() {
            // What was before has passed.
            self.trendline = Trendline::new();
            self.carried.forget();
            self.acked = Acked::default();
            self.losses.forget(&self.history);
            self.waits = 0;
            self.probes.hurry(now);
        }
    }

    /// Draws the conclusions.
    fn update(&mut self, now: Micros) {
        let round_trip = self.round_trip.unwrap_or(LEAST_TRIP);
        let seen = Seen {
            carried_bps: self.carried.rate_bps(),
            acked_bps: self.acked.rate_bps(now),
            usage: self.trendline.usage(),
            is_probed: self.probes.is_recent(now),
            waits: self.waits,
            lost: self.losses.poll_verdict(now),
            wanted_bps: self.wanted_bps,
            round_trip,
        };
        if self.rate.handle_feedback(&seen, now) {
            self.carried.forget();
            self.waits = 0;
        }
        self.find(now);
    }

    /// Sees what a probe has found.
    fn find(&mut self, now: Micros) {
        if let Some(found) = self.probes.poll_found(&self.history, now) {
            self.rate.handle_found(found, self.wanted_bps);
        }
    }
}

/// At most [`MOST_TIME`].
fn micros(time: Duration) -> Micros {
    let micros = time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into());
    micros.min(MOST_TIME)
}

/// 142 years: no difference of such times is too large for what it is kept in.
const MOST_TIME: Micros = 1 << 52;
/// Feedback that does not come for so long is missed: it comes every 50 to 100 ms, of little every 250.
const SILENCE: Micros = 1_000_000;
/// Fewer packets may all have been lost by chance, and of none that arrives there is no feedback.
const SILENCE_PACKETS: u32 = 5;
/// They are to have been sent over so long: two feedbacks were due at the least.
const SILENCE_SENT: Micros = 300_000;
/// The times in which the rate is halved then.
const LEAST_TRIP: Micros = 200_000;
const MOST_TRIP: Micros = 1_000_000;
/// What was not told of a probe by then never will be.
const FEEDBACK_LATE: Micros = 500_000;

#[cfg(test)]
mod tests;
