//! What is estimated of ways of many kinds. With `--nocapture` they print tables.

use super::simulation::{Show, Way, World, epoch};
use super::*;

const WIDE: u64 = 20_000_000;

/// A world that has gone on well for 10 s.
fn well() -> World {
    let mut world = World::new(3_000_000, Way::of(WIDE));
    world.run(10.0);
    world
}

#[test]
fn wide_way_carries_what_is_wanted_from_the_start_and_in_all_weathers() {
    let ways = [
        ("calm", Way::of(WIDE)),
        ("jitter of 20 ms", Way { jitter: 20_000, ..Way::of(WIDE) }),
        ("bursts late by 20 ms", Way { stalls: 20_000, ..Way::of(WIDE) }),
        ("3 % lost", Way { lost: 30, ..Way::of(WIDE) }),
        ("2 % lost, 2 % twice, jitter", Way { lost: 20, jitter: 5_000, doubled: 20, ..Way::of(WIDE) }),
        ("all of it, feedback is lost", Way { lost: 20, stalls: 10_000, jitter: 10_000, unheard: 100, ..Way::of(WIDE) }),
        ("far", Way { delay: 150_000, jitter: 10_000, ..Way::of(WIDE) }),
    ];
    for (name, way) in ways {
        for start in [3_000_000, 1_000_000, 300_000] {
            for seed in 0..4 {
                let mut world = World::new(start, way);
                (world.random, world.drift, world.pads_large) = (seed, seed % 2 * 200, seed % 2 == 1);
                world.run(30.0);
                let reached = world.first(0.0, |rate| rate >= 3_000_000).expect("reached");
                let least = world.least(reached, 30.0);
                if seed == 0 {
                    eprintln!("{name:30} from {start:>7}: wanted is reached after {reached:.2} s, then at least {least}");
                }
                assert!(least >= 3_000_000, "{name} from {start}, seed {seed}: {least}");
                // A probe of which no feedback comes is repeated after a second.
                let soon = if start == 3_000_000 { 0.1 } else { 2.6 + way.unheard as f64 / 50.0 };
                assert!(reached < soon, "{name} from {start}, seed {seed}: {reached}");
                assert!(world.estimator.rate_bps() <= 4_500_000, "more than could be wanted");
            }
        }
    }
}

#[test]
fn way_that_narrows_is_answered_used_and_drained_and_its_widening_found() {
    head();
    for kilobits in [500, 700, 1_000, 1_500, 2_000, 2_800] {
        for (jitter, queue, lost, delay) in [
            (0, 300_000, 0, 25_000),
            (10_000, 300_000, 0, 25_000),
            (20_000, 300_000, 0, 25_000),
            (0, 80_000, 0, 25_000),
            (0, 30_000, 0, 25_000),
            (0, 1_500_000, 0, 25_000),
            (0, 300_000, 20, 25_000),
            (0, 300_000, 0, 150_000),
        ] {
            let way = Way { jitter, queue, lost, delay, ..Way::of(kilobits * 1_000) };
            let name = format!("{kilobits}, j {} q {} l {lost} d {}", jitter / 1_000, queue / 1_000, delay / 1_000);
            for seed in 0..4 {
                let mut world = World::new(3_000_000, Way { delay, ..Way::of(WIDE) });
                (world.random, world.pads_large) = (seed, seed % 2 == 1);
                world.run(10.0);
                let narrows = world.seconds();
                world.way = way;
                world.run(30.0);
                let widens = world.seconds();
                world.way = Way { jitter, lost, delay, ..Way::of(WIDE) };
                world.run(5.0);
                // A queue of less than what is sent at once says nothing; its losses do, if there are many.
                let (near, soon) = if queue < 50_000 { (way.bps / 4 * 5, 4.0) } else { (way.bps, 0.6) };
                let answer = world.first(narrows, |rate| rate <= near).expect("answered");
                let recover = world.first(widens, |rate| rate >= 3_000_000).expect("recovers");
                let (from, to) = (narrows + 3.0, widens);
                if seed == 0 {
                    row(&name, &world, (from, to), way.bps, [Some(answer), Some(recover)]);
                }
                assert!(answer < soon, "{name}, seed {seed}: answered after {answer}");
                assert!(recover < if jitter > 10_000 || queue < 50_000 { 4.0 } else { 3.0 }, "{name}, seed {seed}: found after {recover}");
                let used = world.use_of(from, to, way.bps);
                assert!((0.5..0.9).contains(&used), "{name}, seed {seed}: {used}");
                let (median, most) = (world.waits_ms(from, to, 0.5), world.waits_ms(from, to, 0.95));
                assert!(median < 25.0 && most < if kilobits > 500 { 110.0 } else { 220.0 }, "{name}, seed {seed}: {median} {most}");
            }
        }
    }
}

#[test]
fn narrow_way_is_found_from_the_start() {
    head();
    for kilobits in [500, 1_000, 2_000] {
        let mut world = World::new(3_000_000, Way::of(kilobits * 1_000));
        world.run(30.0);
        let answer = world.first(0.0, |rate| rate <= kilobits * 1_000);
        row(&format!("{kilobits} from the start"), &world, (3.0, 30.0), kilobits * 1_000, [answer, None]);
        assert!(answer.is_some_and(|after| after < 0.6), "{answer:?}");
        assert!(world.use_of(3.0, 30.0, kilobits * 1_000) > 0.5 && world.waits_ms(3.0, 30.0, 0.5) < 20.0);
    }
}

#[test]
fn longer_way_is_not_taken_for_a_narrow_one_for_long() {
    head();
    for (from, to) in [(25_000, 75_000), (25_000, 125_000), (125_000, 25_000)] {
        for jitter in [0, 10_000] {
            let mut world = World::new(3_000_000, Way { delay: from, ..Way::of(WIDE) });
            world.run(10.0);
            world.way = Way { delay: to, jitter, ..Way::of(WIDE) };
            world.run(10.0);
            let least = world.least(10.0, 20.0);
            let since = world.moments.iter().rev().find(|moment| moment.rate_bps < 3_000_000).map_or(0.0, |moment| moment.at - 10.0);
            row(
                &format!("{} ms, then {}, jitter {}", from / 1_000, to / 1_000, jitter / 1_000),
                &world,
                (10.0, 20.0),
                WIDE,
                [None, Some(since)],
            );
            assert!(since < 6.0 && least > 1_000_000, "{since} {least}");
        }
    }
}

#[test]
fn way_that_stalls_for_a_moment_is_still_wide() {
    for stall in [50, 100, 200, 400] {
        let mut world = well();
        world.way.queue = 1_000_000;
        for _ in 0..10 {
            world.stall(stall * 1_000);
            world.run(3.0);
        }
        let (least, mean) = (world.least(10.0, 40.0), world.mean(10.0, 40.0));
        eprintln!("stalls of {stall} ms every 3 s: at least {least}, {mean:.0} on the mean");
        assert!(mean >= 3_000_000.0, "{mean}");
    }
}

#[test]
fn sound_alone_is_enough_to_find_back() {
    head();
    for (kilobits, still) in [(250, None), (100, None), (100, Some(0))] {
        for seed in 0..4 {
            let mut world = well();
            (world.random, world.pads_large) = (seed, seed % 2 == 1);
            world.way = Way::of(kilobits * 1_000);
            world.run(10.0);
            world.show = Show { still, ..Show::USUAL };
            world.run(20.0);
            let widens = world.seconds();
            world.way = Way::of(WIDE);
            world.run(5.0);
            let recover = world.first(widens, |rate| rate >= 3_000_000);
            if seed == 0 {
                row(&format!("{kilobits}, pictures: {}", still.is_none()), &world, (20.0, widens), kilobits * 1_000, [None, recover]);
            }
            assert!(recover.is_some_and(|after| after < 2.5), "{kilobits}, {still:?}, seed {seed}: {recover:?}");
        }
    }
}

#[test]
fn outage_is_answered_and_forgotten_soon() {
    head();
    for (name, is_dead, is_mute, has_sound) in
        [("outage", true, false, true), ("no feedback", false, true, true), ("outage, no sound", true, false, false)]
    {
        for seed in 0..4 {
            let mut world = well();
            (world.show.has_sound, world.random, world.pads_large) = (has_sound, seed, seed % 2 == 1);
            world.way = Way { is_dead, is_mute, ..Way::of(WIDE) };
            world.run(10.0);
            let (back, fell) = (world.seconds(), world.first(10.0, |rate| rate < 1_000_000));
            assert!(world.first(10.0, |rate| rate < 100_000).is_some_and(|after| after < 3.0));
            world.way = Way::of(WIDE);
            world.run(5.0);
            let recover = world.first(back, |rate| rate >= 3_000_000);
            if seed == 0 {
                row(name, &world, (10.0, back), WIDE, [fell, recover]);
            }
            assert!(fell.is_some_and(|after| (1.0..2.0).contains(&after)), "{name}, seed {seed}: {fell:?}");
            assert!(recover.is_some_and(|after| after < 2.2), "{name}, seed {seed}: {recover:?}");
        }
    }
}

#[test]
fn much_loss_is_answered_until_it_ends_and_little_is_not() {
    head();
    for lost in [20, 30, 60, 100, 120, 150, 200] {
        for seed in 0..4 {
            let mut world = well();
            (world.random, world.way.lost, world.pads_large) = (seed, lost, seed % 2 == 1);
            world.run(30.0);
            let ends = world.seconds();
            world.way.lost = 0;
            world.run(10.0);
            let fell = world.first(10.0, |rate| rate < 3_000_000);
            let recover = world.first(ends, |rate| rate >= 3_000_000);
            if seed == 0 {
                row(&format!("{lost} of 1000 lost"), &world, (10.0, ends), WIDE, [fell, recover]);
            }
            assert!(lost > 30 || fell.is_none(), "{lost} of 1000, seed {seed}: {fell:?}");
            let soon = if lost < 150 { 10.0 } else { 4.0 };
            assert!(lost < 120 || fell.is_some_and(|after| after < soon), "{lost} of 1000, seed {seed}: {fell:?}");
            assert!(recover.is_some_and(|after| after < 4.0), "{lost} of 1000, seed {seed}: {recover:?}");
        }
    }
}

#[test]
fn still_screen_keeps_the_estimate_where_it_is() {
    for way in [Way::of(WIDE), Way { jitter: 20_000, lost: 20, ..Way::of(WIDE) }, Way::of(1_000_000)] {
        for has_sound in [true, false] {
            let mut world = World::new(3_000_000, way);
            world.show.has_sound = has_sound;
            world.run(10.0);
            let before = world.estimator.rate_bps();
            world.show.still = Some(300);
            world.run(120.0);
            let (least, after) = (world.least(10.0, 130.0), world.estimator.rate_bps());
            eprintln!("still: {before} before, {after} after, at least {least}, {} kbit/s", way.bps / 1_000);
            assert!(least > before / 5 * 3 && after < before / 5 * 7, "{least} {after} of {before}, {way:?}");
        }
    }
}

#[test]
fn nothing_is_probed_that_nobody_wants_nor_before_anything_is_heard() {
    let mut estimator = Estimator::new(1_000_000);
    let at = |millis| epoch() + Duration::from_millis(millis);
    estimator.set_wanted(3_000_000, at(0));
    estimator.handle_sent(0, 1_200, false, at(0));
    assert_eq!((estimator.poll_padding(at(100)), estimator.deadline()), (None, None), "nothing was heard");
    let fate = Fate { number: 0, arrived: Some(Duration::from_secs(5)) };
    estimator.set_wanted(1_000_000, at(100));
    estimator.handle_feedback([fate].into_iter(), at(100));
    assert_eq!((estimator.poll_padding(at(100)), estimator.deadline()), (None, None), "nothing more is wanted");
    assert_eq!(estimator.round_trip, Some(100_000));
    estimator.set_wanted(3_000_000, at(200));
    assert!(estimator.deadline().is_some_and(|due| due <= at(200)) && !estimator.is_probing());
    assert!(estimator.poll_padding(at(200)).is_some_and(|bytes| bytes < 1_000) && estimator.is_probing());
    assert_eq!(estimator.poll_padding(at(200)), None, "in its time");
    assert!(estimator.deadline().is_some_and(|due| due > at(200) && due < at(205)));
    (1..6).for_each(|number| estimator.handle_sent(number, 2_000, true, at(201)));
    assert_eq!((estimator.poll_padding(at(201)), estimator.is_probing()), (None, false), "media are as good");
}

#[test]
fn silence_after_the_last_picture_says_nothing_of_the_way() {
    let mut estimator = Estimator::new(1_000_000);
    let at = |millis| epoch() + Duration::from_millis(millis);
    let fate = |number| [Fate { number, arrived: Some(Duration::from_secs(5)) }].into_iter();
    estimator.handle_sent(0, 1_200, false, at(0));
    estimator.handle_feedback(fate(0), at(100));
    let before = estimator.rate_bps();
    (1..10).for_each(|number| estimator.handle_sent(number, 1_200, false, at(100 + u64::from(number) * 10)));
    assert_eq!((estimator.poll_padding(at(9_000)), estimator.rate_bps(), estimator.deadline()), (None, before, None));
    estimator.handle_sent(10, 1_200, false, at(10_000));
    assert_eq!((estimator.poll_padding(at(10_000)), estimator.rate_bps()), (None, before), "nor when others follow");
    (11..60).for_each(|number| estimator.handle_sent(number, 1_200, false, at(10_000 + u64::from(number - 10) * 30)));
    estimator.poll_padding(at(11_500));
    assert!(estimator.rate_bps() < before, "{}", estimator.rate_bps());
    for nth in 0..100 {
        estimator.poll_padding(at(12_000 + nth * 1_000));
    }
    assert_eq!(estimator.deadline(), None, "it is not looked at for ever");
}

#[test]
fn whatever_a_viewer_says_the_rate_is_plausible_and_recovers() {
    for seed in 0..4_u64 {
        let mut world = World::new(1_000_000, Way { lost: seed % 3 * 100, ..Way::of(WIDE) });
        world.random = seed;
        world.run(3.0);
        let mut random = seed;
        let mut roll = |sides: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % sides
        };
        for _ in 0..200 {
            world.run(0.02);
            let first = roll(1 << 16) as u16;
            let lies: Vec<Fate> = (0..roll(2_000))
                .map(|nth| {
                    let arrived = match roll(6) {
                        0 => None,
                        1 => Some(Duration::MAX),
                        2 => Some(Duration::ZERO),
                        3 => Some(Duration::from_micros(roll(1 << 30))),
                        4 => Some(Duration::from_secs(roll(1 << 30) << 20)),
                        _ => Some(Duration::from_secs(77) + Duration::from_secs_f64(world.seconds())),
                    };
                    Fate { number: first.wrapping_add(nth as u16), arrived }
                })
                .collect();
            let now = world.instant();
            world.estimator.handle_feedback(lies.into_iter(), now);
            assert!((30_000..=4_500_000).contains(&world.estimator.rate_bps()), "seed {seed}: {}", world.estimator.rate_bps());
            let lost = world.estimator.lost(now);
            assert!(lost.is_none_or(|lost| (0.0..=1.0).contains(&lost)));
        }
        // What it says after that is true.
        world.way = Way::of(WIDE);
        world.run(30.0);
        assert!(world.estimator.rate_bps() >= 3_000_000, "seed {seed}: {}", world.estimator.rate_bps());
    }
}

#[test]
fn storms_leave_nothing_behind() {
    let mut random = 1_u64;
    let mut roll = |sides: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % sides
    };
    let mut world = World::new(3_000_000, Way::of(WIDE));
    for storm in 0..60 {
        for _ in 0..3 {
            let bps = [WIDE, WIDE, 1_500_000, 400_000][roll(4) as usize];
            world.way = Way {
                delay: 5_000 + roll(100_000),
                jitter: roll(30_000),
                stalls: roll(30_000),
                lost: roll(200),
                doubled: roll(50),
                unheard: roll(200),
                is_dead: roll(8) == 0,
                ..Way::of(bps)
            };
            world.run(5.0);
        }
        world.way = Way::of(WIDE);
        world.run(10.0);
        let from = world.seconds();
        world.run(2.0);
        let least = world.least(from, world.seconds());
        assert!(least >= 3_000_000, "storm {storm}: {least}");
    }
}

#[test]
fn estimator_is_small() {
    let bytes = size_of::<Estimator>() + 2_048 * 12;
    assert!(bytes < 28 * 1_024, "{bytes}");
}

fn head() {
    eprintln!("{:40} {:>8} {:>6} {:>7} {:>7} {:>7} {:>7} {:>7}", "way", "mean", "use", "p50 ms", "p95 ms", "answer", "recover", "shown");
}

fn row(name: &str, world: &World, (from, to): (f64, f64), bps: u64, times: [Option<f64>; 2]) {
    let mean = world.mean(from, to) / 1e3;
    let (used, p50, p95) = (world.use_of(from, to, bps), world.waits_ms(from, to, 0.5), world.waits_ms(from, to, 0.95));
    let [answer, recover] = times.map(|time| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.2}")));
    let shown = 1.0 - world.skipped as f64 / world.pictures.max(1) as f64;
    eprintln!("{name:40} {mean:>8.0} {used:>6.2} {p50:>7.0} {p95:>7.0} {answer:>7} {recover:>7} {shown:>7.2}");
}
