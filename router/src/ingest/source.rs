//! What a publisher's socket gave and the decoder has not taken yet: at most one chunk.

use std::collections::VecDeque;
use std::time::Instant;

use crosspoint_ffi::Packet;

use super::{Due, Pacer};

/// What to do next.
#[derive(Debug)]
pub enum SourceOutput {
    /// All is released: read the publisher's next chunk.
    Hungry,
    /// Decode this packet now.
    Release {
        /// The packet.
        packet: Packet,
        /// Since when it could have been released; see [`Due::Now`].
        since: Instant,
    },
    /// Nothing before this moment, unless something is reported; meanwhile the publisher is not read.
    WaitUntil(Instant),
}

/// Counters since construction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SourceStats {
    /// Packets that came.
    pub packets: u64,
    /// Packets released.
    pub released: u64,
    /// Video packets that were dropped because what they refer to was lost.
    pub dropped_for_key: u64,
    /// Losses reported.
    pub losses: u64,
}

/// Holds the packets of one chunk and releases them by media time, video from a key packet on.
///
/// The driver reads one chunk, demultiplexes it into [`SocketSource::handle_packet`], and polls until [`SourceOutput::Hungry`] before
/// it reads another: what it does not read, TCP holds back. So the queue is bounded by the chunk (the socket's message limit).
///
/// Copies: 0 (packets are shared bytes).
#[derive(Debug)]
pub struct SocketSource {
    queue: VecDeque<Packet>,
    pacer: Pacer,
    needs_key: bool,
    stats: SourceStats,
}

impl SocketSource {
    /// Makes an empty source that waits for a key packet.
    #[must_use]
    pub fn new() -> Self {
        Self { queue: VecDeque::new(), pacer: Pacer::new(), needs_key: true, stats: SourceStats::default() }
    }

    /// Takes the next packet in decoding order.
    pub fn handle_packet(&mut self, packet: Packet) {
        self.stats.packets += 1;
        if packet.codec.is_video() {
            if self.needs_key && !packet.key {
                self.stats.dropped_for_key += 1;
                return;
            }
            self.needs_key = false;
        }
        self.queue.push_back(packet);
    }

    /// Bytes or packets were lost behind what was taken so far: video resumes at a key packet.
    pub fn handle_loss(&mut self) {
        self.stats.losses += 1;
        self.needs_key = true;
    }

    /// A new publisher took over: what the old one left is forgotten, video starts at a key packet, the first time anchors.
    pub fn handle_join(&mut self) {
        self.queue.clear();
        self.needs_key = true;
        self.pacer.reanchor();
    }

    /// The input was resumed: the next packet is due at once. While paused go on polling; the released packets are what is dropped.
    pub fn handle_resume(&mut self) {
        self.pacer.reanchor();
    }

    /// Takes a read of the camera.
    pub fn handle_tick(&mut self, at: Instant) {
        self.pacer.handle_tick(at);
    }

    /// Says what to do at `now`.
    pub fn poll(&mut self, now: Instant) -> SourceOutput {
        let Some(packet) = self.queue.front() else { return SourceOutput::Hungry };
        match self.pacer.due(packet.decode_time(), packet.arrival, now) {
            Due::At(due) => SourceOutput::WaitUntil(due),
            Due::Now { since } => match self.queue.pop_front() {
                Some(packet) => {
                    self.stats.released += 1;
                    SourceOutput::Release { packet, since }
                }
                None => SourceOutput::Hungry,
            },
        }
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> SourceStats {
        self.stats
    }
}

impl Default for SocketSource {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crosspoint_ffi::{Codec, MediaTime, Payload};

    use super::super::clock::{epoch, ms};
    use super::*;

    fn video(n: i64, key: bool, arrival: Instant) -> Packet {
        let time = Some(MediaTime::from_millis(n * 40));
        Packet { codec: Codec::H264, data: Payload::copy_from_slice(&[n as u8]), pts: time, dts: time, key, arrival }
    }

    fn drain(source: &mut SocketSource, now: Instant) -> (Vec<u8>, Option<Duration>) {
        let mut released = Vec::new();
        loop {
            match source.poll(now) {
                SourceOutput::Release { packet, .. } => released.push(packet.data[0]),
                SourceOutput::WaitUntil(until) => return (released, Some(until - now)),
                SourceOutput::Hungry => return (released, None),
            }
        }
    }

    #[test]
    fn one_chunk_is_released_by_media_time_and_then_it_is_hungry() {
        let (now, mut source) = (epoch(), SocketSource::new());
        assert_eq!(drain(&mut source, now), (vec![], None));
        for n in 0..3 {
            source.handle_packet(video(n, n == 0, now));
        }
        assert_eq!(drain(&mut source, now), (vec![0], Some(ms(40.0))));
        assert_eq!(drain(&mut source, now + ms(40.0)), (vec![1], Some(ms(40.0))));
        assert_eq!(drain(&mut source, now + ms(80.0)), (vec![2], None));
        assert_eq!(source.stats(), SourceStats { packets: 3, released: 3, ..SourceStats::default() });
    }

    #[test]
    fn video_starts_and_resumes_at_a_key_packet() {
        let (now, mut source) = (epoch(), SocketSource::new());
        let keys = [2, 7];
        for n in 0..9 {
            if n == 4 {
                source.handle_loss();
            }
            source.handle_packet(video(n, keys.contains(&n), now));
        }
        assert_eq!(drain(&mut source, now).0, [2]);
        assert_eq!(drain(&mut source, now + ms(5_000.0)).0.len() + source.queue.len(), 3, "3, 7 and 8");
        assert_eq!((source.stats().dropped_for_key, source.stats().losses), (5, 1));
    }

    #[test]
    fn sound_passes_while_video_waits_for_a_key() {
        let (now, mut source) = (epoch(), SocketSource::new());
        source.handle_packet(video(0, false, now));
        source.handle_packet(Packet { codec: Codec::Mp2, ..video(1, true, now) });
        source.handle_packet(video(1, false, now));
        assert_eq!(drain(&mut source, now), (vec![1], None));
        assert_eq!(source.stats().dropped_for_key, 2);
    }

    #[test]
    fn new_publisher_shows_at_once_whatever_the_old_one_left() {
        let (now, mut source) = (epoch(), SocketSource::new());
        for n in 0..50 {
            source.handle_packet(video(n, true, now));
        }
        assert_eq!(drain(&mut source, now).0, [0]);
        source.handle_join();
        source.handle_packet(video(90, false, now));
        source.handle_packet(video(91, true, now));
        assert_eq!(drain(&mut source, now), (vec![91], None));
    }
}
