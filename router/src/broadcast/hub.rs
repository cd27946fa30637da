//! One writer, any number of viewers, and no queue for any of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crosspoint_ffi::MediaTime;

use super::gop::History;

mod stats;

pub use self::stats::HubStats;

/// What a unit carries, and what a hub's stream is led by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Media {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

/// One packed access unit, ready to be written to every viewer.
#[derive(Clone, Debug)]
pub struct Unit {
    /// What it carries.
    pub media: Media,
    /// Whether a viewer can start here.
    pub key: bool,
    /// The packed bytes; for viewers that get datagrams, the access unit as it is.
    pub bytes: Bytes,
    /// The payloads of those datagrams; empty for all other viewers.
    pub payloads: Arc<[Arc<[u8]>]>,
    /// What goes before them for a viewer that lost what came before, if it has to be told.
    pub preface: Option<Bytes>,
    /// When it is shown or heard, on the stream's clock.
    pub time: MediaTime,
    /// When it was captured.
    pub captured: Instant,
}

/// How much history a hub keeps. When full, the oldest goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Units.
    pub units: usize,
    /// Bytes of all units together.
    pub bytes: usize,
}

impl Default for Limits {
    /// 128 units are 1.7 s of 30 pictures and 47 AAC frames a second; 4 MiB are as much of a 20 Mbit/s stream.
    fn default() -> Self {
        Self { units: 128, bytes: 4 << 20 }
    }
}

/// A viewer's place in a hub. Give it back by [`Hub::leave`].
#[derive(Debug)]
#[must_use = "a viewer counts until it leaves"]
pub struct Cursor {
    next: u64,
    /// Nothing is given before this unit was published.
    held_until: u64,
    /// Whether units are skipped until a key unit, and for what reason.
    seeking: Option<Seeking>,
    dropped: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seeking {
    Joined,
    Lagged,
}

impl Cursor {
    /// The units this viewer lost because it was slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// What a cursor meets.
#[derive(Debug)]
pub enum Next<'a> {
    /// Nothing yet.
    Empty,
    /// The viewer was too slow, and lost units; ask again for what follows.
    Lagged {
        /// The units lost by now, since the last time it was told.
        dropped: u64,
    },
    /// The next unit.
    Unit(&'a Unit),
}

/// What a hub wants of the stages before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HubCommand {
    /// Encode a key frame.
    OrderKey,
    /// The first viewer is here: capture and encode.
    Start,
    /// The last viewer has been gone for a while: stop.
    Stop,
}

/// Fans one stream out.
///
/// Published units stand in a short shared history; a viewer is a [`Cursor`], a number in it. Where viewers start and what they miss
/// follows from that:
///
/// - a joiner starts at the last key frame when that is younger than 300 ms, so that it gets a picture at once and in one burst, else
///   at a key frame ordered for it. Orders merge: one at a time is under way;
/// - a viewer that the history left behind is told how many units it lost and goes on at the newest key frame, or waits for one; for
///   such viewers one is ordered every two seconds at most;
/// - where players count on regular key frames ([`Hub::set_key_interval`]) one is ordered when the last is so old;
/// - sound alone has no key frames: a viewer starts at the live edge.
///
/// The hub wakes nobody: after a publish the server lets viewers drain. Its commands come out of [`Hub::poll`].
///
/// Copies: 0 (a unit's bytes are shared).
///
/// ```
/// use bytes::Bytes;
/// use crosspoint_ffi::MediaTime;
/// use crosspoint_router::broadcast::{Hub, HubCommand, Limits, Media, Next, Unit};
///
/// # #[expect(clippy::disallowed_methods, reason = "an example's clock")]
/// let now = std::time::Instant::now();
/// let mut hub = Hub::new(Limits::default(), Media::Video);
/// let mut viewer = hub.join(now);
/// assert_eq!(hub.poll(now), Some(HubCommand::Start));
/// assert_eq!(hub.poll(now), Some(HubCommand::OrderKey));
/// let (bytes, payloads) = (Bytes::from_static(b"picture"), Default::default());
/// hub.publish(Unit { media: Media::Video, key: true, bytes, payloads, preface: None, time: MediaTime::ZERO, captured: now });
/// assert!(matches!(hub.next(&mut viewer), Next::Unit(unit) if unit.bytes == "picture"));
/// assert!(matches!(hub.next(&mut viewer), Next::Empty));
/// ```
#[derive(Debug)]
pub struct Hub {
    history: History,
    lead: Media,
    /// Whether [`HubCommand::Start`] was said last.
    running: bool,
    /// When the last viewer left.
    deserted: Option<Instant>,
    /// Units before this one are for those who are here already.
    fence: u64,
    order: Order,
    key_interval: Option<Duration>,
    /// When the last key unit was captured.
    last_key: Option<Instant>,
    stats: HubStats,
}

/// Who waits for a key frame, and whether one is under way.
#[derive(Debug, Default)]
struct Order {
    by_joiner: bool,
    by_lagger: bool,
    under_way: bool,
    last_for_lagger: Option<Instant>,
}

impl Hub {
    /// Makes a hub for a stream that is led by pictures, or is sound alone.
    #[must_use]
    pub fn new(limits: Limits, lead: Media) -> Self {
        let (order, stats) = (Order::default(), HubStats::default());
        let history = History::new(limits);
        Self { history, lead, running: false, deserted: None, fence: 0, order, key_interval: None, last_key: None, stats }
    }

    /// Orders key frames while there are viewers, so that they come no further apart than this.
    pub fn set_key_interval(&mut self, interval: Duration) {
        self.key_interval = Some(interval);
    }

    /// Lets a viewer in.
    pub fn join(&mut self, now: Instant) -> Cursor {
        self.stats.viewers += 1;
        self.deserted = None;
        let live = Cursor { next: self.history.end(), held_until: 0, seeking: None, dropped: 0 };
        if self.lead == Media::Audio {
            return live;
        }
        let fresh = |&key: &u64| self.history.captured(key).is_some_and(|at| now.saturating_duration_since(at) < FRESH_KEY);
        if let Some(key) = self.history.newest_key(self.fence).filter(fresh) {
            return Cursor { next: key, ..live };
        }
        self.order.by_joiner = true;
        Cursor { seeking: Some(Seeking::Joined), ..live }
    }

    /// Lets a viewer in to a stream whose key frames cannot be ordered: it starts at the newest one that is kept, whatever its age, and
    /// gets that and what followed in one burst with the next unit. Until then it gets nothing, as nothing is live.
    pub fn join_kept(&mut self, now: Instant) -> Cursor {
        let cursor = self.join(now);
        match self.history.newest_key(self.fence) {
            Some(key) => Cursor { next: key, held_until: self.history.end(), seeking: None, dropped: 0 },
            None => cursor,
        }
    }

    /// Lets a viewer go.
    pub fn leave(&mut self, cursor: Cursor, now: Instant) {
        drop(cursor);
        self.stats.viewers = self.stats.viewers.saturating_sub(1);
        if self.stats.viewers == 0 {
            self.deserted = Some(now);
            self.order = Order { under_way: self.order.under_way, last_for_lagger: self.order.last_for_lagger, ..Order::default() };
        }
    }

    /// Takes the next unit of the stream. Costs the same however many viewers there are.
    pub fn publish(&mut self, unit: Unit) {
        self.stats.units += 1;
        self.stats.bytes += unit.bytes.len() as u64;
        if unit.key {
            self.last_key = Some(unit.captured);
            self.order = Order { last_for_lagger: self.order.last_for_lagger, ..Order::default() };
        }
        self.history.push(unit);
    }

    /// A viewer that is not behind cannot go on without a key frame: datagrams of it were lost. It is served as a joiner would be.
    pub fn want_key(&mut self, now: Instant) {
        let newest = self.history.newest_key(self.fence).and_then(|key| self.history.captured(key));
        // What it misses may be on its way to it already.
        if newest.is_none_or(|at| now.saturating_duration_since(at) >= FRESH_KEY) {
            self.order.by_joiner = true;
        }
    }

    /// The encoder was built anew: nobody works on an order that it was given before, and it begins with a key frame by itself.
    pub fn handle_restart(&mut self) {
        self.history.clear();
        self.last_key = None;
        self.order = Order { under_way: true, last_for_lagger: self.order.last_for_lagger, ..Order::default() };
    }

    /// What was published until now is over: viewers that are here get it to its end, those that come later do not start in it.
    pub fn handle_end(&mut self) {
        self.fence = self.history.end();
    }

    /// Gives what stands at the cursor and moves it on.
    pub fn next(&mut self, cursor: &mut Cursor) -> Next<'_> {
        if self.history.end() <= cursor.held_until && cursor.held_until > 0 {
            return Next::Empty;
        }
        let behind = self.history.start().saturating_sub(cursor.next);
        if behind > 0 && cursor.seeking.is_none() {
            return self.fall_back(cursor);
        }
        if let Some(seeking) = cursor.seeking {
            let found = self.history.key_at_or_after(cursor.next);
            let skipped = found.unwrap_or_else(|| self.history.end()) - cursor.next;
            cursor.next += skipped;
            if seeking == Seeking::Lagged {
                cursor.dropped += skipped;
                self.stats.dropped += skipped;
            }
            if found.is_none() {
                return Next::Empty;
            }
            cursor.seeking = None;
        }
        match self.history.unit(cursor.next) {
            Some(unit) => {
                cursor.next += 1;
                self.stats.count_behind(self.history.end() - cursor.next);
                Next::Unit(unit)
            }
            None => Next::Empty,
        }
    }

    /// Whether [`Hub::next`] would give a unit or a lag.
    #[must_use]
    pub fn is_ready(&self, cursor: &Cursor) -> bool {
        match cursor.seeking {
            Some(_) => self.history.key_at_or_after(cursor.next).is_some(),
            None => cursor.next.max(cursor.held_until) < self.history.end(),
        }
    }

    /// Gives the next command that is due.
    pub fn poll(&mut self, now: Instant) -> Option<HubCommand> {
        if self.stats.viewers > 0 && !self.running {
            self.running = true;
            return Some(HubCommand::Start);
        }
        if self.deserted.is_some_and(|since| now >= since + LINGER) {
            self.deserted = None;
            if std::mem::take(&mut self.running) {
                // What is left would be a replay for whoever comes next.
                self.history.clear();
                self.order = Order::default();
                return Some(HubCommand::Stop);
            }
        }
        if self.regular_key_at().is_some_and(|at| now >= at) {
            self.order.under_way = true;
            self.stats.keys_ordered += 1;
            return Some(HubCommand::OrderKey);
        }
        if self.order.due_at().is_some_and(|at| at.is_none_or(|at| now >= at)) {
            if !self.order.by_joiner {
                self.order.last_for_lagger = Some(now);
            }
            self.order.under_way = true;
            self.stats.keys_ordered += 1;
            return Some(HubCommand::OrderKey);
        }
        None
    }

    /// When [`Hub::poll`] has something to say without anything else happening.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let stop = self.deserted.map(|since| since + LINGER);
        stop.into_iter().chain(self.order.due_at().flatten()).chain(self.regular_key_at()).min()
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> HubStats {
        self.stats
    }

    /// When the next regular key frame is to be ordered; nothing while one is under way, the first included.
    fn regular_key_at(&self) -> Option<Instant> {
        if self.order.under_way || self.stats.viewers == 0 {
            return None;
        }
        Some(self.last_key? + self.key_interval?)
    }

    /// Moves a cursor that the history left behind to the newest key unit, or to the end to wait for one.
    fn fall_back(&mut self, cursor: &mut Cursor) -> Next<'static> {
        let to = match self.lead {
            Media::Audio => self.history.end().saturating_sub(1),
            Media::Video => match self.history.newest_key(self.history.start()) {
                Some(key) => key,
                None => {
                    cursor.seeking = Some(Seeking::Lagged);
                    self.order.by_lagger = true;
                    self.history.end()
                }
            },
        };
        let dropped = to - cursor.next;
        cursor.next = to;
        cursor.dropped += dropped;
        self.stats.lags += 1;
        self.stats.dropped += dropped;
        Next::Lagged { dropped }
    }
}

impl Order {
    /// When to order a key frame: nothing when nobody waits or one is under way, at once (`Some(None)`), or at a moment.
    fn due_at(&self) -> Option<Option<Instant>> {
        if self.under_way || !(self.by_joiner || self.by_lagger) {
            return None;
        }
        if self.by_joiner {
            return Some(None);
        }
        Some(self.last_for_lagger.map(|last| last + SLOW_ORDERS))
    }
}

/// A key frame younger than this, and what followed it, is sent to a joiner in one burst: less than half of this old on average.
const FRESH_KEY: Duration = Duration::from_millis(300);
/// Slow viewers may not make the picture worse for the others more often than this: a key frame is many times a difference frame.
const SLOW_ORDERS: Duration = Duration::from_secs(2);
/// How long capture goes on without viewers, for the page that is reloaded.
const LINGER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
