//! Into the microphone or the speaker: packets are decoded when the server wants samples, so the sink's clock paces the source.
//!
//! Copies: 0 after decoding (the resampler writes into the memory that PulseAudio lends).

use std::sync::atomic::Ordering::Relaxed;

use crosspoint_ffi::av::{AudioDecoder, Resampler};
use crosspoint_ffi::pulse::{Connection, Latency, MICROPHONE_SINK, Playback, SPEAKER_SINK};
use crosspoint_ffi::{AudioFormat, Codec, Packet, Result};
use crosspoint_router::control::AudioDestination;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::SoundView;
use crate::worker::Trouble;

/// What plays, or nothing.
#[derive(Default)]
pub(super) struct Play {
    source: Option<Source>,
    stream: Option<Stream>,
    destination: AudioDestination,
    paused: bool,
}

struct Source {
    packets: mpsc::Receiver<Packet>,
    decoder: Option<(Codec, AudioDecoder)>,
    resampler: Resampler,
    /// The sender is gone: what is left is played out.
    ended: bool,
}

struct Stream {
    playback: Playback,
    destination: AudioDestination,
    /// The underflows at the last look; more of them mean that the next bytes start it anew.
    underflows: u64,
    /// Nothing lies in the server's buffer: the next bytes get a cushion before them.
    dry: bool,
}

/// Silence before the first samples of a stream that starts or ran dry: what a live source may jitter by without a gap.
const CUSHION_MS: u32 = 20;

impl Play {
    /// Plays `packets` from now on.
    pub(super) fn start(&mut self, packets: mpsc::Receiver<Packet>) {
        let resampler = Resampler::new(AudioFormat::STEREO_48K);
        self.source = Some(Source { packets, decoder: None, resampler, ended: false });
    }

    /// Plays into another sink.
    pub(super) fn direct(&mut self, destination: AudioDestination) {
        self.destination = destination;
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
            // A stream that has ended tells so at the next look.
            let _ = stream.playback.flush();
            stream.dry = true;
        }
    }

    /// Forgets the server's side of it.
    pub(super) fn disconnect(&mut self) {
        self.stream = None;
    }

    /// Drops what comes: there is no server to play it.
    pub(super) fn discard(&mut self) {
        if let Some(source) = &mut self.source {
            while source.packets.try_recv().is_ok() {}
        }
    }

    /// Gives the server what it wants, as far as it is there.
    pub(super) fn drive(&mut self, connection: &mut Connection, view: &SoundView, trouble: &Trouble) -> Result<()> {
        let Some(source) = &mut self.source else {
            return self.stream.as_mut().map_or(Ok(()), Stream::rest);
        };
        let stream = Stream::reach(&mut self.stream, connection, self.destination)?;
        loop {
            stream.notice_underflow();
            let wanted = stream.playback.writable_bytes();
            source.fill(wanted, view, trouble);
            let have = source.resampler.available_frames() * AudioFormat::STEREO_48K.frame_bytes();
            if wanted == 0 || have == 0 {
                break;
            }
            if stream.dry {
                stream.cushion()?;
                continue;
            }
            let paused = self.paused;
            let mut pulled = Ok(0);
            let written = stream.playback.write_with(wanted.min(have), |lent| {
                pulled = source.resampler.pull_into(lent);
                let bytes = pulled.as_ref().map_or(0, |&bytes| bytes);
                if paused {
                    lent[..bytes].fill(0);
                }
                bytes
            })?;
            if let Err(error) = pulled {
                view.bad_packets.fetch_add(1, Relaxed);
                trouble.note(error);
                source.resampler.clear();
            }
            if written == 0 {
                break;
            }
        }
        if source.ended && source.resampler.available_frames() == 0 {
            self.source = None;
        }
        Ok(())
    }
}

impl Source {
    /// Decodes until `wanted` bytes are there or no packet is.
    fn fill(&mut self, wanted: usize, view: &SoundView, trouble: &Trouble) {
        while self.resampler.available_frames() * AudioFormat::STEREO_48K.frame_bytes() < wanted {
            match self.packets.try_recv() {
                Ok(packet) => {
                    if let Err(error) = self.decode(&packet) {
                        view.bad_packets.fetch_add(1, Relaxed);
                        if trouble.note(&error) {
                            warn!(%error, codec = ?packet.codec, "packet not decoded");
                        }
                    } else {
                        trouble.mend();
                    }
                }
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn decode(&mut self, packet: &Packet) -> Result<()> {
        if self.decoder.as_ref().is_none_or(|(codec, _)| *codec != packet.codec) {
            debug!(codec = ?packet.codec, "decoder opened");
            self.decoder = Some((packet.codec, AudioDecoder::new(packet.codec)?));
        }
        let Some((_, decoder)) = &mut self.decoder else { return Ok(()) };
        decoder.send(packet)?;
        while let Some(samples) = decoder.receive()? {
            self.resampler.push(samples)?;
        }
        Ok(())
    }
}

impl Stream {
    /// The stream into the sink of `destination`, which is made when there is none yet.
    fn reach<'a>(place: &'a mut Option<Self>, connection: &mut Connection, destination: AudioDestination) -> Result<&'a mut Self> {
        if place.as_ref().is_none_or(|stream| stream.destination != destination) {
            let sink = match destination {
                AudioDestination::Microphone => MICROPHONE_SINK,
                AudioDestination::Speaker => SPEAKER_SINK,
            };
            let playback = connection.playback(sink, AudioFormat::STEREO_48K, Latency::LIVE)?;
            *place = Some(Self { playback, destination, underflows: 0, dry: true });
        }
        let stream = place.as_mut().expect("made above");
        if stream.playback.is_corked() {
            stream.playback.cork(false)?;
            stream.dry = true;
        }
        Ok(stream)
    }

    fn notice_underflow(&mut self) {
        let underflows = self.playback.underflows();
        self.dry |= underflows != self.underflows;
        self.underflows = underflows;
    }

    fn cushion(&mut self) -> Result<()> {
        let bytes = AudioFormat::STEREO_48K.millis_bytes(CUSHION_MS);
        self.playback.write_with(bytes, |lent| {
            lent.fill(0);
            lent.len()
        })?;
        self.dry = false;
        Ok(())
    }

    /// Pauses when what was written has been played: an idle stream costs the server nothing.
    fn rest(&mut self) -> Result<()> {
        self.notice_underflow();
        if self.dry && !self.playback.is_corked() { self.playback.cork(true) } else { Ok(()) }
    }
}
