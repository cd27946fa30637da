//! Who listens to our microphone and who plays into our speaker, kept current by the server's events.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::time::Instant;

use libpulse_sys as pa;

use super::connection::Connection;
use super::devices::{Known, NOBODY};
use super::request::Defaults;
use super::signals::Signals;
use super::stream::forget;
use super::{MICROPHONE_SOURCE, SPEAKER_SINK};
use crate::{Error, Remedy, Result};

/// The counts of one connection.
#[derive(Default)]
pub(super) struct Usage {
    known: Cell<Known>,
    listeners: Count,
    players: Count,
    changed: Cell<bool>,
    watching: Cell<bool>,
}

/// A number found by listing: what was found last, and the listing that goes on.
#[derive(Default)]
struct Count {
    found: Cell<u32>,
    so_far: Cell<u32>,
    listing: Cell<bool>,
    again: Cell<bool>,
}

impl Usage {
    pub(super) fn microphone_listeners(&self) -> u32 {
        self.listeners.found.get()
    }

    pub(super) fn speaker_players(&self) -> u32 {
        self.players.found.get()
    }

    pub(super) fn devices_changed(&self) -> bool {
        self.changed.get()
    }

    fn is_listing(&self) -> bool {
        self.listeners.listing.get() || self.players.listing.get()
    }

    /// Whether a stream from `source`, made by `owner_module`, hears the microphone. What `microphone` itself reads does not count.
    fn is_listener(&self, source: u32, owner_module: u32) -> bool {
        let known = self.known.get();
        let repeats = known.microphone_source.is_some_and(|device| device.owner_module != NOBODY && device.owner_module == owner_module);
        let hears = known.microphone_source.is_some_and(|device| device.index == source)
            || known.microphone_sink.is_some_and(|device| device.monitor == source);
        hears && !repeats
    }

    fn is_player(&self, sink: u32) -> bool {
        self.known.get().speaker_sink.is_some_and(|device| device.index == sink)
    }

    fn is_ours(&self, facility: pa::pa_subscription_event_type_t, index: u32) -> bool {
        let Known { microphone_sink, microphone_source, speaker_sink } = self.known.get();
        let devices = if facility == pa::PA_SUBSCRIPTION_EVENT_SINK { [microphone_sink, speaker_sink] } else { [microphone_source, None] };
        devices.into_iter().flatten().any(|device| device.index == index)
    }
}

impl Count {
    /// Whether to list now; when a listing goes on, another follows it.
    fn begin(&self) -> bool {
        if self.listing.replace(true) {
            self.again.set(true);
            return false;
        }
        self.so_far.set(0);
        true
    }

    fn add(&self) {
        self.so_far.set(self.so_far.get() + 1);
    }

    /// Ends the listing. Returns whether another follows.
    fn end(&self) -> bool {
        self.found.set(self.so_far.get());
        self.listing.set(false);
        self.again.take()
    }
}

/// Counts the users of what is `known`, from now on, and waits for the first count.
pub(super) fn watch(connection: &mut Connection, known: Known, deadline: Instant) -> Result<()> {
    let link = connection.link();
    let signals = Rc::clone(link.signals());
    signals.usage.known.set(known);
    signals.usage.changed.set(false);
    if !signals.usage.watching.replace(true) {
        let to: *mut c_void = Rc::as_ptr(&signals).cast_mut().cast();
        // SAFETY: the link's live context; `to` points into its `Signals`, which it keeps until the context is freed.
        unsafe { pa::pa_context_set_subscribe_callback(link.context(), Some(on_event), to) };
        let subscribing = link.asker().subscribe(
            pa::PA_SUBSCRIPTION_MASK_SINK
                | pa::PA_SUBSCRIPTION_MASK_SOURCE
                | pa::PA_SUBSCRIPTION_MASK_SINK_INPUT
                | pa::PA_SUBSCRIPTION_MASK_SOURCE_OUTPUT
                | pa::PA_SUBSCRIPTION_MASK_SERVER,
        );
        if let Err(code) = connection.wait(subscribing, deadline)? {
            return Err(Error::new("watching the sound devices", Remedy::Rebuild, code.to_string()));
        }
    }
    let link = connection.link();
    // SAFETY: the link's live context and the `Signals` it keeps.
    unsafe { list_listeners(link.context(), &signals) };
    // SAFETY: as above.
    unsafe { list_players(link.context(), &signals) };
    while signals.usage.is_listing() {
        connection.iterate_until(deadline)?;
    }
    Ok(())
}

/// # Safety
/// `context` is alive, and `signals` are those of its link.
unsafe fn list_listeners(context: *mut pa::pa_context, signals: &Signals) {
    if !signals.usage.listeners.begin() {
        return;
    }
    let to: *mut c_void = ptr::from_ref(signals).cast_mut().cast();
    // SAFETY: the caller's duty; `to` stays until the context is freed, which cancels the operation.
    let operation = unsafe { pa::pa_context_get_source_output_info_list(context, Some(on_source_output), to) };
    // SAFETY: what the library just returned, used nowhere else.
    if !unsafe { forget(operation) } {
        signals.usage.listeners.end();
    }
}

/// # Safety
/// `context` is alive, and `signals` are those of its link.
unsafe fn list_players(context: *mut pa::pa_context, signals: &Signals) {
    if !signals.usage.players.begin() {
        return;
    }
    let to: *mut c_void = ptr::from_ref(signals).cast_mut().cast();
    // SAFETY: the caller's duty; `to` stays until the context is freed, which cancels the operation.
    let operation = unsafe { pa::pa_context_get_sink_input_info_list(context, Some(on_sink_input), to) };
    // SAFETY: what the library just returned, used nowhere else.
    if !unsafe { forget(operation) } {
        signals.usage.players.end();
    }
}

/// # Safety
/// `context` is alive, and `signals` are those of its link.
unsafe fn look_at_defaults(context: *mut pa::pa_context, signals: &Signals) {
    let to: *mut c_void = ptr::from_ref(signals).cast_mut().cast();
    // SAFETY: the caller's duty; `to` stays until the context is freed, which cancels the operation.
    let operation = unsafe { pa::pa_context_get_server_info(context, Some(on_server), to) };
    // SAFETY: what the library just returned, used nowhere else.
    unsafe { forget(operation) };
}

extern "C" fn on_event(context: *mut pa::pa_context, event: pa::pa_subscription_event_type_t, index: u32, to: *mut c_void) {
    // SAFETY: `to` is the `Signals` of the link that owns this context; only shared references to it are ever made.
    let signals = unsafe { &*to.cast_const().cast::<Signals>() };
    let facility = event & pa::PA_SUBSCRIPTION_EVENT_FACILITY_MASK;
    let removed = event & pa::PA_SUBSCRIPTION_EVENT_TYPE_MASK == pa::PA_SUBSCRIPTION_EVENT_REMOVE;
    signals.run(|| match facility {
        // SAFETY: a callback's context is alive, and `to` came with it.
        pa::PA_SUBSCRIPTION_EVENT_SOURCE_OUTPUT => unsafe { list_listeners(context, signals) },
        // SAFETY: as above.
        pa::PA_SUBSCRIPTION_EVENT_SINK_INPUT => unsafe { list_players(context, signals) },
        // SAFETY: as above.
        pa::PA_SUBSCRIPTION_EVENT_SERVER => unsafe { look_at_defaults(context, signals) },
        _ if removed && signals.usage.is_ours(facility, index) => signals.usage.changed.set(true),
        _ => {}
    });
}

extern "C" fn on_source_output(context: *mut pa::pa_context, info: *const pa::pa_source_output_info, eol: i32, to: *mut c_void) {
    // SAFETY: as in `on_event`.
    let signals = unsafe { &*to.cast_const().cast::<Signals>() };
    signals.run(|| {
        if eol != 0 {
            if signals.usage.listeners.end() {
                // SAFETY: a callback's context is alive, and `to` came with it.
                unsafe { list_listeners(context, signals) };
            }
            return;
        }
        // SAFETY: with `eol` 0 the entry is valid during the callback (manual of introspection); so for the next two.
        let source = unsafe { (*info).source };
        // SAFETY: see above.
        let owner_module = unsafe { (*info).owner_module };
        // SAFETY: see above.
        let corked = unsafe { (*info).corked };
        if corked == 0 && signals.usage.is_listener(source, owner_module) {
            signals.usage.listeners.add();
        }
    });
}

extern "C" fn on_sink_input(context: *mut pa::pa_context, info: *const pa::pa_sink_input_info, eol: i32, to: *mut c_void) {
    // SAFETY: as in `on_event`.
    let signals = unsafe { &*to.cast_const().cast::<Signals>() };
    signals.run(|| {
        if eol != 0 {
            if signals.usage.players.end() {
                // SAFETY: a callback's context is alive, and `to` came with it.
                unsafe { list_players(context, signals) };
            }
            return;
        }
        // SAFETY: with `eol` 0 the entry is valid during the callback (manual of introspection); so for the next.
        let sink = unsafe { (*info).sink };
        // SAFETY: see above.
        let corked = unsafe { (*info).corked };
        if corked == 0 && signals.usage.is_player(sink) {
            signals.usage.players.add();
        }
    });
}

extern "C" fn on_server(_: *mut pa::pa_context, info: *const pa::pa_server_info, to: *mut c_void) {
    // SAFETY: as in `on_event`.
    let signals = unsafe { &*to.cast_const().cast::<Signals>() };
    signals.run(|| {
        if info.is_null() {
            return;
        }
        // SAFETY: not null, so valid during the callback (manual of introspection).
        let Defaults { sink, source } = unsafe { Defaults::read(info) };
        if sink != SPEAKER_SINK || source != MICROPHONE_SOURCE {
            signals.usage.changed.set(true);
        }
    });
}
