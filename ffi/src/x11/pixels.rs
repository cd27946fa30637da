//! The picture of the screen in memory, by whatever way its rows come.

use std::ops::Range;
use std::ptr::NonNull;
use std::{mem, slice};

use x11::xlib;

use super::damage::Bands;
use super::display::Display;
use super::layout::Layout;
use super::segment::Segment;
use super::sys;
use crate::{Bgra, Error, Plane, Remedy, Result};

/// The whole screen as BGRA, kept between grabs so that only what changed is read.
#[derive(Debug)]
pub(super) struct Pixels {
    source: Source,
    /// BGRA rows of `stride` bytes; empty while the segment itself is BGRA.
    unpacked: Vec<u8>,
    stride: usize,
    width: usize,
    height: usize,
    /// The picture before, for a server that does not tell what changed; empty until it is needed.
    before: Vec<u8>,
}

#[derive(Debug)]
enum Source {
    Segment(Segment),
    Socket,
}

impl Pixels {
    /// Makes the picture of a `width` × `height` screen of `visual` and `depth`.
    ///
    /// # Errors
    /// As of [`Segment::new`].
    pub(super) fn new(display: &Display, visual: *mut xlib::Visual, depth: u32, width: usize, height: usize) -> Result<Self> {
        let segment = Segment::new(display, visual, depth, width, height)?;
        let direct = segment.as_ref().filter(|segment| segment.layout() == Layout::Bgrx).map(Segment::stride);
        let unpacked = if direct.is_some() { Vec::new() } else { vec![0; width * 4 * height] };
        let source = segment.map_or(Source::Socket, Source::Segment);
        Ok(Self { source, unpacked, stride: direct.unwrap_or(width * 4), width, height, before: Vec::new() })
    }

    /// Whether the rows come through shared memory.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.source, Source::Segment(_))
    }

    /// Reads `rows` of `root`.
    ///
    /// # Errors
    /// When the connection is lost or the server refuses.
    ///
    /// Copies: 1 (the server's), 2 when the layout is not BGRA (unpacking), 3 over the socket.
    pub(super) fn read(&mut self, display: &Display, root: xlib::Window, rows: Range<usize>) -> Result<()> {
        match &mut self.source {
            Source::Segment(segment) => {
                segment.read(display, root, rows.clone())?;
                if !self.unpacked.is_empty() {
                    let unpacked = self.unpacked.chunks_exact_mut(self.stride);
                    let packed = segment.bytes().chunks_exact(segment.stride());
                    packed.zip(unpacked).take(rows.end).skip(rows.start).for_each(|(from, to)| segment.layout().unpack(from, to));
                }
                Ok(())
            }
            Source::Socket => {
                let image = Image::read(display, root, self.width, rows.clone())?;
                let layout = Layout::new(image.geometry())?;
                let unpacked = self.unpacked.chunks_exact_mut(self.stride).take(rows.end).skip(rows.start);
                image.rows().zip(unpacked).for_each(|(from, to)| layout.unpack(from, to));
                Ok(())
            }
        }
    }

    /// Puts the rows that are not what they were at the last call into `bands`, instead of what is there.
    ///
    /// Copies: 1 of the changed rows.
    pub(super) fn find_changes(&mut self, bands: &mut Bands) {
        bands.clear();
        let mut before = mem::take(&mut self.before);
        let is_first = before.is_empty();
        before.resize(self.width * 4 * self.height, 0);
        for (y, before) in before.chunks_exact_mut(self.width * 4).enumerate() {
            let now = &*self.row_mut(y);
            if is_first || *before != *now {
                before.copy_from_slice(now);
                bands.insert(y..y + 1, self.height);
            }
        }
        self.before = before;
    }

    /// Gives shared memory back to the server, before another picture replaces this one.
    pub(super) fn release(&mut self, display: &Display) -> Result<()> {
        match &mut self.source {
            Source::Segment(segment) => segment.detach(display),
            Source::Socket => Ok(()),
        }
    }

    /// The picture.
    pub(super) fn as_bgra(&self) -> Bgra<'_> {
        let data = match &self.source {
            Source::Segment(segment) if self.unpacked.is_empty() => segment.bytes(),
            Source::Segment(_) | Source::Socket => &self.unpacked,
        };
        Bgra { width: self.width, height: self.height, pixels: Plane { data, stride: self.stride } }
    }

    /// The first columns to the last of row `y`, to draw on: 4 bytes a pixel.
    pub(super) fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let data = match &mut self.source {
            Source::Segment(segment) if self.unpacked.is_empty() => segment.bytes_mut(),
            Source::Segment(_) | Source::Socket => &mut self.unpacked[..],
        };
        &mut data[y * self.stride..][..self.width * 4]
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }
}

/// What `XGetImage` answers.
struct Image(NonNull<xlib::XImage>);

impl Image {
    fn read(display: &Display, root: xlib::Window, width: usize, rows: Range<usize>) -> Result<Self> {
        const DOING: &str = "reading the screen over the socket";
        display.check(DOING)?;
        let (top, w, h) = (rows.start as i32, width as u32, rows.len() as u32);
        // SAFETY: the connection is not lost; the server checks the window and the rectangle.
        let image = unsafe { xlib::XGetImage(display.raw(), root, 0, top, w, h, sys::ALL_PLANES, xlib::ZPixmap) };
        let image = Self(NonNull::new(image).ok_or_else(|| display.refusal(DOING))?);
        if image.geometry().data.is_null() {
            return Err(Error::new(DOING, Remedy::Retry, "an image without pixels"));
        }
        Ok(image)
    }

    fn geometry(&self) -> &xlib::XImage {
        // SAFETY: from XGetImage, ours alone until `Drop`.
        unsafe { self.0.as_ref() }
    }

    fn rows(&self) -> slice::ChunksExact<'_, u8> {
        let image = self.geometry();
        let stride = usize::try_from(image.bytes_per_line).unwrap_or(0);
        let bytes = stride * usize::try_from(image.height).unwrap_or(0);
        // SAFETY: XGetImage checked that the answer holds `bytes_per_line · height` bytes, read them all into `data`, which is not null
        // by the check in `read`, and keeps no hand on it.
        let data = unsafe { slice::from_raw_parts(image.data.cast::<u8>(), bytes) };
        data.chunks_exact(stride.max(1))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: from XGetImage, not destroyed before; frees the pixels as well, whose borrows have ended.
        unsafe { xlib::XDestroyImage(self.0.as_ptr()) };
    }
}
