//! The feed: what the camera's source sends, for whoever watches it.
//!
//! Copies: 1 (packets into the container behind the WebSocket header, once for all viewers; a viewer's socket shares them). Without
//! viewers 0: the packets since the last key frame are kept by reference.

mod encode;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use crosspoint_ffi::{Packet, VideoFormat};
use crosspoint_router::broadcast::{Cursor, Hub, HubCommand, Limits, Media, Next, Unit};
use crosspoint_router::ingest::{FeedFormat, KEPT_MAX_BYTES, KEPT_MAX_PACKETS, Mirror, Packer};
use tokio::sync::{Notify, mpsc, watch};

use self::encode::Encode;
use crate::fanout::{Fan, Piece, Pieces};
use crate::timer::sleep_until;
use crate::worker::decode::Job;
use crate::ws::{HEADER_MAX_BYTES, frame_in_place};

/// The mirror of the camera's source and its viewers. It takes released packets and waits for nobody.
pub(crate) struct Feed {
    state: RefCell<State>,
    /// Where an encoder for what has no form of its own gets its pictures.
    jobs: mpsc::Sender<Job>,
    fan: Rc<Fan>,
    /// Changes with each viewer that comes.
    joined: watch::Sender<()>,
    /// What viewers get since they had to begin anew the last time.
    generation: watch::Sender<Generation>,
    /// The pump may have something to do.
    demanded: Notify,
    pump: OnceCell<()>,
}

/// A stretch of the feed that is of one format and codec.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Generation {
    number: u64,
    format: FeedFormat,
}

struct State {
    mirror: Mirror,
    hub: Hub,
    packer: Option<Packer>,
    viewers: u32,
    canvas: VideoFormat,
    /// Whether the encoder has to be told of a gap.
    gap: bool,
}

/// A viewer's place in the feed.
pub(crate) struct FeedWatch {
    feed: Rc<Feed>,
    /// Only taken when it is dropped.
    cursor: Option<Cursor>,
    format: FeedFormat,
    /// The number of the generation that its first unit was of.
    begun: Rc<Cell<Option<u64>>>,
    /// The first unit, while the header goes before it.
    first: Option<Bytes>,
    generation: watch::Receiver<Generation>,
}

impl Feed {
    /// Makes a feed of nothing; `jobs` go to the decode thread. What has to be encoded is never larger than `canvas`.
    pub(crate) fn new(jobs: mpsc::Sender<Job>, canvas: VideoFormat) -> Self {
        let limits = Limits { units: 2 * KEPT_MAX_PACKETS, bytes: 2 * KEPT_MAX_BYTES };
        let hub = Hub::new(limits, Media::Video);
        let state = RefCell::new(State { mirror: Mirror::new(), hub, packer: None, viewers: 0, canvas, gap: false });
        let (joined, generation) = (watch::Sender::default(), watch::Sender::default());
        Self { state, jobs, fan: Fan::open(), joined, generation, demanded: Notify::new(), pump: OnceCell::new() }
    }

    /// Another source begins, or the present one is gone.
    pub(crate) fn begin(&self) {
        let mut state = self.state.borrow_mut();
        state.mirror.handle_begin();
        state.hub.handle_end();
        drop(state);
        self.demanded.notify_one();
    }

    /// Nothing came for so long that the last picture is no news, and is not to be encoded again.
    pub(crate) fn gap(&self) {
        self.state.borrow_mut().gap = true;
        self.demanded.notify_one();
    }

    /// Takes a released picture of the camera's source.
    pub(crate) fn picture(&self, packet: &Packet) {
        let before = self.wants_encoder();
        self.state.borrow_mut().gap = false;
        if self.state.borrow_mut().mirror.handle_picture(packet, Instant::now()) {
            let mut state = self.state.borrow_mut();
            state.packer = None;
            state.hub.handle_restart();
            drop(state);
            let format = self.format();
            self.generation.send_modify(|generation| *generation = Generation { number: generation.number + 1, format });
        }
        if before != self.wants_encoder() {
            self.demanded.notify_one();
        }
        self.publish();
    }

    /// Takes released sound of the same source.
    pub(crate) fn sound(&self, packet: &Packet) {
        self.state.borrow_mut().mirror.handle_sound(packet, Instant::now());
        self.publish();
    }

    /// While paused nothing goes out.
    pub(crate) fn pause(&self, paused: bool) {
        let mut state = self.state.borrow_mut();
        state.mirror.set_paused(paused);
        if paused {
            state.hub.handle_end();
        }
        drop(state);
        self.demanded.notify_one();
    }

    /// The camera has another canvas, which bounds what is encoded from now on.
    pub(crate) fn change_canvas(&self, canvas: VideoFormat) {
        self.state.borrow_mut().canvas = canvas;
    }

    /// What a viewer that comes now gets.
    pub(crate) fn format(&self) -> FeedFormat {
        self.state.borrow().mirror.kind().map(|kind| kind.format).unwrap_or_default()
    }

    /// How many watch it.
    pub(crate) fn viewers(&self) -> u32 {
        self.state.borrow().viewers
    }

    /// How to notice that a viewer comes.
    pub(crate) fn joined(&self) -> watch::Receiver<()> {
        self.joined.subscribe()
    }

    /// Lets a viewer in.
    pub(crate) fn watch(self: &Rc<Self>) -> FeedWatch {
        self.pump.get_or_init(|| {
            tokio::task::spawn_local(pump(Rc::clone(self)));
        });
        let format = self.format();
        let mut state = self.state.borrow_mut();
        state.viewers += 1;
        let is_encoded = state.mirror.kind().is_some_and(|kind| kind.encoded);
        let cursor = if is_encoded { state.hub.join(Instant::now()) } else { state.hub.join_kept(Instant::now()) };
        drop(state);
        self.joined.send_replace(());
        self.demanded.notify_one();
        FeedWatch {
            feed: Rc::clone(self),
            cursor: Some(cursor),
            format,
            begun: Rc::default(),
            first: None,
            generation: self.generation.subscribe(),
        }
    }

    /// Whether somebody watches what has to be encoded for it.
    fn wants_encoder(&self) -> bool {
        let state = self.state.borrow();
        state.mirror.is_watched() && state.mirror.kind().is_some_and(|kind| kind.encoded)
    }

    fn encoded(&self, packet: &Packet) {
        self.state.borrow_mut().mirror.handle_encoded(packet, Instant::now());
        self.publish();
    }

    /// Packs what the mirror sends, once for all.
    fn publish(&self) {
        let mut state = self.state.borrow_mut();
        let State { mirror, hub, packer, .. } = &mut *state;
        let mut any = false;
        while let Some(packet) = mirror.poll() {
            let Some(kind) = mirror.kind() else { continue };
            if packer.is_none() {
                *packer = Packer::new(kind);
            }
            let Some(packer) = packer else { continue };
            let mut frame = BytesMut::with_capacity(HEADER_MAX_BYTES + packet.data.len() + packet.data.len() / 16 + 1024);
            frame.resize(HEADER_MAX_BYTES, 0);
            if !packer.pack(&packet, mirror.sound(), &mut frame) {
                continue;
            }
            let media = if packet.codec.is_video() { Media::Video } else { Media::Audio };
            let key = packet.key && media == Media::Video;
            let bytes = frame_in_place(frame, HEADER_MAX_BYTES);
            let time = packet.decode_time().unwrap_or_default();
            hub.publish(Unit { media, key, bytes, payloads: Default::default(), preface: None, time, captured: packet.arrival });
            any = true;
        }
        drop(state);
        if any {
            self.fan.publish();
        }
    }
}

impl FeedWatch {
    /// The container that it gets until [`FeedWatch::outdated`].
    pub(crate) fn format(&self) -> FeedFormat {
        self.format
    }

    /// How to wait, beside taking frames, until this viewer has to begin anew: what comes is not what it was told or has begun with.
    pub(crate) fn outdated(&self) -> impl Future<Output = ()> + use<> {
        let (mut generation, begun, format) = (self.generation.clone(), Rc::clone(&self.begun), self.format);
        async move {
            while !is_outdated(*generation.borrow_and_update(), begun.get(), format) {
                if generation.changed().await.is_err() {
                    // The feed ends with the server.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

impl Pieces for FeedWatch {
    fn fan(&self) -> Rc<Fan> {
        Rc::clone(&self.feed.fan)
    }

    fn next(&mut self) -> Option<Piece> {
        if let Some(first) = self.first.take() {
            return Some(Piece::shared(first));
        }
        let generation = *self.generation.borrow();
        if is_outdated(generation, self.begun.get(), self.format) {
            return None;
        }
        let cursor = self.cursor.as_mut()?;
        let mut state = self.feed.state.borrow_mut();
        let State { hub, packer, .. } = &mut *state;
        let unit = loop {
            match hub.next(cursor) {
                Next::Empty => return None,
                Next::Lagged { dropped } => {
                    tracing::debug!(dropped, "feed viewer left behind");
                    self.feed.demanded.notify_one();
                }
                Next::Unit(unit) => break unit.bytes.clone(),
            }
        };
        if self.begun.replace(Some(generation.number)).is_none()
            && let Some(header) = packer.as_ref().and_then(Packer::header)
        {
            self.first = Some(unit);
            let mut frame = BytesMut::zeroed(HEADER_MAX_BYTES);
            frame.extend_from_slice(&header);
            return Some(Piece::shared(frame_in_place(frame, HEADER_MAX_BYTES)));
        }
        Some(Piece::shared(unit))
    }
}

impl Drop for FeedWatch {
    fn drop(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            let mut state = self.feed.state.borrow_mut();
            state.viewers -= 1;
            state.hub.leave(cursor, Instant::now());
            drop(state);
            self.feed.demanded.notify_one();
        }
    }
}

/// Whether a viewer that was told `format`, and may have begun with a generation, cannot go on with `now`.
fn is_outdated(now: Generation, begun: Option<u64>, format: FeedFormat) -> bool {
    begun.is_some_and(|begun| begun != now.number) || format != now.format
}

/// Does what the viewers' coming and going asks for, and runs the encoder while one is wanted.
async fn pump(feed: Rc<Feed>) {
    let mut encode: Option<Encode> = None;
    loop {
        let command = feed.state.borrow_mut().hub.poll(Instant::now());
        match command {
            Some(HubCommand::Start) => feed.state.borrow_mut().mirror.set_watched(true),
            Some(HubCommand::Stop) => feed.state.borrow_mut().mirror.set_watched(false),
            Some(HubCommand::OrderKey) => {
                if let Some(encode) = &encode {
                    encode.want_key();
                }
            }
            None => {
                if feed.wants_encoder() != encode.is_some() {
                    let canvas = feed.state.borrow().canvas;
                    encode = match encode.take() {
                        Some(running) => running.stop(&feed.jobs).await,
                        None => Encode::start(&feed.jobs, canvas).await,
                    };
                }
                if let Some(encode) = encode.as_ref().filter(|_| std::mem::take(&mut feed.state.borrow_mut().gap)) {
                    encode.silence();
                }
                if let Some(encode) = encode.as_ref().filter(|_| feed.state.borrow().mirror.wants_key()) {
                    encode.want_key();
                }
                wait(&feed, encode.as_mut()).await;
            }
        }
    }
}

/// Waits until there may be something to do.
async fn wait(feed: &Feed, encode: Option<&mut Encode>) {
    let deadline = feed.state.borrow().hub.poll_deadline();
    let timer = sleep_until(deadline);
    let packet = async {
        match encode {
            Some(encode) => encode.packet().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        packet = packet => feed.encoded(&packet),
        () = feed.demanded.notified() => {}
        () = timer => {}
    }
}
