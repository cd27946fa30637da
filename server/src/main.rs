//! The media router for sandboxed browsers.

fn main() {}
