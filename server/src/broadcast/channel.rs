//! One packing of pictures and sound, and its viewers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use std::{iter, slice};

use bytes::Bytes;
use crosspoint_ffi::Packet;
use crosspoint_router::broadcast::{Cursor, Hub, HubCommand, HubStats, Limits, Media, Next, Unit};
use tokio::sync::{Notify, watch};

use super::Packing;
use super::pack::Packer;
use super::pictures::Pictures;
use crate::fanout::{Fan, Piece, Pieces};
use crate::timer::sleep_until;
use crate::worker::screen::Refresh;
use crate::worker::sound::{Ear, Sound};

/// One stream as one kind of viewer gets it.
pub(crate) struct Channel {
    packing: Packing,
    pictures: Option<Rc<Pictures>>,
    hub: RefCell<Hub>,
    /// Nothing while nobody watches.
    packer: RefCell<Option<Packer>>,
    fan: Rc<Fan>,
    /// The hub may have something to say.
    demanded: Notify,
    /// Viewers that are to get as many pictures of a screen that stands still as of one that moves.
    steady: Cell<u32>,
    /// Until then all are: one of them has just begun.
    opening_until: Cell<Option<Instant>>,
    /// What was last asked of the pictures.
    refresh: Cell<Refresh>,
}

/// A viewer's place in a channel.
pub(crate) struct Watch {
    channel: Rc<Channel>,
    /// Only taken when it is dropped.
    cursor: Option<Cursor>,
    published: watch::Receiver<()>,
    is_steady: bool,
    /// Whether it lost what came before the next unit.
    resumes: Cell<bool>,
    /// What goes on the wire behind its preface.
    pending: RefCell<Option<Bytes>>,
}

/// How long a stream that began without sound may miss a sound server that is there by now.
const SOUND_LOOK: Duration = Duration::from_millis(500);

impl Channel {
    /// Makes a channel that is led by its pictures, or is sound alone. Its task lives as long as the process.
    pub(super) fn open(packing: Packing, pictures: Option<Rc<Pictures>>, sound: Option<Rc<Sound>>) -> Rc<Self> {
        let lead = if pictures.is_some() { Media::Video } else { Media::Audio };
        let mut hub = Hub::new(Limits::default(), lead);
        if let Some(interval) = packing.key_interval().filter(|_| pictures.is_some()) {
            hub.set_key_interval(interval);
        }
        let channel = Rc::new(Self {
            packing,
            pictures,
            hub: RefCell::new(hub),
            packer: RefCell::default(),
            fan: Fan::open(),
            demanded: Notify::new(),
            steady: Cell::new(0),
            opening_until: Cell::new(None),
            refresh: Cell::new(packing.refresh()),
        });
        tokio::task::spawn_local(Pump { channel: Rc::clone(&channel), sound }.run());
        channel
    }

    /// Lets a viewer in.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        self.let_in(false)
    }

    /// Lets a viewer in that is to get pictures at a constant rate.
    pub(crate) fn watch_steadily(self: &Rc<Self>) -> Watch {
        self.let_in(true)
    }

    fn let_in(self: &Rc<Self>, is_steady: bool) -> Watch {
        let now = Instant::now();
        let cursor = self.hub.borrow_mut().join(now);
        self.steady.set(self.steady.get() + u32::from(is_steady));
        if let Some(pictures) = self.pictures.as_ref().filter(|_| self.packing.opening_pictures() > 0) {
            self.opening_until.set(Some(now + pictures.duration_of(self.packing.opening_pictures())));
        }
        self.demanded.notify_one();
        let (channel, published) = (Rc::clone(self), self.fan.subscribe());
        Watch { channel, cursor: Some(cursor), published, is_steady, resumes: Cell::new(false), pending: RefCell::default() }
    }

    pub(super) fn packing(&self) -> Packing {
        self.packing
    }

    pub(super) fn stats(&self) -> HubStats {
        self.hub.borrow().stats()
    }

    /// Takes note of a unit that goes to a viewer's socket.
    fn note_sent(&self, unit: &Unit) {
        if let Some(pictures) = self.pictures.as_ref().filter(|_| unit.media == Media::Video) {
            pictures.note_sent(unit.captured.elapsed());
        }
    }

    /// Asks of the pictures what the viewers need now.
    fn tell_refresh(self: &Rc<Self>, now: Instant) {
        let opening = self.opening_until.get().is_some_and(|until| now < until);
        if !opening {
            self.opening_until.set(None);
        }
        let refresh = if opening || self.steady.get() > 0 { Refresh::Constant } else { self.packing.refresh() };
        if self.refresh.replace(refresh) != refresh
            && let Some(pictures) = &self.pictures
        {
            pictures.set_refresh(self, refresh);
        }
    }

    /// Publishes the next packet of the pictures.
    pub(super) fn take(&self, packet: &Packet) {
        self.publish(slice::from_ref(packet), packet.key);
    }

    /// Publishes packets that go together; viewers can begin at a `key`.
    fn publish(&self, packets: &[Packet], key: bool) {
        let Some(unit) = self.packer.borrow_mut().as_mut().and_then(|packer| packer.pack(packets, key)) else { return };
        self.hub.borrow_mut().publish(unit);
        self.fan.publish();
        if key && self.packing.key_interval().is_some() {
            // Now it is known when the next regular one is due.
            self.demanded.notify_one();
        }
    }
}

impl Watch {
    /// The next unit, whole, for viewers whose payloads are not a stream.
    pub(crate) fn next_unit(&mut self) -> Option<Unit> {
        let cursor = self.cursor.as_mut()?;
        let mut hub = self.channel.hub.borrow_mut();
        loop {
            match hub.next(cursor) {
                Next::Empty => return None,
                Next::Lagged { dropped } => {
                    tracing::debug!(dropped, "viewer left behind");
                    self.channel.demanded.notify_one();
                }
                Next::Unit(unit) => {
                    self.channel.note_sent(unit);
                    return Some(unit.clone());
                }
            }
        }
    }

    /// The viewer cannot go on without a key frame.
    pub(crate) fn want_key(&self) {
        self.channel.hub.borrow_mut().want_key(Instant::now());
        self.channel.demanded.notify_one();
    }

    /// Waits until there may be more since the last wait.
    pub(crate) async fn more(&mut self) {
        // The sender is in the channel, which this holds.
        let _ = self.published.changed().await;
    }

    /// The next bytes for viewers whose payloads are a stream.
    pub(crate) fn next_bytes(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.pending.take() {
            return Some(bytes);
        }
        let cursor = self.cursor.as_mut()?;
        let mut hub = self.channel.hub.borrow_mut();
        loop {
            match hub.next(cursor) {
                Next::Empty => return None,
                Next::Lagged { dropped } => {
                    tracing::debug!(dropped, "viewer left behind");
                    self.resumes.set(true);
                    self.channel.demanded.notify_one();
                }
                Next::Unit(unit) => {
                    self.channel.note_sent(unit);
                    let preface = unit.preface.clone().filter(|_| self.resumes.take());
                    let Some(preface) = preface else { return Some(unit.bytes.clone()) };
                    self.pending.replace(Some(unit.bytes.clone()));
                    return Some(preface);
                }
            }
        }
    }
}

impl Pieces for Watch {
    fn fan(&self) -> Rc<Fan> {
        Rc::clone(&self.channel.fan)
    }

    fn next(&mut self) -> Option<Piece> {
        self.next_bytes().map(Piece::shared)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            self.channel.hub.borrow_mut().leave(cursor, Instant::now());
            self.channel.steady.set(self.channel.steady.get() - u32::from(self.is_steady));
            self.channel.demanded.notify_one();
        }
    }
}

/// The task behind a channel: attaches it to its pictures and its sound as viewers come and go.
struct Pump {
    channel: Rc<Channel>,
    sound: Option<Rc<Sound>>,
}

/// The sound of a channel that is watched; nothing when it began while there was no sound server.
struct Running(Option<Ear>);

impl Pump {
    async fn run(self) {
        let mut running: Option<Running> = None;
        loop {
            self.channel.tell_refresh(Instant::now());
            let command = self.channel.hub.borrow_mut().poll(Instant::now());
            match command {
                Some(HubCommand::Start) => running = Some(self.start()),
                Some(HubCommand::Stop) => {
                    running = None;
                    self.channel.packer.take();
                    if let Some(pictures) = &self.channel.pictures {
                        pictures.detach(&self.channel);
                    }
                }
                Some(HubCommand::OrderKey) => match &self.channel.pictures {
                    // Who joins there has many pictures to begin with.
                    Some(pictures) if self.channel.packing.key_interval().is_some() => pictures.want_regular_key(),
                    Some(pictures) => pictures.want_key(),
                    None => {}
                },
                None => {
                    self.wait(running.as_mut()).await;
                    // A sound server that came only now: the stream begins anew, with a track for it.
                    if running.as_ref().is_some_and(|running| running.0.is_none()) && self.sound_now().is_some() {
                        running = Some(self.start());
                    }
                }
            }
        }
    }

    fn start(&self) -> Running {
        let Channel { packing, pictures, hub, packer, .. } = &*self.channel;
        let codec = pictures.as_ref().map(|pictures| pictures.codec());
        let ear = self.sound_now().map(|sound| sound.hear(packing.sound(codec), packing.silence_beats()));
        packer.replace(Some(packing.packer(codec, ear.is_some())));
        hub.borrow_mut().handle_restart();
        if let Some(pictures) = pictures {
            pictures.attach(&self.channel, self.channel.refresh.get());
        }
        Running(ear)
    }

    /// Publishes `packet` and what else of the sound is there already.
    fn take_sound(&self, packet: Packet, more: &mut Ear) {
        // Sound alone can be joined anywhere.
        let key = self.channel.pictures.is_none();
        let packets: Vec<Packet> = iter::once(packet).chain(iter::from_fn(|| more.next_now())).collect();
        for together in packets.chunks(self.channel.packing.sound_together()) {
            self.channel.publish(together, key);
        }
    }

    /// The sound thread, when PulseAudio is there.
    fn sound_now(&self) -> Option<&Rc<Sound>> {
        self.sound.as_ref().filter(|sound| sound.view().connected.load(Relaxed))
    }

    /// Publishes the next sound, or notices that the hub may have something to say.
    async fn wait(&self, running: Option<&mut Running>) {
        // A stream that lacks its sound looks now and then whether it has come.
        let lacks_sound = self.sound.is_some() && running.as_ref().is_some_and(|running| running.0.is_none());
        let look = lacks_sound.then(|| Instant::now() + SOUND_LOOK);
        let deadline = self.channel.hub.borrow().poll_deadline().into_iter().chain(look).chain(self.channel.opening_until.get()).min();
        let timer = sleep_until(deadline);
        let sound = async {
            match running {
                Some(Running(Some(ear))) => {
                    let packet = ear.next().await;
                    self.take_sound(packet, ear);
                }
                Some(Running(None)) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sound => {}
            () = self.channel.demanded.notified() => {}
            () = timer => {}
        }
    }
}
