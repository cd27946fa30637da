//! Where a publisher's units are on its timeline.

use std::time::{Duration, SystemTime};

use crosspoint_ffi::MediaTime;
use str0m::media::MediaData;

/// Places the units of one track.
///
/// Tracks count from random numbers, each by a clock of its own. A track begins where its first unit came; sender reports tell what time of
/// day the sender had at which of its numbers (RFC 3550, 6.4.1), and so what belongs together ([`align`]).
#[derive(Debug, Default)]
pub(super) struct Placement {
    /// The RTP time of the first unit, and where that is.
    anchor: Option<(u64, MediaTime)>,
    /// What the newest report said: which one it was, and what time of day it is for the sender at the timeline's begin.
    report: Option<(SystemTime, MediaTime)>,
}

impl Placement {
    /// Says where a unit is that came so long after the start.
    pub(super) fn place(&mut self, data: &MediaData, since_start: Duration) -> MediaTime {
        let (first, at) = *self.anchor.get_or_insert_with(|| (data.time.numer(), since_start.into()));
        let ticks = data.time.numer().wrapping_sub(first).cast_signed();
        at + MediaTime::from_ticks(ticks, data.time.denom())
    }

    /// Takes the newest sender report that came before a unit, which was placed `at`; says whether it is news.
    pub(super) fn handle_report(&mut self, data: &MediaData, at: MediaTime) -> bool {
        let Some(info) = &data.last_sender_info else { return false };
        if self.report.is_some_and(|(known, _)| known == info.ntp_time) {
            return false;
        }
        // Numbers have 32 bits, and which of them wrapped `str0m` counts for units and reports apart.
        let ticks = (data.time.numer() as u32).wrapping_sub(info.rtp_time.numer() as u32).cast_signed();
        let time_of_day = since_1970(info.ntp_time) + MediaTime::from_ticks(ticks.into(), data.time.denom());
        self.report = Some((info.ntp_time, time_of_day - at));
        true
    }

    fn shift(&mut self, by: MediaTime) {
        if let Some((_, at)) = &mut self.anchor {
            *at += by;
        }
        if let Some((_, begin)) = &mut self.report {
            *begin -= by;
        }
    }
}

/// Brings two tracks together as far as their reports tell: for the sender the timeline began at one time of day. Says whether anything was
/// moved.
///
/// The sound moves, because pictures set the pace of all that follows; but what moves far back would be taken for another stretch of the
/// source, and then the pictures move forth.
pub(super) fn align(video: &mut Placement, audio: &mut Placement) -> bool {
    let (Some((_, by_video)), Some((_, by_audio))) = (video.report, audio.report) else { return false };
    let late = by_audio - by_video;
    if late.abs() < LEAST_APART || late.abs() > MOST_APART {
        return false;
    }
    if late > -MOST_BACK {
        audio.shift(late)
    } else {
        video.shift(-late)
    }
    true
}

fn since_1970(time: SystemTime) -> MediaTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.into(),
        Err(before) => -MediaTime::from(before.duration()),
    }
}

/// Nobody sees this, and reports are less exact: a report is written a little before or after it is sent.
const LEAST_APART: MediaTime = MediaTime::from_millis(10);
/// Reports that are this far apart are not of one clock.
const MOST_APART: MediaTime = MediaTime::from_millis(5_000);
/// How far back times may go that are still of the same stretch.
const MOST_BACK: MediaTime = MediaTime::from_millis(400);

#[cfg(test)]
mod tests {
    use str0m::media::MediaKind::{Audio, Video};

    use super::super::Role;
    use super::super::simulation::{Link, World};
    use super::super::tests::{FRAME, ms};
    use super::*;

    /// Publishes for so long what takes some milliseconds each to go out once it is captured; says how far off sync each picture and the
    /// sound that went out with it were placed.
    fn publish(seconds: u64, pictures_take: u64, sound_takes: u64) -> (World, Vec<MediaTime>) {
        let mut world = World::new(&[Audio, Video], Role::Publisher, Link::GOOD);
        // One of them wraps within a second.
        world.first_ticks = [(Video, u64::from(u32::MAX) - 3 * 90_000), (Audio, 1_234_567)].into();
        world.connect();
        world.run(ms(2_000));
        for nth in 0..seconds * 30 {
            let now = world.now;
            world.publish_captured(Video, nth % 30 == 0, 2_000, now - ms(pictures_take));
            world.publish_captured(Audio, true, 120, now - ms(sound_takes));
            world.run(FRAME);
        }
        world.run(ms(200));
        let times = |is_video: bool| {
            let packets = world.packets().filter(move |packet| packet.codec.is_video() == is_video);
            packets.map(|packet| packet.pts.unwrap()).collect::<Vec<_>>()
        };
        let (pictures, sounds) = (times(true), times(false));
        assert_eq!((pictures.len() as u64, sounds.len() as u64), (seconds * 30, seconds * 30));
        let should = MediaTime::from(ms(sound_takes)) - MediaTime::from(ms(pictures_take));
        let apart = pictures.iter().zip(&sounds).map(|(picture, sound)| *picture - *sound - should).collect();
        (world, apart)
    }

    #[test]
    fn clocks_that_start_apart_are_in_sync_once_their_reports_are_there() {
        for (pictures_take, sound_takes) in [(0, 0), (200, 0), (1_200, 0), (0, 250), (0, 900)] {
            let (_, apart) = publish(15, pictures_take, sound_takes);
            let by_arrival = MediaTime::from(ms(pictures_take)) - MediaTime::from(ms(sound_takes));
            assert!((apart[0] - by_arrival).abs() < MediaTime::from_millis(6), "{:?} without a report", apart[0]);
            let worst = apart[200..].iter().map(|apart| apart.abs()).max().unwrap();
            assert!(worst <= LEAST_APART, "pictures took {pictures_take} ms and sound {sound_takes}: {worst:?} apart");
        }
    }

    #[test]
    fn aligning_is_one_step_and_none_far_back() {
        for (pictures_take, sound_takes) in [(200, 0), (0, 250), (0, 900)] {
            let (world, apart) = publish(60, pictures_take, sound_takes);
            let steps = apart.windows(2).filter(|pair| (pair[1] - pair[0]).abs() > MediaTime::from_millis(2)).count();
            assert_eq!(steps, 1, "pictures took {pictures_take} ms and sound {sound_takes}");
            for is_video in [true, false] {
                let packets = world.packets().filter(|packet| packet.codec.is_video() == is_video);
                let times: Vec<_> = packets.map(|packet| packet.pts.unwrap()).collect();
                assert!(times.windows(2).all(|pair| pair[1] - pair[0] > -MOST_BACK), "pictures took {pictures_take} ms");
            }
        }
    }

    /// A track that began at 10 s, and for whose sender the timeline began at so many milliseconds since 1970.
    fn reported(begin_ms: i64) -> Placement {
        let report = Some((SystemTime::UNIX_EPOCH, MediaTime::from_millis(begin_ms)));
        Placement { anchor: Some((0, MediaTime::from_millis(10_000))), report }
    }

    #[test]
    fn reports_move_the_sound_and_only_as_far_as_they_can_be_right() {
        // How much later the timeline begins by the sound's reports, and where the pictures and the sound begin then.
        let cases = [
            (0, 10_000, 10_000),
            (9, 10_000, 10_000),
            (-9, 10_000, 10_000),
            (30, 10_000, 10_030),
            (-300, 10_000, 9_700),
            (-500, 10_500, 10_000),
            (4_900, 10_000, 14_900),
            (5_100, 10_000, 10_000),
            (-90_000, 10_000, 10_000),
        ];
        for (later_ms, video_ms, audio_ms) in cases {
            let (mut video, mut audio) = (reported(1_700_000_000_000), reported(1_700_000_000_000 + later_ms));
            let moved = align(&mut video, &mut audio);
            let begins = [&video, &audio].map(|placement| placement.anchor.unwrap().1.as_nanos() / 1_000_000);
            assert_eq!((moved, begins), (video_ms + audio_ms != 20_000, [video_ms, audio_ms]), "{later_ms} ms later");
            assert!(!align(&mut video, &mut audio), "once is enough");
        }
        assert!(!align(&mut Placement::default(), &mut reported(5)), "one report says nothing");
    }
}
