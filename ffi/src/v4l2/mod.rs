//! V4L2 devices that take pictures: v4l2loopback, which shows them to browsers as a camera.
//!
//! An [`Output`] maps the driver's buffers, publishes pictures from them and keeps its readers going. What v4l2loopback 0.12.7 does, seen on
//! Debian's kernel, is what this room rests on:
//!
//! - Readers map the very buffers that the writer maps. Nothing owns them: any may be published at any time, and `DQBUF` of an output gives
//!   back the newest, never a free one. So the account is kept in a [`Pool`](crate::lend::Pool), and `DQBUF` is not called.
//! - `REQBUFS` is everybody's. A reader that asks for fewer buffers shrinks the ring for all: buffer `i` is then published as `i` modulo
//!   the new number. We ask for the four that Chromium asks for, look at the buffers' offsets before each picture, and use what is left.
//! - Any `REQBUFS` takes every buffer's mark that it is mapped, without which readers get `EINVAL`. We see the marks before each picture and
//!   set them again by mapping a page of each.
//! - With a reader open, `S_FMT` of another size succeeds and changes nothing. We go on with the size there is, scaled.
//! - With `exclusive_caps=1` a device can be written until somebody streams into it and read only then. Without it nothing keeps two writers
//!   apart, so we lock the node. A writer that only called `write()` leaves a device that is neither; to stream into it and close it brings it back.
//! - A mapping keeps its file open. A device is free when the last slot that was lent to a decoder has come back.
//!
//! | | copies of a picture after its decoding |
//! |---|---|
//! | made in a buffer that was lent | 0 |
//! | made elsewhere | 1: scaled or copied into a buffer |
//! | made elsewhere, and the device insists on NV12 or YUYV | 2 |
//! | the device refuses mapping | 1 more: `write()` |

mod driver;
pub mod fake;
mod output;
mod pack;
pub mod sys;

pub use driver::{Call, Driver, Kernel};
pub use output::Output;

use std::path::Path;

/// Whether there is a v4l2loopback device at `path`, whoever writes it.
#[must_use]
pub fn is_loopback(path: &Path) -> bool {
    let mut capability = sys::Capability::default();
    Kernel::open(path).is_ok_and(|device| device.call(Call::QueryCapability(&mut capability)).is_ok() && output::is_loopback(&capability))
}
