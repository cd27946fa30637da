//! Joining, lagging and leaving in virtual time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn epoch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere; nothing looks at where")]
    Instant::now()
}

fn unit(n: u8, key: bool, captured: Instant) -> Unit {
    Unit {
        media: Media::Video,
        key,
        bytes: Bytes::copy_from_slice(&[n]),
        payloads: Default::default(),
        preface: None,
        time: MediaTime::ZERO,
        captured,
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Everything at the cursor: numbers of units, and `-n` for a lag of n.
fn drain(hub: &mut Hub, cursor: &mut Cursor) -> Vec<i64> {
    let mut met = Vec::new();
    loop {
        match hub.next(cursor) {
            Next::Empty => return met,
            Next::Lagged { dropped } => met.push(-(dropped as i64)),
            Next::Unit(unit) => met.push(i64::from(unit.bytes[0])),
        }
    }
}

fn commands(hub: &mut Hub, now: Instant) -> Vec<HubCommand> {
    std::iter::from_fn(|| hub.poll(now)).collect()
}

const SMALL: Limits = Limits { units: 8, bytes: 1 << 20 };

#[test]
fn joiner_of_what_cannot_be_ordered_gets_the_old_key_frame_with_the_next_unit() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let first = hub.join_kept(now);
    hub.publish(unit(1, true, now));
    hub.publish(unit(2, false, now));
    let mut second = hub.join_kept(now + ms(60_000));
    assert!(!hub.is_ready(&second));
    assert_eq!(drain(&mut hub, &mut second), [], "nothing is live");
    hub.publish(unit(3, false, now + ms(60_010)));
    assert!(hub.is_ready(&second));
    assert_eq!(drain(&mut hub, &mut second), [1, 2, 3]);
    hub.leave(first, now);
    hub.leave(second, now);
}

#[test]
fn regular_key_frames_are_ordered_while_there_are_viewers() {
    let (start, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    hub.set_key_interval(ms(2_000));
    let viewer = hub.join(start);
    assert_eq!(commands(&mut hub, start), [HubCommand::Start, HubCommand::OrderKey]);
    hub.handle_restart();
    assert_eq!(commands(&mut hub, start + ms(9_000)), [], "the first is under way");
    hub.publish(unit(1, true, start + ms(9_000)));
    assert_eq!(hub.poll_deadline(), Some(start + ms(11_000)));
    assert_eq!(commands(&mut hub, start + ms(10_999)), []);
    assert_eq!(commands(&mut hub, start + ms(11_000)), [HubCommand::OrderKey]);
    assert_eq!(commands(&mut hub, start + ms(12_000)), [], "it is under way");
    hub.publish(unit(2, true, start + ms(12_000)));
    hub.publish(unit(3, true, start + ms(13_000)));
    assert_eq!(hub.poll_deadline(), Some(start + ms(15_000)), "one that came for another reason counts");
    hub.leave(viewer, start + ms(13_500));
    assert_eq!(commands(&mut hub, start + ms(15_500)), [HubCommand::Stop]);
    assert_eq!(hub.poll_deadline(), None);
}

#[test]
fn what_is_over_is_read_to_its_end_and_joined_by_nobody() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let mut first = hub.join_kept(now);
    hub.publish(unit(1, true, now));
    hub.handle_end();
    let (mut kept, mut ordered) = (hub.join_kept(now), hub.join(now));
    hub.publish(unit(2, false, now));
    assert_eq!((drain(&mut hub, &mut kept), drain(&mut hub, &mut ordered)), (vec![], vec![]));
    hub.publish(unit(3, true, now));
    assert_eq!(drain(&mut hub, &mut first), [1, 2, 3]);
    assert_eq!((drain(&mut hub, &mut kept), drain(&mut hub, &mut ordered)), (vec![3], vec![3]));
    for cursor in [first, kept, ordered] {
        hub.leave(cursor, now);
    }
}

#[test]
fn joiner_starts_at_a_key_frame_ordered_for_it_and_orders_merge() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let mut first = hub.join(now);
    assert_eq!(commands(&mut hub, now), [HubCommand::Start, HubCommand::OrderKey]);
    let mut second = hub.join(now);
    assert_eq!(commands(&mut hub, now), [], "one is under way");
    hub.publish(unit(1, false, now));
    assert!(!hub.is_ready(&first));
    assert_eq!(drain(&mut hub, &mut first), []);
    hub.publish(unit(2, true, now));
    hub.publish(unit(3, false, now));
    assert!(hub.is_ready(&first));
    assert_eq!(drain(&mut hub, &mut first), [2, 3]);
    assert_eq!(drain(&mut hub, &mut second), [2, 3], "also one that never looked before");
    assert_eq!((first.dropped(), hub.stats().dropped, hub.stats().keys_ordered), (0, 0, 1), "a joiner loses nothing");
    assert_eq!(commands(&mut hub, now), []);
    hub.leave(first, now);
    hub.leave(second, now);
}

#[test]
fn joiner_gets_a_fresh_key_frame_and_what_followed_in_one_burst() {
    for (age, burst, order) in [(ms(299), vec![1, 2, 3], vec![]), (ms(300), vec![], vec![HubCommand::OrderKey])] {
        let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
        let first = hub.join(now);
        commands(&mut hub, now);
        hub.publish(unit(1, true, now));
        hub.publish(unit(2, false, now + ms(33)));
        hub.publish(unit(3, false, now + ms(66)));
        let mut joiner = hub.join(now + age);
        assert_eq!(commands(&mut hub, now + age), order);
        assert_eq!(drain(&mut hub, &mut joiner), burst);
        hub.leave(first, now);
        hub.leave(joiner, now);
    }
}

#[test]
fn slow_viewer_resumes_at_the_newest_key_frame() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let mut slow = hub.join(now);
    commands(&mut hub, now);
    hub.publish(unit(0, true, now));
    assert_eq!(drain(&mut hub, &mut slow), [0]);
    for n in 1..20 {
        hub.publish(unit(n, [13, 17].contains(&n), now));
    }
    // 12 to 19 are left.
    assert_eq!(drain(&mut hub, &mut slow), [-16, 17, 18, 19]);
    assert_eq!((slow.dropped(), hub.stats().lags, hub.stats().dropped), (16, 1, 16));
    assert_eq!(commands(&mut hub, now), [], "nothing to order");
    hub.leave(slow, now);
}

#[test]
fn slow_viewers_order_a_key_frame_every_two_seconds_at_most() {
    let (mut now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let mut slow = hub.join(now);
    commands(&mut hub, now);
    hub.publish(unit(0, true, now));
    assert_eq!(drain(&mut hub, &mut slow), [0]);
    let mut orders = Vec::new();
    let start = now;
    for _ in 0..100 {
        // It falls behind, notices, and gets its key frame at once, again and again.
        for n in 1..=10 {
            hub.publish(unit(n, false, now));
        }
        assert_eq!(drain(&mut hub, &mut slow).first(), Some(&-10));
        loop {
            let due = commands(&mut hub, now);
            if due == [HubCommand::OrderKey] {
                break;
            }
            assert_eq!(due, []);
            now = hub.poll_deadline().expect("somebody waits");
        }
        orders.push(now - start);
        hub.publish(unit(11, true, now));
        assert_eq!(drain(&mut hub, &mut slow), [11]);
        now += ms(100);
    }
    assert!(orders.windows(2).all(|pair| pair[1] - pair[0] >= SLOW_ORDERS), "{orders:?}");
    // A joiner need not wait for that.
    now += ms(400);
    hub.publish(unit(1, false, now));
    let joiner = hub.join(now);
    assert_eq!(commands(&mut hub, now), [HubCommand::OrderKey]);
    hub.leave(joiner, now);
    hub.leave(slow, now);
}

#[test]
fn history_is_bounded_by_bytes_but_never_empty() {
    let (now, mut hub) = (epoch(), Hub::new(Limits { units: 100, bytes: 10 }, Media::Video));
    let mut viewer = hub.join(now);
    let big = |n: u8, bytes: usize| Unit { bytes: Bytes::from(vec![n; bytes]), ..unit(n, n == 0, now) };
    hub.publish(big(0, 4));
    assert_eq!(drain(&mut hub, &mut viewer), [0]);
    for n in 1..4 {
        hub.publish(big(n, 4));
    }
    assert_eq!(drain(&mut hub, &mut viewer), [-3], "2 and 3 are left, but no key");
    hub.publish(Unit { key: true, ..big(9, 1_000) });
    assert_eq!(drain(&mut hub, &mut viewer), [9], "larger than the limit, and still published");
    hub.leave(viewer, now);
}

#[test]
fn sound_alone_starts_at_the_live_edge() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Audio));
    let sound = |n| Unit { media: Media::Audio, ..unit(n, false, now) };
    let mut first = hub.join(now);
    assert_eq!(commands(&mut hub, now), [HubCommand::Start]);
    hub.publish(sound(1));
    let mut second = hub.join(now);
    hub.publish(sound(2));
    assert_eq!(drain(&mut hub, &mut first), [1, 2]);
    assert_eq!(drain(&mut hub, &mut second), [2]);
    for n in 3..20 {
        hub.publish(sound(n));
    }
    assert_eq!(drain(&mut hub, &mut first), [-16, 19]);
    assert_eq!(commands(&mut hub, now), [], "sound has no key frames to order");
    hub.leave(first, now);
    hub.leave(second, now);
}

#[test]
fn capture_lingers_after_the_last_viewer_and_nothing_is_replayed() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let viewer = hub.join(now);
    assert_eq!(commands(&mut hub, now), [HubCommand::Start, HubCommand::OrderKey]);
    hub.publish(unit(1, true, now));
    hub.leave(viewer, now);
    assert_eq!(hub.poll_deadline(), Some(now + LINGER));
    // A reload within the time changes nothing.
    let viewer = hub.join(now + ms(500));
    assert_eq!(commands(&mut hub, now + ms(500)), [HubCommand::OrderKey]);
    hub.publish(unit(2, true, now + ms(600)));
    hub.leave(viewer, now + ms(600));
    assert_eq!(commands(&mut hub, now + ms(2_599)), []);
    assert_eq!(commands(&mut hub, now + ms(2_600)), [HubCommand::Stop]);
    assert_eq!(hub.poll_deadline(), None);
    let mut viewer = hub.join(now + ms(2_601));
    assert_eq!(commands(&mut hub, now + ms(2_601)), [HubCommand::Start, HubCommand::OrderKey]);
    assert_eq!(drain(&mut hub, &mut viewer), []);
    hub.leave(viewer, now);
}

#[test]
fn restarted_encoder_is_not_asked_for_the_key_frame_it_begins_with() {
    let (now, mut hub) = (epoch(), Hub::new(SMALL, Media::Video));
    let mut viewer = hub.join(now);
    commands(&mut hub, now);
    hub.publish(unit(1, true, now));
    assert_eq!(drain(&mut hub, &mut viewer), [1]);
    hub.handle_restart();
    let mut joiner = hub.join(now);
    assert_eq!(commands(&mut hub, now), []);
    hub.publish(unit(2, true, now));
    assert_eq!(drain(&mut hub, &mut joiner), [2]);
    assert_eq!(drain(&mut hub, &mut viewer), [2]);
    hub.leave(viewer, now);
    hub.leave(joiner, now);
}

proptest! {
    /// Whatever happens, a viewer meets units in order, starts and resumes at keys only, and what it did not meet was counted.
    #[test]
    fn viewers_resume_at_keys_and_every_unit_is_met_or_counted(operations in prop::collection::vec((0_u8..12, any::<bool>()), 1..300)) {
        let (now, mut hub) = (epoch(), Hub::new(Limits { units: 5, bytes: 1 << 20 }, Media::Video));
        let mut viewer = hub.join(now);
        let (mut published, mut met, mut last, mut broken) = (0_u64, 0_u64, None::<u64>, true);
        let mut first = None;
        for (operation, key) in operations {
            if operation > 0 {
                let bytes = Bytes::copy_from_slice(&published.to_be_bytes());
                hub.publish(Unit { bytes, ..unit(0, key && operation < 4, now) });
                published += 1;
                continue;
            }
            loop {
                match hub.next(&mut viewer) {
                    Next::Empty => break,
                    Next::Lagged { dropped } => {
                        prop_assert!(dropped > 0);
                        broken = true;
                    }
                    Next::Unit(unit) => {
                        let number = u64::from_be_bytes(unit.bytes[..].try_into().expect("8 bytes"));
                        prop_assert!(!broken || unit.key);
                        prop_assert!(broken || last.is_none_or(|last| number == last + 1));
                        prop_assert!(last.is_none_or(|last| number > last));
                        first.get_or_insert(number);
                        (last, broken) = (Some(number), false);
                        met += 1;
                    }
                }
            }
            if let Some(first) = first {
                prop_assert_eq!(met + viewer.dropped(), published - first);
            }
        }
        hub.leave(viewer, now);
    }
}

#[test]
fn units_are_counted_by_how_far_their_viewer_was_behind() {
    let (now, mut hub) = (epoch(), Hub::new(Limits { units: 16, ..SMALL }, Media::Video));
    let (mut prompt, mut late) = (hub.join(now), hub.join(now));
    for number in 0..10 {
        hub.publish(unit(number, number == 0, now));
        assert_eq!(drain(&mut hub, &mut prompt), [i64::from(number)]);
    }
    assert_eq!(hub.stats().behind, [10, 0, 0, 0, 0, 0, 0]);
    drain(&mut hub, &mut late);
    // 9 and then 8 … 3, 2 and 1, none.
    let twice = hub.stats().and(hub.stats());
    assert_eq!((hub.stats().behind, twice.behind[0], twice.viewers), ([11, 2, 6, 1, 0, 0, 0], 22, 4));
}
