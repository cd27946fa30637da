//! Viewers: shared frames out, and what the peer says in between.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastwebsockets::{Frame, OpCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Close, End, Socket};
use crate::broadcast::Watch;

/// Writes what `watch` gives to `socket` until the peer goes, stalls, or `ended` says why it is over.
///
/// Whole frames that all viewers share go out as they are; only pongs and the close frame are this viewer's own, queued between them.
///
/// Copies: 0 in this process.
pub(crate) async fn serve(socket: Socket, mut watch: Watch, ended: impl Future<Output = Close>) {
    let (mut read, mut write) = socket.split();
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
    let whole = Cell::new(true);
    let talk = async {
        loop {
            let bytes = replies.take().or_else(|| watch.next());
            match bytes {
                Some(bytes) if written(&mut write, &bytes, &whole).await => {}
                Some(_) => return End::Gone,
                None => tokio::select! {
                    () = watch.more() => {}
                    () = replies.arrived.notified() => {}
                },
            }
        }
    };
    let end = tokio::select! {
        end = listen => end,
        end = talk => end,
        close = ended => End::Close(close),
    };
    let farewell = match end {
        End::Close(close) => Some(close.frame()),
        End::Gone => replies.take(),
    };
    // Behind half a frame, a close would only be taken for the rest of it.
    if let Some(bytes) = farewell.filter(|_| whole.get()) {
        let _ = timeout(FAREWELL, write.write_all(&bytes)).await;
    }
    let _ = timeout(FAREWELL, write.shutdown()).await;
}

/// Writes all of `bytes`; false when the peer is gone or reads nothing for [`STALL`].
async fn written(write: &mut OwnedWriteHalf, bytes: &[u8], whole: &Cell<bool>) -> bool {
    whole.set(false);
    let done = matches!(timeout(STALL, write.write_all(bytes)).await, Ok(Ok(())));
    whole.set(done);
    done
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

    fn take(&self) -> Option<Bytes> {
        let mut bytes = self.bytes.borrow_mut();
        (!bytes.is_empty()).then(|| bytes.split().freeze())
    }
}

/// A viewer that reads nothing for this long is closed.
const STALL: Duration = Duration::from_secs(10);
/// How long the last bytes may take.
const FAREWELL: Duration = Duration::from_secs(1);
const REPLIES_MAX_BYTES: usize = 4096;
