//! Which address a peer is sent to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::Protocol;

/// An address, and how it is reached.
pub(super) type Place = (Protocol, SocketAddr);

/// Follows a peer whose address changed: a NAT on the way forgot the old one, or its network is another now.
///
/// `str0m` goes on to send to the address that the peer nominated as long as that may still work, which is for some 20 s. So what is for an
/// address that has fallen silent goes to where the peer is heard, once an answer to what was asked there has come from it: who can give
/// that is the peer, and is there.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// Where media are sent, as `str0m` has it.
    chosen: Option<Place>,
    /// When something came from there.
    heard: Option<Instant>,
    /// The last question to somewhere else: where, and its number.
    asked: Option<(Place, [u8; 12])>,
    /// What is for the first goes to the second.
    moved: Option<(Place, Place)>,
}

impl Path {
    /// Takes note that a datagram came, of which `is_own` says whether the peer's keys vouch for it.
    pub(super) fn handle_datagram(&mut self, from: Place, datagram: &[u8], is_own: impl FnOnce() -> bool, now: Instant) {
        if self.chosen == Some(from) {
            self.heard = Some(now);
            self.moved = None;
        } else if datagram.get(..2) == Some(ANSWER)
            && self.asked.is_some_and(|(place, number)| place == from && datagram.get(NUMBER) == Some(&number[..]))
            && let Some(chosen) = self.chosen
            && self.heard.is_none_or(|heard| now >= heard + SILENT)
            && is_own()
        {
            self.moved = Some((chosen, from));
        }
    }

    /// Takes note of where media are to be sent.
    pub(super) fn choose(&mut self, place: Place) {
        self.chosen = Some(place);
    }

    /// Where media go; nothing before that is chosen.
    pub(super) fn of_media(&self) -> Option<Place> {
        let chosen = self.chosen?;
        Some(self.moved.filter(|(from, _)| *from == chosen).map_or(chosen, |(_, there)| there))
    }

    /// Where a datagram goes that is meant for `to`.
    pub(super) fn of(&mut self, to: Place, datagram: &[u8]) -> Place {
        // RFC 7983: what begins with less is STUN, which asks at each address for itself.
        if datagram.first().is_some_and(|first| *first > 3) {
            self.chosen = Some(to);
            return self.of_media().unwrap_or(to);
        }
        if self.chosen != Some(to)
            && datagram.get(..2) == Some(QUESTION)
            && let Some(number) = datagram.get(NUMBER).and_then(|number| number.try_into().ok())
        {
            self.asked = Some((to, number));
        }
        to
    }
}

/// A binding request and the answer to one (RFC 8489, 5).
const QUESTION: &[u8] = &[0, 1];
const ANSWER: &[u8] = &[1, 1];
/// Where the number of a transaction stands.
const NUMBER: std::ops::Range<usize> = 8..20;
/// A peer that is sent media says something ten times in this; one that is sent nothing needs not be followed sooner.
const SILENT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::simulation::epoch;
    use super::*;

    fn place(last: u8) -> Place {
        (Protocol::Udp, SocketAddr::from(([192, 0, 2, last], 9)))
    }

    fn stun(kind: &[u8], number: u8) -> Vec<u8> {
        [kind, &[0; 6], &[number; 12]].concat()
    }

    #[test]
    fn media_follow_to_where_a_question_was_answered_when_the_old_address_is_silent() {
        let (media, at) = ([0x80; 40], |millis| epoch() + Duration::from_millis(millis));
        let heard_until = |last, answer: &[u8], from, own| {
            let mut path = Path::default();
            assert_eq!(path.of(place(1), &media), place(1));
            path.handle_datagram(place(1), &media, || true, at(last));
            assert_eq!(path.of(place(2), &stun(QUESTION, 7)), place(2), "questions go where they are meant to");
            path.handle_datagram(place(from), answer, || own, at(2_000));
            path
        };
        let answer = stun(ANSWER, 7);
        let mut path = heard_until(900, &answer, 2, true);
        assert_eq!(path.of(place(1), &media), place(2));
        assert_eq!(path.of(place(3), &media), place(3), "another that was chosen meanwhile");
        let cases = [
            ("the old one is not silent", heard_until(1_100, &answer, 2, true)),
            ("another number", heard_until(900, &stun(ANSWER, 8), 2, true)),
            ("a question", heard_until(900, &stun(QUESTION, 7), 2, true)),
            ("from elsewhere", heard_until(900, &answer, 4, true)),
            ("by somebody else", heard_until(900, &answer, 2, false)),
        ];
        for (why, mut path) in cases {
            assert_eq!(path.of(place(1), &media), place(1), "{why}");
        }
    }

    #[test]
    fn address_that_is_heard_again_is_sent_to_again() {
        let media = [0x80; 40];
        let mut path = Path::default();
        path.of(place(1), &media);
        path.of(place(2), &stun(QUESTION, 7));
        path.handle_datagram(place(2), &stun(ANSWER, 7), || true, epoch());
        assert_eq!(path.of(place(1), &media), place(2));
        path.handle_datagram(place(1), &media, || true, epoch());
        assert_eq!(path.of(place(1), &media), place(1));
    }
}
