//! The stream into a sink, which stays open while sources come and go.

use crosspoint_ffi::pulse::{Connection, Latency, MICROPHONE_SINK, Playback, SPEAKER_SINK};
use crosspoint_ffi::{AudioFormat, MediaTime, Result};
use crosspoint_router::control::AudioDestination;
use crosspoint_router::ingest::Held;

/// The stream into the sink of a destination. It is made anew only for another destination.
pub(super) struct Stream {
    playback: Playback,
    destination: AudioDestination,
    /// The underflows at the last look.
    underflows: u64,
    /// Nothing lies in the server's buffer.
    dry: bool,
}

impl Stream {
    /// The stream into the sink of `destination`, which is made when there is none yet. A sink that learns from it how little is wanted at
    /// once needs some time: make it before there is anything to play.
    pub(super) fn reach<'a>(
        place: &'a mut Option<Self>,
        connection: &mut Connection,
        destination: AudioDestination,
    ) -> Result<&'a mut Self> {
        if place.as_ref().is_none_or(|stream| stream.destination != destination) {
            let sink = match destination {
                AudioDestination::Microphone => MICROPHONE_SINK,
                AudioDestination::Speaker => SPEAKER_SINK,
            };
            let playback = connection.playback(sink, AudioFormat::STEREO_48K, Latency::LIVE)?;
            *place = Some(Self { playback, destination, underflows: 0, dry: true });
        }
        Ok(place.as_mut().expect("made above"))
    }

    /// Ends a rest.
    pub(super) fn rise(&mut self) -> Result<()> {
        self.playback.cork(false)
    }

    /// Whether it takes anything: it does not while it is being made, nor before the server told how late the sink is.
    pub(super) fn is_ready(&self) -> bool {
        self.playback.writable_bytes() > 0 && self.playback.sink_latency().is_some()
    }

    /// What was written and is not heard yet. `expected` stands in while the server has not told.
    pub(super) fn held(&mut self, expected: MediaTime) -> Held {
        let held = self.playback.latency().unwrap_or(expected);
        self.notice_underflow();
        if self.dry && held > SINK_SHARE {
            // That was before the last bytes came.
            self.dry = false;
        }
        if self.dry || held <= MediaTime::ZERO { Held::Dry(self.playback.sink_latency().unwrap_or_default()) } else { Held::Sound(held) }
    }

    /// Writes silence, as much as there is room for.
    pub(super) fn silence(&mut self, length: MediaTime) -> Result<()> {
        let frames = usize::try_from(length.to_ticks(AudioFormat::STEREO_48K.rate)).unwrap_or(0);
        let mut bytes = frames * AudioFormat::STEREO_48K.frame_bytes();
        while bytes > 0 {
            let written = self.write(bytes, |lent| lent.len())?;
            if written == 0 {
                break;
            }
            bytes -= written;
        }
        Ok(())
    }

    /// Lends `fill` silent memory and plays as many bytes as it returns, which it returns, too.
    pub(super) fn write(&mut self, max_bytes: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<usize> {
        let written = self.playback.write_with(max_bytes, fill)?;
        if written > 0 {
            self.dry = false;
        }
        Ok(written)
    }

    /// Throws away what is on its way to the sink.
    pub(super) fn flush(&mut self) {
        // A stream that has ended tells so at the next look.
        let _ = self.playback.flush();
        self.dry = true;
    }

    /// Pauses when what was written has been played: an idle stream costs the server nothing.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.notice_underflow();
        if self.dry && !self.playback.is_corked() { self.playback.cork(true) } else { Ok(()) }
    }

    fn notice_underflow(&mut self) {
        let underflows = self.playback.underflows();
        self.dry |= underflows != self.underflows;
        self.underflows = underflows;
    }
}

/// What a sink keeps for itself of a stream that has run dry, at most, and the time that news of it takes.
const SINK_SHARE: MediaTime = MediaTime::from_millis(14);
