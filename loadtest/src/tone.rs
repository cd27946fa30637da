//! A number, played as a pulse.
//!
//! Each [`PERIOD`] begins with a pulse of a tone that swells and fades, at one of [`PITCHES`] pitches: the number's rest.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use crosspoint_ffi::av::AudioEncoder;
use crosspoint_ffi::{AudioFormat, Codec, MediaTime};

/// The samples of a number, 48 kHz stereo in 16 bits: its pulse, and silence until the next one.
pub(crate) fn pcm(number: u32) -> Vec<u8> {
    let pitch = number % PITCHES;
    let sample = |nth: usize| {
        let value = if nth < PULSE_SAMPLES { LOUDNESS * swell(nth, PULSE_SAMPLES) * (turn(pitch, RATE) * nth as f32).sin() } else { 0.0 };
        (value * f32::from(i16::MAX)) as i16
    };
    (0..PERIOD_SAMPLES).flat_map(|nth| [sample(nth).to_le_bytes(); 2]).flatten().collect()
}

/// The numbers from 0 on as Opus, in packets of 20 ms, for a time.
///
/// # Errors
/// When FFmpeg has no encoder for it.
pub(crate) fn opus(time: Duration) -> Result<Vec<Arc<[u8]>>> {
    let mut encoder = AudioEncoder::new(Codec::Opus, AudioFormat::STEREO_48K, BITRATE_BPS)?;
    let (mut packets, now) = (Vec::new(), Instant::now());
    for number in 0..u32::try_from(time.as_nanos().div_ceil(PERIOD.as_nanos()))? {
        encoder.encode(&pcm(number), MediaTime::from(PERIOD * number), now)?;
        packets.extend(std::iter::from_fn(|| encoder.receive()).map(|packet| Arc::from(&packet.data[..])));
    }
    Ok(packets)
}

/// How loud the sample is of a pulse of `count`, from nothing to all and back (a Hann window).
fn swell(nth: usize, count: usize) -> f32 {
    0.5 - 0.5 * (TAU * nth as f32 / count as f32).cos()
}

/// The angle from one sample to the next.
fn turn(pitch: u32, rate: u32) -> f32 {
    TAU * (LOWEST_HZ + pitch * STEP_HZ) as f32 / rate as f32
}

/// From one pulse to the next.
pub(crate) const PERIOD: Duration = Duration::from_millis(200);
/// What the encoders of ours take, and what is played.
pub(crate) const RATE: u32 = 48_000;
const PERIOD_SAMPLES: usize = 9_600;
/// 60 ms: long enough to tell pitches apart, short enough to leave silence between two.
const PULSE_SAMPLES: usize = 2_880;
/// So many pulses may be on their way without a doubt.
const PITCHES: u32 = 16;
/// In the middle of what sound codecs keep; a Hann window of 60 ms tells apart what differs by 67 Hz.
const LOWEST_HZ: u32 = 500;
const STEP_HZ: u32 = 125;
const LOUDNESS: f32 = 0.5;
const BITRATE_BPS: u32 = 96_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_packets_of_20_ms() {
        let packets = opus(PERIOD * 5).unwrap();
        assert!((49..=50).contains(&packets.len()), "{}", packets.len());
        // Silence takes less than a pulse.
        assert!(packets[2].len() > packets[8].len(), "{:?}", packets.iter().map(|packet| packet.len()).collect::<Vec<_>>());
    }
}
