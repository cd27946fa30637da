//! What the decode thread counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crosspoint_router::ingest::BacklogStats;

use crate::histogram::Histogram;

/// The counters of the decode thread.
#[derive(Debug, Default)]
pub(crate) struct DecodeCounters {
    /// Packets, so pictures, that came.
    pub(crate) packets: AtomicU64,
    /// Pictures decoded.
    pub(crate) pictures: AtomicU64,
    /// Packets that were not decoded because nobody watched.
    pub(crate) unwatched: AtomicU64,
    /// Packets that were not decoded because decoding was behind.
    pub(crate) late: AtomicU64,
    /// Pictures that a newer one replaced before the present thread took them.
    pub(crate) displaced: AtomicU64,
    /// Packets that the decoder refused.
    pub(crate) bad_packets: AtomicU64,
    /// How often a source was so heavy that its pictures are decoded several at a time.
    pub(crate) by_frame: AtomicU64,
    /// How long a decoder took for a packet.
    pub(crate) time: Histogram,
}

impl DecodeCounters {
    /// Takes over what the backlog counted.
    pub(super) fn note(&self, stats: &BacklogStats) {
        self.packets.store(stats.packets, Relaxed);
        self.unwatched.store(stats.unwatched, Relaxed);
        self.late.store(stats.late, Relaxed);
    }
}
