//! Finding transport packets in bytes that arrive in chunks of any size.

use super::{CELL_BYTES, SYNC_BYTE};

/// What [`Sync::push`] finds.
pub(super) enum Found<'a> {
    /// A transport packet.
    Cell(&'a [u8; CELL_BYTES]),
    /// The sync byte was missing, or was searched for in vain for a while.
    Lost,
}

/// Cuts a byte stream into transport packets.
///
/// A packet is handed out when its 188th byte is there. Packets 188, 192 (M2TS, which puts a time stamp in front) or 204 bytes apart
/// (DVB with Reed-Solomon parity behind) are told apart by where sync bytes repeat. The outcome does not depend on how the bytes were
/// chunked.
///
/// Copies: 0 for packets inside a chunk, 1 for the one across two chunks.
#[derive(Debug, Default)]
pub(super) struct Sync {
    /// While locked: the start of a packet whose end is missing. Else: bytes in which no lock was found yet.
    carry: Vec<u8>,
    /// The distance between sync bytes while locked.
    stride: Option<usize>,
    /// Bytes between packets that still have to pass.
    skip: usize,
    /// Bytes thrown away since the last packet or the last time that was told.
    vain: usize,
}

impl Sync {
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(Found<'_>)) {
        while !bytes.is_empty() {
            bytes = match self.stride {
                Some(stride) => self.cut(stride, bytes, &mut each),
                None => self.search(bytes, &mut each),
            };
        }
    }

    /// Whether the last byte pushed ended a transport packet.
    pub(super) fn at_boundary(&self) -> bool {
        self.stride.is_some() && self.carry.is_empty()
    }

    /// Hands out packets while locked; returns the bytes from where the lock was lost on.
    fn cut<'a>(&mut self, stride: usize, mut bytes: &'a [u8], each: &mut impl FnMut(Found<'_>)) -> &'a [u8] {
        if !self.carry.is_empty() {
            let missing = CELL_BYTES - self.carry.len();
            let Some((tail, rest)) = bytes.split_at_checked(missing) else {
                self.carry.extend_from_slice(bytes);
                return &[];
            };
            self.carry.extend_from_slice(tail);
            if let Some(cell) = self.carry.first_chunk() {
                each(Found::Cell(cell));
            }
            self.carry.clear();
            self.skip = stride - CELL_BYTES;
            bytes = rest;
        }
        loop {
            let passed = self.skip.min(bytes.len());
            self.skip -= passed;
            bytes = &bytes[passed..];
            let Some(&first) = bytes.first() else { return &[] };
            if first != SYNC_BYTE {
                self.stride = None;
                each(Found::Lost);
                return bytes;
            }
            let Some((cell, rest)) = bytes.split_first_chunk() else {
                self.carry.extend_from_slice(bytes);
                return &[];
            };
            each(Found::Cell(cell));
            self.skip = stride - CELL_BYTES;
            bytes = rest;
        }
    }

    /// Takes a window's worth of bytes and looks for a lock; returns the bytes not taken.
    fn search<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(Found<'_>)) -> &'a [u8] {
        let room = WINDOW_BYTES.saturating_sub(self.carry.len()).max(1);
        let (taken, rest) = bytes.split_at(room.min(bytes.len()));
        self.carry.extend_from_slice(taken);
        while self.stride.is_none() {
            let (at, stride) = find(&self.carry);
            self.vain += at;
            if self.vain >= VAIN_BYTES {
                self.vain = 0;
                each(Found::Lost);
            }
            if stride.is_none() {
                self.carry.drain(..at);
                break;
            }
            self.stride = stride;
            self.vain = 0;
            let carried = std::mem::take(&mut self.carry);
            if let Some(stride) = stride {
                // Empty unless the lock was lost again in these very bytes; then they are searched once more, from there on.
                let left = self.cut(stride, &carried[at..], each);
                self.carry.extend_from_slice(left);
            }
        }
        rest
    }
}

/// Where packets start and how far apart they are; or where the first place is that more bytes may confirm.
fn find(bytes: &[u8]) -> (usize, Option<usize>) {
    for at in memchr::memchr_iter(SYNC_BYTE, bytes) {
        for stride in STRIDES {
            match repeats(&bytes[at..], stride) {
                Some(true) => return (at, Some(stride)),
                Some(false) => {}
                None => return (at, None),
            }
        }
    }
    (bytes.len(), None)
}

/// Whether the sync byte repeats at `stride`, or nothing when the bytes end before that is known.
fn repeats(bytes: &[u8], stride: usize) -> Option<bool> {
    for nth in 1..LOCK_CELLS {
        match bytes.get(nth * stride) {
            Some(&SYNC_BYTE) => {}
            Some(_) => return Some(false),
            None => return None,
        }
    }
    Some(true)
}

const STRIDES: [usize; 3] = [CELL_BYTES, 192, 204];
/// Sync bytes in a row that make a lock: by chance that is one place in 2³², and a publisher's first message holds more.
const LOCK_CELLS: usize = 4;
/// How many bytes are searched at a time: the carry's bound.
const WINDOW_BYTES: usize = 4096;

/// Whoever joins a transport stream anywhere throws away less than one packet; this much is no transport stream.
const VAIN_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stride: usize, cells: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for cell in 0..cells {
            bytes.push(SYNC_BYTE);
            bytes.extend((1..CELL_BYTES).map(|at| if at == 1 { cell as u8 & 0x1f } else { 0 }));
            bytes.resize(bytes.len() + stride - CELL_BYTES, 0x55);
        }
        bytes
    }

    fn cells(bytes: &[u8], chunk: usize) -> (Vec<u8>, usize) {
        let (mut ids, mut lost, mut sync) = (Vec::new(), 0, Sync::default());
        for chunk in bytes.chunks(chunk) {
            sync.push(chunk, |found| match found {
                Found::Cell(cell) => ids.push(cell[1]),
                Found::Lost => lost += 1,
            });
        }
        (ids, lost)
    }

    #[test]
    fn every_stride_locks_at_any_offset_and_chunking() {
        for stride in STRIDES {
            let bytes = stream(stride, 12);
            for start in [0, 1, 100, 187] {
                let first = if start == 0 { 0 } else { 1 };
                for chunk in [1, 7, 188, 600, 5000] {
                    let expected: Vec<u8> = (first..12).collect();
                    assert_eq!(cells(&bytes[start..], chunk), (expected, 0), "stride {stride} start {start} chunk {chunk}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_sync_byte_costs_its_packet_only() {
        let mut bytes = stream(188, 12);
        bytes[188 * 5] ^= 0x10;
        for chunk in [1, 188, 4000] {
            assert_eq!(cells(&bytes, chunk), ((0..12).filter(|&id| id != 5).collect(), 1));
        }
    }

    #[test]
    fn garbage_between_packets_is_skipped() {
        let mut bytes = stream(188, 6);
        bytes.extend_from_slice(&[0xaa; 10_000]);
        bytes.extend(stream(188, 6));
        for chunk in [1, 188, 20_000] {
            let (ids, lost) = cells(&bytes, chunk);
            assert_eq!(ids, (0..6).chain(0..6).collect::<Vec<u8>>());
            assert!((2..=10).contains(&lost), "told when it began and while it lasts: {lost}");
        }
    }

    #[test]
    fn what_never_was_a_transport_stream_is_told_of() {
        for chunk in [1, 500, 4000] {
            assert!(cells(&[0x55; 4000], chunk).1 > 0);
            assert_eq!(cells(&stream(188, 6)[100..], chunk).1, 0, "joining is no loss");
        }
    }
}
