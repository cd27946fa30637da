//! What callbacks leave behind for [`Connection::iterate`](super::Connection::iterate) to find.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::usage::Usage;
use crate::{Error, Result};

/// The marks of one connection's callbacks. Callbacks only ever hold it shared, and every field is a cell.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) usage: Usage,
    failure: RefCell<Option<Error>>,
    panic: Cell<Option<Box<dyn Any + Send>>>,
    lending: Cell<bool>,
}

impl Signals {
    /// Notes why the connection cannot go on; the first reason stays.
    pub(super) fn fail(&self, error: Error) {
        self.failure.borrow_mut().get_or_insert(error);
    }

    /// Runs the body of a callback; a panic is kept until [`Signals::check`], because it must not unwind through C.
    pub(super) fn run(&self, body: impl FnOnce()) {
        // Unwind safety: the panic is resumed by `check` before anybody reads the cells.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            self.panic.set(Some(panic));
        }
    }

    /// Whether memory of the library is in the hands of our caller. Nothing may run the loop then: a connection that breaks waits for
    /// memory of the server to come back.
    pub(super) fn is_lending(&self) -> bool {
        self.lending.get()
    }

    /// Goes on with a callback's panic, and tells what failed.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }
}

/// Marks the connection as lending for as long as it lives.
pub(super) struct Lend<'a>(&'a Signals);

impl<'a> Lend<'a> {
    /// # Panics
    /// When memory is lent already: a `write_with` or `read_with` inside another.
    pub(super) fn new(signals: &'a Signals) -> Self {
        assert!(!signals.lending.replace(true), "a lend within a lend");
        Self(signals)
    }
}

impl Drop for Lend<'_> {
    fn drop(&mut self) {
        self.0.lending.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Remedy;

    #[test]
    fn first_failure_stays_and_a_panic_of_a_callback_goes_on_outside() {
        let signals = Signals::default();
        assert_eq!(signals.check(), Ok(()));
        signals.run(|| signals.fail(Error::new("first", Remedy::Rebuild, "")));
        signals.run(|| signals.fail(Error::new("second", Remedy::Rebuild, "")));
        signals.run(|| panic!("in a callback"));
        let panic = catch_unwind(AssertUnwindSafe(|| signals.check())).expect_err("it goes on");
        assert_eq!(panic.downcast_ref(), Some(&"in a callback"));
        assert_eq!(signals.check().map_err(|error| error.doing()), Err("first"));
    }
}
