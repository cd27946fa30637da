//! Where the sound of a source goes once it is released.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crosspoint_ffi::Packet;
use crosspoint_ffi::fd::Wake;

use super::SoundView;

/// Where the packets of the sound's source go once they are released: the newest outlet is what plays. Dropped, what it took is played
/// to its end.
#[derive(Debug)]
pub(crate) struct SoundOutlet {
    queue: Arc<Queue>,
    wake: Arc<Wake>,
    view: Arc<SoundView>,
}

impl SoundOutlet {
    pub(super) fn new(queue: Arc<Queue>, wake: Arc<Wake>, view: Arc<SoundView>) -> Self {
        Self { queue, wake, view }
    }

    /// Takes the source's next packet, never waiting: while nothing can play, the oldest goes for the newest.
    pub(crate) fn packet(&self, packet: Packet) {
        if self.queue.push(packet) {
            self.view.count_lost_packet();
        }
        self.wake.raise();
    }
}

impl Drop for SoundOutlet {
    fn drop(&mut self) {
        // Pairs with the acquire in `is_ended`: who sees the end sees every packet before it.
        self.queue.ended.store(true, Ordering::Release);
        self.wake.raise();
    }
}

/// The packets between the network thread and the sound thread. Full, it drops the oldest.
///
/// Copies: 0 (packets are shared bytes).
#[derive(Debug, Default)]
pub(crate) struct Queue {
    packets: Mutex<VecDeque<Packet>>,
    ended: AtomicBool,
}

impl Queue {
    /// Packets it holds: a second of the shortest there are in practice (PCM and AAC of 96 kHz last some 10 ms), and 6 s of MP3.
    const MOST: usize = 256;

    /// Puts a packet behind the others; says whether another was dropped for it.
    fn push(&self, packet: Packet) -> bool {
        let mut packets = self.lock();
        let full = packets.len() >= Self::MOST;
        if full {
            packets.pop_front();
        }
        packets.push_back(packet);
        full
    }

    /// The oldest packet.
    pub(super) fn pop(&self) -> Option<Packet> {
        self.lock().pop_front()
    }

    /// Whether nothing is there nor comes any more.
    pub(super) fn is_ended(&self) -> bool {
        // Pairs with the release in the outlet's drop.
        self.ended.load(Ordering::Acquire) && self.lock().is_empty()
    }

    /// Forgets what is there.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Packet>> {
        // A holder cannot panic; were it to, the packets are whole all the same.
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crosspoint_ffi::{Codec, Payload};

    use super::*;

    fn packet(number: usize) -> Packet {
        let data = Payload::copy_from_slice(&number.to_le_bytes());
        Packet { codec: Codec::Mp3, data, pts: None, dts: None, key: true, arrival: Instant::now(), parameters: None }
    }

    #[test]
    fn full_queue_drops_the_oldest_and_counts() {
        let (queue, view) = (Arc::<Queue>::default(), Arc::<SoundView>::default());
        let wake = Arc::new(Wake::new().expect("an eventfd"));
        let outlet = SoundOutlet::new(Arc::clone(&queue), Arc::clone(&wake), Arc::clone(&view));
        for number in 0..Queue::MOST + 10 {
            outlet.packet(packet(number));
        }
        assert!(wake.lower());
        assert_eq!(view.lost_packets(), 10);
        assert_eq!(queue.pop().map(|packet| packet.data.to_vec()), Some(10_usize.to_le_bytes().to_vec()));
        drop(outlet);
        assert!(!queue.is_ended(), "what was taken is played");
        queue.clear();
        assert!(queue.is_ended() && wake.lower());
    }
}
