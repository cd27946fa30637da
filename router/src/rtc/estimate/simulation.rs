//! A viewer and its way in virtual time: an encoder follows the estimate, and what it sends waits, comes late or gets lost.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::{Estimator, Fate};

pub(super) fn epoch() -> Instant {
    static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere; nothing looks at where")]
        Instant::now()
    });
    *EPOCH
}

/// What the way does to packets; times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) bps: u64,
    /// Up to this much more, each packet for itself; and each picture's packets together.
    pub(super) jitter: u64,
    pub(super) stalls: u64,
    /// Of 1000.
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// What waits, at most.
    pub(super) queue: u64,
    pub(super) delay: u64,
    pub(super) is_dead: bool,
    /// Of 1000 feedbacks.
    pub(super) unheard: u64,
    /// Whether no feedback gets back.
    pub(super) is_mute: bool,
}

impl Way {
    pub(super) fn of(bps: u64) -> Self {
        Self { bps, jitter: 0, stalls: 0, lost: 0, doubled: 0, queue: 300_000, delay: 25_000, unheard: 0, is_dead: false, is_mute: false }
    }
}

/// What pictures are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) most_bps: u64,
    pub(super) least_bps: u64,
    /// A key frame comes regularly after so many pictures, besides those that are asked for; none at 0.
    pub(super) keys: u64,
    /// Of a screen that stands still a picture has so many bytes, five a second.
    pub(super) still: Option<usize>,
    pub(super) has_sound: bool,
}

impl Show {
    pub(super) const USUAL: Self = Self { most_bps: 3_000_000, least_bps: 300_000, keys: 300, still: None, has_sound: true };
}

/// A moment of the simulation, each of 10 ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// In seconds.
    pub(super) at: f64,
    pub(super) rate_bps: u64,
    /// What waits on the way, in milliseconds.
    pub(super) waits_ms: f64,
    pub(super) carried: usize,
    pub(super) padding: usize,
}

pub(super) struct World {
    pub(super) estimator: Estimator,
    pub(super) way: Way,
    pub(super) show: Show,
    pub(super) moments: Vec<Moment>,
    /// Parts in a million by which the viewer's clock is fast.
    pub(super) drift: u64,
    pub(super) pictures: usize,
    pub(super) skipped: usize,
    /// Whether padding is as large as pictures' packets.
    pub(super) pads_large: bool,
    now: u64,
    free: u64,
    number: u16,
    /// Arrivals: when, and which.
    flying: BTreeMap<(u64, u64), u16>,
    /// What the viewer had in the last half a second, when that came; since where it has more to tell; and the number after the last it
    /// told of.
    got: BTreeMap<u64, u64>,
    news: Option<u64>,
    told: u64,
    /// The number of the newest packet, which does not wrap.
    sent: u64,
    feedback: u64,
    answers: Vec<(u64, Vec<Fate>)>,
    picture: u64,
    sound: u64,
    waiting: usize,
    gate: u64,
    paid: u64,
    skipping: bool,
    pub(super) random: u64,
    carried: usize,
    padding: usize,
}

const TICK: u64 = 500;

impl World {
    pub(super) fn new(start_bps: u64, way: Way) -> Self {
        let mut world = Self {
            estimator: Estimator::new(start_bps),
            way,
            show: Show::USUAL,
            moments: Vec::new(),
            drift: 0,
            pictures: 0,
            skipped: 0,
            pads_large: false,
            now: 0,
            free: 0,
            number: 65_000,
            flying: BTreeMap::new(),
            got: BTreeMap::new(),
            news: None,
            told: 0,
            sent: 0,
            feedback: 0,
            answers: Vec::new(),
            picture: 0,
            sound: 0,
            waiting: 0,
            gate: 0,
            paid: 0,
            skipping: false,
            random: 7,
            carried: 0,
            padding: 0,
        };
        world.want(3_000_000);
        world
    }

    pub(super) fn want(&mut self, bps: u64) {
        self.estimator.set_wanted(bps, self.instant());
    }

    pub(super) fn instant(&self) -> Instant {
        epoch() + Duration::from_micros(self.now)
    }

    pub(super) fn seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }

    pub(super) fn run(&mut self, seconds: f64) {
        let end = self.now + (seconds * 1e6) as u64;
        while self.now < end {
            self.tick();
            if self.now.is_multiple_of(10_000) {
                let waits_ms = self.free.saturating_sub(self.now) as f64 / 1e3;
                let (at, rate_bps) = (self.seconds(), self.estimator.rate_bps());
                self.moments.push(Moment { at, rate_bps, waits_ms, carried: self.carried, padding: self.padding });
                (self.carried, self.padding) = (0, 0);
            }
            self.now += TICK;
        }
    }

    /// Nothing leaves the way for some time.
    pub(super) fn stall(&mut self, micros: u64) {
        self.free = self.free.max(self.now) + micros;
    }

    fn tick(&mut self) {
        while let Some((&(at, nth), &bytes)) = self.flying.first_key_value()
            && at <= self.now
        {
            self.flying.pop_first();
            self.carried += usize::from(bytes);
            let nth = nth >> 1;
            if let std::collections::btree_map::Entry::Vacant(place) = self.got.entry(nth) {
                place.insert(at);
                self.news = Some(self.news.map_or(nth, |first| first.min(nth)));
            }
        }
        if self.now >= self.feedback {
            self.tell();
        }
        let now = self.instant();
        while self.answers.first().is_some_and(|(at, _)| *at <= self.now) {
            let (_, fates) = self.answers.remove(0);
            self.estimator.handle_feedback(fates.into_iter(), now);
            self.pad();
        }
        if self.now >= self.sound {
            self.sound += 20_000;
            if self.show.has_sound {
                self.send(170);
            }
        }
        if self.now >= self.picture {
            self.show();
        }
        if self.waiting > 0 && self.now >= self.gate {
            let burst = self.waiting.min(32 * 1_200);
            self.waiting -= burst;
            self.gate = self.now + (burst as f64 * 8e6 / (self.estimator.rate_bps() as f64 * 2.5)) as u64;
            let stall = self.roll(self.way.stalls + 1);
            let delay = self.way.delay;
            self.way.delay += stall;
            for _ in 0..burst / 1_200 {
                self.send(1_200);
            }
            if !burst.is_multiple_of(1_200) {
                self.send(burst % 1_200 + 40);
            }
            self.way.delay = delay;
            self.pad();
        }
        if self.estimator.deadline().is_some_and(|at| at <= now) {
            self.pad();
        }
    }

    fn show(&mut self) {
        if let Some(bytes) = self.show.still {
            self.picture += 200_000;
            self.waiting += bytes;
            return;
        }
        self.picture += 33_333;
        self.pictures += 1;
        let rate = self.estimator.rate_bps() / 16 * 15;
        let pictures = rate.saturating_sub(110_000).max(30_000);
        let owed = self.paid.saturating_sub(self.now);
        let asked = self.skipping && owed <= 250_000;
        let key = asked || self.show.keys > 0 && (self.pictures as u64).is_multiple_of(self.show.keys);
        let bitrate = pictures.clamp(self.show.least_bps, self.show.most_bps);
        let bytes = (bitrate / 240) as usize * if key { 6 } else { 1 };
        if asked {
            self.skipping = false;
        } else if owed > 1_000_000 {
            self.skipping = true;
        }
        if self.skipping {
            self.skipped += 1;
            return;
        }
        self.paid = self.now + owed + bytes as u64 * 8_000_000 / pictures;
        self.waiting += bytes;
    }

    fn pad(&mut self) {
        let now = self.instant();
        for _ in 0..1_000 {
            let Some(bytes) = self.estimator.poll_padding(now) else {
                assert!(self.estimator.deadline().is_none_or(|due| due > now), "nothing is due that was done");
                return;
            };
            let mut left = bytes;
            while left > 0 {
                let bytes = if self.pads_large { 1_200 } else { left.clamp(40, 290) };
                left = left.saturating_sub(bytes);
                self.padding += bytes;
                self.send(bytes);
            }
        }
        panic!("padding without end");
    }

    fn send(&mut self, bytes: usize) {
        self.number = self.number.wrapping_add(1);
        self.sent += 1;
        let (number, probe) = (self.number, self.estimator.is_probing());
        self.estimator.handle_sent(number, bytes, probe, self.instant());
        let free = self.free.max(self.now);
        let done = free + (bytes as u64 + 28) * 8_000_000 / self.way.bps;
        if self.way.is_dead || done - self.now > self.way.queue {
            return;
        }
        self.free = done;
        if self.roll(1_000) < self.way.lost {
            return;
        }
        for copy in 0..1 + u64::from(self.roll(1_000) < self.way.doubled) {
            let at = done + self.way.delay + self.roll(self.way.jitter + 1);
            self.flying.insert((at, self.sent << 1 | copy), bytes as u16);
        }
    }

    /// The viewer gives feedback, as browsers do.
    fn tell(&mut self) {
        self.feedback = self.now + 50_000 + self.roll(50_000);
        let Some(first) = self.news.take() else { return };
        let last = *self.got.last_key_value().expect("one at least").0;
        let number = |nth: u64| self.number.wrapping_sub((self.sent - nth) as u16);
        let clock = |at: u64| Duration::from_micros((at + at / 1_000_000 * self.drift) / 250 * 250 + 77_000_000);
        let from = if self.told == 0 { first } else { first.min(self.told) };
        let fates = (from..=last).map(|nth| Fate { number: number(nth), arrived: self.got.get(&nth).map(|at| clock(*at)) });
        let fates: Vec<Fate> = fates.collect();
        self.told = self.told.max(last + 1);
        self.got.retain(|_, at| *at + 500_000 > self.now);
        if !self.way.is_mute && !self.way.is_dead && self.roll(1_000) >= self.way.unheard {
            self.answers.push((self.now + 25_000, fates));
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % sides
    }

    /// The moments of a time.
    pub(super) fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Moment> {
        self.moments.iter().filter(move |moment| moment.at >= from && moment.at < to)
    }

    /// How long after a moment the rate was first like this.
    pub(super) fn first(&self, since: f64, like: impl Fn(u64) -> bool) -> Option<f64> {
        self.between(since, f64::MAX).find(|moment| like(moment.rate_bps)).map(|moment| moment.at - since)
    }

    /// What was carried in a time, without padding, as a part of what the way carries.
    pub(super) fn use_of(&self, from: f64, to: f64, bps: u64) -> f64 {
        let bytes: usize = self.between(from, to).map(|moment| moment.carried).sum();
        let padding: usize = self.between(from, to).map(|moment| moment.padding).sum();
        bytes.saturating_sub(padding) as f64 * 8.0 / (to - from) / bps as f64
    }

    /// The mean of the rate in a time.
    pub(super) fn mean(&self, from: f64, to: f64) -> f64 {
        let (sum, count) = self.between(from, to).fold((0, 0), |(sum, count), moment| (sum + moment.rate_bps, count + 1));
        sum as f64 / f64::from(count.max(1))
    }

    pub(super) fn least(&self, from: f64, to: f64) -> u64 {
        self.between(from, to).map(|moment| moment.rate_bps).min().unwrap_or(0)
    }

    /// What waited, such that so much of the time it was less.
    pub(super) fn waits_ms(&self, from: f64, to: f64, part: f64) -> f64 {
        let mut waits: Vec<f64> = self.between(from, to).map(|moment| moment.waits_ms).collect();
        waits.sort_by(f64::total_cmp);
        waits.get(((waits.len().max(1) - 1) as f64 * part) as usize).copied().unwrap_or(0.0)
    }
}
