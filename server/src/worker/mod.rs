//! The media threads: one named, blocking loop each. Only here are the stages of `router` and the devices of `ffi` joined.

pub(crate) mod decode;
pub(crate) mod mirror;
pub(crate) mod present;
pub(crate) mod pull;
pub(crate) mod screen;
pub(crate) mod sound;
mod trouble;

pub(crate) use trouble::Trouble;

use std::thread::{Builder, JoinHandle};

/// Starts a named thread.
fn start(name: &'static str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name.to_owned()).spawn(body)
}
