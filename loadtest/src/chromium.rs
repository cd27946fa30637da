//! A stock Chromium.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;

/// A browser with a profile of its own, on one page.
#[derive(Debug)]
pub(crate) struct Chromium {
    process: Process,
    log: PathBuf,
    _folder: TempDir,
}

impl Chromium {
    /// Starts `binary` without a display on `url`, with its profile in `folder`, which goes when it ends. `wrapper` is what `crosspoint browser-wrapper`
    /// wrote; without one, a camera would be a device.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(binary: &Path, folder: TempDir, wrapper: Option<&Path>, url: &str) -> Result<Self> {
        Self::launch(vec![binary.into()], folder, wrapper, &["--headless=new", "--window-size=1280,720"], url)
    }

    /// The same as a window on a display, with a sound server. It leaves free what is drawn on the display's edges.
    ///
    /// # Errors
    /// As [`Chromium::start`].
    pub(crate) fn on_display(
        binary: &Path,
        folder: TempDir,
        wrapper: Option<&Path>,
        url: &str,
        display: &str,
        sound: &str,
    ) -> Result<Self> {
        let program = vec!["env".into(), format!("DISPLAY={display}").into(), format!("PULSE_SERVER={sound}").into(), binary.into()];
        Self::launch(program, folder, wrapper, &["--window-position=0,90", "--window-size=1280,540"], url)
    }

    fn launch(program: Vec<OsString>, folder: TempDir, wrapper: Option<&Path>, window: &[&str], url: &str) -> Result<Self> {
        let log = folder.path().join("log");
        let mut words = program;
        words.extend(FLAGS.iter().chain(window).map(OsString::from));
        words.push(flag("--user-data-dir=", &folder.path().join("profile")));
        words.extend(wrapper.map(|wrapper| flag("--utility-cmd-prefix=", wrapper)));
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox refuses root.
            words.push("--no-sandbox".into());
        }
        words.push(url.into());
        let process = Process::launch("chromium", words, None, &log)?;
        Ok(Self { process, log, _folder: folder })
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check(&self.log)
    }

    /// The share of memory of all its processes, in MiB.
    pub(crate) fn share_mib(&self) -> f64 {
        self.process.group_share_mib()
    }

    /// The processor time of all its processes, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> f64 {
        self.process.cpu_ms()
    }
}

fn flag(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(value);
    flag
}

/// Camera and microphone without asking; nothing that talks to the network or draws with a GPU that is not there.
const FLAGS: [&str; 10] = [
    "--auto-accept-camera-and-microphone-capture",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
];
