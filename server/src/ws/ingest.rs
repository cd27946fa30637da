//! Publishers: the chunks of a socket, demultiplexed, paced and handed to the media threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use bytes::Bytes;
use crosspoint_ffi::Packet;
use crosspoint_ffi::fd::Wake;
use crosspoint_router::ingest::{SocketSource, SourceOutput};
use crosspoint_router::wire::{mp3, ts};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use super::{End, Message, Socket};
use crate::worker::Trouble;
use crate::worker::decode::Job;

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
                let due = async {
                    match ingest.deadline() {
                        Some(deadline) => sleep_until(deadline.into()).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
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

/// MPEG-TS into the camera, paced by its own time.
pub(crate) struct VideoIngest {
    demuxer: ts::Demuxer,
    source: SocketSource,
    jobs: mpsc::Sender<Job>,
    tick: watch::Receiver<Option<Instant>>,
    rubbish: Arc<Rubbish>,
    counted_drops: u64,
}

impl VideoIngest {
    /// Makes an ingest whose packets go to `jobs`, early ones on the `tick` of the camera's reader.
    pub(crate) fn new(jobs: mpsc::Sender<Job>, tick: watch::Receiver<Option<Instant>>, rubbish: Arc<Rubbish>) -> Self {
        Self { demuxer: ts::Demuxer::new(), source: SocketSource::new(), jobs, tick, rubbish, counted_drops: 0 }
    }

    fn drain_demuxer(&mut self) {
        while let Some(event) = self.demuxer.poll() {
            match event {
                ts::Event::Packet { stream: ts::Stream::Video, packet } => self.source.handle_packet(packet),
                // The sound of a TS is not asked for by any configure yet.
                ts::Event::Packet { stream: ts::Stream::Audio, .. } => {}
                ts::Event::Gap(ts::Stream::Video) => self.source.handle_loss(),
                ts::Event::Gap(ts::Stream::Audio) => {}
                ts::Event::Bad(reason) => self.rubbish.note(reason.name()),
            }
        }
        let drops = self.source.stats().dropped_for_key;
        self.rubbish.dropped.fetch_add(drops - self.counted_drops, Relaxed);
        self.counted_drops = drops;
    }

    /// Releases what is held, each packet in its time.
    async fn release(&mut self) {
        loop {
            match self.source.poll(Instant::now()) {
                SourceOutput::Hungry => return,
                SourceOutput::Release { packet, since } => {
                    let packet = Packet { arrival: since, ..packet };
                    // The decode thread lives as long as the app.
                    let _ = self.jobs.send(Job::Packet(packet)).await;
                }
                SourceOutput::WaitUntil(due) => {
                    let ticked = tokio::select! {
                        () = sleep_until(due.into()) => None,
                        Ok(()) = self.tick.changed() => *self.tick.borrow_and_update(),
                    };
                    if let Some(at) = ticked {
                        self.source.handle_tick(at);
                    }
                }
            }
        }
    }
}

impl Ingest for VideoIngest {
    async fn take(&mut self, chunk: Bytes) {
        self.demuxer.push(&chunk, Instant::now());
        self.drain_demuxer();
        self.release().await;
    }

    fn deadline(&self) -> Option<Instant> {
        self.demuxer.poll_deadline()
    }

    async fn handle_timeout(&mut self) {
        self.demuxer.handle_timeout(Instant::now());
        self.drain_demuxer();
        self.release().await;
    }

    fn refuse_text(&mut self) {
        self.rubbish.note("a text message: media comes in binary messages");
    }
}

/// MP3 into the microphone or the speaker, paced by the sink's clock.
pub(crate) struct AudioIngest {
    parser: mp3::Parser,
    packets: mpsc::Sender<Packet>,
    /// Nothing when there is no sound thread: what comes is dropped.
    wake: Option<Arc<Wake>>,
    rubbish: Arc<Rubbish>,
}

/// Sound packets that may lie between the network thread and the sound thread: 3 MP3 frames are 72 ms. Full, the publisher waits.
pub(crate) const AUDIO_QUEUE: usize = 3;

impl AudioIngest {
    /// Makes an ingest whose packets go to `packets`, raising `wake` for each.
    pub(crate) fn new(packets: mpsc::Sender<Packet>, wake: Option<Arc<Wake>>, rubbish: Arc<Rubbish>) -> Self {
        Self { parser: mp3::Parser::new(), packets, wake, rubbish }
    }
}

impl Ingest for AudioIngest {
    async fn take(&mut self, chunk: Bytes) {
        self.parser.push(&chunk, Instant::now());
        while let Some(event) = self.parser.poll() {
            match event {
                mp3::Event::Frame(frame) => {
                    // The receiver goes when another publisher takes over, which ends this one, too.
                    let _ = self.packets.send(frame.packet).await;
                    if let Some(wake) = &self.wake {
                        wake.raise();
                    }
                }
                mp3::Event::Bad(reason) => self.rubbish.note(reason.name()),
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    async fn handle_timeout(&mut self) {}

    fn refuse_text(&mut self) {
        self.rubbish.note("a text message: media comes in binary messages");
    }
}
