//! From what viewers got to figures.

use std::collections::HashMap;
use std::time::Instant;

use serde::Serialize;

use crate::distribution::{Distribution, Summary};
pub(crate) use crate::impair::Done;
use crate::sight::percent;

/// How viewers get their pictures.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Rtmp,
    WebRtc,
    WebSocket,
}

/// How a viewer behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Behaviour {
    /// Leaves after a while and comes again.
    Leave,
    /// Reads slower than media comes.
    Slow,
    /// Stops reading, and stays.
    Stall,
    Steady,
}

/// What was counted for a viewer while it was there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) pictures: Vec<(u64, Instant)>,
    pub(crate) messages: u64,
    pub(crate) breaks: u64,
    pub(crate) corrupt: u64,
    /// Of WebRTC: packets that came, that did not when it was their turn, and that never did.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) missing: u64,
    /// From the start of connecting to the first picture.
    pub(crate) join_ms: Option<f64>,
}

/// What viewers of one kind and behaviour got.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) kind: Kind,
    pub(crate) behaviour: Behaviour,
    pub(crate) viewers: usize,
    /// From the start of connecting to the first picture.
    pub(crate) join_ms: Option<Summary>,
    pub(crate) pictures: usize,
    /// Of those that were published from a viewer's first one on; nothing where it is not known what was.
    pub(crate) pictures_percent: Option<f64>,
    /// From when a frame was due at the publisher to when its first packet came. One that never came is as old as the end.
    pub(crate) age_ms: Option<Summary>,
    #[serde(skip)]
    pub(crate) ages_ms: Vec<f64>,
    /// From one picture to the next.
    pub(crate) gap_ms: Option<Summary>,
    /// Jumps of counters and times.
    pub(crate) breaks: u64,
    /// Messages with bytes that nobody sent, of all.
    pub(crate) corrupt_percent: f64,
    /// Packets that were not there in their turn, of all that were sent.
    pub(crate) lost_percent: f64,
    /// Those that never came.
    pub(crate) missing_percent: f64,
    /// Viewers who were closed or refused, and the first reason.
    pub(crate) ended: usize,
    pub(crate) trouble: Option<String>,
}

impl Account {
    /// Sums viewers of one kind up.
    pub(crate) fn of(
        kind: Kind,
        behaviour: Behaviour,
        viewers: usize,
        all: &[Got],
        troubles: &[String],
        published: Option<&Published<'_>>,
    ) -> Self {
        let sum = |part: fn(&Got) -> u64| all.iter().map(part).sum::<u64>();
        let share = |part: u64, whole: u64| percent(part as usize, whole as usize);
        let (packets, lost, missing) = (sum(|got| got.packets), sum(|got| got.lost), sum(|got| got.missing));
        let (corrupt, messages) = (sum(|got| got.corrupt), sum(|got| got.messages));
        // Who stays away for a while misses what comes meanwhile.
        let follows = published.filter(|_| behaviour == Behaviour::Steady);
        let ages: Vec<Ages> = follows.into_iter().flat_map(|published| all.iter().map(|got| published.ages(&got.pictures))).collect();
        let (seen, expected) = (ages.iter().map(|ages| ages.seen).sum(), ages.iter().map(|ages| ages.ages_ms.len()).sum());
        let ages_ms: Vec<f64> = ages.into_iter().flat_map(|ages| ages.ages_ms).collect();
        Self {
            kind,
            behaviour,
            viewers,
            join_ms: all.iter().filter_map(|got| got.join_ms).collect::<Distribution>().summary(),
            pictures: all.iter().map(|got| got.pictures.len()).sum(),
            pictures_percent: follows.map(|_| percent(seen, expected)),
            age_ms: ages_ms.iter().copied().collect::<Distribution>().summary(),
            ages_ms,
            gap_ms: all.iter().flat_map(|got| gaps_ms(&got.pictures)).collect::<Distribution>().summary(),
            breaks: sum(|got| got.breaks),
            corrupt_percent: share(corrupt, messages),
            lost_percent: share(lost, packets + missing),
            missing_percent: share(missing, packets + missing),
            ended: troubles.len(),
            trouble: troubles.first().cloned(),
        }
    }
}

/// What was published: when each frame was due, and where a picture stands among them.
pub(crate) struct Published<'a> {
    pub(crate) due: &'a [Instant],
    pub(crate) places: &'a HashMap<u64, usize>,
    /// When nobody looked any more.
    pub(crate) end: Instant,
}

/// How old the pictures of a viewer were.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// Of each frame that was published from the first one seen on.
    pub(crate) ages_ms: Vec<f64>,
    /// How many of those were seen.
    pub(crate) seen: usize,
}

impl Published<'_> {
    /// The schedule counts, not what came: a viewer that gets nothing for a second has thirty old pictures, not one.
    pub(crate) fn ages(&self, pictures: &[(u64, Instant)]) -> Ages {
        let mut came = vec![None; self.due.len()];
        for (time, at) in pictures {
            if let Some(place) = self.places.get(time).and_then(|&place| came.get_mut(place)) {
                place.get_or_insert(*at);
            }
        }
        let Some(first) = came.iter().position(Option::is_some) else { return Ages::default() };
        let age = |(due, came): (&Instant, &Option<Instant>)| came.unwrap_or(self.end).saturating_duration_since(*due).as_secs_f64() * 1e3;
        Ages { ages_ms: self.due[first..].iter().zip(&came[first..]).map(age).collect(), seen: came.iter().flatten().count() }
    }
}

/// From one picture to the next.
pub(crate) fn gaps_ms(pictures: &[(u64, Instant)]) -> Vec<f64> {
    pictures.windows(2).map(|pair| pair[1].1.saturating_duration_since(pair[0].1).as_secs_f64() * 1e3).collect()
}
