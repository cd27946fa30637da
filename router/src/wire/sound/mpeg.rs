//! Frames of MPEG audio, one behind the other.

use std::time::Instant;

use super::{Cut, Out, Reason};
use crate::wire::mp3::Header;

/// Cuts frames that agree with the first.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    locked: Option<Header>,
}

impl Cutter {
    pub(super) fn cut(&mut self, bytes: &[u8], now: Instant, out: &mut Out) -> Cut {
        let Some(&start) = bytes.first_chunk() else { return Cut::More(Header::BYTES) };
        let Some(header) = Header::parse(start) else { return Cut::Lost };
        if self.locked.is_some_and(|locked| !locked.agrees(header)) {
            return Cut::Lost;
        }
        let Some(frame) = bytes.get(..header.frame_bytes()) else { return Cut::More(header.frame_bytes()) };
        self.locked = Some(header);
        match header.codec() {
            Some(_) if header.is_info(frame) => {}
            Some(codec) => out.packet(codec, frame, header.duration(), None, now),
            None => {
                out.pass(header.duration());
                out.bad(Reason::LayerOne);
            }
        }
        Cut::Took(frame.len())
    }
}
