use std::time::Instant;

use crate::av::{H264Encoder, H264Settings, Preset, VideoDecoder};
use crate::{Codec, I420, MediaTime, Remedy, VideoFormat};

fn settings() -> H264Settings {
    let format = VideoFormat::new(320, 240, 30).expect("even and in range");
    H264Settings { format, bitrate_bps: 1_000_000, preset: Preset::Ultrafast }
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
    assert_eq!((sps[4], sps[5] & 0x40), (66, 0x40), "profile and constraint_set1");
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
