//! `crosspoint --check`: tries what the server will need, and says in plain words what is missing and how to mend it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use crosspoint_ffi::av::{H264Encoder, H264Settings};
use crosspoint_ffi::lend::Lender;
use crosspoint_ffi::pulse::Connection;
use crosspoint_ffi::x11::{Display, Screen};
use rustix::process::{Resource, getrlimit};

use crate::Error;
use crate::config::{CameraChoice, Config, IoChoice, ListenChoice, MicrophoneChoice, TlsChoice};
use crate::devices::Y4mCamera;
use crate::net::Tls;
use crate::runtime;
use crate::serve::{RTMP_PORT, RTMPS_PORT};
use crate::tokens::Tokens;

/// What came of trying one thing.
#[derive(Debug, Eq, PartialEq)]
enum Outcome {
    /// It is there.
    Good(String),
    /// It is not, and the server does without: what, and how to mend it.
    Less(String, &'static str),
    /// The server cannot do what it was told to: why, and how to mend it.
    Bad(String, &'static str),
}

use Outcome::{Bad, Good, Less};

/// Tries everything and tells on standard output.
///
/// # Errors
/// When something is bad, or standard output is gone.
pub fn run(config: Config) -> Result<(), Error> {
    let config = config.with_desktop(|name| std::env::var(name).ok());
    let mut all_good = true;
    let mut out = io::stdout().lock();
    for (what, outcome) in outcomes(&config) {
        all_good &= !matches!(outcome, Bad(..));
        writeln!(out, "{}", line(what, &outcome)).map_err(Error::Told)?;
    }
    if all_good { Ok(()) } else { Err(Error::Check) }
}

fn outcomes(config: &Config) -> Vec<(&'static str, Outcome)> {
    let rtmps = if config.tls == TlsChoice::Off { Some(ListenChoice::Off) } else { config.rtmps_listen };
    vec![
        ("port", port(config.listen)),
        ("udp", udp(config)),
        ("rtmp", further(config.rtmp_listen, RTMP_PORT)),
        ("rtmps", further(rtmps, RTMPS_PORT)),
        ("tls", tls(config)),
        ("tokens", tokens(config)),
        ("display", display(config)),
        ("sound", sound(config)),
        ("camera", camera(config)),
        ("encoder", encoder(config)),
        ("io_uring", io_uring(config)),
        ("files", files()),
    ]
}

fn line(what: &str, outcome: &Outcome) -> String {
    match outcome {
        Good(words) => format!("ok    {what:<9} {words}"),
        Less(words, mend) => format!("less  {what:<9} {words}\n                {mend}"),
        Bad(words, mend) => format!("BAD   {what:<9} {words}\n                {mend}"),
    }
}

fn port(address: SocketAddr) -> Outcome {
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) => Bad(format!("{address}: {error}"), "end what listens there (ss -ltnp), or choose another with --listen"),
    }
}

fn udp(config: &Config) -> Outcome {
    if config.no_udp {
        return Good("off, WebRTC uses TCP (--no-udp)".to_owned());
    }
    let address = SocketAddr::new(config.listen.ip(), config.webrtc_udp_port.unwrap_or_else(|| config.listen.port()));
    match UdpSocket::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) => Bad(format!("{address}: {error}"), "choose another port with --webrtc-udp-port, or do without: --no-udp"),
    }
}

fn further(choice: Option<ListenChoice>, usual: u16) -> Outcome {
    match choice {
        Some(ListenChoice::At(address)) => port(address),
        Some(ListenChoice::Off) => Good("off; the main port serves players, too".to_owned()),
        None => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, usual));
            match TcpListener::bind(address) {
                Ok(_) => Good(format!("{address} is free")),
                Err(error) => {
                    Less(format!("{address}: {error}"), "players can use the main port; --rtmp-listen and --rtmps-listen choose others")
                }
            }
        }
    }
}

fn tls(config: &Config) -> Outcome {
    match (Tls::new(config), &config.tls_cert) {
        (Err(error), _) => Bad(error.to_string(), "give a certificate chain and its key as PEM: --tls-cert, --tls-key"),
        (Ok(_), Some(path)) => Good(format!("{} and its key", path.display())),
        (Ok(_), None) if config.tls == TlsChoice::Off => Good("off (--tls)".to_owned()),
        (Ok(_), None) => Good("a certificate of our own".to_owned()),
    }
}

fn tokens(config: &Config) -> Outcome {
    match Tokens::new(config) {
        Err(error) => Bad(error.to_string(), "one token a line: SECRET, or control:SECRET, publish:SECRET, view:SECRET"),
        Ok(tokens) if tokens.are_asked_for() => Good("callers need one".to_owned()),
        Ok(_) => Good("none: whoever reaches the port may call".to_owned()),
    }
}

fn display(config: &Config) -> Outcome {
    let Some(name) = &config.display else {
        return Less("none is named: streams have sound alone".to_owned(), "name one with --display or $DISPLAY, like :0");
    };
    match Display::open(Some(name)).and_then(Screen::new) {
        Ok(screen) => Good(format!("{name}, {}x{}", screen.size().0, screen.size().1)),
        Err(error) => Bad(
            format!("{name}: {error}"),
            "start the X server (Xvfb :0 -screen 0 1280x720x24), let us in (xhost), or name another: --display",
        ),
    }
}

fn sound(config: &Config) -> Outcome {
    if config.microphone == MicrophoneChoice::Off {
        return Good("off (--microphone)".to_owned());
    }
    let server = config.pulse_server.as_deref();
    match Connection::connect(server, "crosspoint --check", Instant::now() + PATIENCE) {
        Ok(_) => Good(server.unwrap_or("the user's PulseAudio").to_owned()),
        Err(error) => {
            Bad(error.to_string(), "start one (pulseaudio --start), name it with --pulse-server, or do without: --microphone off")
        }
    }
}

fn camera(config: &Config) -> Outcome {
    const MEND: &str = "end the other process that writes it, or name a file on a tmpfs that we may write: --camera file:PATH";
    if let CameraChoice::V4l2(device) = &config.camera {
        return match OpenOptions::new().read(true).write(true).open(device) {
            Ok(_) => Good(device.display().to_string()),
            Err(error) => Bad(format!("{}: {error}", device.display()), "load v4l2loopback (modprobe v4l2loopback exclusive_caps=1)"),
        };
    }
    let Some(path) = config.camera.file() else { return Good("off (--camera)".to_owned()) };
    let was_there = path.exists();
    let opened = Y4mCamera::open(path, config.canvas, &Lender::default());
    if !was_there && opened.is_ok() {
        // It was made for the trial only.
        let _ = fs::remove_file(path);
    }
    match opened {
        Ok(_) if is_in_memory(path) => Good(path.display().to_string()),
        Ok(_) => Less(format!("{} is on a disk", path.display()), "each frame is written: name a file on a tmpfs, like one in /dev/shm"),
        Err(error) => Bad(format!("{}: {error}", path.display()), MEND),
    }
}

/// Whether the folder of a file is a tmpfs.
fn is_in_memory(path: &Path) -> bool {
    const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    rustix::fs::statfs(folder).is_ok_and(|found| found.f_type == TMPFS_MAGIC)
}

fn encoder(config: &Config) -> Outcome {
    let settings = H264Settings {
        format: config.canvas,
        bitrate_bps: config.bitrate,
        max_bitrate_bps: config.bitrates().most_bps,
        preset: config.preset.into(),
    };
    match H264Encoder::new(settings) {
        Ok(_) => Good("x264".to_owned()),
        Err(error) => Bad(error.to_string(), "install an FFmpeg with libx264 (Debian: libavcodec59)"),
    }
}

fn io_uring(config: &Config) -> Outcome {
    match (runtime::probe(), config.io) {
        (_, IoChoice::Epoll) => Good("not used (--io epoll)".to_owned()),
        (Ok(()), IoChoice::Auto | IoChoice::Uring) => Good("the kernel allows it".to_owned()),
        (Err(error), IoChoice::Auto) => Less(
            format!("refused ({error}), epoll is used"),
            "allow it: a seccomp profile with io_uring_setup, sysctl kernel.io_uring_disabled=0",
        ),
        (Err(error), IoChoice::Uring) => Bad(format!("refused: {error}"), "use --io auto, or allow io_uring_setup in the seccomp profile"),
    }
}

fn files() -> Outcome {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if most >= ENOUGH_FILES {
        return Good(format!("{most} may be open"));
    }
    Less(format!("only {most} may be open, and each viewer is one"), "raise the hard limit (ulimit -Hn, LimitNOFILE=)")
}

/// How long a sound server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The default limits of viewers and of connections that wait, and room for files.
const ENOUGH_FILES: u64 = 4096;

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Cli;

    #[test]
    fn what_is_missing_is_told_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let listen = format!("--listen={address}");
        let camera = format!("--camera=file:{}/gone/x.y4m", folder.path().display());
        fs::write(folder.path().join("gone"), "a file where a folder should be").unwrap();
        let tokens = format!("--token-file={}/none", folder.path().display());
        let flags = ["crosspoint", &listen, &camera, &tokens, "--display=:94321", "--pulse-server=unix:/nowhere", "--rtmp-listen=off"];
        let config = Cli::parse_from(flags).config.with_desktop(|_| None);
        let outcomes = outcomes(&config);
        let told = |what: &str| {
            let (_, outcome) = outcomes.iter().find(|(name, _)| *name == what).unwrap();
            line(what, outcome)
        };
        for (what, words) in [
            ("port", "--listen"),
            ("tokens", "--token-file"),
            ("display", "--display"),
            ("sound", "--pulse-server"),
            ("camera", "--camera"),
        ] {
            let line = told(what);
            assert!(line.starts_with("BAD ") && line.contains(words), "{line}");
        }
        assert!(told("encoder").starts_with("ok ") && told("rtmp").starts_with("ok "), "{}", told("encoder"));
        drop(taken);
        assert_eq!(port(address), Good(format!("{address} is free")));
    }
}
