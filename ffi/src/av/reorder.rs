//! Display order from decoding order, by the container's times alone.

use std::collections::VecDeque;

use crate::MediaTime;

/// Puts pictures that come in decoding order into display order, each as soon as the order is certain.
///
/// Decode times rise, and nothing is shown before it is decoded; so once a packet with decode time `d` was taken, no picture with a
/// time below `d` can come any more, and every picture up to `d` may go. Some encoders (FFmpeg's own of MPEG-1) decode everything one
/// frame ahead even where nothing is reordered: the smallest lead seen of a time before its decode time is only an offset, for a picture
/// that passes others leads by more, and one that is passed by less.
#[derive(Debug)]
pub(super) struct Reorder<T> {
    /// Not certain yet, by time.
    held: VecDeque<(MediaTime, T)>,
    /// Certain, in order.
    ready: VecDeque<T>,
    decoded: Option<MediaTime>,
    offset: Option<MediaTime>,
}

impl<T> Reorder<T> {
    pub(super) fn new() -> Self {
        Self { held: VecDeque::new(), ready: VecDeque::new(), decoded: None, offset: None }
    }

    /// Takes note that a packet with these times was taken. A decode time that goes back starts a new timeline: what is held goes first.
    pub(super) fn advance(&mut self, pts: Option<MediaTime>, decode_time: Option<MediaTime>) {
        if decode_time.is_none() || decode_time < self.decoded {
            self.release();
            self.offset = None;
        }
        self.decoded = decode_time;
        if let (Some(pts), Some(dts)) = (pts, decode_time) {
            let lead = pts - dts;
            self.offset = Some(self.offset.map_or(lead, |offset| offset.min(lead)));
        }
        self.settle();
    }

    /// Takes the next picture in decoding order. One without a time goes at once.
    pub(super) fn insert(&mut self, pts: Option<MediaTime>, picture: T) {
        let Some(pts) = pts else {
            self.ready.push_back(picture);
            return;
        };
        let place = self.held.partition_point(|&(held, _)| held <= pts);
        self.held.insert(place, (pts, picture));
        self.settle();
    }

    /// Makes everything held certain: the stream ends.
    pub(super) fn release(&mut self) {
        self.ready.extend(self.held.drain(..).map(|(_, picture)| picture));
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// The next picture in display order, if it is certain.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.ready.pop_front()
    }

    fn settle(&mut self) {
        let reached = self.decoded.map(|decoded| decoded + self.offset.unwrap_or(MediaTime::ZERO) + ROUNDING);
        while let Some(&(first, _)) = self.held.front() {
            let certain = reached.is_none_or(|reached| first <= reached);
            if !certain && self.held.len() <= MOST_HELD {
                break;
            }
            self.ready.extend(self.held.pop_front().map(|(_, picture)| picture));
        }
    }
}

/// Times in ticks of 90 kHz become nanoseconds by rounding, so equal leads differ by one; no two pictures are this close.
const ROUNDING: MediaTime = MediaTime::from_millis(1);
/// MPEG-1 and MPEG-2 reorder by one picture; times that ask for more than a few are wrong, and must not cost memory.
const MOST_HELD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds (pts, dts) pairs and says what came out after each.
    fn run(packets: &[(i64, i64)]) -> Vec<Vec<i64>> {
        let mut reorder = Reorder::new();
        let mut outputs = Vec::new();
        for &(pts, dts) in packets {
            let time = MediaTime::from_millis(10 * pts);
            reorder.advance(Some(time), Some(MediaTime::from_millis(10 * dts)));
            reorder.insert(Some(time), pts);
            outputs.push(std::iter::from_fn(|| reorder.pop()).collect());
        }
        reorder.release();
        outputs.push(std::iter::from_fn(|| reorder.pop()).collect());
        outputs
    }

    #[test]
    fn unordered_stream_is_never_held() {
        assert_eq!(run(&[(0, 0), (40, 40), (80, 80)]), [vec![0], vec![40], vec![80], vec![]]);
        assert_eq!(run(&[(40, 0), (80, 40), (120, 80)]), [vec![40], vec![80], vec![120], vec![]]);
    }

    #[test]
    fn leads_that_differ_by_rounding_are_the_same() {
        let mut reorder = Reorder::new();
        for n in 1..100 {
            let (dts, pts) = (MediaTime::from_90khz(3_000 * n), MediaTime::from_90khz(3_000 * (n + 1)));
            reorder.advance(Some(pts), Some(dts));
            reorder.insert(Some(pts), n);
            assert_eq!((reorder.pop(), reorder.pop()), (Some(n), None));
        }
    }

    #[test]
    fn bidirectional_pictures_pass_their_anchor() {
        // I P B B P in decoding order.
        let packets = [(1, 0), (4, 1), (2, 2), (3, 3), (7, 4)];
        assert_eq!(run(&packets), [vec![1], vec![], vec![2], vec![3], vec![4], vec![7]]);
    }

    #[test]
    fn timeline_that_starts_again_releases_the_old_one() {
        assert_eq!(run(&[(1_002, 1_000), (1_006, 1_001), (2, 0)]), [vec![1_002], vec![], vec![1_006, 2], vec![]]);
    }

    #[test]
    fn absurd_times_hold_a_few_pictures_at_most() {
        let packets: Vec<(i64, i64)> = (0..20).map(|n| (if n == 0 { 0 } else { 1_000_000 + n }, n)).collect();
        let held = 20 - run(&packets)[..20].iter().map(Vec::len).sum::<usize>();
        assert_eq!(held, MOST_HELD);
    }

    #[test]
    fn missing_times_keep_decoding_order() {
        let mut reorder = Reorder::new();
        reorder.advance(Some(MediaTime::ZERO), Some(MediaTime::ZERO));
        reorder.insert(Some(MediaTime::from_millis(40)), 'a');
        reorder.advance(None, None);
        reorder.insert(None, 'b');
        assert_eq!([reorder.pop(), reorder.pop(), reorder.pop()], [Some('a'), Some('b'), None]);
    }
}
