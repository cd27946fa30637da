//! The stages against clips that ffmpeg makes.

mod clip;
mod decode;
mod encode;
mod paint;
mod sound;
