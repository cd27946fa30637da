//! VP8 by libvpx, for viewers that offer no H.264.

use std::ffi::c_int;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::{Encoding, TICKS, describe, number};
use crate::av::codec::encoder;
use crate::{Codec, I420, MediaTime, Packet, Result, VideoFormat};

/// Encodes pictures as VP8 in real time: each goes in and comes out in one call.
///
/// Pictures are key frames when asked for, and only then. Its bitrate is that of its opening.
///
/// Copies: 0 of ours (libvpx copies the picture it is lent into its own, `vp8_lookahead_push`).
#[derive(Debug)]
pub struct Vp8Encoder {
    encoding: Encoding,
    /// The last time given to libvpx, in ticks of 90 kHz.
    last_ticks: i64,
}

impl Vp8Encoder {
    /// Opens an encoder of pictures of `format`, which makes at most `bitrate_bps` bits a second.
    ///
    /// # Errors
    /// When FFmpeg was built without libvpx.
    pub fn new(format: VideoFormat, bitrate_bps: u32) -> Result<Self> {
        let mut unopened = encoder(c"libvpx")?;
        describe(&mut unopened, format, bitrate_bps)?;
        unopened.context.time_base = ff::AVRational { num: 1, den: TICKS };
        unopened.context.framerate = ff::AVRational { num: number(format.frame_rate())?, den: 1 };
        unopened.context.gop_size = c_int::MAX;
        // The three equal: constant bitrate, which is libvpx's way of real time.
        unopened.context.rc_min_rate = unopened.context.bit_rate;
        unopened.set(c"deadline", c"realtime")?;
        unopened.set(c"cpu-used", c"16")?;
        unopened.set(c"lag-in-frames", c"0")?;
        unopened.set(c"auto-alt-ref", c"0")?;
        // What differs by less than its own noise is skipped: most of a screen stands still.
        unopened.set(c"static-thresh", c"100")?;
        Ok(Self { encoding: Encoding::open(unopened, Codec::Vp8, format, false)?, last_ticks: i64::MIN })
    }

    /// Encodes `picture`, captured at `captured`, as a key frame if `key`.
    ///
    /// # Errors
    /// [`Remedy::Drop`](crate::Remedy) when the picture is not of the encoder's size, [`Remedy::Rebuild`](crate::Remedy) when the encoder
    /// is broken.
    pub fn encode(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool) -> Result<Option<Packet>> {
        let ticks = pts.to_90khz().max(self.last_ticks.saturating_add(1));
        let packet = self.encoding.encode(picture, ticks, pts, captured, key)?;
        self.last_ticks = ticks;
        Ok(packet)
    }
}
