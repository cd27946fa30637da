//! Publishers: the chunks of a socket, demultiplexed, paced and handed to the media threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;

mod audio;
mod video;

pub(crate) use audio::AudioIngest;
pub(crate) use video::{SoundOfVideo, VideoIngest};

use super::{End, Message, Socket};
use crate::timer::sleep_until;
use crate::worker::Trouble;

/// Tells a publisher the format, then takes what it sends until the socket ends.
pub(crate) async fn run(socket: &mut Socket, format: &'static str, ingest: &mut impl Ingest) -> End {
    if let Err(end) = socket.send_text(format).await {
        return end;
    }
    loop {
        let message = {
            let next = socket.next();
            tokio::pin!(next);
            loop {
                let due = sleep_until(ingest.deadline());
                tokio::select! {
                    // What has come is no silence, however late it is looked at.
                    biased;
                    message = &mut next => break message,
                    () = due => {}
                }
                ingest.handle_timeout().await;
            }
        };
        match message {
            Ok(Message::Binary(chunk)) => ingest.take(chunk).await,
            Ok(Message::Text) => ingest.refuse_text(),
            Err(end) => return end,
        }
    }
}

/// What becomes of a publisher's chunks.
pub(crate) trait Ingest {
    /// Takes a chunk, and waits until what it held has gone on: until then the publisher is not read, and TCP holds it back.
    async fn take(&mut self, chunk: Bytes);

    /// When [`Ingest::handle_timeout`] is due, if no chunk comes before.
    fn deadline(&self) -> Option<Instant>;

    /// Lets go of what only waited for more bytes.
    async fn handle_timeout(&mut self);

    /// Takes note of a message that is no media.
    fn refuse_text(&mut self);
}

/// The troubles of one track's publishers.
#[derive(Debug, Default)]
pub(crate) struct Rubbish {
    /// Stretches of bytes and messages that could not be understood.
    pub(crate) bad_units: AtomicU64,
    /// Video packets dropped until the next key frame.
    pub(crate) dropped: AtomicU64,
    pub(crate) trouble: Arc<Trouble>,
}

impl Rubbish {
    fn note(&self, what: &str) {
        self.bad_units.fetch_add(1, Relaxed);
        if self.trouble.note(what) {
            tracing::warn!(what, "publisher sends what cannot be understood");
        }
    }
}
