//! The other side of the wire, by hand: what is sent and received is visible in the tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &'_ String| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.iter().find(|line| named(line)).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The message of an error, checked for the one shape that every error has.
    pub(crate) fn message(&self) -> String {
        let json = self.json();
        let fields = json.as_object().unwrap();
        assert_eq!(fields.len(), 1, "{json}");
        let message = fields["message"].as_str().unwrap().to_owned();
        assert!(!message.is_empty() && !message.starts_with(char::is_uppercase), "{message}");
        message
    }
}

pub(crate) fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends a request on its own connection.
pub(crate) fn ask(server: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let mut stream = connect(server);
    let host = if headers.iter().any(|header| header.to_lowercase().starts_with("host:")) { "" } else { "Host: localhost\r\n" };
    let extra: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.1\r\n{host}{extra}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    read_answer(&mut BufReader::new(stream), method == "HEAD")
}

pub(crate) fn get(server: SocketAddr, path: &str) -> Answer {
    ask(server, "GET", path, &[], "")
}

pub(crate) fn post(server: SocketAddr, path: &str, body: &str) -> Answer {
    ask(server, "POST", path, &[], body)
}

pub(crate) fn read_answer(stream: &mut impl BufRead, no_body: bool) -> Answer {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "closed within the head: {head:?}");
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let status = head[0].split(' ').nth(1).unwrap().parse().unwrap();
    let mut answer = Answer { status, head, body: String::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    if !no_body {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
    }
    answer
}

/// A WebSocket client that hides nothing.
pub(crate) struct WebSocket(BufReader<TcpStream>);

/// One frame from the server.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    Binary(Vec<u8>),
    Close(u16),
    /// The connection was closed without a close frame.
    End,
    Ping,
    Pong(Vec<u8>),
    Text(String),
}

impl WebSocket {
    /// Opens one, or returns the refusal. What `early` holds goes out in one write with the request.
    pub(crate) fn open(server: SocketAddr, path: &str, early: &[u8]) -> Result<Self, Answer> {
        let mut stream = connect(server);
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(early);
        stream.write_all(&request).unwrap();
        let mut stream = BufReader::new(stream);
        let answer = read_answer(&mut stream, false);
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455, 1.3");
        Ok(Self(stream))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// The next frame that is no media: a stream's first pictures may come before anything else is said.
    pub(crate) fn read_past_media(&mut self) -> Frame {
        loop {
            match self.read() {
                Frame::Binary(_) => {}
                other @ (Frame::Close(_) | Frame::End | Frame::Ping | Frame::Pong(_) | Frame::Text(_)) => return other,
            }
        }
    }

    pub(crate) fn read(&mut self) -> Frame {
        let mut head = [0; 2];
        if self.0.read_exact(&mut head).is_err() {
            return Frame::End;
        }
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                u16::from_be_bytes(length).into()
            }
            127 => panic!("a frame of 64 KiB or more"),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        match head[0] {
            0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
            0x82 => Frame::Binary(payload),
            0x88 => Frame::Close(u16::from_be_bytes([payload[0], payload[1]])),
            0x89 => Frame::Ping,
            0x8a => Frame::Pong(payload),
            other => panic!("a frame that starts with {other:#04x}"),
        }
    }
}

/// A frame as a client sends it, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
