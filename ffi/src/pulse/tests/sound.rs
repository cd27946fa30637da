use std::f64::consts::TAU;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::daemon::{Daemon, soon};
use super::{FORMAT, drive};
use crate::MediaTime;
use crate::pulse::{Connection, Latency, MICROPHONE_MONITOR, MICROPHONE_SINK, MICROPHONE_SOURCE, Playback, Record};

const FRAGMENT_BYTES: usize = 1_920;

/// A sine of 440 Hz with this amplitude.
struct Tone {
    frame: u32,
}

impl Tone {
    const AMPLITUDE: f64 = 8_000.0;

    fn fill(&mut self, bytes: &mut [u8]) -> usize {
        for frame in bytes.chunks_exact_mut(4) {
            let phase = TAU * 440.0 * f64::from(self.frame) / 48_000.0;
            let sample = ((phase.sin() * Self::AMPLITUDE) as i16).to_le_bytes();
            frame[..2].copy_from_slice(&sample);
            frame[2..].copy_from_slice(&sample);
            self.frame += 1;
        }
        bytes.len()
    }
}

fn samples(pcm: &[u8]) -> impl Iterator<Item = i16> {
    pcm.chunks_exact(4).map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
}

fn hear(record: &mut Record, into: &mut Vec<i16>) {
    record.read_with(|pcm, _| into.extend(samples(pcm))).expect("the server is up");
}

#[test]
fn tone_is_heard_from_monitor_and_microphone_at_its_pitch_and_level() {
    let Some(daemon) = Daemon::start(&[]) else { return };
    let mut connection = daemon.connect("test");
    connection.ensure_devices(soon()).expect("modules may be loaded");
    let mut playback = connection.playback(MICROPHONE_SINK, FORMAT, Latency::LIVE).expect("connected");
    let mut sources = [MICROPHONE_MONITOR, MICROPHONE_SOURCE]
        .map(|source| (source, connection.record(source, FORMAT, FRAGMENT_BYTES).expect("connected"), Vec::new()));
    let mut tone = Tone { frame: 0 };
    let mut latencies = (None, [None; 2]);
    drive(&mut connection, |_| {
        playback.write_with(usize::MAX, |lent| tone.fill(lent)).expect("the server is up");
        latencies = (playback.latency(), [0, 1].map(|at: usize| sources[at].1.latency()));
        sources.iter_mut().for_each(|(_, record, heard)| hear(record, heard));
        sources.iter().all(|(_, _, heard)| heard.iter().skip_while(|&&sample| sample == 0).count() > 40_000)
    });
    eprintln!("latency of playback and records: {latencies:?}");
    let all = latencies.1.into_iter().chain([latencies.0]);
    assert!(all.into_iter().all(|latency| latency.is_some_and(|latency| latency.abs() < MediaTime::from_millis(300))), "{latencies:?}");
    for (source, _, heard) in sources {
        let heard: Vec<_> = heard.into_iter().skip_while(|&sample| sample == 0).skip(4_800).take(24_000).collect();
        let pitch = heard.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count() as f64 * 48_000.0 / heard.len() as f64;
        let level = (heard.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / heard.len() as f64).sqrt();
        eprintln!("{source}: {pitch:.1} Hz, level {level:.0}");
        assert!((pitch - 440.0).abs() <= 2.0, "{source}: {pitch} Hz");
        assert!((level / (Tone::AMPLITUDE / 2_f64.sqrt()) - 1.0).abs() < 0.02, "{source}: level {level}");
    }
}

/// A sink with a stream that is ready.
fn ready_playback(connection: &mut Connection) -> Playback {
    let playback = connection.playback(MICROPHONE_SINK, FORMAT, Latency::LIVE).expect("connected");
    drive(connection, |_| playback.writable_bytes() > 0);
    playback
}

const ONE_SINK: [&str; 2] = ["-L", "module-null-sink sink_name=audio_input rate=48000 format=s16le channels=2 norewinds=1"];

#[test]
fn lend_is_bounded_and_can_be_taken_back() {
    let Some(daemon) = Daemon::start(&ONE_SINK) else { return };
    let mut connection = daemon.connect("test");
    let mut playback = ready_playback(&mut connection);
    let writable = playback.writable_bytes();
    assert!(writable <= FORMAT.millis_bytes(Latency::LIVE.target.as_millis() as u32), "{writable} bytes are more than the target");
    assert_eq!(playback.write_with(usize::MAX, |_| 0), Ok(0));
    assert_eq!(playback.writable_bytes(), writable, "nothing was played");
    let panicked = catch_unwind(AssertUnwindSafe(|| playback.write_with(64, |_| panic!("on purpose"))));
    assert!(panicked.is_err());
    let panicked = catch_unwind(AssertUnwindSafe(|| playback.write_with(64, |_| 3)));
    assert!(panicked.is_err(), "part of a frame");
    assert_eq!(playback.write_with(67, |lent| lent.len()), Ok(64), "whole frames");
    let mut lent_bytes = 0;
    playback
        .write_with(usize::MAX, |lent| {
            assert!(lent.iter().all(|&byte| byte == 0), "silence until written");
            lent_bytes = lent.len();
            lent_bytes
        })
        .expect("the server is up");
    assert_eq!(lent_bytes, writable - 64);
    assert_eq!(playback.write_with(usize::MAX, |_| panic!("nothing to lend")), Ok(0));
}

#[test]
fn loop_does_not_run_within_a_lend() {
    let Some(daemon) = Daemon::start(&ONE_SINK) else { return };
    let mut connection = daemon.connect("test");
    let mut playback = ready_playback(&mut connection);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        playback.write_with(64, |_| {
            connection.iterate(Some(Duration::ZERO)).expect("the server is up");
            0
        })
    }));
    assert!(panicked.is_err());
    connection.iterate(Some(Duration::ZERO)).expect("the lend is over");
    assert_eq!(
        playback.write_with(64, |lent| {
            drop(connection);
            lent.len()
        }),
        Ok(64),
        "the stream keeps what it needs"
    );
}

#[test]
fn stream_that_ran_dry_counts_and_goes_on_with_the_next_bytes() {
    let Some(daemon) = Daemon::start(&ONE_SINK) else { return };
    let mut connection = daemon.connect("test");
    let mut playback = ready_playback(&mut connection);
    let mut record = connection.record(MICROPHONE_MONITOR, FORMAT, FRAGMENT_BYTES).expect("connected");
    let mut heard = Vec::new();
    drive(&mut connection, |_| {
        hear(&mut record, &mut heard);
        !heard.is_empty()
    });
    for round in 1..=3 {
        let before = playback.underflows();
        let mark = round * 1_000_i16;
        playback
            .write_with(480, |lent| {
                lent.chunks_exact_mut(2).for_each(|sample| sample.copy_from_slice(&mark.to_le_bytes()));
                lent.len()
            })
            .expect("the server is up");
        drive(&mut connection, |_| {
            hear(&mut record, &mut heard);
            playback.underflows() > before && heard.iter().filter(|&&sample| sample == mark).count() == 120
        });
    }
}

#[test]
fn corked_streams_stand_still_and_leave_the_thread_alone() {
    let Some(daemon) = Daemon::start(&ONE_SINK) else { return };
    let mut connection = daemon.connect("test");
    let mut playback = connection.playback(MICROPHONE_SINK, FORMAT, Latency::LIVE).expect("connected");
    let mut record = connection.record(MICROPHONE_MONITOR, FORMAT, FRAGMENT_BYTES).expect("connected");
    playback.cork(true).expect("remembered");
    record.cork(true).expect("remembered");
    drive(&mut connection, |_| playback.writable_bytes() > 0);
    playback.write_with(usize::MAX, |lent| Tone { frame: 1 }.fill(lent)).expect("the server is up");
    // Answers to what was asked come first; then nothing may wake it.
    let quiet = Duration::from_millis(300);
    drive(&mut connection, |_| true);
    let deadline = soon();
    loop {
        assert!(Instant::now() < deadline, "it never rests");
        let start = Instant::now();
        connection.iterate(Some(quiet)).expect("the server is up");
        if start.elapsed() >= quiet {
            break;
        }
    }
    let mut heard = Vec::new();
    hear(&mut record, &mut heard);
    let before = heard.len();
    assert!(heard.iter().all(|&sample| sample == 0), "the corked tone is not heard");
    record.cork(false).expect("the server is up");
    playback.cork(false).expect("the server is up");
    drive(&mut connection, |_| {
        hear(&mut record, &mut heard);
        heard.len() > before && heard.iter().any(|&sample| sample != 0)
    });
}

/// Who was kept from running for a moment, and for how long.
#[derive(Clone, Copy, Debug)]
enum Stall {
    Ours(Duration),
    Servers(Duration),
}

/// What a stream says to hold decides what is written to it: one that is dry and does not know it would be silent for ever.
#[test]
fn stream_knows_that_it_is_dry_after_a_stall_of_either_side() {
    let Some(daemon) = Daemon::start(&ONE_SINK) else { return };
    let mut connection = daemon.connect("test");
    let mut playback = ready_playback(&mut connection);
    let mut tone = Tone { frame: 0 };
    let lengths = [30, 1_000, 400, 150, 850, 250].map(Duration::from_millis);
    for stall in lengths.into_iter().flat_map(|length| [Stall::Ours(length), Stall::Servers(length)]) {
        play_for(&mut connection, &mut playback, &mut tone, Duration::from_millis(300));
        match stall {
            Stall::Ours(length) => std::thread::sleep(length),
            Stall::Servers(length) => {
                daemon.pause();
                play_for(&mut connection, &mut playback, &mut tone, length);
                daemon.resume();
            }
        }
        play_for(&mut connection, &mut playback, &mut tone, Duration::from_millis(100));
        let deadline = soon();
        let mut says = None;
        while says.is_none_or(|latency| latency > MediaTime::ZERO) {
            assert!(Instant::now() < deadline, "{stall:?}: nothing is written, and it says to hold {says:?}");
            connection.iterate(Some(Duration::from_millis(10))).expect("the server is up");
            says = playback.latency();
        }
    }
}

/// Keeps 60 ms on their way for so long.
fn play_for(connection: &mut Connection, playback: &mut Playback, tone: &mut Tone, length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        let held = playback.latency().unwrap_or_default();
        if held < MediaTime::from_millis(60) {
            playback.write_with(FORMAT.millis_bytes(10), |lent| tone.fill(lent)).expect("the server is up");
        }
        connection.iterate(Some(Duration::from_millis(2))).expect("the server is up");
    }
}

/// Writes 10 ms every 10 ms as a live publisher does, one packet in ten marked, and measures until the mark is read back.
#[test]
fn live_packets_reach_the_microphone_within_the_target() {
    let Some(daemon) = Daemon::start(&[]) else { return };
    let mut connection = daemon.connect("test");
    connection.ensure_devices(soon()).expect("modules may be loaded");
    for source in [MICROPHONE_MONITOR, MICROPHONE_SOURCE] {
        for (target_ms, minimum_ms) in [(20, 2), (40, 5), (60, 10)] {
            let latency = Latency { target: Duration::from_millis(target_ms), minimum_request: Duration::from_millis(minimum_ms) };
            let mut took = measure(&mut connection, source, latency);
            took.sort();
            let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
            eprintln!("write to {source}, target {target_ms} ms, request {minimum_ms} ms: median {median:?}, worst {worst:?}");
            assert!(median < Duration::from_millis(150), "{median:?}");
        }
    }
}

fn measure(connection: &mut Connection, source: &str, latency: Latency) -> Vec<Duration> {
    let mut playback = connection.playback(MICROPHONE_SINK, FORMAT, latency).expect("connected");
    let mut record = connection.record(source, FORMAT, FORMAT.millis_bytes(10)).expect("connected");
    drive(connection, |_| playback.writable_bytes() > 0 && record.latency().is_some());
    let (mut packets, mut marked, mut took) = (0_u32, None, Vec::new());
    let mut next = Instant::now();
    let (mut short, mut says) = (0, (None, None));
    drive(connection, |_| {
        if Instant::now() >= next {
            next += Duration::from_millis(10);
            packets += 1;
            let mark = packets.is_multiple_of(10);
            let wanted = FORMAT.millis_bytes(10);
            let written = playback
                .write_with(wanted, |lent| {
                    lent.fill(u8::from(mark) * 17);
                    lent.len()
                })
                .expect("the server is up");
            short += usize::from(written < wanted);
            if mark && written > 0 {
                marked = Some(Instant::now());
            }
        }
        let mut heard = false;
        says = (playback.latency(), record.latency());
        record.read_with(|pcm, _| heard |= pcm.contains(&17)).expect("the server is up");
        if heard {
            took.extend(marked.take().map(|mark| mark.elapsed()));
        }
        took.len() >= 12
    });
    eprintln!("  {short} of {packets} short, {} underflows, latency of playback and record {says:?}", playback.underflows());
    took
}
