//! Accepting: one task, and one more per connection.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::sniff::{Protocol, sniff};
use crate::http::Door;
use crate::shutdown::Shutdown;

/// Listens on `address`; the address of a server that ended a moment ago is free again.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts and serves for ever; dropping it closes the listener, and what was accepted goes on.
pub(crate) async fn accept(listener: TcpListener, door: Rc<Door>, shutdown: Shutdown) -> Infallible {
    let undecided = Rc::new(Cell::new(0_usize));
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
        if undecided.get() >= MAX_UNDECIDED {
            tracing::debug!("too many connections that have said nothing, dropping the newest");
            continue;
        }
        let place = Place::take(&undecided);
        let (door, shutdown) = (door.clone(), shutdown.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = serve(stream, place, door, shutdown).await {
                tracing::debug!(%error, "connection lost");
            }
        });
    }
}

async fn serve(stream: TcpStream, place: Place, door: Rc<Door>, mut shutdown: Shutdown) -> io::Result<()> {
    // Every write of ours is a whole message that someone waits for.
    stream.set_nodelay(true)?;
    let protocol = tokio::select! {
        protocol = tokio::time::timeout(FIRST_BYTE, sniff(&stream)) => protocol,
        () = shutdown.requested() => return Ok(()),
    };
    drop(place);
    let Ok(protocol) = protocol else { return Ok(()) };
    match protocol? {
        Some(Protocol::Http) => door.serve(stream, shutdown).await,
        Some(Protocol::IceTcp | Protocol::Rtmp | Protocol::Tls) => tracing::debug!("a protocol that is not served yet"),
        Some(Protocol::Unknown) | None => {}
    }
    Ok(())
}

/// A place among the connections that have said nothing yet.
struct Place(Rc<Cell<usize>>);

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
