//! Memory that other processes read: files, and the buffers of devices.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

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

/// Slots of equal size in one stretch of memory, each with a spare page behind it: what reads a little past a picture's end reads zeros.
///
/// ```text
/// memory ┌ slot 0 ┬ spare ┬ slot 1 ┬ spare ┬ …   a slot begins on a page; it is private, or a device's buffer that was laid over it
/// ```
///
/// Copies: 0 (of a slot that is a device's buffer, other processes map the very pages).
#[derive(Debug)]
pub struct Region {
    map: MmapRaw,
    slot_bytes: usize,
    count: usize,
}

impl Region {
    /// Reserves `count` private slots of `slot_bytes` bytes, which are zero.
    ///
    /// # Errors
    /// [`Remedy::Retry`] when there is no memory.
    pub fn new(count: usize, slot_bytes: usize) -> Result<Self> {
        let map = MmapOptions::new().len((count * pitch(slot_bytes)).max(PAGE_BYTES)).map_anon();
        let map = map.map_err(|error| Error::system("reserving memory", Remedy::Retry, error))?;
        Ok(Self { map: map.into(), slot_bytes, count })
    }

    /// Lays what `file` has at `offset` over slot `index`: from then on the slot is that memory.
    ///
    /// # Errors
    /// What `mmap(2)` says.
    ///
    /// # Panics
    /// When there is no such slot.
    pub fn overlay(&mut self, index: usize, file: BorrowedFd<'_>, offset: u64) -> std::result::Result<(), Errno> {
        let place = self.slot(index).as_ptr();
        let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        // SAFETY: `slot` checked the index, so the page-aligned place and `slot_bytes` from it on lie inside our own mapping, of which
        // MAP_FIXED replaces these pages alone; `&mut self` means that nobody uses them. The mapping's owner unmaps them with the rest.
        unsafe { rustix::mm::mmap(place.cast(), self.slot_bytes, rights, flags, file, offset) }.map(drop)
    }

    /// The first byte of slot `index`, of which [`Region::slot_bytes`] and a spare page can be read.
    ///
    /// # Panics
    /// When there is no such slot.
    #[must_use]
    pub fn slot(&self, index: usize) -> NonNull<u8> {
        assert!(index < self.count, "slot {index} of {}", self.count);
        let place = self.map.as_mut_ptr().wrapping_add(index * pitch(self.slot_bytes));
        NonNull::new(place).expect("a mapping is not at address zero")
    }

    /// The slots.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The bytes of a slot, the spare ones not counted.
    #[must_use]
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }
}

/// The bytes from one slot to the next.
fn pitch(slot_bytes: usize) -> usize {
    slot_bytes.next_multiple_of(PAGE_BYTES) + PAGE_BYTES
}

/// The page of every machine that FFmpeg has assembly for.
const PAGE_BYTES: usize = 4_096;

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
    fn device_memory_lies_over_a_slot_and_a_spare_page_behind_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("device");
        let file = open(&path);
        file.set_len(8_192).expect("sized");
        let mut region = Region::new(2, 4_096).expect("memory");
        region.overlay(1, std::os::fd::AsFd::as_fd(&file), 4_096).expect("mapped");
        // SAFETY: the slot has 4096 bytes, and nobody else uses them.
        unsafe { region.slot(1).write(7) };
        // SAFETY: the page behind the slot is of the region.
        let spare = unsafe { region.slot(1).as_ptr().wrapping_add(4_096).read() };
        assert_eq!((std::fs::read(&path).expect("read")[4_096], spare), (7, 0));
        // SAFETY: as above.
        assert_eq!(unsafe { region.slot(0).read() }, 0, "the other slot is our own");
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
