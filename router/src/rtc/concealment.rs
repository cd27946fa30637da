//! What stands for sound that was lost.

use std::ops::RangeInclusive;

use crosspoint_ffi::{MediaTime, Payload, opus};

/// Notices what is missing between the Opus packets of a publisher.
///
/// A packet that was lost has a place in time, and its samples would be missing from it for good: what follows would be early, and what is
/// held before the ear less. For each frame that is missing stands one of no bytes, which the decoder makes up for, and with the last goes the
/// packet that came, in which a sender may repeat it. A sender that is silent sends nothing for a while (discontinuous transmission), and
/// loses nothing.
#[derive(Debug, Default)]
pub(super) struct Concealment {
    /// The number after the last packet's, and when that packet's sound ends, in its clock.
    next: Option<(u64, u64)>,
}

impl Concealment {
    /// Takes the next packet: its `numbers`, when it begins and its bytes. Says what stands for what is missing before it, each with how long
    /// before it begins.
    pub(super) fn handle<'a>(
        &mut self,
        numbers: RangeInclusive<u64>,
        ticks: u64,
        packet: &'a [u8],
    ) -> impl Iterator<Item = (MediaTime, Payload)> + use<'a> {
        let lost = opus::lost(packet);
        let (length, whole) = (opus::duration(&lost), opus::duration(packet));
        let end = ticks.wrapping_add_signed(whole.to_ticks(RATE));
        let before = self.next.replace((numbers.end().wrapping_add(1), end));
        let missing = before
            .filter(|(number, _)| number < numbers.start())
            .map_or(MediaTime::ZERO, |(_, ended)| MediaTime::from_ticks(ticks.wrapping_sub(ended).cast_signed(), RATE));
        let frames = if missing > MOST { 0 } else { missing.as_nanos().max(0) / length.as_nanos().max(1) };
        (1..=frames).rev().map(move |left| {
            let stand_in = if left == 1 { opus::lost_before(packet) } else { lost.clone() };
            (MediaTime::from_nanos(length.as_nanos() * left), stand_in)
        })
    }
}

/// The clock of Opus in RTP (RFC 7587, 4.1).
const RATE: u32 = 48_000;
/// What can be made up for: what is made from little fades away soon, and what comes after that much finds nothing left before the ear.
const MOST: MediaTime = MediaTime::from_millis(120);

#[cfg(test)]
mod tests {
    use crosspoint_ffi::Codec;
    use str0m::media::MediaKind::{Audio, Video};

    use super::super::Role;
    use super::super::simulation::{Link, World};
    use super::super::tests::ms;
    use super::*;

    /// Fullband, 20 ms, stereo, one frame; then the same with two frames; then one with a SILK layer, which can hold a repetition.
    const ONE: u8 = 0xfc;
    const TWO: u8 = 0xfd;
    const SILK: u8 = 0x7c;

    /// How long before the last of two packets something stands for what was lost, in milliseconds, and as what.
    fn stands(first: (u64, u64, u8), second: (u64, u64, u8)) -> Vec<(i64, u8)> {
        let mut concealment = Concealment::default();
        assert_eq!(concealment.handle(first.0..=first.0, first.1, &[first.2, 1]).count(), 0, "nothing is missing before the first");
        let packet = [second.2, 1];
        let lost = concealment.handle(second.0..=second.0, second.1, &packet);
        lost.map(|(before, stand_in)| {
            assert!(opus::is_lost(&stand_in));
            (before.as_nanos() / 1_000_000, opus::repetition(&stand_in).map_or(stand_in[0], |next| next[0]))
        })
        .collect()
    }

    #[test]
    fn each_frame_that_is_missing_has_one_of_no_bytes_in_its_place() {
        assert_eq!(stands((7, 960, ONE), (8, 1_920, ONE)), []);
        assert_eq!(stands((7, 960, ONE), (9, 2_880, ONE)), [(20, ONE)]);
        assert_eq!(stands((7, 960, ONE), (10, 3_840, ONE)), [(40, ONE), (20, ONE)]);
        assert_eq!(stands((7, 960, TWO), (9, 4_800, TWO)), [(40, ONE), (20, ONE)], "two frames a packet");
        assert_eq!(stands((7, 0u64.wrapping_sub(480), ONE), (9, 1_440, ONE)), [(20, ONE)], "a clock that begins anew");
    }

    #[test]
    fn packet_after_a_loss_goes_along_with_the_last_frame() {
        let mut concealment = Concealment::default();
        assert_eq!(concealment.handle(7..=7, 960, &[SILK, 1]).count(), 0);
        let lost: Vec<_> = concealment.handle(10..=10, 3_840, &[SILK, 2]).map(|(_, stand_in)| stand_in).collect();
        let repetitions: Vec<_> = lost.iter().map(|stand_in| opus::repetition(stand_in)).collect();
        assert_eq!(repetitions, [None, Some(&[SILK, 2][..])]);
    }

    #[test]
    fn silence_that_was_not_sent_is_no_loss_and_a_long_outage_is_over() {
        assert_eq!(stands((7, 960, ONE), (8, 960 + 400 * 48, ONE)), [], "discontinuous transmission");
        assert_eq!(stands((7, 960, ONE), (60, 960 + 53 * 960, ONE)), [], "a second");
        assert_eq!(stands((7, 960, ONE), (9, 960, ONE)), [], "a clock that stands still");
        assert_eq!(stands((7, 96_000, ONE), (9, 0, ONE)), [], "one that jumps back");
    }

    #[test]
    fn sound_over_a_bad_link_has_no_holes() {
        let mut world = World::new(&[Audio, Video], Role::Publisher, Link { lost: 50, ..Link::GOOD });
        world.connect();
        for _ in 0..3_000 {
            world.publish(Audio, true, 120);
            world.run(ms(10));
        }
        world.run(ms(200));
        let sounds: Vec<_> = world.packets().filter(|packet| packet.codec == Codec::Opus).collect();
        let stands = sounds.iter().filter(|packet| opus::is_lost(&packet.data)).count();
        assert!((90..=210).contains(&stands), "{stands} stand for what was lost");
        let even = sounds
            .windows(2)
            .filter(|pair| (pair[1].pts.unwrap() - pair[0].pts.unwrap() - MediaTime::from_millis(10)).abs() < MediaTime::from_micros(50));
        // One step more: reports bring picture and sound together.
        assert!(even.count() + 3 >= sounds.len() && sounds.len() >= 2_990, "{} packets", sounds.len());
    }
}
