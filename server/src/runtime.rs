//! The runtime of the network thread: a ring where the kernel allows one, epoll where it does not.

use std::cell::Cell;
use std::future::Future;
use std::io;

use tokio::task::LocalSet;

use crate::Error;
use crate::config::IoChoice;
use crate::timer::keeping_time;

/// What the network thread waits with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Io {
    /// A tokio current-thread runtime.
    Epoll,
    /// The same with a ring beside it, through `tokio_uring`.
    Uring,
}

impl Io {
    /// Decides what to wait with.
    ///
    /// A container's default seccomp profile refuses `io_uring_setup`, and `tokio_uring::start` panics there, so a ring of the very size
    /// that it will ask for is made and dropped first.
    ///
    /// # Errors
    /// When the ring was asked for by name and is refused.
    pub fn choose(choice: IoChoice) -> Result<Self, Error> {
        match (choice, probe()) {
            (IoChoice::Epoll, _) => Ok(Self::Epoll),
            (IoChoice::Auto | IoChoice::Uring, Ok(())) => Ok(Self::Uring),
            (IoChoice::Auto, Err(refused)) => {
                tracing::debug!(%refused, "no io_uring here");
                Ok(Self::Epoll)
            }
            (IoChoice::Uring, Err(refused)) => Err(Error::UringRefused(refused)),
        }
    }

    /// The name in the log and in `--io`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Uring => "uring",
        }
    }

    /// Runs `future` on this thread until it is done; `tokio::task::spawn_local` works inside it. What it spawned and did not wait for
    /// is dropped.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance, or no timer.
    pub fn block_on<F: Future>(self, future: F) -> Result<F::Output, Error> {
        match self {
            Self::Epoll => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
                LocalSet::new().block_on(&runtime, keeping_time(future))
            }
            Self::Uring => tokio_uring::builder().entries(RING_ENTRIES).start(async {
                RING.set(true);
                let output = keeping_time(future).await;
                RING.set(false);
                output
            }),
        }
        .map_err(Error::Runtime)
    }
}

/// Whether this thread's runtime has a ring.
pub(crate) fn has_ring() -> bool {
    RING.get()
}

thread_local! {
    static RING: Cell<bool> = const { Cell::new(false) };
}

/// The submission queue; what does not fit is submitted early, so the size is a matter of batching only. 256 is tokio-uring's own.
const RING_ENTRIES: u32 = 256;

/// Whether the kernel gives a ring.
pub(crate) fn probe() -> io::Result<()> {
    tokio_uring::uring_builder().build(RING_ENTRIES).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_local_on_either_runtime() {
        for io in [Io::Epoll, Io::choose(IoChoice::Auto).unwrap()] {
            let answer = io.block_on(async {
                assert_eq!(has_ring(), io == Io::Uring);
                let not_send = std::rc::Rc::new(7);
                let task = tokio::task::spawn_local({
                    let not_send = not_send.clone();
                    async move { *not_send }
                });
                task.await.unwrap()
            });
            assert_eq!(answer.unwrap(), 7, "{}", io.as_str());
            assert!(!has_ring());
        }
    }

    #[test]
    fn epoll_can_be_forced() {
        assert_eq!(Io::choose(IoChoice::Epoll).unwrap(), Io::Epoll);
    }
}
