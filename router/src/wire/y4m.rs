//! The header of a YUV4MPEG2 file that holds one picture, as Chromium's fake capture device reads it.
//!
//! Chromium wants the header within 200 bytes, an integer frame rate, the colour tag `C420` or `C420jpeg` and a frame marker without
//! parameters; anything else, or a file that is shorter than it says, crashes its capture process.
//!
//! ```
//! use crosspoint_ffi::VideoFormat;
//! use crosspoint_router::wire::y4m::Layout;
//!
//! let layout = Layout::new(VideoFormat::new(1280, 720, 30).expect("even and in range"));
//! assert_eq!(layout.prologue(), b"YUV4MPEG2 W1280 H720 F30:1 Ip A1:1 C420jpeg\nFRAME\n");
//! assert_eq!(layout.file_bytes(), layout.picture_offset() + 1280 * 720 * 3 / 2);
//! assert_eq!(Layout::parse(layout.prologue()), Some(layout));
//! ```

use crosspoint_ffi::VideoFormat;

/// The layout of a file with one picture.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    format: VideoFormat,
    prologue: Vec<u8>,
}

impl Layout {
    /// The longest prologue that a header Chromium reads can make.
    pub const PROLOGUE_MAX_BYTES: usize = HEADER_MAX_BYTES + FRAME_MARKER.len();

    /// Lays out a file for pictures of `format`.
    #[must_use]
    pub fn new(format: VideoFormat) -> Self {
        let (width, height, frame_rate) = (format.width(), format.height(), format.frame_rate());
        // Progressive, square pixels. `C420jpeg` (chroma sited between the pixels) is what libswscale and the yuv crate make by default.
        let prologue = format!("YUV4MPEG2 W{width} H{height} F{frame_rate}:1 Ip A1:1 C420jpeg\n{FRAME_MARKER}");
        Self { format, prologue: prologue.into_bytes() }
    }

    /// Reads the layout of an existing file from its first bytes ([`Self::PROLOGUE_MAX_BYTES`] are enough); nothing unless
    /// it is exactly as [`new`](Self::new) makes it, so that the file can go on in use.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(HEADER_MAX_BYTES)])?;
        let mut words = std::str::from_utf8(&bytes[..end]).ok()?.split(' ').skip(1);
        let width = words.next()?.strip_prefix('W')?.parse().ok()?;
        let height = words.next()?.strip_prefix('H')?.parse().ok()?;
        let frame_rate = words.next()?.strip_prefix('F')?.strip_suffix(":1")?.parse().ok()?;
        let layout = Self::new(VideoFormat::new(width, height, frame_rate)?);
        bytes.starts_with(&layout.prologue).then_some(layout)
    }

    /// The pictures' format.
    #[must_use]
    pub fn format(&self) -> VideoFormat {
        self.format
    }

    /// What comes before the picture: the header and the frame marker.
    #[must_use]
    pub fn prologue(&self) -> &[u8] {
        &self.prologue
    }

    /// The bytes of the header, with its newline and without the frame marker.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        self.prologue.len() - FRAME_MARKER.len()
    }

    /// Where the picture starts.
    #[must_use]
    pub fn picture_offset(&self) -> usize {
        self.prologue.len()
    }

    /// The bytes of the whole file.
    #[must_use]
    pub fn file_bytes(&self) -> usize {
        self.prologue.len() + self.format.i420_bytes()
    }
}

const FRAME_MARKER: &str = "FRAME\n";
/// `kY4MHeaderMaxSize` of Chromium's file_video_capture_device.cc.
const HEADER_MAX_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_fits_and_comes_back() {
        for (width, height, frame_rate) in [(16, 16, 1), (640, 360, 30), (1280, 720, 30), (3840, 2160, 60)] {
            let layout = Layout::new(VideoFormat::new(width, height, frame_rate).expect("in range"));
            assert!(layout.header_bytes() <= HEADER_MAX_BYTES);
            assert_eq!(&layout.prologue()[layout.header_bytes()..], b"FRAME\n");
            let mut file = layout.prologue().to_vec();
            file.resize(layout.file_bytes(), 0x80);
            assert_eq!(Layout::parse(&file), Some(layout));
        }
    }

    #[test]
    fn only_our_own_layout_is_adopted() {
        for text in [
            "",
            "YUV4MPEG2",
            "YUV4MPEG2 W1280 H720 F30:1 Ip A1:1 C420jpeg\n",
            "YUV4MPEG2 W1280 H720 F30:1 Ip A1:1 C420jpeg\nFRAME Ip\n",
            "YUV4MPEG2 W1280 H720 F30000:1001 Ip A1:1 C420jpeg\nFRAME\n",
            "YUV4MPEG2 W1281 H720 F30:1 Ip A1:1 C420jpeg\nFRAME\n",
            "YUV4MPEG2 W+1280 H720 F30:1 Ip A1:1 C420jpeg\nFRAME\n",
            "YUV4MPEG2 H720 W1280 F30:1 Ip A1:1 C420jpeg\nFRAME\n",
            "YUV4MPEG2 W1280 H720 F30:1 It A1:1 C444\nFRAME\n",
            "yuv4mpeg2 W1280 H720 F30:1 Ip A1:1 C420jpeg\nFRAME\n",
        ] {
            assert_eq!(Layout::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_cut_or_flipped_prologue_is_never_taken_for_itself() {
        let layout = Layout::new(VideoFormat::new(1280, 720, 30).expect("in range"));
        for bytes in 0..layout.prologue().len() {
            assert_eq!(Layout::parse(&layout.prologue()[..bytes]), None, "{bytes} bytes");
        }
        for bit in 0..layout.prologue().len() * 8 {
            let mut flipped = layout.prologue().to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Layout::parse(&flipped), Some(layout.clone()), "bit {bit}");
        }
    }
}
