//! MPEG-1 video by libavcodec, for players that know nothing else (JSMpeg).

use std::ffi::c_int;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::{Encoding, describe, number};
use crate::av::codec::encoder;
use crate::{Codec, I420, MediaTime, Packet, Result, VideoFormat};

/// Encodes pictures as MPEG-1 video: each goes in and comes out in one call.
///
/// Pictures are key frames (with the sequence header before them) when asked for, and at least every 132 pictures, as the standard
/// demands. Its bitrate is that of its opening. The stream names the lowest rate of the standard that is not below the format's; when a picture is shown says
/// the transport around it.
///
/// Copies: 1 (libavcodec's, of each picture: its MPEG encoders keep what they are given until the next one).
#[derive(Debug)]
pub struct Mpeg1Encoder {
    encoding: Encoding,
    pictures: i64,
}

impl Mpeg1Encoder {
    /// Opens an encoder of pictures of `format`, which makes at most `bitrate_bps` bits a second.
    ///
    /// # Errors
    /// When FFmpeg was built without it.
    pub fn new(format: VideoFormat, bitrate_bps: u32) -> Result<Self> {
        let mut unopened = encoder(c"mpeg1video")?;
        describe(&mut unopened, format, bitrate_bps)?;
        let rate = RATES.into_iter().find(|&rate| rate >= format.frame_rate()).unwrap_or(RATES[RATES.len() - 1]);
        // Its rate control takes one tick for one picture.
        unopened.context.time_base = ff::AVRational { num: 1, den: number(rate)? };
        unopened.context.framerate = ff::AVRational { num: number(rate)?, den: 1 };
        unopened.context.gop_size = KEY_DISTANCE;
        // Without it a picture comes out when the next goes in. MPEG-1 has no word for it, so libavcodec wants to be told twice.
        unopened.context.flags |= ff::AV_CODEC_FLAG_LOW_DELAY as c_int;
        unopened.context.strict_std_compliance = ff::FF_COMPLIANCE_UNOFFICIAL;
        Ok(Self { encoding: Encoding::open(unopened, Codec::Mpeg1Video, format, true)?, pictures: 0 })
    }

    /// Encodes `picture`, captured at `captured`, as a key frame if `key`.
    ///
    /// # Errors
    /// [`Remedy::Drop`](crate::Remedy) when the picture is not of the encoder's size, [`Remedy::Rebuild`](crate::Remedy) when the encoder
    /// is broken.
    pub fn encode(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        let packet = self.encoding.encode(picture, self.pictures, pts, captured, key)?;
        self.pictures += 1;
        Ok(packet)
    }
}

/// The whole pictures a second that ISO/IEC 11172-2, 2.4.3.2 has a code for.
const RATES: [u32; 5] = [24, 25, 30, 50, 60];

/// ISO/IEC 11172-2, 2.4.4.2: no block may be predicted more than 132 times in a row, or decoders drift apart.
const KEY_DISTANCE: c_int = 132;
