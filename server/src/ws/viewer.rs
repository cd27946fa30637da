//! Viewers: shared frames out, and what the peer says in between.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use fastwebsockets::{Frame, OpCode};
use tokio::sync::Notify;

use super::{Close, End, Socket};
use crate::fanout::{Own, Pieces, Viewer, farewell, talk};

/// Writes what `watch` gives to `socket` until the peer goes, stalls, or `ended` says why it is over.
///
/// Whole frames that all viewers share go out as they are; only pongs and the close frame are this viewer's own, sent between them.
///
/// Copies: 0 in this process.
pub(crate) async fn serve(socket: Socket, watch: impl Pieces + 'static, ended: impl Future<Output = Close>) {
    let (mut read, write) = socket.split();
    let mut line = Viewer::admit(write, Box::new(watch));
    let replies = Replies::default();
    let listen = async {
        loop {
            let frame = read
                .read_frame(&mut |frame| {
                    replies.push(frame);
                    std::future::ready(Ok::<(), Infallible>(()))
                })
                .await;
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
        _ = talk(&mut line, &replies) => End::Gone,
        close = ended => End::Close(close),
    };
    let last = match end {
        End::Close(close) => Some(close.frame()),
        End::Gone => replies.poll_bytes(),
    };
    farewell(&mut line, last.into_iter()).await;
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
