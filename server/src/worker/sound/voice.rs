//! What is heard, in one codec.

use std::collections::VecDeque;
use std::time::Instant;

use crosspoint_ffi::av::AudioEncoder;
use crosspoint_ffi::{AudioFormat, Codec, MediaTime, Packet, Result};

/// An encoder and its silence.
pub(super) struct Voice {
    encoder: AudioEncoder,
    silence: Packet,
    /// Packets of silence since the last sound.
    rested: u32,
    ready: VecDeque<Packet>,
}

impl Voice {
    /// Opens an encoder of `codec`, and encodes the silence that stands in for it.
    pub(super) fn new(codec: Codec) -> Result<Self> {
        let open = || AudioEncoder::new(codec, AudioFormat::STEREO_48K, bitrate_bps(codec));
        // Of an encoder of its own, until it has settled on it.
        let mut hushed = open()?;
        let mut silence = None;
        let pcm = [0; 480 * 4];
        for _ in 0..SETTLED {
            hushed.encode(&pcm, MediaTime::ZERO, Instant::now())?;
            while let Some(packet) = hushed.receive() {
                silence = Some(packet);
            }
        }
        let silence = silence.expect("a third of a second is more than a few packets of any codec");
        Ok(Self { encoder: open()?, silence, rested: 0, ready: VecDeque::new() })
    }

    pub(super) fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// Encodes `pcm`, whose first sample is heard at `time`.
    pub(super) fn encode(&mut self, pcm: &[u8], time: MediaTime, now: Instant) -> Result<()> {
        self.rested = 0;
        self.encoder.encode(pcm, time, now)?;
        self.ready.extend(std::iter::from_fn(|| self.encoder.receive()));
        Ok(())
    }

    /// Gives silence up to `now`, in place of what is not recorded.
    pub(super) fn rest(&mut self, now: MediaTime) -> Result<()> {
        if self.encoder.next_time().is_none() {
            // Nothing was ever heard: time begins here.
            self.encoder.encode(&[], now, Instant::now())?;
        }
        while let Some(time) = self.encoder.next_time().filter(|time| *time + self.encoder.packet_duration() <= now) {
            if self.rested.is_multiple_of(self.spacing()) && now - time < STALE {
                self.ready.push_back(Packet { pts: Some(time), dts: Some(time), arrival: Instant::now(), ..self.silence.clone() });
            }
            self.rested += 1;
            self.encoder.skip();
        }
        Ok(())
    }

    /// When the next [`TOGETHER`] packets of silence have passed, or the one that is sent; nothing before the first.
    pub(super) fn rests_until(&self) -> Option<MediaTime> {
        let length = self.encoder.packet_duration().as_nanos();
        let sent = (self.spacing() - self.rested % self.spacing()) % self.spacing();
        let passed = if self.spacing() == 1 { TOGETHER } else { sent.max(1) + 1 };
        Some(self.encoder.next_time()? + MediaTime::from_nanos(length * i64::from(passed)))
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

/// Packets of silence that are sent at once: each time wakes two threads and every viewer. 85 ms of AAC, less than its players hold.
const TOGETHER: u32 = 4;
/// Silence that is older is not sent any more: after a standstill its viewers would get all of it at once.
const STALE: MediaTime = MediaTime::from_millis(500);
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
                for _ in 0..pieces {
                    if rests {
                        voice.rest(now + LENGTH).expect("an encoder");
                    } else {
                        voice.encode(&piece(8_000), now, Instant::now()).expect("an encoder");
                    }
                    now += LENGTH;
                    times.extend(std::iter::from_fn(|| voice.next()).filter_map(|packet| packet.pts));
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

    #[test]
    fn silence_comes_several_packets_at_a_time() {
        let mut voice = Voice::new(Codec::Aac).expect("an encoder");
        voice.rest(MediaTime::ZERO).expect("an encoder");
        while voice.next().is_some() {}
        for _ in 0..5 {
            let until = voice.rests_until().expect("it rests");
            voice.rest(until - MediaTime::from_millis(1)).expect("an encoder");
            let early = std::iter::from_fn(|| voice.next()).count();
            voice.rest(until).expect("an encoder");
            let sent = early + std::iter::from_fn(|| voice.next()).count();
            assert_eq!((early + 1, sent), (TOGETHER as usize, TOGETHER as usize));
        }
    }

    #[test]
    fn resting_opus_says_so_now_and_then() {
        let mut voice = Voice::new(Codec::Opus).expect("an encoder");
        voice.rest(MediaTime::ZERO).expect("an encoder");
        let mut woken = 0;
        let mut sent = 0;
        while let Some(until) = voice.rests_until().filter(|until| *until < MediaTime::from_millis(4_000)) {
            voice.rest(until).expect("an encoder");
            woken += 1;
            sent += std::iter::from_fn(|| voice.next()).count();
        }
        assert!((9..=11).contains(&sent) && woken <= sent + 1, "{sent} sent, woken {woken} times");
    }
}
