//! A viewer whose socket the fan writes to.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Buf as _;
use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::{Connection, Fan, Line, Piece, Pieces};
use crate::runtime;

/// The writing half of a viewer's connection, which either the fan or the viewer's own task writes to.
///
/// Copies: 0 in this process.
pub(crate) struct Viewer {
    socket: OwnedWriteHalf,
    /// The same connection, for the ring.
    ring: Option<Rc<tokio_uring::net::TcpStream>>,
    pieces: RefCell<Box<dyn Pieces>>,
    owner: Cell<Owner>,
    /// Whether the viewer's task waits for what is in the ring.
    wanted: Cell<bool>,
    /// What is left of a piece that was begun.
    rest: RefCell<Option<Piece>>,
    /// The owner may have changed.
    changed: Notify,
}

/// Who may write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    /// The fan, with its next pass.
    Fan,
    /// The kernel, which was handed a write.
    Ring,
    /// The viewer's task.
    Task,
}

/// A write in the ring, and what it says: how much it wrote, and of what.
pub(super) type Write = Pin<Box<dyn Future<Output = (io::Result<usize>, Piece)>>>;

/// A viewer as its own task has it; dropped, the fan knows it no more.
pub(crate) struct Admitted {
    viewer: Rc<Viewer>,
    fan: Rc<Fan>,
}

impl Viewer {
    /// Lets a viewer in, whose own task writes until it first waits.
    pub(crate) fn admit(socket: OwnedWriteHalf, pieces: Box<dyn Pieces>) -> Admitted {
        let twin =
            || Some(tokio_uring::net::TcpStream::from_std(std::net::TcpStream::from(socket.as_ref().as_fd().try_clone_to_owned().ok()?)));
        // Out of descriptors it is epoll's as well as the next one's.
        let ring = runtime::has_ring().then(twin).flatten().map(Rc::new);
        let fan = pieces.fan();
        let viewer = Rc::new(Self {
            socket,
            ring,
            pieces: RefCell::new(pieces),
            owner: Cell::new(Owner::Task),
            wanted: Cell::new(false),
            rest: RefCell::default(),
            changed: Notify::new(),
        });
        fan.let_in(Rc::clone(&viewer));
        Admitted { viewer, fan }
    }

    /// Writes what there is, as far as the socket takes it at once.
    pub(super) fn write(&self) {
        while self.owner.get() == Owner::Fan {
            let Some(mut piece) = self.pieces.borrow_mut().next() else { return };
            // Whatever it says, the viewer's task hears it again.
            if !matches!(self.try_write(&mut piece), Ok(true)) {
                self.leave_to_task(piece);
            }
        }
    }

    /// Begins a write of the next piece in the ring, if the fan may.
    pub(super) fn submit(self: &Rc<Self>) -> Option<Write> {
        if self.owner.get() != Owner::Fan {
            return None;
        }
        let Some(ring) = self.ring.clone() else {
            self.write();
            return None;
        };
        let piece = self.pieces.borrow_mut().next()?;
        self.owner.set(Owner::Ring);
        if piece.head.is_empty() {
            let write = ring.write(piece.body).submit();
            return Some(Box::pin(async move {
                let (result, body) = write.await;
                (result, Piece::shared(body))
            }));
        }
        Some(Box::pin(async move {
            let (result, _) = ring.writev(vec![piece.head.clone(), piece.body.clone()]).await;
            (result, piece)
        }))
    }

    /// Takes note of a write that the ring has done.
    pub(super) fn settle(&self, result: io::Result<usize>, mut piece: Piece) {
        piece.advance(result.unwrap_or(0));
        if piece.has_remaining() {
            // A failure is heard again by the viewer's task.
            self.leave_to_task(piece);
        } else {
            self.owner.set(if self.wanted.get() { Owner::Task } else { Owner::Fan });
            self.changed.notify_one();
        }
    }

    fn leave_to_task(&self, rest: Piece) {
        self.rest.replace(Some(rest));
        self.owner.set(Owner::Task);
        self.changed.notify_one();
    }

    /// Writes what the socket takes now; whether that was all.
    fn try_write(&self, piece: &mut Piece) -> io::Result<bool> {
        let mut slices = [IoSlice::new(&[]); 2];
        let count = piece.chunks_vectored(&mut slices);
        let written = match &slices[..count] {
            [] => return Ok(true),
            [one] => self.socket.try_write(one),
            both => self.socket.try_write_vectored(both),
        }?;
        piece.advance(written);
        Ok(!piece.has_remaining())
    }
}

impl Connection for TcpStream {
    type Read = OwnedReadHalf;
    type Line = Admitted;

    fn part(self, pieces: Box<dyn Pieces>) -> (OwnedReadHalf, Admitted) {
        let (read, write) = self.into_split();
        (read, Viewer::admit(write, pieces))
    }
}

impl Line for Admitted {
    fn next(&mut self) -> Option<Piece> {
        self.viewer.pieces.borrow_mut().next()
    }

    async fn hold(&mut self) {
        self.viewer.wanted.set(true);
        while self.viewer.owner.get() == Owner::Ring {
            self.viewer.changed.notified().await;
        }
        self.viewer.owner.set(Owner::Task);
    }

    fn begin(&mut self, piece: Piece) {
        self.viewer.rest.replace(Some(piece));
    }

    async fn finish(&mut self) -> io::Result<()> {
        loop {
            let done = match self.viewer.rest.borrow_mut().as_mut() {
                Some(rest) => self.viewer.try_write(rest),
                None => return Ok(()),
            };
            match done {
                Ok(true) => drop(self.viewer.rest.take()),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.viewer.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn idle(&mut self) {
        self.viewer.wanted.set(false);
        self.viewer.owner.set(Owner::Fan);
        while self.viewer.owner.get() != Owner::Task {
            self.viewer.changed.notified().await;
        }
    }

    async fn shutdown(&mut self) {
        // A peer that is gone has no use for it.
        let _ = rustix::net::shutdown(self.viewer.socket.as_ref(), Shutdown::Write);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.viewer.owner.set(Owner::Task);
        self.fan.leave(&self.viewer);
    }
}
