//! Bodies of answers: whole, or as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;

/// What every call answers with.
#[derive(Debug)]
pub(super) enum Answer {
    /// Piece by piece, until the sender is dropped.
    Flow(mpsc::Receiver<Bytes>),
    /// All there is.
    Whole(Bytes),
}

impl Answer {
    /// A whole body.
    pub(super) fn new(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(bytes.into())
    }
}

impl Default for Answer {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Flow(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Flow(_) => false,
            Self::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Flow(_) => SizeHint::default(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
