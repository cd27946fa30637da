//! Whether the pointer may have moved, told by the server.
//!
//! X11 sends no event for motion over other clients' windows, and raw device events leave out warps. What does tell is the SYNC
//! extension's `IDLETIME` counter: two alarms on it say when input starts after a rest and when it has rested again. Between the two,
//! each grab asks where the pointer is; outside, nobody asks.

use std::ffi::CStr;
use std::ptr;

use x11::{sync, xlib};

use super::display::Display;
use super::sys;
use crate::Result;

/// Where the pointer is, asked for only when it may have moved.
#[derive(Debug)]
pub(super) struct Pointer {
    /// Nothing when the server has no `IDLETIME`: then the pointer may always have moved.
    alarms: Option<Alarms>,
    state: State,
}

/// Alarms on the server's idle time.
#[derive(Debug)]
struct Alarms {
    active: sync::XSyncAlarm,
    resting: sync::XSyncAlarm,
    first_event: i32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Input comes in: ask at every grab.
    Active,
    /// Nothing came in since the pointer was last asked.
    Resting,
    /// Input has stopped: ask once more.
    Settling,
}

impl Pointer {
    /// Starts to watch for input.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) fn new(display: &Display) -> Result<Self> {
        const DOING: &str = "watching for input";
        display.check(DOING)?;
        let alarms = Alarms::new(display);
        let refused = display.sync(DOING).is_err();
        display.check(DOING)?;
        Ok(Self { alarms: alarms.filter(|_| !refused), state: State::Settling })
    }

    /// Whether the server tells when there is input.
    pub(super) fn is_watching(&self) -> bool {
        self.alarms.is_some()
    }

    /// Whether the pointer may be elsewhere than when it was last asked.
    pub(super) fn may_have_moved(&self) -> bool {
        self.alarms.is_none() || self.state != State::Resting
    }

    /// Takes note of `event`, if it is ours.
    pub(super) fn handle_event(&mut self, event: &xlib::XEvent) {
        let Some(alarms) = &self.alarms else { return };
        if event.get_type() != alarms.first_event + sys::ALARM_NOTIFY {
            return;
        }
        // SAFETY: an event of this type is an XSyncAlarmNotifyEvent, which is smaller than the union it lies in.
        let alarm = unsafe { ptr::from_ref(event).cast::<sync::XSyncAlarmNotifyEvent>().read() }.alarm;
        if alarm == alarms.active {
            self.state = State::Active;
        } else if alarm == alarms.resting {
            self.state = State::Settling;
        }
    }

    /// Asks where the pointer is on `root`; nothing when it is on another screen.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) fn locate(&mut self, display: &Display, root: xlib::Window) -> Result<Option<(i32, i32)>> {
        const DOING: &str = "asking where the pointer is";
        display.check(DOING)?;
        let (mut window, mut child, mut x, mut y, mut ignored_x, mut ignored_y, mut buttons) = (0, 0, 0, 0, 0, 0, 0);
        // SAFETY: the connection is not lost; the out pointers are locals.
        let here = unsafe {
            xlib::XQueryPointer(
                display.raw(),
                root,
                &raw mut window,
                &raw mut child,
                &raw mut x,
                &raw mut y,
                &raw mut ignored_x,
                &raw mut ignored_y,
                &raw mut buttons,
            )
        };
        display.check(DOING)?;
        if self.state == State::Settling {
            self.state = State::Resting;
        }
        Ok((here != xlib::False).then_some((x, y)))
    }
}

impl Alarms {
    fn new(display: &Display) -> Option<Self> {
        let raw = display.raw();
        let (mut first_event, mut error, mut major, mut minor) = (0, 0, 0, 0);
        // SAFETY: the caller checked the connection; the out pointers are locals.
        if unsafe { sync::XSyncQueryExtension(raw, &raw mut first_event, &raw mut error) } == 0 {
            return None;
        }
        // SAFETY: as above.
        if unsafe { sync::XSyncInitialize(raw, &raw mut major, &raw mut minor) } == 0 {
            return None;
        }
        let counter = idle_time(display)?;
        // The server looks at a counter only while an alarm could go off: the one for rest is also what lets it see the next start.
        let resting = alarm(display, counter, sys::POSITIVE_TRANSITION, REST_MS);
        let active = alarm(display, counter, sys::NEGATIVE_TRANSITION, REST_MS - 1);
        Some(Self { active, resting, first_event })
    }
}

/// The server's counter of milliseconds since the last input.
fn idle_time(display: &Display) -> Option<sync::XSyncCounter> {
    let mut count = 0;
    // SAFETY: the caller checked the connection; a lost one answers null.
    let counters = unsafe { sync::XSyncListSystemCounters(display.raw(), &raw mut count) };
    if counters.is_null() {
        return None;
    }
    let mut found = None;
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the list has `count` elements and is freed only below.
        let counter = unsafe { counters.add(index) };
        // SAFETY: as above; the library filled it in.
        let counter = unsafe { counter.read() };
        // SAFETY: the name is a NUL-terminated string in the list's own memory.
        if unsafe { CStr::from_ptr(counter.name) } == c"IDLETIME" {
            found = Some(counter.counter);
        }
    }
    // SAFETY: from XSyncListSystemCounters, not freed before, not used after.
    unsafe { sync::XSyncFreeSystemCounterList(counters) };
    found
}

fn alarm(display: &Display, counter: sync::XSyncCounter, transition: u32, millis: u32) -> sync::XSyncAlarm {
    let trigger = sync::XSyncTrigger {
        counter,
        value_type: 0, // XSyncAbsolute
        wait_value: sync::XSyncValue { hi: 0, lo: millis },
        test_type: transition,
    };
    // A transition alarm with delta 0 stays on after it went off.
    let mut attributes = sync::XSyncAlarmAttributes { trigger, delta: sync::XSyncValue { hi: 0, lo: 0 }, events: xlib::True, state: 0 };
    // SAFETY: the caller checked the connection; the attributes named by the mask are filled in and copied into the request.
    unsafe { sync::XSyncCreateAlarm(display.raw(), sys::ALARM_ATTRIBUTES, &raw mut attributes) }
}

/// Input this long ago is over: longer than between two motions of a slow hand, short enough that few grabs ask in vain.
const REST_MS: u32 = 100;
