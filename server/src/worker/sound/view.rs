//! What the sound thread tells the others.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crosspoint_router::ingest::Depth;

/// What the sound thread tells the others.
#[derive(Debug, Default)]
pub(crate) struct SoundView {
    /// Whether PulseAudio is there.
    pub(crate) connected: AtomicBool,
    /// Whether somebody listens to the microphone.
    pub(crate) microphone_in_use: AtomicBool,
    /// Packets that could not be decoded.
    pub(crate) bad_packets: AtomicU64,
    /// Encoded packets that the network thread had no room for.
    pub(crate) overrun: AtomicU64,
    /// Encoders of the speaker opened.
    pub(crate) sound_encoders: AtomicU64,
    /// How often what plays ran dry.
    pub(crate) underruns: AtomicU64,
    lost_packets: AtomicU64,
    dropped_us: AtomicU64,
    held_us: AtomicU64,
    target_us: AtomicU64,
    path_latency_us: AtomicU64,
    correction_ppm: AtomicI32,
}

impl SoundView {
    /// From the outlet until a packet is heard, as it is now; nothing while nothing plays.
    pub(crate) fn path_latency(&self) -> Option<Duration> {
        duration(self.path_latency_us.load(Relaxed))
    }

    /// How much sound lies between the outlet and the sink's clock; nothing while nothing plays.
    pub(crate) fn depth(&self) -> Option<Duration> {
        duration(self.held_us.load(Relaxed))
    }

    /// The depth that is aimed at; nothing while nothing plays.
    pub(crate) fn target(&self) -> Option<Duration> {
        duration(self.target_us.load(Relaxed))
    }

    /// By how many parts in a million what plays is lengthened.
    pub(crate) fn correction_ppm(&self) -> i32 {
        self.correction_ppm.load(Relaxed)
    }

    /// How much decoded sound was dropped to get back to live.
    pub(crate) fn dropped(&self) -> Duration {
        Duration::from_micros(self.dropped_us.load(Relaxed))
    }

    /// Packets dropped because nothing took them.
    pub(crate) fn lost_packets(&self) -> u64 {
        self.lost_packets.load(Relaxed)
    }

    pub(super) fn count_lost_packet(&self) {
        self.lost_packets.fetch_add(1, Relaxed);
    }

    pub(super) fn count_dropped(&self, length: Duration) {
        self.dropped_us.fetch_add(micros(length), Relaxed);
    }

    /// Tells the depth of what plays, or that nothing does.
    pub(super) fn tell(&self, depth: Option<&Depth>) {
        let tell = |place: &AtomicU64, of: fn(&Depth) -> Duration| place.store(depth.map_or(0, |depth| micros(of(depth))), Relaxed);
        tell(&self.held_us, |depth| depth.held().unwrap_or_default());
        tell(&self.target_us, Depth::target);
        tell(&self.path_latency_us, Depth::path_latency);
        self.correction_ppm.store(depth.map_or(0, |depth| (depth.correction() * 1e6).round() as i32), Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn duration(us: u64) -> Option<Duration> {
    (us != 0).then(|| Duration::from_micros(us))
}
