//! Giving memory back that is needed for work and not for waiting.

use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};
use rustix::param::page_size;

/// Gives back what the heap holds of free pages, and the pages of code and constants of the program and its libraries.
///
/// To start and to work reads megabytes of them that nobody needs at rest, and the kernel keeps them resident while there is memory. A page
/// that is needed again comes back by a minor fault, from the file's own pages in the kernel's memory (madvise(2), `MADV_DONTNEED`).
/// To be called once when work is over: called while there is work, all that is worked with has to come back.
///
/// Copies: 0. What was written stays where it is: variables, and constants that the loader relocated.
pub fn trim() {
    // SAFETY: malloc_trim(3) takes a number of bytes to keep at the heap's top, and the heap's own locks.
    unsafe { libc::malloc_trim(0) };
    // SAFETY: dl_iterate_phdr(3) calls `give_back`, which keeps nothing of what it is shown, for each object while the call lasts.
    unsafe { libc::dl_iterate_phdr(Some(give_back), ptr::null_mut()) };
}

/// Gives back the pages of one object that are as its file has them.
unsafe extern "C" fn give_back(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the loader shows a whole `dl_phdr_info`, and changes nothing of it before this returns.
    let object = unsafe { &*object };
    if object.dlpi_phdr.is_null() {
        return GO_ON;
    }
    // SAFETY: not null (above), it is the object's program headers, `dlpi_phnum` of them, mapped for as long as the object is: nothing is
    // unloaded before this returns, since dl_iterate_phdr holds the loader's lock.
    let headers = unsafe { std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()) };
    let base = object.dlpi_addr as usize;
    let dynamic = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC);
    if dynamic.is_some_and(|header| has_text_relocations(base.wrapping_add(header.p_vaddr as usize), header.p_memsz as usize)) {
        return GO_ON;
    }
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        let pages = whole_pages(base.wrapping_add(header.p_vaddr as usize), header.p_filesz as usize, page_size());
        let start = ptr::without_provenance_mut(pages.start);
        // SAFETY: these pages are of a segment that may not be written (no PF_W) and was not written by the loader either (no text
        // relocations, above), so that they are as the file has them, and come back as they were when they are next read or run.
        // A refusal (of pages that are locked, or of the kernel's own object) leaves them as they are.
        let _ = unsafe { madvise(start, pages.len(), Advice::LinuxDontNeed) };
    }
    GO_ON
}

/// Whether the loader wrote into what may not be written, by the dynamic section at `address`.
fn has_text_relocations(address: usize, bytes: usize) -> bool {
    let entries = ptr::with_exposed_provenance::<[usize; 2]>(address);
    (0..bytes / size_of::<[usize; 2]>())
        .map(|index| {
            // SAFETY: the section lies in a segment of an object that is loaded (PT_DYNAMIC), as pairs of words, as many as fit its size; it was
            // written by the loader alone, before the object's own code ran.
            unsafe { entries.wrapping_add(index).read() }
        })
        .take_while(|[tag, _]| *tag != DT_NULL)
        .any(|[tag, value]| tag == DT_TEXTREL || tag == DT_FLAGS && value & DF_TEXTREL != 0)
}

/// The pages that hold nothing but the `bytes` from `address` on.
fn whole_pages(address: usize, bytes: usize, page: usize) -> Range<usize> {
    let (start, end) = (address.next_multiple_of(page), (address + bytes) / page * page);
    start..end.max(start)
}

/// What a callback of dl_iterate_phdr says to see the next object.
const GO_ON: c_int = 0;
/// Of `elf.h`, as are the next; a flag of the first entry's kind is the second's older form.
const DT_NULL: usize = 0;
const DT_TEXTREL: usize = 22;
const DT_FLAGS: usize = 30;
const DF_TEXTREL: usize = 4;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    /// A megabyte of the program's file that needs no relocation, and that nobody reads but the test.
    static CONSTANT: [u8; 1 << 20] = [7; 1 << 20];
    static WRITTEN: AtomicU32 = AtomicU32::new(7);
    /// The loader writes where these are.
    static RELOCATED: [&str; 3] = ["a", "bc", "def"];

    /// How many pages of `bytes` this process has resident, by proc(5)'s pagemap.
    fn resident(bytes: &[u8]) -> usize {
        let file = File::open("/proc/self/pagemap").expect("procfs");
        let pages = whole_pages(bytes.as_ptr().addr(), bytes.len(), page_size());
        let is_present = |page: &usize| {
            let mut entry = [0; 8];
            file.read_exact_at(&mut entry, (page / page_size() * 8) as u64).expect("an entry");
            u64::from_ne_bytes(entry) >> 63 == 1
        };
        pages.step_by(page_size()).filter(is_present).count()
    }

    fn sum() -> u64 {
        black_box(&CONSTANT).iter().map(|&byte| u64::from(byte)).sum()
    }

    #[test]
    fn what_was_read_goes_and_comes_back_and_what_was_written_stays() {
        let before = sum();
        let all = CONSTANT.len() / page_size() - 1;
        assert!(resident(&CONSTANT) >= all, "it was read");
        black_box(&WRITTEN).store(9, Relaxed);
        trim();
        // The kernel maps what lies around a page that is needed, 64 KiB of it.
        assert!(resident(&CONSTANT) <= all / 4, "{} of {all} pages are resident", resident(&CONSTANT));
        assert_eq!((sum(), WRITTEN.load(Relaxed)), (before, 9));
        assert_eq!(black_box(&RELOCATED).concat(), "abcdef");
        assert!(resident(&CONSTANT) >= all, "it came back");
    }

    #[test]
    fn pages_that_hold_something_else_are_left_alone() {
        assert_eq!(whole_pages(0x1000, 0x2000, 0x1000), 0x1000..0x3000);
        assert_eq!(whole_pages(0x1001, 0x2000, 0x1000), 0x2000..0x3000);
        assert_eq!(whole_pages(0x1000, 0x1fff, 0x1000), 0x1000..0x2000);
        assert!(whole_pages(0x1001, 0x10, 0x1000).is_empty());
    }

    #[test]
    fn text_relocations_are_seen_in_either_form() {
        let told = |entries: &[[usize; 2]]| has_text_relocations(entries.as_ptr().expose_provenance(), size_of_val(entries));
        assert!(told(&[[1, 5], [DT_TEXTREL, 0], [DT_NULL, 0]]));
        assert!(told(&[[DT_FLAGS, DF_TEXTREL | 8]]));
        assert!(!told(&[[DT_FLAGS, 8], [DT_NULL, 0], [DT_TEXTREL, 0]]));
        assert!(!told(&[]));
    }
}
