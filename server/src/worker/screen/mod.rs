//! The screen: the display's changes in, pictures of several encodings out.
//!
//! One thread reads and converts the display for all who want it; each [`Screen::encode`] is an encoding of its own, with its own rate,
//! codec, key frames and way of treating a screen that stands still. The thread begins with the first and ends with the last.
//!
//! It sleeps until the X server reports a change, a viewer needs a key frame, or players are due their refresh; an unchanged screen is
//! neither read, converted nor encoded. A display that goes away is shown as black and opened again.
//!
//! | room | idea |
//! |---|---|
//! | `schedule` | when an encoding's next picture is due: pure |
//! | `encoding` | one encoder and where its packets go |
//! | `film` | H.264 of a screen that moves and rests: what needs no encoder |
//! | `source` | the display, there or not |
//! | `canvas` | the picture of it, and what changed when |
//! | `half` | the same in half its size |
//! | `blocks` | the blocks that pictures are compared by |
//! | `turn` | the thread's loop |
//!
//! Copies: 1 (the X server writes changed rows into the shared segment), then the one conversion that all encoders read from.

mod blocks;
mod canvas;
mod encoding;
mod film;
mod half;
mod schedule;
mod source;
#[cfg(test)]
mod tests;
mod turn;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crosspoint_ffi::av::Preset;
use crosspoint_ffi::fd::Wake;
use crosspoint_ffi::{Error, Packet, Remedy, Result};
use crosspoint_router::broadcast::{Bitrates, Rendition};
use crosspoint_router::control::StreamCodec;
use tokio::sync::mpsc;

use super::Trouble;
use crate::histogram::Histogram;
use encoding::Encoding;
use turn::Turn;

pub(crate) use schedule::Refresh;

/// The display of a broadcast: one thread captures it while anything is encoded.
#[derive(Debug)]
pub(crate) struct Screen {
    shared: Arc<Shared>,
}

/// What the screen's encodings have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScreenTuning {
    /// The bits a second that an encoder aims for, and the most of them, of H.264, in any one second.
    pub(crate) bitrates: Bitrates,
    /// The work that H.264 puts into a picture.
    pub(crate) preset: Preset,
}

/// What an encoding is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodeSettings {
    /// At most this many pictures a second; 1 to 60.
    pub(crate) frame_rate: u32,
    /// What they are compressed with.
    pub(crate) codec: ScreenCodec,
    /// How large they are.
    pub(crate) rendition: Rendition,
    /// The bits a second that the encoder aims for.
    pub(crate) bitrate_bps: u32,
    /// What it begins with, as by [`ScreenEncode::set_bitrate`].
    pub(crate) first_bitrate_bps: u32,
    /// The most of them in any one second, of H.264.
    pub(crate) max_bitrate_bps: u32,
    /// The work that H.264 puts into a picture.
    pub(crate) preset: Preset,
}

/// What the screen can be compressed with.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum ScreenCodec {
    /// H.264, constrained baseline.
    H264,
    /// MPEG-1 video.
    Mpeg1,
    /// VP8.
    Vp8,
}

impl From<StreamCodec> for ScreenCodec {
    fn from(codec: StreamCodec) -> Self {
        match codec {
            StreamCodec::H264 => Self::H264,
            StreamCodec::Mpeg1 => Self::Mpeg1,
        }
    }
}

/// What the screen's thread tells.
#[derive(Debug, Default)]
pub(crate) struct ScreenView {
    /// Whether pictures of the display come.
    pub(crate) live: AtomicBool,
    /// Looks at the display that saw a change.
    pub(crate) captures: AtomicU64,
    /// Rows read and converted.
    pub(crate) rows: AtomicU64,
    /// Microseconds that reading the display took, and converting what changed.
    pub(crate) reading_us: AtomicU64,
    pub(crate) converting_us: AtomicU64,
    /// Encoders opened: one for each encoding, and one more after each change of the display's size.
    pub(crate) encoders: AtomicU64,
    /// Pictures encoded as H.264.
    pub(crate) h264: AtomicU64,
    /// Pictures encoded as MPEG-1.
    pub(crate) mpeg1: AtomicU64,
    /// Pictures encoded as VP8.
    pub(crate) vp8: AtomicU64,
    /// Pictures in which H.264 got the few places that changed as they are, without the encoder.
    pub(crate) patches: AtomicU64,
    /// How long an encoder took for a picture.
    pub(crate) encode_time: Histogram,
    /// Bytes that encoders made.
    pub(crate) encoded_bytes: AtomicU64,
    /// Pictures of a screen at rest that H.264 got without the encoder.
    pub(crate) repeats: AtomicU64,
    /// Pictures dropped because the network thread had no room for them.
    pub(crate) overruns: AtomicU64,
    /// From a picture's capture until the network thread has it encoded.
    pub(crate) encoded_after: Histogram,
    /// From its capture until it is handed to the socket of a viewer, of each viewer.
    pub(crate) sent_after: Histogram,
}

/// Adds the time since `start` to what a stage took; gives the moment that the next one starts.
fn took(stage_us: &AtomicU64, start: Instant) -> Instant {
    let now = Instant::now();
    stage_us.fetch_add(u64::try_from((now - start).as_micros()).unwrap_or(u64::MAX), Relaxed);
    now
}

/// The network thread's end of one encoding, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ScreenEncode {
    orders: Arc<Orders>,
}

/// What the network thread orders of one encoding.
#[derive(Debug)]
struct Orders {
    key: AtomicBool,
    /// Whether the key frame is for somebody who sees nothing yet.
    joined: AtomicBool,
    refresh: AtomicU32,
    bitrate_bps: AtomicU32,
    ended: AtomicBool,
    /// The thread's; nothing when it could not be started.
    wake: Option<Arc<Wake>>,
}

/// What both threads hold.
#[derive(Debug)]
struct Shared {
    display: Option<String>,
    epoch: Instant,
    view: Arc<ScreenView>,
    trouble: Trouble,
    roster: Mutex<Roster>,
}

/// Who has come since the thread last looked.
#[derive(Debug, Default)]
struct Roster {
    arrivals: Vec<Encoding>,
    /// Wakes the thread while one runs.
    wake: Option<Arc<Wake>>,
}

impl Screen {
    /// Makes the screen of `display` (nothing: `$DISPLAY`), whose times count from `epoch`. Costs nothing until it is encoded.
    pub(crate) fn new(display: Option<String>, epoch: Instant) -> Self {
        let (view, trouble, roster) = (Arc::default(), Trouble::default(), Mutex::default());
        Self { shared: Arc::new(Shared { display, epoch, view, trouble, roster }) }
    }

    /// Encodes the screen into `packets` until the answer is dropped, beginning with a key frame.
    ///
    /// A full queue drops the picture, counts, and makes the next one a key frame. When no thread can be started, `packets` is dropped
    /// and the trouble told.
    pub(crate) fn encode(&self, settings: EncodeSettings, packets: mpsc::Sender<Packet>) -> ScreenEncode {
        let mut roster = self.shared.roster();
        let wake = match &roster.wake {
            Some(wake) => Ok(Arc::clone(wake)),
            None => self.start(),
        };
        let wake = wake.map_err(|error| self.shared.trouble.note(error)).ok();
        roster.wake.clone_from(&wake);
        let orders = Arc::new(Orders::new(settings.first_bitrate_bps, wake));
        if let Some(wake) = &orders.wake {
            roster.arrivals.push(Encoding::new(settings, Arc::clone(&orders), packets));
            wake.raise();
        }
        ScreenEncode { orders }
    }

    /// What it counts.
    pub(crate) fn view(&self) -> &Arc<ScreenView> {
        &self.shared.view
    }

    /// What keeps it from being shown, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.trouble.told()
    }

    fn start(&self) -> Result<Arc<Wake>> {
        let wake = Arc::new(Wake::new()?);
        let turn = Turn::new(Arc::clone(&self.shared), Arc::clone(&wake));
        // Not joined: it may sit in a request to an X server that hangs. It owns all it touches and ends at its next look.
        super::start("screen", move || turn.run()).map_err(|error| Error::system("starting a thread", Remedy::Retry, error))?;
        Ok(wake)
    }
}

impl ScreenEncode {
    /// Asks for a key frame, now, for somebody who cannot go on without.
    pub(crate) fn want_key(&self) {
        self.orders.joined.store(true, Relaxed);
        self.want_regular_key();
    }

    /// Asks for a key frame, now, for whom only its distance from the last one matters: those who watch know the picture already.
    pub(crate) fn want_regular_key(&self) {
        self.orders.key.store(true, Relaxed);
        self.orders.wake();
    }

    /// Says what a screen that stands still is worth.
    pub(crate) fn set_refresh(&self, refresh: Refresh) {
        self.orders.refresh.store(refresh as u32, Relaxed);
        self.orders.wake();
    }

    /// Changes the bitrate: of H.264 from the next picture on; of the others, whose encoders must be opened anew, from the next key
    /// frame on, which is ordered when the rate is to be less than half of what it was.
    pub(crate) fn set_bitrate(&self, bitrate_bps: u32) {
        self.orders.bitrate_bps.store(bitrate_bps, Relaxed);
    }
}

impl Drop for ScreenEncode {
    fn drop(&mut self) {
        self.orders.ended.store(true, Relaxed);
        self.orders.wake();
    }
}

impl Orders {
    fn new(bitrate_bps: u32, wake: Option<Arc<Wake>>) -> Self {
        Self {
            key: AtomicBool::new(true),
            joined: AtomicBool::new(true),
            refresh: AtomicU32::new(Refresh::default() as u32),
            bitrate_bps: AtomicU32::new(bitrate_bps),
            ended: AtomicBool::new(false),
            wake,
        }
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            wake.raise();
        }
    }
}

impl Shared {
    fn roster(&self) -> MutexGuard<'_, Roster> {
        // A holder cannot panic; were it to, the lists are whole all the same.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
