//! A bad link on sockets: before a server of streams, and before one of datagrams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::sleep_until;

use super::{Impairment, Link};
use crate::watch::Message;

/// The links that were made.
pub(crate) type Links = Rc<RefCell<Vec<Rc<RefCell<Link>>>>>;

/// What goes over a stream as one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// Whatever is there.
    Bytes,
    /// The messages of a WebSocket; its handshake passes as it is.
    Messages,
}

/// Puts a link between the clients of a server of streams and it; says where clients find it. What goes to the server passes as it is.
/// Needs a [`tokio::task::LocalSet`] around it.
pub(crate) async fn before(server: String, impairment: Impairment, framing: Framing, links: Links) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::task::spawn_local(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (link, server) = (make(impairment, &links), server.clone());
            // A connection that breaks breaks for its client, which tells.
            tokio::task::spawn_local(async move { between(client, &server, &link, framing).await });
        }
    });
    Ok(address)
}

/// Every link has dice of its own.
fn make(impairment: Impairment, links: &Links) -> Rc<RefCell<Link>> {
    let seed = u32::try_from(links.borrow().len()).unwrap_or(0) + 1;
    let link = Rc::new(RefCell::new(Link::new(impairment, seed)));
    links.borrow_mut().push(Rc::clone(&link));
    link
}

async fn between(client: TcpStream, server: &str, link: &RefCell<Link>, framing: Framing) -> Result<()> {
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    client.set_nodelay(true)?;
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let up = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        Ok(())
    };
    let down = async {
        if framing == Framing::Messages {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(from_server.read_u8().await?);
                ensure!(head.len() < 4_096, "a handshake has no end");
            }
            to_client.write_all(&head).await?;
        }
        pass(from_server, to_client, link, framing).await
    };
    // Who ends first ends both.
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, link: &RefCell<Link>, framing: Framing) -> Result<()> {
    let (mut buffer, mut waiting) = (vec![0; READ_BYTES], Vec::new());
    loop {
        let due = link.borrow().due();
        tokio::select! {
            read = from.read(&mut buffer) => {
                let read = read?;
                ensure!(read > 0, "closed");
                waiting.extend_from_slice(&buffer[..read]);
                let taken = take(&waiting, &mut link.borrow_mut(), framing);
                waiting.drain(..taken);
            }
            () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
        }
        loop {
            let unit = link.borrow_mut().poll(Instant::now());
            let Some(unit) = unit else { break };
            to.write_all(&unit).await?;
        }
    }
}

/// Gives whole units to the link; says how many bytes those were.
fn take(bytes: &[u8], link: &mut Link, framing: Framing) -> usize {
    let (now, mut at) = (Instant::now(), 0);
    match framing {
        Framing::Bytes => {
            link.take(now, bytes, bytes.len());
            at = bytes.len();
        }
        Framing::Messages => {
            while let Some(message) = Message::parse(&bytes[at..]) {
                let end = at + message.head + message.length;
                link.take(now, &bytes[at..end], message.head);
                at = end;
            }
        }
    }
    at
}

/// Puts a link between one client of a server of datagrams and it; says where the client finds it. Needs a
/// [`tokio::task::LocalSet`] around it.
pub(crate) async fn before_datagrams(server: SocketAddr, impairment: Impairment, links: &Links) -> Result<SocketAddr> {
    let (near, far) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    far.connect(server).await?;
    let (address, link) = (near.local_addr()?, make(impairment, links));
    tokio::task::spawn_local(async move {
        let (mut up, mut down, mut client) = (vec![0; READ_BYTES], vec![0; READ_BYTES], None);
        loop {
            let due = link.borrow().due();
            tokio::select! {
                Ok((length, source)) = near.recv_from(&mut up) => {
                    client = Some(source);
                    // What a full socket loses any link may lose.
                    drop(far.try_send(&up[..length]));
                }
                Ok(length) = far.recv(&mut down) => link.borrow_mut().take(Instant::now(), &down[..length], 0),
                () = sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
                else => return,
            }
            while let Some((unit, client)) = link.borrow_mut().poll(Instant::now()).zip(client) {
                drop(near.try_send_to(&unit, client));
            }
        }
    });
    Ok(address)
}

const READ_BYTES: usize = 1 << 16;
