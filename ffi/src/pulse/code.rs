//! The library's error numbers.

use std::ffi::CStr;
use std::fmt;

use libpulse_sys as pa;

/// An error number of libpulse, kept as the integer it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Code(i32);

impl Code {
    pub(super) const ACCESS: Self = Self(pa::PA_ERR_ACCESS as i32);
    pub(super) const INVALID: Self = Self(pa::PA_ERR_INVALID as i32);
    pub(super) const INVALID_SERVER: Self = Self(pa::PA_ERR_INVALIDSERVER as i32);
    pub(super) const NO_ENTITY: Self = Self(pa::PA_ERR_NOENTITY as i32);

    /// The number of what last failed on `context`.
    ///
    /// # Safety
    /// `context` points to a context that has not been freed.
    pub(super) unsafe fn last(context: *const pa::pa_context) -> Self {
        // SAFETY: the caller's duty; the function only reads a field, in every state of the context.
        Self(unsafe { pa::pa_context_errno(context) })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: takes any integer and returns a string of static lifetime, or (older versions, unknown number) null.
        let text = unsafe { pa::pa_strerror(self.0) };
        if text.is_null() {
            return write!(f, "error {}", self.0);
        }
        // SAFETY: not null, so it is the static, NUL-terminated string that the manual of `pa_strerror` promises.
        let text = unsafe { CStr::from_ptr(text) };
        f.write_str(&text.to_string_lossy())
    }
}
