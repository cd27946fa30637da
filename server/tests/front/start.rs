//! How it starts, or does not.

use std::io::{Read, Write};
use std::net::SocketAddr;

use crosspoint_server::runtime::Io;
use crosspoint_server::serve;
use serde_json::Value;
use tokio::sync::mpsc;

use super::client::{ask, connect, get};
use super::{Server, config};

#[test]
fn ready_file_tells_the_bound_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ready.json");
    std::fs::write(&path, "left by an earlier run").unwrap();
    let server = Server::start(Io::Epoll, &["--ready-file", path.to_str().unwrap(), "--rtmps-listen=off"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let told: Value = serde_json::from_str(&text).unwrap();
    let rtmp: SocketAddr = told["rtmp"].as_str().unwrap().parse().unwrap();
    assert!(rtmp.port() > 0 && std::net::TcpStream::connect(rtmp).is_ok());
    // WebRTC is at the same number.
    let expected = format!(r#"{{"listen":"{0}","udp":"{0}","rtmp":"{rtmp}","rtmps":null}}"#, server.address);
    assert_eq!(text.trim_end(), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays behind");
}

#[test]
fn what_cannot_start_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let [listen, rtmp] = ["--listen", "--rtmp-listen"].map(|flag| format!("{flag}={}", taken.local_addr().unwrap()));
    for (flag, named) in [(listen.as_str(), "--listen"), (rtmp.as_str(), "--rtmp-listen"), ("--ready-file=/nowhere/at/all", "--ready-file")]
    {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&[flag], folder.path());
        let (_ends, requests) = mpsc::channel(1);
        let error = Io::Epoll.block_on(serve(config, requests, |_| panic!("it started"))).unwrap().unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn without_tls_nothing_speaks_it() {
    // A client's first message, with nothing in it: whoever speaks TLS answers with an alert.
    const HELLO: [u8; 9] = [0x16, 3, 1, 0, 4, 1, 0, 0, 0];
    let answered = |flags: &[&str]| {
        let server = Server::start(Io::Epoll, flags);
        let mut stream = connect(server.address);
        stream.write_all(&HELLO).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let started = ask(server.address, "POST", "/stream/start", &[], "{}").json();
        assert_eq!(get(server.address, "/livez").status, 200);
        (answer.first().copied(), started.get("secure_playback_url").is_some())
    };
    assert_eq!(answered(&["--tls=off"]), (None, false));
    assert_eq!(answered(&["--tls=auto"]), (Some(0x15), true), "an alert");
}
