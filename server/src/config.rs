//! The command line and its environment twins, parsed into types that cannot be wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use crosspoint_ffi::VideoFormat;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "crosspoint",
    version,
    about = "A live camera, microphone and screen for a sandboxed browser",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// What the server runs with.
    #[command(flatten)]
    pub config: Config,
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What `crosspoint` does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print or write the wrapper through which stock Chromium sees the camera.
    #[command(after_long_help = crate::wrapper::HELP)]
    BrowserWrapper(WrapperOptions),
}

/// What the server runs with. Every flag has an environment twin.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 picks one.
    #[arg(long, env = "CROSSPOINT_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:10001")]
    pub listen: SocketAddr,
    /// The X display to stream [default: $DISPLAY].
    #[arg(long, env = "CROSSPOINT_DISPLAY", value_name = "DISPLAY")]
    pub display: Option<String>,
    /// The PulseAudio server [default: $PULSE_SERVER, else the user's].
    #[arg(long, env = "CROSSPOINT_PULSE_SERVER", value_name = "SERVER")]
    pub pulse_server: Option<String>,
    /// The camera: auto, off, file or v4l2, and after a colon the path of the latter two.
    #[arg(long, env = "CROSSPOINT_CAMERA", value_name = "CAMERA", default_value = "auto")]
    pub camera: CameraChoice,
    /// The microphone.
    #[arg(long, env = "CROSSPOINT_MICROPHONE", value_name = "MICROPHONE", default_value = "pulse")]
    pub microphone: MicrophoneChoice,
    /// What the camera shows before a configure says otherwise.
    #[arg(long, env = "CROSSPOINT_CANVAS", value_name = "WIDTHxHEIGHT@RATE", default_value = "1280x720@30", value_parser = parse_canvas)]
    pub canvas: VideoFormat,
    /// A file to write the bound addresses into, as JSON, once everything listens.
    #[arg(long, env = "CROSSPOINT_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// A host name that callers may use besides IP addresses and localhost; * for all. Repeatable.
    #[arg(long, env = "CROSSPOINT_ALLOW_HOST", value_name = "HOST", value_delimiter = ',')]
    pub allow_host: Vec<HostName>,
    /// Another origin whose pages may call: scheme, host and, if need be, port. Repeatable.
    #[arg(long, env = "CROSSPOINT_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<Origin>,
    /// How the network thread waits: the fastest that works, or one by name.
    #[arg(long, env = "CROSSPOINT_IO", value_name = "IO", default_value = "auto")]
    pub io: IoChoice,
    /// What to log: a level, or tracing directives like crosspoint_server=debug.
    #[arg(long, env = "CROSSPOINT_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "CROSSPOINT_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// What the browser wrapper is made for.
#[derive(Args, Clone, Debug)]
pub struct WrapperOptions {
    /// Write the wrapper here, executable, instead of printing it.
    #[arg(long, value_name = "PATH")]
    pub write: Option<PathBuf>,
    /// The camera that crosspoint was started with.
    #[arg(long, env = "CROSSPOINT_CAMERA", value_name = "CAMERA", default_value = "auto")]
    pub camera: CameraChoice,
}

/// Which camera the browser gets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum CameraChoice {
    /// The best there is on this machine; the file as long as v4l2 is not written by us.
    #[default]
    Auto,
    /// A live one-frame Y4M.
    File(PathBuf),
    /// No camera.
    Off,
    /// A v4l2loopback device.
    V4l2(PathBuf),
}

/// Which microphone the browser gets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum MicrophoneChoice {
    /// PulseAudio's sink `audio_input` and its source `microphone`.
    #[default]
    Pulse,
    /// None.
    Off,
}

/// How the network thread waits.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum IoChoice {
    /// io_uring where the kernel allows it, else epoll.
    #[default]
    Auto,
    /// epoll.
    Epoll,
    /// io_uring, or not at all.
    Uring,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// A host name in lower case without a port, or `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostName(String);

/// A web origin in lower case: scheme, host and, unless it is the scheme's own, port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin(String);

/// The camera file unless another is named; its name is the label that pages see.
pub const DEFAULT_CAMERA_FILE: &str = "/dev/shm/crosspoint/HD Webcam.y4m";

/// The camera device unless another is named.
pub const DEFAULT_CAMERA_DEVICE: &str = "/dev/video0";

impl Config {
    /// Fills what the flags left open from the variables that the desktop sets: `DISPLAY` and `PULSE_SERVER`.
    #[must_use]
    pub fn with_desktop(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let or_variable = |flag: Option<String>, name| flag.or_else(|| variable(name)).filter(|text| !text.is_empty());
        Self { display: or_variable(self.display, "DISPLAY"), pulse_server: or_variable(self.pulse_server, "PULSE_SERVER"), ..self }
    }
}

impl CameraChoice {
    /// The Y4M that is written, if one is.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Auto => Some(Path::new(DEFAULT_CAMERA_FILE)),
            Self::File(path) => Some(path),
            Self::Off | Self::V4l2(_) => None,
        }
    }

    /// The configured device path, whether it is written or not.
    #[must_use]
    pub fn device(&self) -> &Path {
        match self {
            Self::V4l2(path) => path,
            Self::Auto | Self::File(_) | Self::Off => Path::new(DEFAULT_CAMERA_DEVICE),
        }
    }
}

impl FromStr for CameraChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, path) = text.split_once(':').map_or((text, None), |(kind, path)| (kind, Some(path)));
        match (kind, path) {
            (_, Some("")) => Err(format!("{text} names no path after its colon")),
            ("auto", None) => Ok(Self::Auto),
            ("off", None) => Ok(Self::Off),
            ("v4l2", path) => Ok(Self::V4l2(path.unwrap_or(DEFAULT_CAMERA_DEVICE).into())),
            ("file", path) => {
                let path = Path::new(path.unwrap_or(DEFAULT_CAMERA_FILE));
                // Chromium takes a file of any other name for MJPEG.
                if path.extension().is_none_or(|extension| extension != "y4m") {
                    return Err(format!("{} does not end in .y4m, and Chromium goes by that", path.display()));
                }
                Ok(Self::File(path.into()))
            }
            _ => Err("the camera is auto, file[:PATH], v4l2[:PATH] or off".to_owned()),
        }
    }
}

impl HostName {
    /// Whether this names `host`, which is in lower case.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        self.0 == "*" || self.0 == host
    }
}

impl FromStr for HostName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        if text == "*" || (!text.is_empty() && text.bytes().all(plain)) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err("a host is a name without scheme and port, or *".to_owned())
    }
}

impl Origin {
    /// The origin as browsers send it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim_end_matches('/').to_ascii_lowercase();
        let origin = match lower.split_once("://") {
            Some(("http", host)) => format!("http://{}", host.strip_suffix(":80").unwrap_or(host)),
            Some(("https", host)) => format!("https://{}", host.strip_suffix(":443").unwrap_or(host)),
            // A browser extension's pages have such origins, and some viewers are extensions.
            Some((scheme, host)) if scheme.ends_with("-extension") => format!("{scheme}://{host}"),
            Some(_) | None => return Err("an origin is http:// or https:// and a host, with a port if need be".to_owned()),
        };
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        let strange = |byte: u8| matches!(byte, b'/' | b'?' | b'#' | b'@' | b'*') || !byte.is_ascii_graphic();
        if host.is_empty() || host.bytes().any(strange) {
            return Err("an origin has a host, and neither path nor wildcard".to_owned());
        }
        Ok(Self(origin))
    }
}

fn parse_canvas(text: &str) -> Result<VideoFormat, String> {
    let numbers = || {
        let (size, rate) = text.split_once('@')?;
        let (width, height) = size.split_once('x')?;
        Some((width.parse().ok()?, height.parse().ok()?, rate.parse().ok()?))
    };
    let (width, height, rate) = numbers().ok_or_else(|| "a canvas is like 1280x720@30".to_owned())?;
    VideoFormat::new(width, height, rate).ok_or_else(|| "width is even and 16 to 3840, height even and 16 to 2160, rate 1 to 60".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["crosspoint"], args].concat())
    }

    #[test]
    fn defaults_are_the_contracts() {
        let config = parse(&[]).unwrap().config;
        assert_eq!(config.listen.to_string(), "0.0.0.0:10001");
        assert_eq!(config.camera.file(), Some(Path::new("/dev/shm/crosspoint/HD Webcam.y4m")));
        assert_eq!(config.camera.device(), Path::new("/dev/video0"));
        assert_eq!(Some(config.canvas), VideoFormat::new(1280, 720, 30));
        assert_eq!((config.io, config.log.as_str(), config.log_format), (IoChoice::Auto, "info", LogFormat::Text));
        assert_eq!((config.microphone, config.ready_file), (MicrophoneChoice::Pulse, None));
    }

    #[test]
    fn every_flag_has_its_environment_twin() {
        use clap::CommandFactory;
        for arg in Cli::command().get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version")) {
            let flag = arg.get_long().unwrap();
            let twin = format!("CROSSPOINT_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(twin.as_str()), "--{flag}");
        }
    }

    #[test]
    fn cameras_parse() {
        let cases = [
            ("auto", Some(CameraChoice::Auto)),
            ("off", Some(CameraChoice::Off)),
            ("file", Some(CameraChoice::File(DEFAULT_CAMERA_FILE.into()))),
            ("file:/tmp/a:b.y4m", Some(CameraChoice::File("/tmp/a:b.y4m".into()))),
            ("v4l2", Some(CameraChoice::V4l2("/dev/video0".into()))),
            ("v4l2:/dev/video7", Some(CameraChoice::V4l2("/dev/video7".into()))),
            ("file:/tmp/a.mjpeg", None),
            ("file:", None),
            ("off:/x", None),
            ("webcam", None),
        ];
        for (text, camera) in cases {
            assert_eq!(text.parse::<CameraChoice>().ok(), camera, "{text}");
        }
    }

    #[test]
    fn canvases_parse() {
        assert_eq!(parse_canvas("640x360@15").ok(), VideoFormat::new(640, 360, 15));
        for bad in ["640x360", "640@15", "641x360@15", "640x360@0", "x@", "640x360@15.5", "-640x360@15"] {
            assert!(parse_canvas(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_parse_as_browsers_send_them() {
        let cases = [
            ("https://App.Example", Some("https://app.example")),
            ("https://app.example:443/", Some("https://app.example")),
            ("http://app.example:8080", Some("http://app.example:8080")),
            ("http://app.example:80", Some("http://app.example")),
            ("chrome-extension://abcdef", Some("chrome-extension://abcdef")),
            ("app.example", None),
            ("https://app.example/path", None),
            ("https://*.example", None),
            ("https://", None),
            ("ftp://app.example", None),
            ("*", None),
        ];
        for (text, origin) in cases {
            assert_eq!(text.parse::<Origin>().ok().as_ref().map(Origin::as_str), origin, "{text}");
        }
    }

    #[test]
    fn hosts_are_names_without_ports() {
        for good in ["*", "app.example", "my_host"] {
            assert!(good.parse::<HostName>().is_ok(), "{good}");
        }
        for bad in ["", "app.example:80", "http://app.example", "*.example"] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn desktop_fills_only_what_flags_left_open() {
        let desktop = |name: &str| Some(format!("from {name}"));
        let open = parse(&[]).unwrap().config.with_desktop(desktop);
        assert_eq!((open.display.as_deref(), open.pulse_server.as_deref()), (Some("from DISPLAY"), Some("from PULSE_SERVER")));
        let set = parse(&["--display", ":7", "--pulse-server="]).unwrap().config.with_desktop(desktop);
        assert_eq!((set.display.as_deref(), set.pulse_server), (Some(":7"), None));
    }
}
