//! H.264 by libx264.

use std::ffi::CStr;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::rate::{FINEST, RateControl};
use super::{Encoding, TICKS, describe, number, set_bitrate};
use crate::av::codec::encoder;
use crate::av::owned::{Owned, check};
use crate::av::packet::bytes_mut;
use crate::{Codec, I420, MediaTime, Packet, Remedy, Result, VideoFormat};

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
    /// The bits a second on average, of a picture that keeps moving.
    pub bitrate_bps: u32,
    /// The most bits in any one second; not below the average.
    pub max_bitrate_bps: u32,
    /// The work.
    pub preset: Preset,
}

/// Encodes pictures as H.264 of constrained baseline profile: each goes in and comes out in one call.
///
/// Pictures are key frames (IDR, with the parameter sets before them) when asked for, and only then.
///
/// Copies: 0 of ours. x264 copies the picture it is lent into its own frame (`x264_encoder_encode` begins with
/// `x264_frame_copy_picture`), so it is done with ours when the call returns; the packet is libavcodec's buffer, shared.
#[derive(Debug)]
pub struct H264Encoder {
    encoding: Encoding,
    settings: H264Settings,
    /// The last time given to x264, in ticks of 90 kHz.
    last_ticks: i64,
    quantizer: Option<u32>,
    rate: RateControl,
    /// What x264 was told last.
    told: f32,
}

impl H264Encoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// When FFmpeg was built without libx264.
    pub fn new(settings: H264Settings) -> Result<Self> {
        let mut unopened = encoder(c"libx264")?;
        describe(&mut unopened, settings.format, settings.bitrate_bps)?;
        set_bitrate(&mut unopened.context, settings.bitrate_bps, settings.max_bitrate_bps);
        unopened.context.time_base = ff::AVRational { num: 1, den: TICKS };
        unopened.context.framerate = ff::AVRational { num: number(settings.format.frame_rate())?, den: 1 };
        unopened.set(c"preset", settings.preset.name())?;
        unopened.set(c"tune", c"zerolatency")?;
        unopened.set(c"profile", c"baseline")?;
        unopened.set(c"forced-idr", c"1")?;
        // A key frame costs ten times another: only who needs one asks. A scene cut is coded as it comes.
        // `qcomp=1`: its quantizer is what it is told. `dpb-size`: whoever splices pictures in has room for one at a decoder.
        let tuning = c"keyint=infinite:scenecut=0:open-gop=0:repeat-headers=1:annexb=1:qcomp=1:dpb-size=2";
        unopened.set(c"x264-params", tuning)?;
        let told = FINEST as f32;
        tell(&mut unopened.context, told)?;
        let rate = RateControl::new(settings.format.frame_rate(), settings.bitrate_bps, settings.max_bitrate_bps);
        let encoding = Encoding::open(unopened, Codec::H264, settings.format, false)?;
        Ok(Self { encoding, settings, last_ticks: i64::MIN, quantizer: None, rate, told })
    }

    /// Encodes `picture`, captured at `captured`, as a key frame if `key`.
    ///
    /// # Errors
    /// [`Remedy::Drop`](crate::Remedy) when the picture is not of the encoder's size, [`Remedy::Rebuild`](crate::Remedy) when the encoder
    /// is broken.
    pub fn encode(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        self.encode_amended(picture, pts, captured, key, |_| ())
    }

    /// The same; `amend` may change the access unit in place before it is shared.
    ///
    /// # Errors
    /// As [`H264Encoder::encode`].
    pub fn encode_amended(
        &mut self,
        picture: &I420<'_>,
        pts: MediaTime,
        captured: Instant,
        key: bool,
        amend: impl FnOnce(&mut [u8]),
    ) -> Result<Option<Packet>> {
        // x264 wants times that rise; two pictures inside one tick are as good as a tick apart.
        let ticks = pts.to_90khz().max(self.last_ticks.saturating_add(1));
        let plan = self.rate.plan(seconds(ticks));
        if plan.quantizer != self.told {
            tell(&mut self.encoding.context, plan.quantizer)?;
            self.told = plan.quantizer;
        }
        self.encoding.context.rc_max_rate = plan.fill_bps as i64;
        let encoded = self.encoding.compress(picture, ticks, key)?;
        self.last_ticks = ticks;
        let Some(mut encoded) = encoded else { return Ok(None) };
        self.quantizer = quantizer(&encoded);
        self.rate.spend(bytes_mut(&mut encoded)?.len() * 8);
        amend(bytes_mut(&mut encoded)?);
        self.encoding.pack(encoded, pts, captured).map(Some)
    }

    /// Takes so many bits for a picture of this time that somebody else makes, of the few that there are for such.
    pub fn afford(&mut self, pts: MediaTime, bits: usize) -> bool {
        self.rate.afford(seconds(pts.to_90khz()), bits)
    }

    /// Whether another picture of the same would be finer than the last one.
    #[must_use]
    pub fn is_rough(&self) -> bool {
        self.rate.is_cut() || self.quantizer.is_some_and(|quantizer| f64::from(quantizer) > FINEST + COARSER)
    }

    /// Changes the bitrate from the next picture on. Another than that of the settings is the most, too: somebody's line takes no more.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) {
        let is_usual = bitrate_bps == self.settings.bitrate_bps;
        let max_bitrate_bps = if is_usual { self.settings.max_bitrate_bps } else { bitrate_bps };
        set_bitrate(&mut self.encoding.context, bitrate_bps, max_bitrate_bps);
        self.rate.set_bitrate(bitrate_bps, max_bitrate_bps);
    }

    /// The size and rate it was made for.
    #[must_use]
    pub fn format(&self) -> VideoFormat {
        self.encoding.format
    }
}

fn seconds(ticks: i64) -> f64 {
    ticks as f64 / f64::from(TICKS)
}

/// Sets x264's constant rate factor, also while it runs: libavcodec's wrapper compares it with what it had before each picture.
fn tell(context: &mut Owned<ff::AVCodecContext>, quantizer: f32) -> Result<()> {
    // SAFETY: `priv_data` is the options of an encoder that was found by name, open or not, as the call wants; the name is terminated.
    let code = unsafe { ff::av_opt_set_double(context.priv_data, c"crf".as_ptr(), f64::from(quantizer), 0) };
    check(code, "setting up an encoder", Remedy::Report)?;
    Ok(())
}

/// The quantizer that the encoder planned a picture with, which it says in the side data: the first four bytes, little-endian, are lambda, 118 times the quantizer
/// (`AV_PKT_DATA_QUALITY_STATS` and `FF_QP2LAMBDA` of libavcodec and libavutil).
fn quantizer(encoded: &Owned<ff::AVPacket>) -> Option<u32> {
    let mut size = 0;
    // SAFETY: the packet is initialised; the answer is null or points at `size` bytes that are the packet's.
    let stats =
        unsafe { ff::av_packet_get_side_data(encoded.as_ptr(), ff::AVPacketSideDataType::AV_PKT_DATA_QUALITY_STATS, &raw mut size) };
    if stats.is_null() || size < 4 {
        return None;
    }
    // SAFETY: at least four bytes are there, of any alignment.
    let lambda = unsafe { stats.cast::<[u8; 4]>().read() };
    Some((u32::from_le_bytes(lambda) + QP2LAMBDA / 2) / QP2LAMBDA)
}

const QP2LAMBDA: u32 = ff::FF_QP2LAMBDA as u32;
/// What the finest quantizer may be missed by before it is worth another picture.
const COARSER: f64 = 4.0;
