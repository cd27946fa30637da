use std::time::Duration;

use crosspoint_ffi::VideoFormat;
use crosspoint_ffi::av::{Preset, VideoDecoder};

use super::super::tests::shown;
use super::*;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;
/// What a repetition takes at most.
const REPETITION_BYTES: usize = 20;

/// A picture of blocks with noise of this strength, another for each `scene`.
fn picture(scene: u32, strength: u32) -> Vec<u8> {
    let mut state = scene;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 24
    };
    (0..WIDTH * HEIGHT * 3 / 2).map(|at| (60 + (at / 16 + scene) % 8 * 16 + noise() * strength / 256) as u8).collect()
}

fn settings(preset: Preset, bitrate_bps: u32) -> H264Settings {
    let format = VideoFormat::new(WIDTH, HEIGHT, 30).expect("a good format");
    H264Settings { format, bitrate_bps, max_bitrate_bps: bitrate_bps, preset }
}

fn pts(nth: usize) -> MediaTime {
    MediaTime::from(Duration::from_millis(100) * u32::try_from(nth).expect("few"))
}

/// Where the samples of macroblock `block` are in a packed picture.
fn samples_of(block: u32) -> impl Iterator<Item = usize> {
    let (x, y) = (block % WIDTH.div_ceil(16), block / WIDTH.div_ceil(16));
    [(0, 1), (WIDTH * HEIGHT, 2), (WIDTH * HEIGHT * 5 / 4, 2)].into_iter().flat_map(move |(start, scale)| {
        let (width, height, side) = (WIDTH / scale, HEIGHT / scale, 16 / scale);
        let columns = x * side..width.min((x + 1) * side);
        let rows = y * side..height.min((y + 1) * side);
        rows.flat_map(move |row| columns.clone().map(move |column| (start + row * width + column) as usize))
    })
}

/// What is asked of a film: a picture that changed much (C), little (c) or not (.), or a key frame of such a one (K, l and k).
const PLOT: &str = "K..........C......C............k.k.k..C.C..........kkk..CC..K........k....k....k....k.kk.C.k.....k.....k.....kCCk..........kC..k..kkC\
                    K.......c.c..c....c.k...c.l..cc.....k.k..lll...cC..........cccccccccccccccccccccccccccccccccccccccccc.....k......ccccc.k.lkc.cKc..C\
                    K..........c.k.......l..ckc..............................ccccccccccccccccccl.k.C.c.C......ccc....k....l.....cc..........";

#[test]
fn stream_that_was_not_all_encoded_shows_what_the_encoder_s_own_would_and_what_was_patched() {
    for (preset, bitrate_bps) in [(Preset::Ultrafast, 1_000_000), (Preset::Superfast, 500_000), (Preset::Veryfast, 8_000_000)] {
        let mut film = Film::new(settings(preset, bitrate_bps)).expect("libx264");
        let [mut decoder, mut own_decoder] = [(); 2].map(|()| VideoDecoder::new(Codec::H264).expect("a decoder"));
        let (mut scene, mut own, mut last_pts) = (0, Vec::new(), pts(0) - pts(1));
        let mut bytes = picture(0, 48);
        let mut counts = [0; 5];
        for (nth, step) in PLOT.chars().filter(|step| *step != ' ').enumerate() {
            let (much, few, key) = ("CK".contains(step), "cl".contains(step), "Kkl".contains(step));
            scene += u32::from(much || few);
            // Three of them at most, which may be the same.
            let blocks = union(&[], &[7, 11, 13].map(|factor| scene * factor % (20 * 12)));
            if much {
                bytes = picture(scene, 48);
            } else if few {
                let fresh = picture(scene, 200);
                blocks.iter().flat_map(|&block| samples_of(block)).for_each(|at| bytes[at] = fresh[at]);
            }
            let picture = I420::packed(&bytes, WIDTH, HEIGHT).expect("sized");
            let change = if much {
                Change::Much
            } else if few {
                Change::Few(&blocks)
            } else {
                Change::Nothing
            };
            let mut made = film.next(&picture, pts(nth), Instant::now(), key, change).expect("encoded");
            let told = format!("{preset:?}, picture {nth}, {step}, {:?}", made.work);
            let times: Vec<_> = made.packets.iter().map(|packet| packet.pts.expect("a time")).collect();
            assert!(times[0] > last_pts && times.is_sorted() && times.last() == Some(&pts(nth)), "{told}: {times:?}");
            last_pts = pts(nth);
            assert_eq!(made.packets.iter().filter(|packet| packet.key).count(), usize::from(key), "{told}");
            let packet = made.packets.pop().expect("a packet for each picture");
            assert_eq!(made.packets.first().unwrap_or(&packet).key, key, "{told}");
            counts[4] += made.packets.len();
            made.packets.iter().for_each(|packet| drop(shown(&mut decoder, packet)));
            let seen = shown(&mut decoder, &packet);
            match made.work {
                Work::Encoded => {
                    let data = Payload::copy_from_slice(&film.encoders_own);
                    own = shown(&mut own_decoder, &Packet { data, ..packet });
                }
                Work::Patched => blocks.iter().flat_map(|&block| samples_of(block)).for_each(|at| own[at] = bytes[at]),
                Work::Repeated => {}
            }
            let kind = match made.work {
                Work::Encoded => 0,
                Work::Patched => 1,
                Work::Repeated => 2 + usize::from(key),
            };
            counts[kind] += 1;
            // What is sent again is as it was when it is complete.
            assert!(seen == own || film.rest.as_ref().is_some_and(Rest::is_behind), "{told}");
        }
        assert!(counts.iter().all(|&count| count > 4), "{preset:?}: encoded, patched, repeated, keys again, caught up: {counts:?}");
    }
}

#[test]
fn change_in_the_middle_of_what_is_sent_again_comes_behind_all_of_it() {
    let mut film = Film::new(settings(Preset::Ultrafast, 300_000)).expect("libx264");
    let mut next = |nth: usize, key, changed| {
        let bytes = picture(u32::from(nth > 21), 255);
        let picture = I420::packed(&bytes, WIDTH, HEIGHT).expect("sized");
        film.next(&picture, pts(nth), Instant::now(), key, if changed { Change::Much } else { Change::Nothing }).expect("encoded")
    };
    (0..20).for_each(|nth| drop(next(nth, nth == 0, nth == 0)));
    let again = next(20, true, false);
    assert!(again.work == Work::Repeated && again.packets.len() == 1 && again.packets[0].key);
    let second = next(21, false, false);
    assert!(second.work == Work::Repeated && second.packets[0].data.len() > REPETITION_BYTES, "the finer one behind it");
    let changed = next(22, false, true);
    assert!(changed.work == Work::Encoded && changed.packets.len() == MOST as usize - 1, "{} packets", changed.packets.len());
}

#[test]
fn rough_picture_is_refined_before_it_is_repeated() {
    let mut film = Film::new(settings(Preset::Ultrafast, 300_000)).expect("libx264");
    let bytes = picture(1, 128);
    let picture = I420::packed(&bytes, WIDTH, HEIGHT).expect("sized");
    let mut encoded = 0;
    for nth in 0..20 {
        let was_rough = film.is_rough();
        let made = film
            .next(&picture, pts(nth), Instant::now(), nth == 0, if nth == 0 { Change::Much } else { Change::Nothing })
            .expect("encoded");
        assert!((made.work == Work::Encoded) == (was_rough || nth == 0), "picture {nth}");
        encoded += u32::from(made.work == Work::Encoded);
    }
    assert!((2..=MOST).contains(&encoded) && !film.is_rough(), "{encoded}");
}
