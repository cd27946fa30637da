//! Pictures of any kind to limited-range I420 of any size, by libswscale.

use std::ffi::{CStr, c_int};
use std::ptr;

use ffmpeg_sys_next as ff;

use super::owned::{Owned, check, frame};
use super::picture::Picture;
use crate::scale::SampleRange;
use crate::{Error, I420, Plane, Remedy, Result};

/// Converts pictures into a frame of its own, for those that no faster way fits.
///
/// [`Painter`](super::Painter) is what draws; this is the part of it that others may want alone, to compare with.
///
/// Copies: 1 (libswscale rounds the ends of rows up to its vector width, so it may write past a window; it gets rows with room for that).
pub struct Converter {
    context: Owned<ff::SwsContext>,
    target: Owned<ff::AVFrame>,
    shape: Shape,
}

/// What a context was made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Shape {
    source: (c_int, c_int, c_int),
    range: SampleRange,
    target: (c_int, c_int),
}

impl Shape {
    fn new(picture: &Picture, width: usize, height: usize) -> Result<Self> {
        let side =
            |side: usize| c_int::try_from(side).map_err(|_| Error::new("scaling a picture", Remedy::Drop, "the canvas is too large"));
        let frame = picture.frame();
        Ok(Self { source: (frame.width, frame.height, frame.format), range: picture.range(), target: (side(width)?, side(height)?) })
    }
}

impl Converter {
    /// Makes a converter of pictures like `picture` to `width` × `height`.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when libswscale does not take such pictures or such a size.
    pub fn new(picture: &Picture, width: usize, height: usize) -> Result<Self> {
        let shape = Shape::new(picture, width, height)?;
        // SAFETY: takes nothing and returns null or a new context.
        let context = unsafe { ff::sws_alloc_context() };
        // SAFETY: `sws_alloc_context` is undone by `sws_freeContext`; nobody else has the pointer.
        let mut context = unsafe { Owned::new(context) }?;
        for (name, value) in [
            (c"srcw", shape.source.0),
            (c"srch", shape.source.1),
            (c"src_format", shape.source.2),
            (c"src_range", c_int::from(shape.range == SampleRange::Full)),
            (c"dstw", shape.target.0),
            (c"dsth", shape.target.1),
            (c"dst_format", I420_FORMAT),
            (c"dst_range", 0),
            // Widens its filter when it scales down, so nothing aliases; area and bicubic cost more and look the same in motion.
            (c"sws_flags", ff::SWS_BILINEAR),
        ] {
            set(&mut context, name, value)?;
        }
        // SAFETY: the context was allocated and set up above and not initialised yet; filters are optional.
        let code = unsafe { ff::sws_init_context(context.as_mut_ptr(), ptr::null_mut(), ptr::null_mut()) };
        check(code, "scaling a picture of this kind", Remedy::Drop)?;
        let mut target = frame()?;
        (target.width, target.height) = shape.target;
        target.format = I420_FORMAT;
        // SAFETY: the frame has its sides and format set and no buffers yet; 0 asks for the machine's own alignment.
        check(unsafe { ff::av_frame_get_buffer(target.as_mut_ptr(), 0) }, "allocating a frame", Remedy::Rebuild)?;
        Ok(Self { context, target, shape })
    }

    /// Whether this converter was made for pictures like this and this size.
    #[must_use]
    pub fn fits(&self, picture: &Picture, width: usize, height: usize) -> bool {
        Shape::new(picture, width, height).is_ok_and(|shape| shape == self.shape)
    }

    /// Converts a picture that the converter fits.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when it does not, or when libswscale refuses the picture.
    pub fn convert(&mut self, picture: &Picture) -> Result<I420<'_>> {
        if Shape::new(picture, self.shape.target.0 as usize, self.shape.target.1 as usize)? != self.shape {
            return Err(Error::new("scaling a picture", Remedy::Drop, "it is of another shape"));
        }
        let source = picture.frame();
        // SAFETY: the context is initialised for exactly the sides and format of both frames (checked above; the target is ours and
        // never changes); the source is only read, the target's buffers are ours alone and as large as FFmpeg made them for it.
        let code = unsafe { ff::sws_scale_frame(self.context.as_mut_ptr(), self.target.as_mut_ptr(), source.as_ptr()) };
        check(code, "scaling a picture", Remedy::Drop)?;
        let (width, height) = (self.shape.target.0 as usize, self.shape.target.1 as usize);
        Ok(I420 {
            width,
            height,
            y: self.plane(0, width, height),
            u: self.plane(1, width.div_ceil(2), height.div_ceil(2)),
            v: self.plane(2, width.div_ceil(2), height.div_ceil(2)),
        })
    }

    fn plane(&self, index: usize, width: usize, height: usize) -> Plane<'_> {
        let stride = self.target.linesize[index].unsigned_abs() as usize;
        // SAFETY: `av_frame_get_buffer` made `height` rows of `stride` ≥ `width` samples for this plane, which only `convert` writes, and
        // that needs `&mut self`; scaling wrote every sample, so they are initialised.
        let data = unsafe { std::slice::from_raw_parts(self.target.data[index], stride * (height - 1) + width) };
        Plane { data, stride }
    }
}

fn set(context: &mut Owned<ff::SwsContext>, name: &CStr, value: c_int) -> Result<()> {
    // SAFETY: a scaler's context starts with its `AVClass`, which is what the call needs; the name is terminated and only read.
    let code = unsafe { ff::av_opt_set_int(context.as_mut_ptr().cast(), name.as_ptr(), i64::from(value), 0) };
    check(code, "setting up a scaler", Remedy::Report).map(drop)
}

impl std::fmt::Debug for Converter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Converter({:?})", self.shape)
    }
}

// SAFETY: a scaler's context and a frame are bound to no thread; `&mut self` orders the calls.
unsafe impl Send for Converter {}

const I420_FORMAT: c_int = ff::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
