//! Where the packets of a source go once they are released.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crosspoint_ffi::Packet;
use tokio::sync::mpsc;

use crate::feed::Feed;
use crate::worker::Trouble;
use crate::worker::decode::Job;
use crate::worker::sound::{SoundOutlet, SoundView};

/// Where the packets of the camera's source go once they are released: every source ends here.
#[derive(Clone)]
pub(crate) struct Outlet {
    jobs: mpsc::Sender<Job>,
    feed: Rc<Feed>,
}

impl Outlet {
    /// Makes an outlet to the decode thread, which lives as long as a sender of `jobs`, and to the feed.
    pub(crate) fn new(jobs: mpsc::Sender<Job>, feed: Rc<Feed>) -> Self {
        Self { jobs, feed }
    }

    /// Another source begins: the old one's last picture stands until the new one's first, but for 300 ms at most.
    pub(crate) async fn begin(&self) {
        self.feed.begin();
        self.send(Job::Reset).await;
    }

    /// Takes the source's next packet; waits while the decoder is behind.
    pub(crate) async fn packet(&self, packet: Packet) {
        self.feed.picture(&packet);
        self.send(Job::Packet(packet)).await;
    }

    /// Nothing came for so long that the last picture is no news: black until the next one, which may refer to earlier ones.
    pub(crate) async fn gap(&self) {
        self.feed.gap();
        self.send(Job::Gap).await;
    }

    /// Takes released sound of the camera's source, for those who watch the feed.
    pub(crate) fn sound_of_source(&self, packet: &Packet) {
        self.feed.sound(packet);
    }

    /// The source has come to its end: what the decoder still holds is shown.
    pub(crate) async fn finish(&self) {
        self.feed.begin();
        self.send(Job::Finish).await;
    }

    /// The source is gone: black.
    pub(crate) async fn gone(&self) {
        self.feed.begin();
        self.send(Job::Gone).await;
    }

    /// How many jobs wait for the decode thread.
    pub(crate) fn queued(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    async fn send(&self, job: Job) {
        // The decode thread lives as long as this.
        let _ = self.jobs.send(job).await;
    }
}

/// Where the pictures of a source go, and what goes wrong with them.
pub(crate) struct Eyes {
    pub(crate) outlet: Outlet,
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
