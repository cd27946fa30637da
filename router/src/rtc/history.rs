//! What is kept of a viewer's pictures, to be sent again.

use std::time::Duration;

use str0m::rtp::StreamTx;

use super::h264::MOST_PAYLOAD_BYTES;

/// How many packets of pictures are kept for a viewer: as many as fill the time until it can have said that one is missing.
///
/// `str0m` keeps them for each viewer apart, and says nothing of what a viewer asks for, by which they could be kept once for all. Payloads
/// are shared; but a packet's place costs 432 bytes whatever is in it, which at 256 of them would be half of all that a viewer costs. So who
/// is near has few, and who turns out to be far gets more.
///
/// Copies: 0.
#[derive(Debug)]
pub(super) struct History {
    bitrate_bps: u32,
    far: bool,
}

impl History {
    /// That of a viewer for which there are at most so many bits a second.
    pub(super) fn new(bitrate_bps: u32) -> Self {
        Self { bitrate_bps, far: false }
    }

    /// Takes what a round trip lasted; says whether more is to be kept from now on.
    pub(super) fn handle_round_trip(&mut self, round_trip: Duration) -> bool {
        let is_news = !self.far && round_trip > NEAR;
        self.far |= is_news;
        is_news
    }

    /// Makes room in a stream; what it kept before is gone.
    pub(super) fn apply(&self, stream: &mut StreamTx) {
        stream.set_rtx_cache(self.packets(), KEPT, Some(MOST_AGAIN));
    }

    fn packets(&self) -> usize {
        let kept = if self.far { FAR_KEPT } else { NEAR_KEPT };
        let bytes = u64::from(self.bitrate_bps) / 8 * kept.as_millis() as u64 / 1_000;
        (bytes as usize / MOST_PAYLOAD_BYTES).clamp(LEAST_PACKETS, MOST_PACKETS)
    }
}

/// To whom a round trip takes longer, is far.
const NEAR: Duration = Duration::from_millis(50);
/// The time at the full rate that fills what is kept for who is near. A key frame takes it all (the encoder's buffer), and goes faster: it
/// is whole until more has followed it.
const NEAR_KEPT: Duration = Duration::from_millis(300);
/// The same for who is far: up to a round trip of 300 ms, more does not help.
const FAR_KEPT: Duration = Duration::from_millis(600);
/// What is older is not worth sending: whoever misses it has asked for a key frame.
const KEPT: Duration = Duration::from_secs(1);
/// Of all bytes, what may be sent again within a second; `str0m`'s own measure.
const MOST_AGAIN: f32 = 0.15;
/// Two bursts of one picture.
const LEAST_PACKETS: usize = 64;
/// What a viewer may cost at any rate: 440 kB.
const MOST_PACKETS: usize = 1_024;

#[cfg(test)]
mod tests {
    use str0m::rtp::RtpPacket;

    use super::*;

    #[test]
    fn packets_fill_a_time_at_the_rate() {
        let cases =
            [(100_000, false, 64), (3_000_000, false, 102), (3_000_000, true, 204), (12_000_000, false, 409), (100_000_000, true, 1_024)];
        for (bitrate_bps, far, packets) in cases {
            assert_eq!(History { bitrate_bps, far }.packets(), packets, "{bitrate_bps} bits a second");
        }
    }

    #[test]
    fn near_viewer_at_the_usual_rate_costs_less_than_50_kb() {
        // With its place and its time.
        let packet = size_of::<RtpPacket>() + 24;
        assert!(History::new(3_000_000).packets() * packet < 50_000, "{packet} bytes a packet");
    }

    #[test]
    fn more_is_kept_once_and_for_all_when_a_viewer_turns_out_to_be_far() {
        let mut history = History::new(3_000_000);
        let trips = [10, 50, 51, 20, 300].map(|millis| history.handle_round_trip(Duration::from_millis(millis)));
        assert_eq!(trips, [false, false, true, false, false]);
        assert_eq!(history.packets(), 204);
    }
}
