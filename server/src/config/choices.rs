//! What flags choose from.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use crosspoint_ffi::av::Preset;

/// Whether and where to listen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListenChoice {
    /// There.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// Which camera the browser gets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum CameraChoice {
    /// The v4l2loopback device if there is one on this machine, else the file.
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

/// x264's presets that keep up with a screen on a small machine.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum PresetChoice {
    /// The least work.
    #[default]
    Ultrafast,
    /// Half as much again, a third fewer bits.
    Superfast,
    /// Twice the work.
    Veryfast,
}

/// Whether TLS is spoken, and whose certificate is shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum TlsChoice {
    /// The certificate that is named, or one of our own.
    #[default]
    Auto,
    /// No TLS.
    Off,
    /// One of our own.
    SelfSigned,
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

/// The camera file unless another is named; its name is the label that pages see.
pub const DEFAULT_CAMERA_FILE: &str = "/dev/shm/crosspoint/HD Webcam.y4m";

/// The camera device unless another is named.
pub const DEFAULT_CAMERA_DEVICE: &str = "/dev/video0";

impl From<PresetChoice> for Preset {
    fn from(choice: PresetChoice) -> Self {
        match choice {
            PresetChoice::Superfast => Self::Superfast,
            PresetChoice::Ultrafast => Self::Ultrafast,
            PresetChoice::Veryfast => Self::Veryfast,
        }
    }
}

impl CameraChoice {
    /// What `auto` means on this machine at this moment; the others mean themselves.
    #[must_use]
    pub fn chosen(self, is_loopback: impl Fn(&Path) -> bool) -> Self {
        match self {
            Self::Auto if is_loopback(Path::new(DEFAULT_CAMERA_DEVICE)) => Self::V4l2(DEFAULT_CAMERA_DEVICE.into()),
            Self::Auto => Self::File(DEFAULT_CAMERA_FILE.into()),
            chosen @ (Self::File(_) | Self::Off | Self::V4l2(_)) => chosen,
        }
    }

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

impl FromStr for ListenChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self::Off) } else { parse_listen(text).map(Self::At) }
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

pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| "an address is like 0.0.0.0:10001, [::]:10001 or :10001".to_owned())
}
