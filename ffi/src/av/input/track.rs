//! What a demuxer says of its streams.

use std::ffi::CStr;
use std::ptr;
use std::slice;
use std::sync::Arc;

use ffmpeg_sys_next as ff;

use super::super::owned::Owned;
use crate::{Codec, Parameters, Payload};

/// One stream of an [`Input`](super::Input) that carries pictures or sound.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its number, which [`Input::select`](super::Input::select) and [`Read::Packet`](super::Read::Packet) use; it never changes.
    pub index: usize,
    /// What it is compressed with.
    pub codec: Codec,
    /// What the container says of it.
    pub parameters: Arc<Parameters>,
    /// What it is said to take a second, in bits; 0 when nobody says.
    pub bitrate_bps: u64,
    /// Whether it is one picture: an image file, or the cover of a recording.
    pub is_still: bool,
    /// The HLS variant that it belongs to; nothing when it is not of HLS, or is sound that variants share.
    pub variant: Option<u32>,
}

/// Lists the tracks of a demuxer.
pub(super) fn list(context: &Owned<ff::AVFormatContext>) -> Vec<Track> {
    let name = format_name(context);
    let is_image = name.ends_with("_pipe") || name == "image2";
    let is_hls = name.starts_with("hls");
    let all = streams(context);
    let is_cover = |stream: &ff::AVStream| stream.disposition & ff::AV_DISPOSITION_ATTACHED_PIC != 0;
    let mut tracks: Vec<(Track, bool)> = Vec::with_capacity(all.len());
    for stream in all {
        let parameters = codec_parameters(stream);
        let Some(codec) = codec(parameters) else { continue };
        let variant = if is_hls { only_program(context, stream.index) } else { None };
        let bitrate = tagged_bitrate(stream).unwrap_or_else(|| u64::try_from(parameters.bit_rate).unwrap_or(0));
        let is_one_frame = name == "gif" && stream.nb_frames == 1;
        let track = Track {
            index: usize::try_from(stream.index).unwrap_or(0),
            codec,
            parameters: Arc::new(read_parameters(parameters, stream.sample_aspect_ratio)),
            bitrate_bps: bitrate,
            is_still: codec.is_video() && (is_image || is_one_frame || is_cover(stream)),
            variant,
        };
        tracks.push((track, is_cover(stream)));
    }
    // The cover of a recording is no camera, unless there is nothing else.
    let has_more = tracks.iter().any(|(_, is_cover)| !is_cover);
    tracks.into_iter().filter(|(_, is_cover)| !(has_more && *is_cover)).map(|(track, _)| track).collect()
}

/// The demuxer's name; several, with commas, for a family.
pub(super) fn format_name(context: &Owned<ff::AVFormatContext>) -> String {
    // SAFETY: an opened demuxer has an entry of FFmpeg's static table, or null.
    let Some(format) = (unsafe { context.iformat.as_ref() }) else { return String::new() };
    // SAFETY: every entry has a terminated, static name.
    unsafe { CStr::from_ptr(format.name) }.to_string_lossy().into_owned()
}

/// The streams so far.
pub(super) fn streams(context: &Owned<ff::AVFormatContext>) -> impl ExactSizeIterator<Item = &ff::AVStream> {
    let pointers: &[*mut ff::AVStream] = if context.streams.is_null() {
        &[]
    } else {
        // SAFETY: libavformat keeps an array of `nb_streams` pointers there and changes it only inside calls that need the owner mutably.
        unsafe { slice::from_raw_parts(context.streams, context.nb_streams as usize) }
    };
    // SAFETY: every pointer of the array is to a stream that lives as long as its demuxer.
    pointers.iter().map(|stream| unsafe { &**stream })
}

pub(super) fn codec_parameters(stream: &ff::AVStream) -> &ff::AVCodecParameters {
    // SAFETY: libavformat gives every stream its parameters when it makes it, and frees them with it.
    unsafe { &*stream.codecpar }
}

/// Ours for a codec of FFmpeg's; nothing for what is neither pictures nor sound, or not known at all.
pub(super) fn codec(parameters: &ff::AVCodecParameters) -> Option<Codec> {
    let is_video = parameters.codec_type == ff::AVMediaType::AVMEDIA_TYPE_VIDEO;
    if !is_video && parameters.codec_type != ff::AVMediaType::AVMEDIA_TYPE_AUDIO {
        return None;
    }
    let is_known = parameters.codec_id != ff::AVCodecID::AV_CODEC_ID_NONE;
    is_known.then(|| super::super::codec::codec(parameters.codec_id, is_video))
}

/// Copies FFmpeg's parameters; `aspect` is the container's, which goes before the codec's.
pub(super) fn read_parameters(parameters: &ff::AVCodecParameters, aspect: ff::AVRational) -> Parameters {
    let positive = |number: i32| u32::try_from(number).unwrap_or(0);
    let aspect = if aspect.num > 0 && aspect.den > 0 { aspect } else { parameters.sample_aspect_ratio };
    let layout = &parameters.ch_layout;
    let is_mask = layout.order == ff::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE;
    Parameters {
        extradata: Payload::copy_from_slice(extradata(parameters)),
        codec_tag: parameters.codec_tag,
        bits_per_coded_sample: positive(parameters.bits_per_coded_sample),
        format: parameters.format,
        size: (positive(parameters.width), positive(parameters.height)),
        pixel_aspect: (positive(aspect.num), positive(aspect.den)),
        sample_rate: positive(parameters.sample_rate),
        channels: positive(layout.nb_channels),
        // SAFETY: the mask is the union's field while the order says so; for other orders it is not read.
        channel_mask: if is_mask { unsafe { layout.u.mask } } else { 0 },
        block_align: positive(parameters.block_align),
    }
}

pub(super) fn extradata(parameters: &ff::AVCodecParameters) -> &[u8] {
    match usize::try_from(parameters.extradata_size) {
        // SAFETY: FFmpeg keeps `extradata_size` bytes there (and padding), which live and stay as they are while the parameters do.
        Ok(size @ 1..) if !parameters.extradata.is_null() => unsafe { slice::from_raw_parts(parameters.extradata, size) },
        _ => &[],
    }
}

/// The program that alone has the stream.
fn only_program(context: &Owned<ff::AVFormatContext>, stream: i32) -> Option<u32> {
    let mut found = None;
    for number in 0..context.nb_programs {
        // SAFETY: libavformat keeps an array of `nb_programs` pointers there, of which this is one.
        let place = unsafe { context.programs.add(number as usize) };
        // SAFETY: as above.
        let program = unsafe { *place };
        // SAFETY: every pointer of the array is to a program that lives as long as its demuxer.
        let program = unsafe { &*program };
        if program.stream_index.is_null() {
            continue;
        }
        // SAFETY: a program has so many numbers there.
        let members = unsafe { slice::from_raw_parts(program.stream_index, program.nb_stream_indexes as usize) };
        if members.iter().any(|&member| i64::from(member) == i64::from(stream)) && found.replace(number).is_some() {
            return None;
        }
    }
    found
}

/// What HLS says that a variant takes.
fn tagged_bitrate(stream: &ff::AVStream) -> Option<u64> {
    // SAFETY: null or the stream's own dictionary, which is only read; the key is terminated.
    let entry = unsafe { ff::av_dict_get(stream.metadata, c"variant_bitrate".as_ptr(), ptr::null(), 0) };
    // SAFETY: null or an entry of that dictionary.
    let entry = unsafe { entry.as_ref() }?;
    // SAFETY: an entry's value is a terminated text.
    unsafe { CStr::from_ptr(entry.value) }.to_str().ok()?.parse().ok()
}
