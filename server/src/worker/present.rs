//! The present thread: draws the newest picture into the camera, around the reader's clock.
//!
//! It sleeps in one `poll(2)` until there is a picture, a read of the camera file, an order, or a moment that a
//! [`Presenter`] waits for; idle it costs nothing.
//!
//! Copies: 1 (the one pass over the pixels that scales them into the pages which readers read).

mod camera;
mod rate;

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crosspoint_ffi::VideoFormat;
use crosspoint_ffi::fd::{FileEvent, FileWatch, Wake, wait_readable};
use crosspoint_ffi::ring::Reader;
use crosspoint_router::ingest::{Demand, PresentOutput, PresentStats, Presenter, ReaderEvent};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::Trouble;
use super::decode::{CameraDemand, Shown};
use crate::devices::Y4mCamera;
use camera::Camera;
use rate::Rate;

/// An order to the present thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// Show another canvas; answered when its file has the camera's name.
    Canvas(VideoFormat, oneshot::Sender<crosspoint_ffi::Result<()>>),
    /// Show black and drop what comes.
    Pause,
    /// Show what comes.
    Resume,
    /// Leave the camera black and end.
    Stop,
}

/// What the present thread tells the others.
#[derive(Debug)]
pub(crate) struct PresentView {
    stats: Mutex<(PresentStats, Rate)>,
    /// Pictures that could not be drawn.
    pub(crate) undrawn: AtomicU64,
    /// The moment of the reader's latest read: the clock that early media is released on.
    pub(crate) tick: watch::Sender<Option<Instant>>,
}

impl PresentView {
    /// The counters, and the frames written in the last full second.
    pub(crate) fn stats(&self) -> (PresentStats, f32) {
        let (stats, rate) = *self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        (stats, rate.per_second(Instant::now()))
    }
}

/// The network thread's end of the present thread.
#[derive(Debug)]
pub(crate) struct Present {
    orders: mpsc::Sender<Order>,
    wake: Arc<Wake>,
    view: Arc<PresentView>,
    thread: Option<JoinHandle<()>>,
}

impl Present {
    /// Opens the camera file at `path` and starts the thread, which shows what comes through `shown` whenever `wake` is raised, and says
    /// through `told` whether anybody looks.
    pub(crate) fn start(
        path: PathBuf,
        canvas: VideoFormat,
        shown: Reader<Shown>,
        wake: Arc<Wake>,
        told: CameraDemand,
        trouble: Arc<Trouble>,
    ) -> Result<Self, crate::Error> {
        let camera = Y4mCamera::open(&path, canvas).map_err(crate::Error::Device)?;
        let watch = match FileWatch::new() {
            Ok(watch) => Some(watch),
            Err(error) => {
                warn!(%error, "camera_in_use is not known: frames are written as they come");
                None
            }
        };
        let (orders, ordered) = mpsc::channel();
        let view = Arc::new(PresentView { stats: Mutex::default(), undrawn: AtomicU64::new(0), tick: watch::Sender::new(None) });
        info!(path = %path.display(), width = canvas.width(), height = canvas.height(), rate = canvas.frame_rate(), "camera ready");
        let mut work = Work {
            path,
            cameras: Vec::new(),
            watch,
            orders: ordered,
            shown,
            wake: Arc::clone(&wake),
            view: Arc::clone(&view),
            trouble,
            told,
            demand: Demand::new(),
            is_wanted: false,
            is_paused: false,
            last: None,
            repeat_at: None,
            rate: Rate::default(),
            past: PresentStats::default(),
        };
        work.add(camera);
        let thread = super::start("present", move || work.run()).map_err(crate::Error::Thread)?;
        Ok(Self { orders, wake, view, thread: Some(thread) })
    }

    /// Gives the thread an order.
    pub(crate) fn order(&self, order: Order) {
        // It only ends when it is told to, and then nothing is left to show.
        let _ = self.orders.send(order);
        self.wake.raise();
    }

    /// What the thread tells.
    pub(crate) fn view(&self) -> &Arc<PresentView> {
        &self.view
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    path: PathBuf,
    /// The camera that has the name comes last; those before it had it once and are written while somebody reads them.
    cameras: Vec<Camera>,
    watch: Option<FileWatch>,
    orders: mpsc::Receiver<Order>,
    shown: Reader<Shown>,
    wake: Arc<Wake>,
    view: Arc<PresentView>,
    trouble: Arc<Trouble>,
    /// Where it is said whether pictures are wanted, by which rule, and what was said.
    told: CameraDemand,
    demand: Demand,
    is_wanted: bool,
    is_paused: bool,
    /// The source's newest picture, shown or withheld, if it is still that.
    last: Option<Shown>,
    /// When that picture is shown again after a pause, if no newer one comes before.
    repeat_at: Option<Instant>,
    rate: Rate,
    /// What cameras that are gone had counted.
    past: PresentStats,
}

/// Retired cameras kept at most: a reader that never closes must not hold a file for each canvas there ever was.
const RETIRED: usize = 4;

/// How long after a pause a live source's next picture is waited for: three frames of a 30 Hz source.
const REPEAT: Duration = Duration::from_millis(100);

impl Work {
    fn run(mut self) {
        loop {
            self.wake.lower();
            if let Some(shown) = self.shown.take() {
                self.show(&shown);
            }
            while let Ok(order) = self.orders.try_recv() {
                match order {
                    Order::Canvas(format, answer) => {
                        let _ = answer.send(self.change_canvas(format));
                    }
                    Order::Pause => self.pause(),
                    Order::Resume => self.resume(),
                    Order::Stop => return self.blacken(),
                }
            }
            self.read_events();
            self.retire();
            let lingers = self.attend();
            let repeats = self.repeat();
            let written = (0..self.cameras.len()).filter_map(|index| self.drive(index)).min();
            self.tell();
            if self.is_read() && !self.is_wanted {
                // A reader came while we wrote; its event is not in the queue any more.
                continue;
            }
            let deadline = [lingers, repeats, written].into_iter().flatten().min();
            let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let waited = match &self.watch {
                Some(watch) => wait_readable([self.wake.as_fd(), watch.as_fd()], timeout),
                None => wait_readable([self.wake.as_fd()], timeout),
            };
            if let Err(error) = waited {
                self.trouble.note(error);
            }
        }
    }

    fn show(&mut self, shown: &Shown) {
        let now = Instant::now();
        self.last = match shown {
            Shown::Black | Shown::Swap => None,
            // It was decoded before the decode thread knew that nobody looks any more.
            Shown::Picture { .. } if !self.is_wanted => return,
            Shown::Picture { .. } => Some(shown.clone()),
        };
        self.repeat_at = None;
        for camera in &mut self.cameras {
            match shown {
                Shown::Black => camera.presenter.handle_blackout(),
                Shown::Picture { since, .. } => camera.presenter.handle_frame(shown.clone(), *since),
                Shown::Swap => camera.presenter.handle_swap(now),
            }
        }
    }

    /// Tells the decode thread whether anybody looks; says until when that stands. When nobody does any more, the camera goes black:
    /// whoever opens it next reads at once, before anything could be done about an old picture.
    fn attend(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.demand.handle_use(self.is_read(), now);
        let (is_wanted, until) = self.demand.poll(now);
        if is_wanted != self.is_wanted {
            self.is_wanted = is_wanted;
            self.told.set(is_wanted);
            if !is_wanted {
                self.show(&Shown::Black);
            }
        }
        until
    }

    /// Whether anybody reads a camera of ours, or may.
    fn is_read(&self) -> bool {
        self.cameras.iter().any(|camera| camera.presenter.in_use() != Some(false))
    }

    fn pause(&mut self) {
        self.is_paused = true;
        self.repeat_at = None;
        self.cameras.iter_mut().for_each(|camera| camera.presenter.handle_pause());
    }

    fn resume(&mut self) {
        if std::mem::take(&mut self.is_paused) {
            self.repeat_at = Some(Instant::now() + REPEAT);
            self.cameras.iter_mut().for_each(|camera| camera.presenter.handle_resume());
        }
    }

    /// Shows the newest picture again when its source gave no other since the pause: it may be a still. Says when that is due.
    fn repeat(&mut self) -> Option<Instant> {
        let (due, now) = (self.repeat_at?, Instant::now());
        if now < due {
            return Some(due);
        }
        self.repeat_at = None;
        if let Some(last) = &self.last {
            self.cameras.iter_mut().for_each(|camera| camera.presenter.handle_frame(last.clone(), now));
        }
        None
    }

    /// Does what camera `index` asks for; says until when it waits.
    fn drive(&mut self, index: usize) -> Option<Instant> {
        loop {
            let camera = &mut self.cameras[index];
            let shown = match camera.presenter.poll(Instant::now()) {
                PresentOutput::Idle => return None,
                PresentOutput::WaitUntil(deadline) => return Some(deadline),
                PresentOutput::Write(shown) => shown,
                PresentOutput::WriteBlack => Shown::Black,
            };
            let started = Instant::now();
            if let Err(error) = camera.draw(&shown) {
                self.view.undrawn.fetch_add(1, Relaxed);
                if self.trouble.note(&error) {
                    warn!(%error, "picture not drawn");
                }
            }
            let ended = Instant::now();
            if index + 1 == self.cameras.len() && matches!(shown, Shown::Picture { .. }) {
                self.rate.count(ended);
            }
            // What is read while we write is told to the presenter before the end of the write.
            self.read_events();
            self.cameras[index].presenter.handle_written(started, ended);
        }
    }

    fn read_events(&mut self) {
        let Some(watch) = &self.watch else { return };
        let (now, cameras, view) = (Instant::now(), &mut self.cameras, &self.view);
        let newest = cameras.last().and_then(|camera| camera.id);
        watch.drain(|id, event| {
            let event = match event {
                FileEvent::Closed => ReaderEvent::Closed,
                FileEvent::Opened => ReaderEvent::Opened,
                FileEvent::Overflowed => ReaderEvent::Unknown,
                FileEvent::Read => ReaderEvent::Read,
            };
            if event == ReaderEvent::Read && id == newest {
                view.tick.send_replace(Some(now));
            }
            for camera in cameras.iter_mut().filter(|camera| id.is_none() || camera.id == id) {
                camera.presenter.handle_reader(event, now);
            }
        });
    }

    /// Lets go of the old files that nobody reads any more.
    fn retire(&mut self) {
        while self.cameras.len() > 1 {
            let excess = self.cameras.len() > RETIRED + 1;
            let newest = self.cameras.len() - 1;
            let idle = |camera: &Camera| camera.presenter.stats().in_use == Some(false);
            let gone = if excess { Some(0) } else { self.cameras[..newest].iter().position(idle) };
            let Some(index) = gone else { return };
            let stats = self.cameras.remove(index).presenter.stats();
            self.past.possible_tears += stats.possible_tears;
        }
    }

    fn add(&mut self, file: Y4mCamera) {
        let mut presenter = Presenter::new();
        let id = self.watch.as_ref().and_then(|watch| match watch.add(file.file()) {
            Ok(id) => Some(id),
            Err(error) => {
                warn!(%error, "camera_in_use is not known: frames are written as they come");
                None
            }
        });
        if id.is_none() {
            presenter.handle_reader(ReaderEvent::Unknown, Instant::now());
        }
        if self.is_paused {
            presenter.handle_pause();
        }
        if let Some(last) = &self.last {
            presenter.handle_frame(last.clone(), Instant::now());
        }
        self.cameras.push(Camera::new(file, id, presenter));
    }

    fn change_canvas(&mut self, format: VideoFormat) -> crosspoint_ffi::Result<()> {
        if self.cameras.last().is_some_and(|camera| camera.file.format() == format) {
            return Ok(());
        }
        let file = Y4mCamera::replace(&self.path, format)?;
        let old = self.cameras.last().map(|camera| camera.presenter.stats());
        self.add(file);
        if let Some(old) = old {
            self.past.frames_in += old.frames_in;
            self.past.frames_out += old.frames_out;
            self.past.dropped += old.dropped;
            self.past.withheld += old.withheld;
            self.past.overwritten += old.overwritten;
        }
        info!(width = format.width(), height = format.height(), rate = format.frame_rate(), "canvas changed");
        // Whoever opened the old file until now has an event in the queue.
        self.read_events();
        Ok(())
    }

    fn blacken(&mut self) {
        for camera in &mut self.cameras {
            camera.file.picture().fill_black();
        }
    }

    fn tell(&mut self) {
        let mut stats = self.cameras.last().map(|camera| camera.presenter.stats()).unwrap_or_default();
        stats.frames_in += self.past.frames_in;
        stats.frames_out += self.past.frames_out;
        stats.dropped += self.past.dropped;
        stats.withheld += self.past.withheld;
        stats.overwritten += self.past.overwritten;
        stats.possible_tears += self.past.possible_tears;
        *self.view.stats.lock().unwrap_or_else(PoisonError::into_inner) = (stats, self.rate);
    }
}
