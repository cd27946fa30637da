//! Whether the way carries more than is known: clusters of padding, sent faster (as libwebrtc's probe controller and estimator do).

use super::Micros;
use super::history::{History, State};

/// One cluster at a time, its padding in a few pieces. What it tells is how fast it arrived.
#[derive(Debug, Default)]
pub(super) struct Probes {
    runs: Option<Cluster>,
    /// One that was sent, and of which is not known what became.
    flies: Option<Cluster>,
    /// When the last one was sent.
    ended: Option<Micros>,
    /// When the next one may begin.
    next: Micros,
    /// Whether the last one did not arrive as fast as it was sent, nor the even number of those before it.
    failed: bool,
}

/// Packets that are sent at a rate.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    rate_bps: f64,
    bytes: usize,
    began: Micros,
    /// How many packets it is to be at the least, and how many it is.
    least: u32,
    packets: u32,
    /// What was sent of it or is about to be, and what certainly was.
    given: usize,
    sent: usize,
    /// The numbers of its first and last packet.
    numbers: Option<(u16, u16)>,
    /// When it is over, whatever was told of it.
    until: Micros,
}

/// What a cluster told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    /// Bits a second that were carried.
    pub(super) rate_bps: f64,
    /// Whether that was less than was sent: the way carries no more.
    pub(super) is_all: bool,
}

impl Probes {
    /// Has a cluster begin, if it is time to, that looks whether the way carries `wanted_bps` in place of the `known_bps`.
    pub(super) fn begin(&mut self, known_bps: f64, wanted_bps: f64, now: Micros) {
        if wanted_bps <= known_bps || now < self.next || self.runs.is_some() || self.flies.is_some() {
            return;
        }
        let times = if known_bps * FAR < wanted_bps { TIMES_FAR } else { TIMES };
        let rate_bps = (known_bps * times).max(LEAST_BPS).min((wanted_bps * ABOVE).max(known_bps * LEAST_TIMES));
        let most = (known_bps / 8.0 * MOST_PART) as usize;
        let least = if known_bps < SLOW_BPS { LEAST_PACKETS_SLOW } else { LEAST_PACKETS };
        let lasts = if self.failed { LASTS_AGAIN } else { LASTS };
        let bytes = ((rate_bps / 8.0 * lasts) as usize).min(most).clamp(LEAST_BYTES, MOST_BYTES);
        self.runs = Some(Cluster { rate_bps, bytes, began: now, least, packets: 0, given: 0, sent: 0, numbers: None, until: now });
        self.next = now + EVERY;
    }

    /// How much is to be sent now of the cluster that runs.
    ///
    /// What becomes of it is known after `waits` at the latest.
    pub(super) fn poll(&mut self, waits: Micros, now: Micros) -> Option<usize> {
        let cluster = self.runs.as_mut()?;
        if cluster.is_sent() || now > cluster.began + LATE {
            cluster.until = now + waits;
            self.ended = Some(now);
            self.flies = self.runs.take();
            return None;
        }
        if now < cluster.due() {
            return None;
        }
        let by_now = (cluster.rate_bps / 8e6 * (now - cluster.began) as f64) as usize + cluster.piece();
        let most = if cluster.given < cluster.bytes { cluster.bytes } else { cluster.given + cluster.piece() };
        let bytes = by_now.min(most).saturating_sub(cluster.given).max(1);
        cluster.given += bytes;
        Some(bytes)
    }

    /// Takes note of a packet of the cluster that runs.
    pub(super) fn handle_sent(&mut self, number: u16, bytes: usize) {
        let Some(cluster) = &mut self.runs else { return };
        let (first, _) = *cluster.numbers.get_or_insert((number, number));
        cluster.numbers = Some((first, number));
        cluster.packets += 1;
        cluster.sent += bytes;
        cluster.given = cluster.given.max(cluster.sent);
    }

    /// Says what the cluster told that was sent, once that is known.
    pub(super) fn poll_found(&mut self, history: &History, now: Micros) -> Option<Found> {
        let cluster = self.flies?;
        let told = cluster.numbers.is_none_or(|(_, last)| history.sent(last, now).is_none_or(|sent| sent.state != State::Untold));
        if !told && now < cluster.until {
            return None;
        }
        self.flies = None;
        self.failed = !self.failed;
        let found = cluster.found(history, now)?;
        if found.rate_bps > cluster.rate_bps * SUCCESS {
            (self.failed, self.next) = (false, now);
        }
        Some(found)
    }

    /// Lets one begin soon, whatever became of others.
    pub(super) fn hurry(&mut self, now: Micros) {
        (self.runs, self.flies, self.next) = (None, None, now);
    }

    /// Whether one was sent so lately that what arrives now may have waited for it.
    pub(super) fn is_recent(&self, now: Micros) -> bool {
        self.runs.is_some() || self.flies.is_some() || self.ended.is_some_and(|ended| now < ended + RECENT)
    }

    pub(super) fn is_running(&self) -> bool {
        self.runs.is_some()
    }

    /// When there is more to be sent, a cluster is over, or one may begin for which there is reason.
    pub(super) fn deadline(&self, has_reason: bool) -> Option<Micros> {
        match (&self.runs, &self.flies) {
            (Some(cluster), _) => Some(cluster.due()),
            (None, Some(cluster)) => Some(cluster.until),
            (None, None) => has_reason.then_some(self.next),
        }
    }
}

impl Cluster {
    fn piece(&self) -> usize {
        self.bytes.div_ceil(PIECES)
    }

    /// Whether all of it was sent. If nobody sends anything it is, too.
    fn is_sent(&self) -> bool {
        self.given >= self.bytes && (self.packets >= self.least || self.packets == 0)
    }

    /// When the next piece is.
    fn due(&self) -> Micros {
        if self.is_sent() {
            return self.began;
        }
        self.began + (self.given as f64 * 8e6 / self.rate_bps) as Micros
    }

    /// How fast it arrived, if most of it did; at most a little faster than it was to be sent.
    fn found(&self, history: &History, now: Micros) -> Option<Found> {
        let (first, last) = self.numbers?;
        let (mut came, mut went) = (Line::default(), Line::default());
        let (mut bytes_came, mut bytes_went) = (0.0, 0.0);
        let begin = history.sent(first, now)?.at;
        let mut arrived = None;
        for nth in 0..=last.wrapping_sub(first) {
            let sent = history.sent(first.wrapping_add(nth), now)?;
            // A packet is at its middle: whether it counts when it begins or when it is over depends on whether the way is full.
            let bytes = f64::from(sent.bytes);
            went.add(bytes_went + bytes / 2.0, sent.at as f64 - begin as f64);
            bytes_went += bytes;
            if sent.state == State::Arrived {
                // Some may have arrived before the first.
                let first = *arrived.get_or_insert(sent.arrived);
                came.add(bytes_came + bytes / 2.0, f64::from(sent.arrived.wrapping_sub(first) as i32));
                bytes_came += bytes;
            }
        }
        if came.count < f64::from(self.least) * MOSTLY || bytes_came < bytes_went * MOSTLY {
            return None;
        }
        let most = self.rate_bps * MOST_TIMES;
        let rate = |line: &Line| line.slope().filter(|slope| *slope > 0.0).map_or(most, |slope| 8e6 / slope).min(most);
        let (came, went) = (rate(&came), rate(&went));
        Some(Found { rate_bps: came.min(went), is_all: came < went.min(self.rate_bps) * CARRIED })
    }
}

/// Points, of which the line is sought whose slope is microseconds a byte. One packet that is late does not count for much in it.
#[derive(Debug, Default)]
struct Line {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

impl Line {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.xy += x * y;
    }

    fn slope(&self) -> Option<f64> {
        let below = self.count * self.xx - self.x * self.x;
        (below > 0.0).then(|| (self.count * self.xy - self.x * self.y) / below)
    }
}

/// How often a way is probed that carries less than is wanted, as far as is known.
const EVERY: Micros = 1_000_000;
/// What is known times this is tried, or more where what is wanted is further away than so many times that.
const TIMES: f64 = 2.0;
const FAR: f64 = 4.0;
const TIMES_FAR: f64 = 3.0;
/// No more is tried than what is wanted and some, but that much more than is known.
const ABOVE: f64 = 1.25;
const LEAST_TIMES: f64 = 1.5;
/// Seconds that a cluster lasts, and its packets at the least: libwebrtc's figures.
const LASTS: f64 = 0.015;
const LEAST_PACKETS: u32 = 5;
/// Large packets take long on a way that is not known to carry more than this.
const SLOW_BPS: f64 = 240_000.0;
const LEAST_PACKETS_SLOW: u32 = 3;
/// Each other one after some that failed, so that jitter does not hide for ever what a way carries.
const LASTS_AGAIN: f64 = 0.03;
/// Slower, the least bytes of one take too long.
const LEAST_BPS: f64 = 300_000.0;
/// So many packets of padding of 250 bytes, which is what RTP's own can be.
const LEAST_BYTES: usize = 1_250;
/// More packets than are kept could not be told from each other.
const MOST_BYTES: usize = 100_000;
/// Of what is known to be carried in a second, what a cluster takes at most.
const MOST_PART: f64 = 0.2;
/// So many pieces: a few packets each, as few timers as will do.
const PIECES: usize = 5;
/// What was not sent of a cluster by then is of no use.
const LATE: Micros = 200_000;
/// What it makes wait has been told of by then.
const RECENT: Micros = 400_000;
/// Of a cluster's bytes, what has to arrive.
const MOSTLY: f64 = 0.8;
/// Media may be sent faster than the cluster is; not to be believed much more.
const MOST_TIMES: f64 = 1.2;
/// What arrives slower than this was held up (libwebrtc's figures, as the next).
const CARRIED: f64 = 0.9;
/// After what is faster the next one begins at once.
const SUCCESS: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends a cluster for 3 Mbit/s where 1 is known over a way of so many bits a second; of each `losing` packets one is lost.
    fn find(way_bps: u64, losing: u16) -> Option<Found> {
        let (mut probes, mut history) = (Probes::default(), History::new());
        let (mut now, mut free, mut number, mut nth) = (5_000, 0, 65_530_u16, 0);
        probes.begin(1e6, 3e6, now);
        assert!(probes.is_running());
        let mut padded = 0;
        while probes.is_running() {
            while let Some(bytes) = probes.poll(0, now) {
                padded += bytes;
                for piece in [bytes / 3, bytes / 3, bytes - bytes / 3 * 2] {
                    history.push(number, piece, now);
                    probes.handle_sent(number, piece);
                    free = now.max(free) + piece as u64 * 8_000_000 / way_bps;
                    nth += 1;
                    history.settle(number, (nth % losing != 0).then_some(u64::MAX / 2 + free));
                    number = number.wrapping_add(1);
                }
            }
            now += 1_000;
        }
        assert!((3_750..4_000).contains(&padded) && (15_000..25_000).contains(&now), "{padded} bytes until {now}");
        probes.poll_found(&history, now)
    }

    #[test]
    fn wide_way_carries_a_cluster_and_a_narrow_one_says_what_it_does() {
        let found = find(20_000_000, 1_000).expect("arrived");
        assert!(!found.is_all && (1.7e6..2.45e6).contains(&found.rate_bps), "{found:?}");
        let found = find(1_000_000, 1_000).expect("arrived");
        assert!(found.is_all && (0.95e6..1.05e6).contains(&found.rate_bps), "{found:?}");
        assert!(find(20_000_000, 10).is_some());
        assert_eq!(find(20_000_000, 3), None);
    }

    #[test]
    fn cluster_begins_once_a_second_and_only_for_more() {
        let mut probes = Probes::default();
        probes.begin(1e6, 1e6, 0);
        assert!(!probes.is_running());
        probes.begin(1e6, 2e6, 0);
        assert!(probes.is_running());
        let mut asked = 0;
        while let Some(bytes) = probes.poll(0, 100_000) {
            asked += bytes;
        }
        assert!(asked == 3_750 && !probes.is_running(), "{asked}: nobody sent it, but that is no reason to ask for it again");
        assert_eq!(probes.poll_found(&History::new(), 100_000), None);
        probes.begin(1e6, 2e6, 900_000);
        assert!(!probes.is_running() && probes.deadline(true) == Some(1_000_000) && probes.deadline(false).is_none());
        probes.begin(1e6, 2e6, 1_000_000);
        assert!(probes.is_running());
    }
}
