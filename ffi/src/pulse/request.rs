//! Questions to the server and their answers.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::rc::Rc;

use libpulse_sys as pa;

use super::code::Code;
use super::signals::Signals;

/// A question that was sent. Dropping it before the answer came takes the question back.
pub(super) struct Request<T> {
    operation: NonNull<pa::pa_operation>,
    answer: Rc<Answer<T>>,
}

/// Where a callback puts its answer; a [`Request`] keeps it alive for as long as its callback can be called.
pub(super) struct Answer<T> {
    value: Cell<Option<Result<T, Code>>>,
    signals: Rc<Signals>,
}

/// What we need to know about a sink or a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    pub(super) index: u32,
    pub(super) owner_module: u32,
    /// Of a sink: the source that monitors it.
    pub(super) monitor: u32,
}

/// The names of what is used by those who name nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Defaults {
    pub(super) sink: String,
    pub(super) source: String,
}

/// A context to ask; alive, because only [`Link`](super::connection::Link) makes one of its own.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    context: NonNull<pa::pa_context>,
    signals: &'a Rc<Signals>,
}

impl<'a> Asker<'a> {
    /// # Safety
    /// `context` is not freed within `'a`.
    pub(super) unsafe fn new(context: NonNull<pa::pa_context>, signals: &'a Rc<Signals>) -> Self {
        Self { context, signals }
    }

    pub(super) fn sink(self, name: &str) -> Option<Request<Device>> {
        let name = CString::new(name).ok()?;
        self.send(|context, to| {
            // SAFETY: a live context (see `Asker`) and a string that the function copies; `to` outlives the operation (see `Request`).
            unsafe { pa::pa_context_get_sink_info_by_name(context, name.as_ptr(), Some(on_sink), to) }
        })
    }

    pub(super) fn source(self, name: &str) -> Option<Request<Device>> {
        let name = CString::new(name).ok()?;
        self.send(|context, to| {
            // SAFETY: as in `sink`.
            unsafe { pa::pa_context_get_source_info_by_name(context, name.as_ptr(), Some(on_source), to) }
        })
    }

    pub(super) fn defaults(self) -> Option<Request<Defaults>> {
        self.send(|context, to| {
            // SAFETY: a live context (see `Asker`); `to` outlives the operation (see `Request`).
            unsafe { pa::pa_context_get_server_info(context, Some(on_server), to) }
        })
    }

    /// Whether the server suspends what is idle ([`SUSPEND_ON_IDLE`]).
    pub(super) fn suspends_idle(self) -> Option<Request<bool>> {
        self.send(|context, to| {
            // SAFETY: as in `defaults`.
            unsafe { pa::pa_context_get_module_info_list(context, Some(on_module), to) }
        })
    }

    pub(super) fn load_module(self, name: &str, arguments: &str) -> Option<Request<u32>> {
        let (name, arguments) = (CString::new(name).ok()?, CString::new(arguments).ok()?);
        self.send(|context, to| {
            // SAFETY: as in `sink`.
            unsafe { pa::pa_context_load_module(context, name.as_ptr(), arguments.as_ptr(), Some(on_index), to) }
        })
    }

    pub(super) fn set_default_sink(self, name: &str) -> Option<Request<()>> {
        let name = CString::new(name).ok()?;
        self.send(|context, to| {
            // SAFETY: as in `sink`.
            unsafe { pa::pa_context_set_default_sink(context, name.as_ptr(), Some(on_success), to) }
        })
    }

    pub(super) fn set_default_source(self, name: &str) -> Option<Request<()>> {
        let name = CString::new(name).ok()?;
        self.send(|context, to| {
            // SAFETY: as in `sink`.
            unsafe { pa::pa_context_set_default_source(context, name.as_ptr(), Some(on_success), to) }
        })
    }

    pub(super) fn subscribe(self, mask: pa::pa_subscription_mask_t) -> Option<Request<()>> {
        self.send(|context, to| {
            // SAFETY: as in `defaults`.
            unsafe { pa::pa_context_subscribe(context, mask, Some(on_success), to) }
        })
    }

    /// Nothing when the library would not even send it: the context is not ready.
    fn send<T>(self, ask: impl FnOnce(*mut pa::pa_context, *mut c_void) -> *mut pa::pa_operation) -> Option<Request<T>> {
        let answer = Rc::new(Answer { value: Cell::new(None), signals: Rc::clone(self.signals) });
        let operation = NonNull::new(ask(self.context.as_ptr(), Rc::as_ptr(&answer).cast_mut().cast()))?;
        Some(Request { operation, answer })
    }
}

impl<T> Request<T> {
    /// The answer, once there is one.
    pub(super) fn try_take(&self) -> Option<Result<T, Code>> {
        self.answer.value.take()
    }
}

impl<T> Drop for Request<T> {
    fn drop(&mut self) {
        // SAFETY: we hold a reference to the operation. After this its callback is not called any more (manual of
        // `pa_operation_cancel`), so that `answer` may go; on one that is done it does nothing.
        unsafe { pa::pa_operation_cancel(self.operation.as_ptr()) };
        // SAFETY: gives back the one reference that the asking function returned.
        unsafe { pa::pa_operation_unref(self.operation.as_ptr()) };
    }
}

/// Runs `body` on the answer that `to` points to.
///
/// # Safety
/// `to` is what `Asker::send` passed for a question whose answer is a `T`.
unsafe fn deliver<T>(to: *mut c_void, body: impl FnOnce(&Answer<T>)) {
    // SAFETY: it points into the `Rc` of a `Request<T>` that still lives: its drop cancels the operation, and a cancelled operation's
    // callback is not called. Only shared references to an `Answer` are ever made.
    let answer = unsafe { &*to.cast_const().cast::<Answer<T>>() };
    answer.signals.run(|| body(answer));
}

/// Answers a list callback: `read` when it is an entry, the error when the server reported one.
///
/// # Safety
/// As for [`deliver`], and `context` is the one the library passed.
unsafe fn deliver_entry<T>(context: *mut pa::pa_context, eol: i32, to: *mut c_void, read: impl FnOnce() -> T) {
    let value = match eol {
        0 => Ok(read()),
        1.. => return,
        // SAFETY: the library passes the live context to its callbacks.
        ..0 => Err(unsafe { Code::last(context) }),
    };
    // SAFETY: the caller's duty.
    unsafe { deliver(to, |answer| answer.value.set(Some(value))) };
}

extern "C" fn on_sink(context: *mut pa::pa_context, info: *const pa::pa_sink_info, eol: i32, to: *mut c_void) {
    let read = || {
        // SAFETY: with `eol` 0 the entry is valid during the callback (manual of introspection); so for the next two.
        let index = unsafe { (*info).index };
        // SAFETY: see above.
        let owner_module = unsafe { (*info).owner_module };
        // SAFETY: see above.
        let monitor = unsafe { (*info).monitor_source };
        Device { index, owner_module, monitor }
    };
    // SAFETY: passed by `Asker::sink`, whose answer is a `Device`.
    unsafe { deliver_entry(context, eol, to, read) };
}

extern "C" fn on_source(context: *mut pa::pa_context, info: *const pa::pa_source_info, eol: i32, to: *mut c_void) {
    let read = || {
        // SAFETY: with `eol` 0 the entry is valid during the callback (manual of introspection); so for the next.
        let index = unsafe { (*info).index };
        // SAFETY: see above.
        let owner_module = unsafe { (*info).owner_module };
        Device { index, owner_module, monitor: pa::PA_INVALID_INDEX }
    };
    // SAFETY: passed by `Asker::source`, whose answer is a `Device`.
    unsafe { deliver_entry(context, eol, to, read) };
}

extern "C" fn on_server(context: *mut pa::pa_context, info: *const pa::pa_server_info, to: *mut c_void) {
    let eol = if info.is_null() { -1 } else { 0 };
    // SAFETY: `info` is not null where this is called, and then valid during the callback (manual of introspection).
    let read = || unsafe { Defaults::read(info) };
    // SAFETY: passed by `Asker::defaults`, whose answer is `Defaults`.
    unsafe { deliver_entry(context, eol, to, read) };
}

extern "C" fn on_module(context: *mut pa::pa_context, info: *const pa::pa_module_info, eol: i32, to: *mut c_void) {
    if eol > 0 {
        // SAFETY: passed by `Asker::suspends_idle`, whose answer is a truth.
        unsafe { deliver(to, |answer| answer.value.set(answer.value.take().or(Some(Ok(false))))) };
        return;
    }
    if eol == 0 {
        // SAFETY: with `eol` 0 the entry is valid during the callback (manual of introspection).
        let name = unsafe { (*info).name };
        // SAFETY: null or a string, as all of introspection.
        if unsafe { text(name) } != SUSPEND_ON_IDLE {
            return;
        }
    }
    // SAFETY: passed by `Asker::suspends_idle`, whose answer is a truth.
    unsafe { deliver_entry(context, eol, to, || true) };
}

extern "C" fn on_index(context: *mut pa::pa_context, index: u32, to: *mut c_void) {
    let eol = if index == pa::PA_INVALID_INDEX { -1 } else { 0 };
    // SAFETY: passed by `Asker::load_module`, whose answer is an index.
    unsafe { deliver_entry(context, eol, to, || index) };
}

extern "C" fn on_success(context: *mut pa::pa_context, success: i32, to: *mut c_void) {
    let eol = if success == 0 { -1 } else { 0 };
    // SAFETY: passed by a question whose answer is empty.
    unsafe { deliver_entry(context, eol, to, || ()) };
}

impl Defaults {
    /// # Safety
    /// `info` points to a valid entry, whose strings are null or NUL-terminated.
    pub(super) unsafe fn read(info: *const pa::pa_server_info) -> Self {
        // SAFETY: the caller's duty.
        let sink = unsafe { (*info).default_sink_name };
        // SAFETY: the caller's duty.
        let source = unsafe { (*info).default_source_name };
        // SAFETY: the caller's duty: null or a string.
        let sink = unsafe { text(sink) };
        // SAFETY: the caller's duty: null or a string.
        let source = unsafe { text(source) };
        Self { sink, source }
    }
}

/// # Safety
/// `string` is null or NUL-terminated.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: the caller's duty, and null is excluded above.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// The module that stops the clock of sinks and sources that nobody uses.
pub(super) const SUSPEND_ON_IDLE: &str = "module-suspend-on-idle";
