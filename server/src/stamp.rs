//! Whether a file is still the one that was read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

/// What changes with a file: when it was written, its length and which it is; nothing of one that is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    /// Of the file that `path` leads to now.
    pub(crate) fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().and_then(|metadata| Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))))
    }
}
