//! The command line and its environment twins, parsed into types that cannot be wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use crosspoint_ffi::VideoFormat;
use crosspoint_router::broadcast::Bitrates;
use crosspoint_router::rtc::TurnSecret;

mod choices;
mod file;
mod ice;
mod limits;
mod names;
mod token;

use self::choices::parse_listen;
pub use self::choices::{
    CameraChoice, DEFAULT_CAMERA_DEVICE, DEFAULT_CAMERA_FILE, IoChoice, ListenChoice, LogFormat, MicrophoneChoice, PresetChoice, TlsChoice,
};
pub use self::file::print;
use self::ice::parse_turn_secret;
pub use self::ice::{IceServer, StunServer};
pub use self::limits::Limits;
pub use self::names::{Advertised, HostName, Origin};
pub use self::token::{Grant, Token, tokens_in};

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "crosspoint",
    version,
    about = "A live camera, microphone and screen for a sandboxed browser",
    args_conflicts_with_subcommands = true
)]
pub struct Cli {
    /// A file with flags: TOML, a flag's name for a key. The environment and the command line stand above it.
    #[arg(id = "config", long = "config", env = "CROSSPOINT_CONFIG", value_name = "PATH")]
    pub config_file: Option<PathBuf>,
    /// Print what is in force, as a file for --config, and end.
    #[arg(long, env = "CROSSPOINT_PRINT_CONFIG", value_parser = clap::builder::FalseyValueParser::new())]
    pub print_config: bool,
    /// Try everything that the server will need, say what is missing and how to mend it, and end.
    #[arg(long, env = "CROSSPOINT_CHECK", value_parser = clap::builder::FalseyValueParser::new())]
    pub check: bool,
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
    /// Where to listen; :PORT is every IPv4 address, port 0 picks one.
    #[arg(long, env = "CROSSPOINT_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:10001", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// Where RTMP players come in, besides the address of --listen; or off [default: 0.0.0.0:1935 if it is free].
    #[arg(long, env = "CROSSPOINT_RTMP_LISTEN", value_name = "ADDRESS|off")]
    pub rtmp_listen: Option<ListenChoice>,
    /// Where RTMPS players come in, likewise; or off [default: 0.0.0.0:1936 if it is free].
    #[arg(long, env = "CROSSPOINT_RTMPS_LISTEN", value_name = "ADDRESS|off")]
    pub rtmps_listen: Option<ListenChoice>,
    /// Whether TLS is spoken, and whose certificate is shown: auto is that of --tls-cert, or one of our own.
    #[arg(long, env = "CROSSPOINT_TLS", value_name = "TLS", default_value = "auto")]
    pub tls: TlsChoice,
    /// The certificate chain for TLS, as PEM; read again when it changes [default: one that is made and kept].
    #[arg(long, env = "CROSSPOINT_TLS_CERT", value_name = "PATH", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    #[arg(long, env = "CROSSPOINT_TLS_KEY", value_name = "PATH", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Where is kept what we make ourselves and want to have again: no flag, the desktop says it.
    #[arg(skip)]
    pub state_folder: Option<PathBuf>,
    /// Do not listen for WebRTC over UDP: peers use TCP.
    #[arg(long, env = "CROSSPOINT_NO_UDP", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_udp: bool,
    /// The UDP port for WebRTC; port 0 picks one [default: that of --listen].
    #[arg(long, env = "CROSSPOINT_WEBRTC_UDP_PORT", value_name = "PORT", conflicts_with = "no_udp")]
    pub webrtc_udp_port: Option<u16>,
    /// A STUN or TURN server that WHIP and WHEP clients are told of, a TURN server with user name and password behind spaces unless there
    /// is a --turn-secret. Repeatable.
    #[arg(long, env = "CROSSPOINT_ICE_SERVER", value_name = "URL[ USER PASSWORD]", value_delimiter = ',', hide_env_values = true)]
    pub ice_server: Vec<IceServer>,
    /// The secret shared with the TURN servers that are named without a password (coturn's static-auth-secret): clients get one that is good
    /// for a day.
    #[arg(long, env = "CROSSPOINT_TURN_SECRET", value_name = "SECRET", hide_env_values = true, value_parser = parse_turn_secret)]
    pub turn_secret: Option<TurnSecret>,
    /// Another address that leads here, for WebRTC, with a port if it is another. Repeatable.
    #[arg(long, env = "CROSSPOINT_ADVERTISE", value_name = "IP[:PORT]", value_delimiter = ',')]
    pub advertise: Vec<Advertised>,
    /// A STUN server that tells by which address others see our UDP socket, which is then advertised, too; of its port 3478 unless another is
    /// named.
    #[arg(long, env = "CROSSPOINT_STUN_SERVER", value_name = "HOST[:PORT]", conflicts_with = "no_udp")]
    pub stun_server: Option<StunServer>,
    /// The X display to stream [default: $DISPLAY].
    #[arg(long, env = "CROSSPOINT_DISPLAY", value_name = "DISPLAY")]
    pub display: Option<String>,
    /// The PulseAudio server [default: $PULSE_SERVER, else the user's].
    #[arg(long, env = "CROSSPOINT_PULSE_SERVER", value_name = "SERVER")]
    pub pulse_server: Option<String>,
    /// The camera: off, file or v4l2, the latter two with a path after a colon; auto is the v4l2loopback device if there is one, else the file.
    #[arg(long, env = "CROSSPOINT_CAMERA", value_name = "CAMERA", default_value = "auto")]
    pub camera: CameraChoice,
    /// The microphone.
    #[arg(long, env = "CROSSPOINT_MICROPHONE", value_name = "MICROPHONE", default_value = "pulse")]
    pub microphone: MicrophoneChoice,
    /// What the camera shows before a configure says otherwise.
    #[arg(long, env = "CROSSPOINT_CANVAS", value_name = "WIDTHxHEIGHT@RATE", default_value = "1280x720@30", value_parser = parse_canvas)]
    pub canvas: VideoFormat,
    /// The bits a second of a stream's picture on average, while it moves; k and M are thousands and millions.
    #[arg(long, env = "CROSSPOINT_BITRATE", value_name = "BITS", default_value = "3M", value_parser = parse_bitrate)]
    pub bitrate: u32,
    /// The most bits of it in any one second, of H.264, and all the time for WebRTC viewers that can take them while nobody else watches:
    /// not below --bitrate [default: the same].
    #[arg(long, env = "CROSSPOINT_MAX_BITRATE", value_name = "BITS", value_parser = parse_bitrate)]
    pub max_bitrate: Option<u32>,
    /// The fewest bits a second, for WebRTC viewers that cannot take more; they get pictures of half the size before they get less.
    #[arg(long, env = "CROSSPOINT_MIN_BITRATE", value_name = "BITS", default_value = "300k", value_parser = parse_bitrate)]
    pub min_bitrate: u32,
    /// How much work the screen's encoder does for fewer bits.
    #[arg(long, env = "CROSSPOINT_PRESET", value_name = "PRESET", default_value = "ultrafast")]
    pub preset: PresetChoice,
    /// A file to write the bound addresses into, as JSON, once everything listens.
    #[arg(long, env = "CROSSPOINT_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// A host name that callers may use besides IP addresses and localhost; * for all. Repeatable.
    #[arg(long, env = "CROSSPOINT_ALLOW_HOST", value_name = "HOST", value_delimiter = ',')]
    pub allow_host: Vec<HostName>,
    /// Another origin whose pages may call: scheme, host and, if need be, port. Repeatable.
    #[arg(long, env = "CROSSPOINT_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<Origin>,
    /// A secret that callers must know (Authorization: Bearer, or ?access_token=), for all calls, or behind control:, publish: or view: for
    /// some. Repeatable; better in the environment or a file than on a command line, which others see.
    #[arg(long, env = "CROSSPOINT_TOKEN", value_name = "[SCOPE:]SECRET", value_delimiter = ',', hide_env_values = true)]
    pub token: Vec<Token>,
    /// A file with such secrets, one a line; read again when it changes.
    #[arg(long, env = "CROSSPOINT_TOKEN_FILE", value_name = "PATH")]
    pub token_file: Option<PathBuf>,
    /// Believe the X-Forwarded-Host and X-Forwarded-Proto of a proxy before us.
    #[arg(long, env = "CROSSPOINT_TRUST_FORWARDED", value_parser = clap::builder::FalseyValueParser::new())]
    pub trust_forwarded: bool,
    /// The folder that holds what an input of the type file may name.
    #[arg(long, env = "CROSSPOINT_MEDIA_ROOT", value_name = "PATH", default_value = "/")]
    pub media_root: PathBuf,
    /// How the network thread waits: the fastest that works, or one by name.
    #[arg(long, env = "CROSSPOINT_IO", value_name = "IO", default_value = "auto")]
    pub io: IoChoice,
    /// What to log: a level, or tracing directives like crosspoint_server=debug.
    #[arg(long, env = "CROSSPOINT_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,
    /// How log lines look.
    #[arg(long, env = "CROSSPOINT_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// How much and how long.
    #[command(flatten)]
    pub limits: Limits,
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

/// Where is kept what outlives us, unless `XDG_STATE_HOME` says otherwise.
const DEFAULT_STATE_FOLDER: &str = "/var/lib";

impl Cli {
    /// Checks what no flag can say of itself.
    ///
    /// # Errors
    /// When the highest bit rate is below the average, and when a TURN server has no password.
    pub fn checked(self) -> Result<Self, clap::Error> {
        if self.config.bitrates().most_bps < self.config.bitrate {
            let message = "--max-bitrate is below --bitrate, and an average is never above its maximum";
            return Err(Self::command().error(ErrorKind::ValueValidation, message));
        }
        if self.config.tls_cert.is_some() != self.config.tls_key.is_some() {
            return Err(Self::command().error(ErrorKind::MissingRequiredArgument, "--tls-cert and --tls-key are a pair: give both"));
        }
        if self.config.tls != TlsChoice::Auto && self.config.tls_cert.is_some() {
            let message = "--tls-cert is for --tls auto, which is the default";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        if self.config.turn_secret.is_none() && self.config.ice_server.iter().any(IceServer::needs_secret) {
            let message = "a TURN server has no password: give --ice-server 'turn:HOST USER PASSWORD', or --turn-secret";
            return Err(Self::command().error(ErrorKind::ValueValidation, message));
        }
        Ok(self)
    }
}

impl Config {
    /// The bits a second of a stream's picture.
    #[must_use]
    pub fn bitrates(&self) -> Bitrates {
        let usual_bps = self.bitrate;
        Bitrates { least_bps: self.min_bitrate.min(usual_bps), usual_bps, most_bps: self.max_bitrate.unwrap_or(usual_bps) }
    }

    /// Fills what the flags left open from the variables that the desktop sets: `DISPLAY`, `PULSE_SERVER` and `XDG_STATE_HOME`.
    #[must_use]
    pub fn with_desktop(self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let or_variable = |flag: Option<String>, name| flag.or_else(|| variable(name)).filter(|text| !text.is_empty());
        let state = or_variable(None, "XDG_STATE_HOME").unwrap_or_else(|| DEFAULT_STATE_FOLDER.to_owned());
        Self {
            display: or_variable(self.display, "DISPLAY"),
            pulse_server: or_variable(self.pulse_server, "PULSE_SERVER"),
            state_folder: Some(Path::new(&state).join("crosspoint")),
            ..self
        }
    }
}

/// A number of bits a second, with `k` or `M` behind it or without: at least what a small picture needs, at most what x264 takes.
fn parse_bitrate(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000.0),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000.0),
        Some(_) | None => (text, 1.0),
    };
    let bits = digits.parse::<f64>().map(|number| number * unit).unwrap_or(f64::NAN);
    if (50_000.0..=200_000_000.0).contains(&bits) { Ok(bits as u32) } else { Err("a bit rate is 50k to 200M bits a second".to_owned()) }
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
mod table;
#[cfg(test)]
mod tests;
