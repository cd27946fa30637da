//! RFC 6455 by cases, after the groups of Autobahn's suite: what is accepted is answered, what is not is closed with the code that says why.

use crosspoint_server::runtime::Io;
use serde_json::json;

use super::client::{Frame, WebSocket, frame};
use super::{BOTH, Server, VIDEO};

const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
const FIN_CLOSE: u8 = 0x88;
const FIN_PING: u8 = 0x89;
const FIN_PONG: u8 = 0x8a;

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN_CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A ping behind everything else: who answers it has read what is before it.
fn last_ping() -> Vec<u8> {
    frame(FIN_PING, b"last")
}

fn pong(payload: &[u8]) -> Frame {
    Frame::Pong(payload.to_vec())
}

/// What is sent, and all that is said to it.
type Accepted = (&'static str, Vec<Vec<u8>>, Vec<Frame>);

fn accepted() -> Vec<Accepted> {
    let text = "κόσμε".as_bytes();
    vec![
        (
            "1.2 binary of every length form",
            [0, 125, 126, 127, 65_535, 65_536].map(|length| frame(FIN_BINARY, &vec![0x47; length])).into(),
            vec![],
        ),
        ("2.1 ping without a payload", vec![frame(FIN_PING, b"")], vec![pong(b"")]),
        ("2.3 ping of bytes that are no text", vec![frame(FIN_PING, &[0, 0xff, 0xfe])], vec![pong(&[0, 0xff, 0xfe])]),
        ("2.4 ping of 125 bytes", vec![frame(FIN_PING, &[0xfe; 125])], vec![pong(&[0xfe; 125])]),
        ("2.7 pong that nobody asked for", vec![frame(FIN_PONG, b"unsolicited")], vec![]),
        ("2.10 ten pings", (0..10).map(|number| frame(FIN_PING, &[number])).collect(), (0..10).map(|number| pong(&[number])).collect()),
        ("5.6 ping within a message", vec![frame(0x02, &[1]), frame(FIN_PING, b"in"), frame(0x80, &[2])], vec![pong(b"in")]),
        ("5.19 message in many fragments", vec![frame(0x02, b""), frame(0x00, b""), frame(0x00, &[3]), frame(0x80, b"")], vec![]),
        ("6.2 text", vec![frame(FIN_TEXT, text)], vec![]),
        ("6.2 text cut within a letter", vec![frame(0x01, &text[..1]), frame(0x80, &text[1..])], vec![]),
    ]
}

fn refused() -> Vec<(&'static str, Vec<u8>, u16)> {
    let unmasked = vec![FIN_BINARY, 1, 0x47];
    let huge = [&[FIN_BINARY, 0xff][..], &u64::MAX.to_be_bytes(), &[0; 4]].concat();
    vec![
        ("2.5 ping of 126 bytes", frame(FIN_PING, &[0; 126]), 1002),
        ("3.2 reserved bit 1", frame(FIN_BINARY | 0x40, &[1]), 1002),
        ("3.3 reserved bit 2", frame(FIN_BINARY | 0x20, &[1]), 1002),
        ("3.4 reserved bit 3", frame(FIN_BINARY | 0x10, &[1]), 1002),
        ("3.5 reserved bit of a ping", frame(FIN_PING | 0x40, &[1]), 1002),
        ("4.1.1 opcode 3", frame(0x83, b""), 1002),
        ("4.1.5 opcode 7", frame(0x87, b""), 1002),
        ("4.2.1 opcode 11", frame(0x8b, b""), 1002),
        ("4.2.5 opcode 15", frame(0x8f, b""), 1002),
        ("5.1 ping in fragments", [frame(0x09, b"a"), frame(0x80, b"b")].concat(), 1002),
        ("5.2 pong in fragments", [frame(0x0a, b"a"), frame(0x80, b"b")].concat(), 1002),
        ("5.9 continuation of nothing", frame(0x80, b"x"), 1002),
        ("5.12 unfinished continuation of nothing", frame(0x00, b"x"), 1002),
        ("5.18 message within a message", [frame(0x02, &[1]), frame(FIN_BINARY, &[2])].concat(), 1002),
        ("6.3 text that is no UTF-8", frame(FIN_TEXT, &[0xce, 0xba, 0xed, 0xa0, 0x80]), 1007),
        ("6.4 text that is none over fragments", [frame(0x01, b"a"), frame(0x80, &[0xf4, 0x90, 0x80, 0x80])].concat(), 1007),
        ("7.3.2 close of one byte", frame(FIN_CLOSE, &[3]), 1002),
        ("7.5.1 close with a reason that is no UTF-8", close(1000, &[0xed, 0xa0, 0x80]), 1007),
        ("7.3.6 close of 126 bytes", close(1000, &[b'x'; 124]), 1002),
        ("9 longer than a message may be", huge, 1009),
        ("RFC 6455, 5.1: not masked", unmasked, 1002),
    ]
}

#[test]
fn frames_are_taken_as_the_standard_has_it() {
    let server = Server::start(Io::Epoll, &[]);
    server.configure(BOTH);
    let open = || {
        // The one before is being seen off.
        server.wait_for("/stats/video_publishers", &json!(0));
        let mut socket = WebSocket::open(server.address, VIDEO, b"").unwrap();
        assert_eq!(socket.read(), Frame::Text("mpegts".to_owned()));
        socket
    };
    for (case, sent, said) in accepted() {
        // At once, and byte by byte.
        for piece in [usize::MAX, 1] {
            let bytes = [sent.concat(), last_ping()].concat();
            if piece == 1 && bytes.len() > 2_000 {
                continue;
            }
            let mut socket = open();
            bytes.chunks(piece.min(bytes.len())).for_each(|piece| socket.send(piece));
            for expected in said.iter().chain([&pong(b"last")]) {
                assert_eq!(socket.read(), *expected, "{case}");
            }
            socket.send(&close(1000, b"done"));
            assert_eq!(socket.read(), Frame::Close(1000), "{case}");
        }
    }
    for (case, sent, code) in refused() {
        let mut socket = open();
        socket.send(&sent);
        assert_eq!(socket.read(), Frame::Close(code), "{case}");
    }
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
        let mut socket = open();
        socket.send(&close(code, b"x"));
        assert_eq!(socket.read(), Frame::Close(code), "7.7");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        let mut socket = open();
        socket.send(&close(code, b""));
        assert_eq!(socket.read(), Frame::Close(1002), "7.9: {code}");
    }
}

#[test]
fn nothing_is_compressed() {
    let server = Server::start(Io::Epoll, &[]);
    server.configure(BOTH);
    let offer = ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
    let offer = [&offer[..], &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"]].concat();
    let answer = super::client::ask(server.address, "GET", VIDEO, &offer, "");
    assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None));
}
