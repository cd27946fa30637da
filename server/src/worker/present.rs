//! The present thread: draws the newest picture into the camera, around the reader's clock.
//!
//! It sleeps in one `poll(2)` until there is a picture, a read of the camera file, an order, or a moment that a
//! [`Presenter`] waits for; idle it costs nothing.
//!
//! Copies: 1 (the one pass over the pixels that scales them into the pages which readers read).

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crosspoint_ffi::VideoFormat;
use crosspoint_ffi::av::Painter;
use crosspoint_ffi::fd::{FileEvent, FileWatch, Wake, WatchId, wait_readable};
use crosspoint_ffi::ring::Reader;
use crosspoint_router::ingest::{PresentOutput, PresentStats, Presenter, ReaderEvent};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::Trouble;
use super::decode::Shown;
use crate::devices::Y4mCamera;

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
    /// Opens the camera file at `path` and starts the thread, which shows what comes through `shown` whenever `wake` is raised.
    pub(crate) fn start(
        path: PathBuf,
        canvas: VideoFormat,
        shown: Reader<Shown>,
        wake: Arc<Wake>,
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

/// One camera file and the rule by which it is written.
struct Camera {
    file: Y4mCamera,
    id: Option<WatchId>,
    presenter: Presenter<Shown>,
    painter: Painter,
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
    rate: Rate,
    /// What cameras that are gone had counted.
    past: PresentStats,
}

/// Retired cameras kept at most: a reader that never closes must not hold a file for each canvas there ever was.
const RETIRED: usize = 4;

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
                    Order::Pause => self.cameras.iter_mut().for_each(|camera| camera.presenter.handle_pause()),
                    Order::Resume => self.cameras.iter_mut().for_each(|camera| camera.presenter.handle_resume()),
                    Order::Stop => return self.blacken(),
                }
            }
            self.read_events();
            self.retire();
            let deadline = (0..self.cameras.len()).filter_map(|index| self.drive(index)).min();
            self.tell();
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
        for camera in &mut self.cameras {
            match shown {
                Shown::Black => camera.presenter.handle_blackout(),
                Shown::Picture(picture) => camera.presenter.handle_frame(shown.clone(), picture.arrival()),
            }
        }
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
            if index + 1 == self.cameras.len() && matches!(shown, Shown::Picture(_)) {
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
        self.cameras.push(Camera { file, id, presenter, painter: Painter::new() });
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

impl Camera {
    fn draw(&mut self, shown: &Shown) -> crosspoint_ffi::Result<()> {
        let mut canvas = self.file.picture();
        match shown {
            Shown::Black => {
                canvas.fill_black();
                self.painter.invalidate();
                Ok(())
            }
            Shown::Picture(picture) => self.painter.draw(picture, &mut canvas),
        }
    }
}

/// Events in the last full second.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    began: Option<Instant>,
    count: u32,
    last: f32,
}

impl Rate {
    fn count(&mut self, now: Instant) {
        self.roll(now);
        self.count += 1;
    }

    fn per_second(mut self, now: Instant) -> f32 {
        self.roll(now);
        self.last
    }

    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(*self.began.get_or_insert(now));
        if age >= Duration::from_secs(1) {
            let full = if age < Duration::from_secs(2) { self.count as f32 / age.as_secs_f32() } else { 0.0 };
            *self = Self { began: Some(now), count: 0, last: full };
        }
    }
}
