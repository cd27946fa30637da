//! A reader of the camera file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::clock::Clock;
use crate::code;
use crate::page::Sighting;

/// Reads the camera as Chromium does: a frame each period, from the first again where the file ends.
pub(crate) struct Reader {
    ended: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Sighting>>>,
}

impl Reader {
    /// Starts on the camera at `camera`, of 720p.
    ///
    /// # Errors
    /// When it is no camera.
    pub(crate) fn start(camera: &Path, period: Duration) -> Result<Self> {
        Self::spawn(camera, period, None)
    }

    /// Starts one that looks for numbers in the pixels, and notes when it saw them.
    ///
    /// # Errors
    /// As [`Reader::start`].
    pub(crate) fn watch(camera: &Path, period: Duration, clock: Clock) -> Result<Self> {
        Self::spawn(camera, period, Some(clock))
    }

    /// What was seen since the last time.
    pub(crate) fn seen(&self) -> Vec<Sighting> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn spawn(camera: &Path, period: Duration, watch: Option<Clock>) -> Result<Self> {
        let mut file = BufReader::new(File::open(camera).with_context(|| format!("opening {}", camera.display()))?);
        let mut header = Vec::new();
        let first = file.read_until(b'\n', &mut header)? as u64;
        let mut frame = vec![0; FRAME_BYTES];
        ensure!(header.starts_with(b"YUV4MPEG2"), "{} is no camera", camera.display());
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::<Mutex<Vec<Sighting>>>::default();
        let (end, sightings, mut file) = (Arc::clone(&ended), Arc::clone(&seen), file.into_inner());
        file.seek(SeekFrom::Start(first))?;
        thread::Builder::new().name("reader".to_owned()).spawn(move || {
            let mut due = Instant::now();
            while !end.load(Ordering::Relaxed) {
                due += period;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let is_read = file.read_exact(&mut frame).is_ok();
                if !is_read && file.seek(SeekFrom::Start(first)).and_then(|_| file.read_exact(&mut frame)).is_err() {
                    return;
                }
                if let Some(clock) = watch {
                    let [top, bottom] = code::read(&frame[HEAD_BYTES..][..WIDTH * HEIGHT], WIDTH);
                    let sighting = Sighting { top, bottom, at_ms: clock.now_ms(), way: None };
                    sightings.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
                }
            }
        })?;
        Ok(Self { ended, seen })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

const WIDTH: usize = 1_280;
const HEIGHT: usize = 720;
/// `FRAME` and a line's end.
const HEAD_BYTES: usize = 6;
const FRAME_BYTES: usize = HEAD_BYTES + WIDTH * HEIGHT * 3 / 2;
