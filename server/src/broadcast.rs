//! What viewers watch: one rendition for each frame rate asked for, captured, encoded and packed once for all who watch it.
//!
//! Copies: 1 (packets into TS cells behind the WebSocket header, once for all viewers; a viewer's socket shares them).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use crosspoint_ffi::Packet;
use crosspoint_router::broadcast::{Cursor, Hub, HubCommand, Limits, Media, Next, Unit};
use crosspoint_router::wire::ts::Muxer;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep_until;

use crate::worker::Trouble;
use crate::worker::screen::{ScreenCapture, ScreenSettings, ScreenView};
use crate::worker::sound::{Order, Sound};
use crate::ws::frame_in_place;

/// The pictures a second of a rendition, or nothing for sound alone.
pub(crate) type RenditionKey = Option<u32>;

/// Makes renditions as they are asked for.
pub(crate) struct Broadcast {
    display: Option<String>,
    bitrate_bps: u32,
    epoch: Instant,
    sound: Option<Rc<Sound>>,
    renditions: RefCell<BTreeMap<RenditionKey, Rc<Rendition>>>,
}

/// One picture and sound, packed as MPEG-TS in WebSocket frames.
pub(crate) struct Rendition {
    hub: RefCell<Hub>,
    /// Changes with each unit.
    published: watch::Sender<()>,
    /// The hub may have something to say.
    demanded: Notify,
    view: Arc<ScreenView>,
    trouble: Arc<Trouble>,
}

/// A viewer's place in a rendition.
pub(crate) struct Watch {
    rendition: Rc<Rendition>,
    /// Only taken when it is dropped.
    cursor: Option<Cursor>,
    published: watch::Receiver<()>,
}

/// The bits a second of the screen's H.264.
pub(crate) const BITRATE_BPS: u32 = 3_000_000;
/// Encoded units between a media thread and the network thread. Full, the encoder drops and makes a key frame.
const QUEUE: usize = 64;
/// How long a stream that began without sound may miss a sound server that is there by now.
const SOUND_LOOK: Duration = Duration::from_millis(500);
/// A WebSocket frame's header is at most this long when it is not masked (RFC 6455, 5.2).
const HEADER_MAX_BYTES: usize = 10;

impl Broadcast {
    /// Makes a broadcast of `display` (nothing: `$DISPLAY`) and of the speaker, whose times count from `epoch`.
    pub(crate) fn new(display: Option<String>, sound: Option<Rc<Sound>>, epoch: Instant) -> Self {
        Self { display, bitrate_bps: BITRATE_BPS, epoch, sound, renditions: RefCell::default() }
    }

    /// The rendition of `key`, which costs nothing while nobody watches it.
    pub(crate) fn rendition(&self, key: RenditionKey) -> Rc<Rendition> {
        let mut renditions = self.renditions.borrow_mut();
        let rendition = renditions.entry(key).or_insert_with(|| {
            let lead = if key.is_some() { Media::Video } else { Media::Audio };
            let rendition = Rc::new(Rendition {
                hub: RefCell::new(Hub::new(Limits::default(), lead)),
                published: watch::Sender::new(()),
                demanded: Notify::new(),
                view: Arc::default(),
                trouble: Arc::default(),
            });
            let settings = key.map(|frame_rate| ScreenSettings {
                display: self.display.clone(),
                frame_rate,
                bitrate_bps: self.bitrate_bps,
                epoch: self.epoch,
            });
            tokio::task::spawn_local(Pump { rendition: Rc::clone(&rendition), settings, sound: self.sound.clone() }.run());
            rendition
        });
        Rc::clone(rendition)
    }
}

impl Rendition {
    /// Lets a viewer in.
    pub(crate) fn watch(self: &Rc<Self>) -> Watch {
        let cursor = self.hub.borrow_mut().join(Instant::now());
        self.demanded.notify_one();
        Watch { rendition: Rc::clone(self), cursor: Some(cursor), published: self.published.subscribe() }
    }

    /// What keeps it from being watched, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.told()
    }
}

impl Watch {
    /// Waits until something was published since the last wait.
    pub(crate) async fn more(&mut self) {
        // The sender is in the rendition, which this holds.
        let _ = self.published.changed().await;
    }

    /// The next frame to write, if there is one.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let cursor = self.cursor.as_mut()?;
        let mut hub = self.rendition.hub.borrow_mut();
        loop {
            match hub.next(cursor) {
                Next::Empty => return None,
                Next::Lagged { dropped } => {
                    tracing::debug!(dropped, "viewer left behind");
                    self.rendition.demanded.notify_one();
                }
                Next::Unit(unit) => return Some(unit.bytes.clone()),
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(cursor) = self.cursor.take() {
            self.rendition.hub.borrow_mut().leave(cursor, Instant::now());
            self.rendition.demanded.notify_one();
        }
    }
}

/// The task behind one rendition: starts and stops its sources as viewers come and go, packs what they give.
struct Pump {
    rendition: Rc<Rendition>,
    settings: Option<ScreenSettings>,
    sound: Option<Rc<Sound>>,
}

/// What runs while there are viewers.
struct Running {
    screen: Option<ScreenCapture>,
    video: mpsc::Receiver<Packet>,
    audio: mpsc::Receiver<Packet>,
    /// Whether the stream was begun with a sound track.
    has_sound: bool,
    muxer: Muxer,
}

impl Pump {
    async fn run(self) {
        let mut running: Option<Running> = None;
        loop {
            let command = self.rendition.hub.borrow_mut().poll(Instant::now());
            match command {
                Some(HubCommand::Start) => running = self.start(),
                Some(HubCommand::Stop) => running = None,
                Some(HubCommand::OrderKey) => {
                    if let Some(screen) = running.as_ref().and_then(|running| running.screen.as_ref()) {
                        screen.want_key();
                    }
                }
                None => {
                    self.wait(running.as_mut()).await;
                    // A sound server that came only now: the stream begins anew, with a track for it.
                    if running.as_ref().is_some_and(|running| !running.has_sound) && self.sound_now().is_some() {
                        running = self.start();
                    }
                }
            }
        }
    }

    fn start(&self) -> Option<Running> {
        let (video_sender, video) = mpsc::channel(QUEUE);
        let (audio_sender, audio) = mpsc::channel(QUEUE);
        let screen = self.settings.clone().and_then(|settings| {
            let started =
                ScreenCapture::start(settings, video_sender, Arc::clone(&self.rendition.view), Arc::clone(&self.rendition.trouble));
            started.map_err(|error| self.rendition.trouble.note(error)).ok()
        });
        let sound = self.sound_now();
        if let Some(sound) = sound {
            sound.order(Order::Hear(audio_sender));
        }
        self.rendition.hub.borrow_mut().handle_restart();
        let has_sound = sound.is_some();
        Some(Running { muxer: Muxer::new(self.settings.is_some(), has_sound), has_sound, screen, video, audio })
    }

    /// The sound thread, when PulseAudio is there.
    fn sound_now(&self) -> Option<&Rc<Sound>> {
        self.sound.as_ref().filter(|sound| sound.view().connected.load(Relaxed))
    }

    /// Publishes the next packet, or notices that the hub may have something to say.
    async fn wait(&self, running: Option<&mut Running>) {
        // A rendition that lacks its sound looks now and then whether it has come.
        let lacks_sound = self.sound.is_some() && running.as_ref().is_some_and(|running| !running.has_sound);
        let look = lacks_sound.then(|| Instant::now() + SOUND_LOOK);
        let deadline = self.rendition.hub.borrow().poll_deadline().into_iter().chain(look).min();
        let timer = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let packet = async {
            match running {
                Some(Running { video, audio, muxer, .. }) => {
                    let packet = tokio::select! {
                        Some(packet) = video.recv() => packet,
                        Some(packet) = audio.recv() => packet,
                        else => std::future::pending().await,
                    };
                    self.publish(muxer, &packet);
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = packet => {}
            () = self.rendition.demanded.notified() => {}
            () = timer => {}
        }
    }

    fn publish(&self, muxer: &mut Muxer, packet: &Packet) {
        let media = if packet.codec.is_video() { Media::Video } else { Media::Audio };
        let mut frame = BytesMut::with_capacity(HEADER_MAX_BYTES + packet.data.len() + packet.data.len() / 16 + 1024);
        frame.resize(HEADER_MAX_BYTES, 0);
        if !muxer.write(packet, &mut frame) {
            // Only a packet without a time, or of a track that the stream was not begun with.
            return;
        }
        let bytes = frame_in_place(frame, HEADER_MAX_BYTES);
        let key = packet.key && media == Media::Video || self.settings.is_none();
        self.rendition.hub.borrow_mut().publish(Unit { media, key, bytes, captured: packet.arrival });
        self.rendition.published.send_replace(());
    }
}
