//! A camera, its reader and a sender simulated together: what does the reader see?

use std::time::{Duration, Instant};

use crosspoint_ffi::MediaTime;

use super::super::clock::{Random, epoch, ms};
use super::super::{Due, Pacer};
use super::*;

/// What a sender, a reader and a writer do to each other.
#[derive(Clone, Copy, Debug)]
struct Scene {
    sender_fps: f64,
    sender: Sender,
    reader_fps: f64,
    reader_jitter_ms: f64,
    /// Where in the reader's period the first frame falls.
    phase_ms: f64,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum Sender {
    /// Always a chunk ahead of real time, paced with the reader's tick.
    Ahead,
    /// In real time, with so much jitter in milliseconds.
    Live(f64),
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
    let reads: Vec<(Instant, Instant)> = (0..(FRAMES as f64 / scene.sender_fps * scene.reader_fps) as u64)
        .map(|k| {
            let at = start + ms((k + 1) as f64 * 1e3 / scene.reader_fps + random.unit() * scene.reader_jitter_ms);
            (at, at + ms(0.35 + random.unit() * 0.25))
        })
        .collect();
    let arrivals = match scene.sender {
        Sender::Ahead => ahead(scene, start, &reads, &mut random),
        Sender::Live(jitter_ms) => {
            (0..FRAMES).map(|n| start + ms(scene.phase_ms + n as f64 * 1e3 / scene.sender_fps + random.unit() * jitter_ms)).collect()
        }
    };
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

/// When the frames of a sender that is ahead come out of the decoder: the pacer's timers fire up to 0.3 ms late, decoding takes 0.5–3 ms.
fn ahead(scene: Scene, start: Instant, reads: &[(Instant, Instant)], random: &mut Random) -> Vec<Instant> {
    let (mut pacer, mut tick, mut now, mut decoded) = (Pacer::new(), 0, start + ms(scene.phase_ms), Vec::new());
    let mut arrival = now;
    for n in 0..FRAMES {
        if n % 8 == 0 {
            arrival = now;
        }
        let time = MediaTime::from_nanos((n as f64 * 1e9 / scene.sender_fps) as i64);
        loop {
            while tick < reads.len() && reads[tick].1 <= now {
                pacer.handle_tick(reads[tick].1);
                tick += 1;
            }
            match pacer.due(Some(time), arrival, now) {
                Due::At(due) => now = due + ms(random.unit() * 0.3),
                Due::Now { .. } => break,
            }
        }
        decoded.push(now + ms(0.5 + random.unit() * 2.5));
    }
    decoded
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

/// Checks that a scene's reads saw at least this share of what they could.
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
        for (sender, least_share) in [(Sender::Ahead, 0.98), (Sender::Live(0.0), 0.98), (Sender::Live(4.0), 0.95)] {
            for seed in 0..12 {
                let phase_ms = seed as f64 * 100.0 / 36.0;
                for reader_jitter_ms in [0.6, 4.0] {
                    check(Scene { sender_fps, sender, reader_fps, reader_jitter_ms, phase_ms, seed }, least_share);
                }
            }
        }
    }
}

#[test]
fn other_rates_fill_the_reader_or_show_every_frame() {
    for (sender_fps, reader_fps) in [(60.0, 30.0), (15.0, 30.0), (25.0, 30.0), (24.0, 30.0), (30.0, 60.0), (50.0, 30.0)] {
        for sender in [Sender::Ahead, Sender::Live(0.0), Sender::Live(4.0)] {
            for seed in 0..6 {
                let phase_ms = seed as f64 * 5.0;
                check(Scene { sender_fps, sender, reader_fps, reader_jitter_ms: 0.6, phase_ms, seed }, 0.95);
            }
        }
    }
}
