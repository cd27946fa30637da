//! Single rules first, then a camera, its reader and a sender simulated in virtual time.

use std::time::{Duration, Instant};

use super::super::clock::{Random, epoch, ms};
use super::*;

const PERIOD_MS: f64 = 100.0 / 3.0;

/// A presenter that has written its first black and knows a 30 Hz reader whose latest read was at the time returned.
fn with_reader() -> (Presenter<u32>, Instant) {
    let (mut at, mut presenter) = (epoch(), Presenter::new());
    assert_eq!(presenter.poll(at), PresentOutput::WriteBlack);
    presenter.handle_written(at, at);
    presenter.handle_reader(ReaderEvent::Opened, at);
    for _ in 0..20 {
        at += ms(PERIOD_MS);
        presenter.handle_reader(ReaderEvent::Read, at);
    }
    (presenter, at)
}

fn write(presenter: &mut Presenter<u32>, frame: u32, at: Instant) {
    presenter.handle_frame(frame, at);
    assert_eq!(presenter.poll(at), PresentOutput::Write(frame));
    presenter.handle_written(at, at + ms(0.1));
}

#[test]
fn frame_is_written_at_once_far_from_the_next_read() {
    let (mut presenter, read) = with_reader();
    write(&mut presenter, 1, read + ms(5.0));
    assert_eq!(presenter.poll(read + ms(6.0)), PresentOutput::Idle);
}

#[test]
fn frame_close_to_the_next_read_waits_for_it() {
    let (mut presenter, read) = with_reader();
    let now = read + ms(32.0);
    presenter.handle_frame(1, now);
    let PresentOutput::WaitUntil(fallback) = presenter.poll(now) else { panic!("the read is due in 1.3 ms") };
    assert!((ms(34.0)..ms(37.0)).contains(&(fallback - read)), "{:?}", fallback - read);
    let read = read + ms(33.5);
    presenter.handle_reader(ReaderEvent::Read, read);
    assert_eq!(presenter.poll(read), PresentOutput::Write(1));
}

#[test]
fn frame_is_written_when_the_read_does_not_come() {
    let (mut presenter, read) = with_reader();
    let now = read + ms(32.0);
    presenter.handle_frame(1, now);
    let PresentOutput::WaitUntil(fallback) = presenter.poll(now) else { panic!("the read is due in 1.3 ms") };
    assert_eq!(presenter.poll(fallback), PresentOutput::Write(1));
}

#[test]
fn unread_frame_is_left_alone_for_a_period_and_a_third_replaces_the_second() {
    let (mut presenter, read) = with_reader();
    write(&mut presenter, 1, read + ms(2.0));
    presenter.handle_frame(2, read + ms(4.0));
    let PresentOutput::WaitUntil(until) = presenter.poll(read + ms(4.0)) else { panic!("1 is unread") };
    assert!(until > read + ms(2.0 + PERIOD_MS) && until < read + ms(12.0 + PERIOD_MS), "{:?}", until - read);
    presenter.handle_frame(3, read + ms(6.0));
    assert_eq!(presenter.poll(read + ms(6.0)), PresentOutput::WaitUntil(until));
    presenter.handle_reader(ReaderEvent::Read, read + ms(PERIOD_MS));
    assert_eq!(presenter.poll(read + ms(PERIOD_MS)), PresentOutput::Write(3));
    presenter.handle_written(read + ms(PERIOD_MS), read + ms(PERIOD_MS + 0.1));
    let stats = presenter.stats();
    assert_eq!((stats.frames_in, stats.frames_out, stats.dropped, stats.possible_tears), (3, 2, 1, 0));
}

#[test]
fn without_a_reader_every_frame_is_written_at_once() {
    for (event, in_use) in [(ReaderEvent::Closed, Some(false)), (ReaderEvent::Unknown, None)] {
        let (mut presenter, read) = with_reader();
        presenter.handle_reader(event, read);
        for n in 0..10 {
            write(&mut presenter, n, read + ms(f64::from(n) * 10.0));
        }
        assert_eq!(presenter.stats().in_use, in_use);
        assert_eq!(presenter.stats().dropped, 0);
    }
}

#[test]
fn read_found_after_a_write_is_a_possible_tear_and_does_not_count_as_read() {
    for found_before_written in [true, false] {
        let (mut presenter, read) = with_reader();
        let started = read + ms(30.5);
        presenter.handle_frame(1, started);
        assert_eq!(presenter.poll(started), PresentOutput::Write(1));
        let ended = started + ms(2.5);
        if found_before_written {
            presenter.handle_reader(ReaderEvent::Read, ended);
        }
        presenter.handle_written(started, ended);
        if !found_before_written {
            presenter.handle_reader(ReaderEvent::Read, ended + ms(0.3));
        }
        assert_eq!(presenter.stats().possible_tears, 1);
        presenter.handle_frame(2, ended + ms(3.0));
        assert!(matches!(presenter.poll(ended + ms(3.0)), PresentOutput::WaitUntil(_)), "1 was not seen whole");
    }
}

#[test]
fn pause_is_black_within_a_frame_time_and_resume_shows_the_next_frame() {
    for offset_ms in [0.0, 10.0, 31.0, 33.0] {
        let (mut presenter, read) = with_reader();
        write(&mut presenter, 1, read);
        let now = read + ms(offset_ms);
        presenter.handle_pause();
        let black_at = match presenter.poll(now) {
            PresentOutput::WriteBlack => now,
            PresentOutput::WaitUntil(until) => {
                assert_eq!(presenter.poll(until), PresentOutput::WriteBlack);
                until
            }
            other @ (PresentOutput::Idle | PresentOutput::Write(_)) => panic!("{other:?}"),
        };
        assert!(black_at - now < ms(PERIOD_MS));
        presenter.handle_written(black_at, black_at);
        presenter.handle_frame(2, black_at);
        assert_eq!(presenter.poll(black_at), PresentOutput::Idle);
        presenter.handle_resume();
        assert_eq!(presenter.poll(black_at), PresentOutput::Idle, "nothing old is shown");
        write(&mut presenter, 3, read + ms(PERIOD_MS + 10.0));
        let stats = presenter.stats();
        assert_eq!((stats.withheld, stats.dropped, stats.frames_out), (1, 0, 2));
    }
}

#[test]
fn lost_source_is_black_once_and_a_new_one_shows_at_once() {
    let (mut presenter, read) = with_reader();
    write(&mut presenter, 1, read + ms(1.0));
    presenter.handle_frame(2, read + ms(2.0));
    presenter.handle_blackout();
    assert_eq!(presenter.poll(read + ms(2.0)), PresentOutput::WriteBlack);
    assert_eq!(presenter.poll(read + ms(2.0)), PresentOutput::Idle, "being written");
    presenter.handle_written(read + ms(2.0), read + ms(2.1));
    assert_eq!(presenter.poll(read + ms(3.0)), PresentOutput::Idle);
    assert_eq!(presenter.stats().dropped, 1);
    write(&mut presenter, 3, read + ms(4.0));
}

/// What a sender, a reader and a writer do to each other.
#[derive(Clone, Copy, Debug)]
struct Scene {
    sender_fps: f64,
    sender_jitter_ms: f64,
    reader_fps: f64,
    reader_jitter_ms: f64,
    /// Where in the reader's period the first frame falls.
    phase_ms: f64,
    seed: u64,
}

#[derive(Debug, Default)]
struct Seen {
    sent: u64,
    numbers: Vec<u64>,
    reads: u64,
    overlaps: u64,
    added_s: f64,
    stats: PresentStats,
}

const FRAMES: u64 = 2_400;

/// Runs a scene. A read takes 0.3 ms and is told 0.05–0.3 ms later; a write takes 0.1–3 ms, during which the driver sees nothing.
fn simulate(scene: Scene) -> Seen {
    let (start, mut random) = (epoch(), Random(scene.seed));
    let mut presenter = Presenter::new();
    presenter.handle_reader(ReaderEvent::Opened, start);
    let arrivals: Vec<Instant> = (0..FRAMES)
        .map(|n| start + ms(scene.phase_ms + n as f64 * 1e3 / scene.sender_fps + random.unit() * scene.sender_jitter_ms))
        .collect();
    let reads: Vec<(Instant, Instant)> = (0..(FRAMES as f64 / scene.sender_fps * scene.reader_fps) as u64)
        .map(|k| {
            let at = start + ms((k + 1) as f64 * 1e3 / scene.reader_fps + random.unit() * scene.reader_jitter_ms);
            (at, at + ms(0.35 + random.unit() * 0.25))
        })
        .collect();
    let (mut frame, mut event) = (0, 0);
    let mut writes: Vec<(Instant, Instant, Option<u64>)> = Vec::new();
    let mut now = start;
    loop {
        while event < reads.len() && reads[event].1 <= now {
            presenter.handle_reader(ReaderEvent::Read, reads[event].1);
            event += 1;
        }
        while frame < arrivals.len() && arrivals[frame] <= now {
            presenter.handle_frame(frame as u64, arrivals[frame]);
            frame += 1;
        }
        let number = match presenter.poll(now) {
            PresentOutput::Write(number) => Some(number),
            PresentOutput::WriteBlack => None,
            output @ (PresentOutput::Idle | PresentOutput::WaitUntil(_)) => {
                let deadline = if let PresentOutput::WaitUntil(until) = output { Some(until) } else { None };
                assert!(deadline.is_none_or(|until| until > now), "a deadline that has passed is no deadline");
                let arrival = arrivals.get(frame).copied();
                let read = reads.get(event).map(|read| read.1);
                let Some(next) = [deadline, arrival, read].into_iter().flatten().min() else { break };
                now = next;
                continue;
            }
        };
        let ended = now + ms(0.1 + random.unit() * random.unit() * 2.9);
        writes.push((now, ended, number));
        while event < reads.len() && reads[event].1 <= ended {
            presenter.handle_reader(ReaderEvent::Read, ended);
            event += 1;
        }
        presenter.handle_written(now, ended);
        now = ended;
    }
    account(&arrivals, &reads, &writes, presenter.stats())
}

/// What the reads saw: the latest write that ended before each, unless one overlapped it.
fn account(arrivals: &[Instant], reads: &[(Instant, Instant)], writes: &[(Instant, Instant, Option<u64>)], stats: PresentStats) -> Seen {
    let mut seen = Seen { sent: arrivals.len() as u64, reads: reads.len() as u64, stats, ..Seen::default() };
    for &(began, _) in reads {
        let ended = began + ms(0.3);
        // Writes follow each other, so only the last one that began before the read's end can overlap it.
        let last = writes[..writes.partition_point(|write| write.0 < ended)].last();
        if last.is_some_and(|write| write.1 > began) {
            seen.overlaps += 1;
        } else if let Some(number) = last.and_then(|write| write.2)
            && seen.numbers.last() != Some(&number)
        {
            seen.numbers.push(number);
        }
    }
    for &(started, _, number) in writes {
        seen.added_s += number.map_or(Duration::ZERO, |number| started - arrivals[number as usize]).as_secs_f64();
    }
    seen
}

fn check(scene: Scene, least_share: f64) {
    let seen = simulate(scene);
    assert!(seen.numbers.is_sorted_by(|a, b| a < b), "{scene:?}: out of order");
    let possible = seen.sent.min(seen.reads) as f64;
    let share = seen.numbers.len() as f64 / possible;
    assert!(share >= least_share, "{scene:?}: {share:.4} of {possible} seen, {:?}", seen.stats);
    assert!(seen.overlaps <= seen.stats.possible_tears, "{scene:?}: {} overlaps uncounted, {:?}", seen.overlaps, seen.stats);
    assert!(seen.stats.possible_tears as f64 <= 0.005 * seen.stats.frames_out as f64, "{scene:?}: {:?}", seen.stats);
    let added_ms = seen.added_s / seen.stats.frames_out as f64 * 1e3;
    assert!(added_ms <= 1e3 / scene.reader_fps, "{scene:?}: {added_ms} ms added");
    assert_eq!(seen.stats.frames_in, seen.stats.frames_out + seen.stats.dropped, "{scene:?}: every frame is accounted for");
}

#[test]
fn beating_clocks_lose_no_more_than_the_beat() {
    for (sender_fps, reader_fps) in [(30.0, 30.0), (30.0, 29.97), (29.97, 30.0), (30.0, 30.3), (30.3, 30.0)] {
        for (sender_jitter_ms, least_share) in [(0.0, 0.98), (4.0, 0.95)] {
            for seed in 0..12 {
                let phase_ms = seed as f64 * PERIOD_MS / 12.0;
                check(Scene { sender_fps, sender_jitter_ms, reader_fps, reader_jitter_ms: 0.6, phase_ms, seed }, least_share);
            }
        }
    }
}

#[test]
fn other_rates_fill_the_reader_or_show_every_frame() {
    for (sender_fps, reader_fps) in [(60.0, 30.0), (15.0, 30.0), (25.0, 30.0), (24.0, 30.0), (30.0, 60.0), (50.0, 30.0)] {
        for sender_jitter_ms in [0.0, 4.0] {
            for seed in 0..6 {
                let phase_ms = seed as f64 * 5.0;
                check(Scene { sender_fps, sender_jitter_ms, reader_fps, reader_jitter_ms: 0.6, phase_ms, seed }, 0.95);
            }
        }
    }
}
