//! Why a socket is over.

use bytes::Bytes;
use fastwebsockets::{Frame, WebSocketError};

/// How a socket ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// We close it, and say why.
    Close(Close),
    /// The peer closed it or vanished: there is nobody to tell.
    Gone,
}

/// A close code and its words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Close {
    /// The code: RFC 6455, 7.4, or one of ours in 4000…4999.
    pub code: u16,
    /// The words, at most 123 bytes.
    pub reason: &'static str,
}

impl Close {
    /// The feed goes on as another format or codec, whose beginning has to be asked for.
    pub const FORMAT_CHANGED: Self = Self { code: 4411, reason: "the feed's format changed: connect again" };
    /// The server ends.
    pub const GOING_AWAY: Self = Self { code: 1001, reason: "the server ends" };
    /// Another publisher took over.
    pub const TAKEN_OVER: Self = Self { code: 4409, reason: "another publisher took over" };
    /// The track is configured as something else now, or off.
    pub const RECONFIGURED: Self = Self { code: 4410, reason: "this input is not configured any more" };
    /// The stream was stopped.
    pub const STOPPED: Self = Self { code: 4410, reason: "the stream was stopped" };

    /// The peer does not go on.
    pub const STALLED: Self = Self { code: 1008, reason: "nothing came for too long" };
    /// There are as many as there may be.
    pub const FULL: Self = Self { code: 1013, reason: "there are too many already: try again later" };

    /// The close frame, as it goes over the wire.
    pub(super) fn frame(self) -> Bytes {
        // The buffer is grown past the frame's end: only what comes back is the frame.
        let mut buffer = Vec::new();
        Bytes::copy_from_slice(Frame::close(self.code, self.reason.as_bytes()).write(&mut buffer))
    }

    pub(super) const PROTOCOL: Self = Self { code: 1002, reason: "that is not WebSocket" };
    pub(super) const NOT_TEXT: Self = Self { code: 1007, reason: "text that is not UTF-8" };
    pub(super) const TOO_BIG: Self = Self { code: 1009, reason: "the message is too long" };
}

impl From<WebSocketError> for End {
    fn from(error: WebSocketError) -> Self {
        match error {
            WebSocketError::FrameTooLarge => Self::Close(Close::TOO_BIG),
            WebSocketError::InvalidUTF8 => Self::Close(Close::NOT_TEXT),
            WebSocketError::ConnectionClosed
            | WebSocketError::HTTPError(_)
            | WebSocketError::IoError(_)
            | WebSocketError::SendError(_)
            | WebSocketError::UnexpectedEOF => Self::Gone,
            WebSocketError::ControlFrameFragmented
            | WebSocketError::InvalidCloseCode
            | WebSocketError::InvalidCloseFrame
            | WebSocketError::InvalidConnectionHeader
            | WebSocketError::InvalidContinuationFrame
            | WebSocketError::InvalidFragment
            | WebSocketError::InvalidSecWebsocketVersion
            | WebSocketError::InvalidStatusCode(_)
            | WebSocketError::InvalidUpgradeHeader
            | WebSocketError::InvalidValue
            | WebSocketError::MissingSecWebSocketKey
            | WebSocketError::PingFrameTooLarge
            | WebSocketError::ReservedBitsNotZero => Self::Close(Close::PROTOCOL),
        }
    }
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_frame_is_code_and_words_and_nothing_more() {
        for close in [Close::GOING_AWAY, Close::FORMAT_CHANGED, Close::TOO_BIG] {
            let frame = close.frame();
            let payload = [&close.code.to_be_bytes(), close.reason.as_bytes()].concat();
            assert_eq!((&frame[..2], &frame[2..]), (&[0x88, payload.len() as u8][..], &payload[..]), "{close:?}");
        }
    }
}
