//! The crate's one error: what we were doing, what to do about it, and what the library said.

use std::fmt;

/// A result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller does about an [`Error`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remedy {
    /// This unit (packet, frame) is bad: drop it and go on.
    Drop,
    /// The stage is broken or its device is gone: tear it down and build it anew.
    Rebuild,
    /// Nothing helps but a person: a thing is missing, refused or misconfigured.
    Report,
    /// The same call may succeed later.
    Retry,
}

/// What failed inside a C library or the kernel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    doing: &'static str,
    remedy: Remedy,
    detail: String,
}

impl Error {
    /// Makes an error from what was being done (a verb phrase, lower case), the remedy and what was said.
    #[must_use]
    pub fn new(doing: &'static str, remedy: Remedy, detail: impl Into<String>) -> Self {
        Self { doing, remedy, detail: detail.into() }
    }

    /// Makes an error from an operating-system error.
    #[must_use]
    pub fn system(doing: &'static str, remedy: Remedy, cause: impl Into<std::io::Error>) -> Self {
        Self::new(doing, remedy, cause.into().to_string())
    }

    /// Says what was being done.
    #[must_use]
    pub fn doing(&self) -> &'static str {
        self.doing
    }

    /// Says what the caller should do next.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        self.remedy
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.detail)
    }
}

impl std::error::Error for Error {}
