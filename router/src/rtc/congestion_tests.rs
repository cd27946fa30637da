//! What a viewer is sent over ways that cannot carry it all.

use std::time::Duration;

use crosspoint_ffi::MediaTime;
use str0m::format::Codec::{self, H264, Opus};
use str0m::media::MediaKind::{Audio, Video};

use super::simulation::{BITRATE_BPS, Link, World};
use super::tests::{FRAME, access_unit, ms, picture, sound};
use super::{PeerOutput, Role};

/// An encoder and its viewer.
struct Show {
    world: World,
    /// Fixed, or what the viewer said last.
    bitrate_bps: Option<u32>,
    frames: u32,
    keys: usize,
}

impl Show {
    fn new(link: Link, bitrate_bps: Option<u32>) -> Self {
        Self::of(World::new(&[Audio, Video], Role::Viewer, link), bitrate_bps)
    }

    fn of(mut world: World, bitrate_bps: Option<u32>) -> Self {
        world.connect();
        Self { world, bitrate_bps, frames: 0, keys: usize::MAX }
    }

    /// Shows 30 pictures a second, a third of a second's bits in key frames, and sound.
    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds * 30 {
            let able = self.world.able.last().map_or(BITRATE_BPS, |&(_, bits)| bits.clamp(200_000, BITRATE_BPS));
            let bytes = self.bitrate_bps.unwrap_or(able) as usize / 8 / 30;
            let asked = self.world.count(|output| matches!(output, PeerOutput::KeyWanted));
            let key = self.keys != asked;
            self.keys = asked;
            let unit = access_unit(key, if key { bytes * 6 } else { bytes });
            let (now, time) = (self.world.now, MediaTime::from(self.world.now - self.world.start));
            self.world.peers.write(self.world.id, &picture(key, &unit, time, now), now, now);
            self.world.peers.write(self.world.id, &sound(time, now), now, now);
            self.world.run(FRAME);
            self.frames += 1;
        }
    }

    fn able(&self) -> u32 {
        self.world.able.last().expect("an estimate").1
    }

    fn got(&self, codec: Codec) -> usize {
        self.world.client_got.iter().filter(|data| data.params.spec().codec == codec).count()
    }
}

/// The offer of a viewer that does not say when packets arrived.
fn plain(sdp: String) -> String {
    let kept = |line: &&str| !line.contains("transport-wide-cc") && !line.contains("transport-cc");
    sdp.lines().filter(kept).map(|line| format!("{line}\r\n")).collect()
}

/// A way that carries so much.
fn way(bits_per_second: u64) -> Link {
    Link { delay: ms(25), bits_per_second: Some(bits_per_second), ..Link::GOOD }
}

#[test]
fn wide_way_is_used_and_pictures_are_not_thinned_out() {
    let mut show = Show::new(way(20_000_000), None);
    show.run(20);
    assert!(show.able() >= BITRATE_BPS, "{}", show.able());
    assert!(show.got(H264) + 5 >= show.frames as usize, "{} of {}", show.got(H264), show.frames);
}

#[test]
fn narrow_way_is_found_and_its_widening_too() {
    let mut show = Show::new(way(1_000_000), None);
    show.run(20);
    let before = show.got(H264);
    show.run(20);
    let (since, now) = (show.world.now - show.world.start - ms(20_000), show.got(H264) - before);
    let seen: Vec<u64> = show.world.able.iter().filter(|(at, _)| *at > since).map(|&(_, bits)| u64::from(bits)).collect();
    let mean = seen.iter().sum::<u64>() / seen.len() as u64;
    assert!((400_000..=1_000_000).contains(&mean), "{mean} bits a second of a million");
    assert!(now > 540, "{now} of 600 pictures");
    show.world.link = way(20_000_000);
    show.run(10);
    assert!(show.able() >= BITRATE_BPS, "{}", show.able());
}

#[test]
fn way_that_narrows_is_answered_by_the_first_feedback_that_can_tell() {
    for (delay, kilobits) in [(10, 500), (10, 2_000), (25, 1_000), (50, 1_500), (100, 500), (100, 2_000)] {
        let link = |bits_per_second| Link { delay: ms(delay), ..way(bits_per_second) };
        let mut show = Show::new(link(20_000_000), None);
        show.run(10);
        show.world.link = link(kilobits * 1_000);
        let at = show.world.now - show.world.start;
        show.run(5);
        let fits = |&&(when, bits): &&(Duration, u32)| when > at && u64::from(bits) <= kilobits * 1_000;
        let answered = show.world.able.iter().find(fits).map(|(when, _)| *when - at);
        // A round trip; and what a picture takes to get through, and to be told of with others, every 100 ms.
        assert!(answered.is_some_and(|after| after < ms(2 * delay + 160)), "{kilobits} kbit/s, {delay} ms away: {answered:?}");
    }
}

#[test]
fn way_that_narrowed_is_used_meanwhile_the_estimate_recovers() {
    let (mut seen, mut carried, mut ways) = (0, 0.0, 0);
    for kilobits in [500, 600, 700, 800, 900, 1_000, 1_200, 1_500, 2_000] {
        for before in [3_500_000, 20_000_000] {
            let mut show = Show::new(way(before), None);
            show.run(10);
            show.world.client_got.clear();
            show.world.link = way(kilobits * 1_000);
            show.run(6);
            let bytes: usize = show.world.client_got.iter().map(|data| data.data.len()).sum();
            seen += show.got(H264);
            carried += bytes as f64 * 8.0 / 6.0 / (kilobits * 1_000) as f64;
            ways += 1;
        }
    }
    // One by one it is luck: a key frame more or less. By the estimate alone it is 0.71 and 0.51.
    let (pictures, carried) = (seen as f64 / f64::from(ways * 180), carried / f64::from(ways));
    assert!(pictures > 0.77 && carried > 0.555, "{pictures:.3} of the pictures, {carried:.3} of what the ways carry");
}

#[test]
fn sound_survives_where_pictures_starve() {
    let mut show = Show::new(way(250_000), Some(BITRATE_BPS));
    show.run(30);
    let (pictures, sounds) = (show.got(H264), show.got(Opus));
    assert!(sounds > 855, "{sounds} of 900 packets of sound");
    assert!(pictures < 200, "{pictures} pictures through a way that carries a twelfth");
    let asked = show.world.count(|output| matches!(output, PeerOutput::KeyWanted));
    assert!((2..=30).contains(&asked), "asked {asked} times in 30 s");
    show.world.link = way(20_000_000);
    show.run(20);
    let before = show.got(H264);
    show.run(10);
    assert!(show.got(H264) - before > 290, "all pictures again: {}", show.got(H264) - before);
}

#[test]
fn viewer_that_only_says_what_it_can_take_is_believed() {
    let world = World::offered(&[Audio, Video], Role::Viewer, Link::GOOD, plain);
    assert!(world.answer.contains("abs-send-time") && !world.answer.contains("transport-wide-cc"), "{}", world.answer);
    let mut show = Show::of(world, None);
    show.run(10);
    assert_eq!(show.world.able, [], "nothing was said yet");
    show.world.limit(1_600_000);
    show.run(1);
    assert_eq!(show.world.able, [], "a burst makes a viewer say this, too");
    show.world.limit(1_600_000);
    show.run(1);
    assert_eq!(show.able(), 1_600_000 / 16 * 15 - 110_000);
}

#[test]
fn viewer_that_says_nothing_is_sent_what_gets_there() {
    let mut show = Show::of(World::offered(&[Audio, Video], Role::Viewer, way(1_500_000), plain), None);
    show.run(20);
    let seen: Vec<u32> = show.world.able.iter().filter(|(at, _)| *at > ms(5_000)).map(|&(_, bits)| bits).collect();
    // A tenth more than the way carries is not lost yet, with its queue.
    assert!(!seen.is_empty() && seen.iter().all(|bits| (400_000..=2_000_000).contains(bits)), "{seen:?}");
    assert!(show.got(H264) > 400, "{} of 600 pictures", show.got(H264));
    show.world.link = way(20_000_000);
    show.run(30);
    assert!(show.able() >= BITRATE_BPS, "{}", show.able());
}

#[test]
fn viewer_that_saw_little_is_not_believed_that_little_fits() {
    // A still screen: a tenth of what there is, and key frames.
    let mut show = Show::of(World::offered(&[Audio, Video], Role::Viewer, Link::GOOD, plain), Some(BITRATE_BPS / 10));
    show.run(10);
    let mut say = |limit_bps| {
        for _ in 0..5 {
            show.world.limit(limit_bps);
            show.run(1);
        }
        show.world.able.last().copied()
    };
    assert_eq!(say(450_000), None, "it could well take more");
    assert!(say(150_000).is_some_and(|(_, able)| able < BITRATE_BPS), "less than even that");
}

#[test]
fn what_near_and_far_viewers_miss_is_sent_again() {
    for (delay, least) in [(20, 594), (150, 570)] {
        let link = Link { delay: ms(delay), jitter: ms(5), lost: 30, ..way(20_000_000) };
        let mut show = Show::new(link, Some(BITRATE_BPS));
        show.run(20);
        show.world.run(ms(1_000));
        assert!(show.got(H264) >= least, "{} of {} pictures, {delay} ms away", show.got(H264), show.frames);
    }
}

#[test]
fn large_picture_goes_in_bursts() {
    let mut show = Show::new(way(20_000_000), None);
    show.run(5);
    let (now, time) = (show.world.now, MediaTime::from(show.world.now - show.world.start));
    show.world.sent.clear();
    show.world.peers.write(show.world.id, &picture(true, &access_unit(true, 110_000), time, now), now, now);
    show.world.run(ms(500));
    let large: Vec<_> = show.world.sent.iter().filter(|(_, bytes)| *bytes > 1_000).map(|(at, _)| *at).collect();
    let most = large.chunk_by(|one, next| one == next).map(<[_]>::len).max();
    assert!(large.len() >= 100 && most <= Some(33), "{} packets, {most:?} at once", large.len());
    assert!(*large.last().unwrap() - large[0] < ms(250), "{:?}", *large.last().unwrap() - large[0]);
}

#[test]
fn viewer_that_is_shown_nothing_costs_little() {
    let mut show = Show::new(way(20_000_000), None);
    show.run(5);
    show.world.run(ms(5_000));
    show.world.sent.clear();
    show.world.run(ms(60_000));
    let bytes: usize = show.world.sent.iter().map(|(_, bytes)| bytes).sum();
    assert!(show.world.sent.len() < 2_000 && bytes < 150_000, "{} datagrams, {bytes} bytes in a minute", show.world.sent.len());
}

#[test]
fn viewer_of_a_caret_costs_little_more_and_gets_what_it_misses() {
    let worlds = [
        ("estimated", World::new(&[Video], Role::Viewer, Link { lost: 100, ..Link::GOOD })),
        ("not", World::offered(&[Video], Role::Viewer, Link { lost: 100, ..Link::GOOD }, plain)),
    ];
    for (which, world) in worlds {
        let mut show = Show::of(world, None);
        show.run(2);
        show.world.run(ms(2_000));
        let got = show.got(H264);
        show.world.sent.clear();
        show.world.looks = 0;
        for nth in 0..120 {
            let (now, time) = (show.world.now, MediaTime::from(show.world.now - show.world.start));
            let unit = access_unit(nth == 0, 120);
            show.world.peers.write(show.world.id, &picture(nth == 0, &unit, time, now), now, now);
            show.world.run(ms(500));
        }
        let (looks, sent, seen) = (show.world.looks, show.world.sent.len(), show.got(H264) - got);
        assert!(looks < 60 * 20 && sent < 60 * 20, "{which}: {looks} looks and {sent} datagrams in a minute");
        assert!(seen >= 110, "{which}: {seen} of 120 pictures");
    }
}
