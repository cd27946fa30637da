//! Out of the speaker: what its sink's monitor records, encoded once for each codec that somebody listens to.
//!
//! While nothing plays into the speaker it is not recorded, and this thread sleeps: listeners are told of the silence, and their ends give
//! a packet that was encoded beforehand, again and again, so that players' clocks go on.
//!
//! Copies: 1 (an encoder gathers whole frames from the server's fragments); a packet is shared by all listeners of its codec.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crosspoint_ffi::pulse::{Connection, Record, SPEAKER_MONITOR};
use crosspoint_ffi::{AudioFormat, Codec, MediaTime, Result};
use crosspoint_router::broadcast::Freshness;
use tokio::sync::mpsc;
use tracing::debug;

use super::SoundView;
use super::ear::Heard;
use super::voice::Voice;

/// The capture of the speaker, while somebody wants it.
pub(super) struct Hear {
    epoch: Instant,
    listeners: Vec<Listener>,
    capture: Option<Capture>,
}

struct Listener {
    codec: Codec,
    tell: mpsc::Sender<Heard>,
    told: Told,
}

/// What a listener was told last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Nothing,
    Sound,
    Silence,
}

struct Capture {
    record: Record,
    freshness: Freshness,
    voices: Vec<Voice>,
    rest: Rest,
}

/// Whether the speaker is recorded.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// It is, and was not silent just now.
    Playing,
    /// It is, and has been silent, with nobody playing, since then.
    Quiet(Instant),
    /// It is not.
    Resting,
}

/// What the server hands over at a time: half an AAC frame, so that a frame waits for its last samples 10 ms at most.
const FRAGMENT_MS: u32 = 10;
/// When a listener who had no room for the word of silence is told again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long the speaker is recorded after its last player has gone: what lies in the sink is heard to its end.
const QUIET: Duration = Duration::from_millis(300);

impl Hear {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, listeners: Vec::new(), capture: None }
    }

    /// Tells what is heard through `tell`, too, from now on.
    pub(super) fn start(&mut self, codec: Codec, tell: mpsc::Sender<Heard>) {
        self.listeners.push(Listener { codec, tell, told: Told::Nothing });
    }

    /// Forgets the server's side of it: it is silent until there is one again.
    pub(super) fn disconnect(&mut self) {
        if let Some(mut capture) = self.capture.take() {
            // An encoder that cannot even begin has said nothing yet.
            let _ = capture.tell_silence(&mut self.listeners, self.epoch);
        }
    }

    /// Encodes what was recorded; says when to be driven again if nothing happens before.
    pub(super) fn drive(&mut self, connection: &mut Connection, view: &SoundView) -> Result<Option<Instant>> {
        self.listeners.retain(|listener| !listener.tell.is_closed());
        if self.listeners.is_empty() {
            if self.capture.take().is_some() {
                debug!("speaker capture ended");
            }
            return Ok(None);
        }
        let capture = match &mut self.capture {
            Some(capture) => capture,
            None => self.capture.insert(Capture::start(connection)?),
        };
        capture.hold_voices(&self.listeners, view)?;
        capture.drive(connection, &mut self.listeners, self.epoch)?;
        for voice in &mut capture.voices {
            while let Some(packet) = voice.next() {
                for listener in self.listeners.iter_mut().filter(|listener| listener.codec == packet.codec) {
                    listener.told = Told::Sound;
                    if listener.tell.try_send(Heard::Packet(packet.clone())).is_err() {
                        view.overrun.fetch_add(1, Relaxed);
                    }
                }
            }
        }
        Ok(match capture.rest {
            Rest::Playing => None,
            Rest::Quiet(since) => Some(since + QUIET),
            Rest::Resting => self.listeners.iter().any(|listener| listener.told != Told::Silence).then(|| Instant::now() + AGAIN),
        })
    }
}

impl Capture {
    fn start(connection: &mut Connection) -> Result<Self> {
        debug!("speaker capture begins");
        let fragment = AudioFormat::STEREO_48K.millis_bytes(FRAGMENT_MS);
        let record = connection.record(SPEAKER_MONITOR, AudioFormat::STEREO_48K, fragment)?;
        Ok(Self { record, freshness: Freshness::new(), voices: Vec::new(), rest: Rest::Playing })
    }

    /// Has an encoder for each codec that is listened to, and no other.
    fn hold_voices(&mut self, listeners: &[Listener], view: &SoundView) -> Result<()> {
        self.voices.retain(|voice| listeners.iter().any(|listener| listener.codec == voice.codec()));
        for listener in listeners {
            if !self.voices.iter().any(|voice| voice.codec() == listener.codec) {
                self.voices.push(Voice::new(listener.codec)?);
                view.sound_encoders.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    }

    fn drive(&mut self, connection: &Connection, listeners: &mut [Listener], epoch: Instant) -> Result<()> {
        let now = Instant::now();
        let heard = self.record(epoch, now)?;
        let is_silent = !connection.speaker_in_use() && !heard;
        self.rest = match self.rest {
            Rest::Resting if connection.speaker_in_use() => {
                debug!("the speaker is played into");
                self.tell_sound(listeners, MediaTime::from(now.saturating_duration_since(epoch)));
                self.record.cork(false)?;
                Rest::Playing
            }
            Rest::Resting => Rest::Resting,
            Rest::Quiet(since) if is_silent && now >= since + QUIET => {
                debug!("nothing plays into the speaker");
                self.record.cork(true)?;
                Rest::Resting
            }
            Rest::Quiet(since) if is_silent => Rest::Quiet(since),
            Rest::Playing if is_silent => Rest::Quiet(now),
            Rest::Playing | Rest::Quiet(_) => Rest::Playing,
        };
        if matches!(self.rest, Rest::Resting) {
            self.tell_silence(listeners, epoch)?;
        }
        Ok(())
    }

    /// Tells those of the silence who do not know yet.
    fn tell_silence(&mut self, listeners: &mut [Listener], epoch: Instant) -> Result<()> {
        let now = MediaTime::from(epoch.elapsed());
        for listener in listeners.iter_mut().filter(|listener| listener.told != Told::Silence) {
            let Some(voice) = self.voices.iter_mut().find(|voice| voice.codec() == listener.codec) else { continue };
            let mut silence = voice.rest(now)?;
            if listener.told == Told::Nothing {
                silence.skip(now);
            }
            if listener.tell.try_send(Heard::Silence(silence)).is_ok() {
                listener.told = Told::Silence;
            }
        }
        Ok(())
    }

    /// The silence ends: what is heard follows it without a gap.
    fn tell_sound(&mut self, listeners: &mut [Listener], now: MediaTime) {
        for voice in &mut self.voices {
            let Some(end) = voice.rise(now) else { continue };
            for listener in listeners.iter_mut().filter(|listener| listener.codec == voice.codec()) {
                listener.told = Told::Sound;
                // Who has no room for it notices with the first packet.
                let _ = listener.tell.try_send(Heard::Sound(end));
            }
        }
    }

    /// Encodes what was recorded; says whether any of it can be heard.
    fn record(&mut self, epoch: Instant, now: Instant) -> Result<bool> {
        let Self { record, freshness, voices, .. } = self;
        // Of the next byte; a monitor's may be negative, for its sink mixes ahead of its clock.
        let told = record.latency();
        let mut age = told.unwrap_or_default();
        let (mut failed, mut heard) = (None, false);
        record.read_with(|pcm, hole| {
            heard |= !hole && pcm.iter().any(|&byte| byte != 0);
            if told.is_none() || freshness.admits(age, now) {
                let captured = MediaTime::from(now.saturating_duration_since(epoch)) - age;
                for voice in &mut *voices {
                    if let Err(error) = voice.encode(pcm, captured, now) {
                        failed = Some(error);
                    }
                }
            }
            let frames = pcm.len() / AudioFormat::STEREO_48K.frame_bytes();
            age -= MediaTime::from_ticks(frames as i64, AudioFormat::STEREO_48K.rate);
        })?;
        failed.map_or(Ok(heard), Err)
    }
}
