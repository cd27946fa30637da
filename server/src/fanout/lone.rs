//! A viewer to whom nobody else can write: behind TLS every byte is its own.

use std::io;

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::{client, server};

use super::{Connection, Line, Piece, Pieces};

/// The writing half of any stream.
///
/// Copies: 0 here; inside TLS 1, which encrypts.
pub(crate) struct Lone<S> {
    stream: WriteHalf<S>,
    pieces: Box<dyn Pieces>,
    published: watch::Receiver<()>,
    /// What is left of a piece that was begun.
    rest: Option<Piece>,
}

impl<S: AsyncRead + AsyncWrite> Lone<S> {
    fn part(stream: S, pieces: Box<dyn Pieces>) -> (ReadHalf<S>, Self) {
        let (read, stream) = tokio::io::split(stream);
        let published = pieces.fan().subscribe();
        (read, Self { stream, pieces, published, rest: None })
    }
}

impl Connection for client::TlsStream<TcpStream> {
    type Read = ReadHalf<Self>;
    type Line = Lone<Self>;

    fn part(self, pieces: Box<dyn Pieces>) -> (Self::Read, Self::Line) {
        Lone::part(self, pieces)
    }
}

impl Connection for BufReader<server::TlsStream<TcpStream>> {
    type Read = ReadHalf<Self>;
    type Line = Lone<Self>;

    fn part(self, pieces: Box<dyn Pieces>) -> (Self::Read, Self::Line) {
        Lone::part(self, pieces)
    }
}

impl<S: AsyncWrite> Line for Lone<S> {
    fn next(&mut self) -> Option<Piece> {
        self.pieces.next()
    }

    async fn hold(&mut self) {}

    fn begin(&mut self, piece: Piece) {
        self.rest = Some(piece);
    }

    async fn finish(&mut self) -> io::Result<()> {
        while let Some(rest) = &mut self.rest {
            if !rest.has_remaining() {
                self.rest = None;
            } else if self.stream.write_buf(rest).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }

    async fn idle(&mut self) {
        // The sender is in the fan, which the pieces' source holds.
        let _ = self.published.changed().await;
    }

    async fn shutdown(&mut self) {
        // A peer that is gone has no use for it.
        let _ = self.stream.shutdown().await;
    }
}
