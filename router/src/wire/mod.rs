//! Bytes to packets and back; no pipeline state.

pub mod annexb;
mod bits;
pub mod flv;
pub mod h264;
pub mod ivf;
pub mod mp3;
pub mod rtmp;
pub mod sound;
pub mod ts;
pub mod y4m;
