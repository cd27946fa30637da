//! The WebRTC peers on their sockets: the one UDP socket, and connections to the main TCP port.
//!
//! [`Rtc`] drives `router::rtc::Peers` and gives each session what its peer says, as [`Said`]. Whoever changes a peer drains all output at
//! once: sending never waits. What a socket does not take is dropped, as on any other link that is too slow.

mod discover;
mod doors;
mod stats;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use crosspoint_ffi::{Codec, Packet};
use crosspoint_router::broadcast::{Bitrates, Unit};
use crosspoint_router::control::{Refusal, RefusalKind};
use crosspoint_router::rtc::{
    Clock, Datagram, Discovery, Full, Identity, Offer, Peer, PeerId, PeerOutput, Peers, PeersLimits, Protocol, Role, frame,
};
use tokio::sync::{Notify, mpsc};

use self::doors::Front;
use self::stats::Counters;
#[cfg(test)]
pub(crate) use self::stats::RoleStats;
pub(crate) use self::stats::RtcStats;
use crate::config::Config;
use crate::net::Udp;
use crate::shutdown::Shutdown;
use crate::timer::sleep_until;

/// A cheap handle to all peers, for the network thread.
#[derive(Clone)]
pub(crate) struct Rtc(Rc<Inner>);

struct Inner {
    identity: Identity,
    front: Front,
    /// What there is for a viewer's pictures.
    bitrates: Bitrates,
    clock: Clock,
    /// Of the peers that connect, the most from one address.
    most_from_one: usize,
    udp: Option<Udp>,
    /// Nothing while no STUN server is asked.
    discovery: RefCell<Option<Discovery>>,
    /// The STUN server has answered.
    discovered: Notify,
    peers: RefCell<Peers>,
    sessions: RefCell<HashMap<PeerId, Session>>,
    /// The connections by the address that they come from, and whose they are once that is known.
    connections: RefCell<HashMap<SocketAddr, Connection>>,
    counters: Counters,
    /// When the driving task looks again.
    due: Cell<Option<Instant>>,
    sooner: Notify,
}

struct Session {
    said: mpsc::Sender<Said>,
    /// Where its offer came from, until it is connected.
    connecting_from: Option<IpAddr>,
    /// Whether it was too slow for something, which is to be told as a loss.
    missed: bool,
}

struct Connection {
    frames: mpsc::Sender<Bytes>,
    peer: Option<PeerId>,
}

/// How an offer reached us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach<'a> {
    /// The host and, if it was named, the port that it was sent to.
    pub(crate) host: &'a str,
    /// Where it came from.
    pub(crate) from: IpAddr,
}

/// What a peer says to its session; the end of it all is the channel's.
#[derive(Debug)]
pub(crate) enum Said {
    /// The viewer can take so many bits of pictures a second.
    Able(u32),
    /// Media can flow.
    Connected,
    /// The viewer cannot go on without a key frame.
    KeyWanted,
    /// Pictures of the publisher were lost.
    Lost,
    /// The publisher's next access unit.
    Packet(Packet),
}

/// A peer that was answered. Dropped, it is told goodbye.
pub(crate) struct Answered {
    pub(crate) peer: Link,
    /// The answer (SDP).
    pub(crate) sdp: String,
    pub(crate) said: mpsc::Receiver<Said>,
}

/// A session's hold on its peer.
pub(crate) struct Link {
    rtc: Rtc,
    id: PeerId,
}

/// A connection's entry; dropped, it is gone.
pub(crate) struct Attached {
    rtc: Rtc,
    source: SocketAddr,
}

impl Rtc {
    /// Makes a house without peers behind `udp`, if there is one, and the TCP listener at `listen`.
    pub(crate) fn new(config: &Config, udp: Option<Udp>, listen: SocketAddr) -> io::Result<Self> {
        let identity = Identity::generate().ok_or_else(|| io::Error::other("no certificate could be made"))?;
        let udp_port = udp.as_ref().and_then(|udp| udp.local_addr().ok()).map(|address| address.port());
        Ok(Self(Rc::new(Inner {
            identity,
            front: Front { listen, udp_port, advertise: config.advertise.clone(), seen: Cell::default() },
            bitrates: config.bitrates(),
            clock: Clock { at: Instant::now(), time_of_day: SystemTime::now() },
            most_from_one: config.limits.max_connecting_per_host.unwrap_or(config.limits.max_connecting),
            udp,
            discovery: RefCell::default(),
            discovered: Notify::new(),
            peers: RefCell::new(Peers::new(PeersLimits { peers: config.limits.max_peers, connecting: config.limits.max_connecting })),
            sessions: RefCell::default(),
            connections: RefCell::default(),
            counters: Counters::default(),
            due: Cell::default(),
            sooner: Notify::new(),
        })))
    }

    /// Receives and keeps time until the end, when everyone is told goodbye.
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let due = self.0.peers.borrow().poll_deadline();
            self.0.due.set(due);
            let timer = sleep_until(due);
            let datagrams = async {
                match &self.0.udp {
                    Some(udp) => udp.readable().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.requested() => break,
                Ok(()) = datagrams => self.receive(&mut buffer),
                () = timer => {
                    self.0.peers.borrow_mut().handle_timeout(Instant::now());
                    self.flush();
                }
                () = self.0.sooner.notified() => {}
            }
        }
        let peers: Vec<PeerId> = self.0.sessions.borrow().keys().copied().collect();
        for id in peers {
            self.0.peers.borrow_mut().close(id, Instant::now());
        }
        self.flush();
    }

    /// Answers the offer of a publisher, or of a viewer.
    ///
    /// # Errors
    /// When there are too many peers, or the offer cannot be answered.
    pub(crate) fn answer(&self, offer: Offer, role: Role, reach: Reach<'_>) -> Result<Answered, Refusal> {
        let full = |full: Full| Refusal::new(RefusalKind::Unavailable, format!("{full} (--max-peers, --max-connecting)"));
        self.0.peers.borrow().check_room().map_err(full)?;
        let from = Some(reach.from);
        if self.0.sessions.borrow().values().filter(|session| session.connecting_from == from).count() >= self.0.most_from_one {
            let message = "too many webrtc sessions are being set up from this address: try again later (--max-connecting-per-host)";
            return Err(Refusal::new(RefusalKind::Unavailable, message));
        }
        let (doors, now) = (self.0.front.doors(reach.host), Instant::now());
        let negotiated = match role {
            Role::Publisher => Peer::publisher(offer, &self.0.identity, &doors, now),
            Role::Viewer => Peer::viewer(offer, self.0.bitrates, self.0.clock, &self.0.identity, &doors, now),
        }
        .map_err(|error| Refusal::new(RefusalKind::Bad, format!("sdp: {error}")))?;
        let (id, sdp) = self.0.peers.borrow_mut().insert(negotiated).map_err(full)?;
        let (sender, said) = mpsc::channel(SAID);
        self.0.sessions.borrow_mut().insert(id, Session { said: sender, connecting_from: from, missed: false });
        self.flush();
        Ok(Answered { peer: Link { rtc: self.clone(), id }, sdp, said })
    }

    /// Takes a datagram or a connection's frame; says whether it was for a peer of ours.
    pub(crate) fn take(&self, protocol: Protocol, source: SocketAddr, datagram: &[u8]) -> bool {
        let peer = self.0.peers.borrow_mut().handle_datagram(protocol, source, datagram, Instant::now());
        if protocol == Protocol::Tcp
            && let Some(connection) = self.0.connections.borrow_mut().get_mut(&source)
        {
            connection.peer = peer.or(connection.peer);
        }
        self.flush();
        peer.is_some()
    }

    /// Lets a connection from `source` in; gives what goes out of it, which ends when its peer is gone.
    pub(crate) fn attach(&self, source: SocketAddr) -> (mpsc::Receiver<Bytes>, Attached) {
        let (frames, outgoing) = mpsc::channel(FRAMES);
        self.0.connections.borrow_mut().insert(source, Connection { frames, peer: None });
        (outgoing, Attached { rtc: self.clone(), source })
    }

    fn receive(&self, buffer: &mut [u8]) {
        let Some(udp) = &self.0.udp else { return };
        for _ in 0..TURN {
            match udp.try_receive(buffer) {
                Ok((length, source)) => {
                    if !self.take(Protocol::Udp, source, &buffer[..length]) {
                        self.discovered(source, &buffer[..length]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What an earlier datagram met at its destination.
                Err(error) => tracing::debug!(%error, "receiving datagrams"),
            }
        }
    }

    /// Sends and tells all there is to send and to tell.
    fn flush(&self) {
        let now = Instant::now();
        loop {
            let polled = self.0.peers.borrow_mut().poll(now);
            let Some((id, output)) = polled else { break };
            match output {
                PeerOutput::Able(bits) => self.tell(id, Said::Able(bits)),
                PeerOutput::Connected => {
                    if let Some(session) = self.0.sessions.borrow_mut().get_mut(&id) {
                        session.connecting_from = None;
                    }
                    self.tell(id, Said::Connected);
                }
                PeerOutput::Gone => self.forget(id),
                PeerOutput::KeyWanted => self.tell(id, Said::KeyWanted),
                PeerOutput::Lost => self.tell(id, Said::Lost),
                PeerOutput::Packet(packet) => self.tell(id, Said::Packet(packet)),
                PeerOutput::Report(report) => {
                    if let Some(role) = self.0.peers.borrow().peer(id).map(Peer::role) {
                        self.0.counters.note(role, &report);
                    }
                }
                PeerOutput::Transmit(datagram) => self.send(datagram),
                PeerOutput::Wait(_) => {}
            }
        }
        if let Some(udp) = &self.0.udp {
            udp.flush();
        }
        let due = self.0.peers.borrow().poll_deadline();
        if due.is_some_and(|due| self.0.due.get().is_none_or(|known| due < known)) {
            self.0.due.set(due);
            self.0.sooner.notify_one();
        }
    }

    fn tell(&self, id: PeerId, said: Said) {
        let mut sessions = self.0.sessions.borrow_mut();
        let Some(session) = sessions.get_mut(&id) else { return };
        if session.missed && session.said.try_send(Said::Lost).is_ok() {
            session.missed = false;
        }
        if session.said.try_send(said).is_err() {
            self.0.counters.unheard.set(self.0.counters.unheard.get() + 1);
            session.missed = true;
        }
    }

    fn send(&self, datagram: Datagram) {
        if datagram.protocol == Protocol::Udp {
            if let Some(udp) = &self.0.udp {
                udp.queue(datagram.destination, datagram.bytes, datagram.segment_bytes);
            }
            return;
        }
        let connections = self.0.connections.borrow();
        let Some(connection) = connections.get(&datagram.destination) else { return };
        for frame in datagram.segments().filter_map(frame) {
            // Full, the newest is dropped: the peer asks for what it misses.
            if connection.frames.try_send(frame).is_err() {
                self.0.counters.unsent.set(self.0.counters.unsent.get() + 1);
            }
        }
    }

    fn forget(&self, id: PeerId) {
        self.0.sessions.borrow_mut().remove(&id);
        self.0.connections.borrow_mut().retain(|_, connection| connection.peer != Some(id));
    }
}

impl Link {
    /// Sends a unit to a viewer; `at` is the moment that its time stands for.
    pub(crate) fn write(&self, unit: &Unit, at: Instant) {
        let now = Instant::now();
        self.rtc.0.peers.borrow_mut().write(self.id, unit, at, now);
        self.rtc.flush();
    }

    /// What a viewer that is connected is to be sent pictures in, if it takes any.
    pub(crate) fn pictures(&self) -> Option<Codec> {
        self.rtc.0.peers.borrow().peer(self.id).and_then(Peer::pictures)
    }

    /// Asks a publisher for a key frame.
    pub(crate) fn want_key(&self) {
        self.rtc.0.peers.borrow_mut().want_key(self.id, Instant::now());
        self.rtc.flush();
    }

    /// Hands it a trickled fragment.
    pub(crate) fn add_candidates(&self, fragment: &str) {
        self.rtc.0.peers.borrow_mut().handle_candidates(self.id, fragment, Instant::now());
        self.rtc.flush();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.rtc.0.peers.borrow_mut().close(self.id, Instant::now());
        self.rtc.flush();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.rtc.0.connections.borrow_mut().remove(&self.source);
    }
}

/// The longest datagram there is.
const DATAGRAM_BYTES: usize = 65_535;
/// Datagrams taken before others get their turn on the thread.
const TURN: usize = 64;
/// What a session may leave unheard: 2 s of pictures and sound. Full, the newest goes, and a loss is told.
const SAID: usize = 256;
/// Frames between a peer and its connection: a key frame of 300 kB. Full, the newest goes.
const FRAMES: usize = 256;
