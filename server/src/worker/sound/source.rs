//! What is to be played: the packets of an outlet, decoded as they come.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crosspoint_ffi::av::{AudioDecoder, Resampler};
use crosspoint_ffi::{AudioFormat, Codec, MediaTime, Packet, Parameters, Result};
use crosspoint_router::ingest::{Depth, Lump};
use tracing::{debug, warn};

use super::SoundView;
use super::outlet::Queue;
use crate::worker::Trouble;

/// The sound that plays, from packets to samples that wait to be written.
///
/// Copies: 0 after decoding (the resampler writes into the memory that it is given).
pub(super) struct Source {
    queue: Arc<Queue>,
    decoder: Option<Decoder>,
    resampler: Resampler,
    pub(super) depth: Depth,
    /// Where dropped samples go.
    waste: Vec<u8>,
}

/// A decoder and what it was opened for.
struct Decoder {
    codec: Codec,
    parameters: Option<Arc<Parameters>>,
    decoder: AudioDecoder,
}

impl Source {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        let resampler = Resampler::new(AudioFormat::STEREO_48K);
        Self { queue, decoder: None, resampler, depth: Depth::new(), waste: Vec::new() }
    }

    /// Decodes every packet that is there; says what came, nothing when none did.
    pub(super) fn decode(&mut self, view: &SoundView, trouble: &Trouble) -> Option<Lump> {
        let mut lump = Lump { length: MediaTime::ZERO, packet: MediaTime::ZERO };
        while let Some(packet) = self.queue.pop() {
            match self.decode_packet(&packet) {
                Ok(length) => {
                    lump.length += length;
                    lump.packet = lump.packet.max(length);
                    trouble.mend();
                }
                Err(error) => {
                    view.bad_packets.fetch_add(1, Relaxed);
                    if trouble.note(&error) {
                        warn!(%error, codec = ?packet.codec, "packet not decoded");
                    }
                }
            }
        }
        (lump.length > MediaTime::ZERO).then_some(lump)
    }

    /// Drops what is there and what comes is begun anew: it is paused, or nobody can play it.
    pub(super) fn discard(&mut self) {
        self.queue.clear();
        self.resampler.clear();
        if let Some(decoder) = &mut self.decoder {
            decoder.decoder.reset();
        }
    }

    /// Drops the oldest samples.
    pub(super) fn drop_oldest(&mut self, length: MediaTime) -> Result<()> {
        let frames = usize::try_from(length.to_ticks(AudioFormat::STEREO_48K.rate)).unwrap_or(0);
        self.waste.resize(WASTE_FRAMES * AudioFormat::STEREO_48K.frame_bytes(), 0);
        let mut bytes = frames * AudioFormat::STEREO_48K.frame_bytes();
        while bytes > 0 {
            let room = bytes.min(self.waste.len());
            let dropped = self.resampler.pull_into(&mut self.waste[..room])?;
            if dropped == 0 {
                break;
            }
            bytes -= dropped;
        }
        Ok(())
    }

    /// Takes the depth's correction over.
    pub(super) fn correct(&mut self) {
        self.resampler.set_correction(self.depth.correction());
    }

    /// What is decoded and not written.
    pub(super) fn waiting(&mut self) -> MediaTime {
        MediaTime::from_ticks(self.resampler.available_frames() as i64, AudioFormat::STEREO_48K.rate)
    }

    /// Writes samples into `room`; says how many bytes.
    pub(super) fn pull(&mut self, room: &mut [u8], view: &SoundView, trouble: &Trouble) -> usize {
        self.resampler.pull_into(room).unwrap_or_else(|error| {
            view.bad_packets.fetch_add(1, Relaxed);
            trouble.note(error);
            self.resampler.clear();
            0
        })
    }

    /// Whether no packet is there nor comes any more.
    pub(super) fn is_ended(&self) -> bool {
        self.queue.is_ended()
    }

    fn decode_packet(&mut self, packet: &Packet) -> Result<MediaTime> {
        if self.decoder.as_ref().is_none_or(|decoder| !decoder.decodes(packet)) {
            debug!(codec = ?packet.codec, "decoder opened");
            self.decoder = Some(Decoder::open(packet)?);
        }
        let Some(Decoder { decoder, .. }) = &mut self.decoder else { return Ok(MediaTime::ZERO) };
        decoder.send(packet)?;
        let mut length = MediaTime::ZERO;
        while let Some(samples) = decoder.receive()? {
            length += samples.duration();
            self.resampler.push(samples)?;
        }
        Ok(length)
    }
}

impl Decoder {
    fn open(packet: &Packet) -> Result<Self> {
        let decoder = AudioDecoder::open(packet.codec, packet.parameters.as_deref())?;
        Ok(Self { codec: packet.codec, parameters: packet.parameters.clone(), decoder })
    }

    fn decodes(&self, packet: &Packet) -> bool {
        let same = match (&self.parameters, &packet.parameters) {
            (None, None) => true,
            (Some(ours), Some(its)) => Arc::ptr_eq(ours, its),
            (None, Some(_)) | (Some(_), None) => false,
        };
        same && self.codec == packet.codec
    }
}

const WASTE_FRAMES: usize = 4_800;
