use std::sync::Arc;

use crosspoint_ffi::{Codec, Parameters};

use super::*;

const BOTH: Wanted = Wanted { video: true, audio: true };
const CANVAS: (u32, u32) = (1280, 720);

fn picture(index: usize, size: (u32, u32), bitrate_bps: u64, variant: Option<u32>) -> Track {
    let parameters = Arc::new(Parameters { size, ..Parameters::default() });
    Track { index, codec: Codec::H264, parameters, bitrate_bps, is_still: false, variant }
}

fn sound(index: usize, bitrate_bps: u64, variant: Option<u32>) -> Track {
    Track { codec: Codec::Aac, ..picture(index, (0, 0), bitrate_bps, variant) }
}

#[test]
fn largest_picture_that_fits_is_chosen_else_the_smallest_that_does_not() {
    let sizes = |sizes: &[(u32, u32)]| sizes.iter().enumerate().map(|(index, &size)| picture(index, size, 0, None)).collect::<Vec<_>>();
    let cases: [(&[(u32, u32)], usize); 4] = [
        (&[(640, 360), (1280, 720), (1920, 1080)], 1),
        (&[(3840, 2160), (1920, 1080)], 1),
        (&[(320, 180), (640, 360)], 1),
        (&[(720, 1280), (360, 640)], 1),
    ];
    for (asked, chosen) in cases {
        assert_eq!(choose(&sizes(asked), BOTH, CANVAS, 0).tracks, [chosen], "{asked:?}");
    }
}

#[test]
fn sound_is_the_best_of_the_pictures_variant() {
    let tracks = [
        picture(0, (640, 360), 500, Some(0)),
        sound(1, 64, Some(0)),
        picture(2, (1280, 720), 2_000, Some(1)),
        sound(3, 64, Some(1)),
        sound(4, 128, Some(1)),
        sound(5, 999, Some(2)),
    ];
    assert_eq!(choose(&tracks, BOTH, CANVAS, 0).tracks, [2, 4]);
    assert_eq!(choose(&tracks, BOTH, CANVAS, 1).tracks, [0, 1]);
    assert_eq!(choose(&tracks, Wanted { video: false, audio: true }, CANVAS, 0).tracks, [4]);
    assert_eq!(choose(&tracks, Wanted { video: true, audio: false }, CANVAS, 0).tracks, [2]);
}

#[test]
fn steps_lead_down_to_the_smallest_rendition_and_no_further() {
    let tracks: Vec<_> = (0..4).map(|n| picture(n, (320 << n, 180 << n), 500 << n, Some(n as u32))).collect();
    let chosen = |steps| choose(&tracks, BOTH, CANVAS, steps);
    assert_eq!((chosen(0).tracks, chosen(0).can_step_down), (vec![2], true));
    assert_eq!((chosen(1).tracks, chosen(1).can_step_down), (vec![1], true));
    assert_eq!((chosen(2).tracks, chosen(2).can_step_down), (vec![0], false));
    assert_eq!(chosen(9).tracks, [0]);
}

#[test]
fn cover_art_is_no_picture_beside_a_moving_one() {
    let cover = Track { is_still: true, ..picture(0, (600, 600), 0, None) };
    let film = picture(1, (64, 64), 0, None);
    assert_eq!(choose(&[cover.clone(), film], BOTH, CANVAS, 0), Choice { tracks: vec![1], has_video: true, ..Choice::default() });
    assert!(choose(&[cover], BOTH, CANVAS, 0).is_still);
    assert_eq!(choose(&[], BOTH, CANVAS, 0), Choice::default());
}

#[test]
fn reading_slower_than_real_time_is_told() {
    for (per_packet_ms, slow) in [(1, false), (40, false), (44, false), (60, true), (3_000, true)] {
        let mut meter = Meter::default();
        let told = (0..2_000).any(|n| meter.is_slow(Some(MediaTime::from_millis(n * 40)), Duration::from_millis(per_packet_ms)));
        assert_eq!(told, slow, "{per_packet_ms} ms for 40 ms");
    }
}
