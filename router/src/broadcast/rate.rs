//! How many bits a picture is worth that several viewers share, and who gets a smaller one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Which size of a picture a viewer gets.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rendition {
    /// The screen as it is.
    #[default]
    Whole,
    /// Half as wide and half as high.
    Half,
}

/// The bits a second that a picture may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bitrates {
    /// The fewest, for who can take no more.
    pub least_bps: u32,
    /// As long as it is not known what viewers can take, and for those of whom it never is.
    pub usual_bps: u32,
    /// The most, when all can take them.
    pub most_bps: u32,
}

/// A viewer's place among those that share.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Share(u64);

/// The rates of a picture's two renditions, by what their viewers can take.
///
/// The whole picture goes by the viewer that can take least, but never below half of what the best can take: who cannot follow is moved to
/// the half-size rendition after a second, alone, and back when it could follow for five. So one viewer costs the others half their rate
/// for a second at most. A viewer of whom nothing is known keeps it from more than the usual rate. Where somebody watches who is not to get
/// fewer bits (over TCP, which holds back what it cannot carry, or a platform that we push to), the whole picture keeps its usual rate, and
/// the others follow or move.
///
/// ```
/// use crosspoint_router::broadcast::{Bitrates, Rates, Rendition};
///
/// # #[expect(clippy::disallowed_methods, reason = "an example's clock")]
/// let now = std::time::Instant::now();
/// let mut rates = Rates::new(Bitrates { least_bps: 300_000, usual_bps: 2_500_000, most_bps: 3_000_000 });
/// let (near, far) = (rates.join(), rates.join());
/// rates.set_able(near, 2_000_000, now);
/// assert_eq!(rates.target(Rendition::Whole), 2_000_000);
/// rates.set_able(far, 500_000, now);
/// assert_eq!(rates.target(Rendition::Whole), 1_000_000);
/// rates.handle_timeout(rates.poll_deadline().expect("it is to move"));
/// assert_eq!((rates.rendition(far), rates.target(Rendition::Half)), (Rendition::Half, 500_000));
/// assert_eq!((rates.rendition(near), rates.target(Rendition::Whole)), (Rendition::Whole, 2_000_000));
/// ```
#[derive(Debug)]
pub struct Rates {
    bitrates: Bitrates,
    /// Whether the whole picture keeps its usual rate.
    fixed: bool,
    viewers: BTreeMap<Share, Viewer>,
    next: u64,
}

#[derive(Debug)]
struct Viewer {
    /// Bits a second; nothing until that is known.
    able_bps: Option<u32>,
    rendition: Rendition,
    /// When it is to move, if it goes on like this.
    moves: Option<Instant>,
}

impl Rates {
    /// Makes the rates of a picture without viewers. Of rates that contradict each other the usual one holds.
    #[must_use]
    pub fn new(Bitrates { least_bps, usual_bps, most_bps }: Bitrates) -> Self {
        let bitrates = Bitrates { least_bps: least_bps.min(usual_bps), usual_bps, most_bps: most_bps.max(usual_bps) };
        Self { bitrates, fixed: false, viewers: BTreeMap::new(), next: 0 }
    }

    /// Lets a viewer in, to the whole picture.
    pub fn join(&mut self) -> Share {
        let share = Share(self.next);
        self.next += 1;
        self.viewers.insert(share, Viewer { able_bps: None, rendition: Rendition::Whole, moves: None });
        share
    }

    /// Lets a viewer go.
    pub fn leave(&mut self, share: Share, now: Instant) {
        self.viewers.remove(&share);
        self.handle_timeout(now);
    }

    /// Takes note of what a viewer can take.
    pub fn set_able(&mut self, share: Share, able_bps: u32, now: Instant) {
        if let Some(viewer) = self.viewers.get_mut(&share) {
            viewer.able_bps = Some(able_bps);
        }
        self.handle_timeout(now);
    }

    /// Says whether somebody needs the whole picture at its usual rate.
    pub fn set_fixed(&mut self, fixed: bool, now: Instant) {
        self.fixed = fixed;
        self.handle_timeout(now);
    }

    /// Goes on to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let least = self.whole_least();
        for viewer in self.viewers.values_mut() {
            let Some(able) = viewer.able_bps else { continue };
            let (other, fits, wait) = match viewer.rendition {
                Rendition::Whole => (Rendition::Half, able >= least, DOWN_AFTER),
                // A viewer that only just could would be back soon.
                Rendition::Half => (Rendition::Whole, able < least.saturating_add(least / 4), UP_AFTER),
            };
            if fits {
                viewer.moves = None;
            } else if *viewer.moves.get_or_insert(now + wait) <= now {
                (viewer.rendition, viewer.moves) = (other, None);
            }
        }
    }

    /// When [`Rates::handle_timeout`] is due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.viewers.values().filter_map(|viewer| viewer.moves).min()
    }

    /// What a viewer is to get.
    #[must_use]
    pub fn rendition(&self, share: Share) -> Rendition {
        self.viewers.get(&share).map_or(Rendition::Whole, |viewer| viewer.rendition)
    }

    /// The bits a second that a rendition is to have.
    #[must_use]
    pub fn target(&self, rendition: Rendition) -> u32 {
        let Bitrates { least_bps, usual_bps, most_bps } = self.bitrates;
        let viewers = self.viewers.values().filter(|viewer| viewer.rendition == rendition);
        let least = viewers.map(|viewer| viewer.able_bps.unwrap_or(usual_bps)).min().unwrap_or(usual_bps);
        match rendition {
            Rendition::Whole if self.fixed => usual_bps,
            Rendition::Whole => least.clamp(self.whole_least(), most_bps),
            // A quarter of the samples, which look as well with less than half of the bits.
            Rendition::Half => least.clamp(least_bps / 2, most_bps / 2),
        }
    }

    /// What a viewer of the whole picture has to be able to take.
    fn whole_least(&self) -> u32 {
        let Bitrates { least_bps, usual_bps, most_bps } = self.bitrates;
        if self.fixed {
            // It seldom needs all of that.
            return least_bps.max(usual_bps / 2);
        }
        let best = self.viewers.values().filter_map(|viewer| viewer.able_bps).max().unwrap_or(0);
        (best / 2).min(most_bps / 2).max(least_bps)
    }
}

/// An estimate may be too low for a moment.
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// Moving costs a key frame, and often: two encoders.
const UP_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::Rendition::{Half, Whole};
    use super::*;

    const FLOOR: u32 = 300_000;
    const CEILING: u32 = 3_000_000;
    /// Of somebody who left the most as it is: the same.
    const BITRATES: Bitrates = Bitrates { least_bps: FLOOR, usual_bps: CEILING, most_bps: CEILING };

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere; nothing looks at where")]
        Instant::now()
    }

    /// Rates of viewers that can take so much, and the targets of both renditions a while later.
    fn settled(able: &[u32], fixed: bool) -> (Vec<Rendition>, u32, u32) {
        let (mut rates, now) = (Rates::new(BITRATES), start());
        rates.set_fixed(fixed, now);
        let shares: Vec<_> = able.iter().map(|&able| (rates.join(), able)).collect();
        shares.iter().for_each(|&(share, able)| rates.set_able(share, able, now));
        rates.handle_timeout(now + Duration::from_secs(60));
        assert_eq!(rates.poll_deadline(), None, "{able:?}");
        (shares.iter().map(|&(share, _)| rates.rendition(share)).collect(), rates.target(Whole), rates.target(Half))
    }

    #[test]
    fn slowest_viewer_is_followed_as_far_as_half_of_the_best() {
        type Case = (&'static [u32], bool, &'static [Rendition], u32, u32);
        let cases: [Case; 10] = [
            (&[], false, &[], CEILING, CEILING / 2),
            (&[9_000_000], false, &[Whole], CEILING, CEILING / 2),
            (&[1_000_000], false, &[Whole], 1_000_000, CEILING / 2),
            (&[400_000], false, &[Whole], 400_000, CEILING / 2),
            (&[200_000], false, &[Half], CEILING, 200_000),
            (&[50_000], false, &[Half], CEILING, FLOOR / 2),
            (&[2_000_000, 1_200_000], false, &[Whole, Whole], 1_200_000, CEILING / 2),
            (&[2_000_000, 900_000, 400_000], false, &[Whole, Half, Half], 2_000_000, 400_000),
            (&[1_600_000, 1_200_000], true, &[Whole, Half], CEILING, 1_200_000),
            (&[90_000_000, 1_600_000], false, &[Whole, Whole], 1_600_000, CEILING / 2),
        ];
        for (able, fixed, renditions, whole, half) in cases {
            assert_eq!(settled(able, fixed), (renditions.to_vec(), whole, half), "{able:?} {fixed}");
        }
    }

    #[test]
    fn more_than_usual_is_for_viewers_that_all_can_take_it_and_nobody_else_watches() {
        let (mut rates, now) = (Rates::new(Bitrates { most_bps: 2 * CEILING, ..BITRATES }), start());
        assert_eq!(rates.target(Whole), CEILING);
        let (first, second) = (rates.join(), rates.join());
        rates.set_able(first, 9_000_000, now);
        assert_eq!(rates.target(Whole), CEILING, "of the second nothing is known");
        rates.set_able(second, 5_000_000, now);
        assert_eq!(rates.target(Whole), 5_000_000);
        rates.leave(second, now);
        assert_eq!(rates.target(Whole), 2 * CEILING);
        rates.set_fixed(true, now);
        assert_eq!(rates.target(Whole), CEILING, "somebody watches over TCP");
    }

    #[test]
    fn viewer_moves_down_soon_and_back_when_it_could_follow_for_a_while() {
        let (mut rates, mut now) = (Rates::new(BITRATES), start());
        let (best, other) = (rates.join(), rates.join());
        rates.set_able(best, CEILING, now);
        let mut after = |able, millis| {
            rates.set_able(other, able, now);
            now += Duration::from_millis(millis);
            rates.set_able(other, able, now);
            rates.rendition(other)
        };
        assert_eq!(after(1_000_000, 900), Whole);
        assert_eq!(after(1_600_000, 2_000), Whole, "it came back in time");
        assert_eq!(after(1_000_000, 1_000), Half);
        assert_eq!(after(1_600_000, 60_000), Half, "only just");
        assert_eq!(after(2_500_000, 4_900), Half);
        assert_eq!(after(1_000_000, 100), Half);
        assert_eq!(after(2_500_000, 5_000), Whole);
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let (mut rates, now) = (Rates::new(BITRATES), start());
        let (best, slow) = (rates.join(), rates.join());
        rates.set_able(best, CEILING, now);
        rates.set_able(slow, 1_600_000, now);
        assert_eq!(rates.target(Whole), 1_600_000);
        rates.leave(slow, now);
        assert_eq!((rates.target(Whole), rates.poll_deadline()), (CEILING, None));
    }
}
