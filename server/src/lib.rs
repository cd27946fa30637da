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
//!
//! Media moves on named threads, one loop each, and meets the network thread in bounded queues. The whole of it, as a
//! program that embeds it has it:
//!
//! ```
//! use clap::Parser as _;
//! use crosspoint_server::config::Cli;
//! use crosspoint_server::runtime::Io;
//! use crosspoint_server::serve;
//!
//! let nothing_but_http = ["crosspoint", "--listen=127.0.0.1:0", "--no-udp", "--rtmp-listen=off", "--rtmps-listen=off", "--camera=off", "--microphone=off"];
//! let config = Cli::parse_from(nothing_but_http).config;
//! Io::choose(config.io)?.block_on(async {
//!     let (end, ends) = tokio::sync::mpsc::channel(1);
//!     serve(config, ends, move |ready| {
//!         assert_ne!(ready.listen.port(), 0, "it listens");
//!         end.try_send(()).expect("nobody has ended it yet");
//!     })
//!     .await
//! })?;
//! # Ok::<(), crosspoint_server::Error>(())
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
mod timer;
mod tokens;
mod worker;
pub mod ws;

pub use error::Error;
pub use serve::{Ready, run, serve, serve_with};
