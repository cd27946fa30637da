//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use crosspoint_ffi::VideoFormat;

use crate::code::{MIN_HEIGHT, MIN_WIDTH};
use crate::view::account::Behaviour;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about = "Measures Crosspoint from outside", after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The measurements.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How old a picture is when a page has it: publisher, router, camera, Chromium's getUserMedia.
    #[command(after_long_help = CAMERA_LATENCY)]
    CameraLatency(CameraLatency),
    /// How many sandboxes a machine carries: routers with a display and a sound server each, some of them at work.
    #[command(after_long_help = DENSITY)]
    Density(Density),
    /// What a viewer more costs, on epoll and on io_uring, beside other relays.
    #[command(after_long_help = FANOUT)]
    Fanout(Fanout),
    /// What a WebRTC viewer more costs, with its way estimated and without.
    #[command(after_long_help = FANOUT_RTC)]
    FanoutRtc(FanoutRtc),
    /// How old the screen is when a viewer over WebRTC shows it: display, router, Chromium's video element.
    #[command(after_long_help = GLASS)]
    Glass(Glass),
    /// What memory a router takes that does nothing, beside other servers.
    Idle(Idle),
    /// What a camera's pictures cost from the publisher to the camera, beside ffmpeg.
    #[command(after_long_help = INGEST)]
    Ingest(Ingest),
    /// All of it beside others, in one table: fan-out, screen, camera, memory, and how late pictures are.
    #[command(after_long_help = PEERS)]
    Peers(Peers),
    /// What publishers get through, by WebSocket, WebRTC or WHIP, each to a router of its own.
    #[command(after_long_help = PUBLISH)]
    Publish(Publish),
    /// One sandbox of `density`.
    #[command(hide = true)]
    Sandbox(Sandbox),
    /// Whether a router stays as it is: its memory, descriptors and threads while viewers come and go.
    #[command(after_long_help = SOAK)]
    Soak(Soak),
    /// What viewers of every kind get, some of which stall, read slowly or come and go; over a bad link, if you like.
    #[command(after_long_help = VIEW)]
    View(View),
}

/// Who watches.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Viewers")]
pub(crate) struct CrowdOptions {
    /// How many by WebSocket, of what is published.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) websocket: u32,
    /// How many by RTMP, of a display: needs Xvfb and ffplay.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) rtmp: u32,
    /// How many by WebRTC, of the same.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) webrtc: u32,
    /// How many of a hundred of each kind read for a second and then no more.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) stall: u32,
    /// How many of a hundred read less than comes (but by WebRTC, where nothing waits for a reader).
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) slow: u32,
    /// How many of a hundred leave after about a second and come again.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) leave: u32,
}

impl CrowdOptions {
    /// Whether anybody watches a display.
    pub(crate) fn needs_display(&self) -> bool {
        self.rtmp + self.webrtc > 0
    }

    /// How the viewer of this number behaves among `count` of its kind.
    pub(crate) fn behaviour(&self, nth: u32, count: u32) -> Behaviour {
        let (stall, slow, leave) = (count * self.stall / 100, count * self.slow / 100, count * self.leave / 100);
        match nth {
            _ if nth < stall => Behaviour::Stall,
            _ if nth < stall + slow => Behaviour::Slow,
            _ if nth < stall + slow + leave => Behaviour::Leave,
            _ => Behaviour::Steady,
        }
    }
}

/// What `publish` runs with.
#[derive(Args, Debug)]
pub(crate) struct Publish {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// How many by WebSocket.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) websocket: u32,
    /// How many by WebRTC, by an offer to the camera that is configured for it.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) webrtc: u32,
    /// How many by WHIP.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) whip: u32,
    /// How long to send.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub(crate) seconds: u32,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The least share of what is sent that comes to the camera, of every publisher.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) min_shown_percent: Option<f64>,
    /// The most for the 99th percentile from arrival to the camera, of every publisher, by the router's own count.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_server_p99_ms: Option<f64>,
}

/// What `soak` runs with.
#[derive(Args, Debug)]
pub(crate) struct Soak {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// How long to look.
    #[arg(long, value_name = "MINUTES", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub(crate) minutes: u32,
    /// Who watches.
    #[command(flatten)]
    pub(crate) crowd: CrowdOptions,
    /// Draw its memory over the time into this file, as SVG.
    #[arg(long, value_name = "PATH")]
    pub(crate) plot: Option<PathBuf>,
    /// Print the report, with a sample of each second, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most memory that it may grow by in an hour, by its second half.
    #[arg(long, value_name = "MIB", help_heading = "Limits")]
    pub(crate) max_mib_per_hour: Option<f64>,
    /// The most descriptors more in the last quarter than in the second.
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(crate) max_new_descriptors: Option<f64>,
}

/// What `view` runs with.
#[derive(Args, Debug)]
pub(crate) struct View {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// How long to look.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub(crate) seconds: u32,
    /// Who watches.
    #[command(flatten)]
    pub(crate) crowd: CrowdOptions,
    /// Let all that goes to viewers be late.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = parse_millis, help_heading = "A bad link")]
    pub(crate) delay_ms: f64,
    /// Lose some of the WebSocket messages and the datagrams.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent, help_heading = "A bad link")]
    pub(crate) loss_percent: f64,
    /// Turn a bit over in some of them.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent, help_heading = "A bad link")]
    pub(crate) corrupt_percent: f64,
    /// Draw how old pictures were at WebSocket viewers into this file, as SVG.
    #[arg(long, value_name = "PATH")]
    pub(crate) plot: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The least share of what is published that WebSocket viewers get who read steadily.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) min_pictures_percent: Option<f64>,
    /// The most for the 99th percentile of their pictures' ages.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_age_p99_ms: Option<f64>,
    /// The most for that of the time from one picture to the next, of all who read steadily.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_gap_p99_ms: Option<f64>,
    /// The most packets that never come to WebRTC viewers who read steadily.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_missing_percent: Option<f64>,
    /// The most for the 95th percentile of the time from connecting to the first picture.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_join_p95_ms: Option<f64>,
}

/// What `density` runs with.
#[derive(Args, Debug)]
pub(crate) struct Density {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// How many sandboxes at most; 1, 2, 4 and so on are measured on the way, up to the first that breaks.
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) sandboxes: u32,
    /// How many of a hundred have a 720p30 camera that is fed and read.
    #[arg(long, value_name = "PERCENT", default_value_t = 25, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) cameras: u32,
    /// How many of a hundred have their screen watched.
    #[arg(long, value_name = "PERCENT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) viewers: u32,
    /// How often a second a screen changes that is watched.
    #[arg(long, value_name = "RATE", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=30))]
    pub(crate) changes: u32,
    /// How long each number of sandboxes is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=300))]
    pub(crate) seconds: u32,
    /// Let all share this machine's network, where namespaces cannot be made.
    #[arg(long)]
    pub(crate) no_namespaces: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most that a sandbox may take of a processor on average, in percent.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_cpu_percent: Option<f64>,
    /// The most memory of a router on average, in MiB.
    #[arg(long, value_name = "MIB", help_heading = "Limits")]
    pub(crate) max_mib: Option<f64>,
}

/// What `peers` runs with.
#[derive(Args, Debug)]
pub(crate) struct Peers {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// The browser.
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/chromium")]
    pub(crate) chromium: PathBuf,
    /// Install what is missing first: Debian's packages as root, those of npm and PyPI into the peers' folder.
    #[arg(long)]
    pub(crate) setup: bool,
    /// Measure this alone; may be given again.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Group>,
    /// How often each has its turn.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) rounds: u32,
    /// How long a figure is measured in each round.
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=60))]
    pub(crate) seconds: u32,
    /// How many viewers, of each kind.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(2..=900))]
    pub(crate) viewers: u32,
    /// Where the peers are that come from npm and PyPI.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
    /// Give who relays the first processor for itself, and the load the second.
    #[arg(long)]
    pub(crate) pin: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Hold our medians against the aims.
    #[arg(long, help_heading = "Limits")]
    pub(crate) hold_aims: bool,
}

/// The parts of `peers`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Group {
    /// From the publisher to the camera: cost and latency.
    Camera,
    /// WebSocket and RTMP viewers.
    Fanout,
    /// From the screen to a viewer's page.
    Glass,
    /// Memory of who does nothing.
    Memory,
    /// Capturing and encoding a screen.
    Screen,
    /// WebRTC viewers.
    Webrtc,
}

/// What `ingest` runs with.
#[derive(Args, Debug)]
pub(crate) struct Ingest {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// How long to look.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) seconds: u32,
    /// How often each has its turn.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) rounds: u32,
    /// Measure ffmpeg in the same run, and pixelflux's virtual camera.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Where the peers are that come from npm and PyPI.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most that the router may take of a processor, in percent.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_percent: Option<f64>,
}

/// What `idle` runs with.
#[derive(Args, Debug)]
pub(crate) struct Idle {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// Measure nginx, Janus and npm's relays in the same run.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Where the peers are that come from npm and PyPI.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most memory of the router's own, in MiB.
    #[arg(long, value_name = "MIB", help_heading = "Limits")]
    pub(crate) max_private_mib: Option<f64>,
}

/// What `sandbox` runs with.
#[derive(Args, Debug)]
pub(crate) struct Sandbox {
    /// The router's binary.
    #[arg(long)]
    pub(crate) crosspoint: PathBuf,
    /// What to feed the camera.
    #[arg(long)]
    pub(crate) clip: Option<PathBuf>,
    /// How often a second to change the screen, for a viewer.
    #[arg(long)]
    pub(crate) changes: Option<u32>,
    /// How long to measure.
    #[arg(long)]
    pub(crate) seconds: u32,
    /// What appears when all are ready.
    #[arg(long)]
    pub(crate) start: PathBuf,
}

/// What `glass` runs with.
#[derive(Args, Debug)]
pub(crate) struct Glass {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// The browser.
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/chromium")]
    pub(crate) chromium: PathBuf,
    /// How long to draw; two seconds more are drawn before it that do not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// The display's size, and how often a second it is drawn and streamed.
    #[arg(long, value_name = "WIDTHxHEIGHT@RATE", default_value = "1280x720@30", value_parser = parse_format)]
    pub(crate) format: VideoFormat,
    /// Let the page hear the loudspeaker too: needs PulseAudio. A browser holds pictures back for the sound that belongs to them.
    #[arg(long)]
    pub(crate) sound: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most for the median of drawn to shown.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_p50_ms: Option<f64>,
    /// The most for its 95th percentile.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_p95_ms: Option<f64>,
}

/// What `fanout-rtc` runs with.
#[derive(Args, Debug)]
pub(crate) struct FanoutRtc {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// The display to show, which has to move [default: one of our own that is all noise: needs Xvfb and ffplay].
    #[arg(long, value_name = "DISPLAY")]
    pub(crate) display: Option<String>,
    /// How many viewers.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=900))]
    pub(crate) viewers: u32,
    /// How long to look, once with one viewer and once with all.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub(crate) seconds: u32,
    /// How often each has its turn.
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) rounds: u32,
    /// Measure Janus's streaming plugin in the same run, fed with the packets that a viewer of ours gets.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Give the router the first processor for itself.
    #[arg(long)]
    pub(crate) pin: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most for a packet, in microseconds.
    #[arg(long, value_name = "US", help_heading = "Limits")]
    pub(crate) max_us: Option<f64>,
}

/// What `fanout` runs with.
#[derive(Args, Debug)]
pub(crate) struct Fanout {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// How many viewers.
    #[arg(long, value_name = "COUNT", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(crate) viewers: u32,
    /// How long to send, once without viewers and once with all.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub(crate) seconds: u32,
    /// How often each relay has its turn.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) rounds: u32,
    /// Measure npm's uwebsockets and ws in the same run; with --rtmp nginx's RTMP module and npm's node-media-server, too.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Measure RTMP players of a display as well: needs Xvfb and ffplay.
    #[arg(long)]
    pub(crate) rtmp: bool,
    /// Where their relay is; npm installs what it needs there.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
    /// Give the relay the first processor for itself, and the load the second.
    #[arg(long)]
    pub(crate) pin: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The most for a frame and viewer on the better of our runtimes, in microseconds.
    #[arg(long, value_name = "US", help_heading = "Limits")]
    pub(crate) max_us: Option<f64>,
    /// The same for RTMP players.
    #[arg(long, value_name = "US", help_heading = "Limits", requires = "rtmp")]
    pub(crate) max_rtmp_us: Option<f64>,
}

/// What `camera-latency` runs with.
#[derive(Args, Debug)]
pub(crate) struct CameraLatency {
    /// The router's binary: what is started, and what writes the browser's wrapper.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
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
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The limits.
    #[command(flatten)]
    pub(crate) limits: CameraLatencyLimits,
}

/// What the figures are held against.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Limits")]
pub(crate) struct CameraLatencyLimits {
    /// The most for the median of last byte sent to frame in the page.
    #[arg(long, value_name = "MS")]
    pub(crate) max_p50_ms: Option<f64>,
    /// The most for its 99th percentile.
    #[arg(long, value_name = "MS")]
    pub(crate) max_p99_ms: Option<f64>,
    /// The most for the median of last byte sent to picture displayed.
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

fn parse_format(text: &str) -> Result<VideoFormat, String> {
    let numbers = || {
        let (size, rate) = text.split_once('@')?;
        let (width, height) = size.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?, rate.parse().ok()?))
    };
    let (width, height, rate) = numbers().ok_or("a format is like 1280x720@30")?;
    VideoFormat::new(width, height, rate)
        .filter(|format| format.width() >= MIN_WIDTH && format.height() >= MIN_HEIGHT)
        .ok_or_else(|| format!("width is even and {MIN_WIDTH} to 3840, height even and {MIN_HEIGHT} to 2160, rate 1 to 60"))
}

fn parse_percent(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent)).ok_or_else(|| "it is 0 to 100".to_owned())
}

fn parse_millis(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|millis| (0.0..=1_000.0).contains(millis)).ok_or_else(|| "it is 0 to 1000".to_owned())
}

const EXIT_CODES: &str = "Exit code: 0 when the given limits held, 1 when one was broken, 2 when nothing could be measured.";

const CAMERA_LATENCY: &str = "\
Frames of H.264 carry their number as light and dark cells at their top and bottom. They are encoded before the run, sent one to a
message in real time over WebSocket, and read back from the pixels by a page that has the camera open. The time of a frame is when
the kernel has taken its last byte; the page's clock is mapped to ours by round trips, and the report says how well.

The report splits the time: the router's part by its own count (arrival to the camera file), the wait for the camera's reader (its
reads are watched by inotify; it samples on its own timer, so half a period on average; what the router holds a frame back beyond its
median, so that the one before is read first, is in here too), the browser from that read to the page's script, and from there to the
display time of the video element.

That last part depends on how the reader's timer stands to the display's refresh, which is chance and stays for the run: from one run
to the next it differs by up to a refresh of the display.

Examples:
  loadtest camera-latency
  loadtest camera-latency --seconds 60 --jitter-ms 4 --json
  loadtest camera-latency --max-p50-ms 40 --max-server-p99-ms 5 --min-seen-percent 98";

const GLASS: &str = "\
A display of our own is drawn on: a number as light and dark cells at its top and bottom, another one each period, which slips against
the stream's so that every phase counts alike. Crosspoint streams the display; a page of a headless Chromium views it by WHEP, pictures
alone or with sound, and reads the numbers back from what its video element shows. The age of a picture is the time from when the X server was asked to
draw it to the callback that the page asked for (requestVideoFrameCallback); the page's clock is mapped to ours by round trips, and the
report says how well.

The report splits the time by what the browser knows of each picture: when it was captured (as the router says in each, by the wall clock
of this machine), when its last packet was there, how long decoding took, when it was handed to the compositor. All of it is one machine:
painter, X server, router and browser share its processors, and the browser decodes and draws without a GPU.

Examples:
  loadtest glass
  loadtest glass --sound
  loadtest glass --seconds 60 --json
  loadtest glass --max-p50-ms 35 --max-p95-ms 60";

const DENSITY: &str = "\
Each sandbox is an X server, a sound server and a router in a network namespace of its own. Some have a camera that is fed with H.264 of 2
Mbit/s over WebSocket and read frame by frame at 30 Hz, as Chromium reads it; some have their screen watched over WebSocket, which changes a
few times a second. What feeds, reads, draws and watches is told apart from what a sandbox costs.

A number of sandboxes breaks when a viewer or a camera gets less than 95 of 100 pictures, or anything of it ends. The projection is
arithmetic from the last number that did not: the processor time of a sandbox into 64 processors of this speed, of which a fifth is left.

Examples:
  loadtest density
  loadtest density --sandboxes 64 --cameras 10 --viewers 20 --seconds 20
  loadtest density --max-cpu-percent 5 --max-mib 16";

const FANOUT: &str = "\
A clip of 3 Mbit/s is published in real time over WebSocket, and viewers take it as it comes: from Crosspoint through the feed of its
video input, whose camera nobody reads, so that fan-out is all there is to do. Viewers check every transport packet's continuity, and a
run in which one of them missed something does not count. The processor time (user and system, from /proc) without viewers is taken off
that with all of them, and the rest shared out over frames and viewers. Relays have their turns one after another, round by round.

Examples:
  loadtest fanout --peers --rtmp --pin
  loadtest fanout --viewers 1000 --rounds 1 --json";

const INGEST: &str = "\
A 720p30 clip of H.264 in MPEG-TS is sent in real time: to Crosspoint over WebSocket, whose camera is read frame by frame at 30 Hz, as Chromium
reads it; to ffmpeg over TCP, which decodes it and throws it away, or writes it as Y4M; to pixelflux's virtual camera as H.264. The processor
time (user and system) of all threads counts, from a second after the start on.

Examples:
  loadtest ingest --peers
  loadtest ingest --rounds 1 --seconds 30 --max-percent 6";

const PUBLISH: &str = "\
A camera has one publisher: each gets a router of its own, whose camera is read at 30 Hz. A clip of 720p30 H.264 is sent in real time, as
MPEG-TS over WebSocket, or in RTP by a WebRTC peer on str0m. The router's processor time and ours are told apart.

Examples:
  loadtest publish --websocket 4 --webrtc 4 --whip 4
  loadtest publish --webrtc 0 --whip 0 --min-shown-percent 99 --max-server-p99-ms 5";

const SOAK: &str = "\
Runs what view runs, for minutes: a clip is published again and again, a display is streamed, viewers watch, come and go. Each second
the router's own memory (Private_Dirty of smaps_rollup), its descriptors and its threads are looked at.

Examples:
  loadtest soak --minutes 60 --leave 50
  loadtest soak --leave 80 --stall 10 --max-mib-per-hour 2 --max-new-descriptors 0";

const VIEW: &str = "\
Starts a router, publishes a clip of 2.5 Mbit/s to its camera and shows it a display that is all noise. WebSocket viewers watch the feed of
what is published: every transport packet is checked against the clip, and a picture's age counts from when its frame was due at the
publisher. RTMP players watch the display and check times and where it starts; WebRTC viewers decrypt every packet and count what was not
there in its turn, what a retransmission brought, and what never came. The router ends who does not read: those who read steadily must
not be ended, nor notice.

A bad link may be put before them: what is measured can then be held against what was done.

Examples:
  loadtest view --websocket 100 --rtmp 20 --webrtc 20 --stall 10 --slow 10 --leave 20
  loadtest view --delay-ms 50 --loss-percent 1
  loadtest view --max-age-p99-ms 20 --max-missing-percent 0 --min-pictures-percent 100";

const PEERS: &str = "\
Runs the other measurements with others beside ours, in interleaved rounds, and prints one table: what, the peers, what nobody can go below,
what ours aims at, ours, and how many times as much each peer takes (a ratio is taken within a round). Floors and aims were set on a
machine with two cores of an EPYC: elsewhere, ratios count. --only webrtc,fanout,screen,camera,glass,memory chooses. Run it in the
repository's folder: the screen is measured with the tests' own scenes and viewers (make setup installs what they need).

Examples:
  loadtest peers --setup --pin
  loadtest peers --only webrtc --only fanout --rounds 3 --seconds 6
  loadtest peers --json > peers.json";

const FANOUT_RTC: &str = "\
Each viewer is a WebRTC peer on a UDP socket of its own, which decrypts all packets and counts those that never came. The processor time of
the router's network thread (of Janus: of all threads) and its resident memory with one viewer are taken off those with all of them. Janus
takes part over the machine's first address that is no loopback.

Examples:
  loadtest fanout-rtc --pin --peers
  loadtest fanout-rtc --display :7 --viewers 50";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Option<CameraLatency> {
        let cli = Cli::try_parse_from([&["loadtest", "camera-latency"], arguments].concat()).ok()?;
        match cli.command {
            Command::CameraLatency(options) => Some(options),
            Command::Density(_)
            | Command::Fanout(_)
            | Command::FanoutRtc(_)
            | Command::Glass(_)
            | Command::Idle(_)
            | Command::Ingest(_)
            | Command::Peers(_)
            | Command::Publish(_)
            | Command::Sandbox(_)
            | Command::Soak(_)
            | Command::View(_) => None,
        }
    }

    #[test]
    fn defaults_measure_720p30_for_20_seconds_everywhere() {
        let options = parse(&[]).unwrap();
        assert_eq!((Some(options.format), options.seconds), (VideoFormat::new(1280, 720, 30), 20));
        assert_eq!((options.visible, options.phase, options.jitter()), (Visible::Both, Phase::Sweep, Duration::ZERO));
    }

    #[test]
    fn viewers_behave_as_they_were_told_and_the_rest_reads_steadily() {
        let cli = Cli::try_parse_from(["loadtest", "view", "--stall", "20", "--slow", "10", "--leave", "30", "--websocket", "10"]).unwrap();
        let Command::View(View { crowd, .. }) = cli.command else { panic!("view was asked for") };
        let count = |behaviour| (0..10).filter(|&nth| crowd.behaviour(nth, 10) == behaviour).count();
        assert_eq!([Behaviour::Stall, Behaviour::Slow, Behaviour::Leave, Behaviour::Steady].map(count), [2, 1, 3, 4]);
        assert!(crowd.needs_display());
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let bad =
            [["--format", "160x90@30"], ["--format", "641x361@30"], ["--seconds", "0"], ["--jitter-ms", "-1"], ["--jitter-ms", "NaN"]];
        for arguments in bad {
            assert!(parse(&arguments).is_none(), "{arguments:?}");
        }
        assert_eq!(parse(&["--jitter-ms", "2.5"]).map(|options| options.jitter()), Some(Duration::from_micros(2_500)));
    }
}
