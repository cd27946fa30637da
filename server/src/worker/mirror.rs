//! The mirror thread: decoded pictures into H.264, for feed viewers of what they could not decode themselves.
//!
//! Copies: 1 pass (into the encoder's canvas).

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crosspoint_ffi::av::{H264Encoder, H264Settings, Painter, Picture, Preset};
use crosspoint_ffi::fd::{Wake, wait_readable};
use crosspoint_ffi::ring::{self, Reader};
use crosspoint_ffi::{I420, I420Mut, MediaTime, Packet, Remedy, Result, VideoFormat};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::decode::Tap;

/// A thread that encodes the newest decoded picture, and a still one again and again; it ends when this is dropped.
pub(crate) struct MirrorEncoder {
    shared: Arc<Shared>,
}

struct Shared {
    wake: Arc<Wake>,
    key_wanted: AtomicBool,
    /// Whether the last picture is no news, and is not sent again.
    silent: AtomicBool,
    stopped: AtomicBool,
}

/// Players of a TS need pictures even of a still, and the page takes a feed that sends nothing for a second for lost.
const REFRESH: Duration = Duration::from_millis(500);
/// The most bits a second: those of the screen's stream.
const BITRATE_BPS: u32 = 3_000_000;

impl MirrorEncoder {
    /// Starts the thread; it takes pictures from the tap, and gives packets no larger than `canvas`.
    pub(crate) fn start(canvas: VideoFormat, packets: mpsc::Sender<Packet>) -> Result<(Self, Tap)> {
        let (pictures, newest) = ring::newest();
        let wake = Arc::new(Wake::new()?);
        let shared = Arc::new(Shared {
            wake: Arc::clone(&wake),
            key_wanted: AtomicBool::new(true),
            silent: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let work = Work { shared: Arc::clone(&shared), canvas, newest, packets, epoch: Instant::now() };
        super::start("mirror", move || work.run())
            .map_err(|error| crosspoint_ffi::Error::system("starting a thread", Remedy::Retry, error))?;
        Ok((Self { shared }, Tap { pictures, wake }))
    }

    /// Asks for a key frame, now.
    pub(crate) fn want_key(&self) {
        self.shared.key_wanted.store(true, Relaxed);
        self.shared.wake.raise();
    }

    /// Sends the last picture no more; the next one ends the silence.
    pub(crate) fn silence(&self) {
        self.shared.silent.store(true, Relaxed);
    }
}

impl Drop for MirrorEncoder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        self.shared.wake.raise();
    }
}

struct Work {
    shared: Arc<Shared>,
    canvas: VideoFormat,
    newest: Reader<Arc<Picture>>,
    packets: mpsc::Sender<Packet>,
    epoch: Instant,
}

impl Work {
    fn run(mut self) {
        debug!("feed encoder begins");
        let mut encoding: Option<Encoding> = None;
        let mut refresh_at: Option<Instant> = None;
        loop {
            let timeout = refresh_at.map(|at| at.saturating_duration_since(Instant::now()));
            if wait_readable([self.shared.wake.as_fd()], timeout).is_err() {
                break;
            }
            self.shared.wake.lower();
            if self.shared.stopped.load(Relaxed) || self.packets.is_closed() {
                break;
            }
            let picture = self.newest.take();
            if picture.is_some() {
                self.shared.silent.store(false, Relaxed);
            } else if self.shared.silent.load(Relaxed) {
                refresh_at = None;
                continue;
            }
            let is_due = refresh_at.is_some_and(|at| Instant::now() >= at) || self.shared.key_wanted.load(Relaxed);
            if picture.is_none() && !is_due {
                continue;
            }
            match self.encode(&mut encoding, picture.as_deref()) {
                Ok(true) => refresh_at = Some(Instant::now() + REFRESH),
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, "picture not encoded for the feed");
                    // The next picture may be another.
                    (encoding, refresh_at) = (None, None);
                    self.shared.key_wanted.store(true, Relaxed);
                }
            }
        }
        debug!("feed encoder ended");
    }

    /// Encodes `picture`, or the last one again; false when there was none yet.
    fn encode(&self, encoding: &mut Option<Encoding>, picture: Option<&Picture>) -> Result<bool> {
        let now = Instant::now();
        let mut arrival = now;
        if let Some(picture) = picture {
            arrival = picture.arrival();
            let format = format_for(picture, self.canvas);
            if encoding.as_ref().is_none_or(|encoding| encoding.format != format) {
                *encoding = Some(Encoding::start(format)?);
                self.shared.key_wanted.store(true, Relaxed);
            }
        }
        let Some(encoding) = encoding else { return Ok(false) };
        if let Some(picture) = picture {
            encoding.draw(picture)?;
        }
        let key = self.shared.key_wanted.swap(false, Relaxed);
        let pts = MediaTime::from(now.saturating_duration_since(self.epoch));
        if let Some(packet) = encoding.encode(pts, arrival, key)?
            && self.packets.try_send(packet).is_err()
        {
            self.shared.key_wanted.store(true, Relaxed);
        }
        Ok(true)
    }
}

/// The picture's own shape, in even sides that an encoder takes and no larger than the canvas.
fn format_for(picture: &Picture, canvas: VideoFormat) -> VideoFormat {
    let (wide, high) = picture.pixel_aspect();
    let (width, height) = (f64::from(picture.width()) * f64::from(wide) / f64::from(high), f64::from(picture.height()));
    let scale = (f64::from(canvas.width()) / width).min(f64::from(canvas.height()) / height).min(1.0);
    let side = |pixels: f64, most: u32| (((pixels * scale) as u32).max(16).min(most) + 1) & !1;
    VideoFormat::new(side(width, canvas.width()), side(height, canvas.height()), canvas.frame_rate()).unwrap_or(canvas)
}

/// The canvas that is encoded again and again, and its encoder.
struct Encoding {
    format: VideoFormat,
    samples: Vec<u8>,
    painter: Painter,
    encoder: H264Encoder,
}

impl Encoding {
    fn start(format: VideoFormat) -> Result<Self> {
        let encoder =
            H264Encoder::new(H264Settings { format, bitrate_bps: BITRATE_BPS, max_bitrate_bps: BITRATE_BPS, preset: Preset::default() })?;
        debug!(width = format.width(), height = format.height(), "feed encoder opened");
        Ok(Self { format, samples: vec![0; format.i420_bytes()], painter: Painter::new(), encoder })
    }

    fn draw(&mut self, picture: &Picture) -> Result<()> {
        let mut canvas = I420Mut::packed(&mut self.samples, self.format.width(), self.format.height()).expect("sized by its format");
        self.painter.draw(picture, &mut canvas)
    }

    fn encode(&mut self, pts: MediaTime, arrival: Instant, key: bool) -> Result<Option<Packet>> {
        let canvas = I420::packed(&self.samples, self.format.width(), self.format.height()).expect("sized by its format");
        self.encoder.encode(&canvas, pts, arrival, key)
    }
}
