//! The one owner of an object that FFmpeg allocates, and FFmpeg's error codes.

use std::ffi::{CStr, c_char, c_int};
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use ffmpeg_sys_next as ff;

use crate::{Error, Remedy, Result};

/// A C object that one function allocates and another frees.
pub(super) trait Foreign {
    /// What allocating it is called in an error.
    const ALLOCATING: &'static str;

    /// Frees the object.
    ///
    /// # Safety
    /// `object` came from the allocator of this type, nobody else frees it, and nobody uses it afterwards.
    unsafe fn free(object: NonNull<Self>);
}

/// The only owner of a C object: frees it when dropped.
pub(super) struct Owned<T: Foreign>(NonNull<T>);

impl<T: Foreign> Owned<T> {
    /// Takes over what C allocated.
    ///
    /// # Errors
    /// When `object` is null, that is, when there was no memory.
    ///
    /// # Safety
    /// A non-null `object` is initialised, came from the allocator that [`Foreign::free`] of its type undoes, and has no other owner.
    pub(super) unsafe fn new(object: *mut T) -> Result<Self> {
        NonNull::new(object).map(Self).ok_or_else(|| Error::new(T::ALLOCATING, Remedy::Rebuild, "out of memory"))
    }

    pub(super) fn as_ptr(&self) -> *const T {
        self.0.as_ptr()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.0.as_ptr()
    }

    /// Gives the object away, to a call that frees it itself when it fails.
    pub(super) fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).0.as_ptr()
    }
}

impl<T: Foreign> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` required an initialised object that only this owner frees, so it lives as long as `self`; C writes to it only
        // inside calls that got it from `as_mut_ptr`, which borrowed `self` exclusively.
        unsafe { self.0.as_ref() }
    }
}

impl<T: Foreign> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` makes the access the only one.
        unsafe { self.0.as_mut() }
    }
}

impl<T: Foreign> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: `new` required the matching allocator and sole ownership, and `self` is gone after this.
        unsafe { T::free(self.0) }
    }
}

macro_rules! foreign {
    ($type:ty, $doing:literal, $free:path) => {
        impl Foreign for $type {
            const ALLOCATING: &'static str = $doing;

            unsafe fn free(object: NonNull<Self>) {
                let mut object = object.as_ptr();
                // SAFETY: the caller hands over the only owner of an object of this type's allocator; FFmpeg's `*_free` take the address
                // of the pointer and null it.
                unsafe { $free(&raw mut object) }
            }
        }
    };
}

foreign!(ff::AVBSFContext, "allocating a filter", ff::av_bsf_free);
foreign!(ff::AVCodecContext, "allocating a codec", ff::avcodec_free_context);
foreign!(ff::AVCodecParameters, "allocating parameters", ff::avcodec_parameters_free);
foreign!(ff::AVFormatContext, "allocating a demuxer", ff::avformat_close_input);
foreign!(ff::AVFrame, "allocating a frame", ff::av_frame_free);
foreign!(ff::AVPacket, "allocating a packet", ff::av_packet_free);
foreign!(ff::SwrContext, "allocating a resampler", ff::swr_free);

impl Foreign for ff::SwsContext {
    const ALLOCATING: &'static str = "allocating a scaler";

    unsafe fn free(object: NonNull<Self>) {
        // SAFETY: the caller hands over the only owner of a context of `sws_alloc_context`.
        unsafe { ff::sws_freeContext(object.as_ptr()) }
    }
}

/// Makes an empty frame.
pub(super) fn frame() -> Result<Owned<ff::AVFrame>> {
    // SAFETY: takes nothing and returns null or a new frame.
    let frame = unsafe { ff::av_frame_alloc() };
    // SAFETY: `av_frame_alloc` is undone by `av_frame_free`; nobody else has the pointer.
    unsafe { Owned::new(frame) }
}

/// Makes an empty packet.
pub(super) fn packet() -> Result<Owned<ff::AVPacket>> {
    // SAFETY: takes nothing and returns null or a new packet.
    let packet = unsafe { ff::av_packet_alloc() };
    // SAFETY: `av_packet_alloc` is undone by `av_packet_free`; nobody else has the pointer.
    unsafe { Owned::new(packet) }
}

/// Passes on what a call returned unless it is an error code.
pub(super) fn check(code: c_int, doing: &'static str, remedy: Remedy) -> Result<c_int> {
    if code >= 0 { Ok(code) } else { Err(Error::new(doing, remedy, say(code))) }
}

/// Whether a call said that it needs input, or room for output, first.
pub(super) fn would_block(code: c_int) -> bool {
    code == ff::AVERROR(ff::EAGAIN)
}

pub(super) fn say(code: c_int) -> String {
    let mut text: [c_char; ff::AV_ERROR_MAX_STRING_SIZE] = [0; ff::AV_ERROR_MAX_STRING_SIZE];
    // SAFETY: the array is as long as said, and the call ends what it writes with a zero.
    unsafe { ff::av_strerror(code, text.as_mut_ptr(), text.len()) };
    // SAFETY: the array was zeroed and the call writes a terminated string, so a zero is inside; it is not written any more.
    let text = unsafe { CStr::from_ptr(text.as_ptr()) };
    text.to_string_lossy().to_lowercase()
}
