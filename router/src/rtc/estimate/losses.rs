//! What is lost on the way: the loss-based half (draft-ietf-rmcat-gcc-02, section 6).

use super::Micros;
use super::history::{History, State};

/// Counts packets of which it is known whether they arrived.
///
/// One that is missing at the end of a feedback may be on its way: a packet counts once one that was sent [`LATE`] after it has arrived.
/// One that no feedback told of does not count at all.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// The number of the packet that is to be judged next.
    next: Option<u16>,
    /// The last second, in tenths: which one, packets told of, and those that are missing.
    tenths: [(u64, u32, u32); TENTHS],
    /// What was counted since the last verdict, and since when.
    told: u32,
    missing: u32,
    since: Option<Micros>,
}

impl Losses {
    /// Judges what was sent well before the newest packet that arrived.
    pub(super) fn handle_feedback(&mut self, history: &History, newest_arrived: Micros, now: Micros) {
        let Some(newest) = history.newest() else { return };
        let mut next = self.next.unwrap_or_else(|| history.oldest());
        if newest.wrapping_sub(next) > newest.wrapping_sub(history.oldest()) && next != newest.wrapping_add(1) {
            next = history.oldest();
        }
        let tenth = now / TENTH;
        let place = &mut self.tenths[(tenth % TENTHS as u64) as usize];
        if place.0 != tenth {
            *place = (tenth, 0, 0);
        }
        while let Some(sent) = history.sent(next, now)
            && sent.at + LATE <= newest_arrived
        {
            let (told, missing) = match sent.state {
                State::Arrived => (1, 0),
                State::Missing => (1, 1),
                State::Untold => (0, 0),
            };
            place.1 += told;
            place.2 += missing;
            self.told += told;
            self.missing += missing;
            next = next.wrapping_add(1);
        }
        self.next = Some(next);
    }

    /// Takes it that what was sent so far is no measure.
    pub(super) fn forget(&mut self, history: &History) {
        self.next = history.newest().map(|newest| newest.wrapping_add(1));
        (self.told, self.missing, self.since) = (0, 0, None);
    }

    /// The part of the packets of the last second that was lost, if there were enough.
    pub(super) fn lost(&self, now: Micros) -> Option<f32> {
        let tenth = now / TENTH;
        let recent = self.tenths.iter().filter(|(which, _, _)| which + TENTHS as u64 > tenth);
        let (told, missing) = recent.fold((0, 0), |sums, tenth| (sums.0 + tenth.1, sums.1 + tenth.2));
        (told >= ENOUGH).then(|| missing as f32 / told as f32)
    }

    /// The part that was lost since the last verdict, once enough was sent to pass one.
    pub(super) fn poll_verdict(&mut self, now: Micros) -> Option<f64> {
        let passed = now - *self.since.get_or_insert(now);
        let lost = f64::from(self.missing) / f64::from(self.told.max(1));
        let is_plain = self.told >= PLAIN_PACKETS && lost > PLAIN && passed >= PLAIN_TIME;
        let is_ripe = self.told >= FEW && passed >= LONG || self.told >= MANY;
        if !is_plain && !is_ripe && passed < TOO_LONG {
            return None;
        }
        let is_verdict = is_plain || is_ripe;
        (self.told, self.missing, self.since) = (0, 0, Some(now));
        is_verdict.then_some(lost)
    }
}

/// Packets that overtake each other do so by less.
const LATE: Micros = 60_000;
const TENTH: Micros = 100_000;
const TENTHS: usize = 10;
/// Of fewer packets one is more than a twentieth.
const ENOUGH: u32 = 20;
/// A verdict on so many is right: of 3 % lost it makes 10 % once in ten thousand.
const MANY: u32 = 150;
/// It waits for so many so long at most, if there are a few, and begins anew if there are not.
const LONG: Micros = 1_500_000;
const FEW: u32 = 50;
const TOO_LONG: Micros = 10_000_000;
/// What is plain needs no more.
const PLAIN: f64 = 0.3;
const PLAIN_PACKETS: u32 = 30;
const PLAIN_TIME: Micros = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many packets, 10 ms apart; of each ten so many are missing.
    fn after(packets: u16, missing: u16) -> (Losses, Micros) {
        let (mut losses, mut history) = (Losses::default(), History::new());
        let mut now = 0;
        for nth in 0..packets {
            now = Micros::from(nth) * 10_000;
            history.push(nth, 100, now);
            history.settle(nth, (nth % 10 >= missing).then_some(now));
            losses.handle_feedback(&history, now, now);
        }
        (losses, now)
    }

    #[test]
    fn lost_is_told_of_enough_packets_and_of_the_last_second() {
        assert_eq!(after(20, 1).0.lost(0), None);
        let (losses, now) = after(300, 2);
        assert!(losses.lost(now).is_some_and(|lost| (lost - 0.2).abs() < 0.03), "{:?}", losses.lost(now));
        assert_eq!(losses.lost(now + 2_000_000), None);
    }

    #[test]
    fn verdict_waits_for_enough() {
        let (mut losses, now) = after(100, 2);
        assert_eq!(losses.poll_verdict(now), None);
        assert!(losses.poll_verdict(now + 1_500_000).is_some_and(|lost| (lost - 0.2).abs() < 0.03));
        assert_eq!(losses.poll_verdict(now + 1_500_000), None);
        assert!(after(200, 0).0.poll_verdict(0).is_some_and(|lost| lost == 0.0));
    }
}
