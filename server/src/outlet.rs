//! Where the packets of a source go once they are released.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crosspoint_ffi::Packet;
use tokio::sync::mpsc;

use crate::feed::Feed;
use crate::worker::Trouble;
use crate::worker::decode::Job;
use crate::worker::sound::{SoundOutlet, SoundView};

/// The way of the camera's source, whichever has it.
pub(crate) struct Outlet {
    jobs: mpsc::Sender<Job>,
    feed: Rc<Feed>,
    turns: Rc<Cell<u64>>,
}

/// One source's turn at the [`Outlet`]: where its packets go once they are released. When another source's turn begins this one is over,
/// and what its source still gives, which may refer to what the decoder forgot, is dropped.
pub(crate) struct Turn {
    jobs: mpsc::Sender<Job>,
    feed: Rc<Feed>,
    turns: Rc<Cell<u64>>,
    number: u64,
}

impl Outlet {
    /// Makes an outlet to the decode thread, which lives as long as a sender of `jobs`, and to the feed.
    pub(crate) fn new(jobs: mpsc::Sender<Job>, feed: Rc<Feed>) -> Self {
        Self { jobs, feed, turns: Rc::default() }
    }

    /// Another source begins: the old one's last picture stands until the new one's first, but for 300 ms at most.
    pub(crate) async fn begin(&self) -> Turn {
        let turn = self.next();
        turn.forget(Job::Reset).await;
        turn
    }

    /// The source is gone, and none follows for now: black.
    pub(crate) async fn gone(&self) {
        self.next().gone().await;
    }

    /// How many jobs wait for the decode thread.
    pub(crate) fn queued(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    fn next(&self) -> Turn {
        self.turns.set(self.turns.get() + 1);
        Turn { jobs: self.jobs.clone(), feed: Rc::clone(&self.feed), turns: Rc::clone(&self.turns), number: self.turns.get() }
    }
}

impl Turn {
    /// Takes the source's next packet; waits while the decoder is behind.
    pub(crate) async fn packet(&self, packet: Packet) {
        if self.is_over() {
            return;
        }
        self.feed.picture(&packet);
        self.send(Job::Packet(packet)).await;
    }

    /// Nothing came for so long that the last picture is no news: black until the next one, which may refer to earlier ones.
    pub(crate) async fn gap(&self) {
        if self.is_over() {
            return;
        }
        self.feed.gap();
        self.send(Job::Gap).await;
    }

    /// Takes released sound of the source, for those who watch the feed.
    pub(crate) fn sound_of_source(&self, packet: &Packet) {
        if !self.is_over() {
            self.feed.sound(packet);
        }
    }

    /// The source has come to its end: what the decoder still holds is shown.
    pub(crate) async fn finish(&self) {
        self.forget(Job::Finish).await;
    }

    /// The source is gone, though it may come again: black.
    pub(crate) async fn gone(&self) {
        self.forget(Job::Gone).await;
    }

    /// Whether another source has begun.
    pub(crate) fn is_over(&self) -> bool {
        self.turns.get() != self.number
    }

    /// Has the feed begin anew and the decode thread do `job`, after which no packet refers to those before.
    async fn forget(&self, job: Job) {
        if self.is_over() {
            return;
        }
        self.feed.begin();
        self.send(job).await;
    }

    async fn send(&self, job: Job) {
        // The decode thread lives as long as the outlet.
        let _ = self.jobs.send(job).await;
    }
}

/// Where the pictures of a source go, and what goes wrong with them.
pub(crate) struct Eyes {
    pub(crate) turn: Turn,
    pub(crate) trouble: Arc<Trouble>,
}

/// Where the sound of a source goes, and what goes wrong with it.
pub(crate) struct Ears {
    /// Nothing when there is no sound thread: what comes is dropped, in its time.
    pub(crate) outlet: Option<SoundOutlet>,
    pub(crate) view: Option<Arc<SoundView>>,
    pub(crate) trouble: Arc<Trouble>,
}

impl Ears {
    /// How long sound takes from here to being heard; nothing while none plays.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.view.as_ref()?.path_latency()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crosspoint_ffi::{Codec, MediaTime, Payload, VideoFormat};

    use super::*;
    use crate::runtime::Io;

    fn packet() -> Packet {
        let time = Some(MediaTime::ZERO);
        Packet { codec: Codec::H264, data: Payload::default(), pts: time, dts: time, key: false, arrival: Instant::now(), parameters: None }
    }

    #[test]
    fn nothing_of_a_source_comes_after_the_next_has_begun() {
        let played = Io::Epoll.block_on(async {
            let (sender, mut jobs) = mpsc::channel(8);
            let feed = Feed::new(sender.clone(), VideoFormat::new(64, 64, 30).expect("a format"));
            let outlet = Outlet::new(sender, Rc::new(feed));
            let old = outlet.begin().await;
            old.packet(packet()).await;
            assert!(matches!(jobs.try_recv(), Ok(Job::Reset)));
            assert!(matches!(jobs.try_recv(), Ok(Job::Packet(_))));
            let new = outlet.begin().await;
            assert!(matches!(jobs.try_recv(), Ok(Job::Reset)));
            old.packet(packet()).await;
            old.gap().await;
            old.finish().await;
            old.gone().await;
            assert!(old.is_over() && jobs.try_recv().is_err(), "what the old one still does");
            new.gone().await;
            new.packet(packet()).await;
            assert!(matches!(jobs.try_recv(), Ok(Job::Gone)), "it may come again");
            assert!(matches!(jobs.try_recv(), Ok(Job::Packet(_))));
            outlet.gone().await;
            new.packet(packet()).await;
            assert!(matches!(jobs.try_recv(), Ok(Job::Gone)));
            assert!(jobs.try_recv().is_err(), "it was stopped");
        });
        played.expect("an epoll instance");
    }
}
