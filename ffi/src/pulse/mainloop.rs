//! The library's main loop, owned and run by us, and the way to wake it from another thread.

use std::cell::RefCell;
use std::ffi::c_void;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use libpulse_sys as pa;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{read, write};

use crate::{Error, Remedy, Result};

/// Ends the wait of [`Connection::iterate`](super::Connection::iterate) from any thread.
///
/// It may outlive the connection; then it does nothing.
#[derive(Clone)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Makes the running `iterate`, or else the next one, return soon.
    pub fn wake(&self) {
        // The one error of a non-blocking eventfd is a full counter, and then it is readable already.
        let _ = write(&self.0, &1_u64.to_ne_bytes());
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waker({})", self.0.as_raw_fd())
    }
}

/// The owner of a `pa_mainloop` and of the descriptors it watches for us.
pub(super) struct Mainloop {
    raw: NonNull<pa::pa_mainloop>,
    api: NonNull<pa::pa_mainloop_api>,
    wake: Arc<OwnedFd>,
    watched: RefCell<Vec<Watched>>,
}

/// An I/O event and our own duplicate of its descriptor, so that nobody can close it while it is watched.
struct Watched {
    event: NonNull<pa::pa_io_event>,
    _fd: OwnedFd,
}

impl Mainloop {
    pub(super) fn new() -> Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|cause| Error::system("making a waker for sound", Remedy::Retry, cause))?;
        // SAFETY: takes nothing; null is checked next.
        let raw = unsafe { pa::pa_mainloop_new() };
        let raw = NonNull::new(raw).ok_or_else(|| Error::new(MAKING, Remedy::Retry, "out of memory or descriptors"))?;
        // SAFETY: `raw` is a live main loop; the table it returns is part of it and lives as long.
        let api = unsafe { pa::pa_mainloop_get_api(raw.as_ptr()) };
        let api = NonNull::new(api.cast_mut()).expect("the table is a field of the loop");
        let mainloop = Self { raw, api, wake: Arc::new(wake), watched: RefCell::default() };
        mainloop.add(&mainloop.wake, drain)?;
        Ok(mainloop)
    }

    /// Lets the loop return when `fd` is readable. Reading it is the caller's: until then every iteration returns at once.
    pub(super) fn watch(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.add(fd, leave)
    }

    /// Waits until something happens or `timeout` is over, and runs the callbacks of what happened.
    pub(super) fn iterate(&self, timeout: Option<Duration>) -> Result<()> {
        let timeout_us = timeout.map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000)).unwrap_or(i32::MAX));
        // SAFETY: `raw` lives as long as `self`. The loop is not within an iteration: callbacks, the only code that runs inside one,
        // never call this.
        let prepared = unsafe { pa::pa_mainloop_prepare(self.raw.as_ptr(), timeout_us) };
        if prepared < 0 {
            return Err(stopped("prepare"));
        }
        // SAFETY: as above, and prepared just now, which is the state this function wants.
        let polled = unsafe { pa::pa_mainloop_poll(self.raw.as_ptr()) };
        if polled < 0 {
            return Err(stopped("poll"));
        }
        // SAFETY: as above, and polled just now, which is the state this function wants.
        let dispatched = unsafe { pa::pa_mainloop_dispatch(self.raw.as_ptr()) };
        if dispatched < 0 { Err(stopped("dispatch")) } else { Ok(()) }
    }

    pub(super) fn api(&self) -> *const pa::pa_mainloop_api {
        self.api.as_ptr()
    }

    pub(super) fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    fn add(&self, fd: impl AsFd, callback: IoCallback) -> Result<()> {
        let fd = fd.as_fd().try_clone_to_owned().map_err(|cause| Error::system("watching a descriptor", Remedy::Retry, cause))?;
        // SAFETY: the table is a field of the live main loop.
        let io_new = unsafe { (*self.api.as_ptr()).io_new }.expect("every table has it");
        let event = io_new(self.api(), fd.as_raw_fd(), pa::PA_IO_EVENT_INPUT, Some(callback), ptr::null_mut());
        let event = NonNull::new(event).ok_or_else(|| Error::new("watching a descriptor", Remedy::Retry, "refused"))?;
        self.watched.borrow_mut().push(Watched { event, _fd: fd });
        Ok(())
    }
}

impl Drop for Mainloop {
    fn drop(&mut self) {
        // SAFETY: the table is a field of the main loop, which is freed only below.
        let io_free = unsafe { (*self.api.as_ptr()).io_free };
        if let Some(io_free) = io_free {
            self.watched.borrow_mut().drain(..).for_each(|watched| io_free(watched.event.as_ptr()));
        }
        // SAFETY: made by `pa_mainloop_new` and freed nowhere else; the context made on it is gone, since `Link` drops it first.
        unsafe { pa::pa_mainloop_free(self.raw.as_ptr()) }
    }
}

type IoCallback = extern "C" fn(*const pa::pa_mainloop_api, *mut pa::pa_io_event, i32, pa::pa_io_event_flags_t, *mut c_void);

extern "C" fn drain(_: *const pa::pa_mainloop_api, _: *mut pa::pa_io_event, fd: i32, _: pa::pa_io_event_flags_t, _: *mut c_void) {
    // SAFETY: the library passes the descriptor of the event, which `Watched` keeps open for as long as the event exists.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    // An error means that it was not readable after all.
    let _ = read(fd, &mut [0; 8]);
}

extern "C" fn leave(_: *const pa::pa_mainloop_api, _: *mut pa::pa_io_event, _: i32, _: pa::pa_io_event_flags_t, _: *mut c_void) {}

fn stopped(step: &str) -> Error {
    Error::new("running the sound loop", Remedy::Rebuild, format!("{step} was refused"))
}

const MAKING: &str = "making the sound loop";
