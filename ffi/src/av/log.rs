//! Where FFmpeg's own log goes.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::sync::{Once, RwLock};

use ffmpeg_sys_next as ff;

/// How grave a line of FFmpeg's log is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Something was lost.
    Error,
    /// Something is odd; with damaged input, one line per damage.
    Warning,
    /// For people at a terminal.
    Info,
    /// For FFmpeg's developers.
    Debug,
}

/// Routes FFmpeg's log, for the whole process, to `log`, or silences it (the default).
///
/// `log` gets whole lines without the line end, from whatever thread FFmpeg is in; more than one thread may call it at once. Lines
/// longer than 1023 bytes are cut. A panic in it is swallowed. On other machines than x86-64 the log stays silent: the
/// callback's argument list has no portable type.
pub fn set_log(log: Option<fn(LogLevel, &str)>) {
    install();
    *HOOK.write().unwrap_or_else(std::sync::PoisonError::into_inner) = log;
}

/// Makes FFmpeg's log ours; every constructor that opens a codec calls it.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `on_line` has the type FFmpeg calls, lives for ever, and may be called from any thread.
        unsafe {
            ff::av_log_set_callback(Some(on_line));
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: sets one integer inside libavutil.
        unsafe {
            ff::av_log_set_level(ff::AV_LOG_QUIET);
        }
    });
}

/// Forgets what [`has_unknown_host`] says.
pub(super) fn forget_unknown_host() {
    UNKNOWN_HOST.set(false);
}

/// Whether FFmpeg complained on this thread that it does not know a host: of all it says, that alone has no code of its own.
pub(super) fn has_unknown_host() -> bool {
    UNKNOWN_HOST.get()
}

#[cfg(target_arch = "x86_64")]
unsafe extern "C" fn on_line(context: *mut c_void, level: c_int, format: *const c_char, arguments: *mut ff::__va_list_tag) {
    // Bits above the low eight are a colour.
    let level = level & 0xff;
    if level > ff::AV_LOG_DEBUG {
        return;
    }
    if level == ff::AV_LOG_ERROR && !format.is_null() {
        // SAFETY: FFmpeg's formats are terminated texts, and this one lives at least as long as the call.
        let format = unsafe { CStr::from_ptr(format) }.to_bytes();
        // What TCP and SRT say, and what UDP says.
        if format.starts_with(b"Failed to resolve hostname") || format.starts_with(b"getaddrinfo(") {
            let _ = UNKNOWN_HOST.try_with(|unknown| unknown.set(true));
        }
    }
    let hook = *HOOK.read().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(hook) = hook else { return };
    let grade = if level <= ff::AV_LOG_ERROR {
        LogLevel::Error
    } else if level <= ff::AV_LOG_WARNING {
        LogLevel::Warning
    } else if level <= ff::AV_LOG_INFO {
        LogLevel::Info
    } else {
        LogLevel::Debug
    };
    let mut line: [c_char; 1024] = [0; 1024];
    let mut prefix: c_int = 1;
    // SAFETY: the first four arguments are those FFmpeg gave this callback for exactly this call; the array is as long as said and
    // what is written is cut to it and ends with a zero.
    unsafe { ff::av_log_format_line2(context, level, format, arguments, line.as_mut_ptr(), 1024, &raw mut prefix) };
    // SAFETY: the array was zeroed and the call writes a terminated string, so a zero is inside; it is not written any more.
    let line = unsafe { CStr::from_ptr(line.as_ptr()) };
    let line = line.to_string_lossy();
    // Unwinding into C would be undefined; what the hook lost it has lost.
    let _ = catch_unwind(|| hook(grade, line.trim_end()));
}

type Hook = fn(LogLevel, &str);

thread_local! {
    static UNKNOWN_HOST: Cell<bool> = const { Cell::new(false) };
}

static HOOK: RwLock<Option<Hook>> = RwLock::new(None);
