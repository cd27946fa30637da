//! A small HTTP server that can misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Serves what a function answers to paths, until the test ends.
pub(super) struct Server {
    address: SocketAddr,
    paths: Arc<Mutex<Vec<String>>>,
}

/// What one request gets.
pub(super) enum Answer {
    Bytes(Vec<u8>),
    /// The connection's end is the answer's; with a length that is not kept, if there is one.
    Closing(Option<usize>, Vec<u8>),
    /// A header and then this, again and again, until the client goes.
    Endless(&'static str, &'static [u8]),
    Nothing,
    Redirect(String),
    Status(&'static str),
}

impl Server {
    pub(super) fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (paths, answer) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(answer));
        let seen = paths.clone();
        // It ends with the process: nothing tells an accept that nobody will come any more.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { address, paths }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// The paths asked for so far.
    pub(super) fn paths(&self) -> Vec<String> {
        self.paths.lock().expect("no panic").clone()
    }
}

/// Errors mean that the client is gone.
fn serve(stream: TcpStream, answer: &dyn Fn(&str) -> Answer, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    let path = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let mut start = 0;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(range) = line.strip_prefix("Range: bytes=") {
            start = range.split('-').next()?.parse().ok()?;
        }
    }
    seen.lock().expect("no panic").push(path.clone());
    let mut stream = stream;
    match answer(&path) {
        Answer::Bytes(bytes) => {
            let (all, rest) = (bytes.len(), bytes.get(start..).unwrap_or(&[]));
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\nContent-Range: bytes {start}-{}/{all}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                all - 1,
                rest.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(rest).ok()
        }
        Answer::Endless(head, again) => {
            let much = again.repeat(65_536 / again.len());
            stream.write_all(head.as_bytes()).ok()?;
            loop {
                stream.write_all(&much).ok()?;
            }
        }
        Answer::Closing(length, bytes) => {
            let length = length.map_or_else(String::new, |length| format!("Content-Length: {length}\r\n"));
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{length}Connection: close\r\n\r\n").as_bytes()).ok()?;
            stream.write_all(&bytes).ok()
        }
        // Until the client closes.
        Answer::Nothing => std::io::copy(&mut stream, &mut std::io::sink()).ok().map(drop),
        Answer::Redirect(to) => stream
            .write_all(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
            .ok(),
        Answer::Status(status) => {
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).ok()
        }
    }
}
