//! A connection with the bytes that HTTP had already read from it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::progress::Progress;
use crate::fanout::{Connection, Pieces};
use crate::net::Secure;

/// An upgraded connection: what the peer sent right behind its upgrade request comes first.
#[derive(Debug)]
pub(super) struct Wire {
    early: Bytes,
    stream: Stream,
    progress: Rc<Progress>,
}

/// What connections are made of.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

/// The way to a viewer.
pub(super) enum Line {
    Plain(<TcpStream as Connection>::Line),
    Secure(<Secure as Connection>::Line),
}

/// The reading half of a [`Wire`]. Viewers say little, so that a call more does not matter.
pub(super) struct ReadWire {
    early: Bytes,
    half: Box<dyn AsyncRead + Unpin>,
}

impl Wire {
    /// Takes a connection over from HTTP.
    pub(super) fn new(upgraded: Upgraded) -> Self {
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => Self { early: parts.read_buf, stream: Stream::Plain(parts.io.into_inner()), progress: Rc::default() },
            Err(upgraded) => {
                let parts = upgraded.downcast::<TokioIo<Secure>>().expect("connections are served over TCP or TLS only");
                Self { early: parts.read_buf, stream: Stream::Secure(Box::new(parts.io.into_inner())), progress: Rc::default() }
            }
        }
    }

    /// Where in its frames the peer is.
    pub(super) fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// The TCP connection below.
    pub(super) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Secure(tls) => tls.get_ref().get_ref().0,
        }
    }

    /// Has the kernel ask whether a peer that says nothing is still there: one that vanished is known after a minute.
    pub(super) fn keep_alive(&self) -> io::Result<()> {
        let tcp = self.tcp();
        sockopt::set_socket_keepalive(tcp, true)?;
        sockopt::set_tcp_keepidle(tcp, std::time::Duration::from_secs(30))?;
        sockopt::set_tcp_keepintvl(tcp, std::time::Duration::from_secs(10))?;
        Ok(sockopt::set_tcp_keepcnt(tcp, 3)?)
    }

    /// Parts what the peer says and what it is told; `pieces` go to it from now on.
    pub(super) fn part(self, pieces: Box<dyn Pieces>) -> (ReadWire, Line) {
        let (half, line): (Box<dyn AsyncRead + Unpin>, _) = match self.stream {
            Stream::Plain(tcp) => {
                let (half, line) = tcp.part(pieces);
                (Box::new(half), Line::Plain(line))
            }
            Stream::Secure(tls) => {
                let (half, line) = tls.part(pieces);
                (Box::new(half), Line::Secure(line))
            }
        };
        (ReadWire { early: self.early, half }, line)
    }

    fn stream(&mut self) -> Pin<&mut (dyn ReadWrite + Unpin)> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp),
            Stream::Secure(tls) => Pin::new(tls.as_mut()),
        }
    }
}

trait ReadWrite: AsyncRead + AsyncWrite {}

impl<S: AsyncRead + AsyncWrite> ReadWrite for S {}

/// Gives what is left of `early`; false when there is nothing.
fn read_early(early: &mut Bytes, buf: &mut ReadBuf<'_>) -> bool {
    let count = early.len().min(buf.remaining());
    buf.put_slice(&early[..count]);
    early.advance(count);
    count > 0
}

impl AsyncRead for ReadWire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if read_early(&mut self.early, buf) { Poll::Ready(Ok(())) } else { Pin::new(&mut self.half).poll_read(cx, buf) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = if read_early(&mut self.early, buf) { Poll::Ready(Ok(())) } else { self.stream().poll_read(cx, buf) };
        if self.progress.note(&buf.filled()[before..]) { Poll::Ready(Err(io::ErrorKind::InvalidData.into())) } else { polled }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Secure(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
