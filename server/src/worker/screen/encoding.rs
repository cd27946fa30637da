//! One encoding of the screen: its encoder, and where its packets go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crosspoint_ffi::av::{H264Settings, Mpeg1Encoder, Vp8Encoder};
use crosspoint_ffi::{Error, I420, MediaTime, Packet, Remedy, Result, VideoFormat};
use crosspoint_router::broadcast::Rendition;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::canvas::Canvas;
use super::film::{Change, Film, MOST_BLOCKS, Made, Work};
use super::half::Half;
use super::schedule::{Refresh, Schedule};
use super::{EncodeSettings, Orders, ScreenCodec, ScreenView, Shared};

/// An encoding that is asked for.
#[derive(Debug)]
pub(super) struct Encoding {
    settings: EncodeSettings,
    orders: Arc<Orders>,
    packets: mpsc::Sender<Packet>,
    schedule: Schedule,
    /// Nothing before the first picture, and after a failure.
    encoder: Option<Encoder>,
    /// What of the canvas was encoded last.
    seen: Option<Seen>,
    /// After a failure: not before this.
    retry: Option<Instant>,
    /// The picture in half its size.
    half: Half,
    /// What changed in the picture, used again and again.
    blocks: Vec<u32>,
}

/// A state of the canvas.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seen {
    version: u64,
    scene: u64,
}

#[derive(Debug)]
struct Encoder {
    codec: Codec,
    format: VideoFormat,
    bitrate_bps: u32,
}

#[derive(Debug)]
enum Codec {
    H264(Box<Film>),
    Mpeg1(Mpeg1Encoder),
    Vp8(Vp8Encoder),
}

/// From an encoder's failure to the next attempt: whoever waits for pictures waits already.
const RETRY: Duration = Duration::from_secs(1);

impl Encoding {
    pub(super) fn new(settings: EncodeSettings, orders: Arc<Orders>, packets: mpsc::Sender<Packet>) -> Self {
        debug!(?settings, "screen encoding begins");
        let schedule = Schedule::new(settings.frame_rate);
        Self { settings, orders, packets, schedule, encoder: None, seen: None, retry: None, half: Half::default(), blocks: Vec::new() }
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_ended(&self) -> bool {
        self.orders.ended.load(Relaxed) || self.packets.is_closed()
    }

    /// Takes note of what was ordered.
    pub(super) fn read_orders(&mut self) {
        let ordered = self.orders.refresh.load(Relaxed);
        let refresh = [Refresh::Never, Refresh::Seldom, Refresh::Constant].into_iter().find(|refresh| *refresh as u32 == ordered);
        self.schedule.set_refresh(refresh.unwrap_or_default());
    }

    /// When its next turn is, of a `canvas` that may be `stale`; nothing: not before there is news.
    pub(super) fn due(&self, canvas: &Canvas, stale: bool, now: Instant) -> Option<Instant> {
        let due = self.schedule.due(stale || self.has_news(canvas), now);
        due.map(|due| self.retry.map_or(due, |retry| retry.max(due)))
    }

    /// Takes its turn: encodes `canvas`, unless it saw it already and owes no picture.
    pub(super) fn turn(&mut self, canvas: &Canvas, now: Instant, shared: &Shared) {
        let news = self.has_news(canvas);
        if !news && !self.schedule.is_refresh_due(now) {
            return self.schedule.pass(now);
        }
        // Nobody else fills the queue: what has room now has it below.
        if self.packets.capacity() == 0 {
            self.overrun(shared);
            return self.schedule.pass(now);
        }
        // A change is as old as the look that saw it, a repetition is of now.
        let is_changed = self.seen.is_none_or(|seen| seen.version != canvas.version());
        let captured = if is_changed { canvas.captured() } else { now };
        let stamp = self.schedule.take(news, now);
        if !self.orders.joined.swap(false, Relaxed) && !is_changed {
            self.schedule.settle();
        }
        match self.encode(canvas, stamp, captured, shared) {
            Ok(packets) => {
                if self.retry.take().is_some() {
                    shared.trouble.clear();
                }
                let queue = &self.packets;
                if packets.into_iter().any(|packet| queue.try_send(packet).is_err()) {
                    // More than one found no room; or it ended meanwhile, which the next roll call sees.
                    self.overrun(shared);
                }
            }
            Err(error) => {
                (self.encoder, self.retry) = (None, Some(now + RETRY));
                if shared.trouble.note(&error) {
                    warn!(%error, "screen not encoded; retrying");
                }
            }
        }
    }

    /// Says that a picture was dropped: what follows it cannot be shown.
    fn overrun(&self, shared: &Shared) {
        shared.view.overruns.fetch_add(1, Relaxed);
        self.orders.key.store(true, Relaxed);
    }

    /// Whether there is something that it did not show, or a key frame to be made.
    fn has_news(&self, canvas: &Canvas) -> bool {
        self.seen.is_none_or(|seen| seen.version != canvas.version()) || self.orders.key.load(Relaxed)
    }

    fn encode(&mut self, canvas: &Canvas, stamp: Instant, captured: Instant, shared: &Shared) -> Result<Vec<Packet>> {
        let ordered = self.orders.key.swap(false, Relaxed);
        let key = ordered || self.seen.is_none_or(|seen| seen.scene != canvas.scene());
        // Out of the way: preparing needs all of us.
        let (mut half, mut blocks) = (std::mem::take(&mut self.half), std::mem::take(&mut self.blocks));
        let is_same = self.seen.is_some_and(|seen| seen.version == canvas.version());
        if self.settings.rendition == Rendition::Half && !is_same {
            half.take(&canvas.picture());
        }
        let rendition = self.settings.rendition;
        let picture = match rendition {
            Rendition::Whole => canvas.picture(),
            Rendition::Half => half.picture(),
        };
        let change = match self.seen {
            Some(_) if is_same => Change::Nothing,
            Some(seen) if rendition == Rendition::Whole => change(canvas.changed_since(seen.version), &mut blocks),
            Some(_) => half.changed().map_or(Change::Much, |changed| change(changed, &mut blocks)),
            None => Change::Much,
        };
        let encoded = self.prepare(&picture, key, &shared.view).and_then(|()| {
            let encoder = self.encoder.as_mut().expect("just prepared");
            let pts = MediaTime::from(stamp.saturating_duration_since(shared.epoch));
            let begun = Instant::now();
            let made = encoder.codec.encode(&picture, pts, captured, key, change)?;
            if made.work == Work::Encoded {
                shared.view.encode_time.note(begun.elapsed());
            }
            Ok(made)
        });
        (self.half, self.blocks) = (half, blocks);
        let made = encoded?;
        self.seen = Some(Seen { version: canvas.version(), scene: canvas.scene() });
        self.schedule.set_rough(self.encoder.as_ref().is_some_and(|encoder| encoder.codec.is_rough()));
        let counter = match made.work {
            Work::Encoded => self.settings.codec.counter(&shared.view),
            Work::Patched => &shared.view.patches,
            Work::Repeated => &shared.view.repeats,
        };
        counter.fetch_add(1, Relaxed);
        let bytes: usize = made.packets.iter().map(|packet| packet.data.len()).sum();
        shared.view.encoded_bytes.fetch_add(bytes as u64, Relaxed);
        Ok(made.packets)
    }

    /// Sees that the encoder is for pictures of this size and for the bitrate that is ordered.
    fn prepare(&mut self, picture: &I420<'_>, key: bool, view: &ScreenView) -> Result<()> {
        let bitrate_bps = self.orders.bitrate_bps.load(Relaxed);
        let format = format(picture, self.settings.frame_rate)?;
        if let Some(encoder) = self.encoder.as_mut().filter(|encoder| encoder.format == format) {
            if encoder.bitrate_bps == bitrate_bps || encoder.take_bitrate(bitrate_bps) {
                return Ok(());
            }
            if !key {
                if bitrate_bps < encoder.bitrate_bps / 2 {
                    self.orders.key.store(true, Relaxed);
                }
                return Ok(());
            }
        }
        let codec = match self.settings.codec {
            ScreenCodec::H264 => {
                let EncodeSettings { bitrate_bps: full_bps, max_bitrate_bps, preset, .. } = self.settings;
                let mut encoder = Film::new(H264Settings { format, bitrate_bps: full_bps, max_bitrate_bps, preset })?;
                // It goes by the full rate what a lower one means for the most.
                encoder.set_bitrate(bitrate_bps);
                Codec::H264(Box::new(encoder))
            }
            ScreenCodec::Mpeg1 => Codec::Mpeg1(Mpeg1Encoder::new(format, bitrate_bps)?),
            ScreenCodec::Vp8 => Codec::Vp8(Vp8Encoder::new(format, bitrate_bps)?),
        };
        let (width, height, rate) = (format.width(), format.height(), format.frame_rate());
        info!(codec = ?self.settings.codec, width, height, rate, bitrate_bps, "encoder opened");
        view.encoders.fetch_add(1, Relaxed);
        self.encoder = Some(Encoder { codec, format, bitrate_bps });
        Ok(())
    }
}

impl Encoder {
    /// Changes the bitrate, where that can be done without opening the encoder anew; says whether it was.
    fn take_bitrate(&mut self, bitrate_bps: u32) -> bool {
        match &mut self.codec {
            Codec::H264(encoder) => {
                encoder.set_bitrate(bitrate_bps);
                self.bitrate_bps = bitrate_bps;
                true
            }
            Codec::Mpeg1(_) | Codec::Vp8(_) => false,
        }
    }
}

impl Codec {
    /// The next packets: of a `picture` and its `change` since the last one.
    fn encode(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool, change: Change<'_>) -> Result<Made> {
        let encoded = match self {
            Self::H264(film) => return film.next(picture, pts, captured, key, change),
            Self::Mpeg1(encoder) => encoder.encode(picture, pts, captured, key),
            Self::Vp8(encoder) => encoder.encode(picture, pts, captured, key),
        };
        Ok(Made { packets: Vec::from_iter(encoded?), work: Work::Encoded })
    }

    /// Whether another picture of the same would be finer.
    fn is_rough(&self) -> bool {
        match self {
            Self::H264(film) => film.is_rough(),
            Self::Mpeg1(_) | Self::Vp8(_) => false,
        }
    }
}

impl ScreenCodec {
    fn counter(self, view: &ScreenView) -> &std::sync::atomic::AtomicU64 {
        match self {
            Self::H264 => &view.h264,
            Self::Mpeg1 => &view.mpeg1,
            Self::Vp8 => &view.vp8,
        }
    }
}

/// A change of these blocks, which are put into `blocks` where they are few.
fn change(changed: impl Iterator<Item = u32>, blocks: &mut Vec<u32>) -> Change<'_> {
    blocks.clear();
    blocks.extend(changed.take(MOST_BLOCKS + 1));
    match blocks.len() {
        0 => Change::Nothing,
        1..=MOST_BLOCKS => Change::Few(blocks),
        _ => Change::Much,
    }
}

fn format(picture: &I420<'_>, frame_rate: u32) -> Result<VideoFormat> {
    let side = |side: usize| u32::try_from(side).unwrap_or(0);
    VideoFormat::new(side(picture.width), side(picture.height), frame_rate).ok_or_else(|| {
        let detail = format!("{}x{} at {frame_rate} is outside 16x16 to 3840x2160 at 1 to 60", picture.width, picture.height);
        Error::new("encoding the screen", Remedy::Report, detail)
    })
}
