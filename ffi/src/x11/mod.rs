//! The screen as pictures: an X11 root window read through shared memory, only where it changed, with the cursor drawn in.
//!
//! [`Display`] is a connection that survives the death of its X server as an error ([`Remedy::Rebuild`](crate::Remedy)), where plain
//! Xlib would end the process. [`Screen`] reads the root window through it. [`bgra_to_i420`] makes what it read fit for an encoder.
//!
//! The X server tells what changed; nobody asks it. While nothing changes, [`Screen::is_stale`] is a look at a flag, without a system
//! call. A worker waits for [`Screen::fd`] to become readable, hands that to [`Screen::handle_events`], and at its next frame time
//! grabs, if the screen is stale:
//!
//! ```no_run
//! use crosspoint_ffi::I420Mut;
//! use crosspoint_ffi::x11::{Display, Screen, bgra_to_i420};
//!
//! # fn main() -> crosspoint_ffi::Result<()> {
//! let mut screen = Screen::new(Display::open(Some(":0"))?)?;
//! let (width, height) = screen.size();
//! let (width, height) = (width & !1, height & !1);
//! let mut bytes = vec![0; width * height * 3 / 2];
//! let mut picture = I420Mut::packed(&mut bytes, width as u32, height as u32).expect("even and sized");
//! // … poll `screen.fd()`; when it is readable:
//! screen.handle_events()?;
//! // … at frame time:
//! if screen.is_stale() {
//!     let grab = screen.grab()?;
//!     for rows in grab.rows {
//!         bgra_to_i420(&grab.picture, rows.clone(), &mut picture)?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Copies: 1 by the X server into the segment, 1 pass of conversion out of it (2 more over a socket, without MIT-SHM).

mod convert;
mod cursor;
mod damage;
mod display;
mod layout;
mod pixels;
mod pointer;
mod screen;
mod segment;
mod sys;
#[cfg(test)]
mod tests;

pub use convert::bgra_to_i420;
pub use display::Display;
pub use screen::{Grab, Screen};
