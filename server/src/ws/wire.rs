//! A TCP connection with the bytes that HTTP had already read from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// An upgraded connection: what the peer sent right behind its upgrade request comes first.
#[derive(Debug)]
pub(super) struct Wire {
    early: Bytes,
    tcp: TcpStream,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream, early: Bytes) -> Self {
        Self { early, tcp }
    }

    /// The connection in two.
    pub(super) fn split(self) -> (ReadWire, OwnedWriteHalf) {
        let (tcp, write) = self.tcp.into_split();
        (ReadWire { early: self.early, tcp }, write)
    }
}

/// The reading half of a [`Wire`].
#[derive(Debug)]
pub(super) struct ReadWire {
    early: Bytes,
    tcp: OwnedReadHalf,
}

/// Gives what is left of `early`; false when there is nothing.
fn read_early(early: &mut Bytes, buf: &mut ReadBuf<'_>) -> bool {
    let count = early.len().min(buf.remaining());
    buf.put_slice(&early[..count]);
    early.advance(count);
    count > 0
}

impl AsyncRead for ReadWire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if read_early(&mut self.early, buf) { Poll::Ready(Ok(())) } else { Pin::new(&mut self.tcp).poll_read(cx, buf) }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if read_early(&mut self.early, buf) { Poll::Ready(Ok(())) } else { Pin::new(&mut self.tcp).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
