//! What a picture or a sound looks like, as types that cannot be wrong.

/// The size and rate of a camera or a screen picture.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct VideoFormat {
    width: u32,
    height: u32,
    frame_rate: u32,
}

impl VideoFormat {
    /// Makes a format of `width` × `height` pixels at `frame_rate` frames a second, or nothing when a side is odd or outside
    /// 16…3840 × 16…2160, or the rate outside 1…60.
    #[must_use]
    pub fn new(width: u32, height: u32, frame_rate: u32) -> Option<Self> {
        let fits = width.is_multiple_of(2)
            && height.is_multiple_of(2)
            && (16..=3840).contains(&width)
            && (16..=2160).contains(&height)
            && (1..=60).contains(&frame_rate);
        fits.then_some(Self { width, height, frame_rate })
    }

    /// The width in pixels; even.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// The height in pixels; even.
    #[must_use]
    pub fn height(self) -> u32 {
        self.height
    }

    /// The frames a second.
    #[must_use]
    pub fn frame_rate(self) -> u32 {
        self.frame_rate
    }

    /// The bytes of one packed I420 picture of this size: `width · height · 3 / 2`.
    #[must_use]
    pub fn i420_bytes(self) -> usize {
        self.width as usize * self.height as usize * 3 / 2
    }
}

/// The rate and channels of interleaved signed 16-bit little-endian sound.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct AudioFormat {
    /// Samples a second and channel.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u8,
}

impl AudioFormat {
    /// What every sink and monitor of ours runs at: 48 kHz stereo.
    pub const STEREO_48K: Self = Self { rate: 48_000, channels: 2 };

    /// The bytes of one sample of every channel.
    #[must_use]
    pub fn frame_bytes(self) -> usize {
        usize::from(self.channels) * 2
    }

    /// The bytes of `millis` milliseconds, rounded down to whole frames.
    #[must_use]
    pub fn millis_bytes(self, millis: u32) -> usize {
        self.rate as usize * millis as usize / 1_000 * self.frame_bytes()
    }
}
