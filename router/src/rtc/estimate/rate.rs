//! The rate itself: additive increase, multiplicative decrease (draft-ietf-rmcat-gcc-02, sections 5.5 and 6).

use super::Micros;
use super::probes::Found;
use super::trendline::Usage;

/// What a feedback tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// What the way carries, while it is certainly full.
    pub(super) carried_bps: Option<f64>,
    pub(super) acked_bps: Option<f64>,
    pub(super) usage: Usage,
    /// Whether a probe was sent lately, of which a queue may be.
    pub(super) is_probed: bool,
    /// How long packets wait on the way, which left first of theirs.
    pub(super) waits: i64,
    /// The part that is lost, if it is time to judge that.
    pub(super) lost: Option<f64>,
    pub(super) wanted_bps: f64,
    pub(super) round_trip: Micros,
}

/// Bits a second that the way carries, as far as is known.
///
/// When it carries less, the rate is that, less what the queue needs to get shorter; it comes back as that does. Then it grows: by a packet
/// or so for each answer while that is near what was carried when it was too much, and by a twelfth a second where nothing is known.
#[derive(Debug)]
pub(super) struct Rate {
    bps: f64,
    /// What was carried when it was less than was sent.
    capacity_bps: Option<f64>,
    /// While a queue is to get shorter.
    drains: Option<Drains>,
    /// While too much is lost to try more.
    loses: Option<Loses>,
    updated: Option<Micros>,
}

/// A time in which a queue is to get shorter: since when, and how long packets waited when it was last known what the way carries.
#[derive(Clone, Copy, Debug)]
struct Drains {
    since: Micros,
    waits: i64,
}

/// A time of many losses.
#[derive(Clone, Copy, Debug)]
struct Loses {
    since: Micros,
    judged: Micros,
    /// Whether it was much the last time.
    is_much: bool,
    /// What arrived at the beginning, once that is known.
    acked_bps: Option<f64>,
}

impl Rate {
    pub(super) fn new(start_bps: u64) -> Self {
        Self { bps: (start_bps as f64).clamp(LEAST_BPS, MOST_BPS), capacity_bps: None, drains: None, loses: None, updated: None }
    }

    pub(super) fn bps(&self) -> f64 {
        self.bps
    }

    /// Whether it cannot fall.
    pub(super) fn is_least(&self) -> bool {
        self.bps <= LEAST_BPS
    }

    /// Whether this is a time to look for more.
    pub(super) fn may_probe(&self) -> bool {
        self.drains.is_none() && self.loses.is_none()
    }

    /// Takes a feedback; says whether what packets take now has to be taken for usual: whatever waits there, it is none of ours.
    pub(super) fn handle_feedback(&mut self, seen: &Seen, now: Micros) -> bool {
        let passed = (now - self.updated.replace(now).unwrap_or(now)).min(MOST_PASSED);
        self.handle_loss(seen, now);
        if let Some(capacity) = seen.carried_bps.or_else(|| self.by_trend(seen)) {
            let drains = self.drains.unwrap_or(Drains { since: now, waits: seen.waits });
            // While less is sent less arrives. If the queue does not grow, that is all: it may be of others, or the way a longer one.
            let is_echo =
                now > drains.since + ECHOES && seen.waits < drains.waits + GROWN && self.capacity_bps.is_some_and(|known| capacity < known);
            if (capacity * keeps(seen.waits) < self.bps || self.drains.is_some()) && !is_echo {
                self.capacity_bps = Some(capacity);
                self.drains = Some(Drains { waits: seen.waits, ..drains });
            }
        }
        if let Some((drains, capacity)) = self.drains.zip(self.capacity_bps) {
            self.bps = (capacity * keeps(seen.waits)).clamp(LEAST_BPS, MOST_BPS);
            let is_usual = now > drains.since + MOST_DRAINS;
            if seen.waits < DRAINED || is_usual {
                self.drains = None;
            }
            return is_usual;
        }
        if seen.usage == Usage::Normal && seen.waits < DRAINED && self.loses.is_none() {
            self.grow(seen, passed as f64 / 1e6);
        }
        self.bps = self.bps.clamp(LEAST_BPS, MOST_BPS);
        false
    }

    /// What is carried, as far as the trend is to be believed: what arrived lately may be of a time before the queue.
    fn by_trend(&self, seen: &Seen) -> Option<f64> {
        let is_over = seen.usage == Usage::Over && seen.waits > DRAINED && !seen.is_probed;
        let known = self.capacity_bps.filter(|_| self.drains.is_some()).unwrap_or(f64::INFINITY);
        seen.acked_bps.filter(|&acked| is_over && acked > self.bps * TRIED && acked < known)
    }

    fn grow(&mut self, seen: &Seen, seconds: f64) {
        if self.capacity_bps.is_some_and(|capacity| self.bps > capacity * BEYOND) {
            self.capacity_bps = None;
        }
        let more = if self.capacity_bps.is_some() {
            let answer = 2.0 * (seen.round_trip as f64 / 1e6 + DETECTS);
            (PACKET_BITS / answer).max(LEAST_MORE)
        } else {
            (self.bps * GROWS).max(LEAST_MORE)
        };
        // What was not tried is not known to fit, and more than is wanted need not.
        let tried = seen.acked_bps.map_or(self.bps, |acked| acked * MOST_OF_ACKED + SLACK_BPS);
        let most = tried.min(seen.wanted_bps * MOST_OF_WANTED);
        self.bps = (self.bps + more * seconds).min(most.max(self.bps));
    }

    fn handle_loss(&mut self, seen: &Seen, now: Micros) {
        let Some(lost) = seen.lost else {
            self.loses = self.loses.filter(|loses| now < loses.judged + LOSES);
            return;
        };
        if lost < LITTLE {
            self.loses = None;
            return;
        }
        let loses = self.loses.get_or_insert(Loses { since: now, judged: now, is_much: false, acked_bps: None });
        loses.judged = now;
        let was_much = std::mem::replace(&mut loses.is_much, lost > MUCH);
        if lost < MUCH || lost < PLAIN && !was_much {
            return;
        }
        let acked = seen.acked_bps.unwrap_or(self.bps);
        if loses.acked_bps.is_none() && now >= loses.since + LOSES_FIRST {
            loses.acked_bps = Some(acked);
        }
        // A way that is full carries the same of less; one that loses whatever it is given is not to be cured.
        if loses.acked_bps.is_none_or(|first| acked > first * CURED) {
            // The more there was room for the less the rate itself says.
            let sent = (acked / (1.0 - lost).max(LEAST_LEFT)).max(self.bps * TRIED);
            self.bps = (self.bps.min(sent) * (1.0 - lost / 2.0)).max(LEAST_BPS);
        }
    }

    /// Takes what a probe found where so much was wanted.
    pub(super) fn handle_found(&mut self, found: Found, wanted_bps: f64) {
        if !self.may_probe() {
            return;
        }
        let bps = if found.is_all { found.rate_bps * KEEPS } else { found.rate_bps }.min(wanted_bps * MOST_OF_WANTED);
        if bps > self.bps {
            self.capacity_bps = found.is_all.then_some(found.rate_bps);
            self.bps = bps.min(MOST_BPS);
        }
    }

    /// Takes it that nothing is heard of what was sent.
    pub(super) fn handle_silence(&mut self) {
        self.bps = (self.bps / 2.0).max(LEAST_BPS);
        (self.capacity_bps, self.drains, self.loses) = (None, None, None);
    }
}

/// Of what is carried, what may be sent while packets wait so long.
fn keeps(waits: i64) -> f64 {
    (KEEPS - (waits - DRAINED).max(0) as f64 / DRAINS_IN).clamp(LEAST_KEEPS, KEEPS)
}

/// Less is no estimate of a way that carries media at all.
const LEAST_BPS: f64 = 30_000.0;
/// And this is more than there ever is for one.
const MOST_BPS: f64 = 1e9;
/// The draft's beta: the rest is for what is sent in bursts.
const KEEPS: f64 = 0.85;
/// A queue gets shorter by this much of its length in each such time, in microseconds; half is always sent, or nearly.
const DRAINS_IN: f64 = 600_000.0;
const LEAST_KEEPS: f64 = 0.4;
/// Who waits less does for jitter, whatever the trend, or for what was sent at the same time.
const DRAINED: i64 = 25_000;
/// Who sends less than this part of the rate cannot have filled the way, whatever the trend.
const TRIED: f64 = 0.5;
/// A queue that is still there after so long is not ours, or the way has become longer.
const MOST_DRAINS: Micros = 4_000_000;
/// For so long after the rate has fallen more may arrive than the way carries now; a queue that is longer by so much than before grows.
const ECHOES: Micros = 500_000;
const GROWN: i64 = 10_000;
/// So much more than was carried before shows that it has changed.
const BEYOND: f64 = 1.1;
/// By how much the rate grows in a second where nothing is known, and at the least in bits (both the draft's).
const GROWS: f64 = 0.08;
const LEAST_MORE: f64 = 4_000.0;
const PACKET_BITS: f64 = 9_600.0;
/// What it takes to see that too much is sent, in seconds.
const DETECTS: f64 = 0.1;
const MOST_PASSED: Micros = 1_000_000;
/// The draft's limit of what is believed without having been tried.
const MOST_OF_ACKED: f64 = 1.5;
const SLACK_BPS: f64 = 10_000.0;
const MOST_OF_WANTED: f64 = 1.5;
/// Losses above which less is sent, and above which no more is: the air alone loses a few in a hundred.
const MUCH: f64 = 0.1;
const LITTLE: f64 = 0.06;
/// What is less than this has to be so twice: a feedback that is lost takes some packets that did arrive with it.
const PLAIN: f64 = 0.25;
const LEAST_LEFT: f64 = 0.1;
/// Where so little is sent that losses cannot be judged again, they are forgotten.
const LOSES: Micros = 2_000_000;
/// What arrives is known so long after it has changed.
const LOSES_FIRST: Micros = 1_600_000;
/// When no more than this part of it arrives any longer, and as much is lost as before, it is no use to send less.
const CURED: f64 = 0.3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing waits nor is lost, and three millions are sent and wanted.
    const CALM: Seen = Seen {
        carried_bps: None,
        acked_bps: Some(3e6),
        usage: Usage::Normal,
        is_probed: false,
        waits: 0,
        lost: None,
        wanted_bps: 3e6,
        round_trip: 100_000,
    };

    /// Tells a rate the same so many times, 100 ms apart.
    fn tell(rate: &mut Rate, seen: Seen, now: &mut Micros, times: u32) -> f64 {
        for _ in 0..times {
            *now += 100_000;
            rate.handle_feedback(&seen, *now);
        }
        rate.bps()
    }

    #[test]
    fn rate_is_what_is_carried_less_what_the_queue_takes_to_drain_and_grows_slowly_from_there() {
        let (mut rate, mut now) = (Rate::new(3_000_000), 0);
        let full = |waits| Seen { carried_bps: Some(1e6), acked_bps: Some(1e6), waits, ..CALM };
        let at_once = tell(&mut rate, full(325_000), &mut now, 1);
        assert!((0.39e6..0.41e6).contains(&at_once) && !rate.may_probe(), "{at_once}");
        let drains = tell(&mut rate, full(85_000), &mut now, 1);
        assert!((0.74e6..0.76e6).contains(&drains), "{drains}");
        let drained = tell(&mut rate, Seen { acked_bps: Some(0.8e6), ..CALM }, &mut now, 1);
        assert!((0.84e6..0.86e6).contains(&drained) && rate.may_probe(), "{drained}");
        let later = tell(&mut rate, Seen { acked_bps: Some(0.8e6), ..CALM }, &mut now, 20);
        assert!((0.89e6..0.96e6).contains(&later), "{later}");
    }

    #[test]
    fn less_arrives_of_less_which_is_no_narrower_way() {
        let (mut rate, mut now) = (Rate::new(3_000_000), 0);
        let sent = |bps: f64| Seen { carried_bps: Some(bps), acked_bps: Some(bps), waits: 100_000, ..CALM };
        tell(&mut rate, sent(3e6), &mut now, 7);
        for _ in 0..20 {
            let arrives = sent(rate.bps());
            let left = tell(&mut rate, arrives, &mut now, 1);
            assert!(left > 1.5e6, "{left}");
        }
        now += MOST_DRAINS;
        assert!(rate.handle_feedback(&sent(2e6), now), "it is usual now");
    }

    #[test]
    fn rate_grows_by_a_twelfth_no_further_than_was_tried_or_is_wanted() {
        let (mut rate, mut now) = (Rate::new(1_000_000), 0);
        let second = tell(&mut rate, CALM, &mut now, 11);
        assert!((1.07e6..1.10e6).contains(&second), "{second}");
        assert_eq!(tell(&mut rate, Seen { acked_bps: Some(1e6), ..CALM }, &mut now, 200), 1.51e6);
        assert_eq!(tell(&mut rate, Seen { acked_bps: Some(0.1e6), ..CALM }, &mut now, 200), 1.51e6, "nor back");
        assert_eq!(tell(&mut rate, CALM, &mut now, 1_000), 4.5e6);
    }

    #[test]
    fn much_loss_that_lasts_is_answered_until_it_is_no_use() {
        let (mut rate, mut now) = (Rate::new(3_000_000), 0);
        let lossy = |lost, acked| Seen { lost: Some(lost), acked_bps: Some(acked), ..CALM };
        assert!(tell(&mut rate, lossy(0.03, 2.9e6), &mut now, 5) > 3e6, "little is no reason not to grow");
        let before = rate.bps();
        assert_eq!(tell(&mut rate, lossy(0.15, 2.5e6), &mut now, 1), before, "once is chance");
        assert!(tell(&mut rate, lossy(0.15, 2.5e6), &mut now, 1) < before && !rate.may_probe());
        for _ in 0..100 {
            let acked = rate.bps() * 0.85;
            tell(&mut rate, lossy(0.15, acked), &mut now, 1);
        }
        assert!((0.1e6..1e6).contains(&rate.bps()), "{}", rate.bps());
        tell(&mut rate, lossy(0.0, 0.5e6), &mut now, 1);
        assert!(rate.may_probe());
    }

    #[test]
    fn probe_raises_the_rate_and_never_lowers_it() {
        let mut rate = Rate::new(1_000_000);
        rate.handle_found(Found { rate_bps: 0.5e6, is_all: true }, 3e6);
        assert_eq!(rate.bps(), 1e6);
        rate.handle_found(Found { rate_bps: 2e6, is_all: true }, 3e6);
        assert_eq!(rate.bps(), 1.7e6);
        rate.handle_found(Found { rate_bps: 9e6, is_all: false }, 3e6);
        assert_eq!(rate.bps(), 4.5e6);
        rate.handle_silence();
        assert_eq!(rate.bps(), 2.25e6);
    }
}
