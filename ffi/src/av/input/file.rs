//! A file as libavformat reads one.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use ffmpeg_sys_next as ff;
use rustix::io::{Errno, pread};

use super::super::owned::{Foreign, Owned};
use crate::{Error, Remedy, Result};

/// A regular file and the object through which libavformat reads it, at a position of its own.
///
/// Copies: 1 (from the page cache into libavformat's buffer; large reads go straight into their packet).
pub(super) struct FileIo {
    /// Dropped first: it has the source's address.
    io: Owned<ff::AVIOContext>,
    /// Held for `io`.
    _source: Box<Source>,
}

struct Source {
    file: File,
    position: Cell<u64>,
}

impl FileIo {
    /// Takes a file.
    pub(super) fn new(file: File) -> Result<Self> {
        let kind = file.metadata().map_err(|error| Error::system("opening a file", Remedy::Report, error))?;
        if !kind.is_file() {
            return Err(Error::new("opening a file", Remedy::Report, "it is not a regular file"));
        }
        let source = Box::new(Source { file, position: Cell::new(0) });
        // SAFETY: takes a size; returns null or that much memory.
        let buffer = unsafe { ff::av_malloc(BUFFER_BYTES as usize) };
        let buffer = NonNull::new(buffer).ok_or_else(|| Error::new("opening a file", Remedy::Rebuild, "out of memory"))?;
        let address = (&raw const *source).cast_mut().cast::<c_void>();
        // SAFETY: the buffer is as large as said and from `av_malloc`; the callbacks take the address of a `Source`, which is boxed and
        // outlives the object (fields are dropped in order).
        let io = unsafe { ff::avio_alloc_context(buffer.as_ptr().cast(), BUFFER_BYTES, 0, address, Some(read), None, Some(seek)) };
        if io.is_null() {
            // SAFETY: nobody took the buffer over.
            unsafe { ff::av_free(buffer.as_ptr()) };
        }
        // SAFETY: null or a new object of the allocator that `free` undoes; nobody else has the pointer.
        let io = unsafe { Owned::new(io) }?;
        Ok(Self { io, _source: source })
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ff::AVIOContext {
        self.io.as_mut_ptr()
    }
}

impl Foreign for ff::AVIOContext {
    const ALLOCATING: &'static str = "allocating a reader";

    unsafe fn free(object: NonNull<Self>) {
        let mut object = object.as_ptr();
        // SAFETY: the caller hands over the only owner of an object of `avio_alloc_context`.
        let buffer = unsafe { &raw mut (*object).buffer };
        // SAFETY: the object owns the buffer, of `av_malloc`: ours, or one that libavformat put in its place; the call nulls the pointer.
        unsafe { ff::av_freep(buffer.cast()) };
        // SAFETY: as above; the buffer is gone, which this call leaves to us.
        unsafe { ff::avio_context_free(&raw mut object) };
    }
}

unsafe extern "C" fn read(source: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    // SAFETY: `FileIo::new` gave the address of its boxed source, which outlives the object that calls this; it is only shared, and only
    // inside calls that the owner of the demuxer makes, on one thread at a time.
    let source = unsafe { &*source.cast::<Source>() };
    let Ok(size @ 1..) = usize::try_from(size) else { return ff::AVERROR(ff::EINVAL) };
    // SAFETY: libavformat lends a buffer of so many bytes until we return; they need not be initialised.
    let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast::<MaybeUninit<u8>>(), size) };
    loop {
        match pread(&source.file, &mut *buffer, source.position.get()) {
            Ok(([], _)) => return ff::AVERROR_EOF,
            Ok((bytes, _)) => {
                source.position.set(source.position.get() + bytes.len() as u64);
                return bytes.len() as c_int;
            }
            Err(Errno::INTR) => {}
            Err(error) => return ff::AVERROR(error.raw_os_error()),
        }
    }
}

unsafe extern "C" fn seek(source: *mut c_void, offset: i64, whence: c_int) -> i64 {
    // SAFETY: as in `read`.
    let source = unsafe { &*source.cast::<Source>() };
    let length = || source.file.metadata().ok().and_then(|metadata| i64::try_from(metadata.len()).ok());
    let position = match whence & !ff::AVSEEK_FORCE {
        ff::AVSEEK_SIZE => return length().unwrap_or_else(|| i64::from(ff::AVERROR(ff::EIO))),
        SEEK_SET => Some(offset),
        SEEK_CUR => i64::try_from(source.position.get()).ok().and_then(|position| position.checked_add(offset)),
        SEEK_END => length().and_then(|length| length.checked_add(offset)),
        _ => None,
    };
    let Some(position @ 0..) = position else { return i64::from(ff::AVERROR(ff::EINVAL)) };
    source.position.set(position.unsigned_abs());
    position
}

/// As much as libavformat's own reader takes.
const BUFFER_BYTES: c_int = 32_768;

// Of <stdio.h>, the same everywhere.
const SEEK_SET: c_int = 0;
const SEEK_CUR: c_int = 1;
const SEEK_END: c_int = 2;
