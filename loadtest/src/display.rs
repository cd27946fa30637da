//! A display to measure on.

use std::fs;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;
use crate::scratch;
use crate::wait::until;

/// An X server without a screen, ours alone.
#[derive(Debug)]
pub(crate) struct Display {
    name: String,
    process: Process,
    _folder: TempDir,
}

impl Display {
    /// Starts one of a size in pixels, on `core` alone if one is named.
    ///
    /// # Errors
    /// When Xvfb is not installed, or does not start in time.
    pub(crate) async fn start((width, height): (u32, u32), core: Option<&str>) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let log = folder.path().join("display");
        let size = format!("{width}x{height}x24");
        let words = ["Xvfb", "-displayfd", "1", "-screen", "0", &size, "-nolisten", "tcp", "-noreset"];
        let mut process = Process::launch("Xvfb", words.map(Into::into).into(), core, &log)?;
        let name = until("Xvfb names its display", || {
            process.check(&log)?;
            let said = fs::read_to_string(&log)?;
            let number = said.lines().find(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()));
            Ok(number.map(|number| format!(":{number}")))
        })
        .await?;
        Ok(Self { name, process, _folder: folder })
    }

    /// What it is called, like `:7`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}
