//! What a stream of sound is, by its first bytes.

use super::{Format, adts, ogg, tag, wav};
use crate::wire::mp3;

/// What some bytes begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sniff {
    Format(Format),
    /// So many bytes are needed to tell.
    More(usize),
    Nothing,
    /// A tag of so many bytes.
    Tag(usize),
}

/// Tells what `bytes` begin; tags only where they are `allowed`.
pub(super) fn sniff(bytes: &[u8], tags_allowed: bool) -> Sniff {
    if bytes.len() < ENOUGH_BYTES {
        return Sniff::More(ENOUGH_BYTES);
    }
    if tags_allowed && let Some(bytes) = tag::length(bytes) {
        return Sniff::Tag(bytes);
    }
    if ogg::begins(bytes) {
        return Sniff::Format(Format::Ogg);
    }
    if wav::begins(bytes) {
        return Sniff::Format(Format::Wav);
    }
    let adts = || Some((adts::Header::parse(bytes)?.frame_bytes(), Format::Adts));
    let mpeg = || Some((mp3::Header::parse(*bytes.first_chunk()?)?.frame_bytes(), Format::Mpeg));
    let Some((frame_bytes, format)) = adts().or_else(mpeg) else { return Sniff::Nothing };
    // A header is a few bits that any bytes may have; two of them, at that distance, are not.
    let wanted = frame_bytes + ENOUGH_BYTES;
    let Some(next) = bytes.get(frame_bytes..wanted) else { return Sniff::More(wanted) };
    let agrees = match format {
        Format::Adts => adts::Header::parse(bytes).zip(adts::Header::parse(next)).is_some_and(|(one, two)| one.agrees(two)),
        Format::Mpeg => {
            let header = |bytes: &[u8]| bytes.first_chunk().and_then(|bytes| mp3::Header::parse(*bytes));
            header(bytes).zip(header(next)).is_some_and(|(one, two)| one.agrees(two))
        }
        Format::Ogg | Format::Wav => true,
    };
    if agrees { Sniff::Format(format) } else { Sniff::Nothing }
}

/// The most that any beginning needs but for frames: `RIFF`, a length, `WAVE`.
const ENOUGH_BYTES: usize = 12;
