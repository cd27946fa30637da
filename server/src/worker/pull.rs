//! The pull thread: blocks inside libavformat, so that nobody else does.
//!
//! Copies: 0 (packets are shared bytes).

mod choose;
mod heirs;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crosspoint_ffi::Packet;
use crosspoint_ffi::av::{Input, Interrupt, Read};
use crosspoint_router::ingest::{Nature, Track};
use tracing::{debug, info};

pub(crate) use choose::Wanted;
use choose::{Choice, Meter, choose};
use heirs::Heirs;

use crate::pull::{Pipe, Slot};

/// What a pull thread fetches.
#[derive(Debug)]
pub(crate) enum Origin {
    /// This open file.
    File(File),
    /// What this URL names, again and again as long as it is live.
    Url(String),
}

/// What a pull thread tells, in order.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// It came to an end although it is live; it is asked for again.
    Ceased,
    /// It is open, and this is how it behaves.
    Opened {
        /// As far as time goes.
        nature: Nature,
        /// Whether its picture is a still.
        is_still: bool,
    },
    /// The next packet.
    Packet(Packet),
    /// It is open and lacks this track.
    Lacks(Track),
    /// It begins anew.
    Splice,
    /// No more will come.
    End,
    /// Something went wrong; more may come all the same.
    Failed(String),
}

/// A pull thread's orders, which may change while it runs.
#[derive(Debug)]
pub(crate) struct Wants(AtomicU8);

impl Wants {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let wants = Self(AtomicU8::new(0));
        wants.set(wanted);
        wants
    }

    /// Fetch these tracks from now on. Takes effect at the next packet.
    pub(crate) fn set(&self, wanted: Wanted) {
        // A hint that stands alone: nothing else is read by it.
        self.0.store(u8::from(wanted.video) | u8::from(wanted.audio) << 1, Relaxed);
    }

    fn wanted(&self) -> Wanted {
        let bits = self.0.load(Relaxed);
        Wanted { video: bits & 1 != 0, audio: bits & 2 != 0 }
    }
}

/// What a pull thread runs with.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) origin: Origin,
    pub(crate) repeat: bool,
    pub(crate) wants: Arc<Wants>,
    /// Width and height of the canvas, by which a rendition is chosen.
    pub(crate) canvas: (u32, u32),
    pub(crate) pipe: Arc<Pipe<Fetched>>,
    pub(crate) interrupt: Interrupt,
    /// Held until the thread ends, however long after it was abandoned that is.
    pub(crate) slot: Slot,
}

/// Starts a pull thread. It ends when its source has, or a while after its pipe was closed and it was interrupted; it is never joined.
pub(crate) fn start(job: Job) -> std::io::Result<()> {
    super::start("pull", move || Work::new(job).run()).map(drop)
}

struct Work {
    origin: Option<Origin>,
    repeat: bool,
    wants: Arc<Wants>,
    canvas: (u32, u32),
    pipe: Arc<Pipe<Fetched>>,
    interrupt: Interrupt,
    steps_down: usize,
    heirs: Heirs,
    _slot: Slot,
}

/// How reading a source came to its end.
enum Ending {
    /// There is no more of it.
    Over,
    /// There should be more.
    Broken(String),
    /// It was live and ended in good order, so there may be more.
    Ceased,
    /// Nobody wants it any more.
    Unwanted,
}

/// Between one attempt to connect and the next: first and longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

impl Work {
    fn new(job: Job) -> Self {
        let Job { origin, repeat, wants, canvas, pipe, interrupt, slot } = job;
        Self { origin: Some(origin), repeat, wants, canvas, pipe, interrupt, steps_down: 0, heirs: Heirs::default(), _slot: slot }
    }

    fn run(mut self) {
        let mut back_off = BACK_OFF.0;
        loop {
            let began = Instant::now();
            let told = match self.session() {
                Ending::Over => return self.tell_end(),
                Ending::Unwanted => return,
                Ending::Broken(reason) => Fetched::Failed(reason),
                Ending::Ceased => Fetched::Ceased,
            };
            if self.interrupt.is_stopped() || !self.pipe.push(told, 0) {
                return;
            }
            if self.origin.is_none() {
                return self.tell_end();
            }
            if began.elapsed() > BACK_OFF.1 {
                back_off = BACK_OFF.0;
            }
            if !self.pipe.rest(back_off) {
                return;
            }
            back_off = (back_off * 2).min(BACK_OFF.1);
        }
    }

    fn tell_end(&self) {
        self.pipe.push(Fetched::End, 0);
    }

    /// Opens the source and reads it to its end.
    fn session(&mut self) -> Ending {
        let mut input = match self.open() {
            Ok(input) => input,
            Err(error) => return Ending::Broken(error.to_string()),
        };
        self.heirs = Heirs::new(input.tracks());
        let (is_live, mut choice) = (input.is_live(), self.choose(&input));
        let wanted = self.wants.wanted();
        if choice.tracks.is_empty() {
            return Ending::Broken(nothing(wanted).to_owned());
        }
        let missing = [(Track::Video, wanted.video && !choice.has_video), (Track::Audio, wanted.audio && !choice.has_audio)];
        for (track, _) in missing.iter().filter(|(_, missing)| *missing) {
            self.pipe.push(Fetched::Lacks(*track), 0);
        }
        let nature = match (input.is_realtime(), is_live) {
            (true, _) => Nature::Realtime,
            (false, true) => Nature::Live,
            (false, false) => Nature::Recorded,
        };
        info!(?nature, tracks = choice.tracks.len(), "source opened");
        if !self.pipe.push(Fetched::Opened { nature, is_still: choice.is_still }, 0) {
            return Ending::Unwanted;
        }
        loop {
            match self.read_to_end(&mut input, &mut choice) {
                Ending::Over => {}
                ended @ (Ending::Broken(_) | Ending::Ceased | Ending::Unwanted) => return ended,
            }
            if is_live {
                return Ending::Ceased;
            }
            if !self.repeat || (choice.is_still && !choice.has_audio) {
                return Ending::Over;
            }
            if let Err(error) = input.rewind() {
                debug!(%error, "cannot be rewound, opening it again");
                match self.open() {
                    Ok(again) => input = again,
                    Err(error) => return Ending::Broken(error.to_string()),
                }
            }
            self.heirs = Heirs::new(input.tracks());
            choice = self.choose(&input);
            if !self.pipe.push(Fetched::Splice, 0) {
                return Ending::Unwanted;
            }
        }
    }

    fn read_to_end(&mut self, input: &mut Input, choice: &mut Choice) -> Ending {
        let (mut wanted, mut meter, mut packets) = (self.wants.wanted(), Meter::default(), 0_u64);
        input.select(&choice.tracks);
        loop {
            if wanted != self.wants.wanted() {
                wanted = self.wants.wanted();
                self.select_anew(input, choice);
            }
            let began = Instant::now();
            match input.read() {
                Ok(Read::Packet { track, packet }) => {
                    let slow = meter.is_slow(packet.decode_time(), began.elapsed());
                    if slow && choice.can_step_down {
                        self.steps_down += 1;
                        info!(steps = self.steps_down, "read more slowly than it plays: a smaller rendition");
                        self.select_anew(input, choice);
                    }
                    let bytes = packet.data.len();
                    if !choice.tracks.contains(&track) {
                        continue;
                    }
                    packets += 1;
                    if !self.pipe.push(Fetched::Packet(packet), bytes) {
                        return Ending::Unwanted;
                    }
                }
                Ok(Read::Tracks) => {
                    self.heirs.handle_tracks(input.tracks());
                    self.select_anew(input, choice);
                }
                Ok(Read::End) if packets == 0 && (self.repeat || input.is_live()) => {
                    return Ending::Broken("there is nothing in it".to_owned());
                }
                Ok(Read::End) => return Ending::Over,
                Err(error) => return Ending::Broken(error.to_string()),
            }
        }
    }

    fn open(&mut self) -> crosspoint_ffi::Result<Input> {
        match self.origin.take() {
            Some(Origin::File(file)) => Input::open_file(file, &self.interrupt),
            Some(Origin::Url(url)) => {
                let input = Input::open_url(&url, &self.interrupt);
                self.origin = Some(Origin::Url(url));
                input
            }
            None => Err(crosspoint_ffi::Error::new("opening a file again", crosspoint_ffi::Remedy::Report, "it is read only once")),
        }
    }

    fn choose(&self, input: &Input) -> Choice {
        let mut choice = choose(&self.heirs.founders(input.tracks()), self.wants.wanted(), self.canvas, self.steps_down);
        choice.tracks.iter_mut().for_each(|track| *track = self.heirs.of(*track));
        choice
    }

    fn select_anew(&self, input: &mut Input, choice: &mut Choice) {
        *choice = self.choose(input);
        input.select(&choice.tracks);
    }
}

fn nothing(wanted: Wanted) -> &'static str {
    match (wanted.video, wanted.audio) {
        (true, false) => "it has no picture",
        (false, true) => "it has no sound",
        (true, true) | (false, false) => "it has neither picture nor sound",
    }
}
