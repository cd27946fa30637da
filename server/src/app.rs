//! What runs: the life cycles of inputs and streams, and the sockets that are attached to them.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use crosspoint_router::control::{
    InputSpec, InputStats, InputStatus, Inputs, Refusal, StreamId, StreamSpec, StreamStatus, Streams, TrackChange,
};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::shutdown::Shutdown;
use crate::ws::{Close, End, Message, Socket};

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
}

/// A place for one publisher; whoever sits down later takes it over.
#[derive(Default)]
struct Seat {
    taken: RefCell<Option<oneshot::Sender<Close>>>,
    sittings: Cell<u64>,
}

impl App {
    /// Makes an app with nothing configured and no streams, whose sockets end with `shutdown`.
    #[must_use]
    pub fn new(config: &Config, shutdown: Shutdown) -> Self {
        Self(Rc::new(Inner {
            shutdown,
            camera_file: config.camera.file().map(Path::to_owned),
            camera_device: config.camera.device().to_owned(),
            inputs: RefCell::new(Inputs::new(config.canvas)),
            streams: RefCell::new(Streams::new(config.display.is_some())),
            video: Seat::default(),
            audio: Seat::default(),
            viewers: RefCell::default(),
        }))
    }

    /// Makes `spec` the whole input, or leaves everything as it was.
    ///
    /// # Errors
    /// As [`Inputs::configure`].
    pub fn configure(&self, spec: InputSpec) -> Result<InputStatus, Refusal> {
        let change = self.0.inputs.borrow_mut().configure(spec, SystemTime::now())?;
        self.close_replaced(change.video, change.audio);
        Ok(self.input_status())
    }

    /// Goes black and silent.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn pause(&self) -> Result<InputStatus, Refusal> {
        self.0.inputs.borrow_mut().pause()?;
        Ok(self.input_status())
    }

    /// Goes live.
    ///
    /// # Errors
    /// When nothing is configured.
    pub fn resume(&self) -> Result<InputStatus, Refusal> {
        self.0.inputs.borrow_mut().resume()?;
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
            InputStats { video_publishers: self.0.video.occupants(), audio_publishers: self.0.audio.occupants(), ..InputStats::default() };
        self.0.inputs.borrow().status(stats)
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
        self.0.streams.borrow().list()
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
    pub async fn publish_video(&self, socket: Socket) {
        let allowed = self.may_publish_video();
        self.publish(socket, allowed, &self.0.video, "mpegts").await;
    }

    /// Takes the sound from `socket` until it ends, another takes over or the sound is configured away.
    pub async fn publish_audio(&self, socket: Socket) {
        let allowed = self.may_publish_audio();
        self.publish(socket, allowed, &self.0.audio, "mp3").await;
    }

    /// Shows the stream to `socket` until either ends.
    pub async fn view_stream(&self, id: StreamId, mut socket: Socket) {
        let mut shutdown = self.0.shutdown.clone();
        let (leave, left) = oneshot::channel();
        if !self.0.streams.borrow_mut().join(&id) {
            // It was stopped between the upgrade's answer and now.
            return socket.end(Close::STOPPED.into()).await;
        }
        self.0.viewers.borrow_mut().push((id.clone(), leave));
        let end = tokio::select! {
            close = left => return socket.end(close.unwrap_or(Close::GOING_AWAY).into()).await,
            () = shutdown.requested() => Close::GOING_AWAY.into(),
            end = drain(&mut socket) => end,
        };
        // `left` is gone by now, which tells our entry from those of viewers that are still there.
        self.0.viewers.borrow_mut().retain(|(_, leave)| !leave.is_closed());
        self.0.streams.borrow_mut().leave(&id);
        socket.end(end).await;
    }

    async fn publish(&self, mut socket: Socket, allowed: Result<(), Refusal>, seat: &Seat, format: &'static str) {
        if allowed.is_err() {
            // It was configured away between the upgrade's answer and now.
            return socket.end(Close::RECONFIGURED.into()).await;
        }
        let mut shutdown = self.0.shutdown.clone();
        let (sitting, left) = seat.sit_down();
        let end = tokio::select! {
            close = left => close.unwrap_or(Close::GOING_AWAY).into(),
            () = shutdown.requested() => Close::GOING_AWAY.into(),
            end = ingest(&mut socket, format) => end,
        };
        seat.stand_up(sitting);
        socket.end(end).await;
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

/// Tells a publisher the format, then takes what it sends until it ends.
async fn ingest(socket: &mut Socket, format: &'static str) -> End {
    if let Err(end) = socket.send_text(format).await {
        return end;
    }
    let (mut chunks, mut bytes) = (0_u64, 0_u64);
    loop {
        match socket.next().await {
            Ok(Message::Binary(chunk)) => {
                chunks += 1;
                bytes += chunk.len() as u64;
            }
            Ok(Message::Text) => tracing::trace!("text from a publisher"),
            Err(end) => {
                tracing::debug!(format, chunks, bytes, "publisher gone");
                return end;
            }
        }
    }
}

/// Reads what a viewer has no reason to send until it ends.
async fn drain(socket: &mut Socket) -> End {
    loop {
        if let Err(end) = socket.next().await {
            return end;
        }
    }
}

impl Seat {
    /// Takes the seat, from another if need be; says which sitting this is and when it is over.
    fn sit_down(&self) -> (u64, oneshot::Receiver<Close>) {
        self.clear(Close::TAKEN_OVER);
        let (leave, left) = oneshot::channel();
        self.taken.replace(Some(leave));
        self.sittings.set(self.sittings.get() + 1);
        (self.sittings.get(), left)
    }

    /// Gives the seat back, unless another has it by now.
    fn stand_up(&self, sitting: u64) {
        if self.sittings.get() == sitting {
            self.taken.take();
        }
    }

    fn clear(&self, close: Close) {
        if let Some(leave) = self.taken.take() {
            // A publisher that went meanwhile needs no telling.
            let _ = leave.send(close);
        }
    }

    fn occupants(&self) -> u32 {
        self.taken.borrow().is_some().into()
    }
}
