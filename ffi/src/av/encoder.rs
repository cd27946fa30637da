//! Pictures to H.264, without delay.

use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::codec::encoder;
use super::owned::{Owned, check, frame, packet, would_block};
use super::packet::share;
use crate::{Codec, Error, I420, MediaTime, Packet, Plane, Remedy, Result, VideoFormat};

/// How much work x264 puts into a picture.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Preset {
    /// The least work.
    #[default]
    Ultrafast,
    /// Half as much again, a third fewer bits.
    Superfast,
    /// Twice the work.
    Veryfast,
}

impl Preset {
    fn name(self) -> &'static CStr {
        match self {
            Self::Ultrafast => c"ultrafast",
            Self::Superfast => c"superfast",
            Self::Veryfast => c"veryfast",
        }
    }
}

/// What an [`H264Encoder`] makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct H264Settings {
    /// The size of the pictures, and the rate that the bitrate is shared out over. Fewer pictures make fewer bits.
    pub format: VideoFormat,
    /// The most bits a second.
    pub bitrate_bps: u32,
    /// The work.
    pub preset: Preset,
}

/// Encodes pictures as H.264 of constrained baseline profile: each goes in and comes out in one call.
///
/// Pictures are key frames (IDR, with the parameter sets before them) when asked for, and only then.
///
/// Copies: 0 of ours. x264 copies the picture it is lent into its own frame (`x264_encoder_encode` begins with
/// `x264_frame_copy_picture`), so it is done with ours when the call returns; the packet is libavcodec's buffer, shared.
pub struct H264Encoder {
    context: Owned<ff::AVCodecContext>,
    lent: Owned<ff::AVFrame>,
    format: VideoFormat,
    /// How many planes are lent to FFmpeg; an `Arc` because FFmpeg gives them back.
    out: Arc<AtomicUsize>,
    /// The last time given to x264, in ticks of 90 kHz.
    last_ticks: i64,
}

impl H264Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// When FFmpeg was built without libx264.
    pub fn new(settings: H264Settings) -> Result<Self> {
        let side =
            |side: u32| c_int::try_from(side).map_err(|_| Error::new("opening an encoder", Remedy::Report, "the picture is too large"));
        let mut unopened = encoder(c"libx264")?;
        unopened.slice_threads(THREADS);
        let context = &mut unopened.context;
        (context.width, context.height) = (side(settings.format.width())?, side(settings.format.height())?);
        context.pix_fmt = ff::AVPixelFormat::AV_PIX_FMT_YUV420P;
        context.color_range = ff::AVColorRange::AVCOL_RANGE_MPEG;
        context.colorspace = ff::AVColorSpace::AVCOL_SPC_SMPTE170M;
        // All three or none: with unknown primaries Chromium takes the whole picture for BT.709.
        context.color_primaries = ff::AVColorPrimaries::AVCOL_PRI_SMPTE170M;
        context.color_trc = ff::AVColorTransferCharacteristic::AVCOL_TRC_SMPTE170M;
        context.time_base = ff::AVRational { num: 1, den: TICKS };
        context.framerate = ff::AVRational { num: side(settings.format.frame_rate())?, den: 1 };
        context.max_b_frames = 0;
        set_bitrate(context, settings.bitrate_bps);
        unopened.set(c"preset", settings.preset.name())?;
        unopened.set(c"tune", c"zerolatency")?;
        unopened.set(c"profile", c"baseline")?;
        unopened.set(c"forced-idr", c"1")?;
        // A key frame costs ten times another: only who needs one asks. A scene cut is coded as it comes.
        unopened.set(c"x264-params", c"keyint=infinite:scenecut=0:open-gop=0:repeat-headers=1:annexb=1")?;
        let context = unopened.open()?;
        Ok(Self { context, lent: frame()?, format: settings.format, out: Arc::default(), last_ticks: i64::MIN })
    }

    /// Encodes `picture`, captured at `captured`, as a key frame if `key`.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the picture is not of the encoder's size, [`Remedy::Rebuild`] when the encoder is broken.
    pub fn encode(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        // x264 wants times that rise; two pictures inside one tick are as good as a tick apart.
        let ticks = pts.to_90khz().max(self.last_ticks.saturating_add(1));
        let sent = self.lend(picture, ticks, key).map(|()| {
            // SAFETY: the context is open; the frame's planes are `picture`'s, checked in `lend` to have every row, and only read.
            unsafe { ff::avcodec_send_frame(self.context.as_mut_ptr(), self.lent.as_ptr()) }
        });
        // SAFETY: the frame is initialised; the call drops its references to the lent planes.
        unsafe { ff::av_frame_unref(self.lent.as_mut_ptr()) };
        self.reclaim();
        check(sent?, "encoding a picture", Remedy::Rebuild)?;
        self.last_ticks = ticks;
        let mut encoded = packet()?;
        // SAFETY: the context is open and the packet initialised; the call fills it or leaves it empty.
        let code = unsafe { ff::avcodec_receive_packet(self.context.as_mut_ptr(), encoded.as_mut_ptr()) };
        if would_block(code) {
            return Ok(None);
        }
        check(code, "encoding a picture", Remedy::Rebuild)?;
        let key = encoded.flags & ff::AV_PKT_FLAG_KEY != 0;
        let data = share(encoded)?;
        Ok(Some(Packet { codec: Codec::H264, data, pts: Some(pts), dts: Some(pts), key, arrival: captured }))
    }

    /// Changes the bitrate from the next picture on.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) {
        set_bitrate(&mut self.context, bitrate_bps);
    }

    /// The size and rate it was made for.
    #[must_use]
    pub fn format(&self) -> VideoFormat {
        self.format
    }

    fn lend(&mut self, picture: &I420<'_>, ticks: i64, key: bool) -> Result<()> {
        let (width, height) = (self.format.width() as usize, self.format.height() as usize);
        let wrong = || Error::new("encoding a picture", Remedy::Drop, "it is not of the encoder's size");
        if (picture.width, picture.height) != (width, height) {
            return Err(wrong());
        }
        let planes = [(picture.y, width, height), (picture.u, width / 2, height / 2), (picture.v, width / 2, height / 2)];
        for (index, (plane, width, height)) in planes.into_iter().enumerate() {
            if plane.stride < width || plane.data.len() < plane.stride * (height - 1) + width {
                return Err(wrong());
            }
            self.lent.linesize[index] = c_int::try_from(plane.stride).map_err(|_| wrong())?;
            self.lent.data[index] = plane.data.as_ptr().cast_mut();
            self.lent.buf[index] = self.lend_plane(plane)?;
        }
        (self.lent.width, self.lent.height) = (self.context.width, self.context.height);
        self.lent.format = ff::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
        self.lent.pts = ticks;
        self.lent.pict_type = if key { ff::AVPictureType::AV_PICTURE_TYPE_I } else { ff::AVPictureType::AV_PICTURE_TYPE_NONE };
        Ok(())
    }

    /// Makes a buffer of `plane` that counts itself out and in. Without a buffer libavcodec would copy the whole picture first.
    fn lend_plane(&self, plane: Plane<'_>) -> Result<*mut ff::AVBufferRef> {
        let (data, size) = (plane.data.as_ptr().cast_mut(), plane.data.len());
        let counter = Arc::into_raw(Arc::clone(&self.out)).cast_mut().cast::<c_void>();
        // SAFETY: `data` is `size` bytes that the caller of `encode` lends for that call, and `reclaim` sees before it returns that
        // nobody refers to them any more; the flag says that nobody may write them.
        let buffer = unsafe { ff::av_buffer_create(data, size, Some(returned), counter, ff::AV_BUFFER_FLAG_READONLY) };
        if buffer.is_null() {
            // SAFETY: without a buffer nobody will call `returned`, so the count made by `into_raw` above is ours to drop.
            drop(unsafe { Arc::from_raw(counter.cast::<AtomicUsize>()) });
            return Err(Error::new("lending a picture", Remedy::Rebuild, "out of memory"));
        }
        self.out.fetch_add(1, Ordering::Relaxed);
        Ok(buffer)
    }

    /// Sees that every lent plane came back.
    fn reclaim(&mut self) {
        // Acquire pairs with the release in `returned`: what FFmpeg read of a plane, it read before.
        if self.out.load(Ordering::Acquire) == 0 {
            return;
        }
        // Only a frame that a failed call left waiting inside can still be out; flushing drops it.
        // SAFETY: the context is open; an encoder that cannot be flushed only warns.
        unsafe { ff::avcodec_flush_buffers(self.context.as_mut_ptr()) };
        assert_eq!(self.out.load(Ordering::Acquire), 0, "libavcodec keeps no input of a zero-delay encoder");
    }
}

// SAFETY: a codec context is bound to no thread; x264's own threads are idle outside calls, and `&mut self` orders the calls.
unsafe impl Send for H264Encoder {}

impl std::fmt::Debug for H264Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "H264Encoder({:?})", self.format)
    }
}

unsafe extern "C" fn returned(counter: *mut c_void, _data: *mut u8) {
    // SAFETY: FFmpeg calls this once per buffer, when its last reference is gone, with the count that `lend_plane` leaked to it.
    let counter = unsafe { Arc::from_raw(counter.cast::<AtomicUsize>()) };
    counter.fetch_sub(1, Ordering::Release);
}

fn set_bitrate(context: &mut ff::AVCodecContext, bitrate_bps: u32) {
    context.bit_rate = i64::from(bitrate_bps);
    context.rc_max_rate = i64::from(bitrate_bps);
    context.rc_buffer_size = c_int::try_from(u64::from(bitrate_bps) * VBV_MS / 1_000).unwrap_or(c_int::MAX);
}

/// One per core of the smallest machine we run on; slices of one picture, so they add no delay.
const THREADS: c_int = 2;

/// The largest picture, in time at the full bitrate: a key frame fits at fair quality, and waits no longer than this in a socket.
const VBV_MS: u64 = 300;

/// The clock of MPEG systems and of RTP.
const TICKS: c_int = 90_000;
