//! What a figure was measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// The machine and what else it was doing.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's name.
    pub(crate) processor: String,
    /// Logical processors that this process may use.
    pub(crate) cores: usize,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Runnable threads over the last minute, before the run: a busy machine measures itself.
    pub(crate) load_before: f64,
    /// The browser's own words.
    pub(crate) browser: String,
}

impl Machine {
    /// Looks.
    pub(crate) fn look(browser: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo")
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let version = Command::new(browser).arg("--version").output();
        Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: read("/proc/loadavg").split_ascii_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            browser: version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
impl Machine {
    /// One that nothing was measured on.
    pub(crate) fn none() -> Self {
        Self { processor: "EPYC".into(), cores: 2, kernel: "6.18".into(), load_before: 0.5, browser: "Chromium 156".into() }
    }
}

/// How busy all processors were until a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    idle: u64,
    all: u64,
}

impl Busy {
    /// Looks.
    pub(crate) fn look() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<u64> =
            text.lines().next().unwrap_or_default().split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        // User, nice, system, idle, waiting for disks, and what interrupts and others took (`proc_stat(5)`).
        Self { idle: ticks.iter().skip(3).take(2).sum(), all: ticks.iter().take(8).sum() }
    }

    /// The share of all processors that was used since, in percent.
    pub(crate) fn percent_since(self) -> f64 {
        let now = Self::look();
        let (idle, all) = (now.idle - self.idle, now.all - self.all);
        100.0 * (all - idle.min(all)) as f64 / all.max(1) as f64
    }
}
