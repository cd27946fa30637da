//! Ending in good order: who is asked to end, and who is still there.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// The asking side. One per server.
///
/// Whoever holds a [`Shutdown`] counts as still there; dropping it is how a task says that it is done.
#[derive(Debug)]
pub struct Ending {
    request: watch::Sender<bool>,
    shutdown: Shutdown,
    all_gone: mpsc::Receiver<Infallible>,
}

/// The asked side: cheap to clone, one per task.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
    /// Never sent on: the channel closes when the last task has dropped its clone. Nothing when all were gone already.
    here: Option<mpsc::Sender<Infallible>>,
}

/// The asked side of one who is asked nothing and not waited for, but hands out what others are asked by.
#[derive(Clone, Debug)]
pub struct WeakShutdown {
    requested: watch::Receiver<bool>,
    here: mpsc::WeakSender<Infallible>,
}

impl Ending {
    /// Makes both sides; see [`Ending::shutdown`].
    #[must_use]
    pub fn new() -> Self {
        let (request, requested) = watch::channel(false);
        let (here, all_gone) = mpsc::channel(1);
        Self { request, shutdown: Shutdown { requested, here: Some(here) }, all_gone }
    }

    /// A handle for a task that is to be asked and waited for.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// A handle that nobody waits for.
    #[must_use]
    pub fn weak(&self) -> WeakShutdown {
        let here = self.shutdown.here.as_ref().expect("ours is there for as long as we are");
        WeakShutdown { requested: self.shutdown.requested.clone(), here: here.downgrade() }
    }

    /// Asks everyone to end.
    pub fn request(&self) {
        self.request.send_replace(true);
    }

    /// Waits until every handle is dropped, but no longer than `patience`; says whether all went in time.
    pub async fn all_gone(self, patience: Duration) -> bool {
        let Self { request: _request, shutdown, mut all_gone } = self;
        drop(shutdown);
        tokio::time::timeout(patience, all_gone.recv()).await.is_ok()
    }
}

impl Default for Ending {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Waits until the end is asked for. Cancel safe.
    pub async fn requested(&mut self) {
        // The asking side gone is the end, too.
        let _ = self.requested.wait_for(|requested| *requested).await;
    }
}

impl WeakShutdown {
    /// Whether the end was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// A handle for a task that is to be asked and waited for.
    #[must_use]
    pub fn upgrade(&self) -> Shutdown {
        Shutdown { requested: self.requested.clone(), here: self.here.upgrade() }
    }
}

/// SIGINT and SIGTERM as something to wait for.
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Takes both signals over from the kernel's default, which would end the process on the spot.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Io;

    #[test]
    fn end_waits_for_the_last_handle_and_no_longer_than_told() {
        Io::Epoll
            .block_on(async {
                let ending = Ending::new();
                let mut task = ending.shutdown();
                let worker = tokio::task::spawn_local(async move { task.requested().await });
                ending.request();
                assert!(ending.all_gone(Duration::from_secs(10)).await);
                worker.await.unwrap();

                let ending = Ending::new();
                let stuck = ending.shutdown();
                ending.request();
                let weak = ending.weak();
                assert!(!ending.all_gone(Duration::from_millis(1)).await && weak.is_requested());
                drop((stuck, weak.upgrade()));

                let ending = Ending::new();
                let weak = ending.weak();
                let mut task = weak.upgrade();
                let worker = tokio::task::spawn_local(async move { task.requested().await });
                ending.request();
                assert!(ending.all_gone(Duration::from_secs(10)).await, "a weak handle is not waited for");
                worker.await.unwrap();
                assert!(weak.upgrade().is_requested());
            })
            .unwrap();
    }
}
