//! A router to measure: one started here, or one that runs.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::client::Endpoint;
use crate::process::Process;
use crate::scratch;
use crate::sound::Sound;

/// A running router.
#[derive(Debug)]
pub(crate) struct Crosspoint {
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    started: Option<Started>,
}

/// Fields drop in order: the process ends before its files go.
#[derive(Debug)]
struct Started {
    process: Process,
    log: PathBuf,
    folder: TempDir,
}

/// What a router writes when it listens.
#[derive(Deserialize)]
struct Ready {
    listen: String,
}

impl Crosspoint {
    /// Starts `binary` on a free port, with a camera file of its own.
    ///
    /// # Errors
    /// When it cannot be started, or does not listen in time.
    pub(crate) async fn start(binary: &Path, canvas: VideoFormat, microphone: bool) -> Result<Self> {
        Self::for_pages(binary, canvas, microphone, None).await
    }

    /// The same, and pages from `origin` may call, if there is one.
    ///
    /// # Errors
    /// As [`Crosspoint::start`].
    pub(crate) async fn for_pages(binary: &Path, canvas: VideoFormat, microphone: bool, origin: Option<&str>) -> Result<Self> {
        // The camera lives in memory, and away from any other router's.
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let microphone = if microphone { "pulse" } else { "off" };
        let canvas = flag_of(canvas);
        let more = ["--canvas", &canvas, "--microphone", microphone].into_iter();
        let more = more.chain(origin.into_iter().flat_map(|origin| ["--allow-origin", origin])).chain(["--camera"]).map(OsString::from);
        let camera = camera_flag(&folder.path().join(CAMERA));
        Self::launch(binary, folder, more.chain([camera])).await
    }

    /// Starts `binary` on a free port, with a camera file of its own and its microphone in `sound`.
    ///
    /// # Errors
    /// As [`Crosspoint::start`].
    pub(crate) async fn with_sound(binary: &Path, canvas: VideoFormat, sound: &Sound) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let more = ["--canvas", &flag_of(canvas), "--pulse-server", sound.address(), "--camera"].map(OsString::from);
        let camera = camera_flag(&folder.path().join(CAMERA));
        Self::launch(binary, folder, more.into_iter().chain([camera])).await
    }

    /// Starts `binary` on a free port for viewers of a display, and of what `sound` (a sound server) plays, who may be pages from `origin`.
    ///
    /// # Errors
    /// As [`Crosspoint::start`].
    pub(crate) async fn of_display(binary: &Path, display: &str, sound: Option<&str>, origin: &str) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let more = ["--camera", "off", "--display", display, "--allow-origin", origin];
        let sound = sound.map_or(["--microphone", "off"], |sound| ["--pulse-server", sound]);
        Self::launch(binary, folder, more.into_iter().chain(sound).map(OsString::from)).await
    }

    /// Starts `binary` on a free port as in a sandbox: with a camera file, a display and a sound server.
    ///
    /// # Errors
    /// As [`Crosspoint::start`].
    pub(crate) async fn of_sandbox(binary: &Path, display: &str, sound: &str) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let camera = camera_flag(&folder.path().join(CAMERA));
        let more = ["--display", display, "--pulse-server", sound, "--camera"].map(OsString::from);
        Self::launch(binary, folder, more.into_iter().chain([camera])).await
    }

    async fn launch(binary: &Path, folder: TempDir, more: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let (ready, log) = (folder.path().join("ready"), folder.path().join("log"));
        let always = ["--listen", "127.0.0.1:0", "--rtmp-listen", "off", "--rtmps-listen", "off", "--ready-file"].map(OsString::from);
        let arguments = always.into_iter().chain([ready.clone().into()]).chain(more);
        let mut process = Process::start("crosspoint", binary, arguments, &log)?;
        let deadline = Instant::now() + START;
        let endpoint = loop {
            process.check(&log)?;
            if let Ok(text) = fs::read(&ready) {
                let ready: Ready = serde_json::from_slice(&text).context("reading crosspoint's ready file")?;
                break Endpoint::at(ready.listen);
            }
            ensure!(Instant::now() < deadline, "crosspoint does not listen after {} s", START.as_secs());
            sleep(LOOK_AGAIN).await;
        };
        Ok(Self { endpoint, started: Some(Started { process, log, folder }) })
    }

    /// Uses the one at `url`.
    ///
    /// # Errors
    /// When it is no such URL.
    pub(crate) fn running(url: &str) -> Result<Self> {
        Ok(Self { endpoint: Endpoint::parse(url)?, started: None })
    }

    /// Fails when it was started here and has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.started.as_mut().map_or(Ok(()), |started| started.process.check(&started.log))
    }

    /// Its process, if it was started here.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.started.as_ref().map(|started| &started.process)
    }

    /// Its camera file, if it was started here.
    pub(crate) fn camera(&self) -> Option<PathBuf> {
        self.started.as_ref().map(|started| started.folder.path().join(CAMERA))
    }

    /// The processor time it has used, in milliseconds, if it was started here.
    pub(crate) fn cpu_ms(&self) -> Option<f64> {
        self.started.as_ref().map(|started| started.process.cpu_ms())
    }
}

/// Writes the wrapper that gives a browser the camera at `camera`.
///
/// # Errors
/// When `binary` cannot.
pub(crate) fn write_wrapper(binary: &Path, camera: &Path, wrapper: &Path) -> Result<()> {
    let output = Command::new(binary)
        .arg("browser-wrapper")
        .arg("--camera")
        .arg(camera_flag(camera))
        .arg("--write")
        .arg(wrapper)
        .output()
        .with_context(|| format!("starting {}", binary.display()))?;
    ensure!(output.status.success(), "crosspoint browser-wrapper: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn flag_of(canvas: VideoFormat) -> String {
    format!("{}x{}@{}", canvas.width(), canvas.height(), canvas.frame_rate())
}

fn camera_flag(camera: &Path) -> OsString {
    let mut flag = OsString::from("file:");
    flag.push(camera);
    flag
}

const CAMERA: &str = "camera.y4m";
/// It opens a sound server's connection, reserves its camera and listens: well under a second.
const START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
