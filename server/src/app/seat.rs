//! A place for one publisher.

use std::cell::{Cell, RefCell};

use tokio::sync::oneshot;

use super::Transport;
use crate::ws::Close;

/// A place for one publisher; whoever sits down later takes it over.
#[derive(Default)]
pub(super) struct Seat {
    taken: RefCell<Option<(Transport, oneshot::Sender<Close>)>>,
    sittings: Cell<u64>,
}

impl Seat {
    /// Takes the seat for one who publishes by `transport`, from another if need be; says which sitting this is and when it is over.
    pub(super) fn sit_down(&self, transport: Transport) -> (u64, oneshot::Receiver<Close>) {
        self.clear(Close::TAKEN_OVER);
        let (leave, left) = oneshot::channel();
        self.taken.replace(Some((transport, leave)));
        self.sittings.set(self.sittings.get() + 1);
        (self.sittings.get(), left)
    }

    /// Gives the seat back; says whether nobody sat down after this sitting began.
    pub(super) fn stand_up(&self, sitting: u64) -> bool {
        let last = self.sittings.get() == sitting;
        if last {
            self.taken.take();
        }
        last
    }

    /// Ends the present sitting: another kind of source takes over, which whoever sits there must not undo when it stands up.
    pub(super) fn vacate(&self, close: Close) {
        self.clear(close);
        self.sittings.set(self.sittings.get() + 1);
    }

    /// Tells whoever sits there that it is over.
    fn clear(&self, close: Close) {
        if let Some((_, leave)) = self.taken.take() {
            // A publisher that went meanwhile needs no telling.
            let _ = leave.send(close);
        }
    }

    /// How many sit there: 0 or 1.
    pub(super) fn occupants(&self) -> u32 {
        self.taken.borrow().is_some().into()
    }

    /// How whoever sits there publishes.
    pub(super) fn transport(&self) -> Option<Transport> {
        self.taken.borrow().as_ref().map(|(transport, _)| *transport)
    }
}
