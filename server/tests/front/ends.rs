//! How it ends: with a peer that is gone, and with the server.

use std::io::{BufReader, Read, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crosspoint_server::runtime::Io;
use serde_json::json;

use super::client::{Frame, WebSocket, ask, connect, frame, get, post, read_answer};
use super::{BOTH, FEED, Server, VIDEO, on_each_io};

/// Reads frames until a ping.
fn pinged(socket: &mut WebSocket) {
    loop {
        match socket.read() {
            Frame::Ping => return,
            Frame::Text(_) | Frame::Binary(_) => {}
            other @ (Frame::Close(_) | Frame::End | Frame::Pong(_)) => panic!("{other:?} for a ping"),
        }
    }
}

/// How many pings come before it is hung up on; of those that never end, some.
fn pings_left(socket: &mut WebSocket) -> u32 {
    for pings in 0..10 {
        match socket.read() {
            Frame::Ping => {}
            Frame::End => return pings,
            other @ (Frame::Binary(_) | Frame::Close(_) | Frame::Pong(_) | Frame::Text(_)) => panic!("{other:?} for a ping"),
        }
    }
    10
}

#[test]
fn peers_of_sockets_that_do_not_answer_pings_are_gone() {
    let server = Server::start(Io::Epoll, &["--keep-alive=150ms"]);
    server.configure(BOTH);
    for (path, counter) in [(VIDEO.to_owned(), "/stats/video_publishers"), (format!("{FEED}/socket"), "/stats/feed_viewers")] {
        let mut socket = WebSocket::open(server.address, &path, b"").unwrap();
        // More than would be let pass unanswered.
        for _ in 0..4 {
            pinged(&mut socket);
            socket.send(&frame(0x8a, b""));
        }
        server.wait_for(counter, &json!(1));
        assert!((2..=3).contains(&pings_left(&mut socket)), "{path}");
        server.wait_for(counter, &json!(0));
    }
}

#[test]
fn media_is_as_good_as_a_pong() {
    let server = Server::start(Io::Epoll, &["--keep-alive=150ms"]);
    server.configure(BOTH);
    let mut publisher = WebSocket::open(server.address, VIDEO, b"").unwrap();
    for _ in 0..4 {
        pinged(&mut publisher);
        publisher.send(&frame(0x82, &[0x47; 188]));
    }
    // A ping never comes within what is said beside it.
    publisher.send(&frame(0x89, &[7; 100]));
    let said = std::iter::from_fn(|| Some(publisher.read())).find(|said| *said != Frame::Ping);
    assert_eq!(said, Some(Frame::Pong(vec![7; 100])));
}

#[test]
fn probes_are_answered_while_the_server_ends_and_nobody_else() {
    let server = Server::start(Io::Epoll, &["--drain=60"]);
    let address = server.address;
    server.configure(BOTH);
    post(address, "/stream/start", r#"{"mode":"socket","id":"live"}"#);
    assert_eq!(get(address, "/readyz").status, 503, "there is no display :7");
    // A call that is being made keeps the server.
    let mut slow = connect(address);
    slow.write_all(b"POST /stream/stop HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{").unwrap();
    let mut viewer = WebSocket::open(address, "/stream/socket/live", b"").unwrap();
    server.wait_for_list("/0/viewers", &json!(1));
    server.ends.try_send(()).unwrap();
    assert_eq!(viewer.read_past_media(), Frame::Close(1001));

    let ready = get(address, "/readyz");
    assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true));
    assert!(ready.message().contains("ends"), "{ready:?}");
    assert_eq!((get(address, "/livez").status, get(address, "/metrics").status), (200, 200));
    for (method, path) in [("GET", "/stream/list"), ("POST", "/stream/start"), ("GET", "/")] {
        let answer = ask(address, method, path, &[], "");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{method} {path}");
        answer.message();
    }
    assert_eq!(WebSocket::open(address, VIDEO, b"").err().unwrap().status, 503);
    let mut player = connect(address);
    player.write_all(&[3; 1537]).unwrap();
    assert!(matches!(player.read(&mut [0]), Ok(0) | Err(_)), "a player is hung up on");

    // The call is carried out, and that was all.
    slow.write_all(b"}").unwrap();
    let mut slow = BufReader::new(slow);
    assert_eq!((read_answer(&mut slow, false).status, slow.read(&mut [0]).unwrap()), (200, 0));
}

#[test]
fn end_says_goodbye_and_is_quick() {
    on_each_io(&[], |server| {
        server.configure(BOTH);
        post(server.address, "/stream/start", r#"{"mode":"socket","id":"live"}"#);
        let mut publisher = WebSocket::open(server.address, VIDEO, b"").unwrap();
        assert!(matches!(publisher.read(), Frame::Text(_)));
        let mut viewer = WebSocket::open(server.address, "/stream/socket/live", b"").unwrap();
        let (mut silent, mut idle) = (connect(server.address), connect(server.address));
        idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut idle = BufReader::new(idle);
        assert_eq!(read_answer(&mut idle, false).status, 200);

        let start = Instant::now();
        server.ends.try_send(()).unwrap();
        assert_eq!((publisher.read(), viewer.read_past_media()), (Frame::Close(1001), Frame::Close(1001)));
        assert_eq!((silent.read(&mut [0]).unwrap(), idle.read(&mut [0]).unwrap()), (0, 0));
        drop((publisher, viewer));
        let ended = || server.thread.as_ref().is_some_and(JoinHandle::is_finished);
        while !ended() {
            assert!(start.elapsed() < Duration::from_secs(3), "it does not end");
            std::thread::yield_now();
        }
    });
}
