//! One running timeline for the tracks of a source, whatever its timestamps do.

use crosspoint_ffi::{MediaTime, Packet};

use super::Track;

/// Puts the times of a source's tracks on one timeline without jumps.
///
/// Timestamps jump: a file begins again, an HLS playlist changes programme, a clock wraps. Both tracks jump then, but not at the same
/// packet. The first that does says where the new stretch goes: behind the end of the old one. The other follows by the same distance when
/// it comes to its own jump, so what belonged together still does.
///
/// Copies: 0 (it writes times only).
#[derive(Debug, Default)]
pub(super) struct Timeline {
    video: Line,
    audio: Line,
    /// What the newest stretch's times are moved by.
    offset: MediaTime,
    /// The newest time given to any track.
    newest: Option<MediaTime>,
}

/// One track's place on the timeline.
#[derive(Debug, Default)]
struct Line {
    offset: MediaTime,
    /// The first decode time, as it came.
    first: Option<MediaTime>,
    /// The last decode time, as it was placed.
    last: Option<MediaTime>,
    /// The last distance between two.
    interval: MediaTime,
}

impl Timeline {
    /// Moves the times of the next packet of `track` to where they belong.
    pub(super) fn place(&mut self, track: Track, packet: &mut Packet) {
        let Some(time) = packet.decode_time() else { return };
        if self.jumps(track, time + self.line(track).offset) {
            if self.jumps(track, time + self.offset) {
                let end = self.video.end().max(self.audio.end()).unwrap_or_default();
                self.offset = end - time;
            }
            self.line_mut(track).offset = self.offset;
        }
        let line = self.line_mut(track);
        line.first.get_or_insert(time);
        let placed = time + line.offset;
        line.advance(placed);
        packet.pts = packet.pts.map(|pts| pts + line.offset);
        packet.dts = packet.dts.map(|dts| dts + line.offset);
        self.newest = self.newest.max(Some(placed));
    }

    /// The source begins anew: its first packet comes one frame after its last.
    pub(super) fn splice(&mut self) {
        let lead = match (self.video.end(), self.audio.end()) {
            // Sound that is a little longer than its picture overlaps; a picture that waited for it would stutter.
            (Some(video), Some(audio)) if audio - video < OVERLAP => &self.video,
            (Some(_), None) => &self.video,
            (_, Some(_)) => &self.audio,
            (None, None) => return,
        };
        let (Some(end), Some(first)) = (lead.end(), lead.first) else { return };
        self.offset = end - first;
        self.video.offset = self.offset;
        self.audio.offset = self.offset;
    }

    fn jumps(&self, track: Track, placed: MediaTime) -> bool {
        let Some(newest) = self.newest else { return false };
        let last = self.line(track).last.unwrap_or(newest);
        // A track that falls silent while the other goes on has not jumped.
        let back = placed - last < -BACKWARDS && placed - newest < -BACKWARDS;
        let forth = placed - last > FORWARDS && placed - newest > FORWARDS;
        back || forth
    }

    fn line(&self, track: Track) -> &Line {
        match track {
            Track::Audio => &self.audio,
            Track::Video => &self.video,
        }
    }

    fn line_mut(&mut self, track: Track) -> &mut Line {
        match track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
        }
    }
}

impl Line {
    fn advance(&mut self, placed: MediaTime) {
        if let Some(last) = self.last
            && placed > last
            && placed - last < FORWARDS
        {
            self.interval = placed - last;
        }
        self.last = self.last.max(Some(placed));
    }

    fn end(&self) -> Option<MediaTime> {
        self.last.map(|last| last + self.interval)
    }
}

/// Decode times that go back less than this are presentation times of reordered pictures; more is a new stretch.
const BACKWARDS: MediaTime = MediaTime::from_millis(500);
/// Times that jump further than this were cut, not paused.
const FORWARDS: MediaTime = MediaTime::from_millis(5_000);
/// How much longer than its picture the sound of a file may be and still not decide when it begins anew.
const OVERLAP: MediaTime = MediaTime::from_millis(100);

#[cfg(test)]
mod tests {
    use crosspoint_ffi::{Codec, Payload};

    use super::super::clock::epoch;
    use super::*;

    fn placed(timeline: &mut Timeline, track: Track, millis: i64) -> i64 {
        let time = Some(MediaTime::from_millis(millis));
        let codec = if track == Track::Video { Codec::H264 } else { Codec::Aac };
        let data = Payload::copy_from_slice(b"x");
        let mut packet = Packet { codec, data, pts: time, dts: time, key: true, arrival: epoch(), parameters: None };
        timeline.place(track, &mut packet);
        assert_eq!(packet.pts, packet.dts);
        packet.dts.unwrap().as_nanos() / 1_000_000
    }

    #[test]
    fn both_tracks_jump_by_the_same_distance_whichever_is_first() {
        for jump in [-90_000, 50_000] {
            for first in [Track::Video, Track::Audio] {
                let second = if first == Track::Video { Track::Audio } else { Track::Video };
                let mut timeline = Timeline::default();
                for n in 0..50 {
                    assert_eq!(placed(&mut timeline, Track::Video, 100_000 + n * 40), 100_000 + n * 40);
                    assert_eq!(placed(&mut timeline, Track::Audio, 100_000 + n * 40), 100_000 + n * 40);
                }
                let at = |n: i64| 100_000 + jump + n * 40;
                assert_eq!(placed(&mut timeline, first, at(50)), 102_000, "one frame after the last");
                assert_eq!(placed(&mut timeline, second, 102_000), 102_000, "the other has a packet left of the old stretch");
                assert_eq!(placed(&mut timeline, first, at(51)), 102_040);
                assert_eq!(placed(&mut timeline, second, at(51)), 102_040, "and then belongs where its fellow is");
            }
        }
    }

    #[test]
    fn track_that_pauses_while_the_other_goes_on_has_not_jumped() {
        let mut timeline = Timeline::default();
        placed(&mut timeline, Track::Video, 0);
        for n in 0..1_000 {
            placed(&mut timeline, Track::Audio, n * 20);
        }
        assert_eq!(placed(&mut timeline, Track::Video, 20_000), 20_000);
        assert_eq!(placed(&mut timeline, Track::Audio, 20_000), 20_000);
    }

    #[test]
    fn file_that_begins_anew_goes_on_one_frame_after_its_last() {
        let mut timeline = Timeline::default();
        for round in 0..3 {
            for n in 0..25 {
                // Decode times of reordered pictures begin below zero.
                assert_eq!(placed(&mut timeline, Track::Video, n * 40 - 80), round * 1_000 + n * 40 - 80);
                assert_eq!(placed(&mut timeline, Track::Audio, n * 40), round * 1_000 + n * 40);
            }
            timeline.splice();
        }
    }

    #[test]
    fn small_steps_are_the_containers_own() {
        let mut timeline = Timeline::default();
        for millis in [1_000, 1_120, 1_040, 1_080, 5_900, 5_500] {
            assert_eq!(placed(&mut timeline, Track::Video, millis), millis);
        }
    }
}
