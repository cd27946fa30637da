//! The frames to send, encoded before the run so that sending costs next to nothing.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::BytesMut;
use crosspoint_ffi::av::{H264Encoder, H264Settings, Preset};
use crosspoint_ffi::{I420Mut, MediaTime, VideoFormat};
use crosspoint_router::wire::ts::Muxer;
use tokio::task::yield_now;

use crate::code;

/// A transport stream of H.264, cut into the frames it carries. Frame `n` has the number `n` in its pixels.
#[derive(Clone)]
pub(crate) struct Clip {
    /// The transport packets of each frame; the first brings the tables.
    pub(crate) frames: Vec<BytesMut>,
    /// The same pictures as H.264 alone (Annex B); none of a clip that was loaded.
    pub(crate) pictures: Vec<Arc<[u8]>>,
    /// The time from one frame to the next.
    pub(crate) period: Duration,
}

impl Clip {
    /// Encodes `count` frames, `period` apart. Between two of them others get their turn, an interrupt first.
    ///
    /// # Errors
    /// When FFmpeg has no H.264 encoder.
    pub(crate) async fn encode(format: VideoFormat, bitrate_bps: u32, count: usize, period: Duration) -> Result<Self> {
        let mut encoder = H264Encoder::new(H264Settings { format, bitrate_bps, max_bitrate_bps: bitrate_bps, preset: Preset::Ultrafast })?;
        let mut muxer = Muxer::new(true, false);
        let scenery = Scenery::new(format);
        let mut bytes = vec![0; format.i420_bytes()];
        let (mut frames, mut pictures) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..u32::try_from(count).context("counting frames")? {
            let mut picture = I420Mut::packed(&mut bytes, format.width(), format.height()).context("a picture of the format's size")?;
            scenery.draw(&mut picture, number as usize);
            code::draw(&mut picture, number);
            let pts = MediaTime::from(period * number);
            let key = number.is_multiple_of(format.frame_rate() * KEY_SECONDS);
            let packet = encoder.encode(&picture.as_i420(), pts, Instant::now(), key)?.context("the encoder holds a frame back")?;
            let mut frame = BytesMut::with_capacity(packet.data.len() * 9 / 8 + 1_000);
            ensure!(muxer.write(&packet, &mut frame), "the muxer takes no {:?}", packet.codec);
            frames.push(frame);
            pictures.push(packet.data[..].into());
            yield_now().await;
        }
        Ok(Self { frames, pictures, period })
    }

    /// Writes it to a file, for other processes to send.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut file = BufWriter::new(File::create(path).with_context(|| format!("creating {}", path.display()))?);
        for frame in &self.frames {
            file.write_all(&u32::try_from(frame.len())?.to_le_bytes())?;
            file.write_all(frame)?;
        }
        Ok(file.flush()?)
    }

    /// Reads one that was saved, of frames `period` apart.
    ///
    /// # Errors
    /// When it is no such file.
    pub(crate) fn load(path: &Path, period: Duration) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk() {
            let frame = behind.split_at_checked(u32::from_le_bytes(*length) as usize);
            let (frame, behind) = frame.with_context(|| format!("{} is cut off", path.display()))?;
            frames.push(BytesMut::from(frame));
            rest = behind;
        }
        Ok(Self { frames, pictures: Vec::new(), period })
    }

    /// The bits a second that it came out with.
    pub(crate) fn bitrate_bps(&self) -> f64 {
        let bytes: usize = self.frames.iter().map(BytesMut::len).sum();
        bytes as f64 * 8.0 / (self.period.as_secs_f64() * self.frames.len() as f64)
    }
}

/// Something that looks to a codec like a camera's picture: soft shapes that move, and a sensor's noise, which takes all the bits there are.
struct Scenery {
    /// Luma, twice as wide as the picture.
    luma: Vec<u8>,
    width: usize,
    /// Longer than a line by [`GRAINS`].
    grain: Vec<u8>,
}

impl Scenery {
    fn new(format: VideoFormat) -> Self {
        let (width, height) = (format.width() as usize, format.height() as usize);
        // Hills of several sizes that repeat after one width, so that scrolling has no seam.
        let tone = |x: usize, y: usize| {
            let turn = |waves: f32, position: usize, length: usize| waves * position as f32 / length as f32 * std::f32::consts::TAU;
            let broad = (turn(2.0, x, width) + turn(1.3, y, height)).sin();
            let middle = (turn(11.0, x, width) + 2.0 * turn(3.7, y, height).cos()).sin();
            let fine = (turn(67.0, x, width) + turn(41.0, y, height)).sin() * turn(5.0, x, width).cos();
            (126.0 + 45.0 * broad + 30.0 * middle + 14.0 * fine) as u8
        };
        let luma = (0..height).flat_map(|y| (0..2 * width).map(move |x| tone(x % width, y))).collect();
        let mut state = 1_u32;
        let grain = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) * GRAIN / 256) as u8
        });
        Self { luma, width, grain: grain.take(width + GRAINS).collect() }
    }

    fn draw(&self, picture: &mut I420Mut<'_>, number: usize) {
        let x = number * SCROLL % self.width;
        for (y, line) in self.luma.chunks_exact(2 * self.width).enumerate() {
            let at = (number * 7_919 + y * 104_729) % GRAINS;
            let lit = line[x..].iter().zip(&self.grain[at..]);
            picture.y.row_mut(y, self.width).iter_mut().zip(lit).for_each(|(luma, (tone, grain))| *luma = tone + grain);
        }
        for y in 0..picture.height / 2 {
            // Colours drift slower than shapes.
            let warmth = 96 + (y * 64 / picture.height + number / 4 % 32) as u8;
            picture.u.row_mut(y, self.width / 2).fill(warmth);
            picture.v.row_mut(y, self.width / 2).fill(255 - warmth);
        }
    }
}

/// As a live encoder would have it.
const KEY_SECONDS: u32 = 2;
/// Pixels a frame.
const SCROLL: usize = 3;
/// Levels of noise.
const GRAIN: u32 = 12;
/// Where in the noise a line may begin.
const GRAINS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clip_is_one_frame_a_message_within_its_bitrate() {
        let format = VideoFormat::new(640, 360, 30).unwrap();
        let clip = Clip::encode(format, 1_500_000, 60, Duration::from_nanos(33_333_333)).await.unwrap();
        assert_eq!(clip.frames.len(), 60);
        for frame in &clip.frames {
            assert!(frame.len().is_multiple_of(188) && frame.chunks(188).all(|cell| cell[0] == 0x47), "whole transport packets");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip");
        clip.save(&path).unwrap();
        assert!(Clip::load(&path, clip.period).unwrap().frames == clip.frames);
        fs::write(&path, &fs::read(&path).unwrap()[..100]).unwrap();
        assert!(Clip::load(&path, clip.period).is_err());
        // The buffer's 300 ms may be spent, too.
        assert!((1.4e6..2e6).contains(&clip.bitrate_bps()), "{} bit/s", clip.bitrate_bps());
    }
}
