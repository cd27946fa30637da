use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crosspoint_ffi::av::VideoDecoder;
use crosspoint_ffi::{Bgra, Codec, I420, Plane};

use super::canvas::Canvas;
use super::half::Half;
use super::*;

/// A private X server, killed when dropped.
struct Server(Child, String);

impl Server {
    fn start(arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset"]).args(arguments);
        let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn() else {
            return skip("Xvfb does not start");
        };
        let mut server = Self(child, String::new());
        let mut number = String::new();
        BufReader::new(server.0.stdout.take().expect("piped")).read_line(&mut number).expect("a pipe");
        server.1 = format!(":{}", number.trim());
        Some(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip<T>(why: &str) -> Option<T> {
    eprintln!("skipped: {why}");
    None
}

fn screen(display: &str) -> Screen {
    Screen::new(Some(display.to_owned()), Instant::now())
}

fn settings(codec: ScreenCodec, frame_rate: u32) -> EncodeSettings {
    EncodeSettings {
        frame_rate,
        codec,
        rendition: Rendition::Whole,
        bitrate_bps: 1_000_000,
        first_bitrate_bps: 1_000_000,
        max_bitrate_bps: 1_000_000,
        preset: Preset::default(),
    }
}

/// The next packet, waited for.
fn next(packets: &mut mpsc::Receiver<Packet>) -> Packet {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match packets.try_recv() {
            Ok(packet) => return packet,
            Err(mpsc::error::TryRecvError::Disconnected) => panic!("the encoding ended"),
            Err(mpsc::error::TryRecvError::Empty) => assert!(Instant::now() < deadline, "no packet comes"),
        }
        std::thread::yield_now();
    }
}

/// The planes of a picture, packed one behind the other.
fn samples(picture: &I420<'_>) -> Vec<u8> {
    let (width, height) = (picture.width, picture.height);
    let planes = [(picture.y, width, height), (picture.u, width / 2, height / 2), (picture.v, width / 2, height / 2)];
    planes.into_iter().flat_map(|(plane, width, height)| (0..height).flat_map(move |y| plane.row(y, width).to_vec())).collect()
}

/// What a decoder shows for `packet`, its planes packed one behind the other.
pub(super) fn shown(decoder: &mut VideoDecoder, packet: &Packet) -> Vec<u8> {
    decoder.send(packet).expect("a good packet");
    let shown = decoder.receive().expect("a good packet").expect("a picture for each packet");
    samples(&shown.as_i420().expect("planar"))
}

/// The mean luma of what `packet`, a key frame, shows, and its size.
fn luma(packet: &Packet) -> (u64, (usize, usize)) {
    let mut decoder = VideoDecoder::new(packet.codec).expect("a decoder");
    decoder.send(packet).expect("a good packet");
    let picture = decoder.receive().expect("a good packet").expect("a picture");
    let picture = picture.as_i420().expect("planar");
    let rows = (0..picture.height).flat_map(|y| picture.y.row(y, picture.width));
    (rows.map(|&luma| u64::from(luma)).sum::<u64>() / (picture.width * picture.height) as u64, (picture.width, picture.height))
}

fn wait(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::yield_now();
    }
}

#[test]
fn display_that_is_not_there_is_black_in_every_codec_and_said_so() {
    let screen = screen(":59999");
    let codecs = [(ScreenCodec::H264, Codec::H264), (ScreenCodec::Mpeg1, Codec::Mpeg1Video), (ScreenCodec::Vp8, Codec::Vp8)];
    let started = codecs.map(|(ours, codec)| {
        let (sender, packets) = mpsc::channel(64);
        (screen.encode(settings(ours, 30), sender), packets, codec)
    });
    for (_encode, mut packets, codec) in started {
        let packet = next(&mut packets);
        assert!(packet.codec == codec && packet.key, "{packet:?}");
        let (luma, size) = luma(&packet);
        assert!(luma.abs_diff(16) <= 1 && size == (1_280, 720), "{codec:?}: {luma} {size:?}");
        // Players get their refreshes of a missing display too.
        assert!(!next(&mut packets).key);
    }
    assert!(screen.trouble().is_some_and(|trouble| trouble.contains("59999")), "{:?}", screen.trouble());
    assert!(!screen.view().live.load(Relaxed));
}

#[test]
fn encodings_of_several_rates_and_codecs_share_one_capture() {
    let Some(server) = Server::start(&["-screen", "0", "641x481x24"]) else { return };
    let screen = screen(&server.1);
    let start = |codec, frame_rate| {
        let (sender, packets) = mpsc::channel(64);
        let encode = screen.encode(settings(codec, frame_rate), sender);
        encode.set_refresh(Refresh::Constant);
        (encode, packets)
    };
    let (_slow, mut slow) = start(ScreenCodec::H264, 15);
    let (_fast, mut fast) = start(ScreenCodec::H264, 60);
    let (mpeg1, mut old) = start(ScreenCodec::Mpeg1, 30);
    let times =
        |packets: &mut mpsc::Receiver<Packet>, count| (0..count).map(|_| next(packets).pts.expect("a time").to_90khz()).collect::<Vec<_>>();
    let (slow, fast, old) = (times(&mut slow, 6), times(&mut fast, 24), times(&mut old, 12));
    // Even steps, but where this machine slept through a picture.
    let step = |times: &[i64], expected: i64| times.windows(2).filter(|pair| (pair[1] - pair[0] - expected).abs() <= 1).count();
    assert!(step(&slow, 6_000) >= 3 && step(&fast, 1_500) >= 12 && step(&old, 3_000) >= 6, "{slow:?} {fast:?} {old:?}");
    let view = screen.view();
    let h264_pictures = || view.h264.load(Relaxed) + view.repeats.load(Relaxed);
    assert_eq!(view.encoders.load(Relaxed), 3);
    assert!(h264_pictures() >= 30 && view.mpeg1.load(Relaxed) >= 12);
    assert!(view.repeats.load(Relaxed) > view.h264.load(Relaxed), "the encoder is left alone: {view:?}");
    // The server's own cursor may appear after the first look; else nothing moves.
    assert!(view.captures.load(Relaxed) <= 2, "{view:?}");
    drop(mpeg1);
    wait("MPEG-1 to end", || {
        let before = view.mpeg1.load(Relaxed);
        let pictures = h264_pictures();
        while h264_pictures() < pictures + 8 && view.overruns.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        view.mpeg1.load(Relaxed) == before
    });
}

#[test]
fn still_screen_costs_one_picture_where_nobody_needs_more() {
    let Some(server) = Server::start(&["-screen", "0", "640x480x24"]) else { return };
    let screen = screen(&server.1);
    let (sender, mut packets) = mpsc::channel(64);
    let encode = screen.encode(settings(ScreenCodec::H264, 60), sender);
    encode.set_refresh(Refresh::Never);
    let first = next(&mut packets);
    assert!(first.key);
    encode.want_key();
    let mut ordered = next(&mut packets);
    // A look for the server's own cursor may come between.
    if !ordered.key {
        ordered = next(&mut packets);
    }
    assert!(ordered.key);
    assert_eq!(luma(&ordered).1, (640, 480));
    encode.set_refresh(Refresh::Seldom);
    assert!(!next(&mut packets).key, "players need more");
    assert!(screen.view().captures.load(Relaxed) <= 2, "{:?}", screen.view());
    assert!(screen.trouble().is_none());
}

#[test]
fn full_queue_drops_and_goes_on_with_a_key_frame() {
    let screen = screen(":59998");
    let (sender, mut packets) = mpsc::channel(2);
    let encode = screen.encode(settings(ScreenCodec::H264, 60), sender);
    encode.set_refresh(Refresh::Constant);
    wait("the queue to overflow", || screen.view().overruns.load(Relaxed) > 0);
    let keys: Vec<bool> = (0..3).map(|_| next(&mut packets).key).collect();
    assert_eq!(keys, [true, false, true]);
}

#[test]
fn thread_ends_with_the_last_encoding_and_begins_again_with_the_next() {
    let screen = screen(":59997");
    for _ in 0..3 {
        let (sender, mut packets) = mpsc::channel(64);
        let encode = screen.encode(settings(ScreenCodec::Mpeg1, 25), sender);
        assert!(next(&mut packets).key);
        drop(encode);
        // Only the thread holds another.
        wait("the thread to end", || Arc::strong_count(&screen.shared) == 1);
        assert!(screen.shared.roster().wake.is_none());
    }
}

#[test]
fn bitrate_is_changed_at_once_or_with_a_new_encoder() {
    let screen = screen(":59996");
    for (codec, encoders) in [(ScreenCodec::H264, 1), (ScreenCodec::Vp8, 2), (ScreenCodec::Mpeg1, 2)] {
        let before = screen.view().encoders.load(Relaxed);
        let (sender, mut packets) = mpsc::channel(64);
        let encode = screen.encode(settings(codec, 60), sender);
        encode.set_refresh(Refresh::Constant);
        assert!(next(&mut packets).key);
        encode.set_bitrate(300_000);
        let keys = (0..6).filter(|_| next(&mut packets).key).count();
        assert_eq!((keys, screen.view().encoders.load(Relaxed) - before), (encoders - 1, encoders as u64), "{codec:?}");
    }
}

#[test]
fn half_size_rendition_is_half_as_wide_and_high() {
    let screen = screen(":59995");
    for codec in [ScreenCodec::H264, ScreenCodec::Vp8] {
        let (sender, mut packets) = mpsc::channel(64);
        let settings = EncodeSettings { rendition: Rendition::Half, ..settings(codec, 30) };
        let _encode = screen.encode(settings, sender);
        let (luma, size) = luma(&next(&mut packets));
        assert!(luma.abs_diff(16) <= 1 && size == (640, 360), "{codec:?}: {luma} {size:?}");
    }
}

#[test]
fn caret_is_patched_into_the_whole_picture_and_into_the_half_of_it_alike() {
    const WIDTH: usize = 642;
    const HEIGHT: usize = 362;
    let rows = |screen: &[u8], canvas: &mut Canvas, rows| {
        let pixels = Plane { data: screen, stride: WIDTH * 4 };
        canvas.draw(&Bgra { width: WIDTH, height: HEIGHT, pixels }, &[rows], Instant::now()).expect("inside");
    };
    for rendition in [Rendition::Whole, Rendition::Half] {
        let shared = Screen::new(None, Instant::now()).shared;
        let (sender, mut packets) = mpsc::channel(8);
        let settings = EncodeSettings { rendition, ..settings(ScreenCodec::H264, 30) };
        let mut encoding = Encoding::new(settings, Arc::new(Orders::new(settings.first_bitrate_bps, None)), sender);
        let (mut canvas, mut half) = (Canvas::new((WIDTH as u32, HEIGHT as u32)), Half::default());
        let mut decoder = VideoDecoder::new(Codec::H264).expect("a decoder");
        let mut now = shared.epoch;
        // The picture that is to be seen, and the one that is.
        let mut turn = |canvas: &Canvas| {
            now += Duration::from_millis(100);
            encoding.turn(canvas, now, &shared);
            let seen = std::iter::from_fn(|| packets.try_recv().ok()).map(|packet| shown(&mut decoder, &packet)).last();
            half.take(&canvas.picture());
            let picture = if rendition == Rendition::Half { half.picture() } else { canvas.picture() };
            (samples(&picture), seen)
        };
        // A page with something on it, which the encoder makes as fine as can be.
        let mut screen: Vec<_> = (0..WIDTH * HEIGHT * 4).map(|at| (at / 4 % WIDTH / 9 * 20 + at / 4 / WIDTH / 7 * 30) as u8).collect();
        rows(&screen, &mut canvas, 0..HEIGHT);
        let mut before = Vec::new();
        for _ in 0..8 {
            before = turn(&canvas).0;
        }
        for nth in 1..20 {
            let (column, row) = (nth * 31, nth * 17);
            (row..row + 19).for_each(|row| screen[(row * WIDTH + column) * 4..][..8].iter_mut().for_each(|value| *value ^= 0xff));
            rows(&screen, &mut canvas, row / 2 * 2..(row + 20) / 2 * 2);
            let (picture, seen) = turn(&canvas);
            let seen = seen.expect("a picture for each change");
            let differing: Vec<_> = (0..picture.len()).filter(|&at| picture[at] != before[at]).collect();
            let wrong = differing.iter().filter(|&&at| seen[at] != picture[at]).count();
            assert!(differing.len() > 10 && wrong == 0, "{rendition:?}, {nth}: {wrong} of {} are not as they were drawn", differing.len());
            assert_eq!(shared.view.patches.load(Relaxed), nth as u64, "{rendition:?}");
            before = picture;
        }
    }
}
