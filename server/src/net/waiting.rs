//! Connections that wait for their peer: for its first byte, for the rest of what it wants, or for its next call.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::oneshot;

/// All that wait, the one that is silent for longest first. There is a limit, and beyond it that one goes: a flood of connections that say
/// nothing costs a fixed amount, and who has something to say is not kept out by it.
#[derive(Debug)]
pub(crate) struct Waiting {
    most: usize,
    places: RefCell<Places>,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    evicted: u64,
    total: u64,
}

/// A connection's place among them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    waiting: Rc<Waiting>,
    turn: Cell<Option<u64>>,
}

impl Waiting {
    /// Makes room for `most`.
    pub(crate) fn new(most: usize) -> Rc<Self> {
        Rc::new(Self { most, places: RefCell::default() })
    }

    /// Takes a place, from the one that is silent for longest if need be; the other end tells that this is lost likewise.
    pub(crate) fn enter(self: &Rc<Self>) -> (Place, oneshot::Receiver<()>) {
        let mut places = self.places.borrow_mut();
        while places.waiting.len() >= self.most
            && let Some((_, leave)) = places.waiting.pop_first()
        {
            places.evicted += 1;
            // One that ended meanwhile needs no telling.
            let _ = leave.send(());
        }
        let (leave, left) = oneshot::channel();
        places.total += 1;
        let turn = places.take_turn(leave);
        (Place { waiting: Rc::clone(self), turn: Cell::new(Some(turn)) }, left)
    }

    /// How many came since start-up.
    pub(crate) fn total(&self) -> u64 {
        self.places.borrow().total
    }

    /// How many wait, and how many had to go.
    pub(crate) fn counts(&self) -> (usize, u64) {
        let places = self.places.borrow();
        (places.waiting.len(), places.evicted)
    }
}

impl Places {
    fn take_turn(&mut self, leave: oneshot::Sender<()>) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.waiting.insert(turn, leave);
        turn
    }
}

impl Place {
    /// It was heard from: it is the newest again.
    pub(crate) fn renew(&self) {
        let mut places = self.waiting.places.borrow_mut();
        if let Some(leave) = self.turn.get().and_then(|turn| places.waiting.remove(&turn)) {
            self.turn.set(Some(places.take_turn(leave)));
        }
    }

    /// It is something else from here on, with limits of its own.
    pub(crate) fn leave(&self) {
        if let Some(turn) = self.turn.take() {
            self.waiting.places.borrow_mut().waiting.remove(&turn);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    #[test]
    fn longest_silent_goes_when_there_is_no_room() {
        let waiting = Waiting::new(2);
        let (first, mut first_left) = waiting.enter();
        let (second, mut second_left) = waiting.enter();
        first.renew();
        let (_third, mut third_left) = waiting.enter();
        assert_eq!((first_left.try_recv(), second_left.try_recv()), (Err(TryRecvError::Empty), Ok(())), "the first spoke since");
        second.renew();
        assert_eq!(waiting.counts(), (2, 1), "what is lost is not had again");
        first.leave();
        let (_fourth, _left) = waiting.enter();
        assert_eq!((third_left.try_recv(), waiting.counts()), (Err(TryRecvError::Empty), (2, 1)), "a place that was given up is free");
        drop(first);
        assert_eq!(waiting.counts().0, 2);
    }
}
