//! Picture publishers: MPEG-TS, paced in its own time, and its sound if that is wanted.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::Bytes;
use crosspoint_router::ingest::{MediaSource, Nature, SourceOutput, Track};
use crosspoint_router::wire::ts;
use tokio::sync::watch;

use super::{Ingest, Rubbish};
use crate::outlet::{Ears, Turn};
use crate::timer::sleep_until;

/// Where the sound beside a publisher's picture goes, if anywhere: a configure may change that while the publisher sends.
pub(crate) type SoundOfVideo = Rc<RefCell<Option<Ears>>>;

/// MPEG-TS into the camera, and into the microphone or the speaker, paced by its own time.
pub(crate) struct VideoIngest {
    demuxer: ts::Demuxer,
    source: MediaSource,
    turn: Turn,
    sound: SoundOfVideo,
    tick: watch::Receiver<Option<Instant>>,
    /// When the source wants to be polled, though it holds nothing that keeps the publisher waiting.
    due: Option<Instant>,
    rubbish: Arc<Rubbish>,
    counted_drops: u64,
}

impl VideoIngest {
    /// Makes an ingest whose packets go where `turn` says and to `sound`, early ones on the `tick` of the camera's reader.
    pub(crate) fn new(turn: Turn, sound: SoundOfVideo, tick: watch::Receiver<Option<Instant>>, rubbish: Arc<Rubbish>) -> Self {
        let source = MediaSource::new(Nature::Socket);
        Self { demuxer: ts::Demuxer::new(), source, turn, sound, tick, due: None, rubbish, counted_drops: 0 }
    }

    fn drain_demuxer(&mut self) {
        self.source.set_wanted(true, self.sound.borrow().is_some());
        while let Some(event) = self.demuxer.poll() {
            match event {
                ts::Event::Packet { packet, .. } => self.source.handle_packet(packet),
                ts::Event::Gap(ts::Stream::Video) => self.source.handle_loss(),
                ts::Event::Gap(ts::Stream::Audio) => {}
                ts::Event::Bad(reason) => self.rubbish.note(reason.name()),
            }
        }
        let drops = self.source.stats().dropped_for_key;
        self.rubbish.dropped.fetch_add(drops - self.counted_drops, Relaxed);
        self.counted_drops = drops;
    }

    /// Releases what is held, each packet in its time, until there is room for more.
    async fn release(&mut self) {
        loop {
            if let Some(latency) = self.sound.borrow().as_ref().and_then(Ears::latency) {
                self.source.set_sound_latency(latency);
            }
            if self.tick.has_changed().unwrap_or(false)
                && let Some(at) = *self.tick.borrow_and_update()
            {
                self.source.handle_tick(at);
            }
            match self.source.poll(Instant::now()) {
                SourceOutput::Ended => return,
                SourceOutput::Gap => self.turn.gap().await,
                SourceOutput::Release(Track::Audio, packet) => {
                    self.turn.sound_of_source(&packet);
                    let sound = self.sound.borrow();
                    if let Some(outlet) = sound.as_ref().and_then(|ears| ears.outlet.as_ref()).filter(|_| !self.turn.is_over()) {
                        outlet.packet(packet);
                    }
                }
                SourceOutput::Release(Track::Video, packet) => self.turn.packet(packet).await,
                SourceOutput::Wait { hungry: false, until: Some(due) } => {
                    let ticked = tokio::select! {
                        () = sleep_until(due) => None,
                        Ok(()) = self.tick.changed() => *self.tick.borrow_and_update(),
                    };
                    if let Some(at) = ticked {
                        self.source.handle_tick(at);
                    }
                }
                SourceOutput::Wait { until, .. } => {
                    self.due = until;
                    return;
                }
            }
        }
    }
}

impl Ingest for VideoIngest {
    async fn take(&mut self, chunk: Bytes) {
        self.demuxer.push(&chunk, Instant::now());
        self.drain_demuxer();
        self.release().await;
        self.demuxer.handle_waiting(Instant::now());
    }

    fn deadline(&self) -> Option<Instant> {
        self.demuxer.poll_deadline().into_iter().chain(self.due).min()
    }

    async fn handle_timeout(&mut self) {
        self.demuxer.handle_timeout(Instant::now());
        self.drain_demuxer();
        self.release().await;
    }

    fn refuse_text(&mut self) {
        self.rubbish.note("a text message: media comes in binary messages");
    }
}
