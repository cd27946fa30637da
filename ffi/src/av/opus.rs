//! Opus that comes over a net, by libopus itself: FFmpeg's wrapper around it cannot be told of a loss what the packet after it says, and
//! FFmpeg's own decoder makes noise of stereo packets that repeat what was before (in-band forward error correction; 5.1).

use std::ffi::c_int;
use std::ptr::NonNull;
use std::{marker, slice};

use ffmpeg_sys_next as ff;

use super::owned::{Foreign, Owned, check, frame};
use super::resample::layout;
use crate::{AudioFormat, Error, Remedy, Result, opus};

/// Decodes Opus packets, and makes up for those that were lost.
///
/// Copies: 0 (samples are decoded into the frame that is given out).
pub(super) struct OpusDecoder(Owned<Handle>);

impl OpusDecoder {
    /// Opens a decoder.
    ///
    /// # Errors
    /// When there is no memory.
    pub(super) fn open() -> Result<Self> {
        let mut code = 0;
        // SAFETY: the rate and the count of channels are some that libopus has; the call writes its code there.
        let handle = unsafe { opus_decoder_create(FORMAT.rate as i32, FORMAT.channels.into(), &raw mut code) };
        // SAFETY: null, or a decoder that `opus_decoder_destroy` frees and nobody else has.
        unsafe { Owned::new(handle) }.map(Self)
    }

    /// Decodes a packet. Of a frame that was lost ([`opus::is_lost`]) it makes what the packet after it repeats, if that goes along, else
    /// what goes on from the packets before.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the packet is damaged, [`Remedy::Rebuild`] when there is no memory.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Result<Owned<ff::AVFrame>> {
        let frames = opus::duration(packet).to_ticks(FORMAT.rate) as usize;
        if frames == 0 {
            return Err(Error::new("decoding a packet", Remedy::Drop, "it has no frame"));
        }
        let mut decoded = room(frames)?;
        let samples = frames * usize::from(FORMAT.channels);
        // SAFETY: `room` made one plane of that many 16-bit samples, and nobody else has it; any bytes are a valid sample.
        let pcm = unsafe { slice::from_raw_parts_mut(decoded.data[0].cast::<i16>(), samples) };
        let (data, repeats) = opus::repetition(packet).map_or((packet, false), |next| (next, true));
        let size = i32::try_from(data.len()).map_err(|_| Error::new("decoding a packet", Remedy::Drop, "it is larger than 2 GiB"))?;
        // SAFETY: the decoder is open; `size` bytes are at `data`; `pcm` has room for so many frames, each of a sample per channel.
        let made = unsafe { opus_decode(self.0.as_mut_ptr(), data.as_ptr(), size, pcm.as_mut_ptr(), frames as c_int, repeats.into()) };
        if made < 0 {
            return Err(Error::new("decoding a packet", Remedy::Drop, format!("libopus does not take it ({made})")));
        }
        decoded.nb_samples = made;
        Ok(decoded)
    }

    /// Forgets the stream; the next packet begins a new one.
    pub(super) fn reset(&mut self) {
        // SAFETY: the decoder is open; the request takes no argument.
        unsafe { opus_decoder_ctl(self.0.as_mut_ptr(), OPUS_RESET_STATE) };
    }
}

/// A frame with room for so many samples of each channel.
fn room(samples: usize) -> Result<Owned<ff::AVFrame>> {
    let mut room = frame()?;
    room.format = ff::AVSampleFormat::AV_SAMPLE_FMT_S16 as c_int;
    room.nb_samples = samples as c_int;
    room.sample_rate = FORMAT.rate as c_int;
    room.ch_layout = layout(FORMAT.channels);
    // SAFETY: the frame has its format, samples and layout set and no buffers yet; 0 asks for the machine's own alignment.
    check(unsafe { ff::av_frame_get_buffer(room.as_mut_ptr(), 0) }, "allocating a frame", Remedy::Rebuild)?;
    Ok(room)
}

/// Whatever a sender has, is decoded to this (RFC 7587, 4.1).
const FORMAT: AudioFormat = AudioFormat::STEREO_48K;

/// libopus's decoder.
#[repr(C)]
struct Handle {
    opaque: [u8; 0],
    pinned: marker::PhantomData<(*mut u8, marker::PhantomPinned)>,
}

impl Foreign for Handle {
    const ALLOCATING: &'static str = "allocating a decoder";

    unsafe fn free(object: NonNull<Self>) {
        // SAFETY: the caller hands over the only owner of what `opus_decoder_create` made.
        unsafe { opus_decoder_destroy(object.as_ptr()) }
    }
}

// `opus.h` and `opus_defines.h` of libopus 1.3, which later ones keep.

const OPUS_RESET_STATE: c_int = 4_028;

#[link(name = "opus")]
unsafe extern "C" {
    fn opus_decoder_create(rate: i32, channels: c_int, error: *mut c_int) -> *mut Handle;
    fn opus_decoder_destroy(decoder: *mut Handle);
    fn opus_decoder_ctl(decoder: *mut Handle, request: c_int, ...) -> c_int;
    fn opus_decode(decoder: *mut Handle, data: *const u8, bytes: i32, pcm: *mut i16, frames: c_int, decode_fec: c_int) -> c_int;
}
