//! WebSocket connections after their upgrade: one owner reads, answers pings, writes and closes.

mod close;
pub(crate) mod ingest;
mod progress;
pub(crate) mod viewer;
mod wire;

use std::cell::Cell;
use std::io;
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
pub use close::{Close, End};
use fastwebsockets::upgrade::UpgradeFut;
use fastwebsockets::{Frame, OpCode, Payload, Role, WebSocket, WebSocketError, WebSocketRead};
use progress::Progress;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use wire::{Line, ReadWire, Wire};

use crate::config::Limits;
use crate::fanout::{Pieces, bound_queue};

/// The server's end of one WebSocket.
///
/// A message in fragments is handed on fragment by fragment: what publishers send is a stream of bytes whose chunks mean nothing, so
/// nothing waits for the last fragment and nothing is gathered.
///
/// Copies: 0 (a frame's payload is split off the buffer that it was read into).
pub struct Socket {
    frames: WebSocket<Wire>,
    fragments: Fragments,
    progress: Rc<Progress>,
    stall: Duration,
    keep_alive: Duration,
}

/// What a peer sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Message {
    /// A binary message, or the next fragment of one.
    Binary(Bytes),
    /// A text message, or a fragment of one; nobody sends us text that means anything.
    Text,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// The peer sends media.
    Publish,
    /// The peer receives media.
    View,
}

impl Socket {
    /// Waits for the upgrade's answer to be written, and takes the connection over from HTTP.
    ///
    /// # Errors
    /// When the peer is gone before that.
    pub(crate) async fn accept(upgrade: UpgradeFut, purpose: Purpose, limits: &Limits) -> Result<Self, WebSocketError> {
        let mut wire = Wire::new(upgrade.await?.into_inner().into_inner());
        match purpose {
            Purpose::Publish => {
                set_socket_recv_buffer_size(wire.tcp(), PUBLISHER_RECEIVE_BYTES).map_err(io::Error::from)?;
                wire.keep_alive(limits.keep_alive);
            }
            Purpose::View => bound_queue(wire.tcp())?,
        }
        let progress = wire.progress();
        let mut frames = WebSocket::after_handshake(wire, Role::Server);
        // Its limit is exclusive and counts single frames only; `Fragments` counts messages.
        frames.set_max_message_size(limits.max_message_bytes + 1);
        Ok(Self {
            frames,
            fragments: Fragments::new(limits.max_message_bytes),
            progress,
            stall: limits.stall,
            keep_alive: limits.keep_alive,
        })
    }

    /// Waits for the next message or fragment; pings are answered meanwhile.
    ///
    /// Not cancel safe: a read that was given up may have taken half a frame. Give it up only to end the socket.
    ///
    /// # Errors
    /// When the socket is over: hand the reason to [`Socket::end`].
    pub async fn next(&mut self) -> Result<Message, End> {
        loop {
            let Frame { fin, opcode, payload, .. } = self.read().await?;
            match opcode {
                OpCode::Close => return Err(End::Gone),
                OpCode::Ping | OpCode::Pong => {}
                OpCode::Binary | OpCode::Continuation | OpCode::Text => {
                    return Ok(match self.fragments.check(fin, opcode, &payload)? {
                        Kind::Binary => Message::Binary(into_bytes(payload)),
                        Kind::Text => Message::Text,
                    });
                }
            }
        }
    }

    /// The next frame. A peer may be idle for ever, but not within a message.
    async fn read(&mut self) -> Result<Frame<'static>, End> {
        let mut read = pin!(self.frames.read_frame());
        let mut heard = self.progress.bytes();
        loop {
            let Ok(read) = timeout(self.stall, read.as_mut()).await else {
                let within = self.progress.is_within() || self.fragments.open.is_some();
                if within && self.progress.bytes() == heard {
                    return Err(Close::STALLED.into());
                }
                heard = self.progress.bytes();
                continue;
            };
            return if self.progress.is_wrong() { Err(Close::PROTOCOL.into()) } else { Ok(read?) };
        }
    }

    /// Writes a text message. Cancelled, it may leave half a frame behind.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send_text(&mut self, text: &str) -> Result<(), End> {
        Ok(self.frames.write_frame(Frame::text(Payload::Borrowed(text.as_bytes()))).await?)
    }

    /// Writes a binary message. Cancelled, it may leave half a frame behind.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send_binary(&mut self, bytes: &[u8]) -> Result<(), End> {
        Ok(self.frames.write_frame(Frame::binary(Payload::Borrowed(bytes))).await?)
    }

    /// Ends the socket; a peer that is there is told why.
    pub async fn end(self, end: End) {
        match end {
            End::Gone => {}
            // A peer that reads nothing is not told.
            End::Close(close) => drop(timeout(FAREWELL, self.close(close)).await),
        }
    }

    /// The connection in two: frames in, and ready-made bytes out.
    fn part(self, pieces: Box<dyn Pieces>) -> (WebSocketRead<ReadWire>, Line) {
        let (pieces, line) = (Cell::new(Some(pieces)), Cell::new(None));
        let (read, _) = self.frames.split(|wire| {
            let (read, way) = wire.part(pieces.take().expect("it is split once"));
            line.set(Some(way));
            // The library's own writer is not used: frames are shared by all viewers and come with their header.
            (read, tokio::io::sink())
        });
        (read, line.take().expect("set while it was split"))
    }

    /// Sends the close frame, then reads and forgets until the peer closes, too: a connection closed over unread bytes is reset, and the
    /// reset overtakes the close frame.
    async fn close(mut self, close: Close) -> Result<(), WebSocketError> {
        self.frames.write_frame(Frame::close(close.code, close.reason.as_bytes())).await?;
        let mut wire = self.frames.into_inner();
        wire.shutdown().await?;
        let mut scratch = vec![0; 16 << 10];
        while wire.read(&mut scratch).await? > 0 {}
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Binary,
    Text,
}

/// The message whose last fragment has not come yet: its kind and its bytes so far.
#[derive(Debug)]
struct Fragments {
    open: Option<(Kind, usize)>,
    /// The beginning of a letter that ends in the next fragment.
    letter: Vec<u8>,
    max_bytes: usize,
}

impl Fragments {
    fn new(max_bytes: usize) -> Self {
        Self { open: None, letter: Vec::new(), max_bytes }
    }

    /// Checks that a data frame may come now, and says what it is part of.
    fn check(&mut self, fin: bool, opcode: OpCode, payload: &[u8]) -> Result<Kind, Close> {
        let (kind, before) = match (opcode, self.open) {
            (OpCode::Binary, None) => (Kind::Binary, 0),
            (OpCode::Text, None) => (Kind::Text, 0),
            (OpCode::Continuation, Some(open)) => open,
            (OpCode::Binary | OpCode::Close | OpCode::Continuation | OpCode::Ping | OpCode::Pong | OpCode::Text, _) => {
                return Err(Close::PROTOCOL);
            }
        };
        let total = before + payload.len();
        if total > self.max_bytes {
            return Err(Close::TOO_BIG);
        }
        self.open = (!fin).then_some((kind, total));
        if kind == Kind::Text {
            self.check_text(fin, payload)?;
        }
        Ok(kind)
    }

    /// Checks the next piece of a text, which may be cut within a letter.
    fn check_text(&mut self, fin: bool, piece: &[u8]) -> Result<(), Close> {
        let mut text = mem::take(&mut self.letter);
        text.extend_from_slice(piece);
        match std::str::from_utf8(&text) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() && !fin => {
                self.letter = text.split_off(error.valid_up_to());
                Ok(())
            }
            Err(_) => Err(Close::NOT_TEXT),
        }
    }
}

/// A binary frame's header is at most this long when it is not masked (RFC 6455, 5.2).
pub(crate) const HEADER_MAX_BYTES: usize = 10;

/// Puts the header of a binary frame before its payload, which starts at `payload_at` of `bytes`, at least [`HEADER_MAX_BYTES`]; gives the whole frame.
///
/// RFC 6455, 5.2: a server's frames are not masked, so they are the same for everyone.
pub(crate) fn frame_in_place(mut bytes: BytesMut, payload_at: usize) -> Bytes {
    const FIN_BINARY: u8 = 0x82;
    let length = bytes.len() - payload_at;
    let mut header = [FIN_BINARY, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header_bytes = match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => {
            header[1] = short;
            2
        }
        (_, Ok(medium)) => {
            header[1] = 126;
            header[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        }
        (_, Err(_)) => {
            header[1] = 127;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    let frame_at = payload_at - header_bytes;
    bytes[frame_at..payload_at].copy_from_slice(&header[..header_bytes]);
    bytes.advance(frame_at);
    bytes.freeze()
}

fn into_bytes(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        Payload::BorrowedMut(bytes) => Bytes::copy_from_slice(bytes),
        Payload::Bytes(bytes) => bytes.freeze(),
        Payload::Owned(bytes) => bytes.into(),
    }
}

/// How many pings in a row go unanswered before a peer is taken for gone.
const PINGS: u32 = 3;
/// How long a peer may take to read its close frame and close, too.
const FAREWELL: Duration = Duration::from_secs(1);
/// What the kernel may hold of a publisher's media: at 128 kbit/s of MP3 this is 16 s, the default would be minutes.
const PUBLISHER_RECEIVE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_headers_have_the_length_in_its_shortest_form() {
        let cases: [(usize, &[u8]); 5] = [
            (0, &[0x82, 0]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ];
        for (length, header) in cases {
            let mut bytes = BytesMut::zeroed(10);
            bytes.resize(10 + length, 7);
            let frame = frame_in_place(bytes, 10);
            assert_eq!((&frame[..header.len()], frame.len()), (header, header.len() + length));
            assert!(frame[header.len()..].iter().all(|&byte| byte == 7));
        }
    }

    #[test]
    fn fragments_keep_their_order_and_their_limit() {
        let mut fragments = Fragments::new(100);
        assert_eq!(fragments.check(true, OpCode::Binary, b"x"), Ok(Kind::Binary));
        assert_eq!(fragments.check(true, OpCode::Continuation, b"x"), Err(Close::PROTOCOL));

        assert_eq!(fragments.check(false, OpCode::Text, b""), Ok(Kind::Text));
        assert_eq!(fragments.check(true, OpCode::Binary, b"x"), Err(Close::PROTOCOL));
        assert_eq!(fragments.check(true, OpCode::Continuation, b"x"), Ok(Kind::Text));

        assert_eq!(fragments.check(false, OpCode::Binary, &[0; 100]), Ok(Kind::Binary));
        assert_eq!(fragments.check(false, OpCode::Continuation, b""), Ok(Kind::Binary));
        assert_eq!(fragments.check(true, OpCode::Continuation, b"x"), Err(Close::TOO_BIG));
    }
}
