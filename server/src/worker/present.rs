//! The present thread: draws the newest picture into the camera, around the reader's clock.
//!
//! It sleeps in one `poll(2)` until there is a picture, a read of the camera file, a reader of the camera device, an order, or a moment that
//! a [`Presenter`](crosspoint_router::ingest::Presenter) or the device waits for; idle it costs nothing.
//!
//! Copies: 1 (the one pass over the pixels that scales them into the pages which readers read), 0 of a picture that was decoded into the
//! device's own buffers. The file is one frame that its reader takes at any moment, and a decoder's next picture would be made over the one
//! that it refers to: nothing of it can be lent.

mod camera;
mod rate;
mod view;

use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crosspoint_ffi::fd::{FileEvent, FileWatch, Wake, wait_readable, wait_readable_or_urgent};
use crosspoint_ffi::ring::Reader;
use crosspoint_ffi::{Copied, VideoFormat};
use crosspoint_router::ingest::{Demand, PresentOutput, PresentStats, ReaderEvent};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Trouble;
use super::decode::{CameraDemand, Shown};
use crate::devices::Change;
pub(crate) use camera::Device;
use camera::{Camera, UNKNOWN};
use rate::Rate;
pub(crate) use view::PresentView;

/// An order to the present thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// Show another canvas; answered when its file has the camera's name, or the device knows.
    Canvas(VideoFormat, oneshot::Sender<crosspoint_ffi::Result<()>>),
    /// Show black and drop what comes.
    Pause,
    /// Show what comes.
    Resume,
    /// Leave the camera black and end.
    Stop,
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
    /// Starts the thread of a camera, which shows what comes through `shown` whenever `wake` is raised, and says
    /// through `told` whether anybody looks.
    pub(crate) fn start(
        device: Device,
        shown: Reader<Shown>,
        wake: Arc<Wake>,
        told: CameraDemand,
        trouble: Arc<Trouble>,
    ) -> Result<Self, crate::Error> {
        let watch = FileWatch::new().map_err(|error| warn!(%error, UNKNOWN)).ok();
        let (orders, ordered) = mpsc::channel();
        let view = Arc::<PresentView>::default();
        let mut work = Work {
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
            past_copied: Copied::default(),
        };
        work.add(device);
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
    past_copied: Copied,
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
            let tended = self.tend();
            let lingers = self.attend();
            let repeats = self.repeat();
            let written = (0..self.cameras.len()).filter_map(|index| self.drive(index)).min();
            self.tell();
            if self.is_read() && !self.is_wanted || self.cameras.iter().any(Camera::has_news) {
                // A reader came, or the device went, while we wrote; no event of it is in the queue any more.
                continue;
            }
            let deadline = [tended, lingers, repeats, written].into_iter().flatten().min();
            let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let wake = self.wake.as_fd();
            let watch = self.watch.as_ref().map_or(wake, FileWatch::as_fd);
            let waited = match self.cameras.last().and_then(Camera::urgent) {
                Some(device) => wait_readable_or_urgent([wake, watch], device.as_fd(), timeout),
                None => wait_readable([wake, watch], timeout),
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
            // It was decoded before the decode thread knew that nobody looks any more, or that the device it may lie in is gone.
            Shown::Picture { .. } if !self.is_wanted || !self.cameras.iter().any(Camera::is_there) => return,
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

    /// Looks after a device that comes and goes; says until when there is nothing to do about it.
    fn tend(&mut self) -> Option<Instant> {
        let (now, mut until) = (Instant::now(), None);
        for index in 0..self.cameras.len() {
            let (change, due) = self.cameras[index].tend(self.watch.as_ref(), now);
            until = [until, due].into_iter().flatten().min();
            match change {
                Some(Change::Closed(error)) => {
                    // Whoever holds its buffers keeps it from being opened again.
                    self.last = None;
                    self.cameras[index].presenter.handle_blackout();
                    self.told.stir();
                    if let Some(error) = error {
                        self.complain(error);
                    }
                }
                Some(Change::Opened) => {
                    self.trouble.clear();
                    self.told.stir();
                }
                Some(Change::Refused(error)) => self.complain(error),
                None => {}
            }
        }
        until
    }

    fn complain(&self, error: crosspoint_ffi::Error) {
        if self.trouble.note(&error) {
            warn!(%error, "camera not written");
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
            if !camera.is_there() {
                return None;
            }
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
            let is_picture = index + 1 == self.cameras.len() && matches!(shown, Shown::Picture { .. });
            if is_picture {
                self.rate.count(ended);
                self.view.draw_time.note(ended - started);
            }
            // What is read while we write is told to the presenter before the end of the write.
            self.read_events();
            let latency = self.cameras[index].presenter.handle_written(started, ended);
            if let Some(latency) = latency.filter(|_| is_picture) {
                self.view.latency.note(latency);
            }
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
            let camera = self.cameras.remove(index);
            self.past.possible_tears += camera.presenter.stats().possible_tears;
            self.past_copied = self.past_copied + camera.copied();
        }
    }

    fn add(&mut self, device: Device) {
        let mut camera = Camera::new(device, self.watch.as_ref());
        if self.is_paused {
            camera.presenter.handle_pause();
        }
        if let Some(last) = &self.last {
            camera.presenter.handle_frame(last.clone(), Instant::now());
        }
        self.cameras.push(camera);
    }

    fn change_canvas(&mut self, format: VideoFormat) -> crosspoint_ffi::Result<()> {
        let Some(device) = self.cameras.last_mut().map_or(Ok(None), |camera| camera.replaced(format))? else { return Ok(()) };
        let old = self.cameras.last().map(|camera| camera.presenter.stats());
        self.add(device);
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
            // A device that is not there shows nothing.
            let _ = camera.draw(&Shown::Black);
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
        let copied = self.cameras.iter().map(Camera::copied).fold(self.past_copied, |sum, copied| sum + copied);
        self.view.tell(stats, self.rate, copied);
    }
}

#[cfg(test)]
mod tests;
