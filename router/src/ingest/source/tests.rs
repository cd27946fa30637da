//! Sources of every nature, in virtual time.

use crosspoint_ffi::{Codec, Payload};

use super::super::clock::{Random, epoch, ms};
use super::*;

fn packet(codec: Codec, millis: f64, key: bool, arrival: Instant) -> Packet {
    let time = Some(MediaTime::from_nanos((millis * 1e6) as i64));
    Packet { codec, data: Payload::copy_from_slice(b"x"), pts: time, dts: time, key, arrival, parameters: None }
}

fn video(n: i64, key: bool, arrival: Instant) -> Packet {
    packet(Codec::H264, n as f64 * 40.0, key, arrival)
}

fn sound(n: i64, arrival: Instant) -> Packet {
    packet(Codec::Aac, n as f64 * 20.0, true, arrival)
}

/// A source with a clock, and all that it released.
struct Run {
    source: MediaSource,
    start: Instant,
    now: Instant,
    released: Vec<(Track, f64, f64)>,
    said: Vec<(&'static str, f64)>,
}

impl Run {
    fn new(nature: Nature) -> Self {
        let start = epoch();
        Self { source: MediaSource::new(nature), start, now: start, released: Vec::new(), said: Vec::new() }
    }

    fn elapsed_ms(&self) -> f64 {
        (self.now - self.start).as_secs_f64() * 1e3
    }

    /// Polls until it is to wait, and says until when, in milliseconds since the start.
    fn drain(&mut self) -> (bool, Option<f64>) {
        loop {
            match self.source.poll(self.now) {
                SourceOutput::Ended => self.said.push(("ended", self.elapsed_ms())),
                SourceOutput::Gap => self.said.push(("gap", self.elapsed_ms())),
                SourceOutput::Release(track, packet) => {
                    assert!(packet.arrival <= self.now);
                    self.released.push((track, (packet.dts.unwrap().as_nanos() / 1_000) as f64 / 1e3, self.elapsed_ms()));
                }
                SourceOutput::Wait { hungry, until } => {
                    return (hungry, until.map(|until| (until - self.start).as_secs_f64() * 1e3));
                }
            }
        }
    }

    /// Lets time pass, waking when the source asks for it.
    fn until(&mut self, millis: f64) {
        let end = self.start + ms(millis);
        loop {
            let (_, until) = self.drain();
            match until {
                Some(until) if self.start + ms(until) < end => self.now = self.now.max(self.start + ms(until)) + Duration::from_nanos(10),
                Some(_) | None => break,
            }
        }
        self.now = self.now.max(end);
        self.drain();
    }

    /// A driver that reads a file: packets are there as soon as the source is hungry.
    fn feed(&mut self, packets: impl Iterator<Item = Packet>, end_ms: f64) {
        let mut packets = packets.peekable();
        while packets.peek().is_some() && self.elapsed_ms() < end_ms {
            let (hungry, until) = self.drain();
            if hungry {
                let Some(packet) = packets.next() else { break };
                self.source.handle_packet(Packet { arrival: self.now, ..packet });
            } else if let Some(until) = until {
                self.now = self.now.max(self.start + ms(until)) + Duration::from_nanos(10);
            } else {
                break;
            }
        }
    }

    fn of(&self, track: Track) -> Vec<(f64, f64)> {
        self.released.iter().filter(|(of, ..)| *of == track).map(|&(_, time, at)| (time, at)).collect()
    }
}

/// A file as a container has it: picture and sound side by side, the sound `behind_ms` later in it than its time says.
fn file(start: Instant, seconds: f64, behind_ms: f64) -> Vec<Packet> {
    let pictures = (0..(seconds * 25.0) as i64).map(|n| (n as f64 * 40.0, video(n, n % 25 == 0, start)));
    let samples = (0..(seconds * 50.0) as i64).map(|n| (n as f64 * 20.0 + behind_ms, sound(n, start)));
    let mut packets: Vec<_> = pictures.chain(samples).collect();
    packets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    packets.into_iter().map(|(_, packet)| packet).collect()
}

#[test]
fn one_chunk_is_released_by_media_time_and_then_it_is_hungry() {
    let mut run = Run::new(Nature::Socket);
    assert_eq!(run.drain(), (true, None));
    for n in 0..3 {
        run.source.handle_packet(video(n, n == 0, run.start));
    }
    assert_eq!(run.drain(), (false, Some(40.0)));
    run.now += ms(40.0);
    assert_eq!(run.drain(), (false, Some(80.0)));
    run.now += ms(40.0);
    assert!(run.drain().0);
    assert_eq!(run.of(Track::Video), [(0.0, 0.0), (40.0, 40.0), (80.0, 80.0)]);
}

#[test]
fn video_starts_and_resumes_at_a_key_packet() {
    let mut run = Run::new(Nature::Socket);
    for n in 0..9 {
        if n == 4 {
            run.source.handle_loss();
        }
        run.source.handle_packet(video(n, [2, 7].contains(&n), run.start));
    }
    run.until(900.0);
    let times: Vec<_> = run.of(Track::Video).iter().map(|&(time, _)| time / 40.0).collect();
    assert_eq!(times, [2.0, 3.0, 7.0, 8.0]);
    assert_eq!((run.source.stats().dropped_for_key, run.source.stats().losses), (5, 1));
}

#[test]
fn other_parameters_need_a_key_packet() {
    let mut run = Run::new(Nature::Recorded);
    let start = run.start;
    let (old, new) = (Some(Arc::new(Parameters::default())), Some(Arc::new(Parameters::default())));
    let with = |n: i64, key: bool, parameters: &Option<Arc<Parameters>>| Packet { parameters: parameters.clone(), ..video(n, key, start) };
    for packet in [with(0, true, &old), with(1, false, &old), with(2, false, &new), with(3, true, &new), with(4, false, &new)] {
        run.source.handle_packet(packet);
    }
    run.until(500.0);
    assert_eq!(run.released.len(), 4);
    assert_eq!(run.source.stats().dropped_for_key, 1);
}

#[test]
fn sound_and_picture_of_a_file_are_in_sync_and_sound_is_earlier_by_its_path() {
    for behind_ms in [0.0, 300.0] {
        let mut run = Run::new(Nature::Recorded);
        run.source.set_sound_latency(ms(45.0));
        run.feed(file(run.start, 8.0, behind_ms).into_iter(), 6_000.0);
        let (pictures, samples) = (run.of(Track::Video), run.of(Track::Audio));
        let origin = |of: &[(f64, f64)]| of.iter().filter(|(_, at)| *at > 1_500.0).map(|(time, at)| at - time).collect::<Vec<_>>();
        let (seen, heard) = (origin(&pictures), origin(&samples));
        assert!(seen.len() > 100 && heard.len() > 200);
        for heard in heard {
            assert!((heard + 45.0 - seen[0]).abs() < 1.0, "heard {heard}, seen {} with sound {behind_ms} behind", seen[0]);
        }
    }
}

#[test]
fn first_pictures_of_a_file_that_begins_with_sound_keep_their_distance() {
    let mut run = Run::new(Nature::Recorded);
    run.source.set_sound_latency(ms(35.0));
    let mut packets = file(run.start, 2.0, 0.0);
    packets.swap(0, 1);
    run.feed(packets.into_iter(), 1_000.0);
    let pictures = run.of(Track::Video);
    for pair in pictures.windows(2) {
        assert!(pair[1].1 - pair[0].1 > 35.0, "pictures at {} and {}", pair[0].1, pair[1].1);
    }
    assert!(pictures.len() > 10);
}

#[test]
fn live_picture_waits_for_its_sound_to_be_heard_and_for_no_longer_than_60_ms() {
    for (latency_ms, wait_ms) in [(0.0, 0.0), (35.0, 35.0), (500.0, 60.0)] {
        let mut run = Run::new(Nature::Socket);
        run.source.set_sound_latency(ms(latency_ms));
        for n in 0..100 {
            run.until(n as f64 * 40.0);
            run.source.handle_packet(video(n, n == 0, run.now));
            run.source.handle_packet(sound(2 * n, run.now));
            run.source.handle_packet(sound(2 * n + 1, run.now));
        }
        run.until(5_000.0);
        for (time, at) in run.of(Track::Video).split_off(2) {
            assert!((at - time - wait_ms).abs() < 1.0, "picture of {time} at {at}, latency {latency_ms}");
        }
    }
}

#[test]
fn both_tracks_go_on_in_sync_behind_a_jump() {
    for jump in [-60_000.0, 600_000.0] {
        let mut run = Run::new(Nature::Recorded);
        let moved = |packet: Packet| {
            let moved = |time: MediaTime| time + MediaTime::from_millis(100_000 + jump as i64);
            Packet { pts: packet.pts.map(moved), dts: packet.dts.map(moved), ..packet }
        };
        let base = |packet: Packet| {
            let moved = |time: MediaTime| time + MediaTime::from_millis(100_000);
            Packet { pts: packet.pts.map(moved), dts: packet.dts.map(moved), ..packet }
        };
        let (one, two) = (file(run.start, 2.0, 100.0), file(run.start, 2.0, 100.0));
        run.feed(one.into_iter().map(base).chain(two.into_iter().map(moved)), 10_000.0);
        run.until(10_000.0);
        let (pictures, samples) = (run.of(Track::Video), run.of(Track::Audio));
        assert_eq!((pictures.len(), samples.len()), (100, 200));
        for (n, (_, at)) in pictures.iter().enumerate() {
            assert!((at - n as f64 * 40.0).abs() < 1.0, "picture {n} at {at}");
        }
        for (n, (_, at)) in samples.iter().enumerate().skip(10) {
            assert!((at + 40.0 - n as f64 * 20.0).abs() < 25.0, "sound {n} at {at}");
        }
    }
}

#[test]
fn repeated_file_goes_on_one_frame_after_its_end() {
    let mut run = Run::new(Nature::Recorded);
    let clip = file(run.start, 1.0, 0.0);
    for round in 0..3 {
        run.feed(clip.clone().into_iter(), f64::from(round + 1) * 1_000.0);
        run.source.handle_splice();
    }
    run.until(5_000.0);
    let pictures = run.of(Track::Video);
    assert_eq!(pictures.len(), 75);
    for (n, (_, at)) in pictures.iter().enumerate() {
        assert!((at - n as f64 * 40.0).abs() < 1.0, "picture {n} at {at}");
    }
}

#[test]
fn paused_file_stands_still_and_goes_on_at_the_next_frame() {
    let mut run = Run::new(Nature::Recorded);
    run.feed(file(run.start, 10.0, 0.0).into_iter(), 1_010.0);
    let before = run.of(Track::Video).len();
    run.source.handle_pause(run.now);
    run.until(61_000.0);
    assert_eq!(run.of(Track::Video).len(), before, "and no gap is told: {:?}", run.said);
    run.source.handle_resume(run.now);
    run.until(61_200.0);
    let pictures = run.of(Track::Video);
    assert!(pictures.len() > before);
    let (last, next) = (pictures[before - 1], pictures[before]);
    assert_eq!(next.0 - last.0, 40.0, "the very next frame");
    assert!(next.1 - 61_000.0 <= 40.0);
    assert!(run.said.is_empty());
}

#[test]
fn file_that_starts_paused_waits_for_its_first_frame() {
    let mut run = Run::new(Nature::Recorded);
    run.source.handle_pause(run.now);
    run.feed(file(run.start, 1.0, 0.0).into_iter(), 1_000.0);
    assert!(run.released.is_empty());
    run.now += ms(5_000.0);
    run.source.handle_resume(run.now);
    run.drain();
    assert_eq!(run.of(Track::Video)[0].0, 0.0);
}

#[test]
fn live_source_goes_on_while_paused() {
    for nature in [Nature::Live, Nature::Realtime, Nature::Socket] {
        let mut run = Run::new(nature);
        run.source.handle_pause(run.now);
        run.source.handle_packet(video(0, true, run.now));
        run.drain();
        assert_eq!(run.released.len(), 1);
    }
}

#[test]
fn burst_of_a_realtime_source_adds_no_delay() {
    let mut run = Run::new(Nature::Realtime);
    for n in 0..100 {
        run.source.handle_packet(video(n, n % 50 == 0, run.start));
        run.source.handle_packet(sound(2 * n, run.start));
        run.source.handle_packet(sound(2 * n + 1, run.start));
    }
    run.until(1.0);
    assert!(run.of(Track::Video).len() == 100, "decoded at once, the newest is what is seen");
    assert!(run.of(Track::Audio).len() >= 199);
    for n in 100..300 {
        run.until((n - 99) as f64 * 40.0);
        run.source.handle_packet(video(n, false, run.now));
        run.drain();
        assert_eq!(run.of(Track::Video).last().map(|&(time, _)| time), Some(n as f64 * 40.0));
    }
}

#[test]
fn hour_of_live_media_with_any_clock_gains_no_delay() {
    for nature in [Nature::Socket, Nature::Realtime] {
        for skew in [1.0002, 0.9998] {
            let (mut run, mut random) = (Run::new(nature), Random(3));
            run.source.set_sound_latency(ms(40.0));
            for n in 0..90_000 {
                let arrival_ms = n as f64 * 40.0 / skew + random.unit() * 8.0;
                run.until(arrival_ms);
                run.source.handle_packet(video(n, n % 50 == 0, run.now));
                run.source.handle_packet(sound(2 * n, run.now));
                run.drain();
                if n % 1_000 == 999 {
                    run.until(arrival_ms + 41.0 - 8.0 * 0.9);
                    for track in [Track::Video, Track::Audio] {
                        let (time, at) = *run.of(track).last().unwrap();
                        let delay_ms = at - time / skew;
                        assert!(delay_ms < 60.0 && time >= (n - 2) as f64 * 40.0, "{nature:?} {skew} {track:?} {n}: {delay_ms}");
                    }
                    run.released.clear();
                }
            }
        }
    }
}

#[test]
fn hour_of_live_lumps_with_any_clock_stays_at_its_distance_from_the_edge() {
    for skew in [1.0, 1.0002, 0.9998] {
        let (mut run, mut random) = (Run::new(Nature::Live), Random(5));
        let (mut first, mut worst) = (None, 0.0_f64);
        // Segments of 4 s, each there a little after its end.
        for segment in 0..900 {
            run.until(f64::from(segment + 1) * 4_000.0 / skew + random.unit() * 100.0);
            for n in segment * 100..(segment + 1) * 100 {
                run.source.handle_packet(video(n.into(), n % 50 == 0, run.now));
            }
            run.drain();
            if segment > 30 {
                let (time, at) = *run.of(Track::Video).last().unwrap();
                let delay_ms = at - time / skew;
                worst = worst.max(delay_ms - *first.get_or_insert(delay_ms));
            }
            if run.released.len() > 1_000 {
                run.released.drain(..900);
            }
        }
        assert!(worst < 600.0, "at {skew} the delay grew by {worst} ms");
    }
}

#[test]
fn stalled_stream_goes_on_where_it_was_with_both_tracks_in_sync() {
    let mut run = Run::new(Nature::Recorded);
    let packets = file(run.start, 10.0, 0.0);
    let stalled = packets.len() / 2;
    for packet in &packets[..stalled] {
        run.source.handle_packet(Packet { arrival: run.start, ..packet.clone() });
    }
    run.until(9_000.0);
    let resumed = run.now;
    for packet in &packets[stalled..] {
        run.source.handle_packet(Packet { arrival: resumed, ..packet.clone() });
    }
    run.until(20_000.0);
    let late = |of: Vec<(f64, f64)>| of.into_iter().filter(|(time, _)| *time > 5_500.0).map(|(time, at)| at - time).collect::<Vec<_>>();
    let (pictures, samples) = (late(run.of(Track::Video)), late(run.of(Track::Audio)));
    for at in pictures.iter().chain(&samples) {
        assert!((at - 4_000.0).abs() < 45.0, "{at}");
    }
}

#[test]
fn gap_is_told_once_when_no_picture_comes() {
    let mut run = Run::new(Nature::Socket);
    run.until(5_000.0);
    assert!(run.said.is_empty(), "nothing was shown yet");
    run.source.handle_packet(video(0, true, run.now));
    run.until(12_000.0);
    assert_eq!(run.said.len(), 1);
    assert!((run.said[0].1 - 6_000.0).abs() < 1.0, "{:?}", run.said);
    run.source.handle_packet(video(175, true, run.now));
    run.until(15_000.0);
    assert_eq!(run.said.len(), 2);
}

#[test]
fn slow_pictures_are_no_gap() {
    let mut run = Run::new(Nature::Socket);
    for n in 0..20 {
        run.until(f64::from(n) * 1_400.0);
        run.source.handle_packet(packet(Codec::H264, f64::from(n) * 1_400.0, true, run.now));
    }
    assert!(run.said.len() <= 1, "only before its rate is known: {:?}", run.said);

    let mut ahead = Run::new(Nature::Recorded);
    let slides = (0..5).map(|n| packet(Codec::H264, f64::from(n) * 4_000.0, true, ahead.start));
    for slide in slides.collect::<Vec<_>>() {
        ahead.source.handle_packet(slide);
    }
    ahead.until(15_500.0);
    assert!(ahead.said.is_empty(), "the next one is there and not due: {:?}", ahead.said);
}

#[test]
fn still_stands_until_it_is_replaced_and_comes_again_after_a_pause() {
    let mut run = Run::new(Nature::Recorded);
    run.source.set_still();
    run.source.handle_packet(video(0, true, run.now));
    run.source.handle_end();
    run.until(3_600_000.0);
    assert_eq!((run.released.len(), run.said.len()), (1, 0));
    run.source.handle_pause(run.now);
    run.drain();
    run.source.handle_resume(run.now);
    run.drain();
    assert_eq!(run.released.len(), 2);
    run.source.refresh();
    run.until(3_700_000.0);
    assert_eq!((run.released.len(), run.said.len()), (3, 0));
}

#[test]
fn file_ends_when_its_last_picture_had_its_time() {
    let mut run = Run::new(Nature::Recorded);
    run.feed(file(run.start, 1.0, 0.0).into_iter(), 1_500.0);
    run.source.handle_end();
    run.until(5_000.0);
    assert_eq!(run.released.len(), 75);
    assert_eq!(run.said.len(), 1);
    let (what, at) = run.said[0];
    assert!(what == "ended" && (at - 1_000.0).abs() < 25.0, "{at}");
}

#[test]
fn track_that_is_not_wanted_holds_nothing_up() {
    let mut run = Run::new(Nature::Recorded);
    run.source.set_wanted(true, false);
    run.feed(file(run.start, 2.0, 0.0).into_iter(), 3_000.0);
    run.until(3_000.0);
    assert_eq!((run.of(Track::Video).len(), run.of(Track::Audio).len()), (50, 0));
    run.source.set_wanted(false, true);
    run.source.handle_splice();
    run.feed(file(run.start, 2.0, 0.0).into_iter(), 6_000.0);
    run.until(6_000.0);
    assert_eq!((run.of(Track::Video).len(), run.of(Track::Audio).len()), (50, 100));
}

#[test]
fn what_is_kept_of_a_fast_sender_is_bounded() {
    let mut run = Run::new(Nature::Recorded);
    let mut given = 0;
    for packet in file(run.start, 60.0, 300.0) {
        if !run.drain().0 {
            break;
        }
        run.source.handle_packet(packet);
        given += 1;
    }
    assert!(given < 100, "{given} packets are more than a second");
}

#[test]
fn pictures_slide_to_their_sound_and_the_sound_does_not_move() {
    let mut run = Run::new(Nature::Recorded);
    let packets = file(run.start, 20.0, 0.0);
    run.source.set_sound_latency(ms(40.0));
    run.feed(packets.iter().take(450).cloned(), 6_000.0);
    run.source.set_sound_latency(ms(90.0));
    run.feed(packets.into_iter().skip(450), 20_000.0);
    let between = |of: Vec<(f64, f64)>, from: f64, to: f64| {
        of.into_iter().filter(|(_, at)| (from..to).contains(at)).map(|(time, at)| at - time).collect::<Vec<_>>()
    };
    for heard in between(run.of(Track::Audio), 2_000.0, 18_000.0) {
        assert!((heard + 40.0).abs() < 1.5, "sound released at {heard}");
    }
    for seen in between(run.of(Track::Video), 10_000.0, 18_000.0) {
        assert!((seen - 50.0).abs() < 1.5, "picture released at {seen}");
    }
}
