//! A twin of a v4l2loopback device in this process, for tests: what 0.12.7 does, in memory, with errors to order.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;

use super::driver::{Call, Driver};
use super::sys::{self, PixFormat};
use crate::map::Region;

/// A handle to the twin: the writer's [`Driver`] and, in the test's hands, everybody else.
#[derive(Clone, Debug)]
pub struct Fake {
    memory: Arc<File>,
    state: Arc<Mutex<State>>,
}

/// What the twin does, to be changed by a test.
#[derive(Debug)]
pub struct State {
    /// Errors by the call's name ([`name`]).
    pub errors: HashMap<&'static str, Errno>,
    /// What it can do.
    pub able: u32,
    /// The driver's name.
    pub driver: &'static [u8],
    /// The format that it keeps, whatever is asked.
    pub kept: Option<PixFormat>,
    /// Readers streaming, as the event tells; nothing when the module has no such event.
    pub usage: Option<u32>,
    /// What it has memory for.
    pub buffers: u32,
    /// Whether it is being streamed into.
    pub is_streaming: bool,
    /// What was shown: each picture's buffer and its bytes at that moment.
    pub shown: Vec<(usize, Vec<u8>)>,
    /// Which buffers readers may take.
    pub mapped: Vec<bool>,
    buffer_bytes: usize,
    used: u32,
    told: Option<u32>,
}

impl Fake {
    /// Makes a device with memory for so many buffers.
    ///
    /// # Panics
    /// When the process has no file descriptor left.
    #[must_use]
    pub fn new(buffers: u32) -> Self {
        let memory = rustix::fs::memfd_create("v4l2", MemfdFlags::CLOEXEC).expect("a descriptor");
        let state = State {
            errors: HashMap::new(),
            able: sys::CAP_OUTPUT,
            driver: b"v4l2 loopback\0",
            kept: None,
            usage: None,
            buffers,
            is_streaming: false,
            shown: Vec::new(),
            mapped: vec![false; buffers as usize],
            buffer_bytes: 0,
            used: buffers,
            told: None,
        };
        Self { memory: Arc::new(memory.into()), state: Arc::new(Mutex::new(state)) }
    }

    /// The twin's state.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader asks for so many buffers, as anybody may.
    pub fn ask_as_reader(&self, count: u32) {
        self.state().request(count);
    }

    /// Has a call fail from now on, or no more.
    pub fn fail(&self, call: &'static str, errno: Option<Errno>) {
        match errno {
            Some(errno) => self.state().errors.insert(call, errno),
            None => self.state().errors.remove(call),
        };
    }
}

impl State {
    fn request(&mut self, count: u32) -> u32 {
        self.mapped.fill(false);
        let count = count.min(self.buffers);
        self.used = self.used.min(count);
        count
    }
}

impl Driver for Fake {
    fn call(&self, call: Call<'_>) -> Result<(), Errno> {
        let mut state = self.state();
        if let Some(errno) = state.errors.get(name(&call)) {
            return Err(*errno);
        }
        match call {
            Call::NextEvent(event) => {
                let usage = state.usage.filter(|_| state.told != state.usage).ok_or(Errno::NOENT)?;
                state.told = state.usage;
                event.kind = sys::CLIENT_USAGE;
                event.data[0] = usage;
            }
            Call::Queue(buffer) => {
                let index = (buffer.index % state.used) as usize;
                let (from, bytes) = (index * state.buffer_bytes, buffer.bytes_used as usize);
                let mut picture = vec![0; bytes];
                std::os::unix::fs::FileExt::read_exact_at(&*self.memory, &mut picture, from as u64).map_err(|_| Errno::IO)?;
                state.shown.push((index, picture));
            }
            Call::QueryBuffer(buffer) => {
                let index = buffer.index % state.used;
                buffer.offset = u64::from(index) * state.buffer_bytes as u64;
                buffer.length = state.buffer_bytes as u32;
                buffer.flags = if state.mapped[index as usize] { sys::FLAG_MAPPED } else { 0 };
            }
            Call::QueryCapability(capability) => {
                capability.driver[..state.driver.len()].copy_from_slice(state.driver);
                (capability.capabilities, capability.device_caps) = (sys::CAP_DEVICE_CAPS | state.able, state.able);
            }
            Call::RequestBuffers(request) => request.count = state.request(request.count),
            Call::SetFormat(format) => {
                format.pix = state.kept.unwrap_or(format.pix);
                let luma = (format.pix.width * format.pix.height) as usize;
                let bytes = super::pack::Pixels::of(format.pix.pixel_format).map_or(luma, |pixels| pixels.bytes(luma));
                state.buffer_bytes = bytes.next_multiple_of(4_096);
                let all = state.buffer_bytes as u64 * u64::from(state.buffers);
                self.memory.set_len(all).map_err(|_| Errno::NOMEM)?;
            }
            Call::SetRate(_) => {}
            Call::StreamOff => state.is_streaming = false,
            Call::StreamOn => state.is_streaming = true,
            Call::Subscribe(_) => return state.usage.map(drop).ok_or(Errno::INVAL),
        }
        Ok(())
    }

    fn write(&self, picture: &[u8]) -> Result<usize, Errno> {
        let mut state = self.state();
        if let Some(errno) = state.errors.get("write") {
            return Err(*errno);
        }
        state.shown.push((0, picture.to_vec()));
        Ok(picture.len())
    }

    fn file(&self) -> &File {
        &self.memory
    }

    fn map(&self, region: &mut Region, slot: usize, offset: u64) -> Result<(), Errno> {
        self.touch(offset)?;
        region.overlay(slot, std::os::fd::AsFd::as_fd(&*self.memory), offset)
    }

    fn touch(&self, offset: u64) -> Result<(), Errno> {
        let mut state = self.state();
        if let Some(errno) = state.errors.get("mmap") {
            return Err(*errno);
        }
        let index = offset as usize / state.buffer_bytes;
        state.mapped[index] = true;
        Ok(())
    }
}

/// A call's name, as `videodev2.h` has it; `write` and `mmap` are the other two.
#[must_use]
pub fn name(call: &Call<'_>) -> &'static str {
    match call {
        Call::NextEvent(_) => "DQEVENT",
        Call::Queue(_) => "QBUF",
        Call::QueryBuffer(_) => "QUERYBUF",
        Call::QueryCapability(_) => "QUERYCAP",
        Call::RequestBuffers(_) => "REQBUFS",
        Call::SetFormat(_) => "S_FMT",
        Call::SetRate(_) => "S_PARM",
        Call::StreamOff => "STREAMOFF",
        Call::StreamOn => "STREAMON",
        Call::Subscribe(_) => "SUBSCRIBE_EVENT",
    }
}
