//! The memory that the X server writes the screen into.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::{io, slice};

use x11::{xlib, xshm};

use super::display::Display;
use super::layout::Layout;
use super::sys;
use crate::{Error, Remedy, Result};

/// A System V shared memory segment of the whole screen's size, attached by us and by the X server (MIT-SHM).
///
/// Row `y` is at `y · stride`. `XShmGetImage` packs the rows it reads at the rectangle's own width, so bands are always full width.
#[derive(Debug)]
pub(super) struct Segment {
    frame: Frame,
    memory: Attachment,
    stride: usize,
    layout: Layout,
}

/// The Xlib side of a [`Segment`]: an image, and the description of its memory that it points at. Both are freed by `Drop`.
#[derive(Debug)]
struct Frame {
    /// From `XShmCreateImage`; its `obdata` points to `info`.
    image: NonNull<xlib::XImage>,
    /// From a leaked Box.
    info: NonNull<xshm::XShmSegmentInfo>,
}

/// Our attachment to a System V segment; detached by `Drop`.
#[derive(Debug)]
struct Attachment {
    id: i32,
    /// What `shmat` answered: `bytes` bytes.
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: all pointers are to memory this struct alone owns and that is tied to no thread.
unsafe impl Send for Segment {}

impl Segment {
    /// Makes a segment for `width` × `height` pixels of `visual` at `depth`, or nothing when the server has no MIT-SHM or cannot reach
    /// our memory (it runs on another machine or in another IPC namespace).
    ///
    /// # Errors
    /// When the connection is lost, the kernel gives no memory, or the pixels are packed in a way we do not know.
    pub(super) fn new(display: &Display, visual: *mut xlib::Visual, depth: u32, width: usize, height: usize) -> Result<Option<Self>> {
        const DOING: &str = "sharing memory with the X server";
        display.check(DOING)?;
        // SAFETY: the connection is not lost.
        if unsafe { xshm::XShmQueryExtension(display.raw()) } == xlib::False {
            return Ok(None);
        }
        let blank = xshm::XShmSegmentInfo { shmseg: 0, shmid: 0, shmaddr: ptr::null_mut(), readOnly: xlib::False };
        let info = NonNull::from(Box::leak(Box::new(blank)));
        let (w, h) = (width as u32, height as u32);
        let no_data = ptr::null_mut();
        // SAFETY: asks the server nothing; `visual` belongs to the display and `info` lives as long as the image (below, `Drop`).
        let image = unsafe { xshm::XShmCreateImage(display.raw(), visual, depth, xlib::ZPixmap, no_data, info.as_ptr(), w, h) };
        let Some(image) = NonNull::new(image) else {
            // SAFETY: leaked above, and no image points at it.
            drop(unsafe { Box::from_raw(info.as_ptr()) });
            return Err(Error::new(DOING, Remedy::Report, "the image is refused"));
        };
        let frame = Frame { image, info };
        // SAFETY: XShmCreateImage answered an initialised image, ours alone.
        let geometry = unsafe { image.as_ref() };
        let layout = Layout::new(geometry)?;
        let stride = usize::try_from(geometry.bytes_per_line).unwrap_or(0);
        let memory = Attachment::new(stride * height)?;
        let shared = xshm::XShmSegmentInfo { shmseg: 0, shmid: memory.id, shmaddr: memory.start.as_ptr().cast(), readOnly: xlib::False };
        // SAFETY: ours alone; nothing reads it meanwhile.
        unsafe { info.write(shared) };
        // SAFETY: the connection is not lost (nothing was asked since the check that could have told); `info` is filled in.
        let attached = unsafe { xshm::XShmAttach(display.raw(), info.as_ptr()) } != xlib::False;
        // The refusal of an X server that cannot see our memory comes as a protocol error.
        let seen = display.sync(DOING);
        display.check(DOING)?;
        // Both sides are attached, or will not be: the kernel may free the segment with the last of them, however that ends.
        memory.doom();
        if !attached || seen.is_err() {
            return Ok(None);
        }
        Ok(Some(Self { frame, memory, stride, layout }))
    }

    /// Has the server write `rows` of `window` to their place.
    ///
    /// # Errors
    /// When the connection is lost or the server refuses (the screen may have become smaller).
    ///
    /// Copies: 1 (by the server, out of its framebuffer).
    pub(super) fn read(&mut self, display: &Display, window: xlib::Window, rows: Range<usize>) -> Result<()> {
        const DOING: &str = "reading the screen";
        display.check(DOING)?;
        let start = rows.start * self.stride;
        assert!(rows.end * self.stride <= self.memory.bytes, "inside the segment");
        // SAFETY: `start` is inside the attachment by the assertion (rows are not reversed, or it is a smaller start).
        let data = unsafe { self.memory.start.add(start) };
        // SAFETY: the image is ours alone, and Xlib is not inside it between calls.
        let image = unsafe { self.frame.image.as_mut() };
        image.height = rows.len() as i32;
        image.data = data.as_ptr().cast();
        // SAFETY: the connection is not lost. The server writes `height` rows of `stride` bytes from `data` on, inside the segment by
        // the assertion (it checks against the segment's size too), and answers after it has: nobody writes when this has returned.
        let done = unsafe { sys::shm_get_image(display.raw(), window, self.frame.image.as_ptr(), 0, rows.start as i32, sys::ALL_PLANES) };
        if done == xlib::False {
            return Err(display.refusal(DOING));
        }
        Ok(())
    }

    /// Tells the server to let go of the segment. A closed connection does that too.
    pub(super) fn detach(&mut self, display: &Display) -> Result<()> {
        display.check("giving shared memory back")?;
        // SAFETY: the connection is not lost; `info` names the segment attached in `new`.
        unsafe { xshm::XShmDetach(display.raw(), self.frame.info.as_ptr()) };
        Ok(())
    }

    /// The bytes from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// How a pixel is packed.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The screen as last read.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: attached and `bytes` long until `Drop`. The kernel zeroed it, so it is initialised. The server, the only other process
        // with the segment, writes only in answer to `XShmGetImage`, which `read` waits for under `&mut self`: not during this borrow.
        // After a `read` that did not come back whole, the connection is lost or the server answered an error instead of writing.
        unsafe { slice::from_raw_parts(self.memory.start.as_ptr(), self.memory.bytes) }
    }

    /// The screen as last read, to draw on.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; and `&mut self` makes ours the only view.
        unsafe { slice::from_raw_parts_mut(self.memory.start.as_ptr(), self.memory.bytes) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: from XShmCreateImage, whose own destroy function frees the image and neither its data nor `obdata`.
        unsafe { xlib::XDestroyImage(self.image.as_ptr()) };
        // SAFETY: leaked from a Box in `Segment::new`; the only thing that pointed at it was freed above.
        drop(unsafe { Box::from_raw(self.info.as_ptr()) });
    }
}

impl Attachment {
    fn new(bytes: usize) -> Result<Self> {
        const DOING: &str = "making shared memory for the screen";
        if bytes == 0 {
            return Err(Error::new(DOING, Remedy::Report, "an empty screen"));
        }
        // SAFETY: no pointers. Readable and writable by this user (and root) only.
        let id = unsafe { libc::shmget(libc::IPC_PRIVATE, bytes, libc::IPC_CREAT | 0o600) };
        if id == -1 {
            return Err(Error::system(DOING, Remedy::Report, io::Error::last_os_error()));
        }
        // SAFETY: attaches at an address the kernel chooses, so over nothing of ours.
        let start = unsafe { libc::shmat(id, ptr::null(), 0) };
        let start = (start.addr() != usize::MAX).then(|| NonNull::new(start.cast::<u8>())).flatten();
        let Some(start) = start else {
            let error = io::Error::last_os_error();
            doom(id);
            return Err(Error::system(DOING, Remedy::Report, error));
        };
        Ok(Self { id, start, bytes })
    }

    /// Marks the segment to be freed with its last attachment.
    fn doom(&self) {
        doom(self.id);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // For the ways out of `Segment::new` before it did; refused harmlessly when it is done already and the server is not attached.
        self.doom();
        // SAFETY: the address `shmat` answered, attached until here; every borrow of it has ended with its owner.
        unsafe { libc::shmdt(self.start.as_ptr().cast::<c_void>()) };
    }
}

fn doom(id: i32) {
    // SAFETY: IPC_RMID takes no buffer.
    unsafe { libc::shmctl(id, libc::IPC_RMID, ptr::null_mut()) };
}
