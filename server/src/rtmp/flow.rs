//! Media to one peer, and what it says in between.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use crosspoint_router::wire::flv::tags;
use crosspoint_router::wire::rtmp::{Chunker, Error, Head};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::Session;
use crate::broadcast::Watch;
use crate::fanout::{Connection, Fan, Gone, Own, Piece, Pieces, farewell, talk};

/// Why media flows no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The peer hung up.
    #[error("the peer hung up")]
    Gone,
    /// The connection broke.
    #[error("{0}")]
    Lost(io::Error),
    /// We ended it.
    #[error("the stream was stopped")]
    Over,
    /// The session cannot go on.
    #[error("{0}")]
    Session(Error),
    /// The peer reads nothing.
    #[error("the peer reads nothing for too long")]
    Stalled,
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Lost(error) => Self::Lost(error),
            Gone::Over => Self::Gone,
            Gone::Stalled => Self::Stalled,
        }
    }
}

/// Writes what `watch` gives until the peer goes or reads nothing for as long as `stall`, the session fails, or `ended` is done.
///
/// The session's own bytes go out between whole chunks, each of which is one vectored write of a header of this peer's and a body that
/// all share. A peer that takes them too slowly is left behind by the hub and goes on at a key frame.
///
/// Copies: 0 in this process but of what is [small](SMALL_BYTES); inside TLS 1, which encrypts.
pub(super) async fn flow(
    connection: impl Connection,
    session: impl Session,
    watch: Watch,
    chunker: Chunker,
    stall: Duration,
    ended: impl Future<Output = ()>,
) -> End {
    let (mut read, mut line) = connection.part(Box::new(Chunked { watch, chunker, ready: VecDeque::new() }));
    let peer = Peer { session: RefCell::new(session), answers: Notify::new() };
    let end = tokio::select! {
        end = peer.listen(&mut read) => end,
        gone = talk(&mut line, &peer, stall) => gone.into(),
        () = ended => End::Over,
    };
    match end {
        End::Over => {
            peer.session.borrow_mut().finish();
            farewell(&mut line, std::iter::from_fn(|| peer.poll_bytes())).await;
            let _ = timeout(GOODBYE, drain(&mut read)).await;
        }
        End::Gone | End::Lost(_) | End::Session(_) | End::Stalled => farewell(&mut line, std::iter::empty()).await,
    }
    end
}

/// A channel's FLV in chunks for one peer.
struct Chunked {
    watch: Watch,
    chunker: Chunker,
    /// What is left of a unit.
    ready: VecDeque<Piece>,
}

impl Pieces for Chunked {
    fn fan(&self) -> Rc<Fan> {
        self.watch.fan()
    }

    fn next(&mut self) -> Option<Piece> {
        while self.ready.is_empty() {
            let unit = self.watch.next_bytes()?;
            gather(tags(unit).filter_map(|tag| self.chunker.handle_tag(tag)).flatten(), &mut self.ready);
        }
        self.ready.pop_front()
    }
}

/// Chunks in as few writes as can be.
fn gather(chunks: impl Iterator<Item = (Head, Bytes)>, pieces: &mut VecDeque<Piece>) {
    let mut own = BytesMut::new();
    for (head, body) in chunks {
        own.extend_from_slice(head.as_ref());
        if body.len() <= SMALL_BYTES {
            own.extend_from_slice(&body);
        } else {
            pieces.push_back(Piece { head: std::mem::take(&mut own).freeze(), body });
        }
    }
    if !own.is_empty() {
        pieces.push_back(Piece { head: own.freeze(), body: Bytes::new() });
    }
}

struct Peer<P> {
    session: RefCell<P>,
    /// The session may have bytes to write.
    answers: Notify,
}

impl<P: Session> Peer<P> {
    async fn listen(&self, read: &mut (impl AsyncRead + Unpin)) -> End {
        let mut bytes = [0; READ_BYTES];
        loop {
            let count = match read.read(&mut bytes).await {
                Ok(0) => return End::Gone,
                Ok(count) => count,
                Err(error) => return End::Lost(error),
            };
            if let Err(error) = self.session.borrow_mut().handle_input(&bytes[..count]) {
                return End::Session(error);
            }
            self.answers.notify_one();
        }
    }
}

impl<P: Session> Own for Peer<P> {
    fn poll_bytes(&self) -> Option<Bytes> {
        self.session.borrow_mut().poll_bytes()
    }

    async fn arrived(&self) {
        self.answers.notified().await;
    }

    fn is_over(&self) -> bool {
        self.session.borrow().is_over()
    }
}

/// Says that no more comes and waits until the peer has seen it: a close over what it still sends would be a reset, which may take from
/// it what it has not read.
pub(super) async fn close(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    if stream.shutdown().await.is_ok() {
        drain(stream).await;
    }
}

async fn drain(read: &mut (impl AsyncRead + Unpin)) {
    let mut bytes = [0; READ_BYTES];
    while read.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

/// What is this short is copied rather than written by itself: packets of sound, and the headers between them.
const SMALL_BYTES: usize = 512;
/// How long a goodbye may take.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);
/// Peers have little to say.
pub(super) const READ_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use crosspoint_router::wire::rtmp::Message;

    use super::*;

    #[test]
    fn small_chunks_go_with_the_next_large_one() {
        let chunks = [20, 30, 2_000, 40, 3_000, 50].into_iter().flat_map(|length| {
            let body = Bytes::from(vec![length as u8; length]);
            Message { kind: 8, time_ms: 0, stream: 1, body }.chunks(4, 1 << 20)
        });
        let mut pieces = VecDeque::new();
        gather(chunks, &mut pieces);
        let pieces: Vec<_> = pieces.iter().map(|piece| (piece.head.len(), piece.body.len())).collect();
        assert_eq!(pieces, [(12 + 20 + 12 + 30 + 12, 2_000), (12 + 40 + 12, 3_000), (12 + 50, 0)]);
    }
}
