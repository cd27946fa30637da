//! From times to figures: which frames were seen, how old they were, and where the time went.

use serde::Serialize;

use super::page::Sighting;
use super::publish::Sent;
use crate::distribution::{Distribution, Summary};

/// What one view of the browser saw of the frames that count.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Seen {
    /// Frames that count.
    pub(crate) sent: usize,
    /// Of those, frames seen whole: top and bottom agreed.
    pub(crate) seen: usize,
    /// `seen` of `sent`.
    pub(crate) percent: f64,
    /// Times that a frame was seen again.
    pub(crate) again: usize,
    /// Times that an older frame came after a newer one.
    pub(crate) out_of_order: usize,
    /// Pictures whose top and bottom were of different frames.
    pub(crate) torn: usize,
    /// Pictures with a strip that could not be read.
    pub(crate) unreadable: usize,
    /// From one picture to the next, mean, in milliseconds.
    pub(crate) period_ms: Option<f64>,
}

/// Frames by number: when each was first seen whole, and the account of it.
#[derive(Debug)]
pub(crate) struct Sight {
    /// When; nothing for those never seen.
    pub(crate) first_ms: Vec<Option<f64>>,
    /// The account of the frames that count.
    pub(crate) seen: Seen,
}

/// Where the milliseconds went, as far as each border could be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Parts {
    /// Sent to the read of the camera file that brought it: the router's part and the wait.
    pub(crate) sent_to_read: Option<Summary>,
    /// The same without the router's median: the wait for the reader's timer.
    pub(crate) wait: Option<Summary>,
    /// The read of the camera file to the page's script.
    pub(crate) read_to_page: Option<Summary>,
    /// The page's script to the display time.
    pub(crate) page_to_visible: Option<Summary>,
}

impl Sight {
    /// Goes through what one view saw of `sent` frames, of which the first `warm_up` do not count.
    pub(crate) fn of(sightings: &[Sighting], sent: usize, warm_up: usize) -> Self {
        let mut first_ms = vec![None; sent];
        let mut seen = Seen {
            sent: sent.saturating_sub(warm_up),
            seen: 0,
            percent: 0.0,
            again: 0,
            out_of_order: 0,
            torn: 0,
            unreadable: 0,
            period_ms: None,
        };
        let number = |strip: Option<u32>| strip.map(|number| number as usize).filter(|number| *number < sent);
        // Before the first frame the camera is black, after the last it may be again: neither is unreadable.
        let counts = |sighting: &Sighting| [sighting.top, sighting.bottom].into_iter().flatten().any(|strip| strip as usize >= warm_up);
        let start = sightings.iter().position(counts).unwrap_or(sightings.len());
        let end = sightings.iter().rposition(counts).map_or(start, |last| last + 1);
        let mut newest = None;
        for sighting in &sightings[start..end] {
            let (Some(top), Some(bottom)) = (number(sighting.top), number(sighting.bottom)) else {
                seen.unreadable += 1;
                continue;
            };
            if top != bottom {
                seen.torn += 1;
                continue;
            }
            seen.out_of_order += usize::from(newest.is_some_and(|newest| top < newest));
            newest = newest.max(Some(top));
            match &mut first_ms[top] {
                Some(_) => seen.again += 1,
                first => *first = Some(sighting.at_ms),
            }
        }
        seen.seen = first_ms.iter().skip(warm_up).flatten().count();
        seen.percent = percent(seen.seen, seen.sent);
        seen.period_ms = period_ms(&sightings[start..end].iter().map(|sighting| sighting.at_ms).collect::<Vec<_>>());
        Self { first_ms, seen }
    }

    /// Torn pictures, of all that were looked at.
    pub(crate) fn torn_percent(&self) -> f64 {
        percent(self.seen.torn, self.seen.seen + self.seen.again + self.seen.torn + self.seen.unreadable)
    }

    /// How old each frame that counts was when it was first seen.
    pub(crate) fn ages(&self, sent: &[Sent], warm_up: usize) -> Distribution {
        self.counted(sent, warm_up).map(|(sent, seen)| seen - sent.at_ms).collect()
    }

    fn counted<'a>(&'a self, sent: &'a [Sent], warm_up: usize) -> impl Iterator<Item = (&'a Sent, f64)> {
        sent.iter().zip(&self.first_ms).skip(warm_up).filter_map(|(sent, seen)| Some((sent, (*seen)?)))
    }
}

impl Parts {
    /// Splits the time between `sent` and what the worker and the `<video>` element saw at the `reads` of the camera file.
    ///
    /// The read that brought a frame is taken to be the last one before the script had it. That holds while the browser takes less than
    /// a frame period from one to the other; beyond, its part is told too small by a period and the wait too large.
    pub(crate) fn of(
        sent: &[Sent],
        worker: Option<&Sight>,
        page: Option<&Sight>,
        reads: &[f64],
        server_p50_ms: Option<f64>,
        warm_up: usize,
    ) -> Self {
        let read_of = |seen: f64| reads[..reads.partition_point(|read| *read <= seen)].last().copied();
        let pairs: Vec<(f64, f64, f64)> = worker
            .into_iter()
            .flat_map(|worker| worker.counted(sent, warm_up))
            .filter_map(|(sent, seen)| Some((sent.at_ms, read_of(seen)?, seen)))
            .collect();
        let sent_to_read = || pairs.iter().map(|(sent, read, _)| read - sent);
        let waits = server_p50_ms.map(|server| sent_to_read().map(|age| age - server).collect::<Distribution>());
        let paints = worker.zip(page).map(|(worker, page)| {
            let both = worker.first_ms.iter().zip(&page.first_ms).skip(warm_up);
            both.filter_map(|(worker, page)| Some((*page)? - (*worker)?)).collect::<Distribution>()
        });
        Self {
            sent_to_read: sent_to_read().collect::<Distribution>().summary(),
            wait: waits.and_then(|waits| waits.summary()),
            read_to_page: pairs.iter().map(|(_, read, seen)| seen - read).collect::<Distribution>().summary(),
            page_to_visible: paints.and_then(|paints| paints.summary()),
        }
    }
}

/// The mean distance of `times`.
pub(crate) fn period_ms(times: &[f64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    (times.len() > 1).then(|| (last - first) / (times.len() - 1) as f64)
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(number: u32, at_ms: f64) -> Sighting {
        Sighting { top: Some(number), bottom: Some(number), at_ms }
    }

    fn sent(count: u32) -> Vec<Sent> {
        (0..count).map(|number| f64::from(number) * 10.0).map(|at_ms| Sent { due_ms: at_ms, at_ms }).collect()
    }

    #[test]
    fn every_kind_of_sighting_is_counted() {
        let black = Sighting { top: None, bottom: None, at_ms: 0.0 };
        let torn = Sighting { top: Some(4), bottom: Some(3), at_ms: 45.0 };
        let half = Sighting { top: Some(5), bottom: None, at_ms: 55.0 };
        let sightings = [
            black,
            whole(0, 5.0),
            whole(1, 15.0),
            whole(2, 25.0),
            whole(2, 26.0),
            whole(3, 35.0),
            torn,
            half,
            whole(5, 56.0),
            whole(4, 65.0),
            black,
        ];
        let sight = Sight::of(&sightings, 7, 1);
        let expected =
            Seen { sent: 6, seen: 5, percent: 500.0 / 6.0, again: 1, out_of_order: 1, torn: 1, unreadable: 1, period_ms: Some(50.0 / 7.0) };
        assert_eq!(sight.seen, expected);
        assert_eq!(sight.first_ms, [None, Some(15.0), Some(25.0), Some(35.0), Some(65.0), Some(56.0), None]);
        assert!((sight.torn_percent() - 12.5).abs() < 1e-9);
    }

    #[test]
    fn numbers_never_sent_are_not_seen() {
        let sight = Sight::of(&[whole(0, 1.0), whole(9, 2.0), whole(1, 3.0)], 2, 0);
        assert_eq!((sight.seen.seen, sight.seen.unreadable), (2, 1));
    }

    #[test]
    fn nothing_seen_is_an_account_too() {
        let sight = Sight::of(&[], 3, 1);
        assert_eq!((sight.seen.seen, sight.seen.percent, sight.seen.period_ms), (0, 0.0, None));
        assert!(sight.ages(&sent(3), 1).summary().is_none());
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        // Router 1 ms, wait 4, browser 2, paint 8; frame 2 is never painted.
        let sent = sent(4);
        let reads: Vec<f64> = sent.iter().map(|sent| sent.at_ms + 5.0).collect();
        let worker = Sight::of(&[0, 1, 2, 3].map(|number| whole(number, f64::from(number) * 10.0 + 7.0)), 4, 1);
        let page = Sight::of(&[0, 1, 3].map(|number| whole(number, f64::from(number) * 10.0 + 15.0)), 4, 1);
        let parts = Parts::of(&sent, Some(&worker), Some(&page), &reads, Some(1.0), 1);
        let p50_and_count = |summary: Option<Summary>| summary.map(|summary| (summary.p50, summary.count));
        assert_eq!(p50_and_count(parts.sent_to_read), Some((5.0, 3)));
        assert_eq!(p50_and_count(parts.wait), Some((4.0, 3)));
        assert_eq!(p50_and_count(parts.read_to_page), Some((2.0, 3)));
        assert_eq!(p50_and_count(parts.page_to_visible), Some((8.0, 2)));
        assert_eq!(p50_and_count(worker.ages(&sent, 1).summary()), Some((7.0, 3)));
    }

    #[test]
    fn parts_that_nobody_watched_are_left_out() {
        let worker = Sight::of(&[whole(0, 7.0)], 1, 0);
        assert_eq!(Parts::of(&sent(1), Some(&worker), None, &[], None, 0), Parts::default());
    }
}
