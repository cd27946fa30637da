//! A number, played as a pulse.
//!
//! Each [`PERIOD`] begins with a pulse of a tone that swells and fades, at one of [`PITCHES`] pitches: the number's rest. An [`Ear`]
//! takes what a viewer was sent, decodes it and finds the pulses by a matched filter: where a tone of a pulse's shape and one of the
//! pitches fits best, a pulse began. Which of the numbers with that rest it is, its time tells: pitches come again after 3.2 s.

use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use crosspoint_ffi::av::{AudioDecoder, AudioEncoder, Resampler};
use crosspoint_ffi::{AudioFormat, Codec, MediaTime, Packet, Payload};

use crate::page::Sighting;
use crate::publish::Sent;

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
    Ok(packets(time)?.into_iter().map(|packet| packet.data[..].into()).collect())
}

fn packets(time: Duration) -> Result<Vec<Packet>> {
    let mut encoder = AudioEncoder::new(Codec::Opus, AudioFormat::STEREO_48K, BITRATE_BPS)?;
    let (mut packets, now) = (Vec::new(), Instant::now());
    for number in 0..u32::try_from(time.as_nanos().div_ceil(PERIOD.as_nanos()))? {
        encoder.encode(&pcm(number), MediaTime::from(PERIOD * number), now)?;
        packets.extend(std::iter::from_fn(|| encoder.receive()));
    }
    Ok(packets)
}

/// What a viewer hears of a stream of Opus, as if it played each packet from when it came.
pub(crate) struct Ear {
    decoder: AudioDecoder,
    mono: Resampler,
    /// The stream's time of the first sample, in samples of 48 kHz.
    start: Option<u64>,
    /// What was heard since, in samples of [`FILTER_RATE`]; silence where nothing came.
    samples: Vec<f32>,
    /// Where in there packets begin, and when they came.
    came: Vec<(usize, f64)>,
}

impl Ear {
    /// Opens one.
    ///
    /// # Errors
    /// When FFmpeg has no decoder for Opus.
    pub(crate) fn open() -> Result<Self> {
        let mono = Resampler::new(AudioFormat { rate: RATE, channels: 1 });
        Ok(Self { decoder: AudioDecoder::new(Codec::Opus)?, mono, start: None, samples: Vec::new(), came: Vec::new() })
    }

    /// Takes a packet of a time in the stream, in samples of 48 kHz, which came at `at_ms`.
    ///
    /// # Errors
    /// When it cannot be decoded.
    pub(crate) fn take(&mut self, data: &[u8], time: u64, at_ms: f64) -> Result<()> {
        let (codec, arrival, data) = (Codec::Opus, Instant::now(), Payload::copy_from_slice(data));
        self.decoder.send(&Packet { codec, data, pts: None, dts: None, key: true, arrival, parameters: None })?;
        let start = *self.start.get_or_insert(time);
        // What comes after what followed it is of no use to a player.
        let Some(since) = time.checked_sub(start) else { return Ok(()) };
        let mut place = usize::try_from(since)? / FILTER_STEP;
        self.came.push((place, at_ms));
        while let Some(samples) = self.decoder.receive()? {
            let mut bytes = vec![0; samples.frames() * 2];
            self.mono.push(samples)?;
            let pulled = self.mono.pull_into(&mut bytes)?;
            for piece in bytes[..pulled].chunks(2 * FILTER_STEP) {
                let values = piece.chunks_exact(2).map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])));
                self.samples.resize(self.samples.len().max(place + 1), 0.0);
                self.samples[place] = values.sum::<f32>() / FILTER_STEP as f32 / f32::from(i16::MAX);
                place += 1;
            }
        }
        Ok(())
    }

    /// Whether there is anything to be heard yet.
    pub(crate) fn hears(&self) -> bool {
        self.samples.iter().any(|sample| sample.abs() > LOUDNESS / 4.0)
    }

    /// The numbers of `played` that were heard, and when each began.
    pub(crate) fn heard(&self, played: &[Sent]) -> Vec<Sighting> {
        let number = |pitch: u32, at_ms: f64| {
            let is_it = |(number, sent): &(usize, &Sent)| *number as u32 % PITCHES == pitch && sent.due_ms <= at_ms + EARLY_MS;
            played.iter().enumerate().rfind(is_it).map(|(number, _)| number as u32)
        };
        let sighting = |(pitch, place): (u32, f64)| {
            let at_ms = self.time_ms(place)?;
            let number = number(pitch, at_ms)?;
            Some(Sighting { top: Some(number), bottom: Some(number), at_ms, way: None })
        };
        pulses(&self.samples).into_iter().filter_map(sighting).collect()
    }

    /// When the sample at a place was there to be played.
    fn time_ms(&self, place: f64) -> Option<f64> {
        let nth = self.came.partition_point(|(start, _)| *start as f64 <= place).checked_sub(1)?;
        let (start, at_ms) = self.came[nth];
        Some(at_ms + (place - start as f64) * 1e3 / f64::from(FILTER_RATE))
    }
}

/// The pitches of the pulses in `samples`, and where each begins.
fn pulses(samples: &[f32]) -> Vec<(u32, f64)> {
    let filters: Vec<Filter> = (0..PITCHES).map(Filter::of).collect();
    let fits: Vec<(u32, f32)> = (0..samples.len().saturating_sub(FILTER_SAMPLES))
        .step_by(HOP)
        .map(|place| {
            let window = &samples[place..place + FILTER_SAMPLES];
            let fit = |pitch: u32| (pitch, filters[pitch as usize].fit(window));
            (0..PITCHES).map(fit).max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or_default()
        })
        .collect();
    let least = fits.iter().map(|(_, fit)| *fit).fold(LOUDNESS / 4.0, f32::max) / 2.0;
    let mut pulses = Vec::new();
    let mut place = 0;
    // A pulse is where it fits best among what fits at all, which silence parts from the next one.
    for part in fits.chunk_by(|one, next| (one.1 >= least) == (next.1 >= least)) {
        let best = part.iter().enumerate().max_by(|one, other| one.1.1.total_cmp(&other.1.1));
        if let Some((nth, (pitch, fit))) = best.filter(|(_, (_, fit))| *fit >= least) {
            let fit_at = |nth: Option<usize>| nth.and_then(|nth| fits.get(nth)).map_or(*fit, |(_, fit)| *fit);
            let at = place + nth;
            // Between the samples of a peak it is a parabola.
            let (before, after) = (fit_at(at.checked_sub(1)), fit_at(Some(at + 1)));
            let curve = before - 2.0 * fit + after;
            let between = if curve < 0.0 { 0.5 * (before - after) / curve } else { 0.0 };
            pulses.push((*pitch, (at as f64 + f64::from(between)) * HOP as f64));
        }
        place += part.len();
    }
    pulses
}

/// A pulse of one pitch, as its two phases.
struct Filter(Vec<(f32, f32)>);

impl Filter {
    fn of(pitch: u32) -> Self {
        let turn = turn(pitch, FILTER_RATE);
        let tap = |nth: usize| {
            let (sin, cos) = (turn * nth as f32).sin_cos();
            // So that a pulse as it was played fits by its loudness.
            let weight = swell(nth, FILTER_SAMPLES) * 16.0 / 3.0 / FILTER_SAMPLES as f32;
            (weight * sin, weight * cos)
        };
        Self((0..FILTER_SAMPLES).map(tap).collect())
    }

    fn fit(&self, window: &[f32]) -> f32 {
        let sums = self.0.iter().zip(window).fold((0.0, 0.0), |sums, (tap, sample)| (sums.0 + tap.0 * sample, sums.1 + tap.1 * sample));
        f32::hypot(sums.0, sums.1)
    }
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
/// More than twice the highest pitch.
const FILTER_RATE: u32 = RATE / FILTER_STEP as u32;
const FILTER_STEP: usize = 6;
const FILTER_SAMPLES: usize = PULSE_SAMPLES / FILTER_STEP;
/// A millisecond.
const HOP: usize = 8;
/// By how much a pulse may be found before its time.
const EARLY_MS: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u32 = 40;

    fn played() -> Vec<Sent> {
        (0..COUNT).map(|number| f64::from(number) * 200.0).map(|at_ms| Sent { due_ms: at_ms, at_ms }).collect()
    }

    /// Plays numbers through Opus over a way that takes `delay_ms` of each packet's time, without those packets that it loses.
    fn heard(delay_ms: impl Fn(f64) -> f64, is_lost: impl Fn(usize) -> bool) -> Vec<Sighting> {
        let mut ear = Ear::open().unwrap();
        for (nth, packet) in packets(PERIOD * COUNT).unwrap().iter().enumerate().filter(|(nth, _)| !is_lost(*nth)) {
            let time_ms = packet.pts.unwrap().as_secs_f64() * 1e3;
            // The first packet's sound begins before the stream does.
            let time = (time_ms * 48.0 + f64::from(RATE)).round() as u64;
            assert!(nth > 0 || time_ms < 0.0, "{time_ms}");
            ear.take(&packet.data, time, time_ms + delay_ms(time_ms)).unwrap();
        }
        ear.heard(&played())
    }

    fn ages(heard: &[Sighting]) -> Vec<f64> {
        heard.iter().map(|heard| heard.at_ms - f64::from(heard.top.unwrap()) * 200.0).collect()
    }

    #[test]
    fn injected_delay_is_measured_within_five_percent_through_opus() {
        for delay_ms in [0.0, 50.0, 400.0] {
            let heard = heard(|_| delay_ms, |_| false);
            assert_eq!(heard.iter().map(|heard| heard.top.unwrap()).collect::<Vec<_>>(), (0..COUNT).collect::<Vec<_>>());
            for (number, age_ms) in ages(&heard).into_iter().enumerate() {
                assert!((age_ms - delay_ms).abs() <= 2.5, "{number}: {age_ms} ms, not {delay_ms}");
            }
        }
    }

    #[test]
    fn delay_that_changes_is_followed() {
        let heard = heard(|time_ms| if time_ms < 4_000.0 { 20.0 } else { 120.0 }, |_| false);
        let ages = ages(&heard);
        assert!(ages[..19].iter().all(|age_ms| (age_ms - 20.0).abs() < 2.5), "{ages:?}");
        assert!(ages[21..].iter().all(|age_ms| (age_ms - 120.0).abs() < 2.5), "{ages:?}");
    }

    #[test]
    fn lost_packets_lose_their_pulses_and_move_no_others() {
        // All of the pulse with the number 10, and silence elsewhere.
        let heard = heard(|_| 50.0, |nth| (99..106).contains(&nth) || nth == 58);
        assert_eq!(heard.len(), COUNT as usize - 1);
        assert!(heard.iter().all(|heard| heard.top != Some(10)));
        assert!(ages(&heard).iter().all(|age_ms| (age_ms - 50.0).abs() < 2.5), "{:?}", ages(&heard));
    }

    #[test]
    fn silence_and_noise_are_no_pulses() {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 2_f32.powi(24) * 0.2 - 0.1
        });
        assert_eq!(pulses(&vec![0.0; 16_000]), []);
        assert_eq!(pulses(&noise.take(16_000).collect::<Vec<_>>()), []);
    }
}
