//! A connection to an X server whose loss is an error, not the end of the process.

use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_int, c_void};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use x11::xlib;

use super::sys;
use crate::{Error, Remedy, Result};

/// A connection to an X server.
///
/// Xlib ends the process when a connection breaks. Here the break is remembered, every later call answers an error with
/// [`Remedy::Rebuild`], and Xlib is asked for nothing more but to free its memory.
///
/// Xlib's error handlers are one per process: the first [`Display::open`] installs handlers that record and return.
#[derive(Debug)]
pub struct Display {
    /// From `XOpenDisplay`; closed by `Drop` and nowhere else.
    connection: NonNull<xlib::Display>,
    /// Set by [`connection_lost`], which Xlib holds a pointer to it for; outlives `connection` by the order in `Drop`.
    lost: Arc<AtomicBool>,
}

// SAFETY: Xlib ties a connection to no thread, only forbids two threads inside one at once (and even that is lifted by XInitThreads,
// called before the first open). A `Display` has one owner and is not `Sync`, so one thread at a time uses it.
unsafe impl Send for Display {}

/// An X protocol error, as the server sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    display: *mut xlib::Display,
    code: u8,
    request: u8,
    minor: u8,
}

impl Display {
    /// Connects to `name` (`:0`, `host:0.1`), or to `$DISPLAY` without one.
    ///
    /// # Errors
    /// [`Remedy::Retry`] when the server does not answer, refuses, or dies meanwhile; [`Remedy::Report`] when there is no name to connect to.
    pub fn open(name: Option<&str>) -> Result<Self> {
        const DOING: &str = "opening the display";
        let name = match name {
            Some(name) => name.to_owned(),
            None => std::env::var("DISPLAY").map_err(|_| Error::new(DOING, Remedy::Report, "no display named and $DISPLAY not set"))?,
        };
        let c_name = CString::new(name.as_str()).map_err(|_| Error::new(DOING, Remedy::Report, "a NUL in the display's name"))?;
        install_handlers();
        // A connection that breaks while XOpenDisplay runs has no exit handler yet, and Xlib would end the process. Our I/O error
        // handler cannot return then; on a thread of its own it need not (see `io_error`). It also bounds the wait for a hung server.
        let (opened, outcome) = mpsc::sync_channel(1);
        let opener = move || {
            OPENING.set(Some(opened.clone()));
            let display = connect(&c_name);
            OPENING.take();
            // Nobody waits any more: the display is closed by being dropped.
            drop(opened.send(display));
        };
        thread::Builder::new().name("x11-open".to_owned()).spawn(opener).map_err(|error| Error::system(DOING, Remedy::Retry, error))?;
        match outcome.recv_timeout(OPEN_TIMEOUT) {
            Ok(Some(display)) => Ok(display),
            Ok(None) => Err(Error::new(DOING, Remedy::Retry, format!("no X server answers at {name:?}, or it refuses us"))),
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::new(DOING, Remedy::Retry, format!("the X server at {name:?} took the connection but does not answer")))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Error::new(DOING, Remedy::Retry, "the opening thread ended early")),
        }
    }

    /// Xlib's handle, for calls that follow a [`Display::check`] with no other call in between that could break the connection.
    pub(super) fn raw(&self) -> *mut xlib::Display {
        self.connection.as_ptr()
    }

    /// Fails when the connection is lost. Once it is, no request may be made: Xlib then never empties its request buffer, and answers
    /// a full one with a null pointer that it writes through.
    pub(super) fn check(&self, doing: &'static str) -> Result<()> {
        // Relaxed: set on this thread, from inside an Xlib call.
        if self.lost.load(Ordering::Relaxed) {
            return Err(Error::new(doing, Remedy::Rebuild, "the X server is gone"));
        }
        Ok(())
    }

    /// Waits until the server has done all that was asked, and fails with what it refused.
    pub(super) fn sync(&self, doing: &'static str) -> Result<()> {
        self.check(doing)?;
        // SAFETY: open and not lost, by the check above.
        unsafe { xlib::XSync(self.raw(), xlib::False) };
        self.check(doing)?;
        self.take_fault().map_or(Ok(()), |fault| Err(fault.into_error(doing)))
    }

    /// The error for a call that answered failure: lost, refused by a protocol error, or refused without one.
    pub(super) fn refusal(&self, doing: &'static str) -> Error {
        if let Err(lost) = self.check(doing) {
            return lost;
        }
        self.take_fault().map_or_else(|| Error::new(doing, Remedy::Retry, "refused by the X server"), |fault| fault.into_error(doing))
    }

    /// The last protocol error on this connection, once.
    pub(super) fn take_fault(&self) -> Option<Fault> {
        FAULT.take().filter(|fault| fault.display == self.raw())
    }
}

impl Fault {
    fn into_error(self, doing: &'static str) -> Error {
        let Self { code, request, minor, .. } = self;
        Error::new(doing, Remedy::Retry, format!("X error {code} for request {request}.{minor}"))
    }
}

impl AsFd for Display {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: a field read from the open connection; asks nothing of the server, so a lost connection is fine.
        let fd: RawFd = unsafe { xlib::XConnectionNumber(self.raw()) };
        // SAFETY: XCB keeps the socket open until XCloseDisplay, even after an error, and only `Drop` calls that; the borrow ends before.
        unsafe { BorrowedFd::borrow_raw(fd) }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // SAFETY: from XOpenDisplay, not closed before: `Drop` runs once. On a lost connection Xlib (1.7 and later) skips every wait and
        // send; the few requests XCloseDisplay makes (tens of bytes) fit the 16 KiB buffer, which was nearly empty as each of our calls
        // ends in a flush or a reply, and after a loss none is made. `lost`, which the exit handler may still set, is dropped after this.
        unsafe { xlib::XCloseDisplay(self.raw()) };
    }
}

/// Opens the connection and makes its loss harmless.
fn connect(name: &CString) -> Option<Display> {
    // SAFETY: a NUL-terminated name that lives through the call.
    let connection = NonNull::new(unsafe { xlib::XOpenDisplay(name.as_ptr()) })?;
    let lost = Arc::new(AtomicBool::new(false));
    let data = Arc::as_ptr(&lost).cast::<c_void>().cast_mut();
    // SAFETY: just opened, and used by this thread alone. The handler gets `data`, which stays in place inside the Arc until after
    // XCloseDisplay, and which is only ever used as the shared reference to an atomic that it is.
    unsafe { sys::set_io_error_exit_handler(connection.as_ptr(), Some(connection_lost), data) };
    Some(Display { connection, lost })
}

fn install_handlers() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: the first Xlib call of this crate, as XInitThreads wants; a no-op where libX11 did it on loading.
        unsafe { xlib::XInitThreads() };
        // SAFETY: a static function of the type Xlib asks for; it neither calls Xlib nor unwinds.
        unsafe { xlib::XSetErrorHandler(Some(protocol_error)) };
        // SAFETY: as above. Xlib allows this handler to return since 1.7, when an exit handler that returns is set.
        unsafe { xlib::XSetIOErrorHandler(Some(io_error)) };
    });
}

/// Xlib calls it, on the thread that is inside Xlib, with each protocol error that no caller expected.
unsafe extern "C" fn protocol_error(display: *mut xlib::Display, event: *mut xlib::XErrorEvent) -> c_int {
    // SAFETY: Xlib hands us its own event, which lives until we return.
    let event = unsafe { ptr::read(event) };
    let fault = Fault { display, code: event.error_code, request: event.request_code, minor: event.minor_code };
    // A thread that is ending has nobody left to tell.
    let _ = FAULT.try_with(|slot| slot.set(Some(fault)));
    0
}

/// Xlib calls it when a connection breaks, before that connection's exit handler.
unsafe extern "C" fn io_error(_display: *mut xlib::Display) -> c_int {
    let opening = OPENING.try_with(|slot| slot.try_borrow_mut().ok()?.take()).ok().flatten();
    let Some(opened) = opening else { return 0 };
    // Inside XOpenDisplay: the exit handler is still Xlib's, which calls exit. So this thread never returns to it. What is left behind,
    // once per server that dies within these milliseconds, is a parked thread; Xlib holds no lock here but that one connection's.
    drop(opened.try_send(None));
    drop(opened);
    loop {
        thread::park();
    }
}

/// Xlib calls it where it would call `exit`; when it returns, the Xlib call that found the loss returns its failure.
unsafe extern "C" fn connection_lost(_display: *mut xlib::Display, data: *mut c_void) {
    // SAFETY: `data` points into the Arc that the connection's `Display` holds, as set in `connect`.
    let lost = unsafe { &*data.cast::<AtomicBool>() };
    lost.store(true, Ordering::Relaxed);
}

thread_local! {
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
    /// Where this thread, while it is inside `XOpenDisplay`, reports to.
    static OPENING: RefCell<Option<SyncSender<Option<Display>>>> = const { RefCell::new(None) };
}

/// A server that starts up answers within a second or two; one that does not in this time hangs.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
