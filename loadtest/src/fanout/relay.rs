//! The relays: Crosspoint on either runtime, and what it is measured beside.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::viewer::Place;
use crate::cli::Fanout;
use crate::client::Endpoint;
use crate::process::Process;
use crate::scratch;
use crate::socket::{Receiver, Sender};

/// Which relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Ours, on the runtime of this name; the feed of its video socket.
    Crosspoint(&'static str),
    /// `peers/relay.js` with this npm package.
    Node(&'static str),
}

/// A running relay.
pub(crate) struct Relay {
    kind: Kind,
    process: Process,
    log: PathBuf,
    endpoint: Endpoint,
    address: String,
    _folder: TempDir,
}

impl Kind {
    pub(super) fn name(self) -> String {
        match self {
            Self::Crosspoint(io) => format!("crosspoint {io}"),
            Self::Node(package) => format!("npm {package}"),
        }
    }
}

impl Relay {
    pub(super) async fn start(kind: Kind, options: &Fanout) -> Result<Self> {
        let core = options.pin.then_some(RELAY_CORE);
        match kind {
            Kind::Crosspoint(io) => {
                let folder = scratch::folder(Path::new("/dev/shm"))?;
                let mut camera = OsString::from("file:");
                camera.push(folder.path().join("camera.y4m"));
                let words = crosspoint(&options.common.crosspoint, io, folder.path(), ["--camera".into(), camera]);
                Self::launch(kind, folder, words, core).await
            }
            Kind::Node(package) => Self::of_node(package, &options.peers_folder, core).await,
        }
    }

    /// Starts the relay that is made with an npm package.
    pub(crate) async fn of_node(package: &'static str, peers: &Path, core: Option<&str>) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let words = vec!["node".into(), peers.join("relay.js").into(), package.into()];
        Self::launch(Kind::Node(package), folder, words, core).await
    }

    /// Starts Crosspoint for the players of a display, on `core` alone if one is named.
    pub(super) async fn of_display(io: &'static str, display: &str, binary: &Path, core: Option<&str>) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let words = crosspoint(binary, io, folder.path(), ["--camera", "off", "--display", display].map(OsString::from));
        Self::launch(Kind::Crosspoint(io), folder, words, core).await
    }

    /// Starts Crosspoint with a camera, and a display if one is named.
    pub(crate) async fn of_camera_and_display(display: Option<&str>, binary: &Path) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let mut camera = OsString::from("file:");
        camera.push(folder.path().join("camera.y4m"));
        let display = display.map(|display| ["--display".into(), display.into()]).into_iter().flatten();
        let words = crosspoint(binary, "auto", folder.path(), ["--camera".into(), camera].into_iter().chain(display));
        Self::launch(Kind::Crosspoint("auto"), folder, words, None).await
    }

    async fn launch(kind: Kind, folder: TempDir, words: Vec<OsString>, core: Option<&str>) -> Result<Self> {
        let (ready, log) = (folder.path().join(READY), folder.path().join("log"));
        let mut process = Process::launch("the relay", words, core, &log)?;
        let deadline = Instant::now() + START;
        let address = loop {
            process.check(&log)?;
            if let Some(address) = address(kind, &ready, &log) {
                break address;
            }
            ensure!(Instant::now() < deadline, "{} does not listen after {} s", kind.name(), START.as_secs());
            sleep(LOOK_AGAIN).await;
        };
        Ok(Self { kind, process, log, endpoint: Endpoint::at(&address), address, _folder: folder })
    }

    /// Opens what is published through. The answer's second half keeps the connection's reader.
    pub(crate) async fn publisher(&self) -> Result<(Sender, Receiver)> {
        match self.kind {
            Kind::Crosspoint(_) => {
                let video = json!({"video": {"type": "socket", "format": "mpegts"}});
                self.endpoint.post("/input/devices/virtual/configure", Some(&video)).await?;
                self.endpoint.open("/input/devices/virtual/socket/video").await
            }
            Kind::Node(_) => self.endpoint.open("/publish").await,
        }
    }

    /// Where viewers connect.
    pub(crate) fn viewers(&self) -> Place {
        let path = match self.kind {
            Kind::Crosspoint(_) => "/input/devices/virtual/feed/socket",
            Kind::Node(_) => "/view",
        };
        Place { address: self.address.clone(), path }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    pub(super) fn cpu_ms(&self) -> f64 {
        self.process.cpu_ms()
    }

    /// What its first thread used, which is the one that serves the network.
    pub(super) fn network_cpu_ms(&self) -> Result<f64> {
        self.process.first_thread_cpu_ms()
    }

    pub(super) fn resident_kb(&self) -> Result<f64> {
        self.process.resident_kb()
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check(&self.log)
    }
}

/// The words that start a router whose files are in `folder`.
fn crosspoint(binary: &Path, io: &str, folder: &Path, more: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = vec![binary.into()];
    let always = ["--listen", "127.0.0.1:0", "--rtmp-listen", "off", "--rtmps-listen", "off", "--microphone", "off", "--io", io];
    words.extend(always.map(OsString::from));
    words.extend(["--ready-file".into(), folder.join(READY).into()]);
    words.extend(more);
    words
}

/// Where a relay says that it listens.
fn address(kind: Kind, ready: &Path, log: &Path) -> Option<String> {
    match kind {
        Kind::Crosspoint(_) => {
            let ready: serde_json::Value = serde_json::from_slice(&fs::read(ready).ok()?).ok()?;
            Some(ready["listen"].as_str()?.to_owned())
        }
        Kind::Node(_) => {
            let said = fs::read_to_string(log).ok()?;
            let port: u16 = said.strip_suffix('\n')?.parse().ok()?;
            Some(format!("127.0.0.1:{port}"))
        }
    }
}

/// Keeps this process off the first processor, which is the relay's.
pub(super) fn pin_ourselves() -> Result<()> {
    let mut second = CpuSet::new();
    second.set(1);
    Ok(sched_setaffinity(None, &second)?)
}

/// The relay's processor where the load has another.
pub(super) const RELAY_CORE: &str = "0";
/// The load's.
pub(super) const LOAD_CORE: &str = "1";
const READY: &str = "ready";
const START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
