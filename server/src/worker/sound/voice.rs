//! What is heard, in one codec.

use std::collections::VecDeque;
use std::time::Instant;

use crosspoint_ffi::av::AudioEncoder;
use crosspoint_ffi::{AudioFormat, Codec, MediaTime, Packet, Result};

use super::silence::Silence;

/// An encoder and its silence.
pub(super) struct Voice {
    encoder: AudioEncoder,
    /// What a packet of silence is.
    hush: Packet,
    /// Since the last sound.
    silence: Option<Silence>,
    ready: VecDeque<Packet>,
}

impl Voice {
    /// Opens an encoder of `codec`, and encodes the silence that stands in for it.
    pub(super) fn new(codec: Codec) -> Result<Self> {
        let open = || AudioEncoder::new(codec, AudioFormat::STEREO_48K, bitrate_bps(codec));
        // Of an encoder of its own, until it has settled on it.
        let mut hushed = open()?;
        let mut hush = None;
        let pcm = [0; 480 * 4];
        for _ in 0..SETTLED {
            hushed.encode(&pcm, MediaTime::ZERO, Instant::now())?;
            while let Some(packet) = hushed.receive() {
                hush = Some(packet);
            }
        }
        let hush = hush.expect("a third of a second is more than a few packets of any codec");
        Ok(Self { encoder: open()?, hush, silence: None, ready: VecDeque::new() })
    }

    pub(super) fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// Encodes `pcm`, whose first sample is heard at `time`.
    pub(super) fn encode(&mut self, pcm: &[u8], time: MediaTime, now: Instant) -> Result<()> {
        self.silence = None;
        self.encoder.encode(pcm, time, now)?;
        self.ready.extend(std::iter::from_fn(|| self.encoder.receive()));
        Ok(())
    }

    /// What stands for the sound from the last that was heard on.
    pub(super) fn rest(&mut self, now: MediaTime) -> Result<Silence> {
        let silence = match &self.silence {
            Some(silence) => silence,
            None => {
                let from = match self.encoder.next_time() {
                    Some(time) => time,
                    // Nothing was ever heard: time begins here.
                    None => {
                        self.encoder.encode(&[], now, Instant::now())?;
                        self.encoder.next_time().unwrap_or(now)
                    }
                };
                self.silence.insert(Silence::new(self.hush.clone(), self.encoder.packet_duration(), self.spacing(), from))
            }
        };
        Ok(silence.clone())
    }

    /// Ends the silence; says when. What is encoded next follows it without a gap.
    pub(super) fn rise(&mut self, now: MediaTime) -> Option<MediaTime> {
        self.encoder.skip(self.silence.take()?.passing(now));
        self.encoder.next_time()
    }

    /// The next packet.
    pub(super) fn next(&mut self) -> Option<Packet> {
        self.ready.pop_front()
    }

    /// One packet of silence of so many is sent. Opus has its own word for that, discontinuous transmission: a packet each 400 ms keeps the
    /// receiver's noise going (RFC 6716, 2.1.9). Players of the others run by every packet's clock.
    fn spacing(&self) -> u32 {
        if self.codec() == Codec::Opus { 20 } else { 1 }
    }
}

/// The bits a second of a codec's sound.
fn bitrate_bps(codec: Codec) -> u32 {
    if codec == Codec::Mp2 { 192_000 } else { 128_000 }
}

/// Pieces of 10 ms of silence after which an encoder says nothing but silence.
const SETTLED: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: MediaTime = MediaTime::from_millis(10);

    /// 10 ms of a tone, or of nothing.
    fn piece(level: i16) -> Vec<u8> {
        (0..480_i32).flat_map(|n| [if n / 24 % 2 == 0 { level } else { -level }; 2]).flat_map(i16::to_le_bytes).collect()
    }

    #[test]
    fn packets_go_on_evenly_through_rests_and_sound() {
        for codec in [Codec::Aac, Codec::Mp2] {
            let mut voice = Voice::new(codec).expect("an encoder");
            let (mut now, mut times) = (MediaTime::from_millis(5_000), Vec::new());
            for (rests, pieces) in [(true, 50), (false, 30), (true, 33), (false, 20), (true, 5)] {
                let mut silence = rests.then(|| voice.rest(now).expect("an encoder"));
                for _ in 0..pieces {
                    now += LENGTH;
                    match &mut silence {
                        Some(silence) => silence.give(now, now, |packet| times.extend(packet.pts)),
                        None => {
                            voice.encode(&piece(8_000), now - LENGTH, Instant::now()).expect("an encoder");
                            times.extend(std::iter::from_fn(|| voice.next()).filter_map(|packet| packet.pts));
                        }
                    }
                }
                if let Some(silence) = silence {
                    assert_eq!(voice.rise(now), Some(silence.next_time()), "who was told of the silence knows where it ends");
                }
            }
            let step = voice.encoder.packet_duration();
            for pair in times.windows(2) {
                assert!((pair[1] - pair[0] - step).abs() < MediaTime::from_millis(2), "{codec:?}: {pair:?}");
            }
            let span = *times.last().expect("packets") - times[0];
            assert!((span - (now - MediaTime::from_millis(5_000))).abs() < MediaTime::from_millis(100), "{codec:?}: {span:?}");
        }
    }
}
