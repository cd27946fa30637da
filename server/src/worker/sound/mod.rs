//! The sound thread: the one connection to PulseAudio, what plays into it and what is heard from it.
//!
//! It sleeps inside PulseAudio's main loop until the server wants samples, has recorded some, or an order comes. A server that goes
//! away is connected to again; what was to be played or heard goes on then.

mod ear;
mod hear;
mod outlet;
mod play;
mod silence;
mod source;
mod stream;
mod view;
mod voice;

use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crosspoint_ffi::fd::{Wake, wait_readable};
use crosspoint_ffi::pulse::Connection;
use crosspoint_ffi::{Codec, Remedy};
use crosspoint_router::control::AudioDestination;
use tokio::sync::mpsc as queue;
use tracing::{info, warn};

use super::Trouble;
use ear::Heard;
use hear::Hear;
use outlet::Queue;
use play::Play;

pub(crate) use ear::Ear;
pub(crate) use outlet::SoundOutlet;
pub(crate) use view::SoundView;

/// An order to the sound thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// Encode what the speaker plays with this codec and tell it here, until the receiver is dropped.
    Hear(Codec, queue::Sender<Heard>),
    /// Play silence in place of what comes.
    Pause(bool),
    /// Play into this sink from now on.
    Direct(AudioDestination),
    /// Play what comes through this; it takes the place of what came before.
    Play(Arc<Queue>),
    /// Play nothing more, at once.
    Silence,
    /// End.
    Stop,
}

/// The network thread's end of the sound thread.
#[derive(Debug)]
pub(crate) struct Sound {
    orders: mpsc::Sender<Order>,
    wake: Arc<Wake>,
    view: Arc<SoundView>,
    epoch: Instant,
    thread: Option<JoinHandle<()>>,
}

impl Sound {
    /// Starts the thread, which connects to `server` (nothing: where libpulse finds one). Captured sound is stamped from `epoch`.
    /// What goes wrong with the server is told through `trouble`, what with the packets through `packet_trouble`.
    pub(crate) fn start(
        server: Option<String>,
        epoch: Instant,
        trouble: Arc<Trouble>,
        packet_trouble: Arc<Trouble>,
    ) -> Result<Self, crate::Error> {
        let (orders, ordered) = mpsc::channel();
        let wake = Arc::new(Wake::new().map_err(crate::Error::Device)?);
        let view = Arc::new(SoundView::default());
        let (woken, told) = (Arc::clone(&wake), Arc::clone(&view));
        // What belongs to the connection belongs to its thread, so it is made there.
        let work = move || Work {
            server,
            orders: ordered,
            wake: woken,
            view: told,
            trouble,
            packet_trouble,
            play: Play::default(),
            hear: Hear::new(epoch),
            stopped: false,
        };
        let thread = super::start("sound", move || work().run()).map_err(crate::Error::Thread)?;
        Ok(Self { orders, wake, view, epoch, thread: Some(thread) })
    }

    /// Gives the thread an order.
    pub(crate) fn order(&self, order: Order) {
        // It only ends when it is told to, and then there is nothing left to play.
        let _ = self.orders.send(order);
        self.wake.raise();
    }

    /// Begins another source, which takes the old one's place at once.
    pub(crate) fn play(&self) -> SoundOutlet {
        let queue = Arc::<Queue>::default();
        self.order(Order::Play(Arc::clone(&queue)));
        SoundOutlet::new(queue, Arc::clone(&self.wake), Arc::clone(&self.view))
    }

    /// Listens to what the speaker plays, in this codec. While it is silent, packets come at every so many beats.
    pub(crate) fn hear(&self, codec: Codec, beats: u32) -> Ear {
        let (tell, ear) = Ear::new(self.epoch, beats, Arc::clone(&self.wake));
        self.order(Order::Hear(codec, tell));
        ear
    }

    /// What the thread tells.
    pub(crate) fn view(&self) -> &Arc<SoundView> {
        &self.view
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    server: Option<String>,
    orders: mpsc::Receiver<Order>,
    wake: Arc<Wake>,
    view: Arc<SoundView>,
    trouble: Arc<Trouble>,
    packet_trouble: Arc<Trouble>,
    play: Play,
    hear: Hear,
    stopped: bool,
}

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between one attempt to connect and the next: first and longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

impl Work {
    fn run(mut self) {
        let mut back_off = BACK_OFF.0;
        while !self.stopped {
            let began = Instant::now();
            let Err(error) = self.session() else { return };
            self.view.connected.store(false, Relaxed);
            self.view.microphone_in_use.store(false, Relaxed);
            self.play.disconnect();
            self.hear.disconnect();
            if self.trouble.note(&error) {
                warn!(%error, "sound server not usable; retrying");
            }
            if began.elapsed() > BACK_OFF.1 {
                back_off = BACK_OFF.0;
            }
            self.rest(Instant::now() + back_off);
            back_off = (back_off * 2).min(BACK_OFF.1);
        }
    }

    /// Waits, still taking orders and letting go of what cannot be played.
    fn rest(&mut self, until: Instant) {
        while !self.stopped && Instant::now() < until {
            self.wake.lower();
            self.take_orders();
            self.play.discard();
            if wait_readable([self.wake.as_fd()], Some(until.saturating_duration_since(Instant::now()))).is_err() {
                return;
            }
        }
    }

    /// Serves one connection until it breaks, or until the end.
    fn session(&mut self) -> crosspoint_ffi::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut connection = Connection::connect(self.server.as_deref(), "crosspoint", deadline)?;
        connection.watch(self.wake.as_fd())?;
        self.ensure_devices(&mut connection)?;
        self.view.connected.store(true, Relaxed);
        loop {
            self.wake.lower();
            self.take_orders();
            if self.stopped {
                return Ok(());
            }
            self.play.drive(&mut connection, &self.view, &self.packet_trouble)?;
            let until = self.hear.drive(&mut connection, &self.view)?;
            self.view.microphone_in_use.store(connection.microphone_in_use(), Relaxed);
            if connection.devices_changed() {
                self.ensure_devices(&mut connection)?;
            }
            connection.iterate(until.map(|until| until.saturating_duration_since(Instant::now())))?;
        }
    }

    /// A server that refuses to make what is missing is told of; what is there is used all the same.
    fn ensure_devices(&self, connection: &mut Connection) -> crosspoint_ffi::Result<()> {
        match connection.ensure_devices(Instant::now() + PATIENCE) {
            Ok(_) => {
                info!("sinks and microphone ready");
                self.trouble.clear();
                Ok(())
            }
            Err(error) if error.remedy() == Remedy::Report => {
                if self.trouble.note(&error) {
                    warn!(%error, "sound devices incomplete");
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Direct(destination) => self.play.direct(destination),
                Order::Hear(codec, tell) => self.hear.start(codec, tell),
                Order::Pause(paused) => self.play.pause(paused),
                Order::Play(queue) => self.play.start(queue),
                Order::Silence => self.play.stop(),
                Order::Stop => self.stopped = true,
            }
        }
    }
}
