//! The program as a process: its exit, its signals, and a kernel that refuses io_uring as a container's default profile does.
#![expect(clippy::unwrap_used, reason = "this is all test, and clippy knows only functions marked so")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
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

/// Says something to the server that wrote `ready`; gives the connection and the head of the answer.
fn say(ready: &Path, words: &str) -> (TcpStream, String) {
    let told: serde_json::Value = serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap();
    let mut stream = TcpStream::connect(told["listen"].as_str().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(words.as_bytes()).unwrap();
    let (mut head, mut byte) = (String::new(), [0]);
    while !head.ends_with("\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {head:?}");
        head.push(char::from(byte[0]));
    }
    (stream, head)
}

/// Comes as a viewer of what is at `path`.
fn view(ready: &Path, path: &str) -> TcpStream {
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let (viewer, answer) = say(ready, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    viewer
}

/// How much of the program's own code a process has resident, in kB.
fn resident_code(child: &Child) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{}/smaps", child.id())).unwrap();
    let mut lines = maps.lines();
    assert!(lines.any(|line| line.contains(" r-xp ") && line.ends_with(CROSSPOINT)), "{maps}");
    let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
    resident.trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn code_is_given_back_when_the_last_viewer_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let mut command = plain();
    command.env("CROSSPOINT_LOG", "debug").env("CROSSPOINT_DISPLAY", ":7");
    let child = start(command, "auto", &ready);
    let body = r#"{"mode":"socket"}"#;
    let head = format!("POST /stream/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}", body.len());
    assert!(say(&ready, &format!("{head}\r\n\r\n{body}")).1.starts_with("HTTP/1.1 201"));
    let viewer = view(&ready, "/stream/socket/default");
    let most = resident_code(&child);
    drop(viewer);
    let deadline = Instant::now() + 2 * PATIENCE;
    while resident_code(&child) > most / 2 {
        assert!(Instant::now() < deadline, "{} of {most} kB of code are resident", resident_code(&child));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(say(&ready, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").1.starts_with("HTTP/1.1 200"));
    let log = end(child, Signal::TERM);
    let (left, rests) = (log.find(r#""left""#).unwrap(), log.match_indices("at rest").map(|(at, _)| at).collect::<Vec<_>>());
    assert!(matches!(rests[..], [rest] if rest > left), "once, and after the viewer has gone:\n{log}");
}

#[test]
fn log_lines_tell_stream_and_peer_and_no_secret() {
    const SECRETS: [&str; 2] = ["sesame-of-the-key", "sesame-of-the-token"];
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready");
    let mut command = plain();
    command.env("CROSSPOINT_LOG", "debug").env("CROSSPOINT_DISPLAY", ":7").env("CROSSPOINT_TOKEN", SECRETS[1]);
    let child = start(command, "epoll", &ready);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for body in [
        format!(r#"{{"id":"out","mode":"remote","target_url":"rtmp://{nobody}/app/{}"}}"#, SECRETS[0]),
        r#"{"id":"live","mode":"socket"}"#.to_owned(),
    ] {
        let (bearer, length) = (SECRETS[1], body.len());
        let head = format!("POST /stream/start HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\nContent-Length: {length}");
        assert!(say(&ready, &format!("{head}\r\n\r\n{body}")).1.starts_with("HTTP/1.1 201"));
    }
    drop(view(&ready, &format!("/stream/socket/live?access_token={}", SECRETS[1])));

    let log = end(child, Signal::TERM);
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (message, name, stream) in [("left", "viewer", "live"), ("push not possible; retrying", "push", "out")] {
        let line = lines.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("no {message} in\n{log}"));
        let spans = line["spans"].as_array().unwrap();
        assert!(spans.iter().any(|span| span["name"] == name && span["stream"] == stream), "{line}");
        assert!(spans.iter().any(|span| span["name"] == "peer" && span["id"].is_u64()), "{line}");
    }
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is in\n{log}");
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

/// Puts a listener where socket activation has it, descriptor 3, and starts what follows on its command line.
const ACTIVATED: &str = r#"
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "crosspoint.socket"}
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn supervisor_hands_a_listener_and_is_told_of_life_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&told).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = |state: &str| {
        let mut bytes = [0; 64];
        let deadline = Instant::now() + PATIENCE;
        while supervisor.recv(&mut bytes).is_ok_and(|length| bytes[..length] != *state.as_bytes()) {
            assert!(Instant::now() < deadline, "{state} is not told");
        }
    };
    let mut command = Command::new("python3");
    command.args(["-c", ACTIVATED, CROSSPOINT]).env("NOTIFY_SOCKET", &told).env("WATCHDOG_USEC", "20000").stdout(Stdio::piped());
    let ready = folder.path().join("ready");
    let mut child = start(command, "epoll", &ready);
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let told = std::fs::read_to_string(&ready).unwrap();
    assert!(told.contains(&format!("{{\"listen\":\"127.0.0.1:{}\"", port.trim())), "{port} {told}");
    heard("READY=1");
    heard("WATCHDOG=1");
    end(child, Signal::TERM);
    heard("STOPPING=1");
}

#[test]
fn check_tells_what_is_missing_and_how_to_mend_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen={}", taken.local_addr().unwrap());
    let further = ["--rtmp-listen=off", "--rtmps-listen=off", "--camera=off", "--microphone=off", "--check"];
    let run = |listen: &str| {
        let output = plain().arg(listen).args(further).env_remove("DISPLAY").output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, told) = run(&listen);
    assert_eq!(code, Some(1), "{told}");
    let port = told.lines().position(|line| line.starts_with("BAD   port")).unwrap();
    assert!(told.lines().nth(port + 1).unwrap().contains("--listen"), "{told}");
    let (code, told) = run("--listen=127.0.0.1:0");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("ok    encoder") && told.contains("less  display"), "{told}");
}

#[test]
fn configuration_is_printed_with_where_it_is_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("crosspoint.toml");
    std::fs::write(&file, "max-viewers = 7\nlisten = \"127.0.0.1:9\"\n").unwrap();
    let output =
        plain().args(["--print-config", "--stall=3"]).env("CROSSPOINT_CONFIG", &file).env("CROSSPOINT_LISTEN", ":8").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for line in ["max-viewers = \"7\"", "listen = \":8\"  # from the environment", "stall = \"3\"  # from the command line"] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is not in\n{printed}");
    }
}
