//! The front door as callers meet it: a server in this process on a port of its own, on either runtime, and raw bytes.
#![expect(clippy::unwrap_used, reason = "this is all test, and clippy knows only functions marked so")]

mod client;
mod crowd;
mod ends;
mod frames;
mod pages;
mod rtmp;
mod sessions;
mod sockets;
mod start;

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

use clap::Parser;
use client::{ask, connect, get, post, read_answer};
use crosspoint_server::config::{Cli, Config, IoChoice};
use crosspoint_server::runtime::Io;
use crosspoint_server::{Error, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A running server; dropping it ends it and checks that it ended well.
struct Server {
    address: SocketAddr,
    ends: mpsc::Sender<()>,
    thread: Option<JoinHandle<Result<(), Error>>>,
    /// Where its camera is.
    _folder: TempDir,
}

impl Server {
    fn start(io: Io, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = config(flags, folder.path());
        let (ends, requests) = mpsc::channel(2);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            io.block_on(serve(config, requests, move |bound| ready.send(bound.listen).expect("the test waits")))?
        });
        let address = is_ready.recv_timeout(client::PATIENCE).expect("it starts");
        Self { address, ends, thread: Some(thread), _folder: folder }
    }

    fn configure(&self, body: &str) -> Value {
        let answer = post(self.address, "/input/devices/virtual/configure", body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn status(&self) -> Value {
        get(self.address, "/input/devices/virtual/status").json()
    }

    /// Waits until the status has `value` at `pointer`.
    fn wait_for(&self, pointer: &str, value: &Value) {
        wait_for(|| self.status(), pointer, value);
    }

    /// The same of the list of streams.
    fn wait_for_list(&self, pointer: &str, value: &Value) {
        wait_for(|| get(self.address, "/stream/list").json(), pointer, value);
    }
}

fn wait_for(told: impl Fn() -> Value, pointer: &str, value: &Value) {
    let deadline = Instant::now() + client::PATIENCE;
    while told().pointer(pointer) != Some(value) {
        assert!(Instant::now() < deadline, "{pointer} does not become {value}: {}", told());
        std::thread::yield_now();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been ended by the test itself.
        let _ = self.ends.try_send(());
        let outcome = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            outcome.expect("it runs until here").expect("it does not panic").expect("it ends well");
        }
    }
}

/// The configuration for these flags, on a free port and, unless they say otherwise, with a display.
fn config(flags: &[&str], folder: &Path) -> Config {
    let camera = format!("--camera=file:{}/HD Webcam.y4m", folder.display());
    // Nothing of the machine's: other tests and other servers run on it.
    let further = ["--rtmp-listen=127.0.0.1:0", "--rtmps-listen=127.0.0.1:0"];
    let defaults = ["--listen=127.0.0.1:0", "--display=:7", &camera, "--microphone=off"].into_iter().chain(further);
    let missing =
        defaults.filter(|default| default.split_once('=').is_some_and(|(name, _)| !flags.iter().any(|flag| flag.starts_with(name))));
    Cli::parse_from(["crosspoint"].into_iter().chain(missing).chain(flags.iter().copied()))
        .config
        .with_desktop(|name| (name == "XDG_STATE_HOME").then(|| folder.display().to_string()))
}

/// Runs a test on every runtime that this machine allows.
fn on_each_io(flags: &[&str], test: impl Fn(&Server)) {
    test(&Server::start(Io::Epoll, flags));
    match Io::choose(IoChoice::Uring) {
        Ok(io) => test(&Server::start(io, flags)),
        Err(error) => eprintln!("skipped on uring: {error}"),
    }
}

const BOTH: &str = r#"{"video":{"type":"socket"},"audio":{"type":"socket"}}"#;
const VIDEO: &str = "/input/devices/virtual/socket/video";
const FEED: &str = "/input/devices/virtual/feed";
const AUDIO: &str = "/input/devices/virtual/socket/audio";

#[test]
fn inputs_live_their_life() {
    on_each_io(&[], |server| {
        assert_eq!(server.status()["state"], "idle");
        assert_eq!(post(server.address, "/input/devices/virtual/pause", "").status, 400);

        let status = server.configure(r#"{"video":{"type":"socket","width":640,"height":360},"start_paused":true}"#);
        assert_eq!(
            (&status["state"], &status["video"]["width"], &status["video"]["frame_rate"]),
            (&json!("paused"), &json!(640), &json!(30))
        );
        assert_eq!(status["ingest"]["video"]["url"], "ws://localhost/input/devices/virtual/socket/video");
        assert!(status["ingest"].get("audio").is_none() && status.get("audio").is_none());

        for (call, state) in
            [("resume", "running"), ("resume", "running"), ("pause", "paused"), ("pause", "paused"), ("stop", "idle"), ("stop", "idle")]
        {
            let answer = post(server.address, &format!("/input/devices/virtual/{call}"), "");
            assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(state)), "{call}");
        }

        let before = server.configure(BOTH);
        for bad in [r#"{"video":{"type":"socket","width":641}}"#, "{}", "not json", r#"{"video":{"type":"tape"}}"#] {
            let answer = post(server.address, "/input/devices/virtual/configure", bad);
            assert_eq!(answer.status, 400, "{bad}");
            answer.message();
        }
        assert_eq!(server.status(), before, "a refused configure touches nothing");
    });
}

#[test]
fn urls_name_the_host_that_was_asked() {
    on_each_io(&[], |server| {
        server.configure(BOTH);
        let url = |answer: &client::Answer| answer.json()["ingest"]["audio"]["url"].as_str().unwrap().to_owned();
        let asked = ask(server.address, "GET", "/input/devices/virtual/status", &["Host: 10.1.2.3:444"], "");
        assert_eq!(url(&asked), "ws://10.1.2.3:444/input/devices/virtual/socket/audio");

        let mut old = connect(server.address);
        old.write_all(b"GET /input/devices/virtual/status HTTP/1.0\r\n\r\n").unwrap();
        let port = server.address.port();
        assert_eq!(url(&read_answer(&mut BufReader::new(old), false)), format!("ws://localhost:{port}{AUDIO}"));
    });
}

#[test]
fn streams_live_their_life() {
    on_each_io(&[], |server| {
        let address = server.address;
        assert_eq!(get(address, "/stream/list").json(), json!([]));
        assert_eq!(post(address, "/stream/stop", "").status, 404);

        let started = post(address, "/stream/start", r#"{"mode":"socket","id":"live","framerate":15}"#);
        assert_eq!(started.status, 201);
        let mut info = started.json();
        assert!(info["started_at"].as_str().unwrap().ends_with('Z'));
        info["started_at"] = json!("2025-12-10T12:00:00Z");
        let expected = json!({
            "id": "live", "mode": "socket", "websocket_url": "/stream/socket/live", "is_streaming": true,
            "started_at": "2025-12-10T12:00:00Z", "viewers": 0, "framerate": 15, "last_error": null
        });
        assert_eq!(info, expected);
        assert!(
            started
                .body
                .starts_with(r#"{"id":"live","mode":"socket","websocket_url":"/stream/socket/live","is_streaming":true,"started_at":"#)
        );
        assert_eq!(get(address, "/stream/list").json().as_array().unwrap().len(), 1);

        assert_eq!(post(address, "/stream/start", r#"{"mode":"socket","id":"live"}"#).status, 409);
        let stopped = post(address, "/stream/stop", "");
        assert_eq!((stopped.status, stopped.body.as_str()), (200, "{}"), "the only one is meant");
        assert_eq!(post(address, "/stream/stop", r#"{"id":"live"}"#).status, 404);
    });
}

#[test]
fn stream_with_a_picture_needs_a_display() {
    let server = Server::start(Io::Epoll, &["--display="]);
    let refused = post(server.address, "/stream/start", r#"{"mode":"socket"}"#);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    assert_eq!(post(server.address, "/stream/start", r#"{"mode":"socket","video":false}"#).status, 201);
}

#[test]
fn errors_have_one_shape() {
    on_each_io(&[], |server| {
        let cases = [
            ("GET", "/nowhere", &[][..], "", 404),
            ("GET", "/stream/start", &[], "", 405),
            ("POST", "/stream/list", &[], "", 405),
            ("POST", "/stream/webrtc/offer", &[], "{}", 400),
            ("GET", "/input/devices/virtual/feed/socket/info", &[], "", 409),
            ("GET", "/input/devices/virtual/feed/socket", &[], "", 426),
            ("POST", "/stream/start", &["Content-Type: application/x-www-form-urlencoded"], "", 400),
            ("GET", "/livez", &["Host: evil.example"], "", 421),
            ("POST", "/stream/stop", &["Origin: http://evil.example"], "", 403),
            ("GET", "/stream/list", &["Sec-Fetch-Site: cross-site"], "", 403),
            ("GET", VIDEO, &[], "", 426),
            ("GET", "/stream/socket/gone", &["Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Version: 8"], "", 426),
        ];
        for (method, path, headers, body, status) in cases {
            let answer = ask(server.address, method, path, headers, body);
            assert_eq!(answer.status, status, "{method} {path} {headers:?}");
            answer.message();
        }
        assert_eq!(ask(server.address, "PUT", "/stream/start", &[], "").header("allow"), Some("POST, OPTIONS"));
        let big = " ".repeat((1 << 20) + 1);
        let answer = post(server.address, "/stream/start", &big);
        assert_eq!((answer.status, answer.message().contains("1 MiB")), (413, true));
        assert!(ask(server.address, "GET", "/livez", &["Host: evil.example"], "").message().contains("--allow-host"));
    });
}

#[test]
fn head_and_options_answer_without_a_body() {
    on_each_io(&["--allow-origin=https://app.example"], |server| {
        let head = ask(server.address, "HEAD", "/input/devices/virtual/status", &[], "");
        assert_eq!((head.status, head.header("content-type")), (200, Some("application/json")));

        let options = ask(server.address, "OPTIONS", "/stream/start", &[], "");
        assert_eq!((options.status, options.header("allow")), (204, Some("POST, OPTIONS")));
        assert_eq!(options.header("access-control-allow-methods"), None);

        let other = ["Origin: https://app.example", "Sec-Fetch-Site: cross-site", "Access-Control-Request-Method: POST"];
        let preflight = ask(server.address, "OPTIONS", "/stream/start", &other, "");
        assert_eq!(preflight.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(preflight.header("access-control-allow-methods"), Some("POST, OPTIONS"));
        let call = ask(server.address, "POST", "/stream/start", &other[..2], "");
        assert_eq!(
            (call.status, call.header("access-control-allow-origin")),
            (400, Some("https://app.example")),
            "errors can be read, too"
        );
        assert_eq!(ask(server.address, "OPTIONS", "/stream/start", &["Origin: https://evil.example"], "").status, 403);
    });
}

#[test]
fn rubbish_costs_its_connection_only() {
    on_each_io(&[], |server| {
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 56) as u8
        };
        let request = b"POST /stream/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
        for round in 0..300 {
            let mut bytes = request.to_vec();
            match round % 3 {
                0 => bytes.iter_mut().for_each(|byte| *byte = random()),
                1 => bytes.truncate(round / 3 % request.len()),
                _ => bytes[round % request.len()] ^= 1 << (random() % 8),
            }
            let mut stream = connect(server.address);
            // It may have hung up already.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
        assert_eq!(get(server.address, "/livez").status, 200);
    });
}
