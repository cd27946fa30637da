//! When pictures are decoded, where the container says only when they are shown.

use crate::MediaTime;

/// Finds the decode times that Matroska and others leave out.
///
/// A stream's pictures are decoded in one order and shown in another, a few places apart at most (the delay). In order of decoding, the
/// times are the same ones sorted, that much earlier: a picture is decoded when the one before it by the delay, in the order of showing, is
/// shown. Before the first picture is shown there are none to sort; those times go back from it by its duration.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The first time of showing, and how many packets came since.
    first: Option<MediaTime>,
    taken: usize,
    /// The latest times of showing, sorted: one more than the delay.
    latest: Vec<MediaTime>,
}

impl Order {
    /// Takes the next packet in order of decoding and says when that is: what its container says, if it says it.
    pub(super) fn decode_time(
        &mut self,
        pts: Option<MediaTime>,
        dts: Option<MediaTime>,
        delay: usize,
        interval: MediaTime,
    ) -> Option<MediaTime> {
        let Some(shown) = pts else { return dts };
        let has_jumped = self.latest.last().is_some_and(|&newest| shown - newest > JUMP || newest - shown > JUMP);
        if has_jumped || self.first.is_none() {
            *self = Self { first: Some(shown), ..Self::default() };
        }
        let place = self.latest.partition_point(|&other| other <= shown);
        self.latest.insert(place, shown);
        let found = match (self.first, delay.checked_sub(self.taken)) {
            (Some(first), Some(before @ 1..)) => (0..before).fold(first, |time, _| time - interval),
            _ => {
                let surplus = self.latest.len().saturating_sub(delay + 1);
                self.latest.drain(..surplus);
                self.latest.first().copied().unwrap_or(shown)
            }
        };
        self.taken += 1;
        // A stream whose delay is not what it said is shown late, not early.
        dts.or_else(|| Some(found.min(shown)))
    }
}

/// Times further apart are not of one stretch.
const JUMP: MediaTime = MediaTime::from_millis(2_000);

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40;

    fn decode_times(delay: usize, shown: &[i64]) -> Vec<i64> {
        let mut order = Order::default();
        let millis = |time: MediaTime| time.as_nanos() / 1_000_000;
        let mut found = |at: &i64| order.decode_time(Some(MediaTime::from_millis(at * FRAME)), None, delay, MediaTime::from_millis(FRAME));
        shown.iter().map(|at| millis(found(at).expect("a time")) / FRAME).collect()
    }

    #[test]
    fn pictures_are_decoded_one_interval_after_another_and_never_after_they_are_shown() {
        for (delay, shown) in [
            (0, vec![0, 1, 2, 3, 4, 5]),
            (1, vec![0, 3, 1, 2, 6, 4, 5, 9, 7, 8]),
            (2, vec![0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]),
            // A second key frame, whose pictures come before it are shown.
            (2, vec![10, 14, 12, 11, 13, 18, 16, 15, 17]),
        ] {
            let first = shown[0] - delay as i64;
            assert_eq!(decode_times(delay, &shown), (first..).take(shown.len()).collect::<Vec<_>>(), "{shown:?}");
        }
    }

    #[test]
    fn container_knows_better() {
        let (mut order, at) = (Order::default(), MediaTime::from_millis);
        assert_eq!(order.decode_time(Some(at(80)), Some(at(-7)), 2, at(40)), Some(at(-7)));
        assert_eq!(order.decode_time(None, Some(at(33)), 2, at(40)), Some(at(33)));
        assert_eq!(order.decode_time(Some(at(240)), None, 2, at(40)), Some(at(40)), "those that had times count");
    }

    #[test]
    fn jump_begins_anew() {
        let mut shown = vec![0, 4, 2, 1, 3];
        shown.extend([1_000, 1_004, 1_002, 1_001, 1_003]);
        assert_eq!(decode_times(2, &shown), [-2, -1, 0, 1, 2, 998, 999, 1_000, 1_001, 1_002]);
    }
}
