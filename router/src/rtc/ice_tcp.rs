//! ICE over TCP: datagrams in a byte stream, each behind its length (RFC 4571, 2).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Cuts the bytes of a connection into frames.
///
/// Copies: 1 (a frame may come in pieces).
///
/// ```
/// use crosspoint_router::rtc::{Deframer, frame};
///
/// let mut deframer = Deframer::default();
/// let wire = frame(b"one").expect("short enough");
/// deframer.push(&wire[..4]);
/// assert_eq!(deframer.poll(), Ok(None));
/// deframer.push(&wire[4..]);
/// assert_eq!(deframer.poll(), Ok(Some("one".into())));
/// ```
#[derive(Debug, Default)]
pub struct Deframer {
    bytes: BytesMut,
}

/// A peer announced a frame longer than any that has a place in WebRTC: the rest of its bytes mean nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a frame is at most {MOST_FRAME_BYTES} bytes")]
pub struct FrameTooLong;

impl Deframer {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there. Empty ones, which some peers send to keep a connection open, are skipped.
    ///
    /// # Errors
    /// When the peer sends what is no such stream.
    pub fn poll(&mut self) -> Result<Option<Bytes>, FrameTooLong> {
        loop {
            let Some(&[high, low]) = self.bytes.first_chunk() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length > MOST_FRAME_BYTES {
                return Err(FrameTooLong);
            }
            if self.bytes.len() < 2 + length {
                return Ok(None);
            }
            self.bytes.advance(2);
            if length > 0 {
                return Ok(Some(self.bytes.split_to(length).freeze()));
            }
        }
    }
}

/// `payload` as a frame; nothing when it is too long to be one.
#[must_use]
pub fn frame(payload: &[u8]) -> Option<Bytes> {
    let length = u16::try_from(payload.len()).ok().filter(|&length| usize::from(length) <= MOST_FRAME_BYTES)?;
    let mut bytes = BytesMut::with_capacity(2 + payload.len());
    bytes.put_u16(length);
    bytes.put_slice(payload);
    Some(bytes.freeze())
}

/// The longest frame. What goes in one is made for datagrams of some 1200 bytes; DTLS fragments below 2 kB, too.
pub const MOST_FRAME_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn too_long_and_empty_frames() {
        let mut deframer = Deframer::default();
        deframer.push(&[0, 0, 0, 1, 7, 0x10, 0x01]);
        assert_eq!(deframer.poll(), Ok(Some(Bytes::from_static(&[7]))), "the empty one is skipped");
        assert_eq!(deframer.poll(), Err(FrameTooLong));
        assert_eq!(frame(&[0; MOST_FRAME_BYTES + 1]), None);
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            cut in 1_usize..50,
        ) {
            let wire: Vec<u8> = frames.iter().flat_map(|payload| frame(payload).expect("short").to_vec()).collect();
            let (mut deframer, mut out) = (Deframer::default(), Vec::new());
            for piece in wire.chunks(cut) {
                deframer.push(piece);
                while let Some(payload) = deframer.poll().expect("our own frames") {
                    out.push(payload.to_vec());
                }
            }
            prop_assert_eq!(out, frames);
        }
    }
}
