//! Packets across the border: ours lent to FFmpeg, FFmpeg's shared as ours.

use std::ffi::c_void;
use std::slice;

use bytes::Bytes;
use ffmpeg_sys_next as ff;

use super::owned::{Owned, check, packet};
use crate::{Error, Payload, Remedy, Result};

/// Makes FFmpeg's packet around `payload`, stamped with `pts`.
///
/// Copies: 0 (FFmpeg holds a reference to our bytes and drops it when its last user is done).
pub(super) fn lend(payload: &Payload, pts: i64) -> Result<Owned<ff::AVPacket>> {
    // To FFmpeg an empty packet means the end of the stream.
    if payload.is_empty() {
        return Err(Error::new("reading a packet", Remedy::Drop, "it is empty"));
    }
    let size = i32::try_from(payload.len()).map_err(|_| Error::new("reading a packet", Remedy::Drop, "it is larger than 2 GiB"))?;
    let padded = payload.as_padded();
    let (data, padded_size) = (padded.as_ptr().cast_mut(), padded.len());
    let mut lent = packet()?;
    let keeper = Box::into_raw(Box::new(payload.clone()));
    // SAFETY: `data` points at `padded_size` bytes that `keeper` keeps alive (a clone shares them) until `release` drops it; the flag
    // says that nobody may write them, which is what `cast_mut` must not allow.
    let buffer = unsafe { ff::av_buffer_create(data, padded_size, Some(release), keeper.cast::<c_void>(), ff::AV_BUFFER_FLAG_READONLY) };
    if buffer.is_null() {
        // SAFETY: without a buffer nobody will call `release`, so the box is still ours, and comes from `into_raw` above.
        drop(unsafe { Box::from_raw(keeper) });
        return Err(Error::new("lending a packet", Remedy::Rebuild, "out of memory"));
    }
    lent.buf = buffer;
    lent.data = data;
    lent.size = size;
    lent.pts = pts;
    lent.dts = ff::AV_NOPTS_VALUE;
    Ok(lent)
}

unsafe extern "C" fn release(keeper: *mut c_void, _data: *mut u8) {
    // SAFETY: FFmpeg calls this once, when the last reference is gone, with what `lend` got from `into_raw`; dropping `Bytes` does not
    // panic.
    drop(unsafe { Box::from_raw(keeper.cast::<Payload>()) });
}

/// Makes a payload of the bytes of FFmpeg's packet.
///
/// Copies: 0 (the payload owns the packet; 1 where no zeros follow it: it is one of several in a buffer that a parser cut up).
pub(super) fn share(packet: Owned<ff::AVPacket>) -> Result<Payload> {
    match Padded::new(packet)? {
        Ok(padded) => {
            let payload = padded.payload_bytes;
            let bytes = Bytes::from_owner(padded);
            Ok(Payload::from_padded(bytes.clone()).unwrap_or_else(|| Payload::copy_from_slice(&bytes[..payload])))
        }
        Err(packet) => Ok(Payload::copy_from_slice(bytes(&packet))),
    }
}

/// The bytes of FFmpeg's packet.
pub(super) fn bytes(packet: &Owned<ff::AVPacket>) -> &[u8] {
    let size = usize::try_from(packet.size).unwrap_or(0);
    if packet.data.is_null() || size == 0 {
        return &[];
    }
    // SAFETY: a packet that FFmpeg gave out has `size` bytes at `data`, which it keeps alive, and nobody writes them any more.
    unsafe { slice::from_raw_parts(packet.data, size) }
}

/// The bytes of FFmpeg's packet, to be changed. Copies: 0 (1 where somebody else holds them, too).
pub(super) fn bytes_mut(packet: &mut Owned<ff::AVPacket>) -> Result<&mut [u8]> {
    // SAFETY: the packet is initialised; the call gives it a buffer that is nobody else's where it has none.
    check(unsafe { ff::av_packet_make_writable(packet.as_mut_ptr()) }, "changing a packet", Remedy::Rebuild)?;
    let size = usize::try_from(packet.size).unwrap_or(0);
    if packet.data.is_null() || size == 0 {
        return Ok(&mut []);
    }
    // SAFETY: `size` bytes are at `data`, in a buffer that only this packet holds, as long as it is borrowed.
    Ok(unsafe { slice::from_raw_parts_mut(packet.data, size) })
}

/// A packet of FFmpeg's whose buffer was seen to reach [`Payload::PADDING`] bytes past its payload.
struct Padded {
    packet: Owned<ff::AVPacket>,
    payload_bytes: usize,
}

impl Padded {
    /// The packet is given back when its buffer ends too early.
    fn new(mut packet: Owned<ff::AVPacket>) -> Result<std::result::Result<Self, Owned<ff::AVPacket>>> {
        // SAFETY: the packet is initialised; the call gives it a buffer of its own (a copy with padding) where it has none.
        check(unsafe { ff::av_packet_make_refcounted(packet.as_mut_ptr()) }, "taking a packet", Remedy::Rebuild)?;
        let missing = || Error::new("taking a packet", Remedy::Drop, "it has no bytes");
        let payload_bytes = usize::try_from(packet.size).map_err(|_| missing())?;
        // SAFETY: a packet that is reference counted has a non-null `buf`, which lives as long as the packet.
        let buffer = unsafe { packet.buf.as_ref() }.ok_or_else(missing)?;
        let before = (packet.data as usize).checked_sub(buffer.data as usize).ok_or_else(missing)?;
        let reaches = before + payload_bytes + Payload::PADDING <= buffer.size;
        Ok(if reaches { Ok(Self { packet, payload_bytes }) } else { Err(packet) })
    }
}

impl AsRef<[u8]> for Padded {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `new` saw that this many bytes from `data` on are inside the buffer, which the packet keeps alive; FFmpeg allocated
        // them for an encoder, a demuxer or a parser, which wrote payload and padding and is done with them.
        unsafe { slice::from_raw_parts(self.packet.data, self.payload_bytes + Payload::PADDING) }
    }
}

// SAFETY: the packet is only read and, once, freed; `av_packet_free` works from any thread, as its buffer counts references atomically.
unsafe impl Send for Padded {}
