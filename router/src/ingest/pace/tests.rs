//! Live senders, senders ahead of time, and what goes wrong with timestamps; all in virtual time.

use std::time::{Duration, Instant};

use super::super::clock::{Random, epoch, ms};
use super::*;

fn media(millis: f64) -> Option<MediaTime> {
    Some(MediaTime::from_nanos((millis * 1e6) as i64))
}

/// Releases a packet as a driver would, and says when.
fn release(pacer: &mut Pacer, time: Option<MediaTime>, arrival: Instant, now: Instant) -> Instant {
    match pacer.due(time, arrival, now) {
        Due::Now { since } => {
            assert!(since <= now && since >= arrival);
            now
        }
        Due::At(due) => {
            assert!(due > now);
            assert_eq!(pacer.due(time, arrival, now), Due::At(due), "asking again changes nothing");
            assert!(matches!(pacer.due(time, arrival, due), Due::Now { .. }), "released when it said");
            due
        }
    }
}

#[test]
fn live_media_gets_no_added_delay_whatever_its_jitter_and_clock() {
    for (skew, jitter_ms) in [(1.0, 4.0), (1.0002, 4.0), (0.9998, 4.0), (1.0, 0.0), (1.001, 4.0)] {
        let (start, mut pacer, mut random) = (epoch(), Pacer::new(), Random(7));
        for n in 0..20_000 {
            let sent_ms = f64::from(n) * 1e3 / 30.0;
            let arrival = start + ms(sent_ms / skew + random.unit() * jitter_ms);
            let at = release(&mut pacer, media(sent_ms), arrival, arrival);
            assert_eq!(at, arrival, "packet {n} at skew {skew} with {jitter_ms} ms of jitter");
        }
    }
}

#[test]
fn live_media_catches_up_after_a_hiccup() {
    for until_ms in [4_300.0, 7_000.0] {
        let (start, mut pacer) = (epoch(), Pacer::new());
        for n in 0..300 {
            let sent_ms = f64::from(n) * 40.0;
            // The network holds back what was sent from 4 s on.
            let arrival = start + ms(if (4_000.0..until_ms).contains(&sent_ms) { until_ms } else { sent_ms });
            assert_eq!(release(&mut pacer, media(sent_ms), arrival, arrival), arrival, "packet {n}, held until {until_ms}");
        }
    }
}

#[test]
fn live_media_on_a_path_that_grew_longer_is_not_late_for_ever() {
    let (start, mut pacer) = (epoch(), Pacer::new());
    for n in 0..200 {
        let sent_ms = f64::from(n) * 40.0;
        let arrival = start + ms(sent_ms + if n > 50 { 200.0 } else { 0.0 });
        assert_eq!(release(&mut pacer, media(sent_ms), arrival, arrival), arrival);
    }
    // Now it is ahead of what it has become: a packet that comes with its predecessor waits its turn.
    let arrival = start + ms(199.0 * 40.0 + 200.0);
    assert_eq!(release(&mut pacer, media(200.0 * 40.0), arrival, arrival), arrival + ms(40.0));
}

/// Runs a sender that is always ahead; each chunk of `chunk` packets is there as soon as the one before is used up. Timers fire late.
fn run_ahead(fps: f64, reader_fps: Option<f64>, frames: u32, seed: u64) -> (Instant, Vec<Instant>, Vec<Instant>) {
    let (start, mut pacer, mut random) = (epoch(), Pacer::new(), Random(seed));
    let offset_ms = random.unit() * 33.0;
    let ticks: Vec<Instant> = reader_fps.map_or_else(Vec::new, |reader_fps| {
        let count = (f64::from(frames) / fps * reader_fps) as u32;
        (0..count).map(|k| start + ms(offset_ms + f64::from(k) * 1e3 / reader_fps + random.unit())).collect()
    });
    let (mut now, mut arrival, mut tick, mut released) = (start, start, 0, Vec::new());
    for n in 0..frames {
        if n % 8 == 0 {
            arrival = now;
        }
        loop {
            while tick < ticks.len() && ticks[tick] <= now {
                pacer.handle_tick(ticks[tick]);
                tick += 1;
            }
            match pacer.due(media(f64::from(n) * 1e3 / fps), arrival, now) {
                Due::Now { .. } => break,
                Due::At(due) => now = due + ms(random.unit() * 0.3),
            }
        }
        released.push(now);
    }
    (start, released, ticks)
}

#[test]
fn media_ahead_of_time_plays_at_its_own_rate() {
    for reader_fps in [None, Some(30.0), Some(29.0), Some(60.0)] {
        for fps in [15.0, 24.0, 30.0, 60.0] {
            let (start, released, _) = run_ahead(fps, reader_fps, 3_000, 1);
            for (n, at) in released.iter().enumerate() {
                let due = start + ms(n as f64 * 1e3 / fps);
                let off = (*at).max(due) - (*at).min(due);
                assert!(off < ms(0.6 * 1e3 / fps + 1.0), "{fps} fps, reader {reader_fps:?}, frame {n}: {off:?} off");
            }
        }
    }
}

#[test]
fn each_tick_releases_one_frame_of_a_source_of_the_same_rate() {
    for seed in 0..20 {
        for (fps, reader_fps, slips) in [(30.0, 30.0, 0), (30.0, 29.97, 4), (29.97, 30.0, 4), (60.0, 60.0, 0)] {
            let (_, released, ticks) = run_ahead(fps, Some(reader_fps), 3_000, seed);
            // The loop settles within two seconds.
            let settled = ticks.len() / 50 * 3;
            let odd = ticks[settled..ticks.len() - 10]
                .windows(2)
                .filter(|pair| released.iter().filter(|&&at| at >= pair[0] && at < pair[1]).count() != 1)
                .count();
            assert!(odd <= slips, "{fps} into {reader_fps}, seed {seed}: {odd} ticks without exactly one frame");
        }
    }
}

#[test]
fn stalled_file_goes_on_where_it_was() {
    let (start, mut pacer) = (epoch(), Pacer::new());
    for n in 0..10 {
        release(&mut pacer, media(f64::from(n) * 40.0), start, start);
    }
    let resumed = start + ms(360.0 + 2_000.0);
    for n in 10..20 {
        let at = release(&mut pacer, media(f64::from(n) * 40.0), resumed, resumed);
        assert_eq!(at, resumed + ms(f64::from(n - 10) * 40.0), "packet {n}");
    }
}

#[test]
fn jumping_timestamps_reanchor() {
    for jump_ms in [-60_000.0, -600.0, 6_000.0, 95_443_717.0] {
        let (start, mut pacer) = (epoch(), Pacer::new());
        let base_ms = 100_000.0;
        release(&mut pacer, media(base_ms), start, start);
        let at = release(&mut pacer, media(base_ms + 40.0), start, start);
        assert_eq!(at, start + ms(40.0));
        // It is ahead, so the new timeline goes on one frame after the old.
        assert_eq!(release(&mut pacer, media(base_ms + jump_ms), start, at), at + ms(40.0), "{jump_ms}");
        assert_eq!(release(&mut pacer, media(base_ms + jump_ms + 40.0), start, at + ms(40.0)), at + ms(80.0), "{jump_ms}");

        let (start, mut pacer) = (epoch(), Pacer::new());
        release(&mut pacer, media(base_ms), start, start);
        let at = start + ms(40.0);
        release(&mut pacer, media(base_ms + 40.0), at, at);
        for n in 2..5 {
            let at = start + ms(f64::from(n) * 40.0);
            assert_eq!(release(&mut pacer, media(base_ms + jump_ms + f64::from(n) * 40.0), at, at), at, "live, {jump_ms}");
        }
    }
}

#[test]
fn packet_without_time_and_small_steps_back_go_with_their_predecessor() {
    let (start, mut pacer) = (epoch(), Pacer::new());
    release(&mut pacer, media(0.0), start, start);
    let at = release(&mut pacer, media(120.0), start, start);
    assert_eq!(release(&mut pacer, None, start, at), at);
    assert_eq!(release(&mut pacer, media(40.0), start, at), at);
    assert_eq!(release(&mut pacer, media(80.0), start, at), at);
    assert_eq!(release(&mut pacer, media(160.0), start, at), start + ms(160.0), "the anchor held");
}

#[test]
fn resumed_media_is_due_at_once() {
    let (start, mut pacer) = (epoch(), Pacer::new());
    release(&mut pacer, media(0.0), start, start);
    assert_eq!(pacer.due(media(400.0), start, start), Due::At(start + ms(400.0)));
    pacer.reanchor();
    assert_eq!(release(&mut pacer, media(400.0), start, start), start);
}

#[test]
fn no_sequence_of_times_delays_a_packet_beyond_the_longest_step() {
    proptest::proptest!(|(steps in proptest::collection::vec((-8_000_i64..8_000, 0_u64..200), 1..200))| {
        let (mut now, mut pacer, mut time) = (epoch(), Pacer::new(), MediaTime::from_millis(500_000));
        for (step_ms, wait_ms) in steps {
            time += MediaTime::from_millis(step_ms);
            now += Duration::from_millis(wait_ms);
            let at = release(&mut pacer, Some(time), now, now);
            proptest::prop_assert!(at - now <= Duration::from_millis(5_600));
            now = at;
        }
    });
}
