//! What `camera-latency` runs with.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use crosspoint_ffi::VideoFormat;
use serde::Serialize;

use super::{Common, parse_format, parse_millis};

/// All of it.
#[derive(Args, Debug)]
pub(crate) struct CameraLatency {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// How pictures are sent.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) source: Source,
    /// Measure a router that runs on this machine instead of starting one; its video input is taken over for the run.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The browser.
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/chromium")]
    pub(crate) chromium: PathBuf,
    /// How long to send; a second more is sent before it that does not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// The picture's size and rate.
    #[arg(long, value_name = "WIDTHxHEIGHT@RATE", default_value = "1280x720@30", value_parser = parse_format)]
    pub(crate) format: VideoFormat,
    /// The most bits a second, in thousands.
    #[arg(long, value_name = "KBIT", default_value_t = 2_500, value_parser = clap::value_parser!(u32).range(100..=50_000))]
    pub(crate) bitrate_kbps: u32,
    /// Send each frame up to so many milliseconds late, evenly spread.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = parse_millis)]
    pub(crate) jitter_ms: f64,
    /// How the sender's clock stands to the reader's.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) phase: Phase,
    /// Where in the browser to look.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) visible: Visible,
    /// Let the page open the microphone too.
    #[arg(long)]
    pub(crate) microphone: bool,
    /// Write the times of every frame here, as CSV.
    #[arg(long, value_name = "PATH")]
    pub(crate) frames: Option<PathBuf>,
    /// The limits.
    #[command(flatten)]
    pub(crate) limits: CameraLatencyLimits,
}

/// What the figures are held against.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub(crate) struct CameraLatencyLimits {
    /// The most for the median of due to frame in the page, of all frames.
    #[arg(long, value_name = "MS")]
    pub(crate) max_p50_ms: Option<f64>,
    /// The most for its 99th percentile.
    #[arg(long, value_name = "MS")]
    pub(crate) max_p99_ms: Option<f64>,
    /// The most for the median of due to picture displayed, of all frames.
    #[arg(long, value_name = "MS")]
    pub(crate) max_visible_p50_ms: Option<f64>,
    /// The most for the 99th percentile of the router's own part.
    #[arg(long, value_name = "MS")]
    pub(crate) max_server_p99_ms: Option<f64>,
    /// The least share of frames that the page sees.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) min_seen_percent: Option<f64>,
    /// The most pictures that are torn (their top and bottom are of different frames) or unreadable, as a share of all.
    #[arg(long, value_name = "PERCENT")]
    pub(crate) max_torn_percent: Option<f64>,
}

/// How the camera gets its pictures.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// H.264 that was encoded before, in MPEG-TS over a WebSocket.
    #[default]
    Socket,
    /// A canvas of a page in another browser, by WHIP.
    Whip,
}

/// How the sender's clock stands to that of the camera's reader, which samples on its own timer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Phase {
    /// Whatever it happens to be, for the whole run: two runs differ by up to a frame period.
    Fixed,
    /// Slips by one frame period over the run, so that every phase counts alike.
    #[default]
    Sweep,
}

/// Where in the browser frames are looked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Visible {
    /// In both places. Painting keeps a processor busy: where there are few, compare with `page` alone.
    #[default]
    Both,
    /// Where a script gets it: a worker that reads the track.
    Page,
    /// Where a person gets it: the display time of a video element's frames.
    Paint,
}

impl CameraLatency {
    /// The jitter as a time.
    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter_ms / 1e3)
    }
}
