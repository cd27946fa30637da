//! The encoder of what has no form that viewers know, while somebody watches.

use crosspoint_ffi::{Packet, VideoFormat};
use tokio::sync::mpsc;

use crate::worker::decode::Job;
use crate::worker::mirror::MirrorEncoder;

/// A running encoder and what comes of it.
pub(super) struct Encode {
    encoder: MirrorEncoder,
    packets: mpsc::Receiver<Packet>,
}

/// Encoded pictures between the encoder and the network thread. Full, the encoder drops and makes a key frame.
const QUEUE: usize = 8;

impl Encode {
    /// Starts a thread that encodes what the decode thread shows, no larger than `canvas`.
    pub(super) async fn start(jobs: &mpsc::Sender<Job>, canvas: VideoFormat) -> Option<Self> {
        let (sender, packets) = mpsc::channel(QUEUE);
        match MirrorEncoder::start(canvas, sender) {
            Ok((encoder, tap)) => {
                // The decode thread lives as long as the feed.
                let _ = jobs.send(Job::Watch(Some(tap))).await;
                Some(Self { encoder, packets })
            }
            Err(error) => {
                tracing::warn!(%error, "the feed has no encoder");
                None
            }
        }
    }

    /// Ends it.
    pub(super) async fn stop(self, jobs: &mpsc::Sender<Job>) -> Option<Self> {
        let _ = jobs.send(Job::Watch(None)).await;
        None
    }

    /// Asks for a key frame.
    pub(super) fn want_key(&self) {
        self.encoder.want_key();
    }

    /// Sends the last picture no more, until another comes.
    pub(super) fn silence(&self) {
        self.encoder.silence();
    }

    /// The next encoded picture.
    pub(super) async fn packet(&mut self) -> Packet {
        match self.packets.recv().await {
            Some(packet) => packet,
            // The thread ended over an error that it has told.
            None => std::future::pending().await,
        }
    }
}
