//! Those who come in numbers, slowly, or in pieces: served or refused, and nobody else notices.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use crosspoint_server::runtime::Io;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::client::{Frame, WebSocket, ask, connect, frame, get, post, read_answer};
use super::sessions::offer;
use super::{BOTH, FEED, Server, VIDEO};

/// How long a stream takes to be hung up on, by the client's patience; nothing but that is said.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

#[test]
fn silence_at_the_door_is_not_waited_for() {
    let server = Server::start(Io::Epoll, &["--first-byte=20ms"]);
    let mut silent = connect(server.address);
    let mut inside_tls = connect(server.address);
    inside_tls.write_all(&[0x16, 3, 1]).unwrap();
    assert!(is_closed(&mut silent) && is_closed(&mut inside_tls));
    // The deadline is the first byte's, not the head's.
    let mut slow = connect(server.address);
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: ").unwrap();
    get(server.address, "/livez");
    slow.write_all(b"localhost\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut BufReader::new(slow), false).status, 200);
}

#[test]
fn ten_thousand_at_the_door_keep_nobody_out() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    // Ours and the server's are in one process, and so are other tests'.
    let most = limit.maximum.unwrap_or(20_000).saturating_sub(2_000);
    let crowd = usize::try_from(most).unwrap().min(10_000);
    let server = Server::start(Io::Epoll, &["--max-waiting=500"]);
    server.configure(BOTH);
    let mut publisher = WebSocket::open(server.address, VIDEO, b"").unwrap();
    assert_eq!(publisher.read(), Frame::Text("mpegts".to_owned()));
    let before = resident_bytes();

    let says: [&[u8]; 6] = [
        b"",
        b"G",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /stream/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
        &[0x16, 3, 1, 2],
    ];
    let mut all = Vec::with_capacity(crowd);
    for (index, said) in (0..crowd).zip(says.iter().cycle()) {
        let mut stream = connect(server.address);
        // It may have had to go already.
        let _ = stream.write_all(said);
        all.push(stream);
        if index % 1_000 == 0 {
            assert_eq!(get(server.address, "/livez").status, 200, "after {index}");
            publisher.send(&frame(0x89, b"here"));
            assert_eq!(publisher.read(), Frame::Pong(b"here".to_vec()), "after {index}");
        }
    }
    assert_eq!(get(server.address, "/livez").status, 200);
    assert_eq!(server.status()["stats"]["video_publishers"], 1);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more");
    // The first of them had to go, the last of them has not.
    assert!(is_closed(&mut all[0]));
    let mut last = all.swap_remove(crowd - 1 - (crowd - 1 - 3) % 6);
    last.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut BufReader::new(last), false).status, 200);
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn calls_in_one_write_are_answered_in_order() {
    let server = Server::start(Io::Epoll, &[]);
    let mut stream = connect(server.address);
    let call = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    let calls = [("GET", "/livez", 200), ("GET", "/nowhere", 404), ("POST", "/stream/stop", 404), ("GET", "/stream/list", 200)];
    let bytes: String = calls.iter().map(|(method, path, _)| call(method, path)).collect();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    for (method, path, status) in calls {
        assert_eq!(read_answer(&mut stream, false).status, status, "{method} {path}");
    }
}

#[test]
fn heads_have_an_end() {
    let server = Server::start(Io::Epoll, &[]);
    let long = format!("X-Long: {}", "a".repeat(128 << 10));
    let many: Vec<String> = (0..200).map(|number| format!("X-{number}: 1")).collect();
    let path = format!("/livez?{}", "a".repeat(128 << 10));
    let cases: [(&str, Vec<&str>); 3] =
        [("/livez", vec![&long]), ("/livez", many.iter().map(String::as_str).collect()), (&path, Vec::new())];
    for (path, headers) in cases {
        let mut stream = connect(server.address);
        let head: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
        let mut answer = Vec::new();
        // What was not read makes the end a reset, which may overtake the answer.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(!answer.contains("200 OK"));
    }
    assert_eq!(get(server.address, "/livez").status, 200);
}

#[test]
fn caller_that_says_no_more_still_hears_its_answer() {
    let server = Server::start(Io::Epoll, &[]);
    for _ in 0..20 {
        let mut stream = connect(server.address);
        stream.write_all(b"POST /stream/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(read_answer(&mut stream, false).status, 404);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and then it is over");
    }
}

#[test]
fn limits_are_kept_and_told() {
    let flags = ["--max-viewers=1", "--max-publishers=1", "--max-message=2k", "--stall=50ms"];
    let server = Server::start(Io::Epoll, &flags);
    let address = server.address;
    server.configure(BOTH);
    post(address, "/stream/start", r#"{"mode":"socket","id":"live"}"#);
    let refused = |path: &str, flag: &str| {
        let answer = WebSocket::open(address, path, b"").err().unwrap();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
        assert!(answer.message().contains(flag), "{answer:?}");
    };
    let mut viewer = WebSocket::open(address, "/stream/socket/live", b"").unwrap();
    server.wait_for_list("/0/viewers", &json!(1));
    refused(&format!("{FEED}/socket"), "--max-viewers");
    refused("/stream/socket/live", "--max-viewers");
    viewer.send(&frame(0x88, &1000_u16.to_be_bytes()));
    assert_eq!(viewer.read_past_media(), Frame::Close(1000));

    let mut publisher = WebSocket::open(address, VIDEO, b"").unwrap();
    assert!(matches!(publisher.read(), Frame::Text(_)));
    refused(VIDEO, "--max-publishers");
    publisher.send(&frame(0x82, &[0; 2 << 10]));
    publisher.send(&frame(0x89, b"long enough"));
    assert_eq!(publisher.read(), Frame::Pong(b"long enough".to_vec()));
    publisher.send(&frame(0x82, &[0; (2 << 10) + 1]));
    assert_eq!(publisher.read(), Frame::Close(1009));
    drop(publisher);
    server.wait_for("/stats/video_publishers", &json!(0));

    // One that is idle stays; one that stops within a message does not.
    let mut publisher = loop {
        if let Ok(publisher) = WebSocket::open(address, VIDEO, b"") {
            break publisher;
        }
    };
    assert!(matches!(publisher.read(), Frame::Text(_)));
    publisher.send(&frame(0x02, &[0x47; 188]));
    assert_eq!(publisher.read(), Frame::Close(1008));
}

#[test]
fn peers_that_only_offer_are_let_in_up_to_a_limit() {
    let server = Server::start(Io::Epoll, &["--max-connecting=2", "--max-connecting-per-host=1", "--max-peers=3", "--trust-forwarded"]);
    post(server.address, "/stream/start", r#"{"mode":"webrtc","id":"live"}"#);
    let offered = |from: &str| {
        ask(
            server.address,
            "POST",
            "/stream/webrtc/offer",
            &[&format!("X-Forwarded-For: {from}")],
            &json!({"sdp": offer("recvonly")}).to_string(),
        )
    };
    for (from, refused) in
        [("10.0.0.1", None), ("10.0.0.1", Some("--max-connecting-per-host")), ("10.0.0.2", None), ("10.0.0.3", Some("--max-connecting)"))]
    {
        let answer = offered(from);
        match refused {
            None => assert_eq!(answer.status, 200, "{from}: {answer:?}"),
            Some(flag) => {
                assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{from}");
                assert!(answer.message().contains(flag), "{answer:?}");
            }
        }
    }
    let metrics = get(server.address, "/metrics").body;
    for line in ["webrtc_peers{role=\"viewer\",state=\"connecting\"} 2", "stream_viewers{transport=\"webrtc\"} 2"] {
        assert!(metrics.contains(&format!("crosspoint_{line}\n")), "{line} is not in\n{metrics}");
    }
}

#[test]
fn tokens_are_asked_for_at_every_way_in() {
    let server = Server::start(Io::Epoll, &["--token=everything,view:onlooker"]);
    let address = server.address;
    assert_eq!(get(address, "/livez").status, 200);
    let stranger = post(address, "/stream/start", r#"{"mode":"socket"}"#);
    assert_eq!((stranger.status, stranger.header("www-authenticate").is_some()), (401, true));
    stranger.message();
    let bearer = ["Authorization: Bearer everything"];
    assert_eq!(ask(address, "POST", "/stream/start", &bearer, r#"{"mode":"socket","id":"live"}"#).status, 201);
    assert_eq!(ask(address, "POST", "/stream/stop", &["Authorization: Bearer onlooker"], "").status, 403);
    assert_eq!(WebSocket::open(address, "/stream/socket/live", b"").err().unwrap().status, 401);
    assert_eq!(WebSocket::open(address, "/stream/socket/live?access_token=guesswork", b"").err().unwrap().status, 401);
    assert!(WebSocket::open(address, "/stream/socket/live?access_token=onlooker", b"").is_ok());
}
