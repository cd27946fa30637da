//! The programs of `peers/` that are started for a run.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::process::Process;
use crate::scratch;
use crate::wait::until;

/// A running one. It has said its ports.
#[derive(Debug)]
pub(crate) struct Script {
    process: Process,
    log: PathBuf,
    ports: Vec<u16>,
    _folder: TempDir,
}

impl Script {
    /// Starts `words`, a program and its arguments, on the processor `core` alone if one is named, and waits for its `ports`. What it needs
    /// was installed if `needed` is there.
    ///
    /// # Errors
    /// When it is not installed, or does not say its ports in time.
    pub(crate) async fn start(name: &'static str, words: Vec<OsString>, needed: &Path, core: Option<&str>, ports: usize) -> Result<Self> {
        ensure!(needed.exists(), "{} is missing: loadtest peers --setup", needed.display());
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let log = folder.path().join("log");
        let mut process = Process::launch(name, words, core, &log)?;
        let ports = until(&format!("{name} listens"), || {
            process.check(&log)?;
            Ok(said(&fs::read_to_string(&log)?, ports))
        })
        .await?;
        Ok(Self { process, log, ports, _folder: folder })
    }

    /// Where it takes what it calls its `nth` port.
    pub(crate) fn address(&self, nth: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[nth]))
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check(&self.log)
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

/// The ports it says first: so many, in a line of their own behind whatever its libraries warn of.
fn said(text: &str, count: usize) -> Option<Vec<u16>> {
    let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let ports = |line: &str| line.split(' ').map(|port| port.parse().ok()).collect::<Option<Vec<u16>>>();
    lines.filter_map(ports).find(|ports| ports.len() == count)
}

/// Debian's own Python, whose GStreamer's bindings are.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
/// What is there when they are.
pub(crate) const BINDINGS: &str = "/usr/lib/x86_64-linux-gnu/girepository-1.0/GstWebRTC-1.0.typelib";

/// The Python of the peers' folder, whose PyPI's packages are, and what is there when they are.
pub(crate) fn python(peers: &Path) -> (PathBuf, PathBuf) {
    (peers.join(".venv/bin/python"), peers.join(".venv/done"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_a_whole_line() {
        assert_eq!(said("(python3:7): GLib-WARNING\n40001 40002\n", 2), Some(vec![40_001, 40_002]));
        assert_eq!(said("40001\n", 1), Some(vec![40_001]));
        assert_eq!(said("40001 400", 2), None);
        assert_eq!(said("40001\n40001 70000\n", 2), None);
    }

    #[tokio::test]
    async fn what_is_not_installed_is_said_before_anything_is_started() {
        let words = vec!["/bin/false".into()];
        let error = Script::start("a peer", words, Path::new("/nonexistent/done"), None, 1).await.unwrap_err();
        assert!(error.to_string().contains("peers --setup"), "{error}");
    }
}
