//! The screen thread of one frame rate: the display's changes in, H.264 out.
//!
//! It sleeps until the X server reports a change, a viewer needs a key frame, or players are due their refresh; an unchanged screen is
//! neither read nor converted. A display that goes away is opened again.
//!
//! Copies: 1 (the X server writes changed rows into the shared segment), then the one conversion that the encoder reads from.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crosspoint_ffi::av::{H264Encoder, H264Settings, Preset};
use crosspoint_ffi::fd::{Wake, wait_readable};
use crosspoint_ffi::x11::{Display, Screen, bgra_to_i420};
use crosspoint_ffi::{Error, I420, I420Mut, MediaTime, Packet, Remedy, Result, VideoFormat};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::Trouble;

/// What a screen thread is to do, and whom it tells.
#[derive(Clone, Debug)]
pub(crate) struct ScreenSettings {
    /// The X display; nothing: `$DISPLAY`.
    pub(crate) display: Option<String>,
    /// At most this many frames a second.
    pub(crate) frame_rate: u32,
    /// The bits a second that the encoder aims for.
    pub(crate) bitrate_bps: u32,
    /// What the times of packets count from.
    pub(crate) epoch: Instant,
}

/// What a screen thread tells.
#[derive(Debug, Default)]
pub(crate) struct ScreenView {
    /// Whether frames come.
    pub(crate) live: AtomicBool,
    /// Frames read from the display.
    pub(crate) grabbed: AtomicU64,
    /// Frames encoded.
    pub(crate) encoded: AtomicU64,
    /// Encoded frames that the network thread had no room for.
    pub(crate) overrun: AtomicU64,
}

/// The network thread's end of a screen thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ScreenCapture {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wake: Wake,
    key_wanted: AtomicBool,
    stopped: AtomicBool,
}

impl ScreenCapture {
    /// Starts a thread that captures and encodes into `packets`.
    pub(crate) fn start(
        settings: ScreenSettings,
        packets: mpsc::Sender<Packet>,
        view: Arc<ScreenView>,
        trouble: Arc<Trouble>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared { wake: Wake::new()?, key_wanted: AtomicBool::new(true), stopped: AtomicBool::new(false) });
        let work = Work { settings, shared: Arc::clone(&shared), packets, view, trouble };
        // Not joined: it may sit in a request to an X server that hangs. It owns all it touches and ends at its next look.
        super::start("screen", move || work.run()).map_err(|error| Error::system("starting a thread", Remedy::Retry, error))?;
        Ok(Self { shared })
    }

    /// Asks for a key frame, now.
    pub(crate) fn want_key(&self) {
        self.shared.key_wanted.store(true, Relaxed);
        self.shared.wake.raise();
    }
}

impl Drop for ScreenCapture {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Relaxed);
        self.shared.wake.raise();
    }
}

struct Work {
    settings: ScreenSettings,
    shared: Arc<Shared>,
    packets: mpsc::Sender<Packet>,
    view: Arc<ScreenView>,
    trouble: Arc<Trouble>,
}

/// Between one attempt to open the display and the next: first and longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Players of a TS need frames even from a screen that stands still: soon after a change, because many hold a picture until they know
/// when the next is due, and then ever more seldom.
const REFRESH: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

impl Work {
    fn run(self) {
        debug!(frame_rate = self.settings.frame_rate, "screen capture begins");
        let mut back_off = BACK_OFF.0;
        while !self.stopped() {
            let Err(error) = self.session(&mut back_off) else { break };
            self.view.live.store(false, Relaxed);
            if self.trouble.note(&error) {
                warn!(%error, "display not usable; retrying");
            }
            let until = Instant::now() + back_off;
            while !self.stopped() && Instant::now() < until {
                self.shared.wake.lower();
                if wait_readable([self.shared.wake.as_fd()], Some(until.saturating_duration_since(Instant::now()))).is_err() {
                    break;
                }
            }
            back_off = (back_off * 2).min(BACK_OFF.1);
        }
        self.view.live.store(false, Relaxed);
        debug!(frame_rate = self.settings.frame_rate, "screen capture ended");
    }

    /// Captures until the display is lost, or until the end.
    fn session(&self, back_off: &mut Duration) -> Result<()> {
        let mut screen = Screen::new(Display::open(self.settings.display.as_deref())?)?;
        for note in screen.notes() {
            warn!(note, "slow capture");
        }
        *back_off = BACK_OFF.0;
        // Rounded up: frames are never closer than the rate says, or players that count in frames give two the same number.
        let period = Duration::from_nanos(1_000_000_000_u64.div_ceil(u64::from(self.settings.frame_rate)));
        let mut encoding: Option<Encoding> = None;
        let mut last_frame: Option<Instant> = None;
        let mut refresh = REFRESH.0;
        loop {
            self.shared.wake.lower();
            if self.stopped() {
                return Ok(());
            }
            screen.handle_events()?;
            let now = Instant::now();
            let key = self.shared.key_wanted.load(Relaxed);
            let due = match last_frame {
                None => now,
                Some(last) if key || screen.is_stale() => last + period,
                Some(last) => last + refresh,
            };
            if now < due {
                wait_readable([self.shared.wake.as_fd(), screen.fd()], Some(due - now))?;
                if screen.is_stale() || self.shared.key_wanted.load(Relaxed) {
                    // Between two frames only time is waited for: each change more would wake us for nothing.
                    self.sleep_until(due.min(last_frame.unwrap_or(now) + period))?;
                }
                continue;
            }
            refresh = if screen.is_stale() { REFRESH.0 } else { (refresh * 2).min(REFRESH.1) };
            let captured = Instant::now();
            match self.capture(&mut screen, &mut encoding) {
                Ok(()) => {}
                Err(error) if error.remedy() == Remedy::Retry => {
                    // A resize on its way.
                    debug!(%error, "grab refused");
                    last_frame = Some(captured);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let Some(encoding) = &mut encoding else { continue };
            // Even steps of the frame period, unless there was a pause: what our own wake-ups jitter by is not the screen's.
            let stamp = if last_frame.is_some() && captured < due + period { due } else { captured };
            last_frame = Some(stamp);
            let key = self.shared.key_wanted.swap(false, Relaxed);
            let pts = MediaTime::from(stamp.saturating_duration_since(self.settings.epoch));
            if let Some(packet) = encoding.encode(pts, captured, key)? {
                self.view.encoded.fetch_add(1, Relaxed);
                if self.packets.try_send(packet).is_err() {
                    self.view.overrun.fetch_add(1, Relaxed);
                    self.shared.key_wanted.store(true, Relaxed);
                }
            }
            if !self.view.live.swap(true, Relaxed) {
                self.trouble.clear();
            }
        }
    }

    /// Waits for the end of a frame period, still noticing an end and key frame orders at its end.
    fn sleep_until(&self, due: Instant) -> Result<()> {
        let now = Instant::now();
        if now < due && !self.stopped() {
            wait_readable([], Some(due - now))?;
        }
        Ok(())
    }

    /// Brings the encoder's picture up to the screen.
    fn capture(&self, screen: &mut Screen, encoding: &mut Option<Encoding>) -> Result<()> {
        let size = screen.size();
        if encoding.as_ref().is_none_or(|encoding| encoding.size != size) {
            *encoding = Some(Encoding::start(size, &self.settings)?);
            screen.damage_everything();
        }
        let Some(encoding) = encoding else { return Ok(()) };
        if !screen.is_stale() {
            return Ok(());
        }
        let grab = screen.grab()?;
        self.view.grabbed.fetch_add(1, Relaxed);
        if (grab.picture.width, grab.picture.height) != encoding.size {
            return Err(Error::new("reading the screen", Remedy::Retry, "its size changed meanwhile"));
        }
        let mut canvas = encoding.canvas();
        for rows in grab.rows {
            bgra_to_i420(&grab.picture, rows.clone(), &mut canvas)?;
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.shared.stopped.load(Relaxed) || self.packets.is_closed()
    }
}

/// The picture that is encoded again and again, and its encoder.
struct Encoding {
    /// The screen's size, odd or not.
    size: (usize, usize),
    format: VideoFormat,
    picture: Vec<u8>,
    encoder: H264Encoder,
}

impl Encoding {
    fn start(size: (usize, usize), settings: &ScreenSettings) -> Result<Self> {
        let even = |side: usize| u32::try_from(side & !1).unwrap_or(0);
        let format = VideoFormat::new(even(size.0), even(size.1), settings.frame_rate).ok_or_else(|| {
            Error::new("encoding the screen", Remedy::Report, format!("{}x{} is outside 16x16 to 3840x2160", size.0, size.1))
        })?;
        let encoder = H264Encoder::new(H264Settings { format, bitrate_bps: settings.bitrate_bps, preset: Preset::default() })?;
        info!(width = format.width(), height = format.height(), rate = format.frame_rate(), "encoder opened");
        Ok(Self { size, format, picture: vec![0; format.i420_bytes()], encoder })
    }

    fn canvas(&mut self) -> I420Mut<'_> {
        I420Mut::packed(&mut self.picture, self.format.width(), self.format.height()).expect("sized by its format")
    }

    fn encode(&mut self, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        let picture = I420::packed(&self.picture, self.format.width(), self.format.height()).expect("sized by its format");
        self.encoder.encode(&picture, pts, captured, key)
    }
}
