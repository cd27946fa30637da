//! Sources that we fetch ourselves, on the network thread: paced here, and handed to the media threads.
//!
//! ```text
//! worker::pull (one thread a source, blocking) ─▶ Pipe (bounded) ─▶ Pull's task (MediaSource) ─▶ Outlet, SoundOutlet
//! ```

mod pipe;
mod slots;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crosspoint_ffi::av::Interrupt;
use crosspoint_router::control::Pulled;
use crosspoint_router::ingest::{MediaSource, Nature, SourceOutput, Track};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

pub(crate) use pipe::Pipe;
pub(crate) use slots::{Slot, Slots};

use crate::outlet::{Ears, Eyes};
use crate::timer::sleep_until;
use crate::worker::pull::{self, Fetched, Origin, Wanted, Wants};

/// A source that is being fetched. Dropping it ends it: its thread is told so and not waited for.
pub(crate) struct Pull {
    pulled: Pulled,
    wants: Arc<Wants>,
    wanted: Cell<Wanted>,
    orders: mpsc::UnboundedSender<Order>,
    over: Rc<Cell<bool>>,
    pipe: Arc<Pipe<Fetched>>,
    interrupt: Interrupt,
    task: JoinHandle<()>,
}

/// What changes while a source is fetched.
enum Order {
    Ears(Option<Ears>),
    Eyes(Option<Eyes>),
    Pause(bool),
}

impl Pull {
    /// Starts to fetch `pulled` from `origin`. `tick` is the clock of the camera's reader, `canvas` what a rendition is chosen by.
    pub(crate) fn start(
        pulled: Pulled,
        origin: Origin,
        slot: Slot,
        canvas: (u32, u32),
        tick: watch::Receiver<Option<Instant>>,
        (eyes, ears): (Option<Eyes>, Option<Ears>),
        paused: bool,
    ) -> std::io::Result<Self> {
        let wanted = Wanted { video: eyes.is_some(), audio: ears.is_some() };
        let (wants, pipe, interrupt) = (Arc::new(Wants::new(wanted)), Arc::new(Pipe::new()), Interrupt::default());
        let job = pull::Job {
            origin,
            repeat: pulled.repeat,
            wants: Arc::clone(&wants),
            canvas,
            pipe: Arc::clone(&pipe),
            interrupt: interrupt.clone(),
            slot,
        };
        pull::start(job)?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let over = Rc::new(Cell::new(false));
        let flow = Flow {
            pulled: pulled.clone(),
            source: None,
            pipe: Arc::clone(&pipe),
            orders: ordered,
            over: Rc::clone(&over),
            tick,
            eyes,
            ears,
            paused,
            ceases: false,
        };
        let task = tokio::task::spawn_local(flow.run());
        Ok(Self { pulled, wants, wanted: Cell::new(wanted), orders, over, pipe, interrupt, task })
    }

    /// What it fetches.
    pub(crate) fn pulled(&self) -> &Pulled {
        &self.pulled
    }

    /// Which tracks go somewhere.
    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted.get()
    }

    /// Whether it has come to its end, or cannot be had.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Sends its pictures here from now on, or nowhere.
    pub(crate) fn show(&self, eyes: Option<Eyes>) {
        self.want(Wanted { video: eyes.is_some(), ..self.wanted.get() });
        self.order(Order::Eyes(eyes));
    }

    /// Sends its sound here from now on, or nowhere.
    pub(crate) fn sound(&self, ears: Option<Ears>) {
        self.want(Wanted { audio: ears.is_some(), ..self.wanted.get() });
        self.order(Order::Ears(ears));
    }

    /// Holds it, if it can be held, or lets it go on. What shows its picture may have forgotten it: a still is shown again.
    pub(crate) fn pause(&self, paused: bool) {
        self.order(Order::Pause(paused));
    }

    fn want(&self, wanted: Wanted) {
        self.wanted.set(wanted);
        self.wants.set(wanted);
    }

    fn order(&self, order: Order) {
        // A source that is over has nothing left to change.
        let _ = self.orders.send(order);
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.interrupt.stop();
        self.pipe.close();
        self.task.abort();
    }
}

/// The task of a pulled source.
struct Flow {
    pulled: Pulled,
    /// Nothing before it was opened.
    source: Option<MediaSource>,
    pipe: Arc<Pipe<Fetched>>,
    orders: mpsc::UnboundedReceiver<Order>,
    over: Rc<Cell<bool>>,
    tick: watch::Receiver<Option<Instant>>,
    eyes: Option<Eyes>,
    ears: Option<Ears>,
    paused: bool,
    /// Whether another source comes when this one is over.
    ceases: bool,
}

impl Flow {
    async fn run(mut self) {
        while let Some((hungry, until)) = self.release().await {
            let due = sleep_until(until);
            tokio::select! {
                Some(order) = self.orders.recv() => self.obey(order),
                () = due => {}
                fetched = self.pipe.pop(), if hungry => self.take(fetched),
                Ok(()) = self.tick.changed(), if until.is_some() => {
                    let tick = *self.tick.borrow_and_update();
                    if let (Some(source), Some(at)) = (&mut self.source, tick) {
                        source.handle_tick(at);
                    }
                }
            }
        }
        info!(source = %self.pulled.location, "source ended");
        self.finish().await;
        while let Ok(order) = self.orders.try_recv() {
            self.obey(order);
        }
        if let Some(eyes) = &self.eyes {
            eyes.turn.gone().await;
        }
        self.over.set(true);
    }

    /// Shows what the decoder still holds.
    async fn finish(&self) {
        if let Some(eyes) = &self.eyes {
            eyes.turn.finish().await;
            tokio::time::sleep(LAST_PICTURE).await;
        }
    }

    /// Releases what is due; says whether more is wanted and until when there is nothing to do, or that all is over.
    async fn release(&mut self) -> Option<(bool, Option<Instant>)> {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            let Some(source) = &mut self.source else { return Some((true, None)) };
            if let Some(latency) = self.ears.as_ref().and_then(Ears::latency) {
                source.set_sound_latency(latency);
            }
            match source.poll(Instant::now()) {
                SourceOutput::Ended if self.ceases => {
                    info!(source = %self.pulled.location, "source ended for now");
                    (self.source, self.ceases) = (None, false);
                    self.finish().await;
                    if let Some(eyes) = &self.eyes {
                        eyes.turn.gone().await;
                    }
                }
                SourceOutput::Ended => return None,
                SourceOutput::Gap => {
                    if let Some(eyes) = &self.eyes {
                        eyes.turn.gap().await;
                    }
                }
                SourceOutput::Release(Track::Audio, packet) => {
                    if let Some(eyes) = &self.eyes {
                        eyes.turn.sound_of_source(&packet);
                    }
                    if let Some(ears) = &self.ears {
                        ears.trouble.mend();
                        if let Some(outlet) = &ears.outlet {
                            outlet.packet(packet);
                        }
                    }
                }
                SourceOutput::Release(Track::Video, packet) => {
                    if let Some(eyes) = &self.eyes {
                        eyes.trouble.mend();
                        eyes.turn.packet(packet).await;
                    }
                }
                SourceOutput::Wait { hungry, until } => return Some((hungry, until)),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ears(ears) => self.ears = ears,
            Order::Eyes(eyes) => self.eyes = eyes,
            Order::Pause(paused) => self.paused = paused,
        }
        self.direct();
    }

    /// Tells the source what is wanted of it.
    fn direct(&mut self) {
        let Some(source) = &mut self.source else { return };
        source.set_wanted(self.eyes.is_some(), self.ears.is_some());
        if self.paused {
            source.handle_pause(Instant::now());
        } else {
            source.handle_resume(Instant::now());
        }
    }

    fn take(&mut self, fetched: Fetched) {
        match fetched {
            Fetched::Ceased => {
                if let Some(source) = &mut self.source {
                    source.handle_end();
                    self.ceases = true;
                }
            }
            Fetched::End => match &mut self.source {
                Some(source) => source.handle_end(),
                None => self.source = Some(ended()),
            },
            Fetched::Failed(reason) => self.note(None, &reason),
            Fetched::Lacks(Track::Audio) => self.note(Some(Track::Audio), "it has no sound"),
            Fetched::Lacks(Track::Video) => self.note(Some(Track::Video), "it has no picture"),
            Fetched::Opened { nature, is_still } => {
                let mut source = MediaSource::new(nature);
                if is_still {
                    source.set_still();
                }
                self.source = Some(source);
                self.direct();
            }
            Fetched::Packet(packet) => {
                if let Some(source) = &mut self.source {
                    source.handle_packet(packet);
                }
            }
            Fetched::Splice => {
                if let Some(source) = &mut self.source {
                    source.handle_splice();
                }
            }
        }
    }

    /// Notes what is wrong, with one track or with both.
    fn note(&self, track: Option<Track>, reason: &str) {
        // What FFmpeg says may quote the URL with all that is secret in it.
        let reason = self.pulled.location.cleaned(reason);
        let message = format!("{}: {reason}", self.pulled.location);
        let eyes = self.eyes.as_ref().map(|eyes| &eyes.trouble).filter(|_| track != Some(Track::Audio));
        let ears = self.ears.as_ref().map(|ears| &ears.trouble).filter(|_| track != Some(Track::Video));
        for trouble in eyes.into_iter().chain(ears) {
            if trouble.note(&message) {
                warn!(source = %self.pulled.location, reason, "source not usable");
            }
        }
    }
}

/// How long the last of the pictures that the decoder still held stands.
const LAST_PICTURE: Duration = Duration::from_millis(66);

/// A source that ended before it began.
fn ended() -> MediaSource {
    let mut source = MediaSource::new(Nature::Recorded);
    source.handle_end();
    source
}
