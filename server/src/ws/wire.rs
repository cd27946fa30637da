//! A connection with the bytes that HTTP had already read from it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::PINGS;
use super::progress::Progress;
use crate::fanout::{Connection, Pieces};
use crate::net::Secure;

/// An upgraded connection: what the peer sent right behind its upgrade request comes first.
///
/// While it is read and nothing comes, the peer is pinged: the library that reads frames has the connection to itself then, and writes
/// whole frames only, so a ping is never in the middle of one.
#[derive(Debug)]
pub(super) struct Wire {
    early: Bytes,
    stream: Stream,
    progress: Rc<Progress>,
    /// Nothing before it is asked for.
    keep_alive: Option<KeepAlive>,
    /// What is left of a ping.
    ping: Bytes,
}

/// When a peer that says nothing is pinged, and how often it was.
#[derive(Debug)]
struct KeepAlive {
    interval: Duration,
    timer: Pin<Box<Sleep>>,
    pings: u32,
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
            Ok(parts) => Self::of(parts.read_buf, Stream::Plain(parts.io.into_inner())),
            Err(upgraded) => {
                let parts = upgraded.downcast::<TokioIo<Secure>>().expect("connections are served over TCP or TLS only");
                Self::of(parts.read_buf, Stream::Secure(Box::new(parts.io.into_inner())))
            }
        }
    }

    fn of(early: Bytes, stream: Stream) -> Self {
        Self { early, stream, progress: Rc::default(), keep_alive: None, ping: Bytes::new() }
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

    /// Pings the peer whenever it has said nothing for as long as `interval` while it was listened to. One that does not answer
    /// [`PINGS`] in a row is gone.
    pub(super) fn keep_alive(&mut self, interval: Duration) {
        self.keep_alive = Some(KeepAlive { interval, timer: Box::pin(sleep(interval)), pings: 0 });
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

    /// Reads what the peer says.
    fn poll_heard(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(read) = self.stream().poll_read(cx, buf) {
            if let Some(KeepAlive { interval, timer, pings }) = &mut self.keep_alive {
                *pings = 0;
                timer.as_mut().reset(Instant::now() + *interval);
            }
            return Poll::Ready(read);
        }
        // Silence.
        while let Some(KeepAlive { interval, timer, pings }) = &mut self.keep_alive
            && timer.as_mut().poll(cx).is_ready()
        {
            if *pings == PINGS {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            *pings += 1;
            timer.as_mut().reset(Instant::now() + *interval);
            if self.ping.is_empty() {
                self.ping = Bytes::from_static(PING);
            }
        }
        match self.poll_ping(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Writes what is left of a ping.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ping.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.ping.is_empty() {
            let ping = self.ping.clone();
            match ready!(self.stream().poll_write(cx, &ping))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.ping.advance(written),
            }
        }
        self.stream().poll_flush(cx)
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
        let polled = if read_early(&mut self.early, buf) { Poll::Ready(Ok(())) } else { self.poll_heard(cx, buf) };
        if self.progress.note(&buf.filled()[before..]) { Poll::Ready(Err(io::ErrorKind::InvalidData.into())) } else { polled }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
        self.stream().poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
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

/// FIN and the opcode of a ping, no payload, no mask.
const PING: &[u8] = &[0x89, 0];
