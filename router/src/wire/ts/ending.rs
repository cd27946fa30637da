//! When a PES packet that states no length is over.
//!
//! The standard gives a demuxer only the next start, one picture later. Muxers give more away, but as a habit and not as a rule, so each
//! sign is a guess that is watched: bytes that come after it ([`Guesses::was_wrong`]) count against it, and one that was wrong
//! twice in a short while is not used on that PID any more.

/// What told that a PES packet is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// Its first transport packet was stuffed, so it has but one.
    First,
    /// Nothing more came for a while, from a publisher that pauses between pictures.
    Idle,
    /// A later transport packet was stuffed.
    Last,
    /// The next one started.
    Next,
    /// Its stated length was reached.
    Stated,
}

/// Which signs can be trusted on one PID.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    wrong: [u8; 4],
    right_in_a_row: u16,
    pauses: Pauses,
}

impl Guesses {
    pub(super) fn trusts(&self, ending: Ending) -> bool {
        match self.slot(ending) {
            Some(slot) => self.wrong[slot] < WRONG_MAX && (ending != Ending::Idle || self.pauses.between >= PAUSES_MIN),
            None => true,
        }
    }

    pub(super) fn was_right(&mut self) {
        self.right_in_a_row = self.right_in_a_row.saturating_add(1);
        if self.right_in_a_row == RIGHT_FORGIVES {
            // A muxer's habit shows at once; what is this rare was damage on the way. A sign already given up stays so.
            for wrong in self.wrong.iter_mut().filter(|wrong| **wrong < WRONG_MAX) {
                *wrong = 0;
            }
        }
    }

    pub(super) fn was_wrong(&mut self, ending: Ending) {
        self.right_in_a_row = 0;
        if let Some(slot) = self.slot(ending) {
            self.wrong[slot] = self.wrong[slot].saturating_add(1);
        }
        if ending == Ending::Idle {
            self.pauses.between = 0;
        }
    }

    /// Notes that the publisher paused; `open` tells whether a PES packet or a transport packet was incomplete then.
    pub(super) fn paused(&mut self, open: bool) {
        if open {
            self.pauses.open = true;
        } else if std::mem::take(&mut self.pauses.fresh) {
            self.pauses.between = self.pauses.between.saturating_add(1);
        }
    }

    /// Notes a transport packet of the PID and whether it starts a PES packet.
    pub(super) fn went_on(&mut self, starts: bool) {
        self.pauses.fresh = true;
        // What was open during the pause is continued: this publisher pauses anywhere.
        if std::mem::take(&mut self.pauses.open) && !starts {
            self.pauses.between = 0;
        }
    }

    fn slot(&self, ending: Ending) -> Option<usize> {
        match ending {
            Ending::First => Some(0),
            Ending::Idle => Some(1),
            Ending::Last => Some(2),
            Ending::Next => None,
            Ending::Stated => Some(3),
        }
    }
}

/// Where a publisher pauses. One that sends picture by picture leaves nothing open when it pauses, but for the picture in
/// about 184 that fills its last transport packet exactly; one that sends a file in blocks leaves a picture open nearly always. So a
/// silence ends a picture only after several pauses in a row between pictures, and a single one within a picture takes that back.
#[derive(Debug, Default)]
struct Pauses {
    /// Pauses in a row that left nothing open.
    between: u8,
    /// Whether the PID had a packet since the last pause.
    fresh: bool,
    /// Whether the last pause left something open.
    open: bool,
}

/// Wrong guesses that end the trust in a sign: one may be damage on the way, and each costs a picture.
const WRONG_MAX: u8 = 2;
/// Right guesses in a row after which a wrong one is forgotten: about ten seconds of pictures.
const RIGHT_FORGIVES: u16 = 300;
/// Pauses between pictures that show a publisher's habit. A block sender, even one whose blocks are whole transport packets and whose
/// pictures are as small as four, gets there by chance once in 4⁸; then it loses at most [`WRONG_MAX`] pictures.
const PAUSES_MIN: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_wrong_guesses_end_the_trust_in_that_sign_only() {
        let mut guesses = Guesses::default();
        guesses.was_wrong(Ending::First);
        assert!(guesses.trusts(Ending::First));
        guesses.was_wrong(Ending::First);
        assert!(!guesses.trusts(Ending::First) && guesses.trusts(Ending::Last) && guesses.trusts(Ending::Next));
    }

    #[test]
    fn a_rare_wrong_guess_is_forgotten_but_a_lost_trust_is_not() {
        let mut guesses = Guesses::default();
        for _ in 0..5 {
            guesses.was_wrong(Ending::Last);
            assert!(guesses.trusts(Ending::Last));
            (0..RIGHT_FORGIVES).for_each(|_| guesses.was_right());
        }
        guesses.was_wrong(Ending::Last);
        guesses.was_wrong(Ending::Last);
        (0..RIGHT_FORGIVES).for_each(|_| guesses.was_right());
        assert!(!guesses.trusts(Ending::Last));
    }

    #[test]
    fn silence_is_trusted_after_pauses_between_pictures_until_one_within() {
        let mut guesses = Guesses::default();
        for _ in 0..PAUSES_MIN {
            assert!(!guesses.trusts(Ending::Idle));
            guesses.went_on(true);
            guesses.paused(false);
        }
        assert!(guesses.trusts(Ending::Idle));
        guesses.paused(true);
        guesses.went_on(true);
        assert!(guesses.trusts(Ending::Idle), "an exact fit was open, and over");
        guesses.paused(true);
        guesses.went_on(false);
        assert!(!guesses.trusts(Ending::Idle));
    }
}
