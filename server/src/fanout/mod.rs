//! From what is published once to every viewer's socket.
//!
//! ```text
//! publish ─▶ hub ─▶ Fan: one pass over all viewers, which writes to each what it gets
//!                    └ a socket that is full: the viewer's own task goes on until it has caught up
//! ```
//!
//! A viewer's task writes only what is this viewer's alone (pongs, an RTMP session's answers, the goodbye) and what the pass could not:
//! waking three hundred tasks for a frame costs as much again as a fifth of the writes.

mod line;
mod lone;
#[cfg(test)]
mod tests;
mod viewer;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::TcpStream;
use tokio::sync::watch;

pub(crate) use self::line::{Connection, Gone, Line, Own, farewell, talk};
use self::viewer::{Viewer, Write};
use crate::runtime;

/// The viewers of what one place publishes.
pub(crate) struct Fan {
    viewers: RefCell<Vec<Rc<Viewer>>>,
    /// From how many viewers on a pass goes through the ring.
    ring_from: usize,
    /// Changes with each unit.
    published: watch::Sender<()>,
}

/// What one viewer is to be written, piece by piece, never waiting.
pub(crate) trait Pieces {
    /// The next piece, if there is one.
    fn next(&mut self) -> Option<Piece>;

    /// Who says that there may be more.
    fn fan(&self) -> Rc<Fan>;
}

/// What goes out in one write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    /// What is this viewer's own of it.
    pub(crate) head: Bytes,
    /// What all viewers share.
    pub(crate) body: Bytes,
}

impl Piece {
    pub(crate) fn shared(body: Bytes) -> Self {
        Self { head: Bytes::new(), body }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.head.len() + self.body.len()
    }

    fn chunk(&self) -> &[u8] {
        if self.head.is_empty() { &self.body } else { &self.head }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [io::IoSlice<'a>]) -> usize {
        let parts = [&self.head, &self.body].into_iter().filter(|part| !part.is_empty());
        slices.iter_mut().zip(parts).map(|(slice, part)| *slice = io::IoSlice::new(part)).count()
    }

    fn advance(&mut self, count: usize) {
        let of_head = count.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(count - of_head);
    }
}

impl Fan {
    /// Makes a fan. Its task lives as long as the process.
    pub(crate) fn open() -> Rc<Self> {
        Self::with_ring_from(RING_PAYS_FROM)
    }

    fn with_ring_from(ring_from: usize) -> Rc<Self> {
        let fan = Rc::new(Self { viewers: RefCell::default(), ring_from, published: watch::Sender::default() });
        tokio::task::spawn_local({
            let (fan, published) = (Rc::clone(&fan), fan.published.subscribe());
            async move { fan.run(published).await }
        });
        fan
    }

    /// Says that there is more for everyone.
    pub(crate) fn publish(&self) {
        self.published.send_replace(());
    }

    /// How to wait for that as one to whom the fan cannot write.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    fn let_in(&self, viewer: Rc<Viewer>) {
        self.viewers.borrow_mut().push(viewer);
    }

    fn leave(&self, viewer: &Rc<Viewer>) {
        let mut viewers = self.viewers.borrow_mut();
        if let Some(at) = viewers.iter().position(|other| Rc::ptr_eq(other, viewer)) {
            viewers.swap_remove(at);
        }
    }

    async fn run(&self, mut published: watch::Receiver<()>) {
        let (mut viewers, mut writes) = (Vec::new(), Vec::new());
        // The sender is in the fan.
        while published.changed().await.is_ok() {
            viewers.extend(self.viewers.borrow().iter().cloned());
            if runtime::has_ring() && viewers.len() >= self.ring_from {
                submit(&viewers, &mut writes).await;
            } else {
                write(&viewers).await;
            }
            viewers.clear();
        }
    }
}

/// Keeps the kernel from queueing seconds of media for a viewer that is slow: what it does not take is for the hub to drop.
pub(crate) fn bound_queue(stream: &TcpStream) -> io::Result<()> {
    Ok(set_socket_send_buffer_size(stream, SEND_BYTES)?)
}

/// A pass of system calls.
async fn write(viewers: &[Rc<Viewer>]) {
    for (number, some) in viewers.chunks(VIEWERS_AT_ONCE).enumerate() {
        if number > 0 {
            // Others have frames to move, too.
            tokio::task::yield_now().await;
        }
        some.iter().for_each(|viewer| viewer.write());
    }
}

/// A pass through the ring: what all viewers get is submitted to the kernel in one call when the thread runs out of work. A socket that
/// is full answers at once (it does not block), so no viewer keeps the others waiting.
async fn submit(viewers: &[Rc<Viewer>], writes: &mut Vec<(Rc<Viewer>, Write)>) {
    loop {
        writes.extend(viewers.iter().filter_map(|viewer| Some((Rc::clone(viewer), viewer.submit()?))));
        if writes.is_empty() {
            return;
        }
        std::future::poll_fn(|cx| {
            writes.retain_mut(|(viewer, write)| match write.as_mut().poll(cx) {
                std::task::Poll::Ready((result, piece)) => {
                    viewer.settle(result, piece);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if writes.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// The kernel doubles it for its own needs: a second and a half of 3 Mbit/s, or 40 Mbit/s to a viewer 100 ms away.
const SEND_BYTES: usize = 256 << 10;
/// What the ring has done is told through epoll: three calls more a pass, where each write is one less.
const RING_PAYS_FROM: usize = 8;
/// 32 writes are 0.3 ms.
const VIEWERS_AT_ONCE: usize = 32;
