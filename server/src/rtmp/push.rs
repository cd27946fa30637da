//! Servers that we push to.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crosspoint_router::wire::rtmp::{Chunker, Client, ClientEvent, ClientOutput, Error, TargetUrl};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::Instrument as _;

use super::back_off::BackOff;
use super::flow::{End, READ_BYTES, flow};
use super::random;
use crate::broadcast::Channel;
use crate::fanout::Connection;
use crate::net::connector;
use crate::shutdown::Shutdown;

/// A stream that is pushed, until this is dropped: then the server is told, if it is there.
pub(crate) struct Push {
    view: Rc<View>,
    /// Its end is the stop.
    _stop: oneshot::Sender<()>,
}

/// What a push tells.
#[derive(Default)]
struct View {
    trouble: RefCell<Option<String>>,
    flows: Cell<bool>,
    reconnects: Cell<u64>,
}

/// What keeps media from flowing, in words for who asked for it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("connecting to {target}: {cause}")]
    Connect { target: TargetUrl, cause: io::Error },
    #[error("{target} does not answer for {} s", PATIENCE.as_secs())]
    Silent { target: TargetUrl },
    #[error("{target}: {cause}")]
    Session { target: TargetUrl, cause: Error },
    #[error("{target}: {end}")]
    Ended { target: TargetUrl, end: End },
}

impl Push {
    /// Pushes what `channel` gives to `target`, over and over, inside the present span.
    pub(crate) fn start(target: TargetUrl, channel: Rc<Channel>, stall: Duration, shutdown: Shutdown) -> Self {
        let (stop, stopped) = oneshot::channel();
        let view = Rc::<View>::default();
        tokio::task::spawn_local(Work { target, channel, stall, view: Rc::clone(&view) }.run(stopped, shutdown).in_current_span());
        Self { view, _stop: stop }
    }

    /// What keeps it from being pushed, if anything.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.view.trouble.borrow().clone()
    }

    /// Whether media flows.
    pub(crate) fn flows(&self) -> bool {
        self.view.flows.get()
    }

    /// How often it began anew.
    pub(crate) fn reconnects(&self) -> u64 {
        self.view.reconnects.get()
    }
}

struct Work {
    target: TargetUrl,
    channel: Rc<Channel>,
    stall: Duration,
    view: Rc<View>,
}

impl Work {
    async fn run(self, mut stopped: oneshot::Receiver<()>, mut shutdown: Shutdown) {
        let mut back_off = BackOff::new();
        loop {
            let begun = Instant::now();
            let failure = {
                let over = Cell::new(false);
                let mut ended = std::pin::pin!(async {
                    tokio::select! {
                        _ = &mut stopped => {}
                        () = shutdown.requested() => {}
                    }
                    over.set(true);
                });
                let failure = self.attempt(ended.as_mut()).await;
                match failure {
                    Some(failure) if !over.get() => failure,
                    Some(_) | None => return tracing::info!(target = %self.target, "push ended"),
                }
            };
            if begun.elapsed() > HEALTHY {
                back_off.reset();
            }
            self.note(&failure);
            let [chance] = random();
            tokio::select! {
                () = sleep(back_off.wait(chance)) => {}
                _ = &mut stopped => return,
                () = shutdown.requested() => return,
            }
            self.view.reconnects.set(self.view.reconnects.get() + 1);
        }
    }

    /// Connects and pushes until something fails; nothing when `ended` is done first.
    async fn attempt(&self, mut ended: impl Future<Output = ()> + Unpin) -> Option<Failure> {
        let target = || self.target.clone();
        let connected = tokio::select! {
            connected = timeout(PATIENCE, connect(&self.target)) => connected,
            () = &mut ended => return None,
        };
        let tcp = match connected {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(cause)) => return Some(Failure::Connect { target: target(), cause }),
            Err(_) => return Some(Failure::Silent { target: target() }),
        };
        if !self.target.is_secure() {
            return self.publish(tcp, ended).await;
        }
        let secured = tokio::select! {
            secured = timeout(PATIENCE, secure(tcp, self.target.host())) => secured,
            () = &mut ended => return None,
        };
        match secured {
            Ok(Ok(tls)) => self.publish(tls, ended).await,
            Ok(Err(cause)) => Some(Failure::Connect { target: target(), cause }),
            Err(_) => Some(Failure::Silent { target: target() }),
        }
    }

    async fn publish(&self, mut stream: impl Connection, mut ended: impl Future<Output = ()> + Unpin) -> Option<Failure> {
        let target = || self.target.clone();
        let mut session = Client::new(self.target.clone(), &random());
        let granted = tokio::select! {
            granted = timeout(PATIENCE, ask(&mut stream, &mut session)) => granted,
            () = &mut ended => return None,
        };
        let ClientEvent::Publish { stream: message_stream, chunk_bytes } = match granted {
            Ok(Ok(granted)) => granted,
            Ok(Err(End::Session(cause))) => return Some(Failure::Session { target: target(), cause }),
            Ok(Err(end)) => return Some(Failure::Ended { target: target(), end }),
            Err(_) => return Some(Failure::Silent { target: target() }),
        };
        self.view.trouble.replace(None);
        tracing::info!(target = %self.target, "pushing");
        let chunker = Chunker::for_server(message_stream, chunk_bytes);
        self.view.flows.set(true);
        let end = flow(stream, session, self.channel.watch_steadily(), chunker, self.stall, ended).await;
        self.view.flows.set(false);
        match end {
            End::Over => None,
            End::Session(cause) => Some(Failure::Session { target: target(), cause }),
            end @ (End::Gone | End::Lost(_) | End::Stalled) => Some(Failure::Ended { target: target(), end }),
        }
    }

    /// Tells a failure once, however often it repeats itself.
    fn note(&self, failure: &Failure) {
        let words = failure.to_string();
        let before = self.view.trouble.replace(Some(words.clone()));
        if before.as_ref() != Some(&words) {
            tracing::warn!(error = words, "push not possible; retrying");
        }
    }
}

async fn connect(target: &TargetUrl) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((target.host(), target.port())).await?;
    stream.set_nodelay(true)?;
    set_socket_send_buffer_size(&stream, SEND_BYTES)?;
    Ok(stream)
}

async fn secure(stream: TcpStream, host: &str) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    // It reads the machine's authorities each time: they may be what was mended since the last.
    let connector = spawn_blocking(connector).await.map_err(io::Error::other)??;
    connector.connect(name, stream).await
}

/// Talks until the server takes media.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, session: &mut Client) -> Result<ClientEvent, End> {
    let mut bytes = [0; READ_BYTES];
    loop {
        while let Some(output) = session.poll_output() {
            match output {
                ClientOutput::Event(event) => return Ok(event),
                ClientOutput::Send(bytes) => stream.write_all(&bytes).await.map_err(End::Lost)?,
            }
        }
        stream.flush().await.map_err(End::Lost)?;
        let count = stream.read(&mut bytes).await.map_err(End::Lost)?;
        if count == 0 {
            return Err(End::Gone);
        }
        session.handle_input(&bytes[..count]).map_err(End::Session)?;
    }
}

/// How long each step of setting up may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A push that lived this long is not one that fails at once, again and again.
const HEALTHY: Duration = Duration::from_secs(30);
/// What the kernel may queue, which it doubles: servers are far away at times, but what does not get there is for the hub to drop.
const SEND_BYTES: usize = 512 << 10;
