//! The rules one by one, in virtual time.

use std::time::Instant;

use super::super::clock::{epoch, ms};
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
fn frames_that_keep_waiting_overwrite_one_and_wait_no_more() {
    let (mut presenter, mut read) = with_reader();
    write(&mut presenter, 0, read + ms(1.0));
    let mut waits = Vec::new();
    for n in 1..100 {
        // Each comes 8 ms before a read, while the one before it is unread for as long as that one had to wait.
        let arrival = read + ms(PERIOD_MS - 8.0);
        read += ms(PERIOD_MS);
        presenter.handle_frame(n, arrival);
        let waited = matches!(presenter.poll(arrival), PresentOutput::WaitUntil(_));
        if !waited {
            presenter.handle_written(arrival, arrival + ms(0.1));
        }
        presenter.handle_reader(ReaderEvent::Read, read);
        if waited {
            assert_eq!(presenter.poll(read), PresentOutput::Write(n));
            presenter.handle_written(read + ms(1.5), read + ms(1.6));
        }
        waits.push(waited);
    }
    let (early, late) = waits.split_at(HOLDS as usize);
    assert!(early.iter().all(|&waited| waited));
    assert!(late.iter().all(|&waited| !waited), "{late:?}");
    assert_eq!(presenter.stats().overwritten, 1);
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

#[test]
fn swapped_source_leaves_its_picture_until_the_next_frame() {
    let (mut presenter, read) = with_reader();
    write(&mut presenter, 1, read + ms(1.0));
    let swapped = read + ms(5.0);
    presenter.handle_swap(swapped);
    assert_eq!(presenter.poll(swapped), PresentOutput::WaitUntil(swapped + ms(300.0)));
    write(&mut presenter, 2, swapped + ms(290.0));
    assert_eq!(presenter.poll(swapped + ms(1_000.0)), PresentOutput::Idle, "the new source's picture stays");
}

#[test]
fn swapped_source_is_black_after_a_moment_until_the_next_frame() {
    let (mut presenter, read) = with_reader();
    write(&mut presenter, 1, read + ms(1.0));
    presenter.handle_swap(read + ms(5.0));
    assert_eq!(presenter.poll(read + ms(304.0)), PresentOutput::WaitUntil(read + ms(305.0)));
    let black = read + ms(305.0);
    assert_eq!(presenter.poll(black), PresentOutput::WriteBlack);
    presenter.handle_written(black, black + ms(0.1));
    assert_eq!(presenter.poll(black + ms(1.0)), PresentOutput::Idle, "black once");
    presenter.handle_swap(black + ms(2.0));
    assert_eq!(presenter.poll(black + ms(2.0)), PresentOutput::Idle, "black is nobody's picture");
    write(&mut presenter, 2, black + ms(2_000.0));
}

#[test]
fn last_frame_of_a_swapped_source_is_written_and_goes_with_it() {
    let (mut presenter, read) = with_reader();
    presenter.handle_frame(1, read + ms(1.0));
    presenter.handle_swap(read + ms(1.0));
    assert_eq!(presenter.poll(read + ms(1.0)), PresentOutput::Write(1));
    presenter.handle_written(read + ms(1.0), read + ms(1.1));
    assert_eq!(presenter.poll(read + ms(301.0)), PresentOutput::WriteBlack);
}

#[test]
fn swap_while_paused_or_black_changes_nothing() {
    let (mut presenter, read) = with_reader();
    write(&mut presenter, 1, read + ms(1.0));
    presenter.handle_pause();
    presenter.handle_swap(read + ms(2.0));
    assert_eq!(presenter.poll(read + ms(2.0)), PresentOutput::WriteBlack);
    presenter.handle_written(read + ms(2.0), read + ms(2.1));
    presenter.handle_resume();
    presenter.handle_swap(read + ms(3.0));
    assert_eq!(presenter.poll(read + ms(3.0)), PresentOutput::Idle);
}

proptest::proptest! {
    /// Whatever happens, what waits is written after a few deadlines, and every frame is accounted for.
    #[test]
    fn every_frame_is_written_or_counted(operations in proptest::collection::vec((0_u8..17, 0_u16..400), 1..300)) {
        let (mut now, mut presenter, mut frames) = (epoch(), Presenter::new(), 0_u64);
        for (operation, wait) in operations {
            now += ms(f64::from(wait) / 10.0);
            match operation {
                0 => presenter.handle_reader(ReaderEvent::Opened, now),
                1 => presenter.handle_reader(ReaderEvent::Closed, now),
                2 => presenter.handle_reader(ReaderEvent::Unknown, now),
                3 => presenter.handle_pause(),
                4 | 5 => presenter.handle_resume(),
                6 => presenter.handle_blackout(),
                16 => presenter.handle_swap(now),
                7..=11 => presenter.handle_reader(ReaderEvent::Read, now),
                _ => {
                    frames += 1;
                    presenter.handle_frame(frames, now);
                }
            }
            if let PresentOutput::Write(_) | PresentOutput::WriteBlack = presenter.poll(now) {
                presenter.handle_written(now, now + ms(0.2));
                now += ms(0.2);
            }
        }
        let mut deadlines = 0;
        loop {
            match presenter.poll(now) {
                PresentOutput::Idle => break,
                PresentOutput::WaitUntil(until) => {
                    proptest::prop_assert!(until > now);
                    now = until;
                    deadlines += 1;
                }
                PresentOutput::Write(_) | PresentOutput::WriteBlack => {
                    presenter.handle_written(now, now);
                }
            }
        }
        proptest::prop_assert!(deadlines <= 5, "{deadlines} deadlines for one frame");
        let stats = presenter.stats();
        proptest::prop_assert_eq!(stats.frames_in, frames);
        proptest::prop_assert_eq!(stats.frames_in, stats.frames_out + stats.dropped + stats.withheld);
    }
}
