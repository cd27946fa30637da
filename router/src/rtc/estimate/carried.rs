//! What waits before the narrowest part of the way, and how much gets through it meanwhile.

use super::Micros;

/// The queue of a way, by how much longer packets take than the fastest of late.
///
/// While one is there the way is full: what arrives is what it carries. This sees a way that has become narrow in the first picture that
/// is sent over it, of which the trend knows nothing yet.
#[derive(Debug)]
pub(super) struct Carried {
    /// The least delays of the window that runs and of the one before. Their clocks' difference is in them.
    least: [Option<i64>; 2],
    window: Option<Micros>,
    /// The delay of the newest packet, and by how much it is behind.
    last: Option<i64>,
    behind: i64,
    /// How many packets in a row could not have taken so long or little.
    odd: u32,
    busy: Option<Busy>,
}

/// A time in which packets arrived and others waited, in two parts so that what was carried long ago is forgotten.
#[derive(Clone, Copy, Debug)]
struct Busy {
    since: i64,
    before: Part,
    runs: Part,
    last: i64,
}

/// Packets that arrived since.
#[derive(Clone, Copy, Debug)]
struct Part {
    since: i64,
    bytes: u64,
}

impl Carried {
    pub(super) fn new() -> Self {
        Self { least: [None; 2], window: None, last: None, behind: 0, odd: 0, busy: None }
    }

    /// Takes when a packet left and arrived; gives how long that took, by clocks that differ, if it can be believed.
    pub(super) fn handle_arrival(&mut self, sent: Micros, arrived: i64, bytes: u16, now: Micros) -> Option<i64> {
        let delay = arrived - sent as i64;
        if self.last.is_some_and(|last| delay.abs_diff(last) > LEAP) {
            self.odd += 1;
            if self.odd < ODD {
                return None;
            }
            // Another clock, or another way: begun anew.
            *self = Self::new();
        }
        self.odd = 0;
        self.last = Some(delay);
        if self.window.is_none_or(|since| now >= since + WINDOW) {
            self.least = [None, self.least[0]];
            self.window = Some(now);
        }
        self.least[0] = Some(self.least[0].map_or(delay, |least| least.min(delay)));
        self.behind = self.behind_of(delay);
        if self.behind < SHORT {
            self.busy = None;
            return Some(delay);
        }
        let part = Part { since: arrived, bytes: 0 };
        let Some(busy) = &mut self.busy else {
            self.busy = Some(Busy { since: arrived, before: part, runs: part, last: arrived });
            return Some(delay);
        };
        busy.last = busy.last.max(arrived);
        busy.runs.bytes += u64::from(bytes);
        if busy.last - busy.runs.since > PART {
            busy.before = busy.runs;
            busy.runs = Part { since: busy.last, bytes: 0 };
        }
        Some(delay)
    }

    /// By how much more than the least a packet took that took so long.
    pub(super) fn behind_of(&self, delay: i64) -> i64 {
        let least = self.least.into_iter().flatten().min();
        least.map_or(0, |least| delay - least)
    }

    /// Takes it that what packets take now is usual.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }

    /// Bits a second that the way carries, while so much waits before it, for so long, that there is no doubt.
    pub(super) fn rate_bps(&self) -> Option<f64> {
        let busy = self.busy.as_ref()?;
        let span = busy.last - busy.before.since;
        let bytes = if busy.before.since == busy.runs.since { busy.runs.bytes } else { busy.before.bytes + busy.runs.bytes };
        let is_sure = self.behind > LONG && busy.last - busy.since > SURE && bytes > FEW_BYTES;
        (is_sure && span > 0).then(|| bytes as f64 * 8e6 / span as f64)
    }
}

/// The acknowledged bitrate: bytes that the viewer told of, in the time in which it did.
///
/// By our own clock: what a viewer says of its own makes nothing of this.
#[derive(Debug, Default)]
pub(super) struct Acked {
    /// Bytes, and how long it took to hear of them: before, and of the time that runs.
    before: (u64, Micros),
    bytes: u64,
    since: Option<Micros>,
}

impl Acked {
    /// Takes how many bytes a feedback tells of.
    pub(super) fn handle_feedback(&mut self, bytes: u64, now: Micros) {
        let Some(since) = self.since else {
            // They were sent before the time began.
            self.since = Some(now);
            return;
        };
        self.bytes += bytes;
        if now >= since + ACKED_PART {
            self.before = (self.bytes, now - since);
            (self.bytes, self.since) = (0, Some(now));
        }
    }

    /// Bits a second, once they are known.
    pub(super) fn rate_bps(&self, now: Micros) -> Option<f64> {
        let (bytes, span) = self.before;
        let span = span + now.saturating_sub(self.since?);
        (self.before.1 > 0).then(|| (bytes + self.bytes) as f64 * 8e6 / span as f64)
    }
}

/// No way of a viewer has packets wait so long (libwebrtc's figure): its clock has leapt, or it lies.
const LEAP: u64 = 3_000_000;
/// So many such packets in a row are the truth.
const ODD: u32 = 20;
/// A way may have become a longer one: after two of these that is usual. A clock that is off by 200 ppm differs by 4 ms then.
const WINDOW: Micros = 10_000_000;
/// What waits less does for the jitter of the way.
const SHORT: i64 = 15_000;
/// With so much that waits, for so long, and so many bytes the way is full without doubt.
const LONG: i64 = 50_000;
const SURE: i64 = 80_000;
const FEW_BYTES: u64 = 3_000;
/// Of which two say what is carried: five pictures at least, ten at most.
const PART: i64 = 150_000;
/// Feedback comes every 50 to 100 ms, and more seldom of little.
const ACKED_PART: Micros = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends pictures of ten packets, 33 ms apart, over a way of so many bits a second.
    fn after(pictures: u64, way_bps: u64) -> Carried {
        let (mut carried, mut free) = (Carried::new(), 0);
        for nth in 0..pictures {
            let sent = 1_000_000 + nth * 33_333;
            for _ in 0..10 {
                free = free.max(sent) + 1_200 * 8_000_000 / way_bps;
                carried.handle_arrival(sent, free as i64 + 7_000_000, 1_200, sent);
            }
        }
        carried
    }

    #[test]
    fn what_arrives_while_others_wait_is_what_the_way_carries() {
        assert_eq!(after(100, 20_000_000).rate_bps(), None, "nothing waits");
        for (pictures, way_bps) in [(3, 500_000), (2, 1_000_000), (5, 1_000_000), (20, 2_000_000)] {
            let rate = after(pictures, way_bps).rate_bps().expect("a queue") / way_bps as f64;
            assert!((0.95..1.05).contains(&rate), "{rate} of {way_bps}");
        }
    }

    #[test]
    fn leap_is_believed_when_it_lasts() {
        let mut carried = after(3, 20_000_000);
        let mut leap = |times| (0..times).filter(|_| carried.handle_arrival(2_000_000, 1 << 50, 1_200, 2_000_000).is_none()).count();
        assert_eq!((leap(5), leap(30)), (5, 14));
        assert_eq!(carried.rate_bps(), None);
    }

    #[test]
    fn acknowledged_is_what_was_told_of_in_a_second() {
        let mut acked = Acked::default();
        for nth in 0..100 {
            acked.handle_feedback(if nth == 0 { 1_000_000 } else { 12_500 }, nth * 100_000);
        }
        assert!((0.99..1.01).contains(&(acked.rate_bps(9_900_000).expect("known") / 1e6)));
    }
}
