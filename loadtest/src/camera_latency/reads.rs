//! When the browser read the camera file.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use crosspoint_ffi::fd::{FileEvent, FileWatch, Wake, wait_readable};

use crate::clock::Clock;

/// Watches a camera file's reads from a thread of its own, whose times lag by one wake-up.
#[derive(Debug)]
pub(crate) struct ReadWatch {
    stop: Arc<Wake>,
    thread: Option<JoinHandle<Vec<f64>>>,
}

impl ReadWatch {
    /// Begins to watch `camera`.
    ///
    /// # Errors
    /// When there is no such file, or the kernel lends no more watches.
    pub(crate) fn start(camera: &Path, clock: Clock) -> Result<Self> {
        let watch = FileWatch::new()?;
        watch.add(&File::open(camera).with_context(|| format!("opening {}", camera.display()))?)?;
        let stop = Arc::new(Wake::new()?);
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("reads".to_owned()).spawn(move || collect(&watch, &stopped, clock))?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends the watch and gives the times of all reads, in order.
    pub(crate) fn finish(mut self) -> Vec<f64> {
        self.stop.raise();
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

impl Drop for ReadWatch {
    fn drop(&mut self) {
        self.stop.raise();
    }
}

fn collect(watch: &FileWatch, stop: &Wake, clock: Clock) -> Vec<f64> {
    let mut reads = Vec::new();
    // What was read before the stop was raised is in the queue by then: drained first, nothing of it is lost.
    while wait_readable([watch.as_fd(), stop.as_fd()], None).is_ok() {
        let now = clock.now_ms();
        watch.drain(|_, event| match event {
            FileEvent::Read => reads.push(now),
            FileEvent::Closed | FileEvent::Opened | FileEvent::Overflowed => {}
        });
        if stop.lower() {
            break;
        }
    }
    reads
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn reads_are_seen_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"frame").unwrap();
        let clock = Clock::start();
        let watch = ReadWatch::start(file.path(), clock).unwrap();
        let before = clock.now_ms();
        File::open(file.path()).unwrap().read_exact(&mut [0; 5]).unwrap();
        let reads = watch.finish();
        assert_eq!(reads.len(), 1);
        assert!((before..=clock.now_ms()).contains(&reads[0]), "{reads:?}");
    }
}
