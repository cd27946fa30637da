//! A stock Chromium.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;

/// A headless browser with a profile of its own, on one page.
#[derive(Debug)]
pub(crate) struct Chromium {
    process: Process,
    log: PathBuf,
    _folder: TempDir,
}

impl Chromium {
    /// Starts `binary` on `url`, with its profile in `folder`, which goes when it ends. `wrapper` is what `crosspoint browser-wrapper`
    /// wrote; without one, a camera would be a device.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(binary: &Path, folder: TempDir, wrapper: Option<&Path>, url: &str) -> Result<Self> {
        let log = folder.path().join("log");
        let mut arguments: Vec<OsString> = FLAGS.map(OsString::from).into();
        arguments.push(flag("--user-data-dir=", &folder.path().join("profile")));
        arguments.extend(wrapper.map(|wrapper| flag("--utility-cmd-prefix=", wrapper)));
        if rustix::process::geteuid().is_root() {
            // Chromium's sandbox refuses root.
            arguments.push("--no-sandbox".into());
        }
        arguments.push(url.into());
        let process = Process::start("chromium", binary, arguments, &log)?;
        Ok(Self { process, log, _folder: folder })
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check(&self.log)
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
const FLAGS: [&str; 12] = [
    "--headless=new",
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
    "--window-size=1280,720",
];
