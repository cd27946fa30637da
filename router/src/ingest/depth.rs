//! How much sound lies between a source and the sink that plays it.

use std::time::{Duration, Instant};

use crosspoint_ffi::MediaTime;

/// What to do with sound that has just come, before it is written to the sink.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refill {
    /// Write it.
    Play,
    /// Leave out this much of it, the oldest first; no more than came.
    Drop(MediaTime),
    /// Write this much silence first.
    Silence(MediaTime),
}

/// What lay between a lump and the ear when it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Held {
    /// No sound, and so much silence that the sink had taken ahead of its clock.
    Dry(MediaTime),
    /// So much sound.
    Sound(MediaTime),
}

/// Sound as it came.
#[derive(Clone, Copy, Debug)]
pub struct Lump {
    /// How long all of it sounds.
    pub length: MediaTime,
    /// How long the longest of its packets sounds.
    pub packet: MediaTime,
}

/// Holds the sound on its way to a sink at a depth: deep enough to play without a gap, no deeper.
///
/// The depth is everything between the source and the ear: what is decoded and not written, and what the sink's server holds. It moves in
/// teeth, up with each packet and down as it plays; what is held is their middle. Source and sink have each their own clock, so the middle
/// drifts; a correction of the rate, slow enough to be no sound of its own, brings it back. The target is [`Depth::TARGET`], or
/// more when packets are longer than that or come unevenly: it grows at once when one came (nearly) too late, and shrinks slowly.
///
/// A dry sink is filled with silence up to the target before the next sound, so that sound is back in its place after a gap at once. More
/// than [`Depth::CAP`] is a burst behind a stall, or a clock no correction can follow: what is too much is dropped.
///
/// Copies: 0 (it sees times only).
#[derive(Clone, Debug, Default)]
pub struct Depth {
    /// The middle of the teeth; nothing before the first sound.
    middle_s: Option<f64>,
    /// The last look: when, and what lay there after it.
    last: Option<(Instant, f64)>,
    /// How far the teeth reached below their middle, lately.
    spread_s: f64,
    packet_s: f64,
    /// What is still to be dropped of what comes.
    excess_s: f64,
    /// The lasting part of the correction: the drift of the clocks.
    drift: f64,
    correction: f64,
}

impl Depth {
    /// What is held for a source of short packets that come evenly.
    pub const TARGET: Duration = Duration::from_millis(40);

    /// What is held at most for one whose packets come unevenly.
    pub const MOST_TARGET: Duration = Duration::from_millis(120);

    /// More than this is dropped, unless a single packet is longer.
    pub const CAP: Duration = Duration::from_millis(200);

    /// The largest correction.
    pub const MOST_CORRECTION: f64 = 0.005;

    /// Makes a controller for a source that has not sent anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note that a lump came at `now`, when `before` lay between it and the ear. Ask for the [`Depth::correction`] afterwards.
    pub fn handle_lump(&mut self, lump: Lump, before: Held, now: Instant) -> Refill {
        let length_s = lump.length.as_secs_f64();
        self.packet_s = lump.packet.as_secs_f64().max(self.packet_s * (1.0 - PACKET_DECAY));
        let elapsed_s = self.last.map_or(0.0, |(at, _)| now.saturating_duration_since(at).as_secs_f64());
        self.spread_s = (self.spread_s - SHRINK * elapsed_s).max(self.packet_s / 2.0);
        let before_s = match before {
            Held::Dry(silence) => return self.refill(length_s, silence.as_secs_f64().max(0.0), elapsed_s, now),
            Held::Sound(sound) => sound.as_secs_f64().max(0.0),
        };
        let after_s = before_s + length_s;
        let want_s = self.target_s() + self.packet_s / 2.0;
        if after_s > CAP_S.max(want_s + self.packet_s / 2.0) {
            self.settle(want_s, now);
            self.excess_s = after_s - want_s;
        }
        if self.excess_s > 0.0 {
            return self.drop_excess(length_s, before_s, now);
        }
        self.last = Some((now, after_s));
        let middle_s = before_s + length_s / 2.0;
        let smooth = self.middle_s.get_or_insert(middle_s);
        *smooth += (1.0 - (-length_s / SMOOTHING_S).exp()) * (middle_s - *smooth);
        self.spread_s = self.spread_s.max(*smooth - before_s).min(self.most_target_s());
        self.steer(elapsed_s);
        Refill::Play
    }

    /// Another source takes over, with another clock.
    pub fn begin(&mut self) {
        *self = Self::default();
    }

    /// By how much to lengthen what is played; shorten when negative.
    #[must_use]
    pub fn correction(&self) -> f64 {
        self.correction
    }

    /// The depth that is aimed at.
    #[must_use]
    pub fn target(&self) -> Duration {
        Duration::from_secs_f64(self.target_s())
    }

    /// The depth that is held, the teeth smoothed; nothing before the first sound.
    #[must_use]
    pub fn held(&self) -> Option<Duration> {
        self.middle_s.map(|middle_s| Duration::from_secs_f64(middle_s.max(0.0)))
    }

    /// What should lie there at `now`, for when the sink cannot tell.
    #[must_use]
    pub fn expected(&self, now: Instant) -> MediaTime {
        self.last
            .map_or(MediaTime::ZERO, |(at, after_s)| media(after_s - now.saturating_duration_since(at).as_secs_f64()).max(MediaTime::ZERO))
    }

    /// From the arrival of a packet until its first sample is heard.
    #[must_use]
    pub fn path_latency(&self) -> Duration {
        let middle_s = self.middle_s.unwrap_or_else(|| self.target_s());
        Duration::from_secs_f64((middle_s - self.packet_s / 2.0).max(0.0))
    }

    /// The sink was dry: fills up to the target.
    fn refill(&mut self, length_s: f64, silence_s: f64, elapsed_s: f64, now: Instant) -> Refill {
        if let (Some((_, after_s)), Some(middle_s)) = (self.last, self.middle_s) {
            // So much too late was this. What no target could have covered was not jitter but a gap, and says nothing about the next.
            let late_s = elapsed_s - after_s;
            if (0.0..MOST_TARGET_S).contains(&late_s) {
                self.spread_s = self.spread_s.max(middle_s + late_s).min(self.most_target_s());
            }
        }
        let want_s = self.target_s() + self.packet_s / 2.0;
        self.settle(want_s, now);
        let missing_s = want_s - length_s - silence_s;
        if missing_s >= 0.0 {
            return Refill::Silence(media(missing_s));
        }
        self.excess_s = -missing_s;
        self.drop_excess(length_s, silence_s, now)
    }

    fn drop_excess(&mut self, length_s: f64, before_s: f64, now: Instant) -> Refill {
        let dropped_s = self.excess_s.min(length_s);
        self.excess_s -= dropped_s;
        self.last = Some((now, before_s + length_s - dropped_s));
        Refill::Drop(media(dropped_s))
    }

    /// The depth is what it should be, whatever it was.
    fn settle(&mut self, after_s: f64, now: Instant) {
        self.excess_s = 0.0;
        self.last = Some((now, after_s));
        self.middle_s = Some(self.target_s());
    }

    /// A controller of the second order, critically damped: the drift of the clocks is its integral.
    fn steer(&mut self, elapsed_s: f64) {
        let Some(middle_s) = self.middle_s else { return };
        let elapsed_s = elapsed_s.min(LONGEST_STEP_S);
        let error_s = (self.target_s() - middle_s).clamp(-MOST_ERROR_S, MOST_ERROR_S);
        let wanted = self.drift + 2.0 * STIFFNESS * error_s;
        if wanted.abs() < Self::MOST_CORRECTION || wanted * error_s < 0.0 {
            self.drift += STIFFNESS * STIFFNESS * error_s * elapsed_s;
        }
        let wanted = wanted.clamp(-Self::MOST_CORRECTION, Self::MOST_CORRECTION);
        let step = SLEW * elapsed_s;
        self.correction += (wanted - self.correction).clamp(-step, step);
    }

    fn target_s(&self) -> f64 {
        (self.spread_s + MARGIN_S).clamp(TARGET_S, self.most_target_s())
    }

    /// A packet has to fit in, however long it is.
    fn most_target_s(&self) -> f64 {
        MOST_TARGET_S.max(self.packet_s / 2.0 + MARGIN_S)
    }
}

fn media(seconds: f64) -> MediaTime {
    MediaTime::from_nanos((seconds * 1e9) as i64)
}

const TARGET_S: f64 = Depth::TARGET.as_millis() as f64 / 1e3;
const MOST_TARGET_S: f64 = Depth::MOST_TARGET.as_millis() as f64 / 1e3;
const CAP_S: f64 = Depth::CAP.as_millis() as f64 / 1e3;
/// What the lowest tooth keeps: a sink takes 10 ms at once, and threads wake late.
const MARGIN_S: f64 = 0.016;
/// The target shrinks by this part of the time that passes.
const SHRINK: f64 = 0.000_5;
/// A longest packet is believed for some hundred more.
const PACKET_DECAY: f64 = 0.01;
/// How much sound the middle of the teeth is smoothed over.
const SMOOTHING_S: f64 = 2.0;
/// The controller's own frequency in radians a second: a source 0.4 % off is back in its place within a minute, never more than 12 ms out.
const STIFFNESS: f64 = 0.2;
/// The most the correction changes in a second: pitch that moves so slowly is not heard to move.
const SLEW: f64 = 0.001;
/// Errors count no more than this, so that none winds the drift up.
const MOST_ERROR_S: f64 = 0.04;
/// Nothing is learnt about the drift of clocks while nothing comes.
const LONGEST_STEP_S: f64 = 0.5;

#[cfg(test)]
mod tests;
