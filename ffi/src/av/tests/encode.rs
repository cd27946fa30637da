use std::time::Instant;

use crate::av::{H264Encoder, H264Settings, Mpeg1Encoder, Preset, VideoDecoder, Vp8Encoder};
use crate::{Codec, I420, MediaTime, Packet, Remedy, VideoFormat};

fn settings() -> H264Settings {
    let format = VideoFormat::new(320, 240, 30).expect("even and in range");
    H264Settings { format, bitrate_bps: 1_000_000, max_bitrate_bps: 1_000_000, preset: Preset::Ultrafast }
}

fn picture(number: usize) -> Vec<u8> {
    let luma = (0..240 * 320).map(|at| (16 + (at % 320 + at / 320 + number * 3) % 200) as u8);
    luma.chain(std::iter::repeat_n(128, 320 * 240 / 2)).collect()
}

/// The types of the NAL units of an Annex B stream.
fn units(bytes: &[u8]) -> Vec<u8> {
    bytes.windows(4).filter(|window| window[..3] == [0, 0, 1]).map(|window| window[3] & 0x1f).collect()
}

#[test]
fn picture_goes_in_and_comes_out_in_one_call() {
    let mut encoder = H264Encoder::new(settings()).expect("libx264");
    let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
    for number in 0..40 {
        let bytes = picture(number);
        let source = I420::packed(&bytes, 320, 240).expect("sized");
        let (pts, captured) = (MediaTime::from_millis(33 * number as i64), Instant::now());
        let wanted = number % 15 == 0;
        let packet = encoder.encode(&source, pts, captured, wanted).expect("encoded").expect("no delay");
        assert_eq!((packet.pts, packet.dts, packet.key, packet.arrival), (Some(pts), Some(pts), wanted, captured));
        let units = units(&packet.data);
        assert_eq!([7, 8, 5].map(|unit| units.contains(&unit)), [wanted; 3], "{units:?}");
        decoder.send(&packet).expect("a good packet");
        let decoded = decoder.receive().expect("a good packet").expect("no delay");
        let decoded = decoded.as_i420().expect("planar");
        let error: u64 = (0..240)
            .flat_map(|row| source.y.row(row, 320).iter().zip(decoded.y.row(row, 320)))
            .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
            .sum();
        assert!(error / (320 * 240) < 60, "picture {number}: mean square error {}", error / (320 * 240));
    }
}

#[test]
fn first_picture_is_a_key_frame_of_constrained_baseline() {
    let mut encoder = H264Encoder::new(settings()).expect("libx264");
    let bytes = picture(0);
    let source = I420::packed(&bytes, 320, 240).expect("sized");
    let packet = encoder.encode(&source, MediaTime::ZERO, Instant::now(), false).expect("encoded").expect("no delay");
    let sps = packet.data.windows(6).find(|window| window[..3] == [0, 0, 1] && window[3] & 0x1f == 7).expect("an SPS");
    assert!(packet.key);
    assert_eq!(sps[4..6], [0x42, 0xc0], "profile_idc, and constraint_set0 and 1");
}

#[test]
fn mpeg1_and_vp8_are_made_without_delay_and_key_when_asked() {
    type Encode = Box<dyn FnMut(&I420<'_>, MediaTime, bool) -> Packet>;
    let format = VideoFormat::new(320, 240, 15).expect("even and in range");
    let (mut mpeg1, mut vp8) =
        (Mpeg1Encoder::new(format, 1_000_000).expect("built in"), Vp8Encoder::new(format, 1_000_000).expect("libvpx"));
    let mpeg1: Encode =
        Box::new(move |picture, pts, key| mpeg1.encode(picture, pts, Instant::now(), key).expect("encoded").expect("no delay"));
    let vp8: Encode = Box::new(move |picture, pts, key| vp8.encode(picture, pts, Instant::now(), key).expect("encoded").expect("no delay"));
    for (codec, mut encode) in [(Codec::Mpeg1Video, mpeg1), (Codec::Vp8, vp8)] {
        let mut decoder = VideoDecoder::new(codec).expect("a decoder");
        let mut bytes_out = 0;
        for number in 0..40 {
            // One picture is encoded from memory that is gone at the next.
            let bytes = picture(number);
            let source = I420::packed(&bytes, 320, 240).expect("sized");
            let pts = MediaTime::from_millis(66 * number as i64);
            let packet = encode(&source, pts, number == 20);
            assert_eq!((packet.codec, packet.pts, packet.key), (codec, Some(pts), number % 20 == 0), "picture {number}");
            bytes_out += packet.data.len();
            decoder.send(&packet).expect("a good packet");
            let decoded = decoder.receive().expect("a good packet").expect("no delay");
            let decoded = decoded.as_i420().expect("planar");
            let error: u64 = (0..240)
                .flat_map(|row| source.y.row(row, 320).iter().zip(decoded.y.row(row, 320)))
                .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
                .sum();
            assert!(error / (320 * 240) < 60, "{codec:?} {number}: mean square error {}", error / (320 * 240));
        }
        assert!(bytes_out < 600_000, "{codec:?}: {bytes_out} bytes of 2.6 s");
    }
}

#[test]
fn times_that_stand_still_are_encoded() {
    let mut encoder = H264Encoder::new(settings()).expect("libx264");
    let bytes = picture(0);
    let source = I420::packed(&bytes, 320, 240).expect("sized");
    for _ in 0..3 {
        assert!(encoder.encode(&source, MediaTime::ZERO, Instant::now(), false).expect("encoded").is_some());
    }
    encoder.set_bitrate(300_000);
    assert!(encoder.encode(&source, MediaTime::ZERO, Instant::now(), false).expect("encoded").is_some());
}

#[test]
fn picture_of_another_size_is_refused() {
    let mut encoder = H264Encoder::new(settings()).expect("libx264");
    let bytes = picture(0);
    let source = I420::packed(&bytes, 160, 120).expect("sized");
    let refused = encoder.encode(&source, MediaTime::ZERO, Instant::now(), false);
    assert_eq!(refused.map(drop).map_err(|error| error.remedy()), Err(Remedy::Drop));
}

/// The bits of each second that a screen of noise, new in every picture, is encoded into by `encoder`, `rate` pictures a second.
fn bits_of_noise(encoder: &mut H264Encoder, seconds: usize) -> Vec<u64> {
    let (mut state, rate) = (1_u32, 30);
    let mut second = |second: usize| {
        let picture = |number: usize| {
            let noise = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            let bytes: Vec<u8> = noise.take(320 * 240 * 3 / 2).collect();
            let pts = MediaTime::from_nanos((second * rate + number) as i64 * 1_000_000_000 / rate as i64);
            let source = I420::packed(&bytes, 320, 240).expect("sized");
            let packet = encoder.encode(&source, pts, Instant::now(), false).expect("encoded").expect("no delay");
            packet.data.len() as u64 * 8
        };
        (0..rate).map(picture).sum()
    };
    (0..seconds).map(&mut second).collect()
}

#[test]
fn noise_keeps_to_the_average_and_no_second_exceeds_the_maximum() {
    let settings = H264Settings { bitrate_bps: 2_000_000, max_bitrate_bps: 2_500_000, ..settings() };
    let mut encoder = H264Encoder::new(settings).expect("libx264");
    let seconds = bits_of_noise(&mut encoder, 10);
    // The first second begins with an empty buffer, and may fill its 300 ms, too; of the others each may be off by a picture.
    assert!(seconds[0] <= 3_250_000, "{seconds:?}");
    assert!(seconds[1..].iter().all(|bits| *bits <= 2_600_000), "{seconds:?}");
    let settled = seconds[6..].iter().sum::<u64>() / 4;
    assert!((1_900_000..=2_050_000).contains(&settled), "not the average: {seconds:?}");
    encoder.set_bitrate(1_000_000);
    let lowered = bits_of_noise(&mut encoder, 4);
    assert!(lowered[1..].iter().all(|bits| *bits <= 1_050_000), "what was lowered is the maximum, too: {lowered:?}");
}

#[test]
fn key_frame_after_a_rest_is_as_fine_as_the_first() {
    let mut encoder = H264Encoder::new(settings()).expect("libx264");
    let mut state = 1_u32;
    let detail = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let bytes: Vec<u8> = detail.take(320 * 240 * 3 / 2).collect();
    let source = I420::packed(&bytes, 320, 240).expect("sized");
    let mut error_after = |seconds: i64| {
        let packet =
            encoder.encode(&source, MediaTime::from_millis(seconds * 1_000), Instant::now(), true).expect("encoded").expect("no delay");
        let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
        decoder.send(&packet).expect("a good packet");
        let shown = decoder.receive().expect("a good packet").expect("a picture");
        let shown = shown.as_i420().expect("planar");
        let rows = (0..240).flat_map(|row| source.y.row(row, 320).iter().zip(shown.y.row(row, 320)));
        rows.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>() / (320 * 240)
    };
    let first = error_after(0);
    // The buffer is credited with the rest at the end of the picture behind it.
    error_after(1);
    let later = [2, 3, 4].map(error_after);
    assert!(later.iter().all(|error| *error < first * 5 / 4), "mean square errors: {first}, then {later:?}");
}
