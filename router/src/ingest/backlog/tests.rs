//! The rules one by one, in virtual time.

use crosspoint_ffi::Payload;

use super::super::clock::{epoch, ms};
use super::*;

/// Packets of a 30 Hz source, a key frame every `gop`, numbered by their times.
struct Source {
    backlog: Backlog,
    now: Instant,
    sent: i64,
    gop: i64,
    interval: Duration,
    bytes: usize,
    /// The longest time from a packet's arrival to the end of its decoding.
    worst: Duration,
}

/// What was decoded: number, and whether it was shown.
type Decoded = Vec<(i64, bool)>;

impl Source {
    fn new(gop: i64) -> Self {
        Self { backlog: Backlog::new(), now: epoch(), sent: 0, gop, interval: ms(100.0 / 3.0), bytes: 100, worst: Duration::ZERO }
    }

    /// Sends `count` packets in real time to a decoder that takes `cost` for each.
    fn run(&mut self, count: i64, cost: Duration) -> Vec<Step> {
        let (mut steps, end) = (Vec::new(), self.sent + count);
        let mut due = self.now;
        while self.sent < end {
            self.now = self.now.max(due);
            while self.sent < end && due <= self.now {
                self.send(due);
                due += self.interval;
            }
            while let Some(step) = self.decode(cost) {
                self.worst = self.worst.max(self.now.saturating_duration_since(step.packet.arrival));
                steps.push(step);
                while self.sent < end && due <= self.now {
                    self.send(due);
                    due += self.interval;
                }
                self.backlog.handle_decoded(cost);
            }
        }
        steps
    }

    fn send(&mut self, arrival: Instant) {
        self.backlog.handle_packet(packet(self.sent, self.sent % self.gop == 0, self.bytes, self.interval, arrival));
        self.sent += 1;
    }

    fn decode(&mut self, cost: Duration) -> Option<Step> {
        match self.backlog.poll(self.now) {
            BacklogOutput::Decode(step) => {
                self.now += cost;
                Some(step)
            }
            BacklogOutput::Idle => None,
        }
    }

    /// Decodes all there is without anything coming.
    fn drain(&mut self, cost: Duration) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = self.decode(cost) {
            self.backlog.handle_decoded(cost);
            steps.push(step);
        }
        steps
    }

    fn number(&self, packet: &Packet) -> i64 {
        let time = packet.decode_time().expect("a time").as_nanos();
        let interval = i64::try_from(self.interval.as_nanos()).expect("short");
        (time + interval / 2) / interval
    }

    fn decoded(&self, steps: &[Step]) -> Decoded {
        steps.iter().map(|step| (self.number(&step.packet), !step.is_hidden)).collect()
    }
}

fn packet(number: i64, key: bool, bytes: usize, interval: Duration, arrival: Instant) -> Packet {
    let time = MediaTime::from_nanos(number * i64::try_from(interval.as_nanos()).expect("short"));
    let data = Payload::copy_from_slice(&vec![0; bytes]);
    Packet { codec: Codec::H264, data, pts: Some(time), dts: Some(time), key, arrival, parameters: None }
}

#[test]
fn watched_source_is_decoded_packet_by_packet_and_shown() {
    let mut source = Source::new(30);
    source.backlog.handle_demand(true, source.now);
    let steps = source.run(300, ms(3.0));
    assert_eq!(source.decoded(&steps), (0..300).map(|n| (n, true)).collect::<Vec<_>>());
    assert!(steps.iter().all(|step| !step.restart && !step.skips_unreferenced && !step.by_frame));
}

#[test]
fn unwatched_source_is_probed_and_then_kept_from_its_last_key_frame_on() {
    let mut source = Source::new(30);
    let steps = source.run(140, ms(3.0));
    assert_eq!(source.decoded(&steps), (0..i64::from(PROBES)).map(|n| (n, false)).collect::<Vec<_>>());
    assert!(source.backlog.is_keeping());
    source.backlog.handle_demand(true, source.now);
    let began = source.now;
    let burst = source.drain(ms(3.0));
    let decoded = source.decoded(&burst);
    assert_eq!(decoded, (120..140).map(|n| (n, n == 139)).collect::<Vec<_>>(), "one picture of the burst is shown, the newest");
    assert!(burst[0].restart && burst[1..].iter().all(|step| !step.restart));
    assert!(burst[..19].iter().all(|step| step.skips_unreferenced) && !burst[19].skips_unreferenced);
    assert!(source.now - began < ms(100.0));
    let steps = source.run(2, ms(3.0));
    assert_eq!(source.decoded(&steps), [(140, true), (141, true)]);
    assert_eq!(source.backlog.stats(), BacklogStats { packets: 142, unwatched: 110, late: 0 });
}

#[test]
fn what_is_kept_never_takes_long_to_decode() {
    for cost_ms in [1.0, 3.0, 10.0, 30.0] {
        let mut source = Source::new(250);
        for _ in 0..10 {
            source.run(73, ms(cost_ms));
            let began = source.now;
            source.backlog.handle_demand(true, began);
            let burst = source.drain(ms(cost_ms));
            assert!(burst.last().is_none_or(|step| !step.is_hidden), "live");
            assert!(source.now - began <= MOST_KEPT_WORK + ms(cost_ms), "{cost_ms} ms a picture: {:?}", source.now - began);
            source.backlog.handle_demand(false, source.now);
        }
        assert_eq!(source.backlog.stats().late, 0);
    }
}

#[test]
fn long_group_of_pictures_is_decoded_behind_what_is_kept() {
    let mut source = Source::new(250);
    let cost = ms(5.0);
    let steps = source.run(250, cost);
    let decoded = source.decoded(&steps);
    assert_eq!(decoded, (0..200).map(|n| (n, false)).collect::<Vec<_>>(), "all but the newest quarter of a second of work, in order");
    assert!(steps.iter().all(|step| !step.restart));
    source.run(1, cost);
    assert_eq!(source.backlog.stats().unwatched, 50, "the next key frame makes what was kept worthless");
}

#[test]
fn what_is_kept_is_bounded_in_bytes() {
    let mut source = Source::new(1_000);
    source.bytes = 1 << 20;
    let steps = source.run(100, ms(0.1));
    assert_eq!(source.decoded(&steps).last(), Some(&(91, false)));
    assert_eq!(source.backlog.bytes, MOST_KEPT_BYTES);
}

#[test]
fn key_frame_in_a_burst_lets_go_of_what_is_before_it() {
    let mut source = Source::new(30);
    source.run(60, ms(3.0));
    source.backlog.handle_demand(true, source.now);
    assert!(source.decode(ms(3.0)).is_some());
    source.send(source.now);
    let steps = source.drain(ms(3.0));
    assert_eq!(source.decoded(&steps), [(60, true)]);
    assert!(steps[0].restart);
}

#[test]
fn watcher_that_goes_leaves_the_decoder_where_it_is() {
    let mut source = Source::new(1_000);
    source.backlog.handle_demand(true, source.now);
    source.run(20, ms(3.0));
    source.backlog.handle_demand(false, source.now);
    assert!(source.run(5, ms(3.0)).is_empty());
    source.backlog.handle_demand(true, source.now);
    let steps = source.drain(ms(3.0));
    assert_eq!(source.decoded(&steps), (20..25).map(|n| (n, n == 24)).collect::<Vec<_>>());
    assert!(steps.iter().all(|step| !step.restart), "its references still stand");
}

#[test]
fn source_that_is_too_heavy_loses_pictures_and_gains_no_delay() {
    for gop in [15, 120] {
        let mut source = Source::new(gop);
        source.interval = ms(1e3 / 60.0);
        source.backlog.handle_demand(true, source.now);
        let steps = source.run(600, ms(25.0));
        assert!(source.worst < MOST_WORK + ms(50.0), "{:?}", source.worst);
        let stats = source.backlog.stats();
        assert_eq!(stats.late + steps.len() as u64 + source.backlog.queue.len() as u64, 600, "every packet is decoded or counted");
        assert!(steps.len() > 200, "{}", steps.len());
        for pair in steps.windows(2) {
            let follows = source.number(&pair[1].packet) == source.number(&pair[0].packet) + 1;
            assert!(follows || (pair[1].restart && pair[1].packet.key), "resumes at a key frame");
        }
        assert_eq!(steps.iter().any(|step| step.skips_unreferenced), gop > 15);
    }
}

#[test]
fn decoder_works_by_frame_when_pictures_cost_more_than_their_time() {
    let mut source = Source::new(60);
    source.backlog.handle_demand(true, source.now);
    let steps = source.run(300, ms(40.0));
    let switch = steps.iter().position(|step| step.by_frame).expect("it switches");
    assert!(steps[switch].packet.key && steps[switch].restart);
    assert!(steps[switch..].iter().all(|step| step.by_frame));
    let before = source.number(&steps[switch].packet);
    assert!((25..=120).contains(&before), "after a second of work, at a key frame: {before}");
    source.backlog.handle_reset();
    assert!(source.run(60, ms(3.0)).iter().all(|step| !step.by_frame), "another source begins by slice");
}

#[test]
fn busy_moment_changes_nothing_for_a_source_that_is_light() {
    let mut source = Source::new(60);
    source.backlog.handle_demand(true, source.now);
    source.run(60, ms(3.0));
    source.run(1, ms(700.0));
    let steps = source.run(120, ms(3.0));
    assert!(steps.iter().all(|step| !step.by_frame && !step.restart));
    assert_eq!(source.backlog.stats().late, 0);
}

#[test]
fn lost_decoder_goes_on_at_a_key_frame_and_reset_at_any() {
    let mut source = Source::new(30);
    source.backlog.handle_demand(true, source.now);
    source.run(10, ms(3.0));
    source.backlog.handle_loss();
    let steps = source.run(25, ms(3.0));
    assert_eq!(source.decoded(&steps), (30..35).map(|n| (n, true)).collect::<Vec<_>>());
    assert_eq!(source.backlog.stats().late, 20);
    source.backlog.handle_loss();
    source.backlog.handle_reset();
    assert_eq!(source.run(1, ms(3.0)).len(), 1, "the next source says itself where it can be decoded");
}

#[test]
fn other_parameters_are_probed_anew() {
    let mut source = Source::new(1);
    source.run(50, ms(3.0));
    let parameters = Arc::new(Parameters::default());
    let mut decoded = 0;
    for number in 50..100 {
        let parameters = Some(Arc::clone(&parameters));
        source.backlog.handle_packet(Packet { parameters, ..packet(number, true, 9, source.interval, source.now) });
        decoded += source.drain(ms(3.0)).len();
    }
    assert_eq!(decoded, PROBES as usize);
}
