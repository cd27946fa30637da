//! The program as a process: its exit, its signals, and a kernel that refuses io_uring as a container's default profile does.
#![expect(clippy::unwrap_used, reason = "this is all test, and clippy knows only functions marked so")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Starts what follows on its command line with `io_uring_setup` (425 everywhere) answered by ENOSYS.
const WITHOUT_URING: &str = r#"
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7fff0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
argument = lambda number: ctypes.c_ulong(number)
assert libc.prctl(38, argument(1), argument(0), argument(0), argument(0)) == 0
assert libc.prctl(22, argument(2), ctypes.byref(Filter(len(code), ctypes.addressof(program)))) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

const CROSSPOINT: &str = env!("CARGO_BIN_EXE_crosspoint");
const PATIENCE: Duration = Duration::from_secs(10);

fn plain() -> Command {
    Command::new(CROSSPOINT)
}

fn without_uring() -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", WITHOUT_URING, CROSSPOINT]);
    command
}

/// Starts it and waits until it is ready.
fn start(mut command: Command, io: &str, ready: &Path) -> Child {
    let flags = [
        "--listen=127.0.0.1:0",
        "--rtmp-listen=off",
        "--rtmps-listen=off",
        "--camera=off",
        "--microphone=off",
        "--log-format=json",
        "--io",
        io,
        "--ready-file",
    ];
    let mut child = command.args(flags).arg(ready).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !ready.exists() {
        if let Some(status) = child.try_wait().unwrap() {
            panic!("it ended with {status}");
        }
        assert!(Instant::now() < deadline, "it does not get ready");
        std::thread::yield_now();
    }
    child
}

fn end(child: Child, signal: Signal) -> String {
    kill_process(Pid::from_child(&child), signal).unwrap();
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && start.elapsed() < Duration::from_secs(5), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn either_signal_ends_it_well() {
    let folder = tempfile::tempdir().unwrap();
    for (name, signal) in [("int", Signal::INT), ("term", Signal::TERM)] {
        let log = end(start(plain(), "epoll", &folder.path().join(name)), signal);
        assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
        assert!(log.contains(r#""io":"epoll""#), "{log}");
    }
}

#[test]
fn refused_ring_means_epoll_unless_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let log = end(start(without_uring(), "auto", &folder.path().join("ready")), Signal::TERM);
    assert!(log.contains(r#""io":"epoll""#), "{log}");

    let forced = without_uring().args(["--listen=127.0.0.1:0", "--camera=off", "--microphone=off", "--io=uring"]).output().unwrap();
    let words = String::from_utf8(forced.stderr).unwrap();
    assert!(forced.status.code() == Some(1) && words.contains("--io epoll"), "{words}");
}

#[test]
fn wrapper_is_printed_for_the_same_camera() {
    let output = plain().args(["browser-wrapper", "--camera", "file:/tmp/my cam.y4m"]).output().unwrap();
    let script = String::from_utf8(output.stdout).unwrap();
    assert!(script.starts_with("#!/bin/sh\n") && script.contains("--use-file-for-fake-video-capture='my cam.y4m'"), "{script}");

    let help = plain().args(["browser-wrapper", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("--utility-cmd-prefix=") && help.contains("--auto-accept-camera-and-microphone-capture"), "{help}");
}
