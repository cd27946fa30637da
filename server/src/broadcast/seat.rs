//! The viewers whose rate is estimated, of one encoding of the screen and of its smaller rendition.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use crosspoint_router::broadcast::{Rates, Rendition, Share};
use tokio::sync::watch;

use super::pictures::Pictures;
use crate::timer::sleep_until;

/// Both renditions, and who shares them.
pub(super) struct Sharing {
    rates: RefCell<Rates>,
    whole: Rc<Pictures>,
    half: Rc<Pictures>,
    /// Changes when somebody has to look whether it was moved, and when.
    judged: watch::Sender<()>,
    /// When somebody is to be moved.
    due: Cell<Option<Instant>>,
}

/// A viewer's place; it is free again once this is dropped.
pub(crate) struct Seat {
    sharing: Rc<Sharing>,
    share: Share,
    judged: watch::Receiver<()>,
}

impl Sharing {
    pub(super) fn new(rates: Rates, whole: Rc<Pictures>, half: Rc<Pictures>) -> Self {
        Self { rates: RefCell::new(rates), whole, half, judged: watch::Sender::new(()), due: Cell::new(None) }
    }

    pub(super) fn sit_down(self: &Rc<Self>) -> Seat {
        let share = self.rates.borrow_mut().join();
        Seat { sharing: Rc::clone(self), share, judged: self.judged.subscribe() }
    }

    /// Has the encoders follow from what is known by now.
    fn judge(&self) {
        self.rates.borrow_mut().set_fixed(self.whole.is_fixed(), Instant::now());
        let rates = self.rates.borrow();
        self.whole.set_able(rates.target(Rendition::Whole));
        self.half.set_able(rates.target(Rendition::Half));
        // Whoever is moved was due before. Of all else, which is frequent, the other viewers need not hear.
        let due = rates.poll_deadline();
        drop(rates);
        if self.due.replace(due) != due {
            self.judged.send_replace(());
        }
    }
}

impl Seat {
    /// Takes note of what the viewer can take.
    pub(crate) fn set_able(&self, able_bps: u32) {
        self.sharing.rates.borrow_mut().set_able(self.share, able_bps, Instant::now());
        self.sharing.judge();
    }

    /// What the viewer is to get.
    pub(crate) fn rendition(&self) -> Rendition {
        self.sharing.rates.borrow().rendition(self.share)
    }

    /// Waits until that may be another one.
    pub(crate) async fn judged(&mut self) {
        // Known since the last judgement: it is asked for each viewer and frame, and looking through all of them would be for each of them.
        let due = self.sharing.due.get();
        let timer = sleep_until(due);
        tokio::select! {
            // The sender is in the sharing, which this holds.
            _ = self.judged.changed() => {}
            () = timer => self.sharing.judge(),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sharing.rates.borrow_mut().leave(self.share, Instant::now());
        self.sharing.judge();
    }
}
