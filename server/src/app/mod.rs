//! What runs: the life cycles of inputs and streams, and the sockets that are attached to them.

mod display;
mod figures;
mod files;
mod media;
mod publish;
mod pulls;
mod rest;
mod seat;
mod sessions;
mod sockets;
mod view;
mod viewing;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crosspoint_router::broadcast::Rendition;
use crosspoint_router::control::{
    InputSpec, InputStats, InputStatus, Inputs, Refusal, RefusalKind, StreamId, StreamMode, StreamSpec, StreamStatus, Streams, TrackChange,
    VideoSource,
};
use crosspoint_router::rtc::TurnSecret;
use tokio::sync::{Mutex, oneshot};

use crate::Error;
use crate::broadcast::{ChannelKey, Packing, PicturesKey};
use crate::config::{CameraChoice, Config, IceServer, Limits};
use crate::rtc::Rtc;
use crate::rtmp::Push;
use crate::shutdown::{Shutdown, WeakShutdown};
use crate::ws::Close;
pub(crate) use figures::{Figures, Transport};
use media::Media;
#[cfg(test)]
pub(crate) use media::MediaFigures;
use pulls::Pulls;
use rest::{Guest, Guests};
use seat::Seat;
use sessions::Sessions;
pub(crate) use sessions::{SessionKind, SessionToken};

/// The one place that knows what runs; a cheap handle to it, for the network thread.
#[derive(Clone)]
pub struct App(Rc<Inner>);

struct Inner {
    shutdown: WeakShutdown,
    display: Option<String>,
    camera: CameraChoice,
    inputs: RefCell<Inputs>,
    streams: RefCell<Streams>,
    video: Seat,
    audio: Seat,
    viewers: RefCell<Vec<(StreamId, Transport, oneshot::Sender<Close>)>>,
    pushes: RefCell<BTreeMap<StreamId, (Push, Guest)>>,
    rtc: Rtc,
    limits: Limits,
    ice_servers: Vec<IceServer>,
    turn_secret: Option<TurnSecret>,
    sessions: Sessions,
    media: Media,
    pulls: Pulls,
    guests: Guests,
    /// There while something is fetched.
    fetching: RefCell<Option<Guest>>,
    /// One configure at a time: a canvas change waits for the camera.
    configuring: Mutex<()>,
}

impl App {
    /// Opens the camera and starts the media threads, with nothing configured and no streams. Sockets end with `shutdown`.
    ///
    /// # Errors
    /// When the camera cannot be opened or a thread cannot be started.
    pub(crate) fn start(config: &Config, rtc: Rtc, shutdown: WeakShutdown) -> Result<Self, Error> {
        Ok(Self(Rc::new(Inner {
            media: Media::start(config)?,
            pulls: Pulls::new(&config.media_root),
            guests: Guests::default(),
            fetching: RefCell::default(),
            configuring: Mutex::new(()),
            rtc,
            sessions: Sessions::default(),
            shutdown,
            limits: config.limits.clone(),
            ice_servers: config.ice_server.clone(),
            turn_secret: config.turn_secret.clone(),
            display: config.display.clone(),
            camera: config.camera.clone(),
            inputs: RefCell::new(Inputs::new(config.canvas)),
            streams: RefCell::new(Streams::new(config.display.is_some())),
            video: Seat::default(),
            audio: Seat::default(),
            viewers: RefCell::default(),
            pushes: RefCell::default(),
        })))
    }

    /// Makes `spec` the whole input, or leaves everything as it was.
    ///
    /// # Errors
    /// As [`Inputs::configure`]; when a file cannot be opened; when too many sources hang.
    pub async fn configure(&self, spec: InputSpec) -> Result<InputStatus, Refusal> {
        let _one_at_a_time = self.0.configuring.lock().await;
        let canvas = self.0.inputs.borrow().check(&spec)?;
        let plan = self.0.pulls.plan(&spec).await?;
        self.0.media.change_canvas(canvas).await?;
        let paused = spec.start_paused;
        let change = self.0.inputs.borrow_mut().configure(spec.clone(), SystemTime::now())?;
        self.0.media.forget_troubles();
        self.0.pulls.leave(&plan);
        self.close_replaced(change.video, change.audio);
        self.0.media.pause(paused);
        if let Some(audio) = &spec.audio {
            self.0.media.direct(audio.destination);
        }
        if change.video == TrackChange::Replaced {
            match spec.video.as_ref().map(|video| &video.source) {
                Some(VideoSource::Pulled(_)) => {}
                Some(VideoSource::Socket | VideoSource::Webrtc) => drop(self.0.media.video_begins().await),
                None => self.0.media.video_gone().await,
            }
        }
        if change.audio == TrackChange::Replaced {
            self.0.media.silence();
            self.0.media.play_sound_of_video(spec.has_sound_of_video());
        }
        let entered = self.0.pulls.enter(plan, &self.0.media, canvas, paused).await;
        self.0.fetching.replace(self.0.pulls.any().then(|| self.0.guests.come()));
        entered?;
        Ok(self.input_status())
    }

    /// Goes black and silent.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn pause(&self) -> Result<InputStatus, Refusal> {
        self.0.inputs.borrow_mut().pause()?;
        self.0.media.pause(true);
        self.0.pulls.pause(true);
        Ok(self.input_status())
    }

    /// Goes live.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn resume(&self) -> Result<InputStatus, Refusal> {
        self.0.inputs.borrow_mut().resume()?;
        self.0.media.pause(false);
        self.0.pulls.pause(false);
        Ok(self.input_status())
    }

    /// Forgets what was configured.
    pub async fn stop_inputs(&self) -> InputStatus {
        let _one_at_a_time = self.0.configuring.lock().await;
        let change = self.0.inputs.borrow_mut().stop();
        self.0.pulls.clear();
        self.0.fetching.take();
        self.close_replaced(change.video, change.audio);
        if change.video == TrackChange::Replaced {
            self.0.media.video_gone().await;
        }
        if change.audio == TrackChange::Replaced {
            self.0.media.silence();
            self.0.media.play_sound_of_video(false);
        }
        self.input_status()
    }

    /// The inputs at this moment.
    #[must_use]
    pub fn input_status(&self) -> InputStatus {
        let stats =
            InputStats { video_publishers: self.0.video.occupants(), audio_publishers: self.0.audio.occupants(), ..self.0.media.stats() };
        let mut inputs = self.0.inputs.borrow_mut();
        let (video, audio) = inputs.spec().map_or((false, false), |spec| (spec.video.is_some(), spec.audio.is_some()));
        inputs.set_last_error(self.0.media.trouble(video, audio));
        let ended = inputs.spec().is_some_and(|spec| self.0.pulls.are_over(spec));
        inputs.set_ended(ended);
        inputs.status(stats)
    }

    /// How long a viewer may read nothing.
    pub(crate) fn stall(&self) -> Duration {
        self.0.limits.stall
    }

    /// Whether there is room for another viewer.
    ///
    /// # Errors
    /// When there is not.
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        let viewers = self.0.viewers.borrow().len() + self.0.media.feed.viewers() as usize;
        if viewers < self.0.limits.max_viewers {
            return Ok(());
        }
        Err(Refusal::new(RefusalKind::Unavailable, "there are too many viewers already (--max-viewers): try again later"))
    }

    /// Which camera is written, if one is.
    #[must_use]
    pub fn camera(&self) -> &CameraChoice {
        &self.0.camera
    }

    /// Starts a stream; one that is pushed begins to connect.
    ///
    /// # Errors
    /// As [`Streams::start`].
    pub fn start_stream(&self, spec: StreamSpec) -> Result<StreamStatus, Refusal> {
        let (id, key, target) = (spec.id.clone(), channel_key(&spec), spec.target.clone());
        let status = self.0.streams.borrow_mut().start(spec, SystemTime::now())?;
        if let Some(target) = target {
            let channel = self.0.media.broadcast.channel(key);
            let span = tracing::info_span!("push", stream = %id);
            let push = span.in_scope(|| Push::start(target, channel, self.stall(), self.shutdown()));
            self.0.pushes.borrow_mut().insert(id, (push, self.0.guests.come()));
        }
        Ok(status)
    }

    /// Stops a stream and closes its viewers.
    ///
    /// # Errors
    /// As [`Streams::stop`].
    pub fn stop_stream(&self, id: Option<StreamId>) -> Result<(), Refusal> {
        let stopped = self.0.streams.borrow_mut().stop(id.as_ref())?;
        for (_, _, leave) in self.0.viewers.borrow_mut().extract_if(.., |(id, ..)| *id == stopped.id) {
            // A viewer that went meanwhile needs no telling.
            let _ = leave.send(Close::STOPPED);
        }
        self.0.pushes.borrow_mut().remove(&stopped.id);
        Ok(())
    }

    /// Every stream at this moment.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        let (mut streams, pushes) = (self.0.streams.borrow_mut(), self.0.pushes.borrow());
        for status in streams.list() {
            let trouble = streams.spec(&status.id).and_then(|spec| self.0.media.broadcast.trouble(channel_key(spec)));
            let push = pushes.get(&status.id).map(|(push, _)| push);
            streams.set_last_error(&status.id, trouble.or_else(|| push?.trouble()));
            streams.set_reconnects(&status.id, push.map_or(0, Push::reconnects));
        }
        streams.list()
    }

    /// Whether the end was asked for.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.shutdown.is_requested()
    }

    /// A handle for a task that ends with the server, which waits for it.
    fn shutdown(&self) -> Shutdown {
        self.0.shutdown.upgrade()
    }

    /// Whether it can do what it was configured to do.
    ///
    /// # Errors
    /// When it ends, or the display or the sound server is away.
    pub fn readiness(&self) -> Result<(), Refusal> {
        let away = |what: &str| Err(Refusal::new(RefusalKind::Unavailable, what));
        if self.is_ending() {
            return away("the server ends");
        }
        if self.0.display.as_deref().is_some_and(|name| !display::answers(name)) {
            return away("the display is away");
        }
        if self.0.media.is_sound_away() {
            return away("the sound server is away");
        }
        Ok(())
    }

    fn close_replaced(&self, video: TrackChange, audio: TrackChange) {
        for (change, seat) in [(video, &self.0.video), (audio, &self.0.audio)] {
            match change {
                TrackChange::Kept => {}
                TrackChange::Replaced => seat.vacate(Close::RECONFIGURED),
            }
        }
    }
}

/// What the viewers of a stream get.
fn channel_key(spec: &StreamSpec) -> ChannelKey {
    let pictures = spec.video.map(|codec| PicturesKey { frame_rate: spec.framerate, codec: codec.into(), rendition: Rendition::Whole });
    let packing = match spec.mode {
        StreamMode::Internal | StreamMode::Remote => Packing::Flv,
        StreamMode::Socket => Packing::Ts,
        StreamMode::Webrtc => Packing::Rtp,
    };
    ChannelKey { pictures, packing }
}
