//! The cursor, drawn into the picture and taken out of it again.
//!
//! The framebuffer has no cursor in it. It is blended into the picture after each read; the clean pixels under it are kept and put
//! back before the next, so that a band may be read or not and no trail stays.

use std::ops::Range;
use std::{ptr, slice};

use x11::{xfixes, xlib};

use super::display::Display;
use super::pixels::Pixels;
use super::pointer::Pointer;
use super::sys;
use crate::Result;

/// The cursor's picture and place.
#[derive(Debug)]
pub(super) struct Cursor {
    /// First event of XFIXES; nothing when the server has none, and then no cursor is drawn.
    first_event: Option<i32>,
    pointer: Pointer,
    /// The picture is another than the one in `image`.
    image_changed: bool,
    image: Image,
    /// Where the pointer's hot spot is.
    place: (i32, i32),
    /// The pixels that the drawn cursor hides, row by row.
    clean: Vec<u8>,
    /// Where the cursor is drawn in the picture, in pixels.
    drawn: Option<(Range<usize>, Range<usize>)>,
}

/// A cursor's pixels, premultiplied with their alpha.
#[derive(Debug, Default)]
struct Image {
    /// Bytes blue, green, red, alpha.
    pixels: Vec<u8>,
    width: usize,
    height: usize,
    hot: (i32, i32),
}

impl Cursor {
    /// Starts to watch the cursor.
    ///
    /// # Errors
    /// When the connection is lost or the server refuses.
    pub(super) fn new(display: &Display, root: xlib::Window) -> Result<Self> {
        const DOING: &str = "watching the cursor";
        display.check(DOING)?;
        let (mut first_event, mut error, mut major, minor) = (0, 0, 2, 0);
        // SAFETY: the connection is not lost; the out pointers are locals.
        let present = unsafe { xfixes::XFixesQueryExtension(display.raw(), &raw mut first_event, &raw mut error) } != xlib::False;
        if present {
            let mut minor_answer = minor;
            // SAFETY: as above. The crate declares the last pointer const, the library writes through it: it is a mutable local's.
            unsafe { xfixes::XFixesQueryVersion(display.raw(), &raw mut major, (&raw mut minor_answer).cast_const()) };
            // SAFETY: only queues a request.
            unsafe { sys::select_cursor_input(display.raw(), root, sys::DISPLAY_CURSOR_NOTIFY_MASK) };
        }
        display.sync(DOING)?;
        Ok(Self {
            first_event: present.then_some(first_event),
            pointer: Pointer::new(display)?,
            image_changed: present,
            image: Image::default(),
            place: (0, 0),
            clean: Vec::new(),
            drawn: None,
        })
    }

    /// Whether the server shows us its cursor.
    pub(super) fn is_watching(&self) -> bool {
        self.first_event.is_some()
    }

    /// Whether the server tells when the pointer moves.
    pub(super) fn is_pointer_watched(&self) -> bool {
        self.pointer.is_watching()
    }

    /// Whether the cursor may look different from what is drawn.
    pub(super) fn is_stale(&self) -> bool {
        self.is_watching() && (self.image_changed || self.pointer.may_have_moved())
    }

    /// Takes note of `event`, if it is ours.
    pub(super) fn handle_event(&mut self, event: &xlib::XEvent) {
        if self.first_event.is_some_and(|first| event.get_type() == first + sys::CURSOR_NOTIFY) {
            self.image_changed = true;
        }
        self.pointer.handle_event(event);
    }

    /// Says that the picture has no cursor in it: it is a new one.
    pub(super) fn forget_drawn(&mut self) {
        self.drawn = None;
    }

    /// Asks the server for what may have changed; answers whether anything did.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) fn update(&mut self, display: &Display, root: xlib::Window) -> Result<bool> {
        if !self.is_stale() {
            return Ok(false);
        }
        let changed = self.image_changed;
        if changed {
            self.image.fetch(display)?;
            self.image_changed = false;
        }
        let Some(place) = self.pointer.locate(display, root)? else { return Ok(changed) };
        let moved = std::mem::replace(&mut self.place, place) != place;
        Ok(changed || moved)
    }

    /// Puts the clean pixels back; answers the rows that the cursor was in.
    pub(super) fn lift(&mut self, pixels: &mut Pixels) -> Range<usize> {
        let Some((columns, rows)) = self.drawn.take() else { return 0..0 };
        let bytes = columns.start * 4..columns.end * 4;
        for (y, clean) in rows.clone().zip(self.clean.chunks_exact(bytes.len())) {
            pixels.row_mut(y)[bytes.clone()].copy_from_slice(clean);
        }
        rows
    }

    /// Keeps the clean pixels and blends the cursor over them; answers the rows that it is in.
    pub(super) fn draw(&mut self, pixels: &mut Pixels) -> Range<usize> {
        let (width, height) = pixels.size();
        let (left, top) = (self.place.0 - self.image.hot.0, self.place.1 - self.image.hot.1);
        let (columns, skip_x) = clip(left, self.image.width, width);
        let (rows, skip_y) = clip(top, self.image.height, height);
        self.clean.clear();
        if columns.is_empty() || rows.is_empty() {
            return 0..0;
        }
        for (y, image_y) in rows.clone().zip(skip_y..) {
            let below = &mut pixels.row_mut(y)[columns.start * 4..columns.end * 4];
            self.clean.extend_from_slice(below);
            let cursor = &self.image.pixels[(image_y * self.image.width + skip_x) * 4..];
            blend(below, cursor);
        }
        self.drawn = Some((columns, rows.clone()));
        rows
    }
}

impl Image {
    fn fetch(&mut self, display: &Display) -> Result<()> {
        const DOING: &str = "reading the cursor";
        display.check(DOING)?;
        // SAFETY: the connection is not lost.
        let image = unsafe { xfixes::XFixesGetCursorImage(display.raw()) };
        if image.is_null() {
            display.check(DOING)?;
            // No cursor at all: nothing is drawn.
            let _ = display.take_fault();
            *self = Self::default();
            return Ok(());
        }
        // SAFETY: XFixesGetCursorImage answers an initialised structure in memory of its own, freed only below.
        let cursor = unsafe { ptr::read(image) };
        (self.width, self.height) = (usize::from(cursor.width), usize::from(cursor.height));
        self.hot = (i32::from(cursor.xhot), i32::from(cursor.yhot));
        self.pixels.clear();
        if !cursor.pixels.is_null() {
            // SAFETY: as many `unsigned long` as the cursor has pixels follow, each with its 32 bits of ARGB.
            let argb = unsafe { slice::from_raw_parts(cursor.pixels, self.width * self.height) };
            self.pixels.extend(argb.iter().flat_map(|&pixel| (pixel as u32).to_le_bytes()));
        }
        // SAFETY: from XFixesGetCursorImage, one allocation, not freed before and not used after.
        unsafe { xlib::XFree(image.cast()) };
        Ok(())
    }
}

/// The part of `start..start + length` inside `0..limit`, and how much of its beginning is cut.
fn clip(start: i32, length: usize, limit: usize) -> (Range<usize>, usize) {
    let (start, length, limit) = (i64::from(start), length as i64, limit as i64);
    let inside = start.clamp(0, limit)..(start + length).clamp(0, limit);
    (inside.start as usize..inside.end as usize, (inside.start - start) as usize)
}

/// Blends premultiplied pixels `over` onto `below`; as many as fit both.
fn blend(below: &mut [u8], over: &[u8]) {
    for (below, over) in below.chunks_exact_mut(4).zip(over.chunks_exact(4)) {
        let clear = 255 - u32::from(over[3]);
        for channel in 0..3 {
            let seen = u32::from(over[channel]) + (u32::from(below[channel]) * clear + 127) / 255;
            below[channel] = seen.min(255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blending_premultiplied_pixels_keeps_what_shows_through() {
        let mut below = [100, 100, 100, 9].repeat(4);
        blend(&mut below, &[0, 0, 0, 0, 10, 20, 30, 255, 50, 0, 0, 128, 255, 255, 255, 254]);
        assert_eq!(below, [100, 100, 100, 9, 10, 20, 30, 9, 100, 50, 50, 9, 255, 255, 255, 9]);
    }

    #[test]
    fn clipping_counts_what_is_cut_in_front() {
        assert_eq!(clip(-3, 10, 100), (0..7, 3));
        assert_eq!(clip(95, 10, 100), (95..100, 0));
        assert_eq!(clip(5, 10, 100), (5..15, 0));
        assert!(clip(-20, 10, 100).0.is_empty() && clip(200, 10, 100).0.is_empty());
    }
}
