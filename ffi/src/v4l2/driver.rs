//! The calls of a V4L2 device: the kernel's, or those of a [twin](super::fake) in this process.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use memmap2::MmapOptions;
use rustix::io::Errno;

use crate::map::Region;

use super::sys::{self, Buffer, Capability, Event, EventSubscription, Format, RequestBuffers, StreamParm};

/// A call and its argument, which is also its answer.
#[derive(Debug)]
pub enum Call<'a> {
    /// `VIDIOC_DQEVENT`
    NextEvent(&'a mut Event),
    /// `VIDIOC_QBUF`
    Queue(&'a mut Buffer),
    /// `VIDIOC_QUERYBUF`
    QueryBuffer(&'a mut Buffer),
    /// `VIDIOC_QUERYCAP`
    QueryCapability(&'a mut Capability),
    /// `VIDIOC_REQBUFS`
    RequestBuffers(&'a mut RequestBuffers),
    /// `VIDIOC_S_FMT`
    SetFormat(&'a mut Format),
    /// `VIDIOC_S_PARM`
    SetRate(&'a mut StreamParm),
    /// `VIDIOC_STREAMOFF`, of the output
    StreamOff,
    /// `VIDIOC_STREAMON`, of the output
    StreamOn,
    /// `VIDIOC_SUBSCRIBE_EVENT`
    Subscribe(&'a mut EventSubscription),
}

/// A device that was opened.
pub trait Driver: Debug + Send {
    /// Makes a call, which does not block.
    ///
    /// # Errors
    /// What the device says.
    fn call(&self, call: Call<'_>) -> Result<(), Errno>;

    /// Writes a picture, which the device copies; says how many bytes it took.
    ///
    /// # Errors
    /// What the device says.
    fn write(&self, picture: &[u8]) -> Result<usize, Errno>;

    /// What is mapped, waited for, locked and watched.
    fn file(&self) -> &File;

    /// Lays the buffer at `offset` over a slot.
    ///
    /// # Errors
    /// What `mmap(2)` says.
    fn map(&self, region: &mut Region, slot: usize, offset: u64) -> Result<(), Errno> {
        region.overlay(slot, self.file().as_fd(), offset)
    }

    /// Maps a page of the buffer at `offset` and lets it go, which is how v4l2loopback takes note that a buffer is mapped.
    ///
    /// # Errors
    /// What `mmap(2)` says.
    fn touch(&self, offset: u64) -> Result<(), Errno> {
        let touched = MmapOptions::new().offset(offset).len(1).map_raw(self.file());
        touched.map(drop).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

/// A device of the kernel's.
#[derive(Debug)]
pub struct Kernel(File);

impl Kernel {
    /// Opens the device node at `path`.
    ///
    /// # Errors
    /// What `open(2)` says.
    pub fn open(path: &Path) -> Result<Self, Errno> {
        let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path);
        opened.map(Self).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// # Safety
    /// `argument` is of the type that `request` has in its number, and valid to read and write.
    unsafe fn ioctl(&self, request: u32, argument: *mut libc::c_void) -> Result<(), Errno> {
        loop {
            // SAFETY: the descriptor is open as long as `self`, and the argument is as the caller promises.
            let result = unsafe { libc::ioctl(self.0.as_raw_fd(), libc::c_ulong::from(request), argument) };
            if result >= 0 {
                return Ok(());
            }
            match Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO) {
                Errno::INTR => {}
                errno => return Err(errno),
            }
        }
    }
}

impl Driver for Kernel {
    fn call(&self, call: Call<'_>) -> Result<(), Errno> {
        let mut output = sys::OUTPUT;
        let (request, argument): (u32, *mut libc::c_void) = match call {
            Call::NextEvent(event) => (sys::DQEVENT, (&raw mut *event).cast()),
            Call::Queue(buffer) => (sys::QBUF, (&raw mut *buffer).cast()),
            Call::QueryBuffer(buffer) => (sys::QUERYBUF, (&raw mut *buffer).cast()),
            Call::QueryCapability(capability) => (sys::QUERYCAP, (&raw mut *capability).cast()),
            Call::RequestBuffers(request) => (sys::REQBUFS, (&raw mut *request).cast()),
            Call::SetFormat(format) => (sys::S_FMT, (&raw mut *format).cast()),
            Call::SetRate(rate) => (sys::S_PARM, (&raw mut *rate).cast()),
            Call::StreamOff => (sys::STREAMOFF, (&raw mut output).cast()),
            Call::StreamOn => (sys::STREAMON, (&raw mut output).cast()),
            Call::Subscribe(subscription) => (sys::SUBSCRIBE_EVENT, (&raw mut *subscription).cast()),
        };
        // SAFETY: each pointer comes from an exclusive borrow of the very type whose size is in the number beside it (`sys`).
        unsafe { self.ioctl(request, argument) }
    }

    fn write(&self, picture: &[u8]) -> Result<usize, Errno> {
        rustix::io::write(&self.0, picture)
    }

    fn file(&self) -> &File {
        &self.0
    }
}
