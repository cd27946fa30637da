//! Pictures to packets, without delay: each goes in and comes out in one call.

mod h264;
mod lent;
mod mpeg1;
mod rate;
mod vp8;

use std::ffi::c_int;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::codec::Unopened;
use super::owned::{Owned, check, packet, would_block};
use super::packet::share;
use crate::{Codec, Error, I420, MediaTime, Packet, Remedy, Result, VideoFormat};
use lent::Lent;

pub use h264::{H264Encoder, H264Settings, Preset};
pub use mpeg1::Mpeg1Encoder;
pub use vp8::Vp8Encoder;

/// A codec of libavcodec that holds no picture back, and the frame that it is lent pictures in.
struct Encoding {
    context: Owned<ff::AVCodecContext>,
    lent: Lent,
    codec: Codec,
    format: VideoFormat,
}

impl Encoding {
    /// Opens the codec; `copied` says that it keeps what it is given.
    fn open(unopened: Unopened, codec: Codec, format: VideoFormat, copied: bool) -> Result<Self> {
        Ok(Self { context: unopened.open()?, lent: Lent::new(copied)?, codec, format })
    }

    /// Encodes `picture`, whose time is `ticks` for the codec and `pts` for everybody else, as a key frame if `key`.
    fn encode(&mut self, picture: &I420<'_>, ticks: i64, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        let encoded = self.compress(picture, ticks, key)?;
        encoded.map(|encoded| self.pack(encoded, pts, captured)).transpose()
    }

    /// The first half of [`Encoding::encode`]: what the codec made of it.
    fn compress(&mut self, picture: &I420<'_>, ticks: i64, key: bool) -> Result<Option<Owned<ff::AVPacket>>> {
        const DOING: &str = "encoding a picture";
        let sent = self.lent.send(&mut self.context, picture, self.format, ticks, key)?;
        check(sent, DOING, Remedy::Rebuild)?;
        let mut encoded = packet()?;
        // SAFETY: the context is open and the packet initialised; the call fills it or leaves it empty.
        let code = unsafe { ff::avcodec_receive_packet(self.context.as_mut_ptr(), encoded.as_mut_ptr()) };
        if would_block(code) {
            return Ok(None);
        }
        check(code, DOING, Remedy::Rebuild)?;
        Ok(Some(encoded))
    }

    /// The second half.
    fn pack(&self, encoded: Owned<ff::AVPacket>, pts: MediaTime, captured: Instant) -> Result<Packet> {
        let key = encoded.flags & ff::AV_PKT_FLAG_KEY != 0;
        let data = share(encoded)?;
        Ok(Packet { codec: self.codec, data, pts: Some(pts), dts: Some(pts), key, arrival: captured, parameters: None })
    }
}

impl std::fmt::Debug for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {:?}", self.codec, self.format)
    }
}

// SAFETY: a codec context is bound to no thread; the codec's own threads are idle outside calls, and `&mut self` orders the calls.
unsafe impl Send for Encoding {}

/// Says what all our encoders have in common: planar pictures of `format` in BT.601, none reordered, on the machine's two cores.
fn describe(unopened: &mut Unopened, format: VideoFormat, bitrate_bps: u32) -> Result<()> {
    unopened.slice_threads(THREADS);
    let context = &mut unopened.context;
    (context.width, context.height) = (number(format.width())?, number(format.height())?);
    context.pix_fmt = ff::AVPixelFormat::AV_PIX_FMT_YUV420P;
    context.color_range = ff::AVColorRange::AVCOL_RANGE_MPEG;
    context.colorspace = ff::AVColorSpace::AVCOL_SPC_SMPTE170M;
    // All three or none: with unknown primaries Chromium takes the whole picture for BT.709.
    context.color_primaries = ff::AVColorPrimaries::AVCOL_PRI_SMPTE170M;
    context.color_trc = ff::AVColorTransferCharacteristic::AVCOL_TRC_SMPTE170M;
    context.max_b_frames = 0;
    set_bitrate(context, bitrate_bps, bitrate_bps);
    Ok(())
}

/// Aims for `bitrate_bps`, and for [`rate::PEAK_S`] at `max_bitrate_bps` at once.
fn set_bitrate(context: &mut ff::AVCodecContext, bitrate_bps: u32, max_bitrate_bps: u32) {
    context.bit_rate = i64::from(bitrate_bps);
    context.rc_max_rate = i64::from(max_bitrate_bps);
    context.rc_buffer_size = (f64::from(max_bitrate_bps) * rate::PEAK_S) as c_int;
}

fn number(number: u32) -> Result<c_int> {
    c_int::try_from(number).map_err(|_| Error::new("opening an encoder", Remedy::Report, "the picture is too large"))
}

/// One per core of the smallest machine we run on; slices of one picture, so they add no delay.
const THREADS: c_int = 2;

/// The clock of MPEG systems and of RTP.
const TICKS: c_int = 90_000;
