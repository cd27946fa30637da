//! From times to figures: how old frames were, and where the time went.

use std::io::{self, Write};

use serde::Serialize;

use crate::distribution::{Distribution, Summary};
use crate::publish::Sent;
use crate::sight::{Sight, percent, period_ms};

/// One frame on its way; nothing where it was not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    /// When it was to be sent.
    due_ms: f64,
    /// When the kernel had its last byte.
    sent_ms: f64,
    /// The read of the camera file that brought it.
    read_ms: Option<f64>,
    /// When the page's script had it.
    page_ms: Option<f64>,
    /// When it was displayed.
    visible_ms: Option<f64>,
}

/// Where the milliseconds went, as far as each border could be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Parts {
    /// How late frames left the generator; no part of any age.
    pub(crate) due_to_sent: Option<Summary>,
    /// Sent to the read of the camera file that brought it: the router's part and the wait.
    pub(crate) sent_to_read: Option<Summary>,
    /// The same without the router's median: the wait for the reader's timer, and what the router held a frame back beyond its median.
    pub(crate) wait: Option<Summary>,
    /// The read of the camera file to the page's script.
    pub(crate) read_to_page: Option<Summary>,
    /// The page's script to the display time.
    pub(crate) page_to_visible: Option<Summary>,
    /// The whole way to the page's script, of frames that were seen there.
    pub(crate) sent_to_page: Option<Summary>,
    /// The whole way to the display time, of the same.
    pub(crate) sent_to_visible: Option<Summary>,
    /// From when each frame was due to the page's script, whether it was seen there or not.
    pub(crate) due_to_page: Option<Summary>,
    /// The same to the display time.
    pub(crate) due_to_visible: Option<Summary>,
}

/// Follows each frame of `sent` through the `reads` of the camera file to what the worker and the `<video>` element saw.
///
/// The read that brought a frame is taken to be the last one before the script had it. That holds while the browser takes less than a
/// frame period from one to the other; beyond, its part is told too small by a period and the wait too large. Reads that come while the
/// thread that watches them sleeps are told once: a frame whose read is so lost, because the last one known is older than the frame,
/// counts for the whole way only.
pub(crate) fn follow(sent: &[Sent], reads: &[f64], worker: Option<&Sight>, video: Option<&Sight>) -> Vec<Frame> {
    let seen = |sight: Option<&Sight>, number: usize| Some(sight?.first(number)?.at_ms);
    let read_before = |time: f64| reads[..reads.partition_point(|read| *read <= time)].last().copied();
    let frame = |(number, sent): (usize, &Sent)| {
        let page_ms = seen(worker, number);
        let read_ms = page_ms.and_then(read_before).filter(|read| *read >= sent.at_ms);
        Frame { due_ms: sent.due_ms, sent_ms: sent.at_ms, read_ms, page_ms, visible_ms: seen(video, number) }
    };
    sent.iter().enumerate().map(frame).collect()
}

/// Writes `frames` as CSV, times in milliseconds since the first was due, empty where a frame was not seen.
pub(crate) fn write_csv(frames: &[Frame], mut out: impl Write) -> io::Result<()> {
    writeln!(out, "number,due_ms,sent_ms,read_ms,page_ms,visible_ms")?;
    let start = frames.first().map_or(0.0, |frame| frame.due_ms);
    for (number, frame) in frames.iter().enumerate() {
        let times = [Some(frame.due_ms), Some(frame.sent_ms), frame.read_ms, frame.page_ms, frame.visible_ms];
        let cells = times.map(|time| time.map_or_else(String::new, |time| format!("{:.3}", time - start)));
        writeln!(out, "{number},{}", cells.join(","))?;
    }
    out.flush()
}

impl Parts {
    /// Sums up `frames`. `server_p50_ms` is the router's own median; the ages of all frames, in the page's script and displayed, are given.
    pub(crate) fn of(frames: &[Frame], server_p50_ms: Option<f64>, [page_ms, visible_ms]: [Option<&Distribution>; 2]) -> Self {
        let summary = |part: &dyn Fn(&Frame) -> Option<f64>| frames.iter().filter_map(part).collect::<Distribution>().summary();
        Self {
            due_to_sent: summary(&|frame| Some(frame.sent_ms - frame.due_ms)),
            sent_to_read: summary(&|frame| Some(frame.read_ms? - frame.sent_ms)),
            wait: summary(&|frame| Some(frame.read_ms? - frame.sent_ms - server_p50_ms?)),
            read_to_page: summary(&|frame| Some(frame.page_ms? - frame.read_ms?)),
            page_to_visible: summary(&|frame| Some(frame.visible_ms? - frame.page_ms?)),
            sent_to_page: summary(&|frame| Some(frame.page_ms? - frame.sent_ms)),
            sent_to_visible: summary(&|frame| Some(frame.visible_ms? - frame.sent_ms)),
            due_to_page: page_ms.and_then(Distribution::summary),
            due_to_visible: visible_ms.and_then(Distribution::summary),
        }
    }
}

/// The share of `frames` that a whole period of the reader passed by: in the camera by the router's median, the next read would have had
/// them, but the router held them back for the one before, or was slower than its median.
pub(crate) fn passed_by_percent(frames: &[Frame], server_p50_ms: f64, reader_period_ms: f64) -> f64 {
    let waits = || frames.iter().filter_map(|frame| Some(frame.read_ms? - frame.sent_ms - server_p50_ms));
    percent(waits().filter(|wait| *wait > reader_period_ms).count(), waits().count())
}

/// The mean distance of the `reads` while frames were sent; before and after, the reader may be another.
pub(crate) fn reader_period_ms(reads: &[f64], sent: &[Sent]) -> Option<f64> {
    let while_sent = sent.first()?.at_ms..=sent.last()?.at_ms;
    period_ms(&reads.iter().copied().filter(|read| while_sent.contains(read)).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Sighting;

    fn whole(number: u32, at_ms: f64) -> Sighting {
        Sighting { top: Some(number), bottom: Some(number), at_ms, way: None }
    }

    fn sent(count: u32) -> Vec<Sent> {
        (0..count).map(|number| f64::from(number) * 10.0).map(|at_ms| Sent { due_ms: at_ms, at_ms }).collect()
    }

    #[test]
    fn nothing_seen_is_an_account_too() {
        let sight = Sight::of(&[], 3, 1);
        assert_eq!((sight.seen.seen, sight.seen.percent, sight.seen.period_ms), (0, 0.0, None));
        assert_eq!(Parts::of(&follow(&sent(3), &[], Some(&sight), None), None, [None; 2]).sent_to_page, None);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        // Router 1 ms, wait 4, browser 2, paint 8; frame 2 is never painted.
        let sent = sent(4);
        let reads: Vec<f64> = sent.iter().map(|sent| sent.at_ms + 5.0).collect();
        let worker = Sight::of(&[0, 1, 2, 3].map(|number| whole(number, f64::from(number) * 10.0 + 7.0)), 4, 0);
        let video = Sight::of(&[0, 1, 3].map(|number| whole(number, f64::from(number) * 10.0 + 15.0)), 4, 0);
        let parts = Parts::of(
            &follow(&sent, &reads, Some(&worker), Some(&video)),
            Some(1.0),
            [Some(&worker.ages_ms(&sent, 0, 60.0)), Some(&video.ages_ms(&sent, 0, 60.0))],
        );
        let p50_and_count = |summary: Option<Summary>| summary.map(|summary| (summary.p50, summary.count));
        assert_eq!(p50_and_count(parts.sent_to_read), Some((5.0, 4)));
        assert_eq!(p50_and_count(parts.wait), Some((4.0, 4)));
        assert_eq!(p50_and_count(parts.read_to_page), Some((2.0, 4)));
        assert_eq!(p50_and_count(parts.page_to_visible), Some((8.0, 3)));
        assert_eq!(p50_and_count(parts.sent_to_page), Some((7.0, 4)));
        assert_eq!(p50_and_count(parts.sent_to_visible), Some((15.0, 3)));
        assert_eq!(p50_and_count(parts.due_to_sent), Some((0.0, 4)));
        assert_eq!(parts.due_to_page.map(|age| (age.max, age.count)), Some((7.0, 4)));
        // Frame 2 is as old as 3, which was painted instead.
        assert_eq!(parts.due_to_visible.map(|age| (age.max, age.count)), Some((25.0, 4)));
    }

    #[test]
    fn read_that_was_not_watched_is_not_made_up() {
        let worker = Sight::of(&[whole(0, 7.0), whole(1, 25.0)], 2, 0);
        let frames = follow(&sent(2), &[5.0], Some(&worker), None);
        assert_eq!(frames.iter().map(|frame| frame.read_ms).collect::<Vec<_>>(), [Some(5.0), None]);
    }

    #[test]
    fn reader_period_is_that_of_the_run() {
        assert_eq!(reader_period_ms(&[-500.0, 5.0, 15.0, 25.0, 900.0], &sent(4)), Some(10.0));
        assert_eq!(reader_period_ms(&[], &sent(4)), None);
    }

    #[test]
    fn frames_that_a_read_passed_by_are_told() {
        let worker = Sight::of(&[whole(0, 9.0), whole(1, 29.0), whole(2, 39.0), whole(3, 49.0)], 4, 0);
        let frames = follow(&sent(4), &[8.0, 18.0, 28.0, 38.0, 48.0], Some(&worker), None);
        // Frame 1 was there 8 ms before the second read, and came with the third.
        assert_eq!(passed_by_percent(&frames, 1.0, 10.0), 75.0);
        assert_eq!(passed_by_percent(&[], 1.0, 10.0), 0.0);
    }

    #[test]
    fn parts_that_nobody_watched_are_left_out() {
        let worker = Sight::of(&[whole(0, 7.0)], 1, 0);
        let parts = Parts::of(&follow(&sent(1), &[], Some(&worker), None), None, [None; 2]);
        assert!(parts.sent_to_page.is_some());
        assert_eq!((parts.wait, parts.sent_to_read, parts.read_to_page, parts.sent_to_visible), (None, None, None, None));
    }

    #[test]
    fn csv_leaves_empty_what_was_not_seen() {
        let sent = [Sent { due_ms: 100.0, at_ms: 100.5 }, Sent { due_ms: 133.0, at_ms: 133.25 }];
        let worker = Sight::of(&[whole(0, 120.0)], 2, 0);
        let mut csv = Vec::new();
        write_csv(&follow(&sent, &[115.0, 148.0], Some(&worker), None), &mut csv).unwrap();
        let expected = "number,due_ms,sent_ms,read_ms,page_ms,visible_ms\n0,0.000,0.500,15.000,20.000,\n1,33.000,33.250,,,\n";
        assert_eq!(String::from_utf8(csv).unwrap(), expected);
    }
}
