//! The load and latency harness of Crosspoint.
//!
//! Each subcommand starts what it needs (or uses what runs), measures one thing from outside, and prints a report: a table for people,
//! JSON for machines. It knows the router only by its contract: HTTP, WebSocket, the camera file and `/proc`.
//!
//! What is measured comes to lie in a [`distribution`], and a report holds figures of it against [`limit`]s:
//!
//! ```
//! use crosspoint_loadtest::distribution::Distribution;
//! use crosspoint_loadtest::limit::Limit;
//!
//! // Pictures are due each 33 ms. Once none came for 330 ms: as many were late as were due meanwhile, not one.
//! let mut apart_ms = Distribution::default();
//! for gap_ms in [33.0, 33.0, 330.0, 33.0] {
//!     apart_ms.record_at_rate(gap_ms, 33.0);
//! }
//! assert_eq!(apart_ms.count(), 13);
//! assert!(apart_ms.percentile(50.0) > Some(100.0), "half of them were more than two pictures late");
//!
//! let limit = Limit::most("--max-apart-ms", Some(50.0), apart_ms.percentile(99.0)).expect("one was given");
//! assert!(!limit.held && limit.measured == Some(330.0), "{limit}");
//! ```
//!
//! | module | is |
//! |---|---|
//! | `camera_latency` | publisher → camera → page, with the frame's number in its pixels |
//! | `fanout` | publisher → relay → hundreds of viewers, beside other relays |
//! | `fanout::rtc` | display → hundreds of WebRTC viewers |
//! | `glass` | display → WebRTC viewer → page, with a number in the picture |
//! | `density` | many sandboxes on one machine, each with a router, a display and a sound server of its own |
//! | `ingest` | publisher → camera, in processor time, beside others |
//! | `idle` | memory of who does nothing |
//! | `view` | viewers of every kind, some of which behave badly, and what each got |
//! | `publishers` | what publishers get through, by WebSocket, WebRTC or WHIP |
//! | `soak` | whether a router stays as it is while viewers come and go |
//! | `peers` | all of these beside others, in one table, and installing the others |
//! | `clip`, `publish` | the frames that are sent, and sending them in real time |
//! | `chromium`, `crosspoint`, `display`, `sound`, `process`, `script`, `scratch` | what is started and written, and that it goes |
//! | `client`, `socket` | HTTP and WebSocket to a router |
//! | `clock`, `code`, `tone`, `distribution`, `usage`, `wait` | time, numbers in pixels and in sound, percentiles, processor time, waiting |
//! | `reader` | reads the camera file as a browser does |
//! | `page`, `sight` | a page that looks at numbered pictures, and which it saw |
//! | `watch` | what a viewer of a transport stream got, checked byte by byte |
//! | `impair` | a bad link, to hold a viewer's account against |
//! | `limit`, `machine`, `plot`, `progress`, `report` | what a figure is held against, what it was measured on, and how it goes out |
//!
//! Exit code: 0 when the given limits held, 1 when one was broken, 2 when nothing could be measured.
#![forbid(unsafe_code)]

mod camera_latency;
mod chromium;
mod cli;
mod client;
mod clip;
mod clock;
mod code;
mod crosspoint;
mod density;
mod display;
pub mod distribution;
mod fanout;
mod glass;
mod idle;
mod impair;
mod ingest;
pub mod limit;
mod machine;
mod page;
mod peers;
mod plot;
mod process;
mod progress;
mod publish;
mod publishers;
mod reader;
mod report;
mod scratch;
mod script;
mod sight;
mod soak;
mod socket;
mod sound;
mod tone;
mod usage;
mod view;
mod wait;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Cli, Command};

/// The whole program: does what its command line says, and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(LIMIT_BROKEN),
        Err(error) => {
            // A closed stderr leaves the exit code to tell.
            let _ = writeln!(std::io::stderr(), "loadtest: {error:#}");
            ExitCode::from(NOT_MEASURED)
        }
    }
}

/// Runs the subcommand; says whether its limits held.
fn run(cli: &Cli) -> Result<bool> {
    // One thread: what is started asks to be ended with the thread that started it, and a quiet generator disturbs least.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Dropping the measurement ends what it started.
        tokio::select! {
            held = measure(cli) => held,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

async fn measure(cli: &Cli) -> Result<bool> {
    match &cli.command {
        Command::CameraLatency(options) => camera_latency::run(options).await,
        Command::Density(options) => density::run(options).await,
        Command::Fanout(options) => fanout::run(options).await,
        Command::FanoutRtc(options) => fanout::rtc::run(options).await,
        Command::Glass(options) => glass::run(options).await,
        Command::Idle(options) => idle::run(options).await,
        Command::Ingest(options) => ingest::run(options).await,
        Command::Peers(options) => peers::run(options).await,
        Command::Publish(options) => publishers::run(options).await,
        Command::Sandbox(options) => density::sandbox::run(options).await,
        Command::Soak(options) => soak::run(options).await,
        Command::View(options) => view::run(options).await,
    }
}

const LIMIT_BROKEN: u8 = 1;
const NOT_MEASURED: u8 = 2;
