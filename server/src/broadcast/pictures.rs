//! One encoding of the screen, for every channel that shows it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crosspoint_ffi::Packet;
use crosspoint_router::broadcast::{Bitrates, Rendition};
use tokio::sync::mpsc;

use super::{Channel, Packing};
use crate::worker::screen::{EncodeSettings, Refresh, Screen, ScreenCodec, ScreenEncode, ScreenTuning};

/// Which encoding of the screen.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct PicturesKey {
    pub(crate) frame_rate: u32,
    pub(crate) codec: ScreenCodec,
    pub(crate) rendition: Rendition,
}

/// The screen at one frame rate and in one codec: encoded while a channel is attached.
///
/// Copies: 0 (channels are lent each packet).
pub(super) struct Pictures {
    key: PicturesKey,
    tuning: ScreenTuning,
    screen: Rc<Screen>,
    running: RefCell<Running>,
}

struct Running {
    encode: Option<ScreenEncode>,
    /// What is between it and us.
    queue: Option<mpsc::WeakSender<Packet>>,
    /// What the encoder was told.
    bitrate_bps: u32,
    /// What those can take whose rate we estimate.
    able_bps: u32,
    channels: Vec<(Weak<Channel>, Refresh)>,
}

/// Encoded pictures between the screen thread and the network thread. Full, the encoder drops and makes a key frame.
const QUEUE: usize = 64;

impl Pictures {
    pub(super) fn new(key: PicturesKey, tuning: ScreenTuning, screen: Rc<Screen>) -> Self {
        let bitrate_bps = tuning.bitrates.usual_bps;
        let running = Running { encode: None, queue: None, bitrate_bps, able_bps: bitrate_bps, channels: Vec::new() };
        Self { key, tuning, screen, running: RefCell::new(running) }
    }

    /// Gives `channel` every packet from the next key frame on, which is ordered.
    pub(super) fn attach(self: &Rc<Self>, channel: &Rc<Channel>, refresh: Refresh) {
        self.detach(channel);
        let mut running = self.running.borrow_mut();
        running.channels.push((Rc::downgrade(channel), refresh));
        if running.encode.is_none() {
            let (sender, mut packets) = mpsc::channel(QUEUE);
            running.bitrate_bps = running.wanted_bps(self.tuning.bitrates);
            let settings = EncodeSettings {
                frame_rate: self.key.frame_rate,
                codec: self.key.codec,
                rendition: self.key.rendition,
                bitrate_bps: self.tuning.bitrates.usual_bps,
                first_bitrate_bps: running.bitrate_bps,
                max_bitrate_bps: self.tuning.bitrates.most_bps,
                preset: self.tuning.preset,
            };
            running.queue = Some(sender.downgrade());
            running.encode = Some(self.screen.encode(settings, sender));
            let pictures = Rc::downgrade(self);
            tokio::task::spawn_local(async move {
                // The sender is the encoding's: this ends with it.
                while let Some(packet) = packets.recv().await {
                    let Some(pictures) = pictures.upgrade() else { return };
                    pictures.screen.view().encoded_after.note(packet.arrival.elapsed());
                    for channel in pictures.channels() {
                        channel.take(&packet);
                    }
                }
            });
        }
        running.refresh();
        running.want_key();
        running.tell_bitrate(self.tuning.bitrates);
    }

    /// Gives `channel` nothing more.
    pub(super) fn detach(&self, channel: &Rc<Channel>) {
        let mut running = self.running.borrow_mut();
        running.channels.retain(|(attached, _)| attached.upgrade().is_some_and(|attached| !Rc::ptr_eq(&attached, channel)));
        if running.channels.is_empty() {
            running.encode = None;
        }
        running.refresh();
        running.tell_bitrate(self.tuning.bitrates);
    }

    /// Takes note of how old a picture is that goes to a viewer's socket.
    pub(super) fn note_sent(&self, age: Duration) {
        self.screen.view().sent_after.note(age);
    }

    /// How many encoded pictures wait for the network thread.
    pub(super) fn queued(&self) -> usize {
        let queue = self.running.borrow().queue.as_ref().and_then(mpsc::WeakSender::upgrade);
        queue.map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    pub(super) fn codec(&self) -> ScreenCodec {
        self.key.codec
    }

    /// Asks for a key frame, now, for somebody who cannot go on without.
    pub(super) fn want_key(&self) {
        self.running.borrow().want_key();
    }

    /// Asks for a key frame, now, for its distance from the last one.
    pub(super) fn want_regular_key(&self) {
        if let Some(encode) = &self.running.borrow().encode {
            encode.want_regular_key();
        }
    }

    /// Says how many bits a second its WebRTC viewers can take. While others watch, it has as many as ever.
    pub(super) fn set_able(&self, able_bps: u32) {
        let mut running = self.running.borrow_mut();
        running.able_bps = able_bps;
        running.tell_bitrate(self.tuning.bitrates);
    }

    /// Whether somebody watches who is not to get fewer bits: TCP holds back what a viewer cannot take, and platforms want what they were
    /// told.
    pub(super) fn is_fixed(&self) -> bool {
        self.running.borrow().is_fixed()
    }

    /// Says how often `channel` needs a picture of a screen that stands still.
    pub(super) fn set_refresh(&self, channel: &Rc<Channel>, refresh: Refresh) {
        let mut running = self.running.borrow_mut();
        let attached = |other: &Weak<Channel>| other.upgrade().is_some_and(|other| Rc::ptr_eq(&other, channel));
        if let Some((_, needs)) = running.channels.iter_mut().find(|(other, _)| attached(other)) {
            *needs = refresh;
            running.refresh();
        }
    }

    /// How long so many pictures take.
    pub(super) fn duration_of(&self, pictures: u32) -> Duration {
        Duration::from_secs(1) * pictures / self.key.frame_rate
    }

    fn channels(&self) -> Vec<Rc<Channel>> {
        self.running.borrow().channels.iter().filter_map(|(channel, _)| channel.upgrade()).collect()
    }
}

impl Running {
    fn want_key(&self) {
        if let Some(encode) = &self.encode {
            encode.want_key();
        }
    }

    fn is_fixed(&self) -> bool {
        self.channels.iter().filter_map(|(channel, _)| channel.upgrade()).any(|channel| channel.packing() != Packing::Rtp)
    }

    fn wanted_bps(&self, Bitrates { usual_bps, most_bps, .. }: Bitrates) -> u32 {
        if self.is_fixed() { usual_bps } else { self.able_bps.min(most_bps) }
    }

    /// Has the encoder make what is wanted, when that is another rate by more than estimates waver.
    fn tell_bitrate(&mut self, bitrates: Bitrates) {
        let wanted = self.wanted_bps(bitrates);
        let is_waver = wanted != bitrates.usual_bps && wanted != bitrates.most_bps;
        let is_same = wanted.abs_diff(self.bitrate_bps) < self.bitrate_bps / 20 && is_waver;
        if let Some(encode) = self.encode.as_ref().filter(|_| !is_same && wanted != self.bitrate_bps) {
            encode.set_bitrate(wanted);
            self.bitrate_bps = wanted;
        }
    }

    fn refresh(&self) {
        let most = self.channels.iter().map(|(_, refresh)| *refresh).max();
        if let (Some(encode), Some(refresh)) = (&self.encode, most) {
            encode.set_refresh(refresh);
        }
    }
}
