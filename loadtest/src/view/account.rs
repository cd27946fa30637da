//! From what viewers got to figures.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::stage::PERIOD;
use crate::clip::Clip;
use crate::distribution::{Distribution, Summary};
pub(crate) use crate::impair::Done;
use crate::plot::Chart;
use crate::sight::percent;
use crate::watch::picture_of;

/// How viewers get their pictures.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Rtmp,
    WebRtc,
    WebSocket,
}

/// How a viewer behaves.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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

/// What was counted for a viewer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    pub(crate) breaks: u64,
    pub(crate) corrupt: u64,
    /// Of WebRTC: packets that came, that did not when it was their turn, and that never did.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    pub(crate) missing: u64,
}

impl Counts {
    /// Adds those of another.
    pub(crate) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.breaks += other.breaks;
        self.corrupt += other.corrupt;
        self.packets += other.packets;
        self.lost += other.lost;
        self.missing += other.missing;
    }
}

/// How far a viewer is who came at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    start: Instant,
    last: Option<Instant>,
    follow: Follow,
}

/// What viewers of one kind and behaviour got, summed up as it comes: what that takes does not grow with the time.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    join_ms: Distribution,
    age_ms: Distribution,
    gap_ms: Distribution,
    pictures: u64,
    /// Of those, the ones that are of the schedule.
    seen: u64,
    /// Of those who left.
    pub(crate) counts: Counts,
}

/// What viewers of one kind and behaviour got.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) kind: Kind,
    pub(crate) behaviour: Behaviour,
    pub(crate) viewers: usize,
    /// From the start of connecting to the first picture.
    pub(crate) join_ms: Option<Summary>,
    pub(crate) pictures: u64,
    /// Of those that were published from a viewer's first one on; nothing where it is not known what was.
    pub(crate) pictures_percent: Option<f64>,
    /// From when a frame was due at the publisher to when its first packet came. One that never came is as old as the one that came
    /// instead, or as the end.
    pub(crate) age_ms: Option<Summary>,
    #[serde(skip)]
    pub(crate) ages: Distribution,
    /// From one picture to the next; and the times to that one from each that should have come in between.
    pub(crate) gap_ms: Option<Summary>,
    #[serde(skip)]
    pub(crate) gaps: Distribution,
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

impl Visitor {
    /// One who began to connect at `start`.
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, last: None, follow: Follow::default() }
    }
}

impl Sum {
    /// Takes the pictures that came to a visitor since the last time.
    pub(crate) fn take(&mut self, visitor: &mut Visitor, pictures: &[(u64, Instant)], schedule: Option<&Schedule>) {
        for &(picture, at) in pictures {
            match visitor.last.replace(at) {
                Some(last) => self.gap_ms.record_at_rate(millis(last, at), PERIOD.as_secs_f64() * 1e3),
                None => self.join_ms.record(millis(visitor.start, at)),
            }
            if let Some(schedule) = schedule {
                self.seen += u64::from(visitor.follow.take(schedule, picture, at, &mut self.age_ms));
            }
        }
        self.pictures += pictures.len() as u64;
    }

    /// Closes the account of one who was there until `end`: what had not come by then did not. Pictures were sent `until` a time.
    pub(crate) fn leave(&mut self, visitor: &Visitor, until: Instant, end: Instant, schedule: Option<&Schedule>) {
        // Who waits in vain waits as long as it stays.
        match visitor.last {
            Some(last) if until > last + 2 * PERIOD => self.gap_ms.record_at_rate(millis(last, until), PERIOD.as_secs_f64() * 1e3),
            Some(_) => {}
            None => self.join_ms.record(millis(visitor.start, end)),
        }
        if let Some(schedule) = schedule {
            visitor.follow.finish(schedule, visitor.start, end, &mut self.age_ms);
        }
    }

    /// The account of all who were there; `counts` are those of who is still, `troubles` why some were ended.
    pub(crate) fn account(&self, kind: Kind, behaviour: Behaviour, viewers: usize, counts: Counts, troubles: &[String]) -> Account {
        let mut all = self.counts;
        all.add(counts);
        let Counts { messages, breaks, corrupt, packets, lost, missing } = all;
        let share = |part: u64, whole: u64| percent(part as usize, whole as usize);
        Account {
            kind,
            behaviour,
            viewers,
            join_ms: self.join_ms.summary(),
            pictures: self.pictures,
            pictures_percent: (self.age_ms.count() > 0).then(|| share(self.seen, self.age_ms.count())),
            age_ms: self.age_ms.summary(),
            ages: self.age_ms.clone(),
            gap_ms: self.gap_ms.summary(),
            gaps: self.gap_ms.clone(),
            breaks,
            corrupt_percent: share(corrupt, messages),
            lost_percent: share(lost, packets + missing),
            missing_percent: share(missing, packets + missing),
            ended: troubles.len(),
            trouble: troubles.first().cloned(),
        }
    }
}

/// What is published, again and again: when each frame is due.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Where in the clip a picture is.
    places: HashMap<u64, usize>,
    /// How many frames the clip has, and how far apart they are due.
    frames: usize,
    period: Duration,
    /// When each pass through the clip began.
    starts: Vec<Instant>,
    /// From when on nothing is due any more.
    end: Option<Instant>,
}

impl Schedule {
    pub(crate) fn of(clip: &Clip) -> Self {
        let places = clip.frames.iter().enumerate().filter_map(|(place, frame)| Some((picture_of(frame)?, place))).collect();
        Self { places, frames: clip.frames.len(), period: clip.period, starts: Vec::new(), end: None }
    }

    /// Whether each frame is told from all others.
    pub(crate) fn is_distinct(&self) -> bool {
        self.places.len() == self.frames
    }

    /// The clip is published once more: when the pass before is over, or at once when that has been long ago. Says when.
    pub(crate) fn pass(&mut self, now: Instant) -> Instant {
        let over = self.starts.last().and_then(|&start| Some(start + self.period * u32::try_from(self.frames).ok()?));
        let start = over.map_or(now, |over| over.max(now));
        self.starts.push(start);
        start
    }

    /// Nothing is published from `end` on.
    pub(crate) fn stop(&mut self, end: Instant) {
        self.end = Some(end);
    }

    /// Until when something is.
    pub(crate) fn until(&self, now: Instant) -> Instant {
        self.end.map_or(now, |end| end.min(now))
    }

    /// When the frame of this number, of all passes, is due; nothing when nobody plans to publish it.
    fn due(&self, number: usize) -> Option<Instant> {
        let due = *self.starts.get(number / self.frames)? + self.period * u32::try_from(number % self.frames).ok()?;
        self.end.is_none_or(|end| due < end).then_some(due)
    }

    /// The newest frame at this place that was due at a time.
    fn newest(&self, place: usize, at: Instant) -> Option<usize> {
        let numbers = (0..self.starts.len()).rev().map(|pass| pass * self.frames + place);
        numbers.into_iter().find(|&number| self.due(number).is_some_and(|due| due <= at))
    }
}

/// How far a viewer has followed a [`Schedule`].
///
/// The schedule counts, not what came: a viewer that gets nothing for a second has thirty old pictures, not one. A frame that never came
/// is as old as the one that came instead of it, or as the end, if none did.
#[derive(Clone, Copy, Debug, Default)]
struct Follow {
    /// The frame that is next.
    next: Option<usize>,
}

impl Follow {
    /// Takes a picture into `ages_ms`; says whether it is one of the schedule that did not come before.
    fn take(&mut self, schedule: &Schedule, picture: u64, at: Instant, ages_ms: &mut Distribution) -> bool {
        let Some(number) = schedule.places.get(&picture).and_then(|&place| schedule.newest(place, at)) else { return false };
        let next = self.next.unwrap_or(number);
        if number < next {
            return false;
        }
        (next..=number).filter_map(|number| schedule.due(number)).for_each(|due| ages_ms.record(millis(due, at)));
        self.next = Some(number + 1);
        true
    }

    /// Takes what never came of what was due since `start`.
    fn finish(&self, schedule: &Schedule, start: Instant, end: Instant, ages_ms: &mut Distribution) {
        let dues = (self.next.unwrap_or(0)..schedule.starts.len() * schedule.frames).filter_map(|number| schedule.due(number));
        dues.filter(|due| (start..end).contains(due)).for_each(|due| ages_ms.record(millis(due, end)));
    }
}

/// What reports say of their ages.
pub(crate) const OMISSION: &str = "\
clock: CLOCK_MONOTONIC, one machine. Ages count from when a frame was due, whether it came or not: one that did not is as old
as the one that came instead, or as the end. A gap counts for each picture that should have come in it, a wait that was in vain as
long as it was.";

/// The worst share of corrupt messages among WebSocket viewers who read steadily: of the others it is not known what they should get.
pub(crate) fn corrupt_percent(accounts: &[Account]) -> Option<f64> {
    let checked = accounts.iter().filter(|account| (account.kind, account.behaviour) == (Kind::WebSocket, Behaviour::Steady));
    checked.map(|account| account.corrupt_percent).max_by(f64::total_cmp)
}

/// How old pictures were and how far apart, by kind and behaviour.
pub(crate) fn charts(accounts: &[Account]) -> Vec<Chart> {
    let of = |account: &Account, what: &str, values: &Distribution| {
        let who = format!("{:?}, {:?}", account.kind, account.behaviour).to_lowercase();
        Chart::histogram(format!("{who}: {what}"), "ms", values)
    };
    let ages = accounts.iter().filter_map(|account| of(account, "how old pictures were", &account.ages));
    ages.chain(accounts.iter().filter_map(|account| of(account, "from one picture to the next", &account.gaps))).collect()
}

fn millis(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

/// One of a steady WebSocket viewer, whose times are all the same.
#[cfg(test)]
pub(crate) fn account(ms: f64, pictures_percent: f64, ended: usize) -> Account {
    let times: Distribution = [ms; 10].into_iter().collect();
    let sum = Sum { join_ms: times.clone(), age_ms: times.clone(), gap_ms: times, ..Sum::default() };
    let troubles = vec!["closed".to_owned(); ended];
    let account = sum.account(Kind::WebSocket, Behaviour::Steady, 1, Counts::default(), &troubles);
    Account { pictures_percent: Some(pictures_percent), ..account }
}
