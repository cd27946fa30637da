//! Decoding in place: a decoder writes its pictures into slots that readers read.
//!
//! FFmpeg asks for the memory of each picture (`get_buffer2`), and we answer with a slot of the pool that is offered when the picture, as it
//! lies in the decoder, is what the slot holds byte for byte:
//!
//! - **Layout.** Planar 8-bit 4:2:0 of the slot's size, planes packed one after the other. Strides are then the widths, which must satisfy
//!   what the decoder asks of strides; so must the planes' addresses.
//! - **Padding rows.** Decoders write whole macroblocks: width and height must be multiples of 16, so that nothing lies beyond the
//!   picture. The decoder says the size that it writes, which of 1080 rows is 1088 and thus does not fit.
//! - **Over-read.** H.264's chroma prediction reads one row past the last. Each slot has a spare page behind it ([`Region`]).
//! - **Reference lifetime.** The buffer that FFmpeg counts references to owns the slot's [`Lease`]: the slot is free when the decoder and
//!   everybody who was given the picture have let go. A decoder never writes a picture again that it gave out.
//! - **One layout a stream.** MPEG-1's decoder refuses strides that change between two pictures. So a stream that fits gets packed memory for
//!   every picture: a slot, or private memory of the same layout when the pool has none, whose picture is then copied.
//! - **Codecs.** H.264, MPEG-1 and VP8, whose pictures a test compares, byte for byte, with those of FFmpeg's own memory. MPEG-2 writes
//!   interlaced pictures in pairs of macroblock rows, whatever the height says.
//!
//! [`Region`]: crate::map::Region

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use ffmpeg_sys_next as ff;

use super::owned::{Foreign, Owned};
use crate::Codec;
use crate::lend::{Lease, Lender};

/// What the callback of one decoder needs; freed after the decoder.
pub(super) struct Lending(NonNull<State>);

struct State {
    lender: Lender,
    stream: Mutex<Stream>,
}

#[derive(Default)]
struct Stream {
    /// The size in which the stream's pictures come, and what memory they get.
    layout: Option<Layout>,
    /// Slots lent so far.
    lent: u64,
}

struct Layout {
    size: (c_int, c_int),
    /// Private memory of the slots' layout; nothing when pictures get FFmpeg's own.
    private: Option<Owned<ff::AVBufferPool>>,
}

impl Lending {
    /// Makes the decoder of `codec`, which is not open yet, ask here for the memory of its pictures. It must go before what is returned.
    pub(super) fn install(context: &mut Owned<ff::AVCodecContext>, codec: Codec, lender: &Lender) -> Option<Self> {
        let fits = match codec {
            Codec::H264 | Codec::Mpeg1Video | Codec::Vp8 => true,
            Codec::Aac | Codec::Av1 | Codec::Hevc | Codec::Mp2 | Codec::Mp3 | Codec::Mpeg2Video | Codec::Opus => false,
            Codec::OtherAudio(_) | Codec::OtherVideo(_) | Codec::Vp9 => false,
        };
        if !fits {
            return None;
        }
        let state = Box::new(State { lender: lender.clone(), stream: Mutex::default() });
        let state = NonNull::from(Box::leak(state));
        context.opaque = state.as_ptr().cast();
        context.get_buffer2 = Some(get_buffer);
        Some(Self(state))
    }

    /// How many pictures were lent a slot.
    pub(super) fn lent(&self) -> u64 {
        // SAFETY: the state was leaked in `install` and is freed by `drop` alone; it is only ever shared.
        let state = unsafe { self.0.as_ref() };
        state.stream.lock().unwrap_or_else(PoisonError::into_inner).lent
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a leaked box, and the decoder that had it is gone (the duty of `install`'s caller).
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// FFmpeg's question for the memory of a picture.
///
/// # Safety
/// As `AVCodecContext.get_buffer2` says: a decoder's context and a frame with its size and format set. `opaque` is what `install` set.
unsafe extern "C" fn get_buffer(context: *mut ff::AVCodecContext, frame: *mut ff::AVFrame, flags: c_int) -> c_int {
    let lent = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: FFmpeg calls with the context that it decodes with, which is live.
        let opaque = unsafe { (*context).opaque };
        // SAFETY: `install` set it to a state that outlives the decoder, which is what calls us; it is only ever shared.
        let state = unsafe { opaque.cast::<State>().as_ref() }?;
        // SAFETY: FFmpeg lends us the frame for this call, and nobody else has it.
        let frame = unsafe { frame.as_mut() }?;
        let mut stream = state.stream.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the context is the live decoder's, as the caller promises.
        unsafe { lend(state, &mut stream, context, frame) }
    }));
    match lent {
        Ok(Some(())) => 0,
        // SAFETY: the arguments are FFmpeg's own, unchanged but for fields that this call sets; it is what would be called without us.
        Ok(None) | Err(_) => unsafe { ff::avcodec_default_get_buffer2(context, frame, flags) },
    }
}

/// Gives `frame` a slot, or private memory of the same layout; nothing when it is to have FFmpeg's own.
///
/// # Safety
/// `context` is the decoder's that asks.
unsafe fn lend(state: &State, stream: &mut Stream, context: *mut ff::AVCodecContext, frame: &mut ff::AVFrame) -> Option<()> {
    let size = (frame.width, frame.height);
    let pool = state.lender.pool().filter(|pool| {
        let format = pool.format();
        size == (format.width() as c_int, format.height() as c_int)
    });
    // SAFETY: as the caller promises.
    if !unsafe { is_packable(context, frame) } {
        return None;
    }
    if stream.layout.as_ref().is_none_or(|layout| layout.size != size) {
        let private = pool.as_ref().and_then(|_| private(size));
        stream.layout = Some(Layout { size, private });
    }
    let private = stream.layout.as_mut()?.private.as_mut()?;
    let buffer = match pool.and_then(|pool| pool.lend()) {
        Some(lease) if lease.as_mut_ptr().addr().is_multiple_of(ALIGNMENT) => {
            stream.lent += 1;
            wrap(lease, picture_bytes(size)?)
        }
        // SAFETY: the pool is live; the call gives null or a new reference.
        Some(_) | None => unsafe { ff::av_buffer_pool_get(private.as_mut_ptr()) },
    };
    let buffer = NonNull::new(buffer)?;
    let luma = size.0 as usize * size.1 as usize;
    // SAFETY: `buffer` is a live reference, of which the first field that matters is set by FFmpeg.
    let data = unsafe { (*buffer.as_ptr()).data };
    frame.buf[0] = buffer.as_ptr();
    for (plane, (offset, stride)) in [(0, size.0), (luma, size.0 / 2), (luma + luma / 4, size.0 / 2)].into_iter().enumerate() {
        frame.data[plane] = data.wrapping_add(offset);
        frame.linesize[plane] = stride;
    }
    frame.extended_data = frame.data.as_mut_ptr();
    Some(())
}

/// Whether pictures of this kind may lie packed, as far as their decoder is concerned.
///
/// # Safety
/// `context` is the decoder's that asks.
unsafe fn is_packable(context: *mut ff::AVCodecContext, frame: &ff::AVFrame) -> bool {
    let planar = frame.format == ff::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
    if !planar || frame.width <= 0 || frame.height <= 0 || frame.width % MACROBLOCK != 0 || frame.height % MACROBLOCK != 0 {
        return false;
    }
    let (mut width, mut height, mut strides) = (frame.width, frame.height, [0; ff::AV_NUM_DATA_POINTERS as usize]);
    // SAFETY: the context is a live decoder's (our caller's promise), the others are locals of the types it wants.
    unsafe { ff::avcodec_align_dimensions2(context, &raw mut width, &raw mut height, strides.as_mut_ptr()) };
    let aligned = |stride: c_int, to: c_int| to > 0 && stride % to == 0 && (to as usize) <= ALIGNMENT;
    let plane = frame.width as usize * frame.height as usize / 4;
    width == frame.width
        && aligned(frame.width, strides[0])
        && aligned(frame.width / 2, strides[1])
        && aligned(frame.width / 2, strides[2])
        && plane.is_multiple_of(ALIGNMENT)
}

/// Private memory for pictures of `size` that lie as in a slot.
fn private(size: (c_int, c_int)) -> Option<Owned<ff::AVBufferPool>> {
    // The row of chroma that is read past the end.
    let bytes = picture_bytes(size)? + size.0 as usize;
    // SAFETY: takes a size and FFmpeg's own function, which zeroes what it gives.
    let pool = unsafe { ff::av_buffer_pool_init(bytes, Some(ff::av_buffer_allocz)) };
    // SAFETY: null or a new pool, undone by `av_buffer_pool_uninit`; nobody else has it.
    unsafe { Owned::new(pool) }.ok()
}

/// Makes a buffer of FFmpeg's that owns the lease.
fn wrap(lease: Lease, bytes: usize) -> *mut ff::AVBufferRef {
    let data = lease.as_mut_ptr();
    let owner = Box::into_raw(Box::new(lease));
    // SAFETY: the slot has at least so many bytes, which nobody else writes while the lease lives, and `release` ends it.
    let buffer = unsafe { ff::av_buffer_create(data, bytes, Some(release), owner.cast(), 0) };
    if buffer.is_null() {
        // SAFETY: FFmpeg had no memory and took nothing: the box is still ours.
        drop(unsafe { Box::from_raw(owner) });
    }
    buffer
}

/// Ends the lease of a buffer whose last reference is gone.
///
/// # Safety
/// `owner` is the box of [`wrap`], and this is the one call.
unsafe extern "C" fn release(owner: *mut std::ffi::c_void, _data: *mut u8) {
    // SAFETY: as the caller promises. Dropping a lease takes a lock and does not panic.
    drop(unsafe { Box::from_raw(owner.cast::<Lease>()) });
}

fn picture_bytes((width, height): (c_int, c_int)) -> Option<usize> {
    Some(usize::try_from(width).ok()? * usize::try_from(height).ok()? * 3 / 2)
}

impl Foreign for ff::AVBufferPool {
    const ALLOCATING: &'static str = "allocating pictures";

    unsafe fn free(object: NonNull<Self>) {
        let mut object = object.as_ptr();
        // SAFETY: the caller hands over the only owner of a pool; buffers that are out keep what they need of it.
        unsafe { ff::av_buffer_pool_uninit(&raw mut object) }
    }
}

/// The side of a macroblock.
const MACROBLOCK: c_int = 16;

/// The most that any build of FFmpeg asks of a plane's address and stride: a vector of AVX-512.
const ALIGNMENT: usize = 64;
