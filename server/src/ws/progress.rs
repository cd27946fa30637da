//! Where in its frames a peer is: the library reads whole frames, and does not tell a peer that is stuck within one from one that is idle.

use std::cell::{Cell, RefCell};

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    place: RefCell<Place>,
    bytes: Cell<u64>,
    wrong: Cell<bool>,
}

/// The next byte is one of these.
#[derive(Debug)]
enum Place {
    /// Of a header, of which these came.
    Header([u8; HEADER_MAX_BYTES], usize),
    /// Of a payload, of which so many are left.
    Payload(u64),
}

impl Default for Place {
    fn default() -> Self {
        Self::Header([0; HEADER_MAX_BYTES], 0)
    }
}

impl Progress {
    /// Takes note of the bytes that came next; says whether a header among them is the first that no client's frame may have.
    pub(super) fn note(&self, mut bytes: &[u8]) -> bool {
        let was_wrong = self.wrong.get();
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        let place = &mut *self.place.borrow_mut();
        while !bytes.is_empty() {
            match place {
                Place::Header(header, came) => {
                    header[*came] = bytes[0];
                    *came += 1;
                    bytes = &bytes[1..];
                    if *came >= 2 && *came == header_bytes(header[1]) {
                        self.wrong.set(self.wrong.get() || is_wrong(*header));
                        let length = payload_bytes(header);
                        *place = if length == 0 { Place::default() } else { Place::Payload(length) };
                    }
                }
                Place::Payload(left) => {
                    let taken = (bytes.len() as u64).min(*left);
                    *left -= taken;
                    bytes = &bytes[taken as usize..];
                    if *left == 0 {
                        *place = Place::default();
                    }
                }
            }
        }
        self.wrong.get() && !was_wrong
    }

    /// Whether the last frame is not whole yet.
    pub(super) fn is_within(&self) -> bool {
        !matches!(*self.place.borrow(), Place::Header(_, 0))
    }

    /// How many bytes came in all.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Whether a frame had a header that no client's may have.
    pub(super) fn is_wrong(&self) -> bool {
        self.wrong.get()
    }
}

/// What the library lets pass: a client's frame that is not masked (RFC 6455, 5.1), a control frame longer than 125 bytes (5.5).
fn is_wrong(header: [u8; HEADER_MAX_BYTES]) -> bool {
    const CONTROL: u8 = 0x08;
    header[1] & MASKED == 0 || (header[0] & CONTROL != 0 && header[1] & !MASKED > 125)
}

/// How long a header is whose second byte this is.
fn header_bytes(second: u8) -> usize {
    let length = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if second & MASKED == 0 { 0 } else { 4 }
}

fn payload_bytes(header: &[u8; HEADER_MAX_BYTES]) -> u64 {
    match header[1] & !MASKED {
        126 => u16::from_be_bytes([header[2], header[3]]).into(),
        127 => header[2..10].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
        short => short.into(),
    }
}

const MASKED: u8 = 0x80;
const HEADER_MAX_BYTES: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let frame = |length: usize| {
            let mut bytes = vec![0x82];
            match length {
                0..126 => bytes.push(MASKED | length as u8),
                126..65_536 => bytes.extend([&[MASKED | 126][..], &(length as u16).to_be_bytes()].concat()),
                _ => bytes.extend([&[MASKED | 127][..], &(length as u64).to_be_bytes()].concat()),
            }
            bytes.extend(vec![0; 4 + length]);
            bytes
        };
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = [frame(length), frame(0), frame(3)].concat();
            for piece in [1, 2, 7, bytes.len()] {
                let progress = Progress::default();
                let (last, rest) = bytes.split_last().unwrap();
                assert!(!rest.chunks(piece).any(|piece| progress.note(piece)));
                assert!(progress.is_within(), "{length} in {piece}");
                progress.note(&[*last]);
                assert_eq!((progress.is_within(), progress.bytes(), progress.is_wrong()), (false, bytes.len() as u64, false));
            }
        }
        for (wrong, header) in
            [(true, [0x82, 1]), (true, [0x88, MASKED | 126]), (false, [0x82, MASKED | 126]), (false, [0x88, MASKED | 125])]
        {
            let progress = Progress::default();
            let told = progress.note(&[&header[..], &[0; 6]].concat());
            assert_eq!((told, progress.is_wrong()), (wrong, wrong), "{header:02x?}");
            assert!(!progress.note(&header), "it is told once: what follows is only read to be forgotten");
        }
    }
}
