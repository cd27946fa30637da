//! Sound publishers: whatever the bytes are, paced in their own time.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use crosspoint_router::ingest::{MediaSource, Nature, SourceOutput};
use crosspoint_router::wire::sound;

use super::{Ingest, Rubbish};
use crate::timer::sleep_until;
use crate::worker::sound::SoundOutlet;

/// Sound into the microphone or the speaker, paced by its own time.
pub(crate) struct AudioIngest {
    parser: sound::Parser,
    source: MediaSource,
    /// Nothing when there is no sound thread: what comes is dropped, in its time.
    outlet: Option<SoundOutlet>,
    rubbish: Arc<Rubbish>,
}

impl AudioIngest {
    /// Makes an ingest whose packets go to `outlet`.
    pub(crate) fn new(outlet: Option<SoundOutlet>, rubbish: Arc<Rubbish>) -> Self {
        Self { parser: sound::Parser::new(), source: MediaSource::new(Nature::Socket), outlet, rubbish }
    }

    /// Releases what is held, each packet in its time.
    async fn release(&mut self) {
        loop {
            match self.source.poll(Instant::now()) {
                SourceOutput::Release(_, packet) => {
                    if let Some(outlet) = &self.outlet {
                        outlet.packet(packet);
                    }
                }
                SourceOutput::Wait { hungry: false, until: Some(due) } => sleep_until(due).await,
                SourceOutput::Ended | SourceOutput::Gap | SourceOutput::Wait { .. } => return,
            }
        }
    }
}

impl Ingest for AudioIngest {
    async fn take(&mut self, chunk: Bytes) {
        self.parser.push(&chunk, Instant::now());
        while let Some(event) = self.parser.poll() {
            match event {
                sound::Event::Frame(frame) => self.source.handle_packet(frame.packet),
                sound::Event::Bad(reason) => self.rubbish.note(reason.name()),
            }
        }
        self.release().await;
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    async fn handle_timeout(&mut self) {}

    fn refuse_text(&mut self) {
        self.rubbish.note("a text message: media comes in binary messages");
    }
}
