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

    /// When there is something to be sent: at the next [`BEAT`], of so many, after a packet that is sent has passed.
    pub(super) fn due(&self, beats: u32) -> MediaTime {
        let passed = self.passed.next_multiple_of(self.spacing.into()) + 1;
        let beat = BEAT.as_nanos() * i64::from(beats);
        let over = (self.from + self.lengths(passed)).as_nanos();
        MediaTime::from_nanos((over + beat - 1).div_euclid(beat) * beat)
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

/// Silence comes at multiples of it, whoever listens and in whatever codec: each time wakes a thread and every viewer. Five packets of AAC,
/// less than its players hold.
const BEAT: MediaTime = MediaTime::from_nanos(5 * 1_024 * 1_000_000_000 / 48_000);
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

    /// The moments at which something is due until then, in nanoseconds.
    fn beats(silence: &mut Silence, beats: u32, until_ms: i64) -> Vec<i64> {
        let mut moments = Vec::new();
        while silence.due(beats) < MediaTime::from_millis(until_ms) {
            let now = silence.due(beats);
            moments.push(now.as_nanos());
            let mut count = 0;
            silence.give(now, now, |_| count += 1);
            assert!(count > 0, "it woke for nothing at {now:?}");
        }
        moments
    }

    #[test]
    fn all_silence_comes_at_the_same_moments() {
        let beat = BEAT.as_nanos();
        let every = beats(&mut silence(20, 1), 1, 5_000);
        assert!(every.iter().all(|moment| moment % beat == 0) && every.windows(2).all(|pair| pair[1] - pair[0] == beat));
        let mut late = silence(20, 1);
        late.skip(MediaTime::from_millis(2_345));
        assert!(beats(&mut late, 1, 5_000).iter().all(|moment| every.contains(moment)), "who comes later");
        assert_eq!(beats(&mut silence(24, 1), 1, 5_000), every, "another codec");
        let seldom = beats(&mut silence(20, 1), 2, 5_000);
        assert!(
            seldom.iter().all(|moment| every.contains(moment)) && (every.len() / 2).abs_diff(seldom.len()) <= 1,
            "twice as much at once"
        );
        let spaced = beats(&mut silence(20, 20), 1, 5_000);
        assert!(spaced.iter().all(|moment| every.contains(moment)) && spaced.len() == 10, "one packet of twenty: {spaced:?}");
    }

    #[test]
    fn who_comes_later_gets_what_has_not_ended_yet() {
        let mut silence = silence(20, 1);
        silence.skip(MediaTime::from_millis(1_110));
        assert_eq!(silence.next_time(), MediaTime::from_millis(1_100));
    }

    #[test]
    fn one_of_many_is_given() {
        let mut silence = silence(20, 20);
        assert_eq!(given(&mut silence, 1_500, 1_500), [1_000, 1_400]);
        assert_eq!(given(&mut silence, 1_810, 1_810), [0; 0], "it has not ended");
        assert_eq!(given(&mut silence, 1_820, 1_820), [1_800]);
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
