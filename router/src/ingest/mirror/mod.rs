//! The mirror of what the camera's source sends: what its viewers get, from where, and when nothing.

use std::collections::VecDeque;
use std::time::Instant;

use crosspoint_ffi::{Codec, Packet};

mod pack;
mod sets;
mod timeline;

#[cfg(test)]
mod tests;

pub use pack::Packer;
use sets::ParameterSets;
use timeline::Timeline;

/// The container that a mirror's viewers get.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FeedFormat {
    /// IVF.
    Ivf,
    /// A transport stream.
    #[default]
    MpegTs,
}

impl FeedFormat {
    /// How the API names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ivf => "ivf",
            Self::MpegTs => "mpegts",
        }
    }
}

/// What a mirror's viewers are sent; when it becomes another, they have to begin anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FeedKind {
    /// The container.
    pub format: FeedFormat,
    /// The codec of the pictures in it.
    pub codec: Codec,
    /// Whether the pictures have to be encoded for it, as the source's own have no form that viewers know.
    pub encoded: bool,
}

impl FeedKind {
    /// How pictures of `source` are mirrored.
    #[must_use]
    pub fn of(source: Codec) -> Self {
        let (format, codec, encoded) = match source {
            Codec::Av1 | Codec::Vp8 | Codec::Vp9 => (FeedFormat::Ivf, source, false),
            Codec::H264 | Codec::Hevc | Codec::Mpeg1Video | Codec::Mpeg2Video => (FeedFormat::MpegTs, source, false),
            Codec::Aac | Codec::Mp2 | Codec::Mp3 | Codec::Opus | Codec::OtherAudio(_) | Codec::OtherVideo(_) => {
                (FeedFormat::MpegTs, Codec::H264, true)
            }
        };
        Self { format, codec, encoded }
    }

    /// Whether a viewer of this kind can go on with `next`.
    #[must_use]
    pub fn goes_on_as(self, next: Self) -> bool {
        (self.format, self.codec) == (next.format, next.codec)
    }
}

/// Mirrors the released packets of the camera's source to viewers.
///
/// Without viewers it only keeps the packets since the last key frame, so that a viewer's first picture need not wait for the next one.
/// They go out in one burst with the first packet that is released after somebody came; nothing goes out while nothing is live, so a
/// page that is opened anew never shows history. The same burst begins a source and ends a pause.
///
/// What goes out is on one timeline that runs on over swaps, loops and pauses, and each key frame has its parameter sets with it.
///
/// Copies: 0 (packets are shared bytes; only a key frame that lacks its parameter sets is copied, to put them in front).
#[derive(Debug, Default)]
pub struct Mirror {
    kind: Option<FeedKind>,
    /// The packets since the last key frame; empty when they have grown past the limit.
    group: VecDeque<Packet>,
    group_bytes: usize,
    sets: ParameterSets,
    timeline: Timeline,
    /// The codec of the source's sound, when the container has a form for it.
    sound: Option<Codec>,
    watched: bool,
    paused: bool,
    /// Whether what was sent last goes straight on; else the group comes first.
    runs: bool,
    out: VecDeque<Packet>,
}

impl Mirror {
    /// Makes a mirror of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another source begins, or the present one is gone: nobody starts at what it left.
    pub fn handle_begin(&mut self) {
        self.forget();
        self.sets = ParameterSets::default();
        self.sound = None;
        self.timeline.lift();
    }

    /// Takes a picture that was released at `now`, or one that was encoded from it, and says whether the kind changed so that viewers
    /// have to begin anew.
    #[must_use = "viewers of another kind have to be told"]
    pub fn handle_picture(&mut self, packet: &Packet, now: Instant) -> bool {
        let kind = FeedKind::of(packet.codec);
        let changed = self.change_kind(kind);
        if !kind.encoded {
            self.take_picture(packet, now);
        }
        changed
    }

    /// Takes a picture that was encoded from the source's.
    pub fn handle_encoded(&mut self, packet: &Packet, now: Instant) {
        // One that was under way while the source changed is nobody's.
        if self.kind.is_some_and(|kind| kind.encoded && kind.codec == packet.codec) {
            self.take_picture(packet, now);
        }
    }

    /// Takes sound of the same source, that was released at `now`.
    pub fn handle_sound(&mut self, packet: &Packet, now: Instant) {
        let has_form = matches!(packet.codec, Codec::Aac | Codec::Mp2 | Codec::Mp3);
        if !has_form || self.kind.is_none_or(|kind| kind.format != FeedFormat::MpegTs || kind.encoded) {
            return;
        }
        self.sound = Some(packet.codec);
        if !self.group.is_empty() {
            self.keep(packet.clone());
        }
        if self.runs {
            self.send(packet, now);
        }
    }

    /// The first viewer came, or the last one went.
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
        self.runs &= watched;
        if !watched {
            self.out.clear();
            if self.kind.is_some_and(|kind| kind.encoded) {
                // The encoder ends with the last viewer; what it made is history.
                self.forget();
            }
        }
    }

    /// While paused nothing goes out.
    pub fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.runs &= !paused;
        if paused {
            self.out.clear();
        }
    }

    /// The next packet to send.
    pub fn poll(&mut self) -> Option<Packet> {
        self.out.pop_front()
    }

    /// What viewers get; nothing before the first picture.
    #[must_use]
    pub fn kind(&self) -> Option<FeedKind> {
        self.kind
    }

    /// The codec of the sound that goes with the pictures.
    #[must_use]
    pub fn sound(&self) -> Option<Codec> {
        self.sound
    }

    /// Whether nothing can go out before the encoder makes a key frame.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        self.watched && !self.runs && self.group.is_empty() && self.kind.is_some_and(|kind| kind.encoded)
    }

    /// Whether somebody watches.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// The bytes of the packets that are kept.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.group_bytes
    }

    fn change_kind(&mut self, kind: FeedKind) -> bool {
        let before = self.kind.replace(kind);
        if before == Some(kind) {
            return false;
        }
        self.forget();
        self.sets = ParameterSets::default();
        match before {
            Some(before) => !before.goes_on_as(kind),
            None => kind.format != FeedFormat::default(),
        }
    }

    fn take_picture(&mut self, packet: &Packet, now: Instant) {
        let packet = self.sets.complete(packet);
        if packet.key {
            self.empty_group();
        } else if self.group.is_empty() && !self.runs {
            // Nobody could decode it.
            return;
        }
        if packet.key || !self.group.is_empty() {
            self.keep(packet.clone());
        }
        if !self.watched || self.paused {
            return;
        }
        if self.runs {
            return self.send(&packet, now);
        }
        let Some((first, last)) = self.group.front().zip(self.group.back()) else { return };
        self.timeline.anchor(first, last, now);
        self.runs = true;
        for packet in self.group.clone() {
            self.send(&packet, now);
        }
    }

    fn keep(&mut self, packet: Packet) {
        self.group_bytes += packet.data.len();
        self.group.push_back(packet);
        if self.group_bytes > KEPT_MAX_BYTES || self.group.len() > KEPT_MAX_PACKETS {
            self.empty_group();
        }
    }

    fn send(&mut self, packet: &Packet, now: Instant) {
        if let Some(packet) = self.timeline.place(packet, now) {
            self.out.push_back(packet);
        }
    }

    fn forget(&mut self) {
        self.empty_group();
        self.runs = false;
    }

    fn empty_group(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
    }
}

/// What may be kept for a viewer to come: 8 s at 8 Mbit/s. Beyond it the first picture waits for a key frame.
pub const KEPT_MAX_BYTES: usize = 8 << 20;
/// The same in packets: 17 s of 60 pictures a second.
pub const KEPT_MAX_PACKETS: usize = 1024;
