//! The decode thread: packets in, the newest picture out.
//!
//! Copies: 0 (FFmpeg reads the packet's payload where the demuxer gathered it; a picture is handed on by reference).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crosspoint_ffi::av::{Picture, VideoDecoder};
use crosspoint_ffi::fd::Wake;
use crosspoint_ffi::ring::Writer;
use crosspoint_ffi::{Codec, Packet, Remedy};
use tokio::sync::mpsc;
use tracing::{debug, trace, warn};

use super::Trouble;

/// What the decode thread is asked to do, in order.
#[derive(Debug)]
pub(crate) enum Job {
    /// Decode this and show what comes of it.
    Packet(Packet),
    /// Another stream follows: forget the references of the old one, keep its last picture.
    Reset,
    /// The source is gone: forget it and show black.
    Gone,
}

/// What the camera is to show.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// Nothing.
    Black,
    /// A decoded picture.
    Picture(Arc<Picture>),
}

/// The counters of the decode thread.
#[derive(Debug, Default)]
pub(crate) struct DecodeCounters {
    /// Pictures decoded.
    pub(crate) pictures: AtomicU64,
    /// Pictures that a newer one replaced before the present thread took them.
    pub(crate) displaced: AtomicU64,
    /// Packets that the decoder refused.
    pub(crate) bad_packets: AtomicU64,
}

/// Packets that may lie between the network thread and the decoder. Full, the publisher waits: TCP pushes back.
const QUEUE: usize = 8;

/// Starts the thread. It ends when the sender is dropped.
pub(crate) fn start(
    shown: Writer<Shown>,
    wake: Arc<Wake>,
    counters: Arc<DecodeCounters>,
    trouble: Arc<Trouble>,
) -> std::io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel(QUEUE);
    // Not joined: it ends with the sender, and only its own memory goes with it.
    super::start("decode", move || Decode { shown, wake, counters, trouble, decoder: None }.run(jobs))?;
    Ok(sender)
}

struct Decode {
    shown: Writer<Shown>,
    wake: Arc<Wake>,
    counters: Arc<DecodeCounters>,
    trouble: Arc<Trouble>,
    decoder: Option<(Codec, VideoDecoder)>,
}

impl Decode {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Packet(packet) => self.decode(&packet),
                Job::Reset => self.decoder = None,
                Job::Gone => {
                    self.decoder = None;
                    self.show(Shown::Black);
                }
            }
        }
    }

    fn decode(&mut self, packet: &Packet) {
        if let Err(error) = self.try_decode(packet) {
            self.counters.bad_packets.fetch_add(1, Relaxed);
            if self.trouble.note(&error) {
                warn!(%error, codec = ?packet.codec, "packet not decoded");
            }
            match error.remedy() {
                Remedy::Drop | Remedy::Retry => {}
                Remedy::Rebuild | Remedy::Report => self.decoder = None,
            }
        }
    }

    fn try_decode(&mut self, packet: &Packet) -> crosspoint_ffi::Result<()> {
        if self.decoder.as_ref().is_none_or(|(codec, _)| *codec != packet.codec) {
            debug!(codec = ?packet.codec, "decoder opened");
            self.decoder = Some((packet.codec, VideoDecoder::new(packet.codec)?));
        }
        let Some((_, decoder)) = &mut self.decoder else { return Ok(()) };
        trace!(pts = ?packet.pts, key = packet.key, "packet released");
        let sent = decoder.send(packet);
        // A refused packet may still let earlier pictures out.
        while let Some(picture) = decoder.receive()? {
            trace!(pts = ?picture.pts(), "picture decoded");
            self.counters.pictures.fetch_add(1, Relaxed);
            self.trouble.mend();
            let displaced = self.shown.publish(Shown::Picture(Arc::new(picture)));
            self.counters.displaced.fetch_add(u64::from(matches!(displaced, Some(Shown::Picture(_)))), Relaxed);
            self.wake.raise();
        }
        sent
    }

    fn show(&mut self, shown: Shown) {
        drop(self.shown.publish(shown));
        self.wake.raise();
    }
}
