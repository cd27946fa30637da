//! Into the microphone or the speaker: packets are decoded as they come and written at once, as deep as the controller says.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crosspoint_ffi::pulse::Connection;
use crosspoint_ffi::{AudioFormat, MediaTime, Result};
use crosspoint_router::control::AudioDestination;
use crosspoint_router::ingest::{Held, Refill};
use tracing::trace;

use super::SoundView;
use super::outlet::Queue;
use super::source::Source;
use super::stream::Stream;
use crate::worker::Trouble;

/// What plays, or nothing.
#[derive(Default)]
pub(super) struct Play {
    source: Option<Source>,
    stream: Option<Stream>,
    /// Nothing before the first configure with sound: then there is no stream, either.
    destination: Option<AudioDestination>,
    paused: bool,
}

impl Play {
    /// Plays what comes through `queue` from now on. What another source left is cut; one that had ended is heard to its end.
    pub(super) fn start(&mut self, queue: Arc<Queue>) {
        if self.source.take().is_some() {
            self.flush();
        }
        self.source = Some(Source::new(queue));
    }

    /// Plays into another sink.
    pub(super) fn direct(&mut self, destination: AudioDestination) {
        if self.destination.replace(destination) != Some(destination) {
            // What the other sink still holds is not for its listeners any more.
            self.flush();
        }
    }

    /// Plays nothing more; what was on its way is thrown away.
    pub(super) fn stop(&mut self) {
        self.source = None;
        self.flush();
    }

    /// Plays silence, at once, or what comes.
    pub(super) fn pause(&mut self, paused: bool) {
        if paused && !self.paused {
            self.flush();
        }
        self.paused = paused;
    }

    /// Throws away what is on its way to the sink.
    fn flush(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.flush();
        }
    }

    /// Forgets the server's side of it.
    pub(super) fn disconnect(&mut self) {
        self.stream = None;
    }

    /// Drops what comes: there is no server to play it.
    pub(super) fn discard(&mut self) {
        if let Some(source) = &mut self.source {
            source.discard();
        }
        self.end_source();
    }

    /// Writes what came.
    pub(super) fn drive(&mut self, connection: &mut Connection, view: &SoundView, trouble: &Trouble) -> Result<()> {
        if self.paused {
            self.discard();
        }
        view.tell(self.source.as_ref().map(|source| &source.depth));
        let Some(destination) = self.destination else { return Ok(()) };
        let stream = Stream::reach(&mut self.stream, connection, destination)?;
        let Some(source) = self.source.as_mut().filter(|_| !self.paused) else { return stream.rest() };
        stream.rise()?;
        if !stream.is_ready() {
            // It is being made, or holds all it can: the queue waits, and drops.
            return Ok(());
        }
        play(source, stream, view, trouble)?;
        view.tell(Some(&source.depth));
        self.end_source();
        Ok(())
    }

    fn end_source(&mut self) {
        if self.source.as_mut().is_some_and(|source| source.is_ended() && source.waiting() <= FILTER_TAIL) {
            self.source = None;
        }
    }
}

fn play(source: &mut Source, stream: &mut Stream, view: &SoundView, trouble: &Trouble) -> Result<()> {
    let now = Instant::now();
    let waiting = source.waiting();
    if let Some(lump) = source.decode(view, trouble) {
        let was_playing = source.depth.held().is_some();
        let (held, dry) = match stream.held(source.depth.expected(now)) {
            Held::Dry(silence) => (Held::Dry(silence), true),
            Held::Sound(sound) => (Held::Sound(sound + waiting), false),
        };
        let refill = source.depth.handle_lump(lump, held, now);
        trace!(?lump, ?held, ?refill, middle = ?source.depth.held(), correction = source.depth.correction(), "sound came");
        source.correct();
        match refill {
            Refill::Drop(length) => {
                view.count_dropped(length.to_duration().unwrap_or_default());
                source.drop_oldest(length)?;
            }
            Refill::Play => {}
            Refill::Silence(length) => stream.silence(length)?,
        }
        if dry && was_playing {
            view.underruns.fetch_add(1, Relaxed);
        }
    }
    loop {
        let have = source.waiting().to_ticks(AudioFormat::STEREO_48K.rate);
        let have = usize::try_from(have).unwrap_or(0) * AudioFormat::STEREO_48K.frame_bytes();
        let mut pulled = 0;
        stream.write(have, |lent| {
            pulled = source.pull(lent, view, trouble);
            pulled
        })?;
        if pulled == 0 {
            return Ok(());
        }
    }
}

/// What a filter keeps of a source that has ended; it is a fraction of a millisecond.
const FILTER_TAIL: MediaTime = MediaTime::from_millis(2);
