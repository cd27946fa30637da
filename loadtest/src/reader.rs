//! A reader of the camera file.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

/// Reads the camera as Chromium does: a frame each period, from the first again where the file ends.
pub(crate) struct Reader(Arc<AtomicBool>);

impl Reader {
    /// Starts on the camera at `camera`, of 720p.
    ///
    /// # Errors
    /// When it is no camera.
    pub(crate) fn start(camera: &Path, period: Duration) -> Result<Self> {
        let mut file = BufReader::new(File::open(camera).with_context(|| format!("opening {}", camera.display()))?);
        let mut header = Vec::new();
        let first = file.read_until(b'\n', &mut header)? as u64;
        let mut frame = vec![0; FRAME_BYTES];
        ensure!(header.starts_with(b"YUV4MPEG2"), "{} is no camera", camera.display());
        let ended = Arc::new(AtomicBool::new(false));
        let (end, mut file) = (Arc::clone(&ended), file.into_inner());
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
            }
        })?;
        Ok(Self(ended))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `FRAME`, a line's end, and a picture.
const FRAME_BYTES: usize = 6 + 1_280 * 720 * 3 / 2;
