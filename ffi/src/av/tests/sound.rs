use std::f64::consts::TAU;
use std::time::Instant;

use super::clip::packets;
use crate::av::{AacEncoder, AudioDecoder, Resampler};
use crate::{AudioFormat, Codec, MediaTime, Packet, Payload, Remedy};

const TARGET: AudioFormat = AudioFormat::STEREO_48K;

fn tone(rate: u32, seconds: u32, codec: Codec, options: &str) -> Vec<Packet> {
    packets(&format!("sine=frequency=1000:sample_rate={rate}:duration={seconds}"), codec, options)
}

/// Decodes and resamples everything, pulling `pull_bytes` at a time.
fn play(codec: Codec, packets: &[Packet], pull_bytes: usize) -> Vec<i16> {
    let mut decoder = AudioDecoder::new(codec).expect("a decoder");
    let mut resampler = Resampler::new(TARGET);
    let mut heard = Vec::new();
    let mut room = vec![0; pull_bytes];
    for packet in packets {
        // The first packet of a layer III stream may refer to bits before it.
        let _ = decoder.send(packet);
        while let Ok(Some(samples)) = decoder.receive() {
            resampler.push(samples).expect("convertible");
        }
        loop {
            let written = resampler.pull_into(&mut room).expect("convertible");
            heard.extend_from_slice(&room[..written]);
            if written == 0 {
                break;
            }
        }
    }
    heard.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Periods of the left channel, by its upward crossings of zero, a second.
fn pitch(heard: &[i16]) -> f64 {
    let left: Vec<i16> = heard.iter().step_by(2).copied().skip(9_600).take(48_000).collect();
    left.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count() as f64 * 48_000.0 / left.len() as f64
}

#[test]
fn every_codec_rate_and_channel_count_keeps_its_pitch_and_length() {
    for (rate, codec, options) in [
        (44_100, Codec::Mp3, "-ac 2 -c:a libmp3lame -b:a 128k"),
        (48_000, Codec::Mp3, "-ac 1 -c:a libmp3lame"),
        (22_050, Codec::Mp3, "-ac 1 -c:a libmp3lame"),
        (48_000, Codec::Mp2, "-ac 2 -c:a mp2"),
        (44_100, Codec::Aac, "-ac 2 -c:a aac"),
        (48_000, Codec::Aac, "-ac 6 -c:a aac"),
    ] {
        let packets = tone(rate, 2, codec, options);
        for pull_bytes in [4, 1_000 * 4, 1 << 20] {
            let heard = play(codec, &packets, pull_bytes);
            assert!((pitch(&heard) - 1_000.0).abs() <= 2.0, "{codec:?} {options}: {} Hz", pitch(&heard));
            let seconds = heard.len() as f64 / 2.0 / 48_000.0;
            assert!((1.9..2.2).contains(&seconds), "{codec:?} {options}: {seconds} s");
        }
    }
}

#[test]
fn source_may_change_its_rate_and_channels() {
    let mut stream = tone(44_100, 1, Codec::Mp3, "-ac 2 -c:a libmp3lame");
    stream.extend(tone(22_050, 1, Codec::Mp3, "-ac 1 -c:a libmp3lame"));
    stream.extend(tone(48_000, 1, Codec::Mp3, "-ac 2 -c:a libmp3lame"));
    let heard = play(Codec::Mp3, &stream, 4_096);
    let seconds = heard.len() as f64 / 2.0 / 48_000.0;
    assert!((2.9..3.4).contains(&seconds), "{seconds} s");
    for second in 0..3 {
        let piece = &heard[second * 96_000..][..90_000];
        let left: Vec<i16> = piece.iter().step_by(2).copied().collect();
        let periods = left[10_000..40_000].windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        assert!((620..=630).contains(&periods), "second {second}: {periods}");
    }
}

#[test]
fn what_waits_is_what_comes() {
    let packets = tone(44_100, 1, Codec::Mp3, "-ac 2 -c:a libmp3lame");
    let mut decoder = AudioDecoder::new(Codec::Mp3).expect("a decoder");
    let mut resampler = Resampler::new(TARGET);
    for packet in &packets {
        let _ = decoder.send(packet);
        while let Ok(Some(samples)) = decoder.receive() {
            resampler.push(samples).expect("convertible");
        }
    }
    let waits = resampler.available_frames();
    let mut room = vec![0; 4 << 20];
    let comes = resampler.pull_into(&mut room).expect("convertible") / 4;
    assert!(waits.abs_diff(comes) < 64, "{waits} waited, {comes} came");
    assert!(resampler.available_frames() < 64);
    resampler.clear();
    assert_eq!(resampler.pull_into(&mut room), Ok(0));
}

#[test]
fn samples_have_running_times() {
    let packets = tone(48_000, 1, Codec::Mp2, "-ac 2 -c:a mp2");
    let mut decoder = AudioDecoder::new(Codec::Mp2).expect("a decoder");
    let mut next = packets[0].pts;
    for packet in &packets {
        decoder.send(packet).expect("a good packet");
        while let Some(samples) = decoder.receive().expect("a good packet") {
            let (pts, due) = (samples.pts().expect("timed"), next.expect("timed"));
            assert!((pts - due).abs() < MediaTime::from_millis(1), "{pts:?} not {due:?}");
            next = Some(pts + samples.duration());
        }
    }
}

#[test]
fn damaged_sound_costs_itself() {
    for (codec, options) in [(Codec::Mp3, "-c:a libmp3lame"), (Codec::Aac, "-c:a aac")] {
        let mut packets = tone(48_000, 2, codec, options);
        for (number, packet) in packets.iter_mut().enumerate().filter(|(number, _)| number % 3 == 1) {
            let mut bytes = packet.data.to_vec();
            let at = number * 7 % bytes.len();
            bytes[at] ^= 0x55;
            bytes.truncate(bytes.len() / 2 + 1);
            packet.data = Payload::copy_from_slice(&bytes);
        }
        assert!(!play(codec, &packets, 4_096).is_empty(), "{codec:?}");
    }
    let junk = Packet {
        codec: Codec::Mp3,
        data: Payload::copy_from_slice(&[0x55; 400]),
        pts: None,
        dts: None,
        key: true,
        arrival: Instant::now(),
    };
    let mut decoder = AudioDecoder::new(Codec::Mp3).expect("a decoder");
    assert_eq!(decoder.send(&junk).map_err(|error| error.remedy()), Err(Remedy::Drop));
    assert!(AudioDecoder::new(Codec::H264).is_err());
}

fn sine(frames: usize) -> Vec<u8> {
    (0..frames)
        .flat_map(|n| {
            let sample = ((n as f64 * 1_000.0 / 48_000.0 * TAU).sin() * 12_000.0) as i16;
            [sample, sample].map(i16::to_le_bytes).concat()
        })
        .collect()
}

#[test]
fn aac_round_trip_keeps_pitch_and_time() {
    let pcm = sine(96_000);
    let mut encoder = AacEncoder::new(TARGET, 128_000).expect("an encoder");
    let (start, captured) = (MediaTime::from_millis(500), Instant::now());
    let mut packets = Vec::new();
    let mut frames = 0_i64;
    // Pieces of odd sizes.
    for piece in pcm.chunks(4 * 441) {
        encoder.encode(piece, start + MediaTime::from_ticks(frames, 48_000), captured).expect("whole frames");
        frames += piece.len() as i64 / 4;
        packets.extend(std::iter::from_fn(|| encoder.receive().expect("an encoder")));
    }
    assert_eq!(packets.len(), 96_000 / 1_024 - 1, "one frame stays inside");
    for (number, packet) in packets.iter().enumerate() {
        let due = start + MediaTime::from_ticks((number as i64 - 1) * 1_024, 48_000);
        assert!((packet.pts.expect("timed") - due).abs() < MediaTime::from_micros(5), "packet {number}");
        let length = usize::from(packet.data[3] & 3) << 11 | usize::from(packet.data[4]) << 3 | usize::from(packet.data[5] >> 5);
        assert_eq!((packet.data[0], packet.data[1], length), (0xff, 0xf1, packet.data.len()));
    }
    assert!((pitch(&play(Codec::Aac, &packets, 4_096)) - 1_000.0).abs() <= 2.0);
}

#[test]
fn aac_times_are_those_of_the_sound_in_them() {
    // Half a second of silence, then sound: its start must be heard where it was given.
    let mut pcm = vec![0; 24_000 * 4];
    pcm.extend(sine(48_000));
    let mut encoder = AacEncoder::new(TARGET, 192_000).expect("an encoder");
    encoder.encode(&pcm, MediaTime::ZERO, Instant::now()).expect("whole frames");
    let packets: Vec<_> = std::iter::from_fn(|| encoder.receive().expect("an encoder")).collect();
    let heard = play(Codec::Aac, &packets, 1 << 16);
    let onset = heard.iter().step_by(2).position(|sample| sample.unsigned_abs() > 6_000).expect("sound");
    let time = packets[0].pts.expect("timed") + MediaTime::from_ticks(onset as i64, 48_000);
    assert!((time - MediaTime::from_millis(500)).abs() < MediaTime::from_millis(2), "heard at {time:?}");
}

#[test]
fn aac_clock_slews_small_errors_and_follows_gaps() {
    let piece = sine(1_024);
    let step = MediaTime::from_ticks(1_024, 48_000);
    let mut encoder = AacEncoder::new(TARGET, 128_000).expect("an encoder");
    let mut times = Vec::new();
    let mut pts = MediaTime::ZERO;
    for number in 0..40 {
        let jitter = MediaTime::from_millis(if number % 2 == 0 { 5 } else { -5 });
        let gap = if number >= 20 { MediaTime::from_millis(3_000) } else { MediaTime::ZERO };
        encoder.encode(&piece, pts + jitter + gap, Instant::now()).expect("whole frames");
        pts += step;
        times.extend(std::iter::from_fn(|| encoder.receive().expect("an encoder")).filter_map(|packet| packet.pts));
    }
    let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let jumps = steps.iter().filter(|&&distance| distance > MediaTime::from_millis(1_000)).count();
    assert_eq!(jumps, 1);
    let smooth = |distance: &&MediaTime| (**distance - step).abs() < MediaTime::from_micros(500);
    assert_eq!(steps.iter().filter(smooth).count(), steps.len() - 1);
}

#[test]
fn aac_refuses_what_it_has_not() {
    let odd = AudioFormat { rate: 12_345, channels: 2 };
    assert_eq!(AacEncoder::new(odd, 128_000).map(drop).map_err(|error| error.remedy()), Err(Remedy::Report));
    let mut encoder = AacEncoder::new(TARGET, 128_000).expect("an encoder");
    assert_eq!(encoder.encode(&[0; 3], MediaTime::ZERO, Instant::now()).map_err(|error| error.remedy()), Err(Remedy::Drop));
}
