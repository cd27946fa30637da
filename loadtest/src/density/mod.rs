//! How many sandboxes a machine carries.
//!
//! ```text
//! density ─starts▶ [ Xvfb, PulseAudio, crosspoint, Chromium │ sandbox: publisher, camera reader, painter, viewer ]   one namespace each
//!    ▲                                                  │
//!    └──────────────────── accounts ◀───────────────────┘
//! ```

mod account;
mod browser;
mod report;
pub(crate) mod sandbox;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::account::Account;
use self::report::{Report, Step};
use crate::cli::Density;
use crate::clip::Clip;
use crate::machine::{Busy, Machine};
use crate::process::Process;
use crate::progress::Progress;
use crate::report::note;
use crate::scratch;

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When something that is needed cannot be started.
pub(crate) async fn run(options: &Density) -> Result<bool> {
    let report = measure(options).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

async fn measure(options: &Density) -> Result<Report> {
    let machine = Machine::look(options.chromium.as_deref().unwrap_or_else(|| "/bin/true".as_ref()));
    let folder = scratch::folder(Path::new("/dev/shm"))?;
    let clip = folder.path().join("clip");
    let format = VideoFormat::new(1_280, 720, FRAME_RATE).context("a format")?;
    // The first second does not count.
    let frames = ((options.seconds + WARM_UP_SECONDS) * FRAME_RATE) as usize;
    Clip::encode(format, BITRATE_BPS, frames, PERIOD).await?.save(&clip)?;
    let mut steps = Vec::new();
    for count in counts(options.sandboxes) {
        note(&format!("{count} of {} sandboxes", options.sandboxes));
        let step = step(count, options, &clip).await?;
        let is_broken = step.broken.is_some();
        steps.push(step);
        if is_broken {
            break;
        }
    }
    ensure!(steps[0].broken.is_none(), "a single sandbox breaks: {}", steps[0].broken.as_deref().unwrap_or_default());
    Ok(Report::new(machine, options, steps))
}

/// Measures so many sandboxes at once.
async fn step(count: u32, options: &Density, clip: &Path) -> Result<Step> {
    let folder = scratch::folder(Path::new("/dev/shm"))?;
    let start = folder.path().join("start");
    let mut running = Vec::new();
    for nth in 0..count {
        let clip = is_chosen(nth, options.cameras).then_some(clip);
        let mut sandbox = Running::launch(options, clip, is_chosen(nth, options.viewers), &start)?;
        // One after another: what starting costs is not what is measured.
        sandbox.until_ready().await?;
        running.push(sandbox);
    }
    let busy = Busy::look();
    let _progress = Progress::over("sandboxes at work", options.seconds + WARM_UP_SECONDS);
    fs::write(&start, "")?;
    let deadline = Instant::now() + Duration::from_secs((options.seconds + WARM_UP_SECONDS).into()) + SLACK;
    let mut accounts = Vec::new();
    for sandbox in &mut running {
        accounts.push(sandbox.account(deadline).await);
    }
    Ok(Step::new(count, accounts, busy.percent_since()))
}

/// A sandbox's process.
struct Running {
    process: Process,
    log: PathBuf,
    _folder: TempDir,
}

impl Running {
    fn launch(options: &Density, clip: Option<&Path>, is_watched: bool, start: &Path) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let log = folder.path().join("log");
        let mut words: Vec<OsString> = Vec::new();
        if !options.no_namespaces {
            let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
            let into = ["unshare", "--net", "--mount"].iter().chain(user).chain(&["--", "sh", "-c", ENTER]);
            words.extend(into.map(Into::into));
        }
        words.extend([std::env::current_exe()?.into(), "sandbox".into(), "--crosspoint".into(), options.common.crosspoint.clone().into()]);
        words.extend(["--seconds".into(), options.seconds.to_string().into(), "--start".into(), start.into()]);
        if let Some(chromium) = &options.chromium {
            words.extend(["--chromium".into(), chromium.into()]);
        }
        if let Some(clip) = clip {
            words.extend(["--clip".into(), clip.into()]);
        }
        if is_watched {
            words.extend(["--changes".into(), options.changes.to_string().into()]);
        }
        let process = Process::launch("a sandbox", words, None, &log)?;
        Ok(Self { process, log, _folder: folder })
    }

    async fn until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while !fs::read_to_string(&self.log)?.lines().any(|line| line == sandbox::READY) {
            self.process.check(&self.log)?;
            ensure!(Instant::now() < deadline, "a sandbox is not ready after {} s", START.as_secs());
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// What it has to say of itself, or why it has not.
    async fn account(&mut self, deadline: Instant) -> Result<Account> {
        loop {
            let said = fs::read_to_string(&self.log)?;
            if let Some(account) = said.lines().find_map(|line| line.strip_prefix(sandbox::ACCOUNT)) {
                return serde_json::from_str(account).context("a sandbox's account");
            }
            self.process.check(&self.log)?;
            ensure!(Instant::now() < deadline, "a sandbox is late: {}", said.lines().last().unwrap_or_default());
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Whether the sandbox of this number is one of `percent` of a hundred, spread evenly.
fn is_chosen(nth: u32, percent: u32) -> bool {
    (nth + 1) * percent / 100 > nth * percent / 100
}

/// 1, 2, 4 and so on, and `most`.
fn counts(most: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(1), move |count| (*count < most).then(|| most.min(count * 2)))
}

/// X servers of several networks would all be the first, and fight for its place among the files.
const ENTER: &str = "ip link set lo up && mkdir -p /tmp/.X11-unix && mount -t tmpfs tmpfs /tmp/.X11-unix && chmod 1777 /tmp/.X11-unix && exec \"$0\" \"$@\"";
const FRAME_RATE: u32 = 30;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / FRAME_RATE as u64);
const BITRATE_BPS: u32 = 2_000_000;
/// Before what counts: decoders, encoders and readers find their pace.
const WARM_UP_SECONDS: u32 = 1;
/// A cold browser among those of many sandboxes.
const START: Duration = Duration::from_secs(90);
/// How late an account may come: those of many sandboxes on few processors are.
const SLACK: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_double_up_to_the_most() {
        assert_eq!(counts(1).collect::<Vec<_>>(), [1]);
        assert_eq!(counts(8).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(counts(11).collect::<Vec<_>>(), [1, 2, 4, 8, 11]);
    }

    #[test]
    fn shares_are_spread_evenly() {
        let chosen = |percent| (0..200).filter(|&nth| is_chosen(nth, percent)).collect::<Vec<_>>();
        assert_eq!([0, 25, 50, 100].map(|percent| chosen(percent).len()), [0, 50, 100, 200]);
        assert_eq!(chosen(25)[..3], [3, 7, 11]);
    }
}
