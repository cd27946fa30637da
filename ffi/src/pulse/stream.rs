//! What playing and recording have in common: the owner of a `pa_stream`.

use std::cell::Cell;
use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;

use libpulse_sys as pa;

use super::code::Code;
use super::connection::Link;
use super::signals::Signals;
use super::timing::Timing;
use crate::{AudioFormat, Error, MediaTime, Remedy, Result};

/// The owner of a `pa_stream`; it keeps the context and the loop alive.
pub(super) struct Stream {
    raw: NonNull<pa::pa_stream>,
    marks: Box<Marks>,
    format: AudioFormat,
    link: Rc<Link>,
}

/// What the callbacks of one stream leave behind; they only ever hold it shared.
struct Marks {
    device: String,
    signals: Rc<Signals>,
    corked: Cell<bool>,
    underflows: Cell<u64>,
    timing: Timing,
}

impl Stream {
    /// Makes a stream for `device` that is not connected yet.
    pub(super) fn new(link: &Rc<Link>, name: &str, device: &str, format: AudioFormat) -> Result<Self> {
        let spec = pa::pa_sample_spec { format: pa::PA_SAMPLE_S16LE, rate: format.rate, channels: format.channels };
        let name = CString::new(name).map_err(|_| Error::new(MAKING, Remedy::Report, "its name holds a zero byte"))?;
        if !link.is_ready() {
            return Err(link.gone());
        }
        // SAFETY: a live context (`link` owns it); the name and the sample spec are copied; a null map is the default for the channels.
        let raw = unsafe { pa::pa_stream_new(link.context(), name.as_ptr(), &spec, ptr::null()) };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: the link's context, alive.
            let code = unsafe { Code::last(link.context()) };
            return Err(Error::new(MAKING, Remedy::Report, format!("{format:?} for {device}: {code}")));
        };
        let marks = Box::new(Marks {
            device: device.to_owned(),
            signals: Rc::clone(link.signals()),
            corked: Cell::new(false),
            underflows: Cell::new(0),
            timing: Timing::new(),
        });
        let stream = Self { raw, marks, format, link: Rc::clone(link) };
        // SAFETY: our stream; the marks are boxed, so they do not move, and the drop of `Stream` takes the callback back before they go.
        unsafe { pa::pa_stream_set_state_callback(stream.raw(), Some(on_state), stream.userdata()) };
        // SAFETY: as above.
        unsafe { pa::pa_stream_set_underflow_callback(stream.raw(), Some(on_underflow), stream.userdata()) };
        // SAFETY: as above.
        unsafe { pa::pa_stream_set_latency_update_callback(stream.raw(), Some(on_timing), stream.userdata()) };
        Ok(stream)
    }

    pub(super) fn raw(&self) -> *mut pa::pa_stream {
        self.raw.as_ptr()
    }

    pub(super) fn format(&self) -> AudioFormat {
        self.format
    }

    pub(super) fn signals(&self) -> &Signals {
        self.link.signals()
    }

    pub(super) fn underflows(&self) -> u64 {
        self.marks.underflows.get()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state() == pa::PA_STREAM_READY
    }

    /// Whether the stream is usable: `false` while it is being made.
    pub(super) fn check(&self) -> Result<bool> {
        let state = self.state();
        if state == pa::PA_STREAM_READY {
            return Ok(true);
        }
        if pa::pa_stream_is_good(state) { Ok(false) } else { Err(ended(&self.marks.device, &self.link.gone().to_string())) }
    }

    /// Why `doing` this to the stream failed.
    pub(super) fn refused(&self, doing: &'static str) -> Error {
        // SAFETY: the link's context, alive.
        let code = unsafe { Code::last(self.link.context()) };
        Error::new(doing, Remedy::Rebuild, format!("{}: {code}", self.marks.device))
    }

    /// Pauses the stream or goes on; of one that is still being made it is remembered.
    pub(super) fn cork(&self, corked: bool) -> Result<()> {
        if self.marks.corked.replace(corked) == corked || !self.check()? {
            return Ok(());
        }
        self.marks.timing.restart();
        // SAFETY: our stream, which is ready.
        let sent = unsafe { send_cork(self.raw(), corked) };
        if sent { Ok(()) } else { Err(self.refused("pausing sound")) }
    }

    pub(super) fn is_corked(&self) -> bool {
        self.marks.corked.get()
    }

    /// Throws away what is buffered.
    pub(super) fn flush(&self) -> Result<()> {
        if !self.check()? {
            return Ok(());
        }
        self.marks.timing.restart();
        // SAFETY: our stream, which is ready; without a callback there is no userdata.
        let operation = unsafe { pa::pa_stream_flush(self.raw(), None, ptr::null_mut()) };
        // SAFETY: what the library just returned, used nowhere else.
        let sent = unsafe { forget(operation) };
        if sent { Ok(()) } else { Err(self.refused("flushing sound")) }
    }

    /// What was written (by us into a sink's queue, by a source into ours) and not read; nothing while the server has not told, or not
    /// since a flush. Every call may order newer timing, so only who asks steadily gets good answers.
    pub(super) fn queued(&self) -> Option<MediaTime> {
        self.update_timing();
        // SAFETY: our stream.
        let info = unsafe { timing_info(self.raw()) }?;
        if info.write_index_corrupt != 0 || info.read_index_corrupt != 0 {
            return None;
        }
        let frames = (info.write_index - info.read_index) / self.format.frame_bytes() as i64;
        Some(MediaTime::from_ticks(frames, self.format.rate))
    }

    /// Orders newer timing where it is time for it.
    pub(super) fn update_timing(&self) {
        if self.is_ready() {
            // SAFETY: our stream, which is ready.
            unsafe { self.marks.timing.update(self.raw()) };
        }
    }

    /// What the server told of its time.
    pub(super) fn timing(&self) -> &Timing {
        &self.marks.timing
    }

    fn state(&self) -> pa::pa_stream_state_t {
        // SAFETY: our stream, unreferenced in drop only. The library's enum has had these five values since the first release.
        unsafe { pa::pa_stream_get_state(self.raw()) }
    }

    fn userdata(&self) -> *mut c_void {
        ptr::from_ref(&*self.marks).cast_mut().cast()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: our stream; from here on its end is not a failure, and `marks` may go.
        unsafe { pa::pa_stream_set_state_callback(self.raw(), None, ptr::null_mut()) };
        // SAFETY: as above.
        unsafe { pa::pa_stream_set_underflow_callback(self.raw(), None, ptr::null_mut()) };
        // SAFETY: as above.
        unsafe { pa::pa_stream_set_latency_update_callback(self.raw(), None, ptr::null_mut()) };
        if pa::pa_stream_is_good(self.state()) {
            // SAFETY: our stream; an error means that the server is gone and the stream with it.
            unsafe { pa::pa_stream_disconnect(self.raw()) };
        }
        // SAFETY: gives back the reference `pa_stream_new` returned; the library holds its own while it still needs the stream.
        unsafe { pa::pa_stream_unref(self.raw()) };
    }
}

extern "C" fn on_state(stream: *mut pa::pa_stream, to: *mut c_void) {
    // SAFETY: `to` is the boxed `Marks` of the `Stream` that owns `stream`; its drop takes this callback back first.
    let marks = unsafe { &*to.cast_const().cast::<Marks>() };
    marks.signals.run(|| {
        // SAFETY: the library passes the live stream to its callbacks.
        let state = unsafe { pa::pa_stream_get_state(stream) };
        if state == pa::PA_STREAM_READY {
            if marks.corked.get() {
                // SAFETY: as above, and it is ready.
                unsafe { send_cork(stream, true) };
            }
            // SAFETY: as above.
            unsafe { marks.timing.update(stream) };
        } else if state == pa::PA_STREAM_FAILED {
            // SAFETY: as above; a stream that changes its state is still part of its context.
            let context = unsafe { pa::pa_stream_get_context(stream) };
            // SAFETY: the context of a live callback is live.
            let code = unsafe { Code::last(context) };
            marks.signals.fail(ended(&marks.device, &code.to_string()));
        }
    });
}

extern "C" fn on_underflow(_: *mut pa::pa_stream, to: *mut c_void) {
    // SAFETY: as in `on_state`.
    let marks = unsafe { &*to.cast_const().cast::<Marks>() };
    marks.signals.run(|| {
        marks.underflows.set(marks.underflows.get() + 1);
        marks.timing.restart();
    });
}

extern "C" fn on_timing(stream: *mut pa::pa_stream, to: *mut c_void) {
    // SAFETY: as in `on_state`.
    let marks = unsafe { &*to.cast_const().cast::<Marks>() };
    // SAFETY: the library passes the live stream to its callbacks.
    marks.signals.run(|| unsafe { timing_info(stream) }.into_iter().for_each(|info| marks.timing.note(info)));
}

/// What the library keeps of the server's last word and has corrected by what was written and read since; nothing before the first.
///
/// # Safety
/// `stream` is alive, and the library does not run while the result is.
unsafe fn timing_info<'a>(stream: *mut pa::pa_stream) -> Option<&'a pa::pa_timing_info> {
    // SAFETY: the caller's duty.
    let info = unsafe { pa::pa_stream_get_timing_info(stream) };
    // SAFETY: null, or a place inside the stream, which the library writes only while it runs.
    unsafe { info.as_ref() }
}

/// # Safety
/// `stream` is alive and ready.
unsafe fn send_cork(stream: *mut pa::pa_stream, corked: bool) -> bool {
    // SAFETY: the caller's duty; without a callback there is no userdata.
    let operation = unsafe { pa::pa_stream_cork(stream, i32::from(corked), None, ptr::null_mut()) };
    // SAFETY: what the library just returned, used nowhere else.
    unsafe { forget(operation) }
}

/// Lets an operation go on by itself. Tells whether there is one.
///
/// # Safety
/// `operation` is null or a reference nobody else gives back.
pub(super) unsafe fn forget(operation: *mut pa::pa_operation) -> bool {
    if operation.is_null() {
        return false;
    }
    // SAFETY: the caller's duty; the library keeps its own reference until the answer.
    unsafe { pa::pa_operation_unref(operation) };
    true
}

fn ended(device: &str, why: &str) -> Error {
    Error::new("streaming sound", Remedy::Rebuild, format!("{device}: {why}"))
}

const MAKING: &str = "making a sound stream";
