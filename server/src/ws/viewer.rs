//! Viewers: shared frames out, and what the peer says in between.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastwebsockets::{Frame, OpCode, Payload, WebSocketRead};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::wire::{Line, ReadWire};
use super::{Close, End, PINGS, Socket};
use crate::fanout::{self, Own, Pieces, farewell, talk};

/// Writes what `watch` gives to `socket` until the peer goes, stalls, or `ended` says why it is over.
///
/// Whole frames that all viewers share go out as they are; only pongs and the close frame are this viewer's own, sent between them.
///
/// Copies: 0 in this process.
pub(crate) async fn serve(socket: Socket, watch: impl Pieces + 'static, ended: impl Future<Output = Close>) {
    let (stall, keep_alive) = (socket.stall, socket.keep_alive);
    let (read, line) = socket.part(Box::new(watch));
    match line {
        Line::Plain(line) => show(read, line, stall, keep_alive, ended).await,
        Line::Secure(line) => show(read, line, stall, keep_alive, ended).await,
    }
}

async fn show(
    mut read: WebSocketRead<ReadWire>,
    mut line: impl fanout::Line,
    stall: Duration,
    keep_alive: Duration,
    ended: impl Future<Output = Close>,
) {
    let replies = Replies::default();
    let listen = async {
        loop {
            let mut reply = |frame: Frame<'_>| {
                replies.push(frame);
                std::future::ready(Ok::<(), Infallible>(()))
            };
            let frame = {
                let mut next = pin!(read.read_frame(&mut reply));
                let Ok(frame) = heard(next.as_mut(), &replies, keep_alive).await else { return End::Gone };
                frame
            };
            match frame {
                // Viewers have nothing to say; pings were answered on the way.
                Ok(frame) if frame.opcode != OpCode::Close => {}
                Ok(_) => return End::Gone,
                Err(error) => return End::from(error),
            }
        }
    };
    let end = tokio::select! {
        end = listen => end,
        _ = talk(&mut line, &replies, stall) => End::Gone,
        close = ended => End::Close(close),
    };
    let last = match end {
        End::Close(close) => Some(close.frame()),
        End::Gone => replies.poll_bytes(),
    };
    farewell(&mut line, last.into_iter()).await;
}

/// A viewer has been silent for so long that it is gone.
struct Silent;

/// Waits for what a viewer says, and asks it for a pong when it says nothing.
async fn heard<F: Future>(mut next: Pin<&mut F>, replies: &Replies, keep_alive: Duration) -> Result<F::Output, Silent> {
    for ping in 0..=PINGS {
        if let Ok(said) = timeout(keep_alive, next.as_mut()).await {
            return Ok(said);
        }
        if ping < PINGS {
            replies.push(Frame::new(true, OpCode::Ping, None, Payload::Borrowed(&[])));
        }
    }
    Err(Silent)
}

/// Control frames that wait for the writer: pongs and the answer to a close.
#[derive(Default)]
struct Replies {
    bytes: RefCell<BytesMut>,
    arrived: Notify,
}

impl Replies {
    fn push(&self, mut frame: Frame<'_>) {
        let mut buffer = Vec::new();
        let mut bytes = self.bytes.borrow_mut();
        // A peer that pings without reading the pongs must not fill our memory.
        if bytes.len() < REPLIES_MAX_BYTES {
            bytes.extend_from_slice(frame.write(&mut buffer));
            self.arrived.notify_one();
        }
    }
}

impl Own for Replies {
    fn poll_bytes(&self) -> Option<Bytes> {
        let mut bytes = self.bytes.borrow_mut();
        (!bytes.is_empty()).then(|| bytes.split().freeze())
    }

    async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn is_over(&self) -> bool {
        false
    }
}

const REPLIES_MAX_BYTES: usize = 4096;
