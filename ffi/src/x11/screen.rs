//! The root window as a picture that follows the screen.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use x11::xlib;

use super::cursor::Cursor;
use super::damage::{Bands, Damage};
use super::display::Display;
use super::pixels::Pixels;
use super::sys;
use crate::{Bgra, Error, Remedy, Result};

/// The screen of a [`Display`]: its root window with everything in it, and the cursor.
#[derive(Debug)]
pub struct Screen {
    root: xlib::Window,
    pixels: Pixels,
    damage: Damage,
    cursor: Cursor,
    /// The size that the server said last; `pixels` follow at the next grab.
    size: (usize, usize),
    /// What the last grab changed in the picture.
    changed: Bands,
    notes: Vec<&'static str>,
    display: Display,
}

/// What [`Screen::grab`] saw.
#[derive(Debug)]
pub struct Grab<'a> {
    /// The whole screen, cursor drawn in; its size is the screen's, odd or not.
    pub picture: Bgra<'a>,
    /// The rows that differ from the grab before, in bands from even rows to even rows (or the picture's end). Empty when nothing changed.
    pub rows: &'a [Range<usize>],
}

impl Screen {
    /// Starts to follow the root window of `display`.
    ///
    /// # Errors
    /// [`Remedy::Report`] when the screen's size or pixel layout is none we can broadcast, [`Remedy::Rebuild`] when the connection is
    /// lost, [`Remedy::Retry`] when the server refuses something it should not.
    pub fn new(display: Display) -> Result<Self> {
        const DOING: &str = "following the screen";
        display.check(DOING)?;
        // SAFETY: a field of the open connection.
        let root = unsafe { xlib::XDefaultRootWindow(display.raw()) };
        // A root window that changes size is reconfigured: that tells what RandR does too.
        // SAFETY: the connection is not lost; only queues a request.
        unsafe { xlib::XSelectInput(display.raw(), root, xlib::StructureNotifyMask) };
        display.sync(DOING)?;
        let damage = Damage::new(&display, root)?;
        let cursor = Cursor::new(&display, root)?;
        let size = root_size(&display, root)?;
        let pixels = pixels(&display, size)?;
        let notes = [
            (pixels.is_shared(), "no shared memory with the X server (MIT-SHM): the screen is read through the socket, 30 times dearer"),
            (damage.is_watching(), "the X server has no DAMAGE extension: the whole screen is read and compared for every frame"),
            (cursor.is_watching(), "the X server has no XFIXES extension: the cursor is not drawn"),
            (cursor.is_pointer_watched(), "the X server has no IDLETIME counter: the pointer is asked for at every frame"),
        ];
        let notes = notes.into_iter().filter(|(fine, _)| !fine).map(|(_, note)| note).collect();
        Ok(Self { root, pixels, damage, cursor, size, changed: Bands::default(), notes, display })
    }

    /// Takes note of what the server sent; to be called when [`Screen::fd`] is readable.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the connection is lost.
    pub fn handle_events(&mut self) -> Result<()> {
        const DOING: &str = "reading the X server's events";
        loop {
            self.display.check(DOING)?;
            // SAFETY: the connection is not lost.
            let queued = unsafe { xlib::XEventsQueued(self.display.raw(), sys::QUEUED_AFTER_READING) };
            self.display.check(DOING)?;
            if queued <= 0 {
                return Ok(());
            }
            for _ in 0..queued {
                let mut event = MaybeUninit::<xlib::XEvent>::zeroed();
                // SAFETY: an event is queued, so Xlib takes it and reads nothing from the connection.
                unsafe { xlib::XNextEvent(self.display.raw(), event.as_mut_ptr()) };
                // SAFETY: zeroed and then written; every member of the union is made of integers and raw pointers.
                let event = unsafe { event.assume_init() };
                self.handle_event(&event);
            }
        }
    }

    /// Reads what changed since the last grab into the picture, and draws the cursor.
    ///
    /// With nothing changed this asks the server nothing. A screen of another size gives a picture of that size.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the connection is lost, [`Remedy::Report`] when the screen grew beyond what we can broadcast,
    /// [`Remedy::Retry`] when the server refuses (a resize on its way); the next grab then reads everything.
    ///
    /// Copies: 1 of the changed rows, by the server (see [`Screen::notes`] for when it is more).
    pub fn grab(&mut self) -> Result<Grab<'_>> {
        self.display.check("reading the screen")?;
        self.changed.clear();
        if self.is_stale() {
            if let Err(error) = self.refresh() {
                self.recover(&error);
                return Err(error);
            }
            // Events that came in among the replies are in Xlib's memory, where poll does not see them.
            self.handle_events()?;
        }
        Ok(Grab { picture: self.pixels.as_bgra(), rows: self.changed.as_slice() })
    }

    /// Says that the next grab reads everything: its picture starts anew.
    pub fn damage_everything(&mut self) {
        self.damage.damage_everything();
    }

    /// Whether a grab might see something new. Costs nothing: it asks neither the server nor the kernel.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.damage.is_some() || self.cursor.is_stale() || self.size != self.pixels.size()
    }

    /// Columns and rows of the screen, as the server said last: those of the next grab.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// What readable means there are events, and hung up that the server is gone.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.display.as_fd()
    }

    /// What this server lacks and what that costs, for people; empty when all is well.
    #[must_use]
    pub fn notes(&self) -> &[&'static str] {
        &self.notes
    }

    fn handle_event(&mut self, event: &xlib::XEvent) {
        if event.get_type() == xlib::ConfigureNotify {
            let configure = xlib::XConfigureEvent::from(event);
            if configure.window == self.root {
                self.size = (configure.width.max(0) as usize, configure.height.max(0) as usize);
            }
        }
        self.damage.handle_event(event.get_type());
        self.cursor.handle_event(event);
    }

    fn refresh(&mut self) -> Result<()> {
        if self.size != self.pixels.size() {
            self.pixels.release(&self.display)?;
            self.cursor.forget_drawn();
            self.damage.damage_everything();
            self.pixels = pixels(&self.display, self.size)?;
        }
        self.damage.take(&self.display, self.size.1, &mut self.changed)?;
        let cursor_changed = self.cursor.update(&self.display, self.root)?;
        if self.changed.as_slice().is_empty() && !cursor_changed {
            return Ok(());
        }
        let hidden = self.cursor.lift(&mut self.pixels);
        for rows in self.changed.as_slice() {
            self.pixels.read(&self.display, self.root, rows.clone())?;
        }
        if !self.damage.is_watching() {
            self.pixels.find_changes(&mut self.changed);
        }
        let shown = self.cursor.draw(&mut self.pixels);
        if cursor_changed {
            self.changed.insert(hidden, self.size.1);
            self.changed.insert(shown, self.size.1);
        }
        Ok(())
    }

    /// After a refusal: nothing is known of the picture, and the size may be the reason.
    fn recover(&mut self, error: &Error) {
        self.changed.clear();
        self.damage.damage_everything();
        if error.remedy() == Remedy::Retry {
            self.size = root_size(&self.display, self.root).unwrap_or(self.size);
        }
    }
}

fn root_size(display: &Display, root: xlib::Window) -> Result<(usize, usize)> {
    const DOING: &str = "asking for the screen's size";
    display.check(DOING)?;
    let (mut window, mut x, mut y, mut width, mut height, mut border, mut depth) = (0, 0, 0, 0, 0, 0, 0);
    // SAFETY: the connection is not lost; the out pointers are locals.
    let done = unsafe {
        xlib::XGetGeometry(
            display.raw(),
            root,
            &raw mut window,
            &raw mut x,
            &raw mut y,
            &raw mut width,
            &raw mut height,
            &raw mut border,
            &raw mut depth,
        )
    };
    if done == 0 {
        return Err(display.refusal(DOING));
    }
    Ok((width as usize, height as usize))
}

fn pixels(display: &Display, (width, height): (usize, usize)) -> Result<Pixels> {
    // What `VideoFormat` allows, once the odd column and row are left out.
    if !(16..3842).contains(&width) || !(16..2162).contains(&height) {
        let detail = format!("{width}x{height} is outside 16x16 to 3840x2160");
        return Err(Error::new("following the screen", Remedy::Report, detail));
    }
    // SAFETY: a field of the open connection.
    let screen = unsafe { xlib::XDefaultScreen(display.raw()) };
    // SAFETY: a field of the open connection, for a screen it has.
    let visual = unsafe { xlib::XDefaultVisual(display.raw(), screen) };
    // SAFETY: as above.
    let depth = unsafe { xlib::XDefaultDepth(display.raw(), screen) };
    Pixels::new(display, visual, depth.max(0) as u32, width, height)
}
