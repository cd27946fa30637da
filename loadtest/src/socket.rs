//! A WebSocket in two halves: one task reads and answers pings while another writes.

use std::sync::Arc;

use anyhow::{Result, bail};
use bytes::BytesMut;
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, WebSocketError, WebSocketWrite};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::Mutex;

type Stream = TokioIo<Upgraded>;

/// Writes messages; shared with the [`Receiver`], which answers pings through it.
#[derive(Clone)]
pub(crate) struct Sender(Arc<Mutex<WebSocketWrite<WriteHalf<Stream>>>>);

/// Reads messages.
pub(crate) struct Receiver {
    read: FragmentCollectorRead<ReadHalf<Stream>>,
    sender: Sender,
}

/// The two halves of `socket`.
pub(crate) fn split(socket: WebSocket<Stream>) -> (Sender, Receiver) {
    let (read, mut write) = socket.split(tokio::io::split);
    // One system call per message, whatever its size.
    write.set_writev_threshold(0);
    let sender = Sender(Arc::new(Mutex::new(write)));
    (sender.clone(), Receiver { read: FragmentCollectorRead::new(read), sender })
}

impl Sender {
    /// Sends one binary message; returns when the kernel has its last byte.
    ///
    /// Copies: 0 in here (a client's mask is applied in place).
    pub(crate) async fn send_binary(&self, message: BytesMut) -> Result<()> {
        Ok(self.write(Frame::binary(Payload::Bytes(message))).await?)
    }

    /// Sends one text message.
    pub(crate) async fn send_text(&self, message: String) -> Result<()> {
        Ok(self.write(Frame::text(Payload::Owned(message.into_bytes()))).await?)
    }

    /// Says goodbye. The peer may be gone already, which is as good.
    pub(crate) async fn close(&self) {
        let _ = self.write(Frame::close(NORMAL_CLOSURE, b"")).await;
    }

    async fn write(&self, frame: Frame<'_>) -> Result<(), WebSocketError> {
        let mut write = self.0.lock().await;
        write.write_frame(frame).await?;
        write.flush().await
    }
}

impl Receiver {
    /// Waits for the next text message; answers pings and skips everything else meanwhile. Not cancel safe.
    ///
    /// # Errors
    /// When the peer closed, with its code and reason, or is gone.
    pub(crate) async fn next_text(&mut self) -> Result<String> {
        loop {
            let sender = self.sender.clone();
            let mut answer = move |frame| {
                let sender = sender.clone();
                async move { sender.write(frame).await }
            };
            let frame = self.read.read_frame::<_, WebSocketError>(&mut answer).await?;
            match frame.opcode {
                OpCode::Text => return Ok(String::from_utf8(frame.payload.to_vec())?),
                OpCode::Close => bail!("closed by the peer: {}", close_reason(&frame.payload)),
                OpCode::Binary | OpCode::Continuation | OpCode::Ping | OpCode::Pong => {}
            }
        }
    }
}

fn close_reason(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, reason)) => format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason)),
        None => "without a reason".to_owned(),
    }
}

const NORMAL_CLOSURE: u16 = 1000;
