//! The decode thread: packets in, the newest picture out, and nothing decoded that nobody looks at.
//!
//! A [`Backlog`] holds what was released and says what of it to decode: all while the camera is read or a [`Tap`] is open, next to nothing
//! while neither is. It also bounds the delay of a stream that is too heavy for the machine.
//!
//! Pictures are made in the camera's own buffers where a [`Lender`] offers them and they fit. When the offer changes, whoever held such
//! buffers has to let go of them, for a device is free only then: the decoder goes, and the next key frame has another.
//!
//! Copies: 0 (FFmpeg reads the packet's payload where the demuxer gathered it; a picture is handed on by reference).

mod counters;
mod demand;
mod opened;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crosspoint_ffi::av::{Picture, VideoDecoder};
use crosspoint_ffi::fd::Wake;
use crosspoint_ffi::lend::Lender;
use crosspoint_ffi::ring::Writer;
use crosspoint_ffi::{Packet, Remedy};
use crosspoint_router::ingest::{Backlog, BacklogOutput, Step};
use tokio::sync::mpsc;
use tracing::{debug, info, trace, warn};

pub(crate) use counters::DecodeCounters;
pub(crate) use demand::CameraDemand;
use demand::Wanted;
use opened::Opened;

use super::Trouble;

/// What the decode thread is asked to do, in order.
#[derive(Debug)]
pub(crate) enum Job {
    /// Whether the camera is read, or what it lends, changed: look again.
    Demand,
    /// The source has come to its end: show what the decoder still holds.
    Finish,
    /// The source gave nothing for so long that its last picture is no news: black until the next, which may refer to those before.
    Gap,
    /// The source is gone: forget it and show black.
    Gone,
    /// Decode this and show what comes of it.
    Packet(Packet),
    /// Another source follows: forget the old one; its last picture stands until the next, but for a moment at most.
    Reset,
    /// Hand every picture to this tap, too, and decode whether the camera is read or not; or no more.
    Watch(Option<Tap>),
}

/// Where decoded pictures go beside the camera. Its reader gets the newest one.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) pictures: Writer<Arc<Picture>>,
    /// Raised for every picture.
    pub(crate) wake: Arc<Wake>,
}

/// What the camera is to show.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// Nothing.
    Black,
    /// A decoded picture, whose delay counts from `since`: its arrival, or the moment somebody came to look.
    Picture { picture: Arc<Picture>, since: Instant },
    /// The picture that is shown, until the next one or for a moment at most: it is of a source that was replaced.
    Swap,
}

/// Packets that may lie between the network thread and the decode thread, which takes them between any two pictures. Full, the source
/// waits: TCP pushes back.
const QUEUE: usize = 8;

/// The decode thread's end of its queue.
pub(crate) struct Jobs {
    jobs: mpsc::Receiver<Job>,
    wanted: Wanted,
}

/// Makes the queue to the decode thread, and the present thread's way to tell whether the camera is read.
pub(crate) fn queue() -> (mpsc::Sender<Job>, CameraDemand, Jobs) {
    let (sender, jobs) = mpsc::channel(QUEUE);
    let (demand, wanted) = demand::pair(sender.clone());
    (sender, demand, Jobs { jobs, wanted })
}

/// Starts the thread. It ends when the senders are dropped.
pub(crate) fn start(
    jobs: Jobs,
    shown: Writer<Shown>,
    wake: Arc<Wake>,
    counters: Arc<DecodeCounters>,
    trouble: Arc<Trouble>,
    lender: Lender,
) -> std::io::Result<()> {
    let Jobs { jobs, wanted } = jobs;
    // Not joined: it ends with the senders, and only its own memory goes with it.
    super::start("decode", move || Decode::new(wanted, shown, wake, counters, trouble, lender).run(jobs)).map(drop)
}

struct Decode {
    wanted: Wanted,
    shown: Writer<Shown>,
    wake: Arc<Wake>,
    counters: Arc<DecodeCounters>,
    trouble: Arc<Trouble>,
    /// What was told through it of the source.
    told: Option<String>,
    backlog: Backlog,
    opened: Option<Opened>,
    lender: Lender,
    /// How often the offer had changed when it was looked at last, and whether the decoder is older.
    offers: u64,
    is_outdated: bool,
    tap: Option<Tap>,
    /// How often readers came and went, and since when the camera is read, if it is.
    turns: u64,
    read_since: Option<Instant>,
    /// The source's newest picture, if it is still that.
    newest: Option<Arc<Picture>>,
    /// Whether `newest` was not handed on yet.
    is_due: bool,
    /// Whether what the backlog holds is older than a gap.
    is_stale: bool,
    /// Whether what the backlog holds is the source's last.
    is_ending: bool,
}

impl Decode {
    fn new(
        wanted: Wanted,
        shown: Writer<Shown>,
        wake: Arc<Wake>,
        counters: Arc<DecodeCounters>,
        trouble: Arc<Trouble>,
        lender: Lender,
    ) -> Self {
        let offers = lender.changes();
        Self {
            wanted,
            shown,
            wake,
            counters,
            trouble,
            told: None,
            backlog: Backlog::new(),
            opened: None,
            lender,
            offers,
            is_outdated: false,
            tap: None,
            turns: 0,
            read_since: None,
            newest: None,
            is_due: false,
            is_stale: false,
            is_ending: false,
        }
    }

    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            self.look(Instant::now());
            match self.backlog.poll(Instant::now()) {
                BacklogOutput::Decode(step) => {
                    let started = Instant::now();
                    self.decode(&step);
                    let took = started.elapsed();
                    self.counters.time.note(took);
                    while let Ok(job) = jobs.try_recv() {
                        self.handle(job);
                    }
                    self.backlog.handle_decoded(took);
                }
                BacklogOutput::Idle => {
                    if std::mem::take(&mut self.is_ending) {
                        self.finish();
                    }
                    self.settle();
                    self.counters.note(&self.backlog.stats());
                    let Some(job) = jobs.blocking_recv() else { return };
                    self.handle(job);
                }
            }
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Demand => {}
            Job::Finish => self.is_ending = true,
            Job::Gap => {
                self.is_stale = true;
                self.forget_picture();
                self.show(Shown::Black);
            }
            Job::Gone => {
                self.forget();
                self.show(Shown::Black);
            }
            Job::Packet(packet) => {
                self.is_stale = false;
                self.backlog.handle_packet(packet);
            }
            Job::Reset => {
                self.forget();
                self.show(Shown::Swap);
            }
            Job::Watch(tap) => {
                self.is_due |= tap.is_some() && self.newest.is_some();
                self.tap = tap;
            }
        }
    }

    /// Takes note of who watches.
    fn look(&mut self, now: Instant) {
        let turns = self.wanted.turns();
        if turns != self.turns {
            self.turns = turns;
            let is_read = demand::is_read(turns);
            debug!(is_read, "camera demand changed");
            self.read_since = is_read.then_some(now);
            // Even one who left and came back between two looks found the camera black.
            self.is_due |= is_read && self.newest.is_some();
        }
        self.backlog.handle_demand(self.is_watched(), now);
        let offers = self.lender.changes();
        if offers != self.offers {
            self.offers = offers;
            self.handle_offer();
        }
    }

    /// The camera's buffers came, went or changed.
    fn handle_offer(&mut self) {
        let Some(opened) = &self.opened else { return };
        if opened.decoder.is_lent() {
            debug!("decoder closed: it held buffers of a camera that is gone");
            self.opened = None;
            self.forget_picture();
            self.backlog.handle_loss();
        } else {
            self.is_outdated = true;
        }
    }

    fn decode(&mut self, step: &Step) {
        if let Err(error) = self.try_decode(step) {
            self.counters.bad_packets.fetch_add(1, Relaxed);
            if self.trouble.note(&error) {
                warn!(%error, codec = ?step.packet.codec, "packet not decoded");
            }
            self.told = Some(error.to_string());
            match error.remedy() {
                Remedy::Drop | Remedy::Retry => {}
                Remedy::Rebuild | Remedy::Report => {
                    self.opened = None;
                    self.backlog.handle_loss();
                }
            }
        }
    }

    fn try_decode(&mut self, step: &Step) -> crosspoint_ffi::Result<()> {
        // Another decoder may be lent buffers, and at a key frame costs nothing.
        let is_outdated = self.is_outdated && step.packet.key;
        let mut opened = match self.opened.take().filter(|opened| opened.suits(step) && !is_outdated) {
            Some(opened) => opened,
            None => self.open(step)?,
        };
        let Opened { decoder, .. } = &mut opened;
        if step.restart {
            decoder.reset();
        }
        decoder.skip_unreferenced(step.skips_unreferenced);
        trace!(pts = ?step.packet.pts, key = step.packet.key, hidden = step.is_hidden, "packet released");
        let sent = decoder.send(&step.packet);
        // A refused packet may still let earlier pictures out.
        let received = self.receive(decoder, step.is_hidden);
        self.opened = Some(opened);
        sent.and(received)
    }

    /// Shows what the decoder still holds; the next packet begins another stream.
    fn finish(&mut self) {
        let Some(mut opened) = self.opened.take().filter(|_| self.is_watched()) else { return };
        opened.decoder.flush();
        if let Err(error) = self.receive(&mut opened.decoder, false) {
            debug!(%error, "end of the stream not decoded");
        }
        self.opened = Some(opened);
    }

    fn receive(&mut self, decoder: &mut VideoDecoder, is_hidden: bool) -> crosspoint_ffi::Result<()> {
        while let Some(picture) = decoder.receive()? {
            self.take(picture, is_hidden);
        }
        Ok(())
    }

    fn open(&mut self, step: &Step) -> crosspoint_ffi::Result<Opened> {
        let opened = Opened::open(step, &self.lender)?;
        self.is_outdated = false;
        if step.by_frame {
            self.counters.by_frame.fetch_add(1, Relaxed);
            let (cost, interval) = self.backlog.pace().unwrap_or_default();
            info!(codec = ?step.packet.codec, ?cost, ?interval, "pictures cost more than their time: decoding several at a time, with more delay");
        } else {
            debug!(codec = ?step.packet.codec, "decoder opened");
        }
        Ok(opened)
    }

    fn take(&mut self, picture: Picture, is_hidden: bool) {
        trace!(pts = ?picture.pts(), "picture decoded");
        self.counters.pictures.fetch_add(1, Relaxed);
        self.trouble.mend();
        if self.is_stale {
            return;
        }
        self.newest = Some(Arc::new(picture));
        self.is_due = true;
        if !is_hidden {
            self.hand_on();
        }
    }

    /// Nothing is left to decode for now: hands on what a burst came to, or lets go of a picture that newer packets made old.
    fn settle(&mut self) {
        if self.is_watched() {
            self.hand_on();
        } else if self.backlog.is_keeping() {
            self.forget_picture();
        }
    }

    /// Hands the newest picture to who wants it, once.
    fn hand_on(&mut self) {
        let Some(picture) = self.newest.as_ref().filter(|_| self.is_due) else { return };
        let picture = Arc::clone(picture);
        self.is_due = false;
        if let Some(tap) = &mut self.tap {
            // Its reader counts what it did not see by the pictures' times, if it cares.
            drop(tap.pictures.publish(Arc::clone(&picture)));
            tap.wake.raise();
        }
        if let Some(read_since) = self.read_since {
            self.show(Shown::Picture { since: picture.arrival().max(read_since), picture });
        }
    }

    fn show(&mut self, shown: Shown) {
        let displaced = self.shown.publish(shown);
        self.counters.displaced.fetch_add(u64::from(matches!(displaced, Some(Shown::Picture { .. }))), Relaxed);
        self.wake.raise();
    }

    fn forget(&mut self) {
        self.backlog.handle_reset();
        self.opened = None;
        if let Some(told) = self.told.take() {
            // It may have been told when the next source was configured already, whose fault it is not.
            self.trouble.take_back(&told);
        }
        (self.is_stale, self.is_ending) = (false, false);
        self.forget_picture();
    }

    fn forget_picture(&mut self) {
        (self.newest, self.is_due) = (None, false);
    }

    fn is_watched(&self) -> bool {
        self.read_since.is_some() || self.tap.is_some()
    }
}

#[cfg(test)]
mod tests;
