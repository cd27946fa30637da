//! Out of the speaker: what its sink's monitor records, as AAC.
//!
//! Copies: 1 (the encoder gathers whole frames of 1024 samples from the server's fragments).

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crosspoint_ffi::av::AacEncoder;
use crosspoint_ffi::pulse::{Connection, Record, SPEAKER_MONITOR};
use crosspoint_ffi::{AudioFormat, MediaTime, Packet, Result};
use tokio::sync::mpsc;
use tracing::debug;

use super::SoundView;

/// The capture of the speaker, while somebody wants it.
pub(super) struct Hear {
    epoch: Instant,
    listeners: Vec<mpsc::Sender<Packet>>,
    capture: Option<Capture>,
}

struct Capture {
    record: Record,
    encoder: AacEncoder,
}

/// What the server hands over at a time: half an AAC frame, so that a frame waits for its last samples 10 ms at most.
const FRAGMENT_MS: u32 = 10;
const BITRATE_BPS: u32 = 128_000;

impl Hear {
    pub(super) fn new(epoch: Instant) -> Self {
        Self { epoch, listeners: Vec::new(), capture: None }
    }

    /// Sends what is heard to `packets`, too, from now on.
    pub(super) fn start(&mut self, packets: mpsc::Sender<Packet>) {
        self.listeners.push(packets);
    }

    /// Forgets the server's side of it.
    pub(super) fn disconnect(&mut self) {
        self.capture = None;
    }

    /// Encodes what was recorded.
    pub(super) fn drive(&mut self, connection: &mut Connection, view: &SoundView) -> Result<()> {
        self.listeners.retain(|packets| !packets.is_closed());
        if self.listeners.is_empty() {
            if self.capture.take().is_some() {
                debug!("speaker capture ended");
            }
            return Ok(());
        }
        let capture = match &mut self.capture {
            Some(capture) => capture,
            None => self.capture.insert(Capture::start(connection)?),
        };
        capture.drive(self.epoch, |packet| {
            for listener in &self.listeners {
                if listener.try_send(packet.clone()).is_err() {
                    view.overrun.fetch_add(1, Relaxed);
                }
            }
        })
    }
}

impl Capture {
    fn start(connection: &mut Connection) -> Result<Self> {
        debug!("speaker capture begins");
        let fragment = AudioFormat::STEREO_48K.millis_bytes(FRAGMENT_MS);
        Ok(Self {
            record: connection.record(SPEAKER_MONITOR, AudioFormat::STEREO_48K, fragment)?,
            encoder: AacEncoder::new(AudioFormat::STEREO_48K, BITRATE_BPS)?,
        })
    }

    fn drive(&mut self, epoch: Instant, mut send: impl FnMut(Packet)) -> Result<()> {
        let Self { record, encoder } = self;
        let now = Instant::now();
        // The age of the next byte; a monitor's may be negative, for its sink mixes ahead of its clock.
        let mut captured = MediaTime::from(now.saturating_duration_since(epoch)) - record.latency().unwrap_or_default();
        let mut failed = None;
        record.read_with(|pcm, _| {
            if let Err(error) = encoder.encode(pcm, captured, now) {
                failed = Some(error);
            }
            let frames = pcm.len() / AudioFormat::STEREO_48K.frame_bytes();
            captured += MediaTime::from_ticks(frames as i64, AudioFormat::STEREO_48K.rate);
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        while let Some(packet) = encoder.receive()? {
            send(packet);
        }
        Ok(())
    }
}
