//! The fan on both runtimes, with real sockets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use crosspoint_router::wire::rtmp::Message;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Connection as _, Fan, Gone, Own, Piece, Pieces, farewell, talk};
use crate::config::IoChoice;
use crate::runtime::Io;

const STALL: Duration = Duration::from_secs(10);

/// What was published, all of it.
#[derive(Default)]
struct Log(RefCell<Vec<Piece>>);

struct Reader {
    log: Rc<Log>,
    fan: Rc<Fan>,
    at: usize,
}

impl Pieces for Reader {
    fn next(&mut self) -> Option<Piece> {
        let piece = self.log.0.borrow().get(self.at).cloned()?;
        self.at += 1;
        Some(piece)
    }

    fn fan(&self) -> Rc<Fan> {
        Rc::clone(&self.fan)
    }
}

/// Answers of a viewer, each of which goes between two pieces.
#[derive(Default)]
struct Words {
    waiting: RefCell<Vec<Bytes>>,
    arrived: Notify,
    over: Cell<bool>,
}

impl Own for Words {
    fn poll_bytes(&self) -> Option<Bytes> {
        self.waiting.borrow_mut().pop()
    }

    async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn is_over(&self) -> bool {
        self.over.get()
    }
}

fn on_each_io(run: impl AsyncFn()) {
    for io in [Io::Epoll, Io::choose(IoChoice::Auto).unwrap()] {
        io.block_on(async { timeout(DEADLINE, run()).await.expect("done in time") }).unwrap();
    }
}

async fn connect() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// A piece that says which it is in its every byte; odd ones have a head of their own.
fn piece(number: u8) -> Piece {
    let body = Bytes::from(vec![number; PIECE_BYTES]);
    if number.is_multiple_of(2) {
        return Piece::shared(body);
    }
    let mut chunks = Message { kind: 9, time_ms: number.into(), stream: 1, body }.chunks(6, PIECE_BYTES);
    let (head, body) = chunks.next().unwrap();
    Piece { head: Bytes::copy_from_slice(head.as_ref()), body }
}

/// Reads the next piece whole, and says which it was.
async fn read(client: &mut TcpStream, number: u8) {
    if !number.is_multiple_of(2) {
        let mut head = [0; HEAD_BYTES];
        client.read_exact(&mut head).await.unwrap();
        assert_eq!((head[0], head[3]), (6, number));
    }
    let mut body = vec![0; PIECE_BYTES];
    client.read_exact(&mut body).await.unwrap();
    assert!(body.iter().all(|&byte| byte == number), "piece {number}");
}

#[test]
fn one_that_reads_late_misses_nothing_and_holds_nobody_up() {
    on_each_io(async || {
        let (log, fan) = (Rc::<Log>::default(), Fan::with_ring_from(1));
        let mut clients = Vec::new();
        for _ in 0..3 {
            let (client, server) = connect().await;
            let (read, mut line) = server.part(Box::new(Reader { log: Rc::clone(&log), fan: Rc::clone(&fan), at: 0 }));
            tokio::task::spawn_local(async move {
                let _read = read;
                talk(&mut line, &Words::default(), STALL).await
            });
            clients.push(client);
        }
        let mut late = clients.pop().unwrap();
        for number in 0..PIECES {
            log.0.borrow_mut().push(piece(number));
            fan.publish();
            // The others have it, though the late one took none yet.
            for client in &mut clients {
                read(client, number).await;
            }
        }
        for number in 0..PIECES {
            read(&mut late, number).await;
        }
        log.0.borrow_mut().push(piece(PIECES));
        fan.publish();
        for client in clients.iter_mut().chain([&mut late]) {
            read(client, PIECES).await;
        }
    });
}

#[test]
fn words_and_the_goodbye_go_between_whole_pieces() {
    on_each_io(async || {
        let (log, fan, words) = (Rc::<Log>::default(), Fan::with_ring_from(1), Rc::<Words>::default());
        let (mut client, server) = connect().await;
        let (_read, mut line) = server.part(Box::new(Reader { log: Rc::clone(&log), fan: Rc::clone(&fan), at: 0 }));
        let viewer = tokio::task::spawn_local({
            let words = Rc::clone(&words);
            async move {
                let gone = talk(&mut line, &*words, STALL).await;
                farewell(&mut line, [Bytes::from_static(b"bye")].into_iter()).await;
                gone
            }
        });
        // More than the sockets hold: the last is begun and not done.
        for number in 0..PIECES {
            log.0.borrow_mut().push(piece(number));
            fan.publish();
            tokio::task::yield_now().await;
        }
        words.waiting.borrow_mut().push(Bytes::from_static(b"pong"));
        words.arrived.notify_one();
        let mut seen = vec![0; usize::from(PIECES) * PIECE_BYTES + usize::from(PIECES / 2) * HEAD_BYTES + 4];
        client.read_exact(&mut seen).await.unwrap();
        let whole = seen.windows(4).position(|word| word == b"pong").expect("the pong came");
        assert!(whole < seen.len() - 4, "the pong waited for the last piece");
        assert!([0, PIECE_BYTES].contains(&(whole % (2 * PIECE_BYTES + HEAD_BYTES))), "{whole} bytes went before the pong");
        words.over.set(true);
        words.arrived.notify_one();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.ends_with(b"bye"));
        assert!(matches!(viewer.await.unwrap(), Gone::Over));
    });
}

#[test]
fn one_that_leaves_is_forgotten() {
    on_each_io(async || {
        let (log, fan) = (Rc::<Log>::default(), Fan::with_ring_from(1));
        let (client, server) = connect().await;
        let (_read, mut line) = server.part(Box::new(Reader { log: Rc::clone(&log), fan: Rc::clone(&fan), at: 0 }));
        let mut viewer = tokio::task::spawn_local(async move { talk(&mut line, &Words::default(), STALL).await });
        drop(client);
        // The first write may still seem to go well.
        let gone = loop {
            log.0.borrow_mut().push(piece(0));
            fan.publish();
            if let Ok(gone) = timeout(LOOK_AGAIN, &mut viewer).await {
                break gone.unwrap();
            }
        };
        assert!(matches!(gone, Gone::Lost(_)));
        assert!(fan.viewers.borrow().is_empty());
    });
}

/// More than a connection on loopback holds together.
const PIECES: u8 = 120;
const PIECE_BYTES: usize = 100_000;
const HEAD_BYTES: usize = 12;
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
