//! The binary `crosspoint`: configuration, sockets, worker threads, HTTP and WebSocket, the pages.
//!
//! [`run`] is the whole life of the process between its command line and its exit. One thread, the network thread, owns every socket
//! and the [`app::App`]; a connection goes left to right and each room knows only the next one:
//!
//! ```text
//! net (accept, sniff) ─▶ http (who may call, route, JSON) ─▶ app (what runs)
//!       │                               └─ upgrade ─▶ ws ─▶ app
//!       └─▶ rtmp (players; and the pushes that app starts) ─▶ app
//! ```
#![forbid(unsafe_code)]

pub mod app;
pub mod check;
pub mod config;
pub mod log;
pub mod runtime;
pub mod shutdown;
pub mod systemd;
pub mod wrapper;

mod broadcast;
mod devices;
mod error;
mod fanout;
mod feed;
mod histogram;
mod http;
mod net;
mod outlet;
mod pull;
mod rtc;
mod rtmp;
mod serve;
mod stamp;
mod tokens;
mod worker;
pub mod ws;

pub use error::Error;
pub use serve::{Ready, run, serve, serve_with};
