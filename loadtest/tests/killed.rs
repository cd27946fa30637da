//! Who is killed in the middle of a run leaves nothing behind: no process, no folder, no display's lock.
//!
//! What a run started is known by a variable in its environment, which all of it inherits.
#![expect(clippy::unwrap_used, reason = "this is all test, and clippy knows only functions marked so")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A run, and all that it started.
struct Run {
    child: Child,
    mark: String,
    pids: BTreeSet<u32>,
}

impl Run {
    /// Starts one, and lets it come to where it runs all of `programs`.
    fn in_the_middle(words: &[&str], programs: &[&str]) -> Self {
        Self::with(words, programs, None)
    }

    /// The same, with a folder whose programs stand before all others.
    fn with(words: &[&str], programs: &[&str], path: Option<&Path>) -> Self {
        let crosspoint = Path::new(LOADTEST).with_file_name("crosspoint");
        let home = tempfile::tempdir().unwrap();
        let mark = format!("LOADTEST_RUN={}", home.path().display());
        let (name, value) = mark.split_once('=').unwrap();
        let mut command = Command::new(LOADTEST);
        command.args(words).arg("--crosspoint").arg(crosspoint).env(name, value);
        let before = path.into_iter().map(Path::to_owned);
        command.env("PATH", std::env::join_paths(before.chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))).unwrap());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut run = Self { child, mark, pids: BTreeSet::new() };
        run.until("all is started", |run| {
            let status = run.child.try_wait().unwrap();
            assert!(status.is_none(), "{words:?} ended by itself: {status:?}");
            run.look();
            programs.iter().all(|program| run.pids.iter().any(|pid| name_of(*pid).as_deref() == Some(program)))
        });
        run
    }

    /// Takes note of who runs.
    fn look(&mut self) -> bool {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let is_ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        let ours: Vec<u32> = pids.filter(is_ours).collect();
        self.pids.extend(&ours);
        !ours.is_empty()
    }

    fn kill(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
        self.until("it ends", |run| run.child.try_wait().unwrap().is_some());
        self.until("nothing runs any more", |run| !run.look());
        self.child.wait().unwrap()
    }

    /// The folders and the displays' locks that are there of it.
    fn left(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
        let of_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let owner = if name.ends_with("-lock") {
                fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok())
            } else {
                name.strip_prefix("loadtest-").and_then(|name| name.split_once('-')?.0.parse().ok())
            };
            owner.is_some_and(|owner: u32| self.pids.contains(&owner))
        };
        [Path::new("/dev/shm"), &std::env::temp_dir(), Path::new("/tmp")].into_iter().flat_map(entries).filter(of_ours).collect()
    }

    fn until(&mut self, what: &str, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: not in {} s; {:?}", PATIENCE.as_secs(), self.names());
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn names(&self) -> Vec<String> {
        self.pids.iter().filter_map(|pid| Some(format!("{pid} {}", name_of(*pid)?))).collect()
    }
}

impl Drop for Run {
    /// Whatever a failed test leaves.
    fn drop(&mut self) {
        self.look();
        for pid in &self.pids {
            let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw);
            // Those that ended are gone.
            let _ = pid.filter(|_| thread::panicking()).map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

fn name_of(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

/// One sandbox with all that one has, in a namespace where that can be made.
fn density() -> Vec<&'static str> {
    let mut words = vec!["density", "--sandboxes", "1", "--cameras", "100", "--viewers", "100", "--seconds", "10"];
    let user: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let made = Command::new("unshare").args(["--net", "--mount"]).args(user).arg("true").stderr(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        words.push("--no-namespaces");
    }
    words
}

/// Whether all of `programs` are installed; says so when not.
fn are_installed(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = programs.iter().find(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).exists()));
    missing.inspect(|missing| eprintln!("skipped: {missing} is not installed")).is_none()
}

fn killed_leaves_nothing(words: &[&str], programs: &[&str], signal: Signal) {
    ended_leaves_nothing(Run::in_the_middle(words, programs), signal);
}

/// Kills a run as nobody can prevent, whose own folders are all that it cannot take away, then; and others that can, by each of `signals`.
fn killed_leaves_its_folders_to_the_next(words: &[&str], programs: &[&str], path: Option<&Path>, signals: &[Signal]) {
    let mut run = Run::with(words, programs, path);
    run.kill(Signal::KILL);
    let own = format!("loadtest-{}-", run.child.id());
    let left = run.left();
    assert!(left.iter().all(|path| path.file_name().unwrap().to_string_lossy().starts_with(&own)), "{left:?}");
    signals.iter().for_each(|signal| ended_leaves_nothing(Run::with(words, programs, path), *signal));
    assert_eq!(run.left(), Vec::<PathBuf>::new(), "the next run takes them away");
}

fn ended_leaves_nothing(mut run: Run, signal: Signal) {
    let status = run.kill(signal);
    assert_eq!(status.code(), Some(2), "nothing was measured");
    assert_eq!(run.left(), Vec::<PathBuf>::new());
}

#[test]
fn sandboxes_end_with_who_started_them_and_folders_with_the_next_run() {
    if !are_installed(&SANDBOX[..2]) {
        return;
    }
    let (mut words, mut programs) = (density(), SANDBOX.to_vec());
    if are_installed(&["chromium"]) {
        words.push("--chromium");
        programs.push("chromium");
    }
    killed_leaves_its_folders_to_the_next(&words, &programs, None, &[Signal::TERM]);
}

#[test]
fn glass_ends_with_its_browser_player_and_display() {
    if are_installed(&["Xvfb", "pulseaudio", "pacat", "chromium"]) {
        let words = ["glass", "--sound", "--seconds", "30"];
        killed_leaves_its_folders_to_the_next(&words, &["Xvfb", "pulseaudio", "pacat", "crosspoint", "chromium"], None, &[Signal::INT]);
    }
}

#[test]
fn fanout_ends_with_its_relay_and_players() {
    if are_installed(&WATCHED[..2]) {
        let words = ["fanout", "--rtmp", "--viewers", "2", "--rounds", "1", "--seconds", "10"];
        killed_leaves_its_folders_to_the_next(&words, &WATCHED, None, &[Signal::TERM]);
    }
}

#[test]
fn setup_ends_with_its_installer() {
    // Installers that are never done.
    let stubs = tempfile::tempdir().unwrap();
    for name in ["apt-get", "npm", "sudo"] {
        let path = stubs.path().join(name);
        fs::write(&path, "#!/bin/sh\nexec sleep 600\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let peers = tempfile::tempdir().unwrap();
    fs::write(peers.path().join("package-lock.json"), "{}").unwrap();
    let words = ["peers", "--setup", "--peers-folder", peers.path().to_str().unwrap()];
    killed_leaves_its_folders_to_the_next(&words, &["sleep"], Some(stubs.path()), &[Signal::INT, Signal::TERM]);
}

#[test]
fn interrupted_view_leaves_nothing() {
    if are_installed(&WATCHED[..2]) {
        killed_leaves_nothing(&["view", "--websocket", "2", "--rtmp", "1", "--webrtc", "1", "--seconds", "15"], &WATCHED, Signal::INT);
    }
}

#[test]
fn terminated_soak_leaves_nothing() {
    if are_installed(&WATCHED[..2]) {
        killed_leaves_nothing(&["soak", "--websocket", "2", "--rtmp", "1", "--webrtc", "1"], &WATCHED, Signal::TERM);
    }
}

#[test]
fn terminated_peers_end_the_measurement_and_what_that_started() {
    killed_leaves_nothing(&["peers", "--only", "memory", "--only", "camera", "--seconds", "10"], &["crosspoint"], Signal::TERM);
}

const LOADTEST: &str = env!("CARGO_BIN_EXE_loadtest");
const SANDBOX: [&str; 3] = ["Xvfb", "pulseaudio", "crosspoint"];
const WATCHED: [&str; 3] = ["Xvfb", "ffplay", "crosspoint"];
/// A machine that builds and tests other things, too.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
