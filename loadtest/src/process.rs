//! Processes that end with the run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// A child that leads a process group of its own. Dropping it ends the whole group: politely, then not.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts `program` with `arguments`, its output going to the file at `log`.
    ///
    /// Where util-linux is there, the child is told to end when this process dies, however it dies. The kernel ties that to the thread
    /// that starts the child, so call this from the main thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start<S: AsRef<std::ffi::OsStr>>(
        name: &'static str,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        log: &Path,
    ) -> Result<Self> {
        let output = fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = if Path::new(SETPRIV).exists() {
            let mut command = Command::new(SETPRIV);
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        Ok(Self { name, child })
    }

    /// Starts the program and the arguments that `words` are, on the processor `core` alone if one is named.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub(crate) fn launch(name: &'static str, words: Vec<OsString>, core: Option<&str>, log: &Path) -> Result<Self> {
        let pin = core.map(|core| ["taskset", "-c", core].map(OsString::from)).into_iter().flatten();
        let words: Vec<OsString> = pin.chain(words).collect();
        let (program, arguments) = words.split_first().context("a process has a program")?;
        Self::start(name, Path::new(program), arguments, log)
    }

    /// Fails when it has ended, with the end of what it said in `log`.
    pub(crate) fn check(&mut self, log: &Path) -> Result<()> {
        let Some(status) = self.ended()? else { return Ok(()) };
        let said = fs::read(log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&said[said.len().saturating_sub(SAID_BYTES)..]).trim().to_owned();
        bail!("{} ended ({status}): {tail}", self.name)
    }

    /// How it ended, once it has.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// The processor time that its group has used, in milliseconds; what ended and was waited for inside the group included.
    pub(crate) fn cpu_ms(&self) -> f64 {
        self.group().map(|(_, stat)| stat.cpu_ms()).sum()
    }

    /// The share of memory that its group's processes have, in MiB; as [`Process::share_mib`].
    pub(crate) fn group_share_mib(&self) -> f64 {
        self.group().filter_map(|(folder, _)| memory_mib(&folder, "Pss:").ok()).sum()
    }

    /// The processes of its group, by their folders.
    fn group(&self) -> impl Iterator<Item = (PathBuf, Stat)> {
        let (entries, leader) = (fs::read_dir("/proc").into_iter().flatten().flatten(), self.child.id());
        let stats = entries.filter_map(|entry| Some((entry.path(), Stat::parse(&fs::read_to_string(entry.path().join("stat")).ok()?)?)));
        stats.filter(move |(_, stat)| stat.group == leader)
    }

    /// The processor time that the threads of its first process have used that are there now, in milliseconds; finer than the other.
    pub(crate) fn threads_cpu_ms(&self) -> Result<f64> {
        let stats = self.thread_stats()?;
        Ok(stats.iter().filter_map(|stat| stat.split_ascii_whitespace().next()?.parse::<f64>().ok()).sum::<f64>() / 1e6)
    }

    /// The processor time that its first thread has used, in milliseconds.
    pub(crate) fn first_thread_cpu_ms(&self) -> Result<f64> {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let nanoseconds: f64 = stat.split_ascii_whitespace().next().unwrap_or_default().parse().with_context(|| path)?;
        Ok(nanoseconds / 1e6)
    }

    /// The memory that its first process has resident, in units of 1000 bytes.
    pub(crate) fn resident_kb(&self) -> Result<f64> {
        let path = format!("/proc/{}/statm", self.child.id());
        let statm = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let pages: f64 = statm.split_ascii_whitespace().nth(1).unwrap_or_default().parse().with_context(|| path)?;
        Ok(pages * rustix::param::page_size() as f64 / 1e3)
    }

    /// The share of memory that is its first process's (`Pss` of `proc_pid_smaps_rollup(5)`: what is shared counts in parts), in MiB.
    pub(crate) fn share_mib(&self) -> Result<f64> {
        self.memory_mib("Pss:")
    }

    /// The memory that its first process has written and nobody else has, in MiB: what one more of it would take.
    pub(crate) fn private_mib(&self) -> Result<f64> {
        self.memory_mib("Private_Dirty:")
    }

    fn memory_mib(&self, kind: &str) -> Result<f64> {
        memory_mib(&PathBuf::from(format!("/proc/{}", self.child.id())), kind)
    }

    /// The files, sockets and the like that its first process has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        self.entries("fd")
    }

    /// The threads of its first process.
    pub(crate) fn threads(&self) -> Result<usize> {
        self.entries("task")
    }

    fn entries(&self, folder: &str) -> Result<usize> {
        let path = format!("/proc/{}/{folder}", self.child.id());
        Ok(fs::read_dir(&path).with_context(|| format!("reading {path}"))?.count())
    }

    /// How often the threads of its first process were given a processor so far.
    pub(crate) fn wake_ups(&self) -> Result<u64> {
        let stats = self.thread_stats()?;
        Ok(stats.iter().filter_map(|stat| stat.split_ascii_whitespace().nth(2)?.parse::<u64>().ok()).sum())
    }

    /// What the scheduler says of each thread of its first process: time on a processor, time waiting for one, turns.
    fn thread_stats(&self) -> Result<Vec<String>> {
        let path = format!("/proc/{}/task", self.child.id());
        let tasks = fs::read_dir(&path).with_context(|| format!("reading {path}"))?;
        Ok(tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok()).collect())
    }

    fn end(&mut self) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // The group outlives its leader while it has members, so an id that is still ours cannot name another group; and one that is
        // empty answers ESRCH.
        let _ = kill_process_group(group, Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A figure of `smaps_rollup` in a process's folder, in MiB.
fn memory_mib(folder: &Path, kind: &str) -> Result<f64> {
    let path = folder.join("smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let kib = text.lines().find_map(|line| line.strip_prefix(kind)?.split_ascii_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.with_context(|| path.display().to_string())? / 1_024.0)
}

/// The processor time that this process has used, in milliseconds.
pub(crate) fn own_cpu_ms() -> f64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Stat::parse(&stat)).map_or(0.0, |stat| stat.cpu_ms())
}

/// What matters here of `proc_pid_stat(5)`.
#[derive(Debug, Eq, PartialEq)]
struct Stat {
    group: u32,
    ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name is in brackets and may itself hold spaces and brackets. Field 3 follows it.
        let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
        let group = fields.nth(2)?.parse().ok()?;
        // Fields 14 to 17: own user and system time, and that of children that were waited for.
        let times = fields.skip(8).take(4).map(|field| field.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
        (times.len() == 4).then(|| Self { group, ticks: times.iter().sum() })
    }

    fn cpu_ms(&self) -> f64 {
        self.ticks as f64 * 1e3 / rustix::param::clock_ticks_per_second() as f64
    }
}

/// Part of util-linux, which is essential in Debian.
const SETPRIV: &str = "/usr/bin/setpriv";
/// A browser writes its profile first; another one of us ends all that it started.
const GRACE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// The last lines of a log.
const SAID_BYTES: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_parses_whatever_the_name() {
        let stat = "77 (a) b (c) S 1 70 70 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(Stat::parse(stat), Some(Stat { group: 70, ticks: 127 }));
        assert_eq!(Stat::parse("77 (cut) S 1 70 70 0 -1 4194560 1 2 3 4 100"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn drop_ends_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        // The grandchild holds the pipe's writing end: the pipe ends when it does.
        let script = "sleep 600 & echo $!; wait";
        let process = Process::start("sh", Path::new("/bin/sh"), ["-c", script], &log).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let grandchild = loop {
            let said = fs::read_to_string(&log).unwrap();
            if said.ends_with('\n') {
                break said.trim().to_owned();
            }
            assert!(Instant::now() < deadline, "the shell says who it started");
            thread::yield_now();
        };
        drop(process);
        // Orphans go to whoever reaps here; until then they are zombies.
        loop {
            let state = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < deadline, "still running: {state}");
            thread::yield_now();
        }
    }

    #[test]
    fn check_tells_what_the_process_said_last() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process = Process::start("the shell", Path::new("/bin/sh"), ["-c", "echo no camera; exit 3"], &log).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = loop {
            if let Err(error) = process.check(&log) {
                break error.to_string();
            }
            assert!(Instant::now() < deadline, "it ends at once");
            thread::yield_now();
        };
        assert!(error.contains("the shell ended") && error.contains("no camera"), "{error}");
    }
}
