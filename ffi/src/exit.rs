//! Ending the process.

/// Ends the process with `status`, and leaves out what libraries want done at the end (_exit(2)).
///
/// exit(3) does that while other threads still work with those libraries: libX11 takes its locks away, and a thread that closes its display
/// at that moment crashes. Nothing is lost by it but what waits in a buffer of standard output, which the caller flushes.
pub fn exit_at_once(status: i32) -> ! {
    // SAFETY: _exit(2) takes any status, does not return, and uses nothing of this process's memory.
    unsafe { libc::_exit(status) }
}
