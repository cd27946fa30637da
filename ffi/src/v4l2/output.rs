//! A device that takes pictures.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::driver::{Call, Driver, Kernel};
use super::pack::Pixels;
use super::sys::{self, Buffer, Capability, Event, EventSubscription, Format, PixFormat, RequestBuffers, StreamParm};
use crate::lend::Pool;
use crate::map::Region;
use crate::{Copied, Error, I420Mut, Remedy, Result, VideoFormat};

/// A device that pictures are written into, streaming.
///
/// Copies: 0 of a picture that was made in one of its buffers ([`Output::publish`]); for others see the table of this room.
#[derive(Debug)]
pub struct Output {
    driver: Box<dyn Driver>,
    pool: Arc<Pool>,
    ring: Ring,
    pixels: Pixels,
    picture_bytes: usize,
    /// Where a picture is drawn that is then packed otherwise.
    planes: Vec<u8>,
    has_events: bool,
    copied: Copied,
    healed: u64,
}

/// How pictures get into the device.
#[derive(Debug)]
enum Ring {
    /// The pool's slots are its buffers, at these offsets.
    Mapped(Vec<u64>),
    /// It copies what is written.
    Written,
}

impl Output {
    /// Opens the device node at `path` and streams black into it, if possible of `wanted`.
    ///
    /// # Errors
    /// In words, when there is no such device, it is no output, another process writes it, or we may not. All of these may pass.
    pub fn open(path: &Path, wanted: VideoFormat) -> Result<Self> {
        let driver = Kernel::open(path).map_err(|errno| fail("opening the camera device", errno))?;
        Self::start(Box::new(driver), wanted)
    }

    /// The same of a device that is open.
    ///
    /// # Errors
    /// As [`Output::open`].
    pub fn start(driver: Box<dyn Driver>, wanted: VideoFormat) -> Result<Self> {
        flock(driver.file(), FlockOperation::NonBlockingLockExclusive).map_err(|errno| fail("locking the camera device", errno))?;
        check_output(&*driver)?;
        let (pixels, format) = set_format(&*driver, wanted)?;
        // A device that keeps no rate takes pictures all the same.
        let _ = driver.call(Call::SetRate(&mut StreamParm::output(wanted.frame_rate())));
        let picture_bytes = pixels.bytes(format.width() as usize * format.height() as usize);
        let slot_bytes = picture_bytes.max(format.i420_bytes());
        let (ring, region, usable) = match map(&*driver, slot_bytes)? {
            Some((offsets, region, usable)) => (Ring::Mapped(offsets), region, usable),
            None => (Ring::Written, Region::new(BUFFERS as usize, slot_bytes)?, BUFFERS as usize),
        };
        let pool = Arc::new(Pool::new(region, format));
        pool.shrink(usable);
        driver.call(Call::StreamOn).map_err(|errno| fail("starting the camera device", errno))?;
        let subscription = &mut EventSubscription { kind: sys::CLIENT_USAGE, flags: sys::SEND_INITIAL, ..Default::default() };
        let has_events = driver.call(Call::Subscribe(subscription)).is_ok();
        let planes = if pixels == Pixels::Yu12 { Vec::new() } else { vec![0; format.i420_bytes()] };
        let copied = Copied::default();
        let mut output = Self { driver, pool, ring, pixels, picture_bytes, planes, has_events, copied, healed: 0 };
        output.blacken()?;
        Ok(output)
    }

    /// Looks after the readers: notices a ring that one of them shrank, and lets those go on that another one stopped. To be called before
    /// each picture. Says whether there was anything to heal.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the device is gone.
    pub fn heal(&mut self) -> Result<bool> {
        let Ring::Mapped(offsets) = &self.ring else { return Ok(false) };
        let (usable, is_mapped) = look(&*self.driver, offsets)?;
        let shrunk = usable < self.pool.usable();
        if shrunk {
            self.pool.shrink(usable);
        }
        if !is_mapped {
            for offset in offsets {
                self.driver.touch(*offset).map_err(|errno| fail("mapping the camera device", errno))?;
            }
        }
        self.healed += u64::from(shrunk || !is_mapped);
        Ok(shrunk || !is_mapped)
    }

    /// Shows readers the slot `index` of the pool.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the device is gone, [`Remedy::Drop`] when it takes nothing now.
    pub fn publish(&mut self, index: usize) -> Result<()> {
        // Before the device has it, so that nobody is lent what a reader may already look at.
        self.pool.publish(index);
        match &self.ring {
            Ring::Mapped(_) => {
                let mut buffer = Buffer::output(index as u32);
                buffer.bytes_used = self.picture_bytes as u32;
                self.driver.call(Call::Queue(&mut buffer)).map_err(|errno| fail("showing a picture", errno))
            }
            Ring::Written => {
                let picture = &self.pool.published(index)[..self.picture_bytes];
                match self.driver.write(picture) {
                    Ok(written) if written == picture.len() => self.copied.count(written),
                    Ok(written) => {
                        let detail = format!("the device took {written} of {} bytes", picture.len());
                        return Err(Error::new("writing a picture", Remedy::Rebuild, detail));
                    }
                    Err(errno) => return Err(fail("writing a picture", errno)),
                }
                Ok(())
            }
        }
    }

    /// Shows readers what `paint` puts on a canvas.
    ///
    /// # Errors
    /// As [`Output::publish`]; what `paint` says; [`Remedy::Drop`] when decoders hold every slot.
    pub fn draw(&mut self, paint: impl FnOnce(&mut I420Mut<'_>) -> Result<()>) -> Result<()> {
        let format = self.pool.format();
        let lease = self.pool.take();
        let mut lease =
            lease.ok_or_else(|| Error::new("drawing a picture", Remedy::Drop, "the decoder holds every buffer of the device"))?;
        let canvas = |planes| I420Mut::packed(planes, format.width(), format.height()).expect("sized by the format");
        if self.pixels == Pixels::Yu12 {
            paint(&mut canvas(lease.as_mut_slice()))?;
        } else {
            let mut canvas = canvas(&mut self.planes[..]);
            paint(&mut canvas)?;
            self.pixels.pack(&canvas.as_i420(), &mut lease.as_mut_slice()[..self.picture_bytes]);
            self.copied.count(self.picture_bytes);
        }
        self.publish(lease.index())
    }

    /// Shows readers black, which is no copy of a picture.
    ///
    /// # Errors
    /// As [`Output::draw`].
    pub fn blacken(&mut self) -> Result<()> {
        let copied = self.copied;
        let shown = self.draw(|canvas| {
            canvas.fill_black();
            Ok(())
        });
        self.copied = copied;
        shown
    }

    /// Shows readers the newest picture once more, which is not counted again.
    ///
    /// # Errors
    /// As [`Output::publish`].
    pub fn repeat(&mut self) -> Result<()> {
        let copied = self.copied;
        let shown = self.pool.newest().map_or(Ok(()), |index| self.publish(index));
        self.copied = copied;
        shown
    }

    /// Whether a reader is streaming, when that changed and the device tells it.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the device is gone.
    pub fn usage(&self) -> Result<Option<bool>> {
        let (mut usage, mut event) = (None, Event::default());
        if !self.has_events {
            return Ok(None);
        }
        loop {
            match self.driver.call(Call::NextEvent(&mut event)) {
                Ok(()) if event.kind == sys::CLIENT_USAGE => usage = Some(event.data[0] > 0),
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::NOENT) => return Ok(usage),
                Err(errno) => return Err(fail("asking who reads the camera device", errno)),
            }
        }
    }

    /// Whether [`Output::usage`] will ever tell anything; its file then has priority data when it does.
    #[must_use]
    pub fn has_usage(&self) -> bool {
        self.has_events
    }

    /// The slots to make pictures in, unless the device insists on another layout.
    #[must_use]
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        (self.pixels == Pixels::Yu12).then_some(&self.pool)
    }

    /// What the device shows.
    #[must_use]
    pub fn format(&self) -> VideoFormat {
        self.pool.format()
    }

    /// The device's file, to wait for and to watch.
    #[must_use]
    pub fn file(&self) -> &File {
        self.driver.file()
    }

    /// The passes over pictures in here so far, each picture counted once.
    #[must_use]
    pub fn copied(&self) -> Copied {
        self.copied
    }

    /// The buffers that can be shown, and whether they are mapped.
    #[must_use]
    pub fn buffers(&self) -> (usize, bool) {
        (self.pool.usable(), matches!(self.ring, Ring::Mapped(_)))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = self.driver.call(Call::StreamOff);
        // The file stays open while anybody holds a slot, and with it the lock would.
        let _ = flock(self.driver.file(), FlockOperation::Unlock);
    }
}

/// Whether the driver is v4l2loopback.
pub(super) fn is_loopback(capability: &Capability) -> bool {
    capability.driver.starts_with(b"v4l2 loopback\0")
}

fn check_output(driver: &dyn Driver) -> Result<()> {
    const DOING: &str = "looking at the camera device";
    let mut capability = Capability::default();
    driver.call(Call::QueryCapability(&mut capability)).map_err(|errno| match errno {
        Errno::NOTTY => Error::new(DOING, Remedy::Retry, "it is no video device"),
        _ => fail(DOING, errno),
    })?;
    let own = capability.capabilities & sys::CAP_DEVICE_CAPS != 0;
    let able = if own { capability.device_caps } else { capability.capabilities };
    if able & sys::CAP_OUTPUT != 0 {
        return Ok(());
    }
    if is_loopback(&capability) && able & sys::CAP_CAPTURE == 0 {
        // A writer that never streamed, like ffmpeg, leaves it neither output nor camera. The end of one that did makes it an output, and
        // that is we, though this call fails.
        let _ = driver.call(Call::StreamOn);
        return Err(Error::new(DOING, Remedy::Retry, "its last writer left it dead; it is being brought back"));
    }
    if is_loopback(&capability) {
        // It takes one writer at a time (`exclusive_caps=1`).
        return Err(Error::new(DOING, Remedy::Retry, "another program is writing it"));
    }
    let name = capability.driver.split(|&byte| byte == 0).next().unwrap_or_default();
    let detail = format!("its driver, {}, takes no pictures: v4l2loopback does", String::from_utf8_lossy(name));
    Err(Error::new(DOING, Remedy::Retry, detail))
}

/// Asks for planar pictures of `wanted`, and says what the device really has.
fn set_format(driver: &dyn Driver, wanted: VideoFormat) -> Result<(Pixels, VideoFormat)> {
    const DOING: &str = "setting the camera device's format";
    let mut format = Format::output(PixFormat {
        width: wanted.width(),
        height: wanted.height(),
        pixel_format: sys::YU12,
        field: sys::FIELD_NONE,
        bytes_per_line: wanted.width(),
        size_image: wanted.i420_bytes() as u32,
        color_space: sys::SMPTE170M,
        ..PixFormat::default()
    });
    driver.call(Call::SetFormat(&mut format)).map_err(|errno| fail(DOING, errno))?;
    let PixFormat { width, height, pixel_format, .. } = format.pix;
    let pixels = Pixels::of(pixel_format);
    let kept = pixels.zip(VideoFormat::new(width, height, wanted.frame_rate()));
    kept.ok_or_else(|| {
        let letters = pixel_format.to_le_bytes();
        let detail = format!("it keeps {width}x{height} {}, which is not written here", String::from_utf8_lossy(&letters));
        Error::new(DOING, Remedy::Retry, detail)
    })
}

/// Maps the device's buffers: their offsets, the region that they lie over, and how many can be shown. Nothing when it refuses.
fn map(driver: &dyn Driver, slot_bytes: usize) -> Result<Option<(Vec<u64>, Region, usize)>> {
    const DOING: &str = "mapping the camera device";
    let mut request = RequestBuffers { count: BUFFERS, kind: sys::OUTPUT, memory: sys::MMAP, ..Default::default() };
    match driver.call(Call::RequestBuffers(&mut request)) {
        Ok(()) if request.count > 1 => {}
        // One buffer cannot be written while it is read.
        Ok(()) | Err(Errno::INVAL | Errno::NOTTY | Errno::OPNOTSUPP) => return Ok(None),
        Err(errno) => return Err(fail(DOING, errno)),
    }
    let count = request.count.min(BUFFERS) as usize;
    let first = query(driver, 0)?;
    let length = first.length as usize;
    if length < slot_bytes {
        return Err(Error::new(DOING, Remedy::Retry, format!("its buffers have {length} bytes, and a picture has {slot_bytes}")));
    }
    // What a shrunk ring says of buffers beyond its end is not true; v4l2loopback's lie one after the other.
    let offsets: Vec<u64> = (0..count as u64).map(|index| first.offset + index * length as u64).collect();
    let mut region = Region::new(count, length)?;
    for (slot, &offset) in offsets.iter().enumerate() {
        match driver.map(&mut region, slot, offset) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NODEV | Errno::ACCESS) => return Ok(None),
            Err(errno) => return Err(fail(DOING, errno)),
        }
    }
    let (usable, _) = look(driver, &offsets)?;
    Ok(Some((offsets, region, usable)))
}

/// How many buffers can be shown, and whether readers may take each of them.
fn look(driver: &dyn Driver, offsets: &[u64]) -> Result<(usize, bool)> {
    let mut is_mapped = true;
    for (index, &offset) in offsets.iter().enumerate() {
        let buffer = query(driver, index)?;
        if buffer.offset & u64::from(u32::MAX) != offset {
            // The ring begins anew here.
            return Ok((index, is_mapped));
        }
        is_mapped &= buffer.flags & sys::FLAG_MAPPED != 0;
    }
    Ok((offsets.len(), is_mapped))
}

fn query(driver: &dyn Driver, index: usize) -> Result<Buffer> {
    let mut buffer = Buffer::output(index as u32);
    driver.call(Call::QueryBuffer(&mut buffer)).map_err(|errno| fail("looking at the camera device's buffers", errno))?;
    // Only half of the union is the offset.
    buffer.offset &= u64::from(u32::MAX);
    Ok(buffer)
}

/// What the device said, in words for whoever has to do something about it.
fn fail(doing: &'static str, errno: Errno) -> Error {
    let (remedy, detail) = match errno {
        Errno::ACCESS | Errno::PERM => (Remedy::Retry, "not allowed: who runs crosspoint must be in the device's group, mostly video"),
        Errno::AGAIN => (Remedy::Drop, "another process is writing it"),
        Errno::BUSY => (Remedy::Retry, "it is busy: other programs use it"),
        Errno::NOENT => (Remedy::Retry, "there is no such device: is v4l2loopback loaded?"),
        Errno::NODEV | Errno::NXIO => (Remedy::Rebuild, "the device is gone"),
        Errno::NOMEM => (Remedy::Retry, "the kernel has no memory for its buffers"),
        other => return Error::system(doing, Remedy::Rebuild, other),
    };
    Error::new(doing, remedy, detail)
}

/// The buffers that are asked for: as many as Chromium asks for, so that its coming changes nothing.
const BUFFERS: u32 = 4;

#[cfg(test)]
mod tests;
