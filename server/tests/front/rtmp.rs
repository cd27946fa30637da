//! RTMP connections that go wrong: each costs itself and nobody else.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crosspoint_server::runtime::Io;
use serde_json::json;

use super::client::{PATIENCE, ask, get, post};
use super::{Server, on_each_io};

/// The first byte and the first piece of a handshake.
fn hello() -> Vec<u8> {
    let mut hello = vec![3];
    hello.extend([0; 1536]);
    hello
}

/// All that a peer is sent until it is hung up on.
fn until_closed(stream: &mut TcpStream, patience: Duration) -> Vec<u8> {
    let (mut bytes, begun) = (Vec::new(), Instant::now());
    stream.set_read_timeout(Some(patience)).unwrap();
    // A reset is a way to be hung up on, too.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert!(begun.elapsed() < patience, "it is still open: {error}");
    }
    bytes
}

fn connected(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // It may be hung up on before it has said everything.
    let _ = stream.write_all(bytes);
    stream
}

#[test]
fn rtmp_rubbish_costs_its_connection_only() {
    on_each_io(&[], |server| {
        let info = post(server.address, "/stream/start", r#"{"mode":"internal"}"#).json();
        let port = info["playback_url"].as_str().unwrap().split([':', '/']).nth(4).unwrap().parse().unwrap();
        let player = SocketAddr::new(server.address.ip(), port);
        let begun = [hello(), vec![0; 1536]].concat();
        let long = [3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0];
        let many: Vec<u8> = (0..1_000_000_u32).flat_map(|id| [1, id as u8, (id >> 8) as u8, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]).collect();
        let pings: Vec<u8> = [&[2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1][..]].concat().repeat(100_000);
        for rubbish in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[3; 5000],
            &[&begun[..], &long].concat(),
            &[&begun[..], &many].concat(),
            &[&begun[..], &pings].concat(),
        ] {
            let mut stream = connected(player, rubbish);
            stream.shutdown(Shutdown::Write).unwrap_or_default();
            until_closed(&mut stream, PATIENCE);
        }
        // On the main port, and hung up half-way.
        for cut in [1, 700, 1537, 2000, 3073] {
            let mut stream = connected(server.address, &begun[..cut]);
            stream.shutdown(Shutdown::Write).unwrap();
            let answered = until_closed(&mut stream, PATIENCE).len();
            assert_eq!(answered, if cut < 1537 { 0 } else { 3073 }, "{cut}");
        }
        let list = get(server.address, "/stream/list").json();
        assert_eq!((&list[0]["viewers"], &list[0]["is_streaming"]), (&json!(0), &json!(true)));
    });
}

#[test]
fn rtmp_peers_that_stall_are_closed_in_time() {
    let server = Server::start(Io::Epoll, &[]);
    let begun = [hello(), vec![0; 1536]].concat();
    let start = Instant::now();
    let mut stalled: Vec<_> = [1, 1537, 3073].map(|cut| connected(server.address, &begun[..cut])).into();
    // A byte now and then is no progress.
    let mut dripping = connected(server.address, &begun[..1]);
    dripping.set_nodelay(true).unwrap();
    while start.elapsed() < Duration::from_secs(20) && dripping.write_all(&[0]).is_ok() {
        std::thread::yield_now();
        dripping.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        if matches!(dripping.read(&mut [0; 4096]), Ok(0)) {
            break;
        }
    }
    assert!((9..16).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    for stream in &mut stalled {
        until_closed(stream, Duration::from_secs(3));
    }
    assert_eq!(get(server.address, "/livez").status, 200);
}

/// A string as AMF 0 has it.
fn amf_text(value: &str) -> Vec<u8> {
    [&[2, 0, value.len() as u8][..], value.as_bytes()].concat()
}

/// A command as players send it, in chunks of 128 bytes, which is where every session begins.
fn command(name: &str, transaction: f64, arguments: &[u8], stream: u8) -> Vec<u8> {
    let body = [&amf_text(name)[..], &[0], &transaction.to_be_bytes(), arguments].concat();
    let head = [&[3, 0, 0, 0, 0, 0, body.len() as u8, 20, stream, 0, 0, 0][..]].concat();
    body.chunks(128).enumerate().flat_map(|(nth, chunk)| [if nth == 0 { &head[..] } else { &[0xc3] }, chunk].concat()).collect()
}

/// Whether a player of `name` is let in: all that it is told until that is known is looked at.
fn is_let_in(address: SocketAddr, name: &str) -> bool {
    let app = [&[3, 0, 3][..], b"app", &amf_text("live"), &[0, 0, 9]].concat();
    let play = [&[5][..], &amf_text(name)].concat();
    let session =
        [hello(), vec![0; 1536], command("connect", 1.0, &app, 0), command("createStream", 2.0, &[5], 0), command("play", 0.0, &play, 1)];
    let mut stream = connected(address, &session.concat());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut told, mut bytes) = (String::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut bytes).unwrap();
        told += &String::from_utf8_lossy(&bytes[..count]);
        if told.contains("NetStream.Play.Start") {
            return true;
        }
        assert!(count > 0, "neither let in nor refused in words: {told:?}");
        if told.contains("a token of viewers is needed") {
            return false;
        }
    }
}

#[test]
fn players_show_their_token_behind_the_name() {
    let server = Server::start(Io::Epoll, &["--token=everything,view:onlooker,publish:sender-1"]);
    let started = ask(server.address, "POST", "/stream/start", &["Authorization: Bearer everything"], r#"{"id":"tv"}"#);
    assert_eq!(started.status, 201, "{started:?}");
    for (name, let_in) in [
        ("tv", false),
        ("tv?access_token=guesswork", false),
        ("tv?access_token=sender-1", false),
        ("tv?access_token=onlooker", true),
        ("tv?access_token=everything", true),
    ] {
        assert_eq!(is_let_in(server.address, name), let_in, "{name}");
    }
}
