//! From times to figures: how old pictures were, and where the time went.

use serde::Serialize;

use crate::distribution::{Distribution, Summary};
use crate::page::{Buffers, Sighting};
use crate::publish::Sent;
use crate::sight::Sight;

/// How old pictures were when the page was called back with them, and where the milliseconds went, as far as the browser tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Ages {
    /// How late pictures were drawn; no part of any age.
    pub(super) due_to_drawn: Option<Summary>,
    /// Drawn to captured, by the router's own word: the X server, and the wait for a look at it.
    pub(super) drawn_to_captured: Option<Summary>,
    /// Captured, by the same, to the last packet received: conversion, encoding, sending.
    pub(super) captured_to_received: Option<Summary>,
    /// The two together.
    pub(super) drawn_to_received: Option<Summary>,
    /// Received to handed to the compositor: the wait for the decoder and for the picture's turn, and decoding.
    pub(super) received_to_presented: Option<Summary>,
    /// Of that, decoding.
    pub(super) decoding: Option<Summary>,
    /// Handed to the compositor to the page's callback.
    pub(super) presented_to_shown: Option<Summary>,
    /// The whole way, of those that were shown.
    pub(super) drawn_to_shown: Option<Summary>,
    /// From when each was due, whether it was shown or not.
    pub(super) due_to_shown: Option<Summary>,
}

impl Ages {
    /// Follows each picture of `drawn` to where it was seen; the first `warm_up` do not count. `all_ms` are the ages of all.
    pub(super) fn of(drawn: &[Sent], sight: &Sight, warm_up: usize, all_ms: &Distribution) -> Self {
        let numbered = || drawn.iter().enumerate().skip(warm_up);
        let summary = |part: &dyn Fn(&Sent, &Sighting) -> Option<f64>| {
            let parts = numbered().filter_map(|(number, drawn)| part(drawn, sight.first(number)?));
            parts.collect::<Distribution>().summary()
        };
        Self {
            due_to_drawn: numbered().map(|(_, drawn)| drawn.at_ms - drawn.due_ms).collect::<Distribution>().summary(),
            drawn_to_captured: summary(&|drawn, seen| Some(seen.way?.captured_ms? - drawn.at_ms)),
            captured_to_received: summary(&|_, seen| Some(seen.way?.received_ms? - seen.way?.captured_ms?)),
            drawn_to_received: summary(&|drawn, seen| Some(seen.way?.received_ms? - drawn.at_ms)),
            received_to_presented: summary(&|_, seen| Some(seen.way?.presented_ms - seen.way?.received_ms?)),
            decoding: summary(&|_, seen| Some(seen.way?.decoding_s? * 1e3)),
            presented_to_shown: summary(&|_, seen| Some(seen.at_ms - seen.way?.presented_ms)),
            drawn_to_shown: summary(&|drawn, seen| Some(seen.at_ms - drawn.at_ms)),
            due_to_shown: all_ms.summary(),
        }
    }
}

/// What the browser held back, by its own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct BufferAges {
    /// Of pictures: the wait for their turn, and decoding.
    pub(super) picture: Option<Summary>,
    /// Of sound, before it goes to the loudspeaker.
    pub(super) sound: Option<Summary>,
    /// By how much what was seen was captured after what was heard at the same time.
    pub(super) ahead: Option<Summary>,
}

impl BufferAges {
    pub(super) fn of(buffers: &[Buffers]) -> Self {
        let summary = |part: fn(&Buffers) -> Option<f64>| buffers.iter().filter_map(part).collect::<Distribution>().summary();
        Self {
            picture: summary(|buffers| buffers.picture_ms),
            sound: summary(|buffers| buffers.sound_ms),
            ahead: summary(|buffers| buffers.ahead_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Way;

    #[test]
    fn parts_add_up_to_the_whole_and_what_is_not_told_is_left_out() {
        let drawn: Vec<Sent> = (0..4).map(|number| f64::from(number) * 10.0).map(|at_ms| Sent { due_ms: at_ms - 0.5, at_ms }).collect();
        let way = |drawn_ms: f64, is_told: bool| Way {
            captured_ms: is_told.then_some(drawn_ms + 2.0),
            received_ms: Some(drawn_ms + 9.0),
            decoding_s: Some(0.003),
            presented_ms: drawn_ms + 15.0,
        };
        // The second is never seen; of the last, nobody says when it was captured.
        let seen = [0, 2, 3].map(|number| {
            let drawn_ms = f64::from(number) * 10.0;
            Sighting { top: Some(number), bottom: Some(number), at_ms: drawn_ms + 16.0, way: Some(way(drawn_ms, number != 3)) }
        });
        let sight = Sight::of(&seen, 4, 1);
        let ages = Ages::of(&drawn, &sight, 1, &sight.ages_ms(&drawn, 1, 50.0));
        let p50_and_count = |summary: Option<Summary>| summary.map(|summary| (summary.p50, summary.count));
        assert_eq!(p50_and_count(ages.due_to_drawn), Some((0.5, 3)));
        assert_eq!(p50_and_count(ages.drawn_to_captured), Some((2.0, 1)));
        assert_eq!(p50_and_count(ages.captured_to_received), Some((7.0, 1)));
        assert_eq!(p50_and_count(ages.drawn_to_received), Some((9.0, 2)));
        assert_eq!(p50_and_count(ages.received_to_presented), Some((6.0, 2)));
        assert_eq!(p50_and_count(ages.decoding), Some((3.0, 2)));
        assert_eq!(p50_and_count(ages.presented_to_shown), Some((1.0, 2)));
        assert_eq!(p50_and_count(ages.drawn_to_shown), Some((16.0, 2)));
        // The second is as old as the third, by which it was replaced.
        assert_eq!(ages.due_to_shown.map(|age| (age.max, age.count)), Some((26.5, 3)));
    }
}
