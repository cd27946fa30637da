//! Finding, setting up and opening a codec.

use std::ffi::{CStr, c_int};
use std::ptr;

use ffmpeg_sys_next as ff;

use super::log;
use super::owned::{Owned, check};
use crate::{Codec, Error, Remedy, Result};

/// Makes the context of FFmpeg's decoder of `codec`, not yet open.
pub(super) fn decoder(codec: Codec) -> Result<Unopened> {
    let id = match codec {
        Codec::Aac => ff::AVCodecID::AV_CODEC_ID_AAC,
        Codec::H264 => ff::AVCodecID::AV_CODEC_ID_H264,
        Codec::Hevc => ff::AVCodecID::AV_CODEC_ID_HEVC,
        Codec::Mpeg1Video => ff::AVCodecID::AV_CODEC_ID_MPEG1VIDEO,
        Codec::Mpeg2Video => ff::AVCodecID::AV_CODEC_ID_MPEG2VIDEO,
        Codec::Mp2 => ff::AVCodecID::AV_CODEC_ID_MP2,
        Codec::Mp3 => ff::AVCodecID::AV_CODEC_ID_MP3,
    };
    // SAFETY: looks an id up in a static table.
    Unopened::new(unsafe { ff::avcodec_find_decoder(id) }, "finding a decoder")
}

/// Makes the context of FFmpeg's encoder called `name`, not yet open.
pub(super) fn encoder(name: &CStr) -> Result<Unopened> {
    // SAFETY: looks a terminated name up in a static table.
    Unopened::new(unsafe { ff::avcodec_find_encoder_by_name(name.as_ptr()) }, "finding an encoder")
}

/// A codec context that still takes settings.
pub(super) struct Unopened {
    pub(super) context: Owned<ff::AVCodecContext>,
    codec: *const ff::AVCodec,
}

impl Unopened {
    fn new(codec: *const ff::AVCodec, finding: &'static str) -> Result<Self> {
        log::install();
        if codec.is_null() {
            return Err(Error::new(finding, Remedy::Report, "this FFmpeg was built without it"));
        }
        // SAFETY: `codec` is a non-null entry of FFmpeg's static table.
        let context = unsafe { ff::avcodec_alloc_context3(codec) };
        // SAFETY: `avcodec_alloc_context3` is undone by `avcodec_free_context`; nobody else has the pointer.
        let context = unsafe { Owned::new(context) }?;
        Ok(Self { context, codec })
    }

    /// Sets one of the codec's own options.
    pub(super) fn set(&mut self, name: &CStr, value: &CStr) -> Result<()> {
        // SAFETY: `priv_data` of a context made for a codec with options starts with its `AVClass`, which is what the call needs; it
        // answers an error for a null or for an option that is not there. Both texts are terminated and copied.
        let code = unsafe { ff::av_opt_set(self.context.priv_data, name.as_ptr(), value.as_ptr(), 0) };
        check(code, "setting a codec option", Remedy::Report).map(drop)
    }

    /// Splits each picture's slices over `threads` threads. Never by frame: that holds a frame per thread.
    pub(super) fn slice_threads(&mut self, threads: c_int) {
        self.context.thread_count = threads;
        self.context.thread_type = ff::FF_THREAD_SLICE;
    }

    /// Opens the codec.
    pub(super) fn open(mut self) -> Result<Owned<ff::AVCodecContext>> {
        // SAFETY: the context was made for this very codec and is not open; no options are passed.
        let code = unsafe { ff::avcodec_open2(self.context.as_mut_ptr(), self.codec, ptr::null_mut()) };
        check(code, "opening a codec", Remedy::Report)?;
        Ok(self.context)
    }
}
