//! Who is there, and what is given back when everybody has gone.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use crosspoint_ffi::trim::trim;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::App;

/// Those for whom there is work: who publishes, who watches, what is fetched and what is pushed.
#[derive(Default)]
pub(super) struct Guests(Rc<State>);

#[derive(Default)]
struct State {
    count: Cell<usize>,
    /// The last one has gone.
    gone: Notify,
}

/// One of them, until it is dropped.
pub(super) struct Guest(Rc<State>);

impl Guests {
    /// Counts one more.
    pub(super) fn come(&self) -> Guest {
        self.0.count.set(self.0.count.get() + 1);
        Guest(Rc::clone(&self.0))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0 {
            self.0.gone.notify_one();
        }
    }
}

impl App {
    /// Gives memory back when starting is over, and each time that the last guest has been gone for a while. It never ends.
    pub(crate) async fn rest(&self) -> Infallible {
        let guests = &self.0.guests.0;
        loop {
            while timeout(SETTLED, guests.gone.notified()).await.is_ok() {}
            if guests.count.get() == 0 {
                trim();
                tracing::debug!("at rest");
            }
            guests.gone.notified().await;
        }
    }
}

/// Who opens a page again, or reconnects, is back by then; who was last to come finds all as it was.
const SETTLED: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use crate::runtime::Io;

    use super::*;

    #[test]
    fn only_the_last_who_goes_is_told_of() {
        Io::Epoll
            .block_on(async {
                let guests = Guests::default();
                let told = async || timeout(Duration::ZERO, guests.0.gone.notified()).await.is_ok();
                let (first, second) = (guests.come(), guests.come());
                drop(first);
                assert!(!told().await, "one is there");
                drop(second);
                assert!(told().await && !told().await, "once");
            })
            .expect("an epoll instance");
    }
}
