//! What a viewer can take.

use std::time::{Duration, Instant};

use super::loss::Loss;
use super::offered::Offered;
use crate::broadcast::Bitrates;

/// How many bits of pictures a second a viewer can take: by what was estimated of its way, by what it says itself (REMB), or by what it lost.
#[derive(Debug)]
pub(super) struct Able {
    /// The bits a second that there are for it.
    bitrates: Bitrates,
    /// Whether it gets sound, too.
    pub(super) has_sound: bool,
    rate_bps: Option<u32>,
    /// What was said of it last, and what is to be said.
    told_bps: Option<u32>,
    news: Option<u32>,
    /// What there was to send of pictures, lately and for longer.
    offered: [Offered; 2],
    /// Since when it has said that it can take less than it was told.
    doubted: Option<Instant>,
    /// What it said last that it can take itself.
    said_bps: Option<u64>,
    loss: Loss,
}

impl Able {
    /// That of a viewer for which pictures have so many bits a second.
    pub(super) fn new(bitrates: Bitrates) -> Self {
        Self {
            bitrates,
            has_sound: false,
            rate_bps: None,
            told_bps: None,
            news: None,
            offered: [Offered::over(LATELY), Offered::over(LONGER)],
            doubted: None,
            said_bps: None,
            loss: Loss::new(bitrates.most_bps),
        }
    }

    /// Takes note of a picture that there was to send.
    pub(super) fn offer(&mut self, bytes: usize, now: Instant) {
        self.offered.iter_mut().for_each(|offered| offered.add(bytes, now));
    }

    /// What there was to send lately, in bits a second.
    pub(super) fn offered_bps(&self, now: Instant) -> f64 {
        self.offered[0].rate_bps(now)
    }

    /// Whether that is next to nothing.
    pub(super) fn is_little(&self, now: Instant) -> bool {
        self.offered_bps(now) < QUIET_BPS
    }

    /// What is wanted of the way at the most.
    pub(super) fn wanted_bps(&self) -> u64 {
        u64::from(self.bitrates.most_bps) * 5 / 4 + SOUND_BPS
    }

    /// Takes what its way is estimated to carry; gives what there is of it for pictures.
    pub(super) fn handle_estimate(&mut self, bits: u64) -> u32 {
        self.take(self.pictures_of(bits))
    }

    /// Takes what it says that it can take; gives what there is of it for pictures, if it is believed.
    pub(super) fn handle_said(&mut self, bits: u64, now: Instant) -> Option<u32> {
        self.said_bps = Some(bits);
        self.doubt(bits.min(self.loss.rate_bps()), now, DOUBT)
    }

    /// Takes which part was lost of the pictures; gives what there is for them, if that is news. It is all there is to know of a viewer that
    /// neither says when packets arrived nor what it can take.
    pub(super) fn handle_loss(&mut self, lost: f32, now: Instant) -> Option<u32> {
        if !self.loss.handle_report(lost, self.offered_bps(now)) {
            return None;
        }
        self.doubt(self.said_bps.unwrap_or(u64::MAX).min(self.loss.rate_bps()), now, Duration::ZERO)
    }

    /// What is to be said of it.
    pub(super) fn poll(&mut self) -> Option<u32> {
        self.news.take()
    }

    /// What falls is taken when enough was sent to say so, and it has been there for some time; and of the rate before most is kept.
    fn doubt(&mut self, bits: u64, now: Instant, some_time: Duration) -> Option<u32> {
        let pictures = self.pictures_of(bits);
        let falls = pictures < self.rate_bps.unwrap_or(self.bitrates.usual_bps);
        if falls && !self.is_tried(pictures, now) {
            self.doubted = None;
            return None;
        }
        let since = self.doubted.filter(|_| falls).unwrap_or(now);
        self.doubted = falls.then_some(since);
        if falls && now < since + some_time {
            return None;
        }
        Some(self.take(self.rate_bps.map_or(pictures, |before| pictures.max(before / 4 * 3))))
    }

    /// What there is for pictures of so many bits a second.
    fn pictures_of(&self, bits: u64) -> u32 {
        let sound = if self.has_sound { SOUND_BPS } else { 0 };
        // RTP's headers, and what has to be sent again.
        let pictures = (bits / 16 * 15).saturating_sub(sound).max(LEAST_BPS);
        u32::try_from(pictures).unwrap_or(u32::MAX)
    }

    fn take(&mut self, pictures: u32) -> u32 {
        self.rate_bps = Some(pictures);
        // More than there is, is as good as more still; less than a fiftieth is no news.
        let told = pictures.min(self.bitrates.most_bps / 4 * 5);
        if self.told_bps.is_none_or(|before| before.abs_diff(told) > before / 50) {
            self.told_bps = Some(told);
            self.news = Some(told);
        }
        pictures
    }

    /// Whether so much was sent that an estimate which falls to `estimate_bps` says something of the way. One that grows does always; but of a
    /// screen that stands still a viewer sees little, and thinks that little more would fit.
    fn is_tried(&self, estimate_bps: u32, now: Instant) -> bool {
        let [lately, longer] = [0, 1].map(|nth| self.offered[nth].rate_bps(now));
        let allowed = f64::from(self.told_bps.unwrap_or(self.bitrates.usual_bps).min(self.bitrates.most_bps));
        longer > allowed * 0.6 || lately.min(longer) * 0.8 > f64::from(estimate_bps)
    }
}

/// Shorter than the distance of regular key frames, and longer.
const LATELY: Duration = Duration::from_millis(500);
const LONGER: Duration = Duration::from_secs(4);

/// A viewer thinks of a burst on a busy machine what it would think of a narrow way, and then of the rest behind it that little more fits:
/// what it says must hold while there is something to send. Half-way between two reports that are a second apart.
const DOUBT: Duration = Duration::from_millis(500);

/// What is set aside for sound, with its headers.
const SOUND_BPS: u64 = 110_000;

/// Less than this is no estimate of a way that carries media at all, and nothing is to be divided by it.
const LEAST_BPS: u64 = 30_000;

/// A caret that blinks is less than this: any estimate would be of its pauses.
const QUIET_BPS: f64 = 64_000.0;
