//! The command line.

mod camera;
mod crowd;
mod help;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use crosspoint_ffi::VideoFormat;

pub(crate) use self::camera::{CameraLatency, CameraLatencyLimits, Phase, Source, Visible};
pub(crate) use self::crowd::{CrowdOptions, Publish, Soak, View};
use self::help::{CAMERA_LATENCY, DENSITY, EXIT_CODES, FANOUT, FANOUT_RTC, GLASS, INGEST, PEERS, PUBLISH, SOAK, VIEW};
use crate::code::{MIN_HEIGHT, MIN_WIDTH};

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, about = "Measures Crosspoint from outside", after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to measure.
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(test)]
impl Cli {
    /// What is run by these words.
    pub(crate) fn command_of(words: &str) -> Command {
        Self::try_parse_from(words.split(' ')).expect("a command line").command
    }
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
    /// What a camera's pictures cost from the publisher to the camera, beside others.
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

/// What every measurement runs with.
#[derive(Args, Debug)]
pub(crate) struct Common {
    /// The router's binary.
    #[arg(long, value_name = "PATH", default_value = "target/release/crosspoint")]
    pub(crate) crosspoint: PathBuf,
    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw it into this file, as SVG: histograms, time lines, bars with their spread.
    #[arg(long, value_name = "PATH")]
    pub(crate) plot: Option<PathBuf>,
}

/// What `density` runs with.
#[derive(Args, Debug)]
pub(crate) struct Density {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
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
    /// Let each have a browser as well, a window on its display, which has the camera open where there is one [a bare flag: /usr/bin/chromium].
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = "/usr/bin/chromium")]
    pub(crate) chromium: Option<PathBuf>,
    /// Let all share this machine's network, where namespaces cannot be made.
    #[arg(long)]
    pub(crate) no_namespaces: bool,
    /// The most that a sandbox may take of a processor on average, in percent.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_cpu_percent: Option<f64>,
    /// The most memory of a router on average, in MiB.
    #[arg(long, value_name = "MIB", help_heading = "Limits")]
    pub(crate) max_mib: Option<f64>,
    /// The most for the 99th percentile from arrival to the camera, of the worst camera.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_p99_ms: Option<f64>,
    /// The least sandboxes that must not break.
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(crate) min_sandboxes: Option<f64>,
}

/// What `peers` runs with.
#[derive(Args, Debug)]
pub(crate) struct Peers {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
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
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long to look.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub(crate) seconds: u32,
    /// How often each has its turn.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) rounds: u32,
    /// Measure ffmpeg and pixelflux's virtual camera in the same run; with --webrtc aiortc and GStreamer's webrtcbin, too.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Measure a WebRTC publisher with sound as well: needs PulseAudio.
    #[arg(long)]
    pub(crate) webrtc: bool,
    /// Where the peers are that come from PyPI, and the scripts that run them.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
    /// The most that the router may take of a processor, in percent.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_percent: Option<f64>,
    /// The same with a WebRTC publisher.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits", requires = "webrtc")]
    pub(crate) max_webrtc_percent: Option<f64>,
}

/// What `idle` runs with.
#[derive(Args, Debug)]
pub(crate) struct Idle {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// Measure nginx, Janus and npm's relays in the same run.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Where the peers are that come from npm and PyPI.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
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
    /// The browser.
    #[arg(long)]
    pub(crate) chromium: Option<PathBuf>,
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
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// The browser.
    #[arg(long, value_name = "PATH", default_value = "/usr/bin/chromium")]
    pub(crate) chromium: PathBuf,
    /// How long to draw; two seconds more are drawn before it that do not count.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// The display's size, and how often a second it is drawn and streamed.
    #[arg(long, value_name = "WIDTHxHEIGHT@RATE", default_value = "1280x720@30", value_parser = parse_format)]
    pub(crate) format: VideoFormat,
    /// Let the page hear the loudspeaker too, and measure how late sound is: needs PulseAudio. A browser holds pictures back for the sound that belongs to them.
    #[arg(long)]
    pub(crate) sound: bool,
    /// The most for the median of due to shown, of all pictures.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_p50_ms: Option<f64>,
    /// The most for its 95th percentile.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_p95_ms: Option<f64>,
    /// The most for its 99th percentile.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_p99_ms: Option<f64>,
    /// The least share of pictures that is shown.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) min_shown_percent: Option<f64>,
    /// The most for the median of a pulse due to be played to decoded by a viewer, of all pulses.
    #[arg(long, value_name = "MS", help_heading = "Limits", requires = "sound")]
    pub(crate) max_sound_p50_ms: Option<f64>,
    /// The most for its 95th percentile.
    #[arg(long, value_name = "MS", help_heading = "Limits", requires = "sound")]
    pub(crate) max_sound_p95_ms: Option<f64>,
}

/// What `fanout-rtc` runs with.
#[derive(Args, Debug)]
pub(crate) struct FanoutRtc {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
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
    /// Measure Janus's streaming plugin and GStreamer's webrtcbin in the same run, fed with the packets that a viewer of ours gets.
    #[arg(long)]
    pub(crate) peers: bool,
    /// Where the script is that has the webrtcbins.
    #[arg(long, value_name = "PATH", default_value = "loadtest/peers")]
    pub(crate) peers_folder: PathBuf,
    /// Give the router the first processor for itself.
    #[arg(long)]
    pub(crate) pin: bool,
    /// The most for a packet, in microseconds.
    #[arg(long, value_name = "US", help_heading = "Limits")]
    pub(crate) max_us: Option<f64>,
}

/// What `fanout` runs with.
#[derive(Args, Debug)]
pub(crate) struct Fanout {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
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
    /// The most for a frame and viewer on the better of our runtimes, in microseconds.
    #[arg(long, value_name = "US", help_heading = "Limits")]
    pub(crate) max_us: Option<f64>,
    /// The same for RTMP players.
    #[arg(long, value_name = "US", help_heading = "Limits", requires = "rtmp")]
    pub(crate) max_rtmp_us: Option<f64>,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::view::account::Behaviour;

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
    fn documents_and_the_makefile_name_measurements_that_there_are() {
        let mut named = 0;
        for file in ["README.md", "CONTRIBUTING.md", "deploy/README.md", "Makefile"] {
            let text = std::fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            let quoted = text.split("make loadtest ARGS=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
            let usual = text.lines().filter_map(|line| line.strip_prefix("ARGS ?= "));
            for arguments in quoted.chain(usual) {
                let words = ["loadtest"].into_iter().chain(arguments.split_whitespace());
                assert!(Cli::try_parse_from(words).is_ok(), "{file}: {arguments}");
                named += 1;
            }
        }
        assert!(named >= 5, "{named} are named");
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
