//! What a source gave and the decoders have not taken yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crosspoint_ffi::{MediaTime, Packet, Parameters};

use super::edge::Edge;
use super::pace::{moved, seconds_between};
use super::timeline::Timeline;
use super::{Due, Pacer};

mod output;
mod pictures;

pub use output::{Nature, SourceOutput, SourceStats, Track};
use pictures::{GAP, Pictures};

/// Holds the packets of a source and releases them by media time, video from a key packet on.
///
/// Both tracks lie on one timeline and go by one anchor, so they stay in sync through jumps, stalls and pauses. The picture leads: it sets
/// the pace, and the sound is due by its clock; a source without pictures is led by its sound. Sound takes a while from its
/// release to being heard ([`MediaSource::set_sound_latency`]): sound that waits anyway is released earlier by that, and where it cannot be,
/// in a live source, the picture waits.
///
/// The driver gives packets while the source is hungry and polls until it is told to wait. One that cannot push back may give more.
/// Full means: half a second of both tracks, or everything there is of one; a driver that is told so and gives nothing is all the
/// policy there is.
///
/// Copies: 0 (packets are shared bytes).
#[derive(Debug)]
pub struct MediaSource {
    nature: Nature,
    video: VecDeque<Packet>,
    audio: VecDeque<Packet>,
    queued_bytes: usize,
    /// Pictures of a live source that wait for its sound to be heard.
    held: VecDeque<(Packet, Instant)>,
    timeline: Timeline,
    pacer: Pacer,
    edge: Edge,
    wants: Wants,
    seen: Wants,
    /// Nothing before it is known.
    sound_latency: Option<Duration>,
    /// How much earlier than its picture the sound of a source that waits is released, by now.
    lead_s: f64,
    needs_key: bool,
    parameters: Option<Arc<Parameters>>,
    picture: Pictures,
    paused_at: Option<Instant>,
    end: End,
    last_release: Option<Instant>,
    stats: SourceStats,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Wants {
    video: bool,
    audio: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    NotYet,
    Near,
    Told,
}

impl MediaSource {
    /// Makes an empty source that waits for a key packet and wants both tracks.
    #[must_use]
    pub fn new(nature: Nature) -> Self {
        Self {
            nature,
            video: VecDeque::new(),
            audio: VecDeque::new(),
            queued_bytes: 0,
            held: VecDeque::new(),
            timeline: Timeline::default(),
            pacer: if nature == Nature::Realtime { Pacer::realtime() } else { Pacer::new() },
            edge: Edge::default(),
            wants: Wants { video: true, audio: true },
            seen: Wants { video: false, audio: false },
            sound_latency: None,
            lead_s: USUAL_LEAD_S,
            needs_key: true,
            parameters: None,
            picture: Pictures::default(),
            paused_at: None,
            end: End::NotYet,
            last_release: None,
            stats: SourceStats::default(),
        }
    }

    /// Says which tracks are wanted; what came of the others is dropped, now and later.
    pub fn set_wanted(&mut self, video: bool, audio: bool) {
        if video && !self.wants.video {
            self.needs_key = true;
        }
        self.wants = Wants { video, audio };
        if !video {
            self.queued_bytes -= self.video.drain(..).map(|packet| packet.data.len()).sum::<usize>();
            self.held.clear();
            self.picture.last = None;
        }
        if !audio {
            self.queued_bytes -= self.audio.drain(..).map(|packet| packet.data.len()).sum::<usize>();
        }
    }

    /// Says how long sound takes from its release to being heard. Of a live source what exceeds the 60 ms that a picture may wait is not
    /// made up for; the pictures of one that waits slide by a millisecond or so each, and its sound goes on as it was: it is the sound's own
    /// depth that makes this latency, and must not follow it.
    pub fn set_sound_latency(&mut self, latency: Duration) {
        self.sound_latency = Some(latency.min(LONGEST_LEAD));
    }

    /// Says that the picture is a still: it stands until it is replaced.
    pub fn set_still(&mut self) {
        self.picture.is_still = true;
    }

    /// Takes the next packet in decoding order.
    pub fn handle_packet(&mut self, mut packet: Packet) {
        let track = if packet.codec.is_video() { Track::Video } else { Track::Audio };
        self.stats.packets += 1;
        self.timeline.place(track, &mut packet);
        if !match track {
            Track::Audio => self.wants.audio,
            Track::Video => self.wants.video && self.is_decodable(&packet),
        } {
            return;
        }
        if self.nature == Nature::Live
            && let Some(due) = packet.decode_time().and_then(|time| self.pacer.when(time))
        {
            self.edge.handle_packet(packet.arrival, seconds_between(packet.arrival, due));
        }
        self.queued_bytes += packet.data.len();
        match track {
            Track::Audio => {
                self.seen.audio = true;
                self.audio.push_back(packet);
            }
            Track::Video => {
                self.seen.video = true;
                self.video.push_back(packet);
            }
        }
    }

    /// Bytes or packets of the picture were lost behind what was taken so far: it resumes at a key packet.
    pub fn handle_loss(&mut self) {
        self.stats.losses += 1;
        self.needs_key = true;
    }

    /// The source begins anew behind what was taken so far: what comes next goes on one frame after it.
    pub fn handle_splice(&mut self) {
        self.timeline.splice();
        self.needs_key = true;
    }

    /// No more packets will come.
    pub fn handle_end(&mut self) {
        if self.end == End::NotYet {
            self.end = End::Near;
        }
    }

    /// The input was paused: a recorded source stands still. Any other goes on, and what is released of it is what is dropped.
    pub fn handle_pause(&mut self, now: Instant) {
        if self.nature == Nature::Recorded && self.paused_at.is_none() {
            self.paused_at = Some(now);
        }
    }

    /// The input was resumed: a recorded source goes on where it was.
    pub fn handle_resume(&mut self, now: Instant) {
        if let Some(paused_at) = self.paused_at.take() {
            let pause = now.saturating_duration_since(paused_at);
            self.pacer.postpone(pause.as_secs_f64());
            let later = |at: Instant| at + pause;
            self.picture.last = self.picture.last.map(later);
            self.last_release = self.last_release.map(later);
        }
        self.refresh();
    }

    /// What shows the picture has forgotten it: a still is released again.
    pub fn refresh(&mut self) {
        self.picture.again = self.picture.still.is_some() && self.wants.video;
    }

    /// Takes a read of the camera.
    pub fn handle_tick(&mut self, at: Instant) {
        self.pacer.handle_tick(at);
    }

    /// Says what to do at `now`.
    pub fn poll(&mut self, now: Instant) -> SourceOutput {
        if self.paused_at.is_some() {
            return SourceOutput::Wait { hungry: self.is_hungry(), until: None };
        }
        if std::mem::take(&mut self.picture.again)
            && let Some(still) = self.picture.still.clone()
        {
            return SourceOutput::Release(Track::Video, Packet { arrival: now, ..still });
        }
        if self.nature == Nature::Live {
            let step_s = self.edge.slew(now);
            if step_s > 0.0 {
                self.pacer.postpone(-step_s);
            }
        }
        let mut until = None;
        for track in [Track::Video, Track::Audio] {
            match self.poll_track(track, now) {
                Polled::Empty => {}
                Polled::Release(packet) => return SourceOutput::Release(track, packet),
                Polled::Until(due) => until = sooner(until, due),
            }
        }
        if self.video.is_empty()
            && self.audio.is_empty()
            && self.held.is_empty()
            && self.end == End::Near
            && (!self.picture.is_still || self.seen.audio)
        {
            let over = self.last_release.map_or(now, |at| at + self.picture.interval);
            if over <= now {
                self.end = End::Told;
                return SourceOutput::Ended;
            }
            return SourceOutput::Wait { hungry: false, until: Some(over) };
        }
        if let Some(gap) = self.gap() {
            if gap <= now {
                self.picture.gap_told = true;
                self.stats.gaps += 1;
                return SourceOutput::Gap;
            }
            until = sooner(until, gap);
        }
        SourceOutput::Wait { hungry: self.is_hungry(), until }
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> SourceStats {
        self.stats
    }

    fn poll_track(&mut self, track: Track, now: Instant) -> Polled {
        if track == Track::Video
            && let Some((_, at)) = self.held.front()
        {
            if *at > now {
                return Polled::Until(*at);
            }
            if let Some((packet, _)) = self.held.pop_front() {
                return Polled::Release(self.released(track, packet, now));
            }
        }
        let leads = track == self.leader(now);
        let queue = if track == Track::Video { &self.video } else { &self.audio };
        let Some(packet) = queue.front() else { return Polled::Empty };
        let (time, arrival) = (packet.decode_time(), packet.arrival);
        let due = match time {
            Some(time) if !leads => self.follow(track, time, arrival, now),
            Some(_) | None => self.pacer.due(time, arrival, now),
        };
        let since = match due {
            Due::At(due) => return Polled::Until(due),
            Due::Now { since } => since,
        };
        let queue = if track == Track::Video { &mut self.video } else { &mut self.audio };
        let Some(packet) = queue.pop_front() else { return Polled::Empty };
        self.queued_bytes -= packet.data.len();
        let packet = Packet { arrival: since, ..packet };
        // A live picture waits here; of one that is ahead the sound was released earlier instead.
        let is_live = self.nature != Nature::Recorded && !self.pacer.is_ahead();
        if track == Track::Video && self.has_sound() && is_live && self.last_release.is_some() {
            self.held.push_back((packet, since + self.sound_latency.unwrap_or_default().min(LONGEST_WAIT_FOR_SOUND)));
            return self.poll_track(track, now);
        }
        Polled::Release(self.released(track, packet, now))
    }

    /// When a packet of the track that does not lead is due, by the clock of the one that does.
    fn follow(&mut self, track: Track, time: MediaTime, arrival: Instant, now: Instant) -> Due {
        let Some(at) = self.pacer.when(time) else { return self.pacer.due(Some(time), arrival, now) };
        let lead_s = if track == Track::Audio && self.pacer.is_ahead() { self.lead_s } else { 0.0 };
        let due = moved(at, -lead_s);
        let early_s = seconds_between(arrival, due);
        let holds = if self.pacer.is_ahead() { early_s > 0.0 } else { (TOLERANCE_S..LIVE_SKEW_S).contains(&early_s) };
        if now < due && holds {
            return Due::At(due);
        }
        // A stall holds up both tracks, and whichever comes first after it says so.
        if self.pacer.is_ahead() && seconds_between(due, now) > STALL_S {
            self.pacer.anchor(time, moved(now, lead_s));
        }
        Due::Now { since: arrival.max(due.min(now)) }
    }

    /// Whose packets the pacer learns from.
    fn leader(&self, now: Instant) -> Track {
        let recent = self.picture.last.is_some_and(|at| now.saturating_duration_since(at) < GAP);
        if !self.video.is_empty() || recent { Track::Video } else { Track::Audio }
    }

    fn released(&mut self, track: Track, packet: Packet, now: Instant) -> Packet {
        self.stats.released += 1;
        self.last_release = Some(now);
        match track {
            Track::Audio => self.slide(),
            Track::Video => self.picture.released(&packet, now),
        }
        packet
    }

    /// Lets the pictures of a source that waits come closer to when their sound is heard.
    fn slide(&mut self) {
        let Some(latency) = self.sound_latency else { return };
        if self.pacer.is_ahead() {
            let step_s = (latency.as_secs_f64() - self.lead_s).clamp(-SLIDE_S, SLIDE_S);
            // Sound stays where it is: it is due earlier by what all is due later.
            self.lead_s += step_s;
            self.pacer.postpone(step_s);
        }
    }

    fn has_sound(&self) -> bool {
        self.wants.audio && self.seen.audio
    }

    fn is_hungry(&self) -> bool {
        if self.end != End::NotYet || self.queued_bytes > MOST_BYTES {
            return false;
        }
        if self.has_sound() && self.seen.video && self.wants.video {
            let (video, audio) = (span(&self.video), span(&self.audio));
            return video.min(audio) < READ_AHEAD && video.max(audio) < LONGEST_SPAN;
        }
        self.video.is_empty() && self.audio.is_empty()
    }

    /// When there will have been no picture for too long, if none comes.
    fn gap(&self) -> Option<Instant> {
        let due_later = !self.video.is_empty() || !self.held.is_empty();
        let over = !self.wants.video || self.end == End::Told;
        if due_later || over { None } else { self.picture.gap() }
    }

    fn is_decodable(&mut self, packet: &Packet) -> bool {
        let same = match (&self.parameters, &packet.parameters) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !packet.key && (self.needs_key || !same) {
            self.stats.dropped_for_key += 1;
            return false;
        }
        self.parameters.clone_from(&packet.parameters);
        self.needs_key = false;
        true
    }
}

/// What one track has to say.
enum Polled {
    Empty,
    Release(Packet),
    Until(Instant),
}

fn span(queue: &VecDeque<Packet>) -> Duration {
    let (Some(first), Some(last)) = (queue.front(), queue.back()) else { return Duration::ZERO };
    let (Some(first), Some(last)) = (first.decode_time(), last.decode_time()) else { return Duration::ZERO };
    (last - first).to_duration().unwrap_or_default()
}

fn sooner(until: Option<Instant>, due: Instant) -> Option<Instant> {
    Some(until.map_or(due, |until| until.min(due)))
}

/// How long a live picture may wait for its sound (design decision 4).
const LONGEST_WAIT_FOR_SOUND: Duration = Duration::from_millis(60);
/// How much earlier than its picture sound that waits anyway may be released; less than a stall.
const LONGEST_LEAD: Duration = Duration::from_millis(250);
/// What sound is released earlier by before its way is known: the depth that it is held at.
const USUAL_LEAD_S: f64 = 0.040;
/// How far the pictures slide with each packet of sound: a twentieth of their rate.
const SLIDE_S: f64 = 0.001;
/// Sound that is ahead of its picture by less than this goes at once when live.
const TOLERANCE_S: f64 = 0.010;
/// Sound that is ahead of a live picture by more than this is not of the same clock.
const LIVE_SKEW_S: f64 = 1.0;
/// Lateness of the sound that is no mere jitter of timers and of the order in the container.
const STALL_S: f64 = 0.3;
/// Of two tracks this much is kept: containers put what belongs together up to half a second apart.
const READ_AHEAD: Duration = Duration::from_millis(500);
/// More than this of one track is not kept for the sake of the other.
const LONGEST_SPAN: Duration = Duration::from_secs(5);
/// Nor are more bytes: five raw pictures of the largest canvas.
const MOST_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests;
