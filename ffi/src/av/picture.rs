//! A decoded picture.

use std::ffi::c_int;
use std::slice;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::owned::Owned;
use crate::lend::Pool;
use crate::scale::{Chroma, Planar, SampleRange};
use crate::{I420, MediaTime, Plane};

/// A decoded picture in the memory it was decoded into.
///
/// Copies: 0. A decoder may keep reading that memory to predict later pictures; nobody writes it while a `Picture` refers to it.
pub struct Picture {
    frame: Owned<ff::AVFrame>,
    pts: Option<MediaTime>,
    arrival: Instant,
}

impl Picture {
    pub(super) fn new(frame: Owned<ff::AVFrame>, pts: Option<MediaTime>, arrival: Instant) -> Self {
        Self { frame, pts, arrival }
    }

    /// The width in pixels; may be odd.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.frame.width.unsigned_abs()
    }

    /// The height in pixels; may be odd.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.frame.height.unsigned_abs()
    }

    /// When it is shown.
    #[must_use]
    pub fn pts(&self) -> Option<MediaTime> {
        self.pts
    }

    /// When the last byte of the packet that made it reached us.
    #[must_use]
    pub fn arrival(&self) -> Instant {
        self.arrival
    }

    /// How much wider than high one pixel is, as numerator and denominator; (1, 1) when the stream does not say.
    #[must_use]
    pub fn pixel_aspect(&self) -> (u32, u32) {
        let aspect = self.frame.sample_aspect_ratio;
        match (u32::try_from(aspect.num), u32::try_from(aspect.den)) {
            (Ok(wide), Ok(high)) if wide > 0 && high > 0 => (wide, high),
            _ => (1, 1),
        }
    }

    /// The samples, when they are what the camera takes: planar 8-bit 4:2:0 of limited range.
    #[must_use]
    pub fn as_i420(&self) -> Option<I420<'_>> {
        let Planar { width, height, chroma, y, u, v } = self.as_planar()?;
        (self.range() == SampleRange::Limited && chroma == Chroma::Quarter).then_some(I420 { width, height, y, u, v })
    }

    /// The samples, when they are planar and 8-bit, of either range.
    pub(super) fn as_planar(&self) -> Option<Planar<'_>> {
        let (_, chroma, _) = PLANAR.into_iter().find(|(format, _, _)| *format as c_int == self.frame.format)?;
        let (width, height) = (usize::try_from(self.frame.width).ok()?, usize::try_from(self.frame.height).ok()?);
        let (chroma_width, chroma_height) = match chroma {
            Chroma::Full => (width, height),
            Chroma::Half => (width.div_ceil(2), height),
            Chroma::Quarter => (width.div_ceil(2), height.div_ceil(2)),
        };
        Some(Planar {
            width,
            height,
            chroma,
            y: self.plane(0, width, height)?,
            u: self.plane(1, chroma_width, chroma_height)?,
            v: self.plane(2, chroma_width, chroma_height)?,
        })
    }

    fn plane(&self, index: usize, width: usize, height: usize) -> Option<Plane<'_>> {
        let stride = usize::try_from(self.frame.linesize[index]).ok()?;
        let data = self.frame.data[index];
        if data.is_null() || stride < width || height == 0 {
            return None;
        }
        // SAFETY: a decoder's frame of this format has, by the contract of `get_buffer2`, `height` rows of at least `width` samples
        // `linesize` bytes apart from `data` on, in buffers the frame keeps alive; the decoder writes a frame only before handing it out.
        let data = unsafe { slice::from_raw_parts(data, stride * (height - 1) + width) };
        Some(Plane { data, stride })
    }

    /// The slot of `pool` that this picture was made in, when it lies there as a reader of the slot is to see it: the whole slot, of limited
    /// range, with square pixels, and nothing cropped.
    #[must_use]
    pub fn slot_in(&self, pool: &Pool) -> Option<usize> {
        let (format, picture) = (pool.format(), self.as_i420()?);
        let size = (format.width() as usize, format.height() as usize);
        let aspect = self.pixel_aspect();
        let packed = (picture.width, picture.height) == size
            && [picture.y.stride, picture.u.stride, picture.v.stride] == [size.0, size.0 / 2, size.0 / 2];
        (packed && aspect.0 == aspect.1).then(|| pool.slot_at(picture.y.data.as_ptr()))?
    }

    /// What the samples range over; limited when the stream does not say.
    #[must_use]
    pub fn range(&self) -> SampleRange {
        let says_so = self.frame.color_range as c_int == ff::AVColorRange::AVCOL_RANGE_JPEG as c_int;
        let format = PLANAR.into_iter().find(|(format, _, _)| *format as c_int == self.frame.format);
        match format {
            Some((_, _, SampleRange::Full)) => SampleRange::Full,
            Some((_, _, SampleRange::Limited)) | None if says_so => SampleRange::Full,
            Some((_, _, SampleRange::Limited)) | None => SampleRange::Limited,
        }
    }

    pub(super) fn frame(&self) -> &Owned<ff::AVFrame> {
        &self.frame
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{} at {:?})", self.width(), self.height(), self.pts)
    }
}

// SAFETY: a frame is fields and references to buffers whose counts are atomic; reading and freeing it is bound to no thread.
unsafe impl Send for Picture {}

// SAFETY: a shared picture is only read: no method changes a field, and the decoder that made it writes no sample after it gave it out.
unsafe impl Sync for Picture {}

/// The planar 8-bit formats, and the range that they alone say: "J" is the old way to say full.
const PLANAR: [(ff::AVPixelFormat, Chroma, SampleRange); 6] = [
    (ff::AVPixelFormat::AV_PIX_FMT_YUV420P, Chroma::Quarter, SampleRange::Limited),
    (ff::AVPixelFormat::AV_PIX_FMT_YUVJ420P, Chroma::Quarter, SampleRange::Full),
    (ff::AVPixelFormat::AV_PIX_FMT_YUV422P, Chroma::Half, SampleRange::Limited),
    (ff::AVPixelFormat::AV_PIX_FMT_YUVJ422P, Chroma::Half, SampleRange::Full),
    (ff::AVPixelFormat::AV_PIX_FMT_YUV444P, Chroma::Full, SampleRange::Limited),
    (ff::AVPixelFormat::AV_PIX_FMT_YUVJ444P, Chroma::Full, SampleRange::Full),
];
