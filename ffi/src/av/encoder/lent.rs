//! Pictures of ours, lent to an encoder for one call.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ffmpeg_sys_next as ff;

use crate::av::owned::{Owned, frame};
use crate::{Error, I420, Plane, Remedy, Result, VideoFormat};

/// The frame that a picture is wrapped in, and the count of its planes that FFmpeg has.
pub(super) struct Lent {
    frame: Owned<ff::AVFrame>,
    /// How many planes are lent; an `Arc` because FFmpeg gives them back.
    out: Arc<AtomicUsize>,
    /// Whether libavcodec makes a copy instead, for an encoder that keeps what it is given.
    copied: bool,
}

impl Lent {
    pub(super) fn new(copied: bool) -> Result<Self> {
        Ok(Self { frame: frame()?, out: Arc::default(), copied })
    }

    /// Hands `picture` to `context`, which is done with it when this returns.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the picture is not of `format`'s size, [`Remedy::Rebuild`] when memory is short.
    pub(super) fn send(
        &mut self,
        context: &mut Owned<ff::AVCodecContext>,
        picture: &I420<'_>,
        format: VideoFormat,
        ticks: i64,
        key: bool,
    ) -> Result<c_int> {
        let sent = self.fill(picture, format, ticks, key).map(|()| {
            // SAFETY: the context is open; the frame's planes are `picture`'s, checked in `fill` to have every row, and only read.
            unsafe { ff::avcodec_send_frame(context.as_mut_ptr(), self.frame.as_ptr()) }
        });
        // SAFETY: the frame is initialised; the call drops its references to the lent planes.
        unsafe { ff::av_frame_unref(self.frame.as_mut_ptr()) };
        self.reclaim(context);
        sent
    }

    fn fill(&mut self, picture: &I420<'_>, format: VideoFormat, ticks: i64, key: bool) -> Result<()> {
        let (width, height) = (format.width() as usize, format.height() as usize);
        let wrong = || Error::new("encoding a picture", Remedy::Drop, "it is not of the encoder's size");
        if (picture.width, picture.height) != (width, height) {
            return Err(wrong());
        }
        let side = |side: usize| c_int::try_from(side).map_err(|_| wrong());
        let planes = [(picture.y, width, height), (picture.u, width / 2, height / 2), (picture.v, width / 2, height / 2)];
        for (index, (plane, width, height)) in planes.into_iter().enumerate() {
            if plane.stride < width || plane.data.len() < plane.stride * (height - 1) + width {
                return Err(wrong());
            }
            self.frame.linesize[index] = side(plane.stride)?;
            self.frame.data[index] = plane.data.as_ptr().cast_mut();
            // Without a buffer libavcodec copies the picture first.
            self.frame.buf[index] = if self.copied { ptr::null_mut() } else { self.lend(plane)? };
        }
        (self.frame.width, self.frame.height) = (side(width)?, side(height)?);
        self.frame.format = ff::AVPixelFormat::AV_PIX_FMT_YUV420P as c_int;
        self.frame.pts = ticks;
        self.frame.pict_type = if key { ff::AVPictureType::AV_PICTURE_TYPE_I } else { ff::AVPictureType::AV_PICTURE_TYPE_NONE };
        Ok(())
    }

    /// Makes a buffer of `plane` that counts itself out and in.
    fn lend(&self, plane: Plane<'_>) -> Result<*mut ff::AVBufferRef> {
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
    fn reclaim(&mut self, context: &mut Owned<ff::AVCodecContext>) {
        // Acquire pairs with the release in `returned`: what FFmpeg read of a plane, it read before.
        if self.out.load(Ordering::Acquire) == 0 {
            return;
        }
        // Only a frame that a failed call left waiting inside can still be out; flushing drops it.
        // SAFETY: the context is open; an encoder that cannot be flushed only warns.
        unsafe { ff::avcodec_flush_buffers(context.as_mut_ptr()) };
        assert_eq!(self.out.load(Ordering::Acquire), 0, "libavcodec keeps no input of a zero-delay encoder");
    }
}

unsafe extern "C" fn returned(counter: *mut c_void, _data: *mut u8) {
    // SAFETY: FFmpeg calls this once per buffer, when its last reference is gone, with the count that `lend` leaked to it.
    let counter = unsafe { Arc::from_raw(counter.cast::<AtomicUsize>()) };
    counter.fetch_sub(1, Ordering::Release);
}
