//! Ogg (RFC 3533) with Opus (RFC 7845), Vorbis or FLAC inside.

mod page;
mod track;

use std::time::Instant;

use super::{Cut, Out, Reason};
use page::Page;
use track::Track;

/// Whether a page begins here.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(b"OggS\0")
}

/// Cuts pages, and the packets of one track out of them: the last that began and is of a kind that is carried.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    track: Option<Track>,
    /// A packet whose end is on a later page.
    partial: Vec<u8>,
    next_sequence: Option<u32>,
}

impl Cutter {
    pub(super) fn cut(&mut self, bytes: &[u8], now: Instant, out: &mut Out) -> Cut {
        let page = match Page::parse(bytes) {
            Ok(page) => page,
            Err(cut) => return cut,
        };
        if page.begins_stream() {
            self.begin(&page, out);
        } else if self.track.as_ref().is_some_and(|track| track.serial() == page.serial()) {
            self.page(&page, now, out);
        }
        Cut::Took(page.bytes())
    }

    /// Bytes were lost.
    pub(super) fn resume(&mut self) {
        self.partial.clear();
    }

    fn begin(&mut self, page: &Page<'_>, out: &mut Out) {
        match page.pieces().next().and_then(|(first, _)| Track::begin(page.serial(), first)) {
            Some(track) => {
                self.partial.clear();
                (self.track, self.next_sequence) = (Some(track), Some(page.sequence().wrapping_add(1)));
            }
            None => out.bad(Reason::Unsupported),
        }
    }

    fn page(&mut self, page: &Page<'_>, now: Instant, out: &mut Out) {
        let Some(track) = &mut self.track else { return };
        let follows = self.next_sequence == Some(page.sequence());
        self.next_sequence = Some(page.sequence().wrapping_add(1));
        if !follows || !page.continues_packet() {
            self.partial.clear();
        }
        // Its beginning was not seen.
        let mut headless = page.continues_packet() && self.partial.is_empty();
        let ends = page.pieces().filter(|&(_, ends)| ends).count();
        track.handle_page(page.granule(), ends - usize::from(headless && ends > 0));
        for (piece, ends) in page.pieces() {
            if std::mem::take(&mut headless) {
                continue;
            }
            match (ends, self.partial.is_empty()) {
                (true, true) => track.packet(piece, now, out),
                (true, false) => {
                    self.partial.extend_from_slice(piece);
                    track.packet(&self.partial, now, out);
                    self.partial.clear();
                }
                (false, _) if self.partial.len() + piece.len() > PACKET_MOST_BYTES => self.partial.clear(),
                (false, _) => self.partial.extend_from_slice(piece),
            }
        }
    }
}

/// Longer than any packet of sound; headers carry pictures.
const PACKET_MOST_BYTES: usize = 1 << 22;
