//! Which of a source's tracks are fetched.

use std::cmp::Reverse;
use std::time::Duration;

use crosspoint_ffi::MediaTime;
use crosspoint_ffi::av::Track;

/// Which tracks somebody wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) video: bool,
    pub(crate) audio: bool,
}

impl Wanted {
    /// Whether there is a track that both want.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        self.video && other.video || self.audio && other.audio
    }
}

/// The tracks chosen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Choice {
    /// By index, the picture first.
    pub(super) tracks: Vec<usize>,
    pub(super) is_still: bool,
    pub(super) has_video: bool,
    pub(super) has_audio: bool,
    /// Whether there is a smaller picture to fall back on.
    pub(super) can_step_down: bool,
}

/// Chooses the picture that fills a canvas best, `steps_down` renditions below that, and the best sound that goes with it.
pub(super) fn choose(tracks: &[Track], wanted: Wanted, canvas: (u32, u32), steps_down: usize) -> Choice {
    let mut pictures: Vec<&Track> = tracks.iter().filter(|track| track.codec.is_video()).collect();
    // The largest that needs no shrinking first, then the smallest that does.
    let fits = |track: &Track| track.parameters.size.0 <= canvas.0 && track.parameters.size.1 <= canvas.1;
    pictures.sort_by_key(|track| {
        let pixels = i64::from(track.parameters.size.0) * i64::from(track.parameters.size.1);
        let order = if fits(track) { -pixels } else { pixels };
        (track.is_still, !fits(track), order, Reverse(track.bitrate_bps), track.index)
    });
    let best = pictures.first().copied();
    // Renditions to fall back on, each of fewer bits than the one before.
    let mut ladder = vec![];
    if let Some(best) = best {
        ladder = pictures.iter().copied().filter(|track| track.variant.is_some() && track.bitrate_bps < best.bitrate_bps).collect();
        ladder.sort_by_key(|track| Reverse((track.bitrate_bps, Reverse(track.index))));
        ladder.dedup_by_key(|track| track.bitrate_bps);
        ladder.insert(0, best);
    }
    let step = steps_down.min(ladder.len().saturating_sub(1));
    let picture = ladder.get(step).copied();
    let variant = picture.and_then(|track| track.variant);
    let sound = tracks
        .iter()
        .filter(|track| !track.codec.is_video())
        .max_by_key(|track| (picture.is_none() || track.variant == variant, track.bitrate_bps, Reverse(track.index)));
    let picture = picture.filter(|_| wanted.video);
    let sound = sound.filter(|_| wanted.audio);
    Choice {
        tracks: picture.iter().chain(&sound).map(|track| track.index).collect(),
        is_still: picture.is_some_and(|track| track.is_still),
        has_video: picture.is_some(),
        has_audio: sound.is_some(),
        can_step_down: picture.is_some() && step + 1 < ladder.len(),
    }
}

/// Tells when a source is read more slowly than it plays.
#[derive(Debug, Default)]
pub(super) struct Meter {
    first: Option<MediaTime>,
    waited: Duration,
}

impl Meter {
    /// Takes how long reading a packet took; says whether it has gone too slowly for too long. Then it begins anew.
    pub(super) fn is_slow(&mut self, time: Option<MediaTime>, took: Duration) -> bool {
        let Some(time) = time else { return false };
        let Some(first) = self.first else {
            // What comes before the first packet is connecting, not reading.
            self.first = Some(time);
            return false;
        };
        self.waited += took;
        let played = time - first;
        if played < -WINDOW || played > LONGEST {
            *self = Self::default();
            return false;
        }
        // One that gives nothing at all is slow before any media has passed.
        if MediaTime::from(self.waited) < WINDOW {
            return false;
        }
        let slow = self.waited.as_secs_f64() > played.as_secs_f64() * SLOW;
        *self = Self::default();
        slow
    }
}

/// How long reading is watched.
const WINDOW: MediaTime = MediaTime::from_millis(8_000);

/// Media beyond this in one window was skipped, or is far ahead anyway.
const LONGEST: MediaTime = MediaTime::from_millis(60_000);

/// At a live source's edge reading takes as long as playing; more than that is too slow.
const SLOW: f64 = 1.15;

#[cfg(test)]
mod tests;
