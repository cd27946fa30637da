//! Which numbered frames a page saw.

use serde::Serialize;

use crate::distribution::Distribution;
use crate::page::Sighting;
use crate::publish::Sent;

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

/// Frames by number: where each was first seen whole, and the account of it.
#[derive(Debug)]
pub(crate) struct Sight {
    first: Vec<Option<Sighting>>,
    /// When the frame was there or, if it never was, a newer one instead.
    there_ms: Vec<Option<f64>>,
    /// The account of the frames that count.
    pub(crate) seen: Seen,
    /// The pictures looked at, from the first that counts to the last.
    pictures: usize,
}

impl Sight {
    /// Goes through what one view saw of `sent` frames, of which the first `warm_up` do not count.
    pub(crate) fn of(sightings: &[Sighting], sent: usize, warm_up: usize) -> Self {
        let mut first = vec![None; sent];
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
            match &mut first[top] {
                Some(_) => seen.again += 1,
                first => *first = Some(*sighting),
            }
        }
        seen.seen = first.iter().skip(warm_up).flatten().count();
        seen.percent = percent(seen.seen, seen.sent);
        seen.period_ms = period_ms(&sightings[start..end].iter().map(|sighting| sighting.at_ms).collect::<Vec<_>>());
        let mut newer: Option<f64> = None;
        let mut there_ms: Vec<Option<f64>> = first
            .iter()
            .rev()
            .map(|first| {
                let own = first.map(|sighting| sighting.at_ms);
                let there = own.or(newer);
                newer = [own, newer].into_iter().flatten().reduce(f64::min);
                there
            })
            .collect();
        there_ms.reverse();
        Self { first, there_ms, seen, pictures: end - start }
    }

    /// Pictures that were not one whole frame, of all that were looked at. A tear through a strip makes it unreadable, so those count.
    pub(crate) fn torn_percent(&self) -> f64 {
        let broken = self.seen.torn + self.seen.unreadable;
        percent(broken, self.pictures)
    }

    /// How old each frame of `sent` was, that counts, from when it was due, whether it was seen or not: one that never was is as old as
    /// the one that was seen instead, or as the end of looking. So a stall is as many old frames as were due in it.
    pub(crate) fn ages_ms(&self, sent: &[Sent], warm_up: usize, end_ms: f64) -> Distribution {
        let of = |(number, sent): (usize, &Sent)| self.there_ms.get(number).copied().flatten().unwrap_or(end_ms) - sent.due_ms;
        sent.iter().enumerate().skip(warm_up).map(of).collect()
    }

    /// How old each frame was that was seen, from when it left, at the second that it did.
    pub(crate) fn over_time(&self, sent: &[Sent], warm_up: usize) -> Vec<(f64, f64)> {
        let start_ms = sent.get(warm_up).map_or(0.0, |sent| sent.at_ms);
        let seen = sent.iter().zip(&self.first).skip(warm_up).filter_map(|(sent, first)| Some((sent.at_ms, first.as_ref()?.at_ms)));
        seen.map(|(sent_ms, seen_ms)| ((sent_ms - start_ms) / 1e3, seen_ms - sent_ms)).collect()
    }

    /// Where a frame was first seen whole; nothing for those never seen.
    pub(crate) fn first(&self, number: usize) -> Option<&Sighting> {
        self.first.get(number)?.as_ref()
    }
}

/// The mean distance of `times`.
pub(crate) fn period_ms(times: &[f64]) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    (times.len() > 1).then(|| (last - first) / (times.len() - 1) as f64)
}

/// `part` of `whole`.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(number: u32, at_ms: f64) -> Sighting {
        Sighting { top: Some(number), bottom: Some(number), at_ms, way: None }
    }

    #[test]
    fn every_kind_of_sighting_is_counted() {
        let black = Sighting { top: None, bottom: None, at_ms: 0.0, way: None };
        let torn = Sighting { top: Some(4), bottom: Some(3), at_ms: 45.0, way: None };
        let half = Sighting { top: Some(5), bottom: None, at_ms: 55.0, way: None };
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
        assert_eq!(
            sight.first.iter().map(|first| first.map(|sighting| sighting.at_ms)).collect::<Vec<_>>(),
            [None, Some(15.0), Some(25.0), Some(35.0), Some(65.0), Some(56.0), None]
        );
        assert_eq!(sight.torn_percent(), 25.0);
    }

    #[test]
    fn numbers_never_sent_are_not_seen() {
        let sight = Sight::of(&[whole(0, 1.0), whole(9, 2.0), whole(1, 3.0)], 2, 0);
        assert_eq!((sight.seen.seen, sight.seen.unreadable), (2, 1));
    }

    /// A frame each 10 ms, which is seen 5 ms later; but for `lost` ones.
    fn seen_but(lost: std::ops::Range<u32>) -> (Vec<Sent>, Sight) {
        let sent: Vec<Sent> = (0..100).map(|number| f64::from(number) * 10.0).map(|due_ms| Sent { due_ms, at_ms: due_ms + 1.0 }).collect();
        let sightings: Vec<Sighting> =
            (0..100).filter(|number| !lost.contains(number)).map(|number| whole(number, f64::from(number) * 10.0 + 5.0)).collect();
        let sight = Sight::of(&sightings, 100, 10);
        (sent, sight)
    }

    #[test]
    fn stall_is_as_many_old_frames_as_were_due_in_it() {
        let ages = |lost, end_ms| {
            let (sent, sight) = seen_but(lost);
            sight.ages_ms(&sent, 10, end_ms).summary().unwrap()
        };
        let whole = ages(0..0, 1_000.0);
        assert_eq!((whole.count, whole.max), (90, 5.0));
        // A stall of half a second, after which the newest is shown: the first of the frames is 505 ms old.
        let stalled = ages(40..90, 1_000.0);
        assert_eq!((stalled.count, stalled.max), (90, 505.0));
        assert!((stalled.p50 - 55.0).abs() < 1.0 && (stalled.p90 - 415.0).abs() < 2.0, "{stalled:?}");
        // What nothing came after is as old as the end.
        assert_eq!(ages(95..100, 1_500.0).max, 550.0);
    }
}
