//! The stages against clips that ffmpeg makes.

mod clip;
mod decode;
mod encode;
mod http;
mod input;
mod lend;
mod network;
mod paint;
mod sound;
