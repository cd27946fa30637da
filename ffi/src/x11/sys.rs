//! What libX11, libXext, libXfixes and libXdamage offer and the `x11` crate does not bind, or binds wrongly.

use std::ffi::{c_int, c_ulong, c_void};

use x11::xlib;

/// `Damage` of `X11/extensions/Xdamage.h`.
pub(super) type DamageId = xlib::XID;

/// `XIOErrorExitHandler` of `X11/Xlib.h`.
pub(super) type IoErrorExitHandler = unsafe extern "C" fn(*mut xlib::Display, *mut c_void);

/// `AllPlanes`, which the crate has as a function.
pub(super) const ALL_PLANES: c_ulong = !0;
/// `QueuedAfterReading`: what Xlib has and what the socket has, without a flush.
pub(super) const QUEUED_AFTER_READING: c_int = 1;
/// `XDamageReportNonEmpty`: one event when damage appears, then none until it is taken away.
pub(super) const DAMAGE_REPORT_NON_EMPTY: c_int = 3;
/// `XDamageNotify`, to be added to the extension's first event.
pub(super) const DAMAGE_NOTIFY: c_int = 0;
/// `XFixesCursorNotify`, to be added to the extension's first event.
pub(super) const CURSOR_NOTIFY: c_int = 1;
/// `XFixesDisplayCursorNotifyMask`.
pub(super) const DISPLAY_CURSOR_NOTIFY_MASK: c_ulong = 1;
/// `XSyncAlarmNotify`, to be added to the extension's first event.
pub(super) const ALARM_NOTIFY: c_int = 1;
/// `XSyncPositiveTransition`.
pub(super) const POSITIVE_TRANSITION: u32 = 0;
/// `XSyncNegativeTransition`.
pub(super) const NEGATIVE_TRANSITION: u32 = 1;
/// `XSyncCACounter | XSyncCAValueType | XSyncCAValue | XSyncCATestType | XSyncCADelta | XSyncCAEvents`.
pub(super) const ALARM_ATTRIBUTES: c_ulong = 0b11_1111;

unsafe extern "C" {
    /// Since libX11 1.7: what is called in place of `exit` when `display`'s connection breaks.
    #[link_name = "XSetIOErrorExitHandler"]
    pub(super) fn set_io_error_exit_handler(display: *mut xlib::Display, handler: Option<IoErrorExitHandler>, data: *mut c_void);

    /// The crate passes the display by value here.
    #[link_name = "XFixesSelectCursorInput"]
    pub(super) fn select_cursor_input(display: *mut xlib::Display, window: xlib::Window, mask: c_ulong);
}

// The crate declares MIT-SHM and SYNC but links their library only with features that need a different one.
#[link(name = "Xext")]
unsafe extern "C" {
    /// The crate's plane mask is an `int`, the library's a `long`.
    #[link_name = "XShmGetImage"]
    pub(super) fn shm_get_image(
        display: *mut xlib::Display,
        drawable: xlib::Drawable,
        image: *mut xlib::XImage,
        x: c_int,
        y: c_int,
        plane_mask: c_ulong,
    ) -> xlib::Bool;
}

#[link(name = "Xdamage")]
unsafe extern "C" {
    #[link_name = "XDamageQueryExtension"]
    pub(super) fn damage_query_extension(display: *mut xlib::Display, event_base: *mut c_int, error_base: *mut c_int) -> xlib::Bool;

    #[link_name = "XDamageQueryVersion"]
    pub(super) fn damage_query_version(display: *mut xlib::Display, major: *mut c_int, minor: *mut c_int) -> xlib::Status;

    #[link_name = "XDamageCreate"]
    pub(super) fn damage_create(display: *mut xlib::Display, drawable: xlib::Drawable, level: c_int) -> DamageId;

    #[link_name = "XDamageSubtract"]
    pub(super) fn damage_subtract(display: *mut xlib::Display, damage: DamageId, repair: xlib::XID, parts: xlib::XID);
}
