//! Finding, setting up and opening a codec.

use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::Once;

use ffmpeg_sys_next as ff;

use super::log;
use super::owned::{Owned, check};
use crate::{Codec, CodecId, Error, Parameters, Payload, Remedy, Result};

/// Makes the context of FFmpeg's decoder of `codec`, not yet open, with what the container says of it.
pub(super) fn decoder(codec: Codec, parameters: Option<&Parameters>) -> Result<Unopened> {
    let found = match codec {
        Codec::OtherAudio(CodecId(id)) | Codec::OtherVideo(CodecId(id)) => listed(id),
        // FFmpeg's own makes noise of stereo packets with forward error correction (5.1).
        Codec::Opus => called(c"libopus"),
        Codec::Aac
        | Codec::Av1
        | Codec::H264
        | Codec::Hevc
        | Codec::Mp2
        | Codec::Mp3
        | Codec::Mpeg1Video
        | Codec::Mpeg2Video
        | Codec::Vp8
        | Codec::Vp9 => KNOWN
            .into_iter()
            .find(|(known, _)| *known == codec)
            // SAFETY: looks an id up in a static table.
            .map_or(ptr::null(), |(_, id)| unsafe { ff::avcodec_find_decoder(id) }),
    };
    Unopened::new(found, "finding a decoder")?.said(parameters)
}

/// Ours for a codec that FFmpeg knows by this number.
pub(super) fn codec(id: ff::AVCodecID, is_video: bool) -> Codec {
    let other = CodecId(id as u32);
    let unnamed = if is_video { Codec::OtherVideo(other) } else { Codec::OtherAudio(other) };
    KNOWN.into_iter().find(|(_, known)| *known == id).map_or(unnamed, |(codec, _)| codec)
}

/// The decoder that FFmpeg prefers of those of a codec that it knows by number, or null.
fn listed(id: u32) -> *const ff::AVCodec {
    let mut place = ptr::null_mut();
    let mut last_resort = ptr::null();
    loop {
        // SAFETY: the call keeps its place there, null at first; it gives entries of a static table, then null.
        let codec = unsafe { ff::av_codec_iterate(&raw mut place) };
        // SAFETY: null or an entry of the static table.
        let Some(entry) = (unsafe { codec.as_ref() }) else { return last_resort };
        // SAFETY: the entry is of the table.
        if entry.id as u32 != id || unsafe { ff::av_codec_is_decoder(codec) } == 0 {
            continue;
        }
        if entry.capabilities & ff::AV_CODEC_CAP_EXPERIMENTAL as c_int == 0 {
            return codec;
        }
        last_resort = codec;
    }
}

/// FFmpeg's decoder of that name, or null.
fn called(name: &CStr) -> *const ff::AVCodec {
    // SAFETY: looks a terminated name up in a static table.
    unsafe { ff::avcodec_find_decoder_by_name(name.as_ptr()) }
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
        set_up();
        if codec.is_null() {
            return Err(Error::new(finding, Remedy::Report, "this FFmpeg was built without it"));
        }
        // SAFETY: `codec` is a non-null entry of FFmpeg's static table.
        let context = unsafe { ff::avcodec_alloc_context3(codec) };
        // SAFETY: `avcodec_alloc_context3` is undone by `avcodec_free_context`; nobody else has the pointer.
        let context = unsafe { Owned::new(context) }?;
        Ok(Self { context, codec })
    }

    /// Tells the codec what the container says of it.
    fn said(mut self, parameters: Option<&Parameters>) -> Result<Self> {
        let Some(ours) = parameters else { return Ok(self) };
        if !fits_memory(ours.size) {
            let (width, height) = ours.size;
            return Err(Error::new("opening a codec", Remedy::Report, format!("its pictures are too large: {width}x{height}")));
        }
        // SAFETY: `codec` is a non-null entry of FFmpeg's static table (`new`).
        let codec = unsafe { &*self.codec };
        let number = |number: u32| c_int::try_from(number).unwrap_or(0);
        // SAFETY: takes nothing and returns null or new parameters.
        let theirs = unsafe { ff::avcodec_parameters_alloc() };
        // SAFETY: `avcodec_parameters_alloc` is undone by `avcodec_parameters_free`; nobody else has the pointer.
        let mut theirs = unsafe { Owned::new(theirs) }?;
        (theirs.codec_id, theirs.codec_type) = (codec.id, codec.type_);
        theirs.codec_tag = ours.codec_tag;
        theirs.bits_per_coded_sample = number(ours.bits_per_coded_sample);
        theirs.format = ours.format;
        (theirs.width, theirs.height) = (number(ours.size.0), number(ours.size.1));
        theirs.sample_aspect_ratio = ff::AVRational { num: number(ours.pixel_aspect.0), den: number(ours.pixel_aspect.1).max(1) };
        theirs.sample_rate = number(ours.sample_rate);
        theirs.block_align = number(ours.block_align);
        let channels = number(ours.channels);
        if ours.channel_mask.count_ones() == ours.channels && ours.channels > 0 {
            // SAFETY: the layout is the parameters' own and empty; a mask that has bits is taken.
            unsafe { ff::av_channel_layout_from_mask(&raw mut theirs.ch_layout, ours.channel_mask) };
        } else if channels > 0 {
            // SAFETY: as above.
            unsafe { ff::av_channel_layout_default(&raw mut theirs.ch_layout, channels) };
        }
        let theirs_mut = &mut *theirs;
        set_extradata(&mut theirs_mut.extradata, &mut theirs_mut.extradata_size, &ours.extradata)?;
        // SAFETY: the context was made for this codec and is not open; the parameters are initialised, only read, and copied.
        let code = unsafe { ff::avcodec_parameters_to_context(self.context.as_mut_ptr(), theirs.as_ptr()) };
        check(code, "setting up a codec", Remedy::Rebuild)?;
        Ok(self)
    }

    /// Sets one of the codec's own options.
    pub(super) fn set(&mut self, name: &CStr, value: &CStr) -> Result<()> {
        // SAFETY: `priv_data` of a context made for a codec with options starts with its `AVClass`, which is what the call needs; it
        // answers an error for a null or for an option that is not there. Both texts are terminated and copied.
        let code = unsafe { ff::av_opt_set(self.context.priv_data, name.as_ptr(), value.as_ptr(), 0) };
        check(code, "setting a codec option", Remedy::Report).map(drop)
    }

    /// Splits each picture's slices over `threads` threads, and holds no frame.
    pub(super) fn slice_threads(&mut self, threads: c_int) {
        self.context.thread_count = threads;
        self.context.thread_type = ff::FF_THREAD_SLICE;
    }

    /// Decodes as many pictures at once as there are threads, and holds one less.
    pub(super) fn frame_threads(&mut self, threads: c_int) {
        self.context.thread_count = threads;
        self.context.thread_type = ff::FF_THREAD_FRAME | ff::FF_THREAD_SLICE;
    }

    /// Whether every picture stands for itself, as those of still images do.
    pub(super) fn is_intra_only(&self) -> bool {
        // SAFETY: `codec` is a non-null entry of FFmpeg's static table (`new`).
        let id = unsafe { (*self.codec).id };
        // SAFETY: looks an id up in a static table.
        let descriptor = unsafe { ff::avcodec_descriptor_get(id) };
        // SAFETY: null or an entry of that table.
        unsafe { descriptor.as_ref() }.is_some_and(|descriptor| descriptor.props & ff::AV_CODEC_PROP_INTRA_ONLY != 0)
    }

    /// Opens the codec.
    pub(super) fn open(mut self) -> Result<Owned<ff::AVCodecContext>> {
        // SAFETY: the context was made for this very codec and is not open; no options are passed.
        let code = unsafe { ff::avcodec_open2(self.context.as_mut_ptr(), self.codec, ptr::null_mut()) };
        check(code, "opening a codec", Remedy::Report)?;
        Ok(self.context)
    }
}

/// Makes FFmpeg's process-wide settings ours; whatever opens a codec or a container calls it.
pub(super) fn set_up() {
    static ONCE: Once = Once::new();
    log::install();
    // SAFETY: sets one number inside libavutil.
    ONCE.call_once(|| unsafe { ff::av_max_alloc(LARGEST_ALLOCATION_BYTES) });
}

/// Whether pictures of this size are decoded at all.
pub(super) fn fits_memory((width, height): (u32, u32)) -> bool {
    width.max(height) <= LONGEST_SIDE && u64::from(width) * u64::from(height) <= MOST_PIXELS as u64
}

/// Puts a copy of `bytes`, padded as FFmpeg wants it, in the place of a codec's header, which is null or from the same allocator.
pub(super) fn set_extradata(header: &mut *mut u8, size: &mut c_int, bytes: &[u8]) -> Result<()> {
    let out_of_memory = || Error::new("setting up a codec", Remedy::Rebuild, "out of memory");
    // SAFETY: the place holds null or what `av_malloc` gave, which is the caller's alone; the call nulls it.
    unsafe { ff::av_freep((&raw mut *header).cast()) };
    *size = 0;
    if bytes.is_empty() {
        return Ok(());
    }
    let length = c_int::try_from(bytes.len()).map_err(|_| out_of_memory())?;
    // SAFETY: takes a size; returns null or so much zeroed memory.
    let copy = unsafe { ff::av_mallocz(bytes.len() + Payload::PADDING) }.cast::<u8>();
    if copy.is_null() {
        return Err(out_of_memory());
    }
    // SAFETY: the memory is new, so it overlaps nothing, and larger than `bytes`.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len()) };
    (*header, *size) = (copy, length);
    Ok(())
}

/// The codecs that have names here.
const KNOWN: [(Codec, ff::AVCodecID); 11] = [
    (Codec::Aac, ff::AVCodecID::AV_CODEC_ID_AAC),
    (Codec::Av1, ff::AVCodecID::AV_CODEC_ID_AV1),
    (Codec::H264, ff::AVCodecID::AV_CODEC_ID_H264),
    (Codec::Hevc, ff::AVCodecID::AV_CODEC_ID_HEVC),
    (Codec::Mp2, ff::AVCodecID::AV_CODEC_ID_MP2),
    (Codec::Mp3, ff::AVCodecID::AV_CODEC_ID_MP3),
    (Codec::Mpeg1Video, ff::AVCodecID::AV_CODEC_ID_MPEG1VIDEO),
    (Codec::Mpeg2Video, ff::AVCodecID::AV_CODEC_ID_MPEG2VIDEO),
    (Codec::Opus, ff::AVCodecID::AV_CODEC_ID_OPUS),
    (Codec::Vp8, ff::AVCodecID::AV_CODEC_ID_VP8),
    (Codec::Vp9, ff::AVCodecID::AV_CODEC_ID_VP9),
];

/// The pixels of the largest picture: what hostile media can make us allocate must end somewhere.
pub(super) const MOST_PIXELS: i64 = 8_192 * 8_192;

/// JPEG's longest, which no other common format exceeds: a picture of a million columns and a few rows is a slip or an attack.
const LONGEST_SIDE: u32 = 65_535;

/// [`MOST_PIXELS`], as an option has it.
pub(super) const MOST_PIXELS_TEXT: &CStr = c"67108864";

/// One plane of the largest picture in four bytes a pixel. FFmpeg analyses containers with decoders that nobody can bound otherwise.
const LARGEST_ALLOCATION_BYTES: usize = 320 << 20;
