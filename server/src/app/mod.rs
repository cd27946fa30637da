//! What runs: the life cycles of inputs and streams, and the sockets that are attached to them.

mod media;
mod seat;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use crosspoint_router::control::{
    InputSpec, InputStats, InputStatus, Inputs, Refusal, StreamId, StreamSpec, StreamStatus, Streams, TrackChange,
};
use tokio::sync::{Mutex, oneshot};

use crate::Error;
use crate::config::Config;
use crate::shutdown::Shutdown;
use crate::ws::{self, Close, Socket};
use media::Media;
use seat::Seat;

/// The one place that knows what runs; a cheap handle to it, for the network thread.
#[derive(Clone)]
pub struct App(Rc<Inner>);

struct Inner {
    shutdown: Shutdown,
    camera_file: Option<PathBuf>,
    camera_device: PathBuf,
    inputs: RefCell<Inputs>,
    streams: RefCell<Streams>,
    video: Seat,
    audio: Seat,
    viewers: RefCell<Vec<(StreamId, oneshot::Sender<Close>)>>,
    media: Media,
    /// One configure at a time: a canvas change waits for the camera.
    configuring: Mutex<()>,
}

impl App {
    /// Opens the camera and starts the media threads, with nothing configured and no streams. Sockets end with `shutdown`.
    ///
    /// # Errors
    /// When the camera cannot be opened or a thread cannot be started.
    pub fn start(config: &Config, shutdown: Shutdown) -> Result<Self, Error> {
        Ok(Self(Rc::new(Inner {
            media: Media::start(config)?,
            configuring: Mutex::new(()),
            shutdown,
            camera_file: config.camera.file().map(Path::to_owned),
            camera_device: config.camera.device().to_owned(),
            inputs: RefCell::new(Inputs::new(config.canvas)),
            streams: RefCell::new(Streams::new(config.display.is_some())),
            video: Seat::default(),
            audio: Seat::default(),
            viewers: RefCell::default(),
        })))
    }

    /// Makes `spec` the whole input, or leaves everything as it was.
    ///
    /// # Errors
    /// As [`Inputs::configure`].
    pub async fn configure(&self, spec: InputSpec) -> Result<InputStatus, Refusal> {
        let _one_at_a_time = self.0.configuring.lock().await;
        let canvas = self.0.inputs.borrow().check(&spec)?;
        self.0.media.change_canvas(canvas).await?;
        let (paused, destination) = (spec.start_paused, spec.audio.as_ref().map(|audio| audio.destination));
        let change = self.0.inputs.borrow_mut().configure(spec, SystemTime::now())?;
        self.0.media.forget_troubles();
        self.0.media.pause(paused);
        if let Some(destination) = destination {
            self.0.media.direct(destination);
        }
        self.close_replaced(change.video, change.audio);
        Ok(self.input_status())
    }

    /// Goes black and silent.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn pause(&self) -> Result<InputStatus, Refusal> {
        self.0.inputs.borrow_mut().pause()?;
        self.0.media.pause(true);
        Ok(self.input_status())
    }

    /// Goes live.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn resume(&self) -> Result<InputStatus, Refusal> {
        self.0.inputs.borrow_mut().resume()?;
        self.0.media.pause(false);
        Ok(self.input_status())
    }

    /// Forgets what was configured.
    pub fn stop_inputs(&self) -> InputStatus {
        let change = self.0.inputs.borrow_mut().stop();
        self.close_replaced(change.video, change.audio);
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
        inputs.status(stats)
    }

    /// The Y4M that is the camera, if it is one.
    #[must_use]
    pub fn camera_file(&self) -> Option<&Path> {
        self.0.camera_file.as_deref()
    }

    /// The configured camera device, whether it is written or not.
    #[must_use]
    pub fn camera_device(&self) -> &Path {
        &self.0.camera_device
    }

    /// Starts a stream.
    ///
    /// # Errors
    /// As [`Streams::start`].
    pub fn start_stream(&self, spec: StreamSpec) -> Result<StreamStatus, Refusal> {
        self.0.streams.borrow_mut().start(spec, SystemTime::now())
    }

    /// Stops a stream and closes its viewers.
    ///
    /// # Errors
    /// As [`Streams::stop`].
    pub fn stop_stream(&self, id: Option<StreamId>) -> Result<(), Refusal> {
        let stopped = self.0.streams.borrow_mut().stop(id.as_ref())?;
        for (_, leave) in self.0.viewers.borrow_mut().extract_if(.., |(id, _)| *id == stopped.id) {
            // A viewer that went meanwhile needs no telling.
            let _ = leave.send(Close::STOPPED);
        }
        Ok(())
    }

    /// Every stream at this moment.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStatus> {
        let mut streams = self.0.streams.borrow_mut();
        for status in streams.list() {
            let key = streams.spec(&status.id).and_then(rendition_key);
            streams.set_last_error(&status.id, self.0.media.broadcast.rendition(key).trouble());
        }
        streams.list()
    }

    /// Lets a publisher of the picture in, before its upgrade is answered.
    ///
    /// # Errors
    /// When the picture is not configured as socket.
    pub fn may_publish_video(&self) -> Result<(), Refusal> {
        self.0.inputs.borrow().may_publish_video()
    }

    /// Lets a publisher of the sound in, before its upgrade is answered.
    ///
    /// # Errors
    /// When the sound is not configured as socket.
    pub fn may_publish_audio(&self) -> Result<(), Refusal> {
        self.0.inputs.borrow().may_publish_audio()
    }

    /// Lets a viewer in, before its upgrade is answered.
    ///
    /// # Errors
    /// When there is no such stream, or it is not for the WebSocket.
    pub fn may_view(&self, id: &StreamId) -> Result<(), Refusal> {
        self.0.streams.borrow().may_view(id)
    }

    /// Takes the picture from `socket` until it ends, another takes over or the picture is configured away.
    pub async fn publish_video(&self, mut socket: Socket) {
        if self.may_publish_video().is_err() {
            // It was configured away between the upgrade's answer and now.
            return socket.end(Close::RECONFIGURED.into()).await;
        }
        let mut shutdown = self.0.shutdown.clone();
        let (sitting, left) = self.0.video.sit_down();
        let mut ingest = self.0.media.video_ingest().await;
        let end = tokio::select! {
            close = left => close.unwrap_or(Close::GOING_AWAY).into(),
            () = shutdown.requested() => Close::GOING_AWAY.into(),
            end = ws::ingest::run(&mut socket, "mpegts", &mut ingest) => end,
        };
        if self.0.video.stand_up(sitting) {
            self.0.media.video_gone().await;
        }
        socket.end(end).await;
    }

    /// Takes the sound from `socket` until it ends, another takes over or the sound is configured away.
    pub async fn publish_audio(&self, mut socket: Socket) {
        if self.may_publish_audio().is_err() {
            return socket.end(Close::RECONFIGURED.into()).await;
        }
        let mut shutdown = self.0.shutdown.clone();
        let (sitting, left) = self.0.audio.sit_down();
        let mut ingest = self.0.media.audio_ingest();
        let end = tokio::select! {
            close = left => {
                if self.0.audio.stand_up(sitting) {
                    self.0.media.silence();
                }
                close.unwrap_or(Close::GOING_AWAY).into()
            }
            () = shutdown.requested() => Close::GOING_AWAY.into(),
            end = ws::ingest::run(&mut socket, "mp3", &mut ingest) => end,
        };
        // What was sent is played out: the source's end is not its listeners' cut.
        drop(ingest);
        self.0.audio.stand_up(sitting);
        socket.end(end).await;
    }

    /// Shows the stream to `socket` until either ends.
    pub async fn view_stream(&self, id: StreamId, socket: Socket) {
        let mut shutdown = self.0.shutdown.clone();
        let (leave, left) = oneshot::channel();
        if !self.0.streams.borrow_mut().join(&id) {
            // It was stopped between the upgrade's answer and now.
            return socket.end(Close::STOPPED.into()).await;
        }
        let key = self.0.streams.borrow().spec(&id).and_then(rendition_key);
        let watch = self.0.media.broadcast.rendition(key).watch();
        self.0.viewers.borrow_mut().push((id.clone(), leave));
        let stopped = std::cell::Cell::new(false);
        ws::viewer::serve(socket, watch, async {
            tokio::select! {
                close = left => {
                    stopped.set(true);
                    close.unwrap_or(Close::GOING_AWAY)
                }
                () = shutdown.requested() => Close::GOING_AWAY,
            }
        })
        .await;
        // `left` is gone by now, which tells our entry from those of viewers that are still there.
        self.0.viewers.borrow_mut().retain(|(_, leave)| !leave.is_closed());
        if !stopped.get() {
            self.0.streams.borrow_mut().leave(&id);
        }
    }

    fn close_replaced(&self, video: TrackChange, audio: TrackChange) {
        for (change, seat) in [(video, &self.0.video), (audio, &self.0.audio)] {
            match change {
                TrackChange::Kept => {}
                TrackChange::Replaced => seat.clear(Close::RECONFIGURED),
            }
        }
    }
}

/// Which rendition a stream shows.
fn rendition_key(spec: &StreamSpec) -> Option<u32> {
    spec.video.then_some(spec.framerate)
}
