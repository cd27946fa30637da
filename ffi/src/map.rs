//! Files in memory that other processes read.

use std::fs::File;

use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;

use crate::{Error, Remedy, Result};

/// A whole file, mapped shared, of which this process is the one writer.
///
/// ```text
/// file   ┌──────────── length bytes, all reserved ────────────┐   locked exclusively (flock) while this lives
/// memory └── as_slice / as_mut_slice, MAP_SHARED ─────────────┘   readers pread or map it at any time
/// ```
///
/// Copies: 0 (readers of the file see the very pages).
#[derive(Debug)]
pub struct SharedFile {
    map: MmapMut,
    /// Keeps the lock; also what a watch is put on.
    file: File,
}

impl SharedFile {
    /// Locks `file`, makes it `length` bytes, reserves every byte of it and maps it whole. New bytes are zero.
    ///
    /// Reserving comes before mapping: a tmpfs that is full then says so here, and not by a SIGBUS at some later write.
    ///
    /// # Errors
    /// [`Remedy::Report`] when another process holds the lock, the file system is full, or the file is already longer than `length`
    /// (it is never cut: readers rely on its size).
    pub fn new(file: File, length: usize) -> Result<Self> {
        let report = |doing| move |errno: Errno| Error::system(doing, Remedy::Report, errno);
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
            if errno == Errno::WOULDBLOCK {
                Error::new("locking the file", Remedy::Report, "another process is writing it")
            } else {
                report("locking the file")(errno)
            }
        })?;
        let stat = rustix::fs::fstat(&file).map_err(report("looking at the file"))?;
        if stat.st_size > i64::try_from(length).unwrap_or(i64::MAX) {
            return Err(Error::new("mapping the file", Remedy::Report, format!("it has {} bytes, not {length}", stat.st_size)));
        }
        fallocate(&file, FallocateFlags::empty(), 0, length as u64).map_err(report("reserving the file's space"))?;
        // SAFETY: the pages exist (fallocate above) and stay: this process holds the exclusive lock that every Crosspoint takes, and no
        // Crosspoint cuts a file (the check above refuses a longer one); a reader needs no right to write. Other processes only read, so
        // this process is the one writer and `&mut self` orders its own accesses.
        let map = unsafe { MmapOptions::new().len(length).populate().map_mut(&file) };
        let map = map.map_err(|error| Error::system("mapping the file", Remedy::Report, error))?;
        Ok(Self { map, file })
    }

    /// The file's bytes, to write. A reader may see any mixture of old and new bytes until the last write is done.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// The file's bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// The file, for a watch or its name; to cut it would break the mapping.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &std::path::Path) -> File {
        File::options().read(true).write(true).create(true).truncate(false).open(path).expect("opened")
    }

    #[test]
    fn writes_are_seen_by_readers_of_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("camera");
        let mut shared = SharedFile::new(open(&path), 8).expect("mapped");
        shared.as_mut_slice()[2..5].copy_from_slice(b"abc");
        assert_eq!(std::fs::read(&path).expect("read"), b"\0\0abc\0\0\0");
        assert_eq!(shared.as_slice().len(), 8);
    }

    #[test]
    fn second_writer_and_longer_file_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("camera");
        let shared = SharedFile::new(open(&path), 8).expect("mapped");
        let second = SharedFile::new(open(&path), 8).expect_err("locked");
        assert!(second.to_string().contains("another process"), "{second}");
        drop(shared);
        assert!(SharedFile::new(open(&path), 4).is_err(), "never cut");
        assert!(SharedFile::new(open(&path), 8).is_ok(), "the lock went with its owner");
    }
}
