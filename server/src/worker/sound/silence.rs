//! What stands for the speaker while nothing plays into it.

use std::time::Instant;

use crosspoint_ffi::{MediaTime, Packet};

/// Packets of silence, one behind the other, from the end of what was heard on.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    /// Each of them but for its time.
    packet: Packet,
    length: MediaTime,
    /// One of so many is sent.
    spacing: u32,
    /// When the first begins.
    from: MediaTime,
    /// Those that have passed.
    passed: u64,
}

impl Silence {
    pub(super) fn new(packet: Packet, length: MediaTime, spacing: u32, from: MediaTime) -> Self {
        Self { packet, length, spacing, from, passed: 0 }
    }

    /// When the next packet begins.
    pub(super) fn next_time(&self) -> MediaTime {
        self.from + self.lengths(self.passed)
    }

    /// When there is something to be sent: so many packets at once, or the one of those that are not sent.
    pub(super) fn due(&self, together: u64) -> MediaTime {
        let passed = match self.spacing {
            1 => (self.passed / together + 1) * together,
            spacing => self.passed.next_multiple_of(spacing.into()) + 1,
        };
        self.from + self.lengths(passed)
    }

    /// How many packets will have passed by then that have not yet.
    pub(super) fn passing(&self, until: MediaTime) -> u64 {
        u64::try_from((until - self.next_time()).as_nanos() / self.length.as_nanos()).unwrap_or(0)
    }

    /// Lets those pass that end by `until`, unseen.
    pub(super) fn skip(&mut self, until: MediaTime) {
        self.passed += self.passing(until);
    }

    /// Gives those that end by `until` and are to be sent. What is too old by `now` is not: after a standstill viewers would get all of it
    /// at once.
    pub(super) fn give(&mut self, until: MediaTime, now: MediaTime, mut to: impl FnMut(Packet)) {
        self.passed += self.passing(until.min(now - STALE));
        for _ in 0..self.passing(until) {
            let time = self.next_time();
            if self.passed.is_multiple_of(self.spacing.into()) {
                to(Packet { pts: Some(time), dts: Some(time), arrival: Instant::now(), ..self.packet.clone() });
            }
            self.passed += 1;
        }
    }

    fn lengths(&self, count: u64) -> MediaTime {
        MediaTime::from_nanos(self.length.as_nanos() * count as i64)
    }
}

/// Silence that is older is not sent any more.
const STALE: MediaTime = MediaTime::from_millis(500);

#[cfg(test)]
mod tests {
    use crosspoint_ffi::{Codec, Payload};

    use super::*;

    fn silence(length_ms: i64, spacing: u32) -> Silence {
        let (codec, data, arrival) = (Codec::Opus, Payload::default(), Instant::now());
        let packet = Packet { codec, data, pts: None, dts: None, key: true, arrival, parameters: None };
        Silence::new(packet, MediaTime::from_millis(length_ms), spacing, MediaTime::from_millis(1_000))
    }

    fn given(silence: &mut Silence, until_ms: i64, now_ms: i64) -> Vec<i64> {
        let mut times = Vec::new();
        let at = MediaTime::from_millis;
        silence.give(at(until_ms), at(now_ms), |packet| times.push(packet.pts.expect("a time").as_nanos() / 1_000_000));
        times
    }

    #[test]
    fn several_packets_are_due_at_a_time() {
        let mut silence = silence(20, 1);
        for beat in 0..5 {
            let begin = 1_000 + beat * 80;
            assert_eq!(silence.due(4), MediaTime::from_millis(begin + 80));
            assert_eq!(given(&mut silence, begin + 30, begin + 30), [begin]);
            assert_eq!(silence.due(4), MediaTime::from_millis(begin + 80), "with those before");
            assert_eq!(given(&mut silence, begin + 80, begin + 80), [begin + 20, begin + 40, begin + 60]);
        }
    }

    #[test]
    fn who_comes_later_gets_it_with_the_others() {
        let (mut first, mut second) = (silence(20, 1), silence(20, 1));
        given(&mut first, 1_080, 1_080);
        second.skip(MediaTime::from_millis(1_110));
        assert_eq!(second.next_time(), MediaTime::from_millis(1_100), "what has not ended yet is left");
        assert_eq!(first.due(4), second.due(4));
        assert_eq!(first.due(8), first.due(4), "every other time of those who take half as many at once");
    }

    #[test]
    fn one_of_many_is_due_as_soon_as_it_has_passed() {
        let mut silence = silence(20, 20);
        let mut sent = Vec::new();
        while silence.due(1) < MediaTime::from_millis(5_000) {
            let now = silence.due(1).as_nanos() / 1_000_000;
            let times = given(&mut silence, now, now);
            assert_eq!(times, [now - 20]);
            sent.extend(times);
        }
        assert_eq!(sent, (0..10).map(|n| 1_000 + 400 * n).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_standstill_held_back_is_left_out() {
        let mut silence = silence(20, 1);
        given(&mut silence, 1_080, 1_080);
        assert_eq!(given(&mut silence, 8_000, 8_000), (0..25).map(|n| 7_500 + 20 * n).collect::<Vec<_>>());
        assert_eq!(given(&mut silence, 8_100, 12_000), [0; 0], "it ended long ago");
        assert_eq!(silence.next_time(), MediaTime::from_millis(8_100));
    }

    #[test]
    fn hours_pass_in_one_step() {
        let mut silence = silence(20, 1);
        let hours = 1_000 + 50 * 3_600_000;
        assert_eq!(silence.passing(MediaTime::from_millis(hours)), 50 * 180_000);
        assert_eq!(given(&mut silence, hours, hours).len(), 25);
    }
}
