//! Bytes to packets and back; no pipeline state.

pub mod annexb;
pub mod mp3;
pub mod ts;
pub mod y4m;
