//! H.264 by libx264.

use std::ffi::CStr;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::{Encoding, TICKS, describe, number, set_bitrate};
use crate::av::codec::encoder;
use crate::{Codec, I420, MediaTime, Packet, Result, VideoFormat};

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
        unopened.set(c"x264-params", c"keyint=infinite:scenecut=0:open-gop=0:repeat-headers=1:annexb=1")?;
        Ok(Self { encoding: Encoding::open(unopened, Codec::H264, settings.format, false)?, settings, last_ticks: i64::MIN })
    }

    /// Encodes `picture`, captured at `captured`, as a key frame if `key`.
    ///
    /// # Errors
    /// [`Remedy::Drop`](crate::Remedy) when the picture is not of the encoder's size, [`Remedy::Rebuild`](crate::Remedy) when the encoder
    /// is broken.
    pub fn encode(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        // x264 wants times that rise; two pictures inside one tick are as good as a tick apart.
        let ticks = pts.to_90khz().max(self.last_ticks.saturating_add(1));
        let packet = self.encoding.encode(picture, ticks, pts, captured, key)?;
        self.last_ticks = ticks;
        Ok(packet)
    }

    /// Changes the bitrate from the next picture on. One below that of the settings is the most, too: somebody's line takes no more.
    pub fn set_bitrate(&mut self, bitrate_bps: u32) {
        let is_lowered = bitrate_bps < self.settings.bitrate_bps;
        let max_bitrate_bps = if is_lowered { bitrate_bps } else { self.settings.max_bitrate_bps.max(bitrate_bps) };
        set_bitrate(&mut self.encoding.context, bitrate_bps, max_bitrate_bps);
    }

    /// The size and rate it was made for.
    #[must_use]
    pub fn format(&self) -> VideoFormat {
        self.encoding.format
    }
}
