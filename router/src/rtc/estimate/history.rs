//! What was sent, until the viewer has told what became of it.

use super::Micros;

/// The last [`PLACES`] packets, by number. Times are the lower 32 bits of theirs: what lies between two of them is never an hour.
#[derive(Debug)]
pub(super) struct History {
    places: Box<[Place]>,
    /// The number of the newest one.
    newest: u16,
    kept: usize,
}

/// A packet: 12 bytes.
#[derive(Clone, Copy, Debug)]
struct Place {
    sent: u32,
    arrived: u32,
    bytes: u16,
    state: State,
}

/// What is known of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Arrived,
    Missing,
    Untold,
}

/// A packet as it was kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Micros,
    pub(super) bytes: u16,
    pub(super) state: State,
    /// When it arrived, the lower 32 bits.
    pub(super) arrived: u32,
}

impl History {
    pub(super) fn new() -> Self {
        Self { places: vec![Place { sent: 0, arrived: 0, bytes: 0, state: State::Untold }; PLACES].into(), newest: 0, kept: 0 }
    }

    pub(super) fn push(&mut self, number: u16, bytes: usize, now: Micros) {
        // Numbers that do not go up by one would leave places that are of others.
        let follows = number == self.newest.wrapping_add(1);
        self.kept = if follows { (self.kept + 1).min(PLACES) } else { 1 };
        self.newest = number;
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        self.places[place(number)] = Place { sent: low(now), arrived: 0, bytes, state: State::Untold };
    }

    /// The number of the newest packet, if there is one.
    pub(super) fn newest(&self) -> Option<u16> {
        (self.kept > 0).then_some(self.newest)
    }

    /// The number of the oldest packet that is kept.
    pub(super) fn oldest(&self) -> u16 {
        // At most PLACES, which fits.
        self.newest.wrapping_sub(self.kept.saturating_sub(1) as u16)
    }

    /// A packet, if it is kept.
    pub(super) fn sent(&self, number: u16, now: Micros) -> Option<Sent> {
        let age = usize::from(self.newest.wrapping_sub(number));
        if age >= self.kept {
            return None;
        }
        let Place { sent, arrived, bytes, state } = self.places[place(number)];
        let at = now.saturating_sub(Micros::from(low(now).wrapping_sub(sent)));
        Some(Sent { at, bytes, state, arrived })
    }

    /// Takes note of what became of a packet that is kept.
    pub(super) fn settle(&mut self, number: u16, arrived: Option<Micros>) {
        let place = &mut self.places[place(number)];
        place.state = if arrived.is_some() { State::Arrived } else { State::Missing };
        place.arrived = arrived.map_or(0, low);
    }
}

fn place(number: u16) -> usize {
    usize::from(number) % PLACES
}

/// The lower 32 bits.
fn low(time: Micros) -> u32 {
    (time & Micros::from(u32::MAX)) as u32
}

/// A second of 20 Mbit/s in packets of 1,200 bytes: feedback of what is older says nothing that is of use. A power of two, as numbers wrap.
const PLACES: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_by_number_while_they_are_kept() {
        let mut history = History::new();
        assert!(history.newest().is_none() && history.sent(0, 0).is_none());
        for nth in 0..100_000_u64 {
            let number = 65_000_u16.wrapping_add(nth as u16);
            history.push(number, 100, nth * 1_000_000);
        }
        let (newest, now) = (history.newest().expect("some were sent"), 99_999 * 1_000_000);
        assert_eq!(history.sent(newest, now).map(|sent| (sent.at, sent.bytes)), Some((now, 100)));
        assert_eq!(history.sent(newest.wrapping_sub(2_047), now).map(|sent| sent.at), Some(now - 2_047_000_000));
        assert!(history.sent(newest.wrapping_sub(2_048), now).is_none() && history.sent(newest.wrapping_add(1), now).is_none());
        assert_eq!(history.oldest(), newest.wrapping_sub(2_047));
        history.settle(newest, Some(7 << 32 | 5));
        assert!(history.sent(newest, now).is_some_and(|sent| sent.state == State::Arrived && sent.arrived == 5));
        history.push(5, 100, now);
        assert!(history.sent(newest, now).is_none(), "numbers begin anew");
    }

    #[test]
    fn place_is_small() {
        assert!(size_of::<Place>() * PLACES <= 24 * 1_024, "{}", size_of::<Place>());
    }
}
