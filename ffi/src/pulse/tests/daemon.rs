//! A private sound server for one test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Error;
use crate::pulse::Connection;

/// A running `pulseaudio` in a directory of its own; killed when dropped.
pub(super) struct Daemon {
    child: Child,
    dir: TempDir,
}

impl Daemon {
    /// Starts an empty server with `arguments` added, and waits until it takes connections; nothing (and it says so) where PulseAudio
    /// is not installed.
    pub(super) fn start(arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let child = Self::spawn(dir.path(), arguments)?;
        let mut daemon = Self { child, dir };
        daemon.await_ready();
        Some(daemon)
    }

    /// Kills the server as a crash would and starts an empty one in its place.
    pub(super) fn restart(&mut self) {
        self.kill();
        std::fs::remove_file(self.socket()).expect("a killed server leaves its socket");
        self.child = Self::spawn(self.dir.path(), &[]).expect("it was installed before");
        self.await_ready();
    }

    pub(super) fn kill(&mut self) {
        // An error means that it is dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Keeps the server from running until [`Daemon::resume`].
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("our child");
    }

    /// Connects as an application of this name.
    pub(super) fn connect(&self, name: &str) -> Connection {
        self.try_connect(name).expect("the server is up")
    }

    pub(super) fn try_connect(&self, name: &str) -> Result<Connection, Error> {
        Connection::connect(Some(&format!("unix:{}", self.socket().display())), name, soon())
    }

    /// Unloads every module of this name, as an operator would.
    pub(super) fn unload(&self, module: &str) {
        let server = format!("unix:{}", self.socket().display());
        let status = Command::new("pactl").args(["-s", &server, "unload-module", module]).status();
        assert!(status.expect("pactl comes with pulseaudio").success());
    }

    fn spawn(dir: &Path, arguments: &[&str]) -> Option<Child> {
        let protocol = format!("module-native-protocol-unix auth-anonymous=1 socket={}", dir.join("native").display());
        let spawned = Command::new("pulseaudio")
            .args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit", "--realtime=no"])
            .args(["--high-priority=no", "--log-level=error", "-L", &protocol])
            .args(arguments)
            .env_remove("PULSE_SERVER")
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .envs(["HOME", "XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH", "PULSE_CONFIG_PATH"].map(|key| (key, dir)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match spawned {
            Ok(child) => Some(child),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: pulseaudio is not installed");
                None
            }
            Err(cause) => panic!("starting pulseaudio: {cause}"),
        }
    }

    fn await_ready(&mut self) {
        let deadline = soon();
        while let Err(error) = self.try_connect("probe") {
            assert!(Instant::now() < deadline, "pulseaudio does not answer: {error}");
            assert!(self.child.try_wait().expect("our child").is_none(), "pulseaudio ended");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("native")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// When a test gives up waiting; generous, for a machine that does much else.
pub(super) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}
