use super::super::clock::{Random, epoch};
use super::*;

/// A source that sends packets by its own clock over an uneven path, a sink that plays by another, and the controller between them.
struct Path {
    depth: Depth,
    now_s: f64,
    /// What lies in the sink, in seconds.
    held_s: f64,
    /// What a dry sink has taken ahead of its clock.
    ahead_s: f64,
    dry: u32,
    dropped_s: f64,
    silence_s: f64,
    /// The deepest and the shallowest after the controller settled, and the fastest change of the correction.
    deepest_s: f64,
    shallowest_s: f64,
    fastest: f64,
}

impl Path {
    fn new() -> Self {
        Self {
            depth: Depth::new(),
            now_s: 0.0,
            held_s: 0.0,
            ahead_s: 0.0,
            dry: 0,
            dropped_s: 0.0,
            silence_s: 0.0,
            deepest_s: 0.0,
            shallowest_s: f64::MAX,
            fastest: 0.0,
        }
    }

    /// Plays until `at_s`, then a lump comes.
    fn lump(&mut self, at_s: f64, length_s: f64, packet_s: f64) {
        let passed_s = at_s - self.now_s;
        self.now_s = at_s;
        let was_dry = self.held_s <= passed_s;
        self.held_s = (self.held_s - passed_s).max(0.0);
        self.shallowest_s = self.shallowest_s.min(self.held_s);
        let before = if was_dry { Held::Dry(media(self.ahead_s)) } else { Held::Sound(media(self.held_s)) };
        if was_dry {
            self.held_s = std::mem::take(&mut self.ahead_s);
        }
        let correction = self.depth.correction();
        let lump = Lump { length: media(length_s), packet: media(packet_s) };
        self.dry += u32::from(was_dry);
        let mut left_out_s = 0.0;
        match self.depth.handle_lump(lump, before, epoch_at(at_s)) {
            Refill::Drop(length) => {
                left_out_s = length.as_secs_f64();
                self.dropped_s += left_out_s;
            }
            Refill::Play => {}
            Refill::Silence(length) => {
                self.silence_s += length.as_secs_f64();
                self.held_s += length.as_secs_f64();
            }
        }
        if passed_s > 0.0 {
            self.fastest = self.fastest.max((self.depth.correction() - correction).abs() / passed_s);
        }
        self.held_s += (length_s - left_out_s) * (1.0 + self.depth.correction());
        self.deepest_s = self.deepest_s.max(self.held_s);
    }

    /// A steady source: packets of `packet_s` whose clock runs `drift` fast, each late by up to `jitter_s` and never before another.
    fn run(&mut self, seconds: f64, packet_s: f64, drift: f64, jitter_s: f64, random: &mut Random) {
        let start_s = self.now_s;
        let packets = (seconds / packet_s * (1.0 + drift)) as u64;
        for number in 0..packets {
            let due_s = start_s + (number + 1) as f64 * packet_s / (1.0 + drift);
            let at_s = (due_s + jitter_s * random.unit()).max(self.now_s);
            self.lump(at_s, packet_s, packet_s);
        }
    }

    fn held_ms(&self) -> f64 {
        self.depth.held().expect("sound came").as_secs_f64() * 1e3
    }

    fn target_ms(&self) -> f64 {
        self.depth.target().as_secs_f64() * 1e3
    }

    /// Forgets what happened while it settled.
    fn watch(&mut self) {
        (self.dry, self.dropped_s, self.silence_s, self.deepest_s, self.shallowest_s, self.fastest) = (0, 0.0, 0.0, 0.0, f64::MAX, 0.0);
    }
}

fn epoch_at(seconds: f64) -> Instant {
    thread_local!(static START: Instant = epoch());
    START.with(|start| *start) + Duration::from_secs_f64(seconds)
}

#[test]
fn first_sound_is_heard_at_the_target_depth() {
    let mut path = Path::new();
    path.lump(0.0, 0.024, 0.024);
    assert!((path.silence_s - 0.028).abs() < 1e-6, "{}", path.silence_s);
    assert_eq!(path.depth.expected(epoch_at(0.012)), MediaTime::from_millis(40));
    assert_eq!(path.depth.expected(epoch_at(1.0)), MediaTime::ZERO);
    path.run(20.0, 0.024, 0.0, 0.0, &mut Random(1));
    assert_eq!((path.dry, path.dropped_s), (1, 0.0));
    assert!((path.held_ms() - 40.0).abs() < 0.5, "{}", path.held_ms());
    assert!((path.depth.path_latency().as_secs_f64() - 0.028).abs() < 0.001);
}

#[test]
fn silence_that_a_sink_took_ahead_counts() {
    for (ahead_s, silence_s, dropped_s) in [(0.010, 0.018, 0.0), (0.060, 0.0, 0.032)] {
        let mut path = Path::new();
        path.ahead_s = ahead_s;
        path.run(1.0, 0.024, 0.0, 0.0, &mut Random(1));
        assert!((path.silence_s - silence_s).abs() < 1e-6 && (path.dropped_s - dropped_s).abs() < 1e-6, "{}", path.dropped_s);
        assert!((path.held_ms() - 40.0).abs() < 2.0, "{}", path.held_ms());
    }
}

#[test]
fn an_hour_of_a_foreign_clock_stays_at_the_target() {
    for (seed, drift) in [0.003, -0.003, 0.000_1, -0.000_1, 0.0].into_iter().enumerate() {
        for (packet_s, jitter_s) in [(0.020, 0.0), (0.024, 0.006), (0.024, 0.020), (0.072, 0.010)] {
            let (mut path, mut random) = (Path::new(), Random(seed as u64));
            path.run(120.0, packet_s, drift, jitter_s, &mut random);
            path.watch();
            let mut random = Random(seed as u64 + 99);
            path.run(3_600.0, packet_s, drift, jitter_s, &mut random);
            let what = format!("drift {drift}, packets of {packet_s} s, jitter {jitter_s} s");
            assert_eq!((path.dry, path.dropped_s, path.silence_s), (0, 0.0, 0.0), "{what}");
            assert!((path.held_ms() - path.target_ms()).abs() < 3.0, "{what}: {} of {}", path.held_ms(), path.target_ms());
            assert!(path.target_ms() <= 40.0_f64.max(packet_s * 500.0 + jitter_s * 1_000.0 + 17.0), "{what}: {}", path.target_ms());
            assert!(path.deepest_s < CAP_S && path.shallowest_s > 0.006, "{what}: {}…{}", path.shallowest_s, path.deepest_s);
            assert!((path.depth.correction() + drift).abs() < 0.000_4, "{what}: {}", path.depth.correction());
            assert!(path.fastest <= SLEW * 1.01, "{what}: {}", path.fastest);
        }
    }
}

#[test]
fn clock_that_is_off_from_the_start_neither_dries_nor_overflows() {
    for drift in [0.004, -0.004, 0.003, -0.003] {
        let mut path = Path::new();
        path.lump(0.0, 0.024, 0.024);
        path.watch();
        path.run(20.0, 0.024, drift, 0.002, &mut Random(7));
        assert_eq!((path.dry, path.dropped_s), (0, 0.0), "{drift}");
        assert!(path.deepest_s < 0.085, "{drift}: {}", path.deepest_s);
        path.run(60.0, 0.024, drift, 0.002, &mut Random(8));
        assert!((path.held_ms() - 40.0).abs() < 2.0, "{drift}: {}", path.held_ms());
    }
}

#[test]
fn gap_is_silence_and_leaves_no_delay_behind() {
    let mut path = Path::new();
    let mut random = Random(3);
    path.run(30.0, 0.024, 0.000_1, 0.004, &mut random);
    let target_ms = path.target_ms();
    for gap_s in [0.3, 1.0, 5.0, 60.0] {
        path.watch();
        path.now_s += gap_s;
        path.held_s = 0.0;
        path.run(5.0, 0.024, 0.000_1, 0.004, &mut random);
        assert_eq!((path.dry, path.dropped_s), (1, 0.0), "{gap_s}");
        assert!((path.held_ms() - 40.0).abs() < 5.0 && (path.target_ms() - target_ms).abs() < 0.1, "{gap_s}: {}", path.held_ms());
        assert!(path.shallowest_s < 1e-9 && path.deepest_s < 0.08, "{gap_s}");
    }
}

#[test]
fn burst_behind_a_stall_is_dropped_to_live() {
    let mut path = Path::new();
    path.run(30.0, 0.024, 0.0, 0.0, &mut Random(3));
    path.watch();
    // Half a second was held up, and comes at once.
    path.now_s += 0.5;
    path.held_s = 0.0;
    path.lump(path.now_s, 0.5, 0.024);
    assert!((path.held_s - 0.052).abs() < 0.001, "{}", path.held_s);
    assert!((path.dropped_s - 0.448).abs() < 0.001, "{}", path.dropped_s);
    path.run(5.0, 0.024, 0.0, 0.0, &mut Random(3));
    assert!((path.held_ms() - 40.0).abs() < 1.0);
}

#[test]
fn more_than_the_cap_is_dropped_down_to_the_target() {
    let mut path = Path::new();
    path.run(10.0, 0.024, 0.0, 0.0, &mut Random(3));
    path.watch();
    let now_s = path.now_s;
    for _ in 0..8 {
        path.lump(now_s, 0.024, 0.024);
    }
    path.run(5.0, 0.024, 0.0, 0.0, &mut Random(3));
    assert!(path.dropped_s > 0.14 && path.deepest_s <= CAP_S, "{} dropped, {} deep", path.dropped_s, path.deepest_s);
    assert_eq!(path.dry, 0);
    assert!((path.held_ms() - 40.0).abs() < 10.0, "{}", path.held_ms());
}

#[test]
fn target_grows_with_what_the_path_needs_and_shrinks_again() {
    let mut path = Path::new();
    path.run(20.0, 0.020, 0.0, 0.0, &mut Random(3));
    assert!((path.target_ms() - 40.0).abs() < 0.1);
    path.run(60.0, 0.020, 0.0, 0.060, &mut Random(4));
    assert!((55.0..=121.0).contains(&path.target_ms()), "{}", path.target_ms());
    path.watch();
    path.run(30.0, 0.020, 0.0, 0.060, &mut Random(5));
    assert!(path.dry <= 1, "{}", path.dry);
    path.run(180.0, 0.020, 0.0, 0.0, &mut Random(6));
    assert!((path.target_ms() - 40.0).abs() < 0.1 && (path.held_ms() - 40.0).abs() < 2.0, "{} of {}", path.held_ms(), path.target_ms());
}

#[test]
fn packets_longer_than_the_cap_are_played_whole() {
    let mut path = Path::new();
    path.run(60.0, 0.576, 0.0, 0.005, &mut Random(3));
    assert_eq!((path.dry, path.dropped_s), (1, 0.0));
}

#[test]
fn another_source_begins_with_no_correction() {
    let mut path = Path::new();
    path.run(60.0, 0.024, 0.004, 0.0, &mut Random(3));
    assert!(path.depth.correction() < -0.003);
    path.depth.begin();
    assert_eq!((path.depth.correction(), path.depth.held()), (0.0, None));
}

#[test]
fn input_of_any_order_of_times_is_taken() {
    let mut random = Random(11);
    let mut depth = Depth::new();
    for _ in 0..20_000 {
        let lump = Lump { length: media(random.unit() * 3.0), packet: media(random.unit()) };
        let held = media(random.unit() * 2.0 - 0.5);
        let before = if random.unit() < 0.2 { Held::Dry(held) } else { Held::Sound(held) };
        match depth.handle_lump(lump, before, epoch_at(random.unit() * 1e4)) {
            Refill::Drop(length) => assert!((MediaTime::ZERO..=lump.length).contains(&length)),
            Refill::Play => {}
            Refill::Silence(length) => assert!((MediaTime::ZERO..MediaTime::from_millis(2_000)).contains(&length)),
        }
        assert!(depth.correction().abs() <= Depth::MOST_CORRECTION && depth.target() <= Duration::from_secs(1));
    }
}
