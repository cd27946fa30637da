//! The one listener: accepts, tells protocols apart by their first byte, and hands on.

mod sniff;
mod tcp;

pub(crate) use tcp::{accept, listen};
