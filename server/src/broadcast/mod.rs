//! What viewers watch: the screen captured and encoded once for each frame rate and codec asked for, packed once for each kind of viewer.
//!
//! [`Pictures`] is one encoding of the screen, shared by every [`Channel`] that needs it. A channel is one packing of pictures and sound:
//! a hub, in which each viewer is a position ([`Watch`]). All of it costs nothing while nobody watches.
//!
//! Copies: 1 (packets into what goes on the wire, once for all viewers of a channel; a viewer's socket shares it).

mod channel;
mod pack;
mod pictures;
mod seat;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crosspoint_router::broadcast::{HubStats, Rates, Rendition};

pub(crate) use channel::{Channel, Watch};
pub(crate) use pack::Packing;
use pictures::Pictures;
pub(crate) use pictures::PicturesKey;
pub(crate) use seat::Seat;
use seat::Sharing;

use crate::histogram::HistogramStats;
use crate::worker::screen::{Screen, ScreenTuning};
use crate::worker::sound::Sound;

/// Which pictures a channel shows, nothing for sound alone, and how it is packed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ChannelKey {
    pub(crate) pictures: Option<PicturesKey>,
    pub(crate) packing: Packing,
}

/// What a broadcast has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct BroadcastStats {
    /// Looks at the display that saw a change.
    pub(crate) captures: u64,
    /// Rows of the display read and converted.
    pub(crate) rows: u64,
    /// What the stages of the screen's pictures before the encoders took, in microseconds, by stage.
    pub(crate) stages_us: [(&'static str, u64); 2],
    /// Encoders of pictures opened.
    pub(crate) encoders: u64,
    /// Pictures encoded, by codec.
    pub(crate) pictures: [(&'static str, u64); 3],
    /// Pictures in which the few places that changed stand as they are, without the encoder.
    pub(crate) patches: u64,
    /// Pictures that stood for one of the same, without the encoder.
    pub(crate) repeats: u64,
    /// Pictures dropped because the network thread was behind.
    pub(crate) overruns: u64,
    /// Pictures encoded that wait for the network thread.
    pub(crate) pictures_queued: usize,
    /// From a picture's capture until it is encoded, and until it is handed to a viewer's socket.
    pub(crate) latencies: [(&'static str, HistogramStats); 2],
    /// How long encoders of pictures took.
    pub(crate) encode_time: HistogramStats,
    /// Bytes that they made.
    pub(crate) encoded_bytes: u64,
    /// Encoders of sound opened.
    pub(crate) sound_encoders: u64,
    /// Packets of encoded sound dropped because the network thread was behind.
    pub(crate) sound_overruns: u64,
    /// What was packed and who takes it.
    pub(crate) packings: BTreeMap<Packing, HubStats>,
}

/// Makes channels as they are asked for.
pub(crate) struct Broadcast {
    epoch: Instant,
    screen: Rc<Screen>,
    tuning: ScreenTuning,
    sound: Option<Rc<Sound>>,
    pictures: RefCell<BTreeMap<PicturesKey, Rc<Pictures>>>,
    channels: RefCell<BTreeMap<ChannelKey, Rc<Channel>>>,
    /// By the whole picture.
    sharings: RefCell<BTreeMap<PicturesKey, Rc<Sharing>>>,
}

impl Broadcast {
    /// Makes a broadcast of `display` (nothing: `$DISPLAY`) and of the speaker, whose times count from `epoch`.
    pub(crate) fn new(display: Option<String>, tuning: ScreenTuning, sound: Option<Rc<Sound>>, epoch: Instant) -> Self {
        let screen = Rc::new(Screen::new(display, epoch));
        Self { epoch, screen, tuning, sound, pictures: RefCell::default(), channels: RefCell::default(), sharings: RefCell::default() }
    }

    /// The channel of `key`, which costs nothing while nobody watches it.
    pub(crate) fn channel(&self, key: ChannelKey) -> Rc<Channel> {
        let mut channels = self.channels.borrow_mut();
        let channel = channels
            .entry(key)
            .or_insert_with(|| Channel::open(key.packing, key.pictures.map(|key| self.pictures(key)), self.sound.clone()));
        Rc::clone(channel)
    }

    /// A place among those who share pictures and whose rate is estimated.
    pub(crate) fn seat(&self, key: PicturesKey) -> Seat {
        let mut sharings = self.sharings.borrow_mut();
        let sharing = sharings.entry(PicturesKey { rendition: Rendition::Whole, ..key }).or_insert_with_key(|&whole| {
            let rates = Rates::new(self.tuning.bitrates);
            let half = PicturesKey { rendition: Rendition::Half, ..whole };
            Rc::new(Sharing::new(rates, self.pictures(whole), self.pictures(half)))
        });
        sharing.sit_down()
    }

    /// The moment that the times of all units count from.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// What keeps the pictures of a channel from being watched, if anything.
    pub(crate) fn trouble(&self, key: ChannelKey) -> Option<String> {
        key.pictures.and_then(|_| self.screen.trouble())
    }

    /// What it has counted since start-up.
    pub(crate) fn stats(&self) -> BroadcastStats {
        let screen = self.screen.view();
        let mut packings = BTreeMap::<Packing, HubStats>::new();
        for (key, channel) in self.channels.borrow().iter() {
            let sum = packings.entry(key.packing).or_default();
            *sum = sum.and(channel.stats());
        }
        BroadcastStats {
            captures: screen.captures.load(Relaxed),
            rows: screen.rows.load(Relaxed),
            stages_us: [("read", screen.reading_us.load(Relaxed)), ("convert", screen.converting_us.load(Relaxed))],
            encoders: screen.encoders.load(Relaxed),
            pictures: [("h264", screen.h264.load(Relaxed)), ("mpeg1", screen.mpeg1.load(Relaxed)), ("vp8", screen.vp8.load(Relaxed))],
            patches: screen.patches.load(Relaxed),
            repeats: screen.repeats.load(Relaxed),
            overruns: screen.overruns.load(Relaxed),
            pictures_queued: self.pictures.borrow().values().map(|pictures| pictures.queued()).sum(),
            latencies: [("encoded", screen.encoded_after.stats()), ("sent", screen.sent_after.stats())],
            encode_time: screen.encode_time.stats(),
            encoded_bytes: screen.encoded_bytes.load(Relaxed),
            sound_encoders: self.sound.as_ref().map_or(0, |sound| sound.view().sound_encoders.load(Relaxed)),
            sound_overruns: self.sound.as_ref().map_or(0, |sound| sound.view().overrun.load(Relaxed)),
            packings,
        }
    }

    fn pictures(&self, key: PicturesKey) -> Rc<Pictures> {
        let mut pictures = self.pictures.borrow_mut();
        let entry = pictures.entry(key).or_insert_with(|| Rc::new(Pictures::new(key, self.tuning, Rc::clone(&self.screen))));
        Rc::clone(entry)
    }
}
