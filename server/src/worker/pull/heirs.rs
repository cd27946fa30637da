//! Which tracks take over from which.

use crosspoint_ffi::av::Track;

/// Follows a source's tracks through discontinuities.
///
/// Behind a discontinuity the same programme may go on in tracks of another codec. Those are new, and the old ones just give nothing any
/// more. What is chosen is chosen among the first of each line, whose size and bit rate are known; what is read is the last.
#[derive(Debug, Default)]
pub(super) struct Heirs {
    /// Tracks that were known before the newest came.
    known: Vec<(usize, Option<u32>, bool)>,
    /// A track and what took over from it.
    lines: Vec<(usize, usize)>,
}

impl Heirs {
    /// Begins with the tracks that a source has when it is opened.
    pub(super) fn new(tracks: &[Track]) -> Self {
        Self { known: tracks.iter().map(entry).collect(), lines: Vec::new() }
    }

    /// Looks for new tracks, which take over from those of their kind and variant: a picture always, sound only with a picture beside it
    /// or where there is none (alone it is another language).
    pub(super) fn handle_tracks(&mut self, tracks: &[Track]) {
        let is_new = |track: &&Track| self.known.iter().all(|&(index, ..)| index != track.index);
        let new: Vec<_> = tracks.iter().filter(is_new).map(entry).collect();
        for &(index, variant, is_video) in &self.known {
            let has_picture = |list: &[(usize, Option<u32>, bool)]| list.iter().any(|&(_, of, is_video)| is_video && of == variant);
            let heir = new.iter().find(|&&(_, of, kind)| (of, kind) == (variant, is_video));
            let Some(&(heir, ..)) = heir.filter(|_| has_picture(&new) || !has_picture(&self.known)) else { continue };
            if self.lines.iter().all(|&(from, _)| from != index) {
                self.lines.push((index, heir));
            }
        }
        self.known.extend(new);
    }

    /// The tracks that took over from none.
    pub(super) fn founders(&self, tracks: &[Track]) -> Vec<Track> {
        tracks.iter().filter(|track| self.lines.iter().all(|&(_, heir)| heir != track.index)).cloned().collect()
    }

    /// The last that took over from a track; itself when none did.
    pub(super) fn of(&self, track: usize) -> usize {
        let mut last = track;
        // Who takes over is newer than who is taken over from, so this ends.
        while let Some(&(_, heir)) = self.lines.iter().find(|&&(from, _)| from == last) {
            last = heir;
        }
        last
    }
}

fn entry(track: &Track) -> (usize, Option<u32>, bool) {
    (track.index, track.variant, track.codec.is_video())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crosspoint_ffi::{Codec, Parameters};

    use super::*;

    fn tracks(list: &[(Codec, u32)]) -> Vec<Track> {
        let track = |(index, &(codec, variant))| Track {
            index,
            codec,
            parameters: Arc::new(Parameters::default()),
            bitrate_bps: 0,
            is_still: false,
            variant: Some(variant),
        };
        list.iter().enumerate().map(track).collect()
    }

    fn founders(heirs: &Heirs, tracks: &[Track]) -> Vec<usize> {
        heirs.founders(tracks).iter().map(|track| track.index).collect()
    }

    #[test]
    fn new_tracks_take_over_from_those_of_their_kind_and_variant_again_and_again() {
        let mut all = vec![(Codec::H264, 0), (Codec::Aac, 0), (Codec::H264, 1), (Codec::Aac, 1)];
        let mut heirs = Heirs::new(&tracks(&all));
        assert_eq!([0, 1, 2, 3].map(|track| heirs.of(track)), [0, 1, 2, 3]);
        for (next, video, audio) in [(4, Codec::Mpeg2Video, Codec::Mp2), (6, Codec::Hevc, Codec::Aac)] {
            all.extend([(video, 1), (audio, 1)]);
            heirs.handle_tracks(&tracks(&all));
            assert_eq!([0, 1, 2, 3].map(|track| heirs.of(track)), [0, 1, next, next + 1]);
            assert_eq!(founders(&heirs, &tracks(&all)), [0, 1, 2, 3]);
        }
    }

    #[test]
    fn sound_that_comes_alone_takes_over_only_where_there_is_no_picture() {
        let mut heirs = Heirs::new(&tracks(&[(Codec::H264, 0), (Codec::Aac, 0)]));
        let more = tracks(&[(Codec::H264, 0), (Codec::Aac, 0), (Codec::Aac, 0)]);
        heirs.handle_tracks(&more);
        assert_eq!((heirs.of(1), founders(&heirs, &more)), (1, vec![0, 1, 2]));
        let mut heirs = Heirs::new(&tracks(&[(Codec::Aac, 0)]));
        let more = tracks(&[(Codec::Aac, 0), (Codec::Mp2, 0)]);
        heirs.handle_tracks(&more);
        assert_eq!((heirs.of(0), founders(&heirs, &more)), (1, vec![0]));
    }

    #[test]
    fn track_that_comes_late_stands_for_itself() {
        let mut heirs = Heirs::new(&tracks(&[(Codec::H264, 0)]));
        let more = tracks(&[(Codec::H264, 0), (Codec::Aac, 0)]);
        heirs.handle_tracks(&more);
        assert_eq!(founders(&heirs, &more), [0, 1]);
    }
}
