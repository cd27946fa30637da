//! Accepting: one task, and one more per connection.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::sniff::{Protocol, sniff, sniff_inside};
use super::{Tls, ice_tcp};
use crate::app::App;
use crate::fanout::bound_queue;
use crate::http::Door;
use crate::rtc::Rtc;
use crate::rtmp;
use crate::shutdown::Shutdown;

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
    pub(crate) rtc: Rtc,
    pub(crate) tls: Tls,
    /// Connections that have said nothing yet, or not what they want.
    pub(crate) undecided: Rc<Cell<usize>>,
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

/// Accepts and serves for ever; dropping it closes the listener, and what was accepted goes on.
pub(crate) async fn accept(listener: TcpListener, entrance: Entrance, rooms: Rc<Rooms>, shutdown: Shutdown) -> Infallible {
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
        if rooms.undecided.get() >= MAX_UNDECIDED {
            tracing::debug!("too many connections that have said nothing, dropping the newest");
            continue;
        }
        let place = Place::take(&rooms.undecided);
        let (rooms, shutdown) = (Rc::clone(&rooms), shutdown.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = serve(stream, entrance, place, &rooms, shutdown).await {
                tracing::debug!(%error, "connection lost");
            }
        });
    }
}

async fn serve(stream: TcpStream, entrance: Entrance, place: Place, rooms: &Rooms, mut shutdown: Shutdown) -> io::Result<()> {
    // Every write of ours is a whole message that someone waits for.
    stream.set_nodelay(true)?;
    let protocol = match entrance {
        Entrance::Any => tokio::select! {
            protocol = timeout(FIRST_BYTE, sniff(&stream)) => protocol,
            () = shutdown.requested() => return Ok(()),
        },
        Entrance::Rtmp => Ok(Ok(Some(Protocol::Rtmp))),
        Entrance::Rtmps => Ok(Ok(Some(Protocol::Tls))),
    };
    let Ok(protocol) = protocol else { return Ok(()) };
    match protocol? {
        Some(Protocol::Http) => {
            drop(place);
            Rc::clone(&rooms.door).serve(stream, shutdown).await;
        }
        Some(Protocol::Rtmp) => {
            bound_queue(&stream)?;
            rtmp::play(stream, &rooms.app, place, shutdown).await;
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
    let acceptor = rooms.tls.acceptor()?;
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
        setup = timeout(FIRST_BYTE, setup) => setup,
        () = shutdown.requested() => return Ok(()),
    };
    let Ok(setup) = setup else { return Ok(()) };
    let (stream, protocol) = setup?;
    match protocol {
        Some(Protocol::Rtmp) => rtmp::play(stream, &rooms.app, place, shutdown).await,
        Some(Protocol::Http | Protocol::IceTcp | Protocol::Tls) => tracing::debug!("a protocol that is not served inside TLS yet"),
        Some(Protocol::Unknown) | None => {}
    }
    Ok(())
}

/// A place among the connections that have said nothing yet, or not what they want.
pub(crate) struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(taken: &Rc<Cell<usize>>) -> Self {
        taken.set(taken.get() + 1);
        Self(taken.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// What the kernel holds for us while the network thread is busy; it caps this at `net.core.somaxconn`.
const BACKLOG: u32 = 1024;
/// How long a connection may say nothing at all.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// Connections that have said nothing yet. When full the newest is dropped: those before it have at most [`FIRST_BYTE`] left.
const MAX_UNDECIDED: usize = 256;
