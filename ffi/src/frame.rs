//! Views of pictures in memory that somebody else owns.

/// A plane of 8-bit samples, read only. Rows start `stride` bytes apart; the last row need not be followed by padding.
#[derive(Clone, Copy, Debug)]
pub struct Plane<'a> {
    /// The samples, from the first of the first row.
    pub data: &'a [u8],
    /// The bytes from one row to the next.
    pub stride: usize,
}

impl<'a> Plane<'a> {
    /// The first `width` samples of row `y`.
    ///
    /// # Panics
    /// When the row is not inside the plane.
    #[must_use]
    pub fn row(&self, y: usize, width: usize) -> &'a [u8] {
        let start = y * self.stride;
        &self.data[start..start + width]
    }
}

/// A plane of 8-bit samples to write.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// The samples, from the first of the first row.
    pub data: &'a mut [u8],
    /// The bytes from one row to the next.
    pub stride: usize,
}

impl PlaneMut<'_> {
    /// The first `width` samples of row `y`.
    ///
    /// # Panics
    /// When the row is not inside the plane.
    pub fn row_mut(&mut self, y: usize, width: usize) -> &mut [u8] {
        let start = y * self.stride;
        &mut self.data[start..start + width]
    }

    /// The plane for a shorter time.
    pub fn reborrow(&mut self) -> PlaneMut<'_> {
        PlaneMut { data: self.data, stride: self.stride }
    }
}

/// A planar 4:2:0 picture of 8-bit samples: `y` of `width` × `height`, then `u` and `v` of half each, rounded up.
#[derive(Clone, Copy, Debug)]
pub struct I420<'a> {
    /// Luma columns.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Luma.
    pub y: Plane<'a>,
    /// Blue difference.
    pub u: Plane<'a>,
    /// Red difference.
    pub v: Plane<'a>,
}

impl<'a> I420<'a> {
    /// Views packed planes (stride = width, `y` then `u` then `v`), or nothing when a side is odd or `bytes` is too short.
    #[must_use]
    pub fn packed(bytes: &'a [u8], width: u32, height: u32) -> Option<Self> {
        let (w, h) = (width as usize, height as usize);
        if !w.is_multiple_of(2) || !h.is_multiple_of(2) || bytes.len() < w * h * 3 / 2 {
            return None;
        }
        let (y, chroma) = bytes.split_at(w * h);
        let (u, v) = chroma.split_at(w * h / 4);
        Some(Self {
            width: w,
            height: h,
            y: Plane { data: y, stride: w },
            u: Plane { data: u, stride: w / 2 },
            v: Plane { data: &v[..w * h / 4], stride: w / 2 },
        })
    }
}

/// A planar 4:2:0 picture of 8-bit samples to write; shapes as in [`I420`], sides even.
#[derive(Debug)]
pub struct I420Mut<'a> {
    /// Luma columns.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Luma.
    pub y: PlaneMut<'a>,
    /// Blue difference.
    pub u: PlaneMut<'a>,
    /// Red difference.
    pub v: PlaneMut<'a>,
}

impl<'a> I420Mut<'a> {
    /// Views packed planes (stride = width, `y` then `u` then `v`), or nothing when a side is odd or `bytes` is too short.
    #[must_use]
    pub fn packed(bytes: &'a mut [u8], width: u32, height: u32) -> Option<Self> {
        let (w, h) = (width as usize, height as usize);
        if !w.is_multiple_of(2) || !h.is_multiple_of(2) || bytes.len() < w * h * 3 / 2 {
            return None;
        }
        let (y, chroma) = bytes.split_at_mut(w * h);
        let (u, v) = chroma.split_at_mut(w * h / 4);
        Some(Self {
            width: w,
            height: h,
            y: PlaneMut { data: y, stride: w },
            u: PlaneMut { data: u, stride: w / 2 },
            v: PlaneMut { data: &mut v[..w * h / 4], stride: w / 2 },
        })
    }

    /// The window of `width` × `height` whose top left corner is `x`, `y`; all even.
    ///
    /// # Panics
    /// When the window is not inside the picture or a number is odd.
    pub fn window(&mut self, x: usize, y: usize, width: usize, height: usize) -> I420Mut<'_> {
        assert!([x, y, width, height].iter().all(|n| n.is_multiple_of(2)), "chroma is half size");
        assert!(x + width <= self.width && y + height <= self.height, "inside the picture");
        let offset = |plane: usize, x: usize, y: usize| y * plane + x;
        I420Mut {
            width,
            height,
            y: PlaneMut { data: &mut self.y.data[offset(self.y.stride, x, y)..], stride: self.y.stride },
            u: PlaneMut { data: &mut self.u.data[offset(self.u.stride, x / 2, y / 2)..], stride: self.u.stride },
            v: PlaneMut { data: &mut self.v.data[offset(self.v.stride, x / 2, y / 2)..], stride: self.v.stride },
        }
    }

    /// The bytes of its samples.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.width * self.height * 3 / 2
    }

    /// Writes limited-range black (ITU-R BT.601: Y 16, U and V 128) everywhere.
    pub fn fill_black(&mut self) {
        for row in 0..self.height {
            self.y.row_mut(row, self.width).fill(16);
        }
        for row in 0..self.height / 2 {
            self.u.row_mut(row, self.width / 2).fill(128);
            self.v.row_mut(row, self.width / 2).fill(128);
        }
    }

    /// The picture, read only.
    #[must_use]
    pub fn as_i420(&self) -> I420<'_> {
        I420 {
            width: self.width,
            height: self.height,
            y: Plane { data: self.y.data, stride: self.y.stride },
            u: Plane { data: self.u.data, stride: self.u.stride },
            v: Plane { data: self.v.data, stride: self.v.stride },
        }
    }
}

/// A packed 32-bit picture as X11 has it on little-endian machines: bytes blue, green, red, unused.
#[derive(Clone, Copy, Debug)]
pub struct Bgra<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The pixels; rows start `stride` bytes apart.
    pub pixels: Plane<'a>,
}

/// Passes over the samples of pictures, and the bytes that they wrote.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Copied {
    /// Passes.
    pub passes: u64,
    /// Bytes written.
    pub bytes: u64,
}

impl Copied {
    /// Counts a pass that wrote so many bytes.
    pub fn count(&mut self, bytes: usize) {
        self.passes += 1;
        self.bytes += bytes as u64;
    }
}

impl std::ops::Add for Copied {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passes: self.passes + other.passes, bytes: self.bytes + other.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_touches_only_its_own_samples() {
        let mut bytes = vec![1; 16 * 8 * 3 / 2];
        let mut picture = I420Mut::packed(&mut bytes, 16, 8).expect("sized");
        picture.window(4, 2, 8, 4).fill_black();
        let view = picture.as_i420();
        let luma = (0..8).flat_map(|y| view.y.row(y, 16)).filter(|&&s| s == 16).count();
        let chroma = (0..4).flat_map(|y| view.u.row(y, 8).iter().chain(view.v.row(y, 8))).filter(|&&s| s == 128).count();
        assert_eq!((luma, chroma), (8 * 4, 2 * 4 * 2));
        assert_eq!(view.y.row(2, 16)[4..12], [16; 8]);
    }

    #[test]
    fn packed_refuses_odd_sides_and_short_memory() {
        let mut bytes = [0; 24];
        assert!(I420Mut::packed(&mut bytes, 4, 4).is_some());
        assert!(I420Mut::packed(&mut bytes, 5, 4).is_none());
        assert!(I420Mut::packed(&mut bytes[..23], 4, 4).is_none());
        assert!(I420::packed(&bytes[..23], 4, 4).is_none());
    }
}
