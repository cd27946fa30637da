//! The one connection to the sound server and the thread's way to drive it.

use std::ffi::{CString, c_void};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::time::{Duration, Instant};

use libpulse_sys as pa;

use super::code::Code;
use super::devices::Devices;
use super::mainloop::{Mainloop, Waker};
use super::playback::{Latency, Playback};
use super::record::Record;
use super::request::{Asker, Request};
use super::signals::Signals;
use crate::{AudioFormat, Error, Remedy, Result};

/// A connection to a PulseAudio server.
///
/// Streams may outlive it: they then give errors, nothing else.
pub struct Connection {
    link: Rc<Link>,
}

/// What a connection and its streams share: the context and the loop it runs on.
pub(super) struct Link {
    context: NonNull<pa::pa_context>,
    signals: Rc<Signals>,
    // Last: the context needs its loop to the end.
    mainloop: Mainloop,
}

impl Connection {
    /// Connects to `server` (a PulseAudio server string, such as `unix:/run/pulse/native`), or to the user's when it is `None`, under
    /// the name `app_name`. It never starts a server.
    ///
    /// # Errors
    /// [`Remedy::Retry`] when no server answers by `deadline`, [`Remedy::Report`] when `server` is no server string.
    pub fn connect(server: Option<&str>, app_name: &str, deadline: Instant) -> Result<Self> {
        let no_nul = |_| Error::new(CONNECTING, Remedy::Report, "a name holds a zero byte");
        let server = server.map(CString::new).transpose().map_err(no_nul)?;
        let app_name = CString::new(app_name).map_err(no_nul)?;
        let mainloop = Mainloop::new()?;
        // SAFETY: the table lives as long as `mainloop`, which `Link` drops after the context; the name is copied.
        let context = unsafe { pa::pa_context_new(mainloop.api(), app_name.as_ptr()) };
        let context = NonNull::new(context).ok_or_else(|| Error::new(CONNECTING, Remedy::Retry, "out of memory"))?;
        let link = Rc::new(Link { context, signals: Rc::default(), mainloop });
        let connection = Self { link };
        connection.link.connect(server)?;
        while !connection.link.is_ready() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(CONNECTING, Remedy::Retry, "no answer in time"));
            }
            connection.link.mainloop.iterate(Some(left))?;
            connection.link.check_connecting()?;
        }
        connection.link.signals.check()?;
        Ok(connection)
    }

    /// Waits until the server says something, a watched descriptor is readable, a [`Waker`] wakes it or `timeout` is over, and runs
    /// the library's callbacks once.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the server went away or ended a stream (its device went, or was never there).
    ///
    /// # Panics
    /// When called from within [`Playback::write_with`] or [`Record::read_with`].
    pub fn iterate(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.link.iterate(timeout)
    }

    /// A handle that ends the wait of [`Connection::iterate`] from any thread.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.link.mainloop.waker()
    }

    /// Lets [`Connection::iterate`] also return when `fd` is readable, for the rest of the connection; `fd` itself may be closed.
    ///
    /// Reading from it is the caller's, after each `iterate`: while it is readable, `iterate` does not wait.
    ///
    /// # Errors
    /// [`Remedy::Retry`] when the process has no descriptors left.
    pub fn watch(&mut self, fd: BorrowedFd<'_>) -> Result<()> {
        self.link.mainloop.watch(fd)
    }

    /// Makes the sinks and the source of ours that are missing, sets the defaults, and begins to keep count of their users.
    ///
    /// What is there is adopted, whoever made it; nothing is ever unloaded. A server that does not suspend idle devices is told to:
    /// otherwise sinks mix silence for ever, for streams that are corked too.
    ///
    /// # Errors
    /// [`Remedy::Report`] when something is missing and the server refuses to make it; the text names it and the command that would
    /// make it. What is there is usable and counted even so. [`Remedy::Rebuild`] when the server went away or gives no answer by `deadline`.
    pub fn ensure_devices(&mut self, deadline: Instant) -> Result<Devices> {
        super::devices::ensure(self, deadline)
    }

    /// Plays into `sink`. The stream is usable once [`Playback::writable_bytes`] is not 0; when it cannot be made,
    /// [`Connection::iterate`] says so.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the connection is broken, [`Remedy::Report`] when the format or the sink's name is impossible.
    pub fn playback(&mut self, sink: &str, format: AudioFormat, latency: Latency) -> Result<Playback> {
        Playback::new(&self.link, sink, format, latency)
    }

    /// Records `source`, delivered about every `fragment_bytes`. When it cannot be made, [`Connection::iterate`] says so.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the connection is broken, [`Remedy::Report`] when the format or the source's name is impossible.
    pub fn record(&mut self, source: &str, format: AudioFormat, fragment_bytes: usize) -> Result<Record> {
        Record::new(&self.link, source, format, fragment_bytes)
    }

    /// How many applications listen to the microphone, by [`MICROPHONE_SOURCE`](super::MICROPHONE_SOURCE) or by
    /// [`MICROPHONE_MONITOR`](super::MICROPHONE_MONITOR); paused ones do not count. Known since [`Connection::ensure_devices`].
    #[must_use]
    pub fn microphone_listeners(&self) -> u32 {
        self.link.signals.usage.microphone_listeners()
    }

    /// Whether any application listens to the microphone.
    #[must_use]
    pub fn microphone_in_use(&self) -> bool {
        self.microphone_listeners() > 0
    }

    /// How many streams, ours among them, play into [`SPEAKER_SINK`](super::SPEAKER_SINK); paused ones do not count. Known since
    /// [`Connection::ensure_devices`].
    #[must_use]
    pub fn speaker_players(&self) -> u32 {
        self.link.signals.usage.speaker_players()
    }

    /// Whether anything plays into the speaker.
    #[must_use]
    pub fn speaker_in_use(&self) -> bool {
        self.speaker_players() > 0
    }

    /// Whether a device of ours went away or stopped being the default since [`Connection::ensure_devices`], which mends it.
    #[must_use]
    pub fn devices_changed(&self) -> bool {
        self.link.signals.usage.devices_changed()
    }

    /// Drives the connection until `request` is answered.
    pub(super) fn wait<T>(&mut self, request: Option<Request<T>>, deadline: Instant) -> Result<std::result::Result<T, Code>> {
        let Some(request) = request else {
            return Err(self.link.gone());
        };
        loop {
            if let Some(answer) = request.try_take() {
                return Ok(answer);
            }
            self.iterate_until(deadline)?;
        }
    }

    /// Iterates once.
    ///
    /// # Errors
    /// When the connection is broken or `deadline` has passed.
    pub(super) fn iterate_until(&mut self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new("asking the sound server", Remedy::Rebuild, "no answer in time"));
        }
        self.link.iterate(Some(left))
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Within a lend the library would wait for the lent memory to come back; `Link` disconnects when the stream goes.
        if !self.link.signals.is_lending() {
            self.link.disconnect();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("ready", &self.link.is_ready())
            .field("microphone_listeners", &self.microphone_listeners())
            .field("speaker_players", &self.speaker_players())
            .finish()
    }
}

impl Link {
    pub(super) fn context(&self) -> *mut pa::pa_context {
        self.context.as_ptr()
    }

    pub(super) fn signals(&self) -> &Rc<Signals> {
        &self.signals
    }

    pub(super) fn asker(&self) -> Asker<'_> {
        // SAFETY: the context is freed in our own drop, which cannot run while `self` is borrowed.
        unsafe { Asker::new(self.context, &self.signals) }
    }

    /// Why nothing can be asked any more.
    pub(super) fn gone(&self) -> Error {
        // SAFETY: our context, freed in drop only.
        let code = unsafe { Code::last(self.context()) };
        Error::new("using the sound server", Remedy::Rebuild, code.to_string())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state() == pa::PA_CONTEXT_READY
    }

    fn iterate(&self, timeout: Option<Duration>) -> Result<()> {
        assert!(!self.signals.is_lending(), "iterate within a lend");
        self.signals.check()?;
        self.mainloop.iterate(timeout)?;
        self.signals.check()
    }

    fn connect(&self, server: Option<CString>) -> Result<()> {
        let server = server.as_ref().map_or(ptr::null(), |server| server.as_ptr());
        // SAFETY: our new, unconnected context; a string that is copied, or null for the user's server; null for no spawn hooks.
        let connecting = unsafe { pa::pa_context_connect(self.context(), server, pa::PA_CONTEXT_NOAUTOSPAWN, ptr::null()) };
        if connecting < 0 {
            return Err(self.refused());
        }
        let to: *mut c_void = Rc::as_ptr(&self.signals).cast_mut().cast();
        // SAFETY: our context; `to` points into `signals`, which outlives it: `Link` frees the context before its fields go.
        unsafe { pa::pa_context_set_state_callback(self.context(), Some(on_state), to) };
        Ok(())
    }

    /// Until it is ready, a failed context means that nobody is there, or that we may not come in: another try may find it otherwise.
    fn check_connecting(&self) -> Result<()> {
        if pa::pa_context_is_good(self.state()) { Ok(()) } else { Err(self.refused()) }
    }

    fn refused(&self) -> Error {
        // SAFETY: our context, freed in drop only.
        let code = unsafe { Code::last(self.context()) };
        let remedy = if matches!(code, Code::INVALID | Code::INVALID_SERVER) { Remedy::Report } else { Remedy::Retry };
        Error::new(CONNECTING, remedy, code.to_string())
    }

    fn state(&self) -> pa::pa_context_state_t {
        // SAFETY: our context, freed in drop only. The library's enum has had these seven values since protocol 12 and is not extended.
        unsafe { pa::pa_context_get_state(self.context()) }
    }

    fn disconnect(&self) {
        // SAFETY: our context, freed in drop only; on one that is disconnected it does nothing. It ends every stream and drops every
        // callback. Not within one of its callbacks: those run no code that drops a `Connection`.
        unsafe { pa::pa_context_disconnect(self.context()) };
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.disconnect();
        // SAFETY: gives back the reference `pa_context_new` returned. All streams are gone, they hold this `Link`; operations were
        // cancelled by the disconnect. So this frees it, before `mainloop`.
        unsafe { pa::pa_context_unref(self.context()) };
    }
}

extern "C" fn on_state(context: *mut pa::pa_context, to: *mut c_void) {
    // SAFETY: `to` is the `Signals` of the `Link` that owns this context; only shared references to it are ever made.
    let signals = unsafe { &*to.cast_const().cast::<Signals>() };
    signals.run(|| {
        // SAFETY: the library passes the live context to its callbacks.
        let state = unsafe { pa::pa_context_get_state(context) };
        if state == pa::PA_CONTEXT_FAILED {
            // SAFETY: as above.
            let code = unsafe { Code::last(context) };
            signals.fail(Error::new("using the sound server", Remedy::Rebuild, code.to_string()));
        }
    });
}

const CONNECTING: &str = "connecting to the sound server";
