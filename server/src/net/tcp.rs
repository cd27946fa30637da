//! Accepting: one task, and one more per connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::sniff::{Protocol, sniff, sniff_inside};
use super::{Place, Tls, Waiting, ice_tcp};
use crate::app::App;
use crate::fanout::bound_queue;
use crate::http::{Door, Scheme};
use crate::rtc::Rtc;
use crate::rtmp;
use crate::shutdown::Shutdown;
use crate::tokens::Tokens;

/// Listens on `address`; the address of a server that ended a moment ago is free again.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Who serves what comes in.
pub(crate) struct Rooms {
    pub(crate) door: Rc<Door>,
    pub(crate) app: App,
    pub(crate) tokens: Rc<Tokens>,
    pub(crate) rtc: Rtc,
    pub(crate) tls: Tls,
    /// Connections that have not said what they want.
    pub(crate) waiting: Rc<Waiting>,
    /// How long one may say nothing at all.
    pub(crate) first_byte: Duration,
}

impl Rooms {
    /// Whether one who comes now is served: at the end only those are who can be told of it.
    fn admits(&self, protocol: Protocol) -> bool {
        !self.app.is_ending() || matches!(protocol, Protocol::Http | Protocol::Tls)
    }
}

/// What a listener is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Entrance {
    /// Whatever the first byte says.
    Any,
    /// RTMP.
    Rtmp,
    /// RTMP inside TLS.
    Rtmps,
}

/// Accepts and serves for ever; when it is dropped, what was accepted goes on.
pub(crate) async fn accept(listener: &TcpListener, entrance: Entrance, rooms: Rc<Rooms>, shutdown: Shutdown) -> Infallible {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors: the connection stays in the backlog, and asking again at once would spin.
                tracing::warn!(%error, "accepting");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let (place, left) = rooms.waiting.enter();
        let (rooms, shutdown) = (Rc::clone(&rooms), shutdown.clone());
        // A number, for addresses are no one's business above debug.
        let span = tracing::info_span!("peer", id = rooms.waiting.total());
        let conversation = async move {
            let served = serve(stream, entrance, place, &rooms, shutdown);
            tokio::select! {
                served = served => if let Err(error) = served {
                    tracing::debug!(%error, "connection lost");
                },
                Ok(()) = left => tracing::debug!("a silent connection had to go for another"),
            }
        };
        tokio::task::spawn_local(conversation.instrument(span));
    }
}

async fn serve(stream: TcpStream, entrance: Entrance, place: Place, rooms: &Rooms, mut shutdown: Shutdown) -> io::Result<()> {
    // Every write of ours is a whole message that someone waits for.
    stream.set_nodelay(true)?;
    let from = stream.peer_addr()?.ip().to_canonical();
    let protocol = match entrance {
        Entrance::Any => tokio::select! {
            protocol = timeout(rooms.first_byte, sniff(&stream)) => protocol,
            () = shutdown.requested() => return Ok(()),
        },
        Entrance::Rtmp => Ok(Ok(Some(Protocol::Rtmp))),
        Entrance::Rtmps => Ok(Ok(Some(Protocol::Tls))),
    };
    let Ok(protocol) = protocol else { return Ok(()) };
    match protocol?.filter(|protocol| rooms.admits(*protocol)) {
        Some(Protocol::Http) => {
            Rc::clone(&rooms.door).serve(stream, Scheme::Http, from, place, shutdown).await;
        }
        Some(Protocol::Rtmp) => {
            bound_queue(&stream)?;
            rtmp::play(stream, &rooms.app, &rooms.tokens, place, shutdown).await;
        }
        Some(Protocol::Tls) => return serve_secure(stream, entrance, place, rooms, shutdown).await,
        Some(Protocol::IceTcp) => {
            drop(place);
            ice_tcp::serve(stream, &rooms.rtc, shutdown).await?;
        }
        Some(Protocol::Unknown) | None => {}
    }
    Ok(())
}

/// The same inside TLS.
async fn serve_secure(stream: TcpStream, entrance: Entrance, place: Place, rooms: &Rooms, mut shutdown: Shutdown) -> io::Result<()> {
    let (acceptor, from) = (rooms.tls.acceptor()?, stream.peer_addr()?.ip().to_canonical());
    bound_queue(&stream)?;
    let setup = async {
        let mut stream = BufReader::new(acceptor.accept(stream).await?);
        let protocol = match entrance {
            Entrance::Any => sniff_inside(&mut stream).await?,
            Entrance::Rtmp | Entrance::Rtmps => Some(Protocol::Rtmp),
        };
        Ok::<_, io::Error>((stream, protocol))
    };
    let setup = tokio::select! {
        setup = timeout(rooms.first_byte, setup) => setup,
        () = shutdown.requested() => return Ok(()),
    };
    let Ok(setup) = setup else { return Ok(()) };
    let (stream, protocol) = setup?;
    match protocol.filter(|protocol| rooms.admits(*protocol)) {
        Some(Protocol::Rtmp) => rtmp::play(stream, &rooms.app, &rooms.tokens, place, shutdown).await,
        Some(Protocol::Http) => Rc::clone(&rooms.door).serve(stream, Scheme::Https, from, place, shutdown).await,
        // WebRTC is encrypted by itself, and TLS inside TLS is nothing that anyone means.
        Some(Protocol::IceTcp | Protocol::Tls | Protocol::Unknown) | None => {}
    }
    Ok(())
}

const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// What the kernel holds for us while the network thread is busy; it caps this at `net.core.somaxconn`.
const BACKLOG: u32 = 1024;
