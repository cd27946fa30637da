//! Many viewers, each of which checks what it gets: MPEG-TS in WebSocket messages here, FLV over RTMP in [`super::player`].

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::view::crowd::Pace;
use crate::watch::{Content, Watch};

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
    pub(crate) watch: RefCell<Watch>,
    trouble: RefCell<Option<String>>,
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
            audience.add(async move |count: &Count| watch(stream, count, None, Pace::steady()).await);
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
        self.sum(|watch| watch.messages)
    }

    /// The bytes of those.
    pub(crate) fn bytes(&self) -> u64 {
        self.sum(|watch| watch.bytes)
    }

    /// The pictures of transport streams that began, of all of them together.
    pub(crate) fn pictures(&self) -> u64 {
        self.sum(|watch| watch.pictures.len() as u64)
    }

    fn sum(&self, part: impl Fn(&Watch) -> u64) -> u64 {
        self.counts.iter().map(|count| part(&count.watch.borrow())).sum()
    }

    /// Whether each has at least so many.
    pub(crate) fn all_have(&self, frames: u64) -> bool {
        self.counts.iter().all(|count| count.watch.borrow().messages >= frames)
    }

    /// Fails when one of them missed something or was closed.
    pub(crate) fn check(&self) -> Result<()> {
        for count in &self.counts {
            if let Some(trouble) = count.trouble.take() {
                bail!("a viewer: {trouble}");
            }
        }
        let (breaks, corrupt) = (self.sum(|watch| watch.breaks), self.sum(|watch| watch.corrupt));
        ensure!(breaks == 0 && corrupt == 0, "viewers met {breaks} jumps of counters or times, and {corrupt} corrupt messages");
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

/// Connects, and has the connection upgraded.
pub(crate) async fn open(place: &Place) -> Result<TcpStream> {
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

/// Takes what comes, at a pace, until the other end closes.
pub(crate) async fn watch(mut stream: TcpStream, count: &Count, content: Option<&Content>, pace: Pace) -> Result<()> {
    let mut buffer = vec![0; pace.read_bytes()];
    loop {
        let read = stream.read(&mut buffer).await?;
        ensure!(read > 0, "closed");
        let answers = {
            let mut watch = count.watch.borrow_mut();
            watch.take(&buffer[..read], Instant::now(), content)?;
            std::mem::take(&mut watch.answers)
        };
        if !answers.is_empty() {
            stream.write_all(&answers).await?;
        }
        pace.rest().await;
    }
}
