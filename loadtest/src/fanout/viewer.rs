//! Many viewers, each of which checks what it gets: MPEG-TS in WebSocket messages here, FLV over RTMP in [`super::player`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Where viewers connect.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) address: String,
    pub(crate) path: &'static str,
}

/// All viewers of one relay. They leave when this is dropped.
pub(crate) struct Audience {
    counts: Vec<Rc<Count>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What one viewer got.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) frames: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    /// Of transport streams, the pictures that began.
    pictures: Cell<u64>,
    pub(crate) breaks: Cell<u64>,
    trouble: RefCell<Option<String>>,
}

impl Count {
    pub(crate) fn take(&self, bytes: usize) {
        self.frames.set(self.frames.get() + 1);
        self.bytes.set(self.bytes.get() + bytes as u64);
    }
}

impl Audience {
    pub(crate) fn none() -> Self {
        Self { counts: Vec::new(), tasks: Vec::new() }
    }

    /// Lets `count` viewers in. Needs a [`LocalSet`] around it.
    pub(crate) async fn join(place: &Place, count: u32) -> Result<Self> {
        let mut audience = Self::none();
        for _ in 0..count {
            let stream = open(place).await?;
            audience.add(async move |count: &Count| watch(stream, count).await);
        }
        Ok(audience)
    }

    /// Lets another in, who counts what it gets. Needs a [`LocalSet`] around it.
    pub(crate) fn add(&mut self, watch: impl AsyncFnOnce(&Count) -> Result<()> + 'static) {
        let count = Rc::<Count>::default();
        self.counts.push(Rc::clone(&count));
        self.tasks.push(tokio::task::spawn_local(async move {
            if let Err(error) = watch(&count).await {
                count.trouble.replace(Some(format!("{error:#}")));
            }
        }));
    }

    /// The media messages that all of them got together.
    pub(crate) fn frames(&self) -> u64 {
        self.counts.iter().map(|count| count.frames.get()).sum()
    }

    /// The bytes of those.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.iter().map(|count| count.bytes.get()).sum()
    }

    /// The pictures of transport streams that began, of all of them together.
    pub(crate) fn pictures(&self) -> u64 {
        self.counts.iter().map(|count| count.pictures.get()).sum()
    }

    /// Whether each has at least so many.
    pub(crate) fn all_have(&self, frames: u64) -> bool {
        self.counts.iter().all(|count| count.frames.get() >= frames)
    }

    /// Fails when one of them missed something or was closed.
    pub(crate) fn check(&self) -> Result<()> {
        for count in &self.counts {
            if let Some(trouble) = count.trouble.take() {
                bail!("a viewer: {trouble}");
            }
        }
        let breaks: u64 = self.counts.iter().map(|count| count.breaks.get()).sum();
        ensure!(breaks == 0, "viewers met {breaks} jumps of counters or times");
        Ok(())
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Runs `future` where viewers can be spawned.
pub(crate) async fn locally<T>(future: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(future).await
}

async fn open(place: &Place) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(&place.address).await.context("connecting a viewer")?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
        place.path, place.address
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.context("the answer to a viewer")?);
        ensure!(head.len() < 4_096, "the answer to a viewer has no end");
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "a viewer is refused: {}", String::from_utf8_lossy(&head));
    Ok(stream)
}

async fn watch(mut stream: TcpStream, count: &Count) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    let mut continuity = Continuity::default();
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "closed");
        filled += read;
        let mut at = 0;
        while let Some(message) = Message::parse(&buffer[at..filled]) {
            let payload = &buffer[at + message.head..at + message.head + message.length];
            match message.opcode {
                BINARY => {
                    count.take(payload.len());
                    count.breaks.set(count.breaks.get() + continuity.check(payload)?);
                    let began = payload.chunks_exact(CELL_BYTES).filter(|cell| begins_picture(cell)).count();
                    count.pictures.set(count.pictures.get() + began as u64);
                }
                CLOSE => bail!("closed by the relay"),
                _ => {}
            }
            at += message.head + message.length;
        }
        ensure!(at > 0 || filled < buffer.len(), "a message of more than {READ_BYTES} bytes");
        buffer.copy_within(at..filled, 0);
        filled -= at;
    }
}

/// A message's header (RFC 6455, 5.2); a server's is not masked, and none of ours is fragmented.
struct Message {
    opcode: u8,
    head: usize,
    length: usize,
}

impl Message {
    /// The message at the start of `bytes`; nothing until it is whole.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (head, length): (usize, u64) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let length = usize::try_from(length).ok()?;
        (bytes.len() >= head.checked_add(length)?).then_some(Self { opcode: first & 0x0f, head, length })
    }
}

/// The last counter of each PID (ISO/IEC 13818-1, 2.4.3.3).
#[derive(Debug, Default)]
struct Continuity(BTreeMap<u16, u8>);

impl Continuity {
    /// How many packets do not go on from the one before.
    fn check(&mut self, payload: &[u8]) -> Result<u64> {
        ensure!(payload.len().is_multiple_of(CELL_BYTES), "a message of {} bytes is not whole packets", payload.len());
        let mut breaks = 0;
        for cell in payload.chunks_exact(CELL_BYTES) {
            ensure!(cell[0] == 0x47, "a packet without its sync byte");
            let (pid, counter, has_payload) = (u16::from_be_bytes([cell[1] & 0x1f, cell[2]]), cell[3] & 0x0f, cell[3] & 0x10 != 0);
            // A clip that is sent again begins with a counter of its own, and tables first: what comes behind them is a new start.
            if pid == 0 {
                self.0.clear();
            }
            if let Some(last) = self.0.insert(pid, counter) {
                breaks += u64::from(counter != (last + u8::from(has_payload)) & 0x0f);
            }
        }
        Ok(breaks)
    }
}

/// Whether a PES packet of video begins in a cell (ISO/IEC 13818-1, 2.4.3.6: stream ids 0xe0 to 0xef).
fn begins_picture(cell: &[u8]) -> bool {
    let adaptation = if cell[3] & 0x20 == 0 { 0 } else { 1 + usize::from(cell[4]) };
    let payload = cell.get(4 + adaptation..).unwrap_or_default();
    cell[1] & 0x40 != 0 && cell[3] & 0x10 != 0 && matches!(payload, [0, 0, 1, 0xe0..=0xef, ..])
}

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const CELL_BYTES: usize = 188;
/// More than any message of the clip.
const READ_BYTES: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(pid: u16, counter: u8) -> Vec<u8> {
        let mut cell = vec![0xff; CELL_BYTES];
        cell[..4].copy_from_slice(&[0x47, (pid >> 8) as u8, pid as u8, 0x10 | counter]);
        cell
    }

    #[test]
    fn jumps_of_counters_are_seen() {
        let mut continuity = Continuity::default();
        assert_eq!(continuity.check(&[cell(256, 15), cell(256, 0), cell(257, 7)].concat()).unwrap(), 0);
        assert_eq!(continuity.check(&[cell(256, 2), cell(257, 8)].concat()).unwrap(), 1);
        assert!(continuity.check(&[0; CELL_BYTES]).is_err());
        assert!(continuity.check(&[0x47; 100]).is_err());
    }

    #[test]
    fn pictures_are_told_by_where_their_pes_packets_begin() {
        let starting = |adaptation: &[u8], payload: &[u8]| {
            let mut cell = cell(256, 0);
            cell[1] |= 0x40;
            cell[3] |= if adaptation.is_empty() { 0 } else { 0x20 };
            cell[4..4 + adaptation.len()].copy_from_slice(adaptation);
            cell[4 + adaptation.len()..][..payload.len()].copy_from_slice(payload);
            cell
        };
        assert!(begins_picture(&starting(&[], &[0, 0, 1, 0xe0])));
        assert!(begins_picture(&starting(&[2, 0, 0], &[0, 0, 1, 0xe0])));
        assert!(!begins_picture(&starting(&[], &[0, 0, 1, 0xc0])), "sound");
        assert!(!begins_picture(&cell(256, 0)), "the middle of one");
    }

    #[test]
    fn messages_are_parsed_when_they_are_whole() {
        let long: Vec<u8> = [&[0x82, 126, 1, 0][..], &[7; 256]].concat();
        assert!(Message::parse(&long[..long.len() - 1]).is_none());
        assert_eq!(Message::parse(&long).map(|message| (message.head, message.length)), Some((4, 256)));
        assert_eq!(Message::parse(&[0x81, 2, b'o', b'k']).map(|message| (message.opcode, message.length)), Some((1, 2)));
    }
}
