use std::f64::consts::TAU;
use std::ops::Range;
use std::time::Instant;

use super::clip::packets;
use crate::av::{AudioDecoder, AudioEncoder, Resampler};
use crate::{AudioFormat, Codec, MediaTime, Packet, Parameters, Payload, Remedy, opus};

const TARGET: AudioFormat = AudioFormat::STEREO_48K;

fn tone(rate: u32, seconds: u32, codec: Codec, options: &str) -> Vec<Packet> {
    packets(&format!("sine=frequency=1000:sample_rate={rate}:duration={seconds}"), codec, options)
}

/// Decodes and resamples everything, pulling `pull_bytes` at a time.
fn play(codec: Codec, packets: &[Packet], pull_bytes: usize) -> Vec<i16> {
    listen(AudioDecoder::new(codec).expect("a decoder"), packets, pull_bytes)
}

fn listen(mut decoder: AudioDecoder, packets: &[Packet], pull_bytes: usize) -> Vec<i16> {
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

/// Plays a tone of 3 s, corrected from its second second on if by anything; says the frames of that and its periods a second.
fn corrected(rate: u32, part: f64) -> (Vec<i16>, f64) {
    let packets = tone(rate, 3, Codec::Mp2, "-ac 2 -c:a mp2 -b:a 160k");
    let mut decoder = AudioDecoder::new(Codec::Mp2).expect("a decoder");
    let mut resampler = Resampler::new(TARGET);
    let (mut heard, mut room) = (Vec::new(), vec![0; 48_000]);
    for (number, packet) in packets.iter().enumerate() {
        if number == packets.len() / 3 {
            resampler.set_correction(part);
        }
        decoder.send(packet).expect("a good packet");
        while let Some(samples) = decoder.receive().expect("a good packet") {
            resampler.push(samples).expect("convertible");
            let written = resampler.pull_into(&mut room).expect("convertible");
            heard.extend_from_slice(&room[..written]);
        }
    }
    let heard: Vec<i16> = heard.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let late: Vec<i16> = heard.iter().step_by(2).copied().skip(60_000).take(72_000).collect();
    let crossings: Vec<f64> = late
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| pair[0] < 0 && pair[1] >= 0)
        .map(|(at, pair)| at as f64 + f64::from(-pair[0]) / f64::from(pair[1] - pair[0]))
        .collect();
    let hertz = (crossings.len() - 1) as f64 * 48_000.0 / (crossings[crossings.len() - 1] - crossings[0]);
    (heard, hertz)
}

/// How far the sine of a frequency stands above all else in the left channel, in decibels.
fn purity_db(heard: &[i16], hertz: f64) -> f64 {
    let left: Vec<f64> = heard.iter().step_by(2).skip(60_000).take(48_000).map(|&sample| f64::from(sample)).collect();
    let turn = |at: usize| (TAU * hertz * at as f64 / 48_000.0).sin_cos();
    let (sin, cos) = left.iter().enumerate().fold((0.0, 0.0), |(sin, cos), (at, sample)| {
        let (s, c) = turn(at);
        (sin + sample * s, cos + sample * c)
    });
    let (sin, cos) = (2.0 * sin / left.len() as f64, 2.0 * cos / left.len() as f64);
    let rest: f64 = left.iter().enumerate().map(|(at, sample)| (sample - sin * turn(at).0 - cos * turn(at).1).powi(2)).sum();
    10.0 * ((sin * sin + cos * cos) / 2.0 * left.len() as f64 / rest).log10()
}

#[test]
fn correction_leaves_a_tone_pure() {
    let (plain, hertz) = corrected(48_000, 0.0);
    // What the codec adds, and what 16 bits do.
    let plain = purity_db(&plain, hertz);
    for part in [0.0003, -0.004] {
        let (heard, hertz) = corrected(48_000, part);
        let purity = purity_db(&heard, hertz);
        assert!(plain > 50.0 && purity > plain - 0.1, "{part}: {purity:.2} dB after {plain:.2}");
    }
}

#[test]
fn correction_changes_length_and_pitch_by_exactly_that() {
    for rate in [48_000, 44_100, 22_050] {
        let (plain, hertz) = corrected(rate, 0.0);
        assert!((hertz - 1_000.0).abs() < 0.01, "{rate}: {hertz} Hz");
        for part in [0.005, 0.003, 0.000_1, -0.000_1, -0.005, -0.02] {
            let (heard, hertz) = corrected(rate, part);
            let part = part.max(-0.005);
            let expected = 1_000.0 * (1.0 - part);
            assert!((hertz - expected).abs() < 0.01, "{rate} {part}: {hertz} Hz, not {expected}");
            let longer = (heard.len() as f64 - plain.len() as f64) / 2.0;
            let due = part * plain.len() as f64 / 2.0 * 2.0 / 3.0;
            assert!((longer - due).abs() < 30.0, "{rate} {part}: {longer} frames more, not {due}");
        }
    }
}

#[test]
fn correction_begins_without_a_click() {
    // No step of a sine of 1 kHz is steeper than its slope; a click would be.
    let (heard, _) = corrected(48_000, 0.002);
    let left: Vec<i32> = heard.iter().step_by(2).skip(4_800).map(|&sample| i32::from(sample)).collect();
    let (half, peak) = (left.len() - 2_400, left.iter().map(|sample| sample.abs()).max().expect("sound"));
    let steepest = left[..half].windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().expect("sound");
    assert!(f64::from(steepest) < f64::from(peak) * TAU / 48.0 * 1.25, "a step of {steepest} at a peak of {peak}");
}

#[test]
fn no_correction_leaves_every_sample_as_it_is() {
    let packets = tone(48_000, 1, Codec::Mp2, "-ac 2 -c:a mp2");
    let plain = play(Codec::Mp2, &packets, 4_096);
    let mut decoder = AudioDecoder::new(Codec::Mp2).expect("a decoder");
    let (mut resampler, mut heard, mut room) = (Resampler::new(TARGET), Vec::new(), vec![0; 1 << 16]);
    let mut frames = 0;
    for packet in &packets {
        resampler.set_correction(0.0);
        decoder.send(packet).expect("a good packet");
        while let Some(samples) = decoder.receive().expect("a good packet") {
            frames += samples.frames();
            resampler.push(samples).expect("convertible");
        }
        let written = resampler.pull_into(&mut room).expect("convertible");
        heard.extend(room[..written].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
    }
    assert_eq!(heard.len(), frames * 2, "one for one");
    assert!(heard == plain);
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
        parameters: None,
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
    let mut encoder = AudioEncoder::new(Codec::Aac, TARGET, 128_000).expect("an encoder");
    let (start, captured) = (MediaTime::from_millis(500), Instant::now());
    let mut packets = Vec::new();
    let mut frames = 0_i64;
    // Pieces of odd sizes.
    for piece in pcm.chunks(4 * 441) {
        encoder.encode(piece, start + MediaTime::from_ticks(frames, 48_000), captured).expect("whole frames");
        frames += piece.len() as i64 / 4;
        packets.extend(std::iter::from_fn(|| encoder.receive()));
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
fn times_are_those_of_the_sound_in_them() {
    // Half a second of silence, then sound: its start must be heard where it was given.
    let mut pcm = vec![0; 24_000 * 4];
    pcm.extend(sine(48_000));
    for codec in [Codec::Aac, Codec::Mp2, Codec::Opus] {
        let mut encoder = AudioEncoder::new(codec, TARGET, 192_000).expect("an encoder");
        encoder.encode(&pcm, MediaTime::ZERO, Instant::now()).expect("whole frames");
        let packets: Vec<_> = std::iter::from_fn(|| encoder.receive()).collect();
        let heard = play(codec, &packets, 1 << 16);
        let onset = heard.iter().step_by(2).position(|sample| sample.unsigned_abs() > 6_000).expect("sound");
        let time = packets[0].pts.expect("timed") + MediaTime::from_ticks(onset as i64, 48_000);
        assert!((time - MediaTime::from_millis(500)).abs() < MediaTime::from_millis(2), "{codec:?} heard at {time:?}");
    }
}

#[test]
fn opus_frame_of_no_bytes_is_made_up_for() {
    let mut encoder = AudioEncoder::new(Codec::Opus, TARGET, 96_000).expect("an encoder");
    encoder.encode(&sine(48_000), MediaTime::ZERO, Instant::now()).expect("whole frames");
    let packets: Vec<_> = std::iter::from_fn(|| encoder.receive()).collect();
    let whole = play(Codec::Opus, &packets, 1 << 16);
    let frame = 2 * 960;
    for lost in [20..21, 20..23] {
        let mut holed = packets.clone();
        for packet in &mut holed[lost.clone()] {
            packet.data = Payload::copy_from_slice(&packet.data[..1]);
        }
        let heard = play(Codec::Opus, &holed, 1 << 16);
        assert_eq!(heard.len(), whole.len(), "what follows is in its place");
        let loudness = |heard: &[i16]| {
            let piece = &heard[lost.start * frame..][..frame];
            piece.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>().sqrt()
        };
        assert!(loudness(&heard) > 0.5 * loudness(&whole), "{} of {}", loudness(&heard), loudness(&whole));
    }
}

/// How loud what is wrong in `heard` is beside `whole`, over these samples of both channels.
fn error(heard: &[i16], whole: &[i16], samples: Range<usize>) -> f64 {
    let power = |sample: f64| sample * sample;
    let pairs = heard[samples.clone()].iter().zip(&whole[samples]);
    let (wrong, right) = pairs.fold((0.0, 0.0), |(wrong, right), (&heard, &whole)| {
        (wrong + power(f64::from(heard) - f64::from(whole)), right + power(f64::from(whole)))
    });
    (wrong / right).sqrt()
}

/// Notes of 40 ms, which nobody guesses from those before, as packets of 20 ms.
fn notes(options: &str) -> Vec<Packet> {
    let notes = r"aevalsrc=0.5*sin(2*PI*t*(300+170*mod(floor(t*25)*floor(t*25)\,11))):s=48000:d=3";
    packets(notes, Codec::Opus, &format!("-c:a libopus -application voip -packet_loss 30 {options}"))
}

#[test]
fn lost_opus_frame_is_what_the_next_packet_repeats() {
    let packets = notes("-b:a 24k -fec 1");
    let frame = 2 * 960;
    let whole = play(Codec::Opus, &packets, 1 << 16);
    let (mut guessed, mut repeated) = (0.0, 0.0);
    for lost in (20..140).step_by(9) {
        let heard_wrong = |stand_in: fn(&[u8]) -> Payload| {
            let mut holed = packets.clone();
            holed[lost].data = stand_in(&packets[lost + 1].data);
            let heard = play(Codec::Opus, &holed, 1 << 16);
            assert_eq!(heard.len(), whole.len(), "what follows is in its place");
            error(&heard, &whole, lost * frame..(lost + 3) * frame)
        };
        guessed += heard_wrong(opus::lost);
        repeated += heard_wrong(opus::lost_before);
    }
    assert!(repeated < 0.5 * guessed, "{repeated} beside {guessed}");
}

#[test]
fn opus_that_repeats_itself_in_stereo_is_what_it_would_be_without() {
    let stereo = |options| notes(&format!("-ac 2 -b:a 48k {options}"));
    let (plain, repeating) = (stereo("-fec 0"), stereo("-fec 1"));
    let container = Parameters { sample_rate: 48_000, channels: 2, format: -1, ..Parameters::default() };
    for parameters in [None, Some(container)] {
        let hear = |packets: &[Packet]| listen(AudioDecoder::open(Codec::Opus, parameters.as_ref()).expect("a decoder"), packets, 1 << 16);
        let (plain, repeating) = (hear(&plain), hear(&repeating));
        let wrong = error(&repeating, &plain, 96_000..192_000);
        assert!(wrong < 0.4, "{wrong} of it is something else, {parameters:?}");
    }
}

#[test]
fn skipped_packets_move_what_follows_by_their_length() {
    for codec in [Codec::Aac, Codec::Mp2, Codec::Opus] {
        let mut encoder = AudioEncoder::new(codec, TARGET, 128_000).expect("an encoder");
        let mut times = Vec::new();
        let mut given = MediaTime::ZERO;
        for number in 0..100 {
            if number == 50 {
                let (next, length) = (encoder.next_time().expect("it began"), encoder.packet_duration().as_nanos());
                times.extend((0..7).map(|n| next + MediaTime::from_nanos(length * n)));
                encoder.skip(7);
                given += MediaTime::from_nanos(length * 7);
            }
            encoder.encode(&sine(480), given, Instant::now()).expect("whole frames");
            given += MediaTime::from_ticks(480, 48_000);
            times.extend(std::iter::from_fn(|| encoder.receive()).filter_map(|packet| packet.pts));
        }
        let step = encoder.packet_duration();
        for pair in times.windows(2) {
            assert!((pair[1] - pair[0] - step).abs() < MediaTime::from_micros(5), "{codec:?}: {pair:?}");
        }
        assert!(times.len() > 40);
    }
}

#[test]
fn aac_clock_slews_small_errors_and_follows_gaps() {
    let piece = sine(1_024);
    let step = MediaTime::from_ticks(1_024, 48_000);
    let mut encoder = AudioEncoder::new(Codec::Aac, TARGET, 128_000).expect("an encoder");
    let mut times = Vec::new();
    let mut pts = MediaTime::ZERO;
    for number in 0..40 {
        let jitter = MediaTime::from_millis(if number % 2 == 0 { 5 } else { -5 });
        let gap = if number >= 20 { MediaTime::from_millis(3_000) } else { MediaTime::ZERO };
        encoder.encode(&piece, pts + jitter + gap, Instant::now()).expect("whole frames");
        pts += step;
        times.extend(std::iter::from_fn(|| encoder.receive()).filter_map(|packet| packet.pts));
    }
    let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let jumps = steps.iter().filter(|&&distance| distance > MediaTime::from_millis(1_000)).count();
    assert_eq!(jumps, 1);
    let smooth = |distance: &&MediaTime| (**distance - step).abs() < MediaTime::from_micros(500);
    assert_eq!(steps.iter().filter(smooth).count(), steps.len() - 1);
}

#[test]
fn packet_that_a_gap_interrupts_is_not_made() {
    for codec in [Codec::Aac, Codec::Mp2, Codec::Opus] {
        let mut encoder = AudioEncoder::new(codec, TARGET, 128_000).expect("an encoder");
        // All of them cut inside a packet at 310 ms.
        let gap = MediaTime::from_millis(1_500);
        let (mut early, length) = (0, encoder.packet_duration());
        for number in 0..100 {
            let given = MediaTime::from_millis(10 * number) + if number < 31 { MediaTime::ZERO } else { gap };
            encoder.encode(&sine(480), given, Instant::now()).expect("whole frames");
            let times = std::iter::from_fn(|| encoder.receive()).filter_map(|packet| packet.pts);
            // What the encoder holds back, whole, is an older sound's.
            early += times.filter(|&time| number >= 31 && time + length > MediaTime::from_millis(310) && time < gap).count();
        }
        assert_eq!(early, 0, "{codec:?}");
    }
}

#[test]
fn aac_refuses_what_it_has_not() {
    let odd = AudioFormat { rate: 12_345, channels: 2 };
    assert_eq!(AudioEncoder::new(Codec::Aac, odd, 128_000).map(drop).map_err(|error| error.remedy()), Err(Remedy::Report));
    let mut encoder = AudioEncoder::new(Codec::Aac, TARGET, 128_000).expect("an encoder");
    assert_eq!(encoder.encode(&[0; 3], MediaTime::ZERO, Instant::now()).map_err(|error| error.remedy()), Err(Remedy::Drop));
}
