//! All peers, and whose datagram it is.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use super::table::{Table, stun_name};
use super::{Negotiated, Peer, PeerOutput, Protocol, Role};
use crate::broadcast::Unit;

/// A peer's number; never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(u64);

/// How many peers there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PeersLimits {
    /// In all.
    pub peers: usize,
    /// That have not connected yet.
    pub connecting: usize,
}

impl Default for PeersLimits {
    /// One core serves some 1000 viewers; of those that set up 64 are a second's worth of handshakes.
    fn default() -> Self {
        Self { peers: 1_000, connecting: 64 }
    }
}

/// There are as many peers as there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many webrtc sessions are being set up or run: try again later")]
pub struct Full;

/// Every peer of the process.
///
/// A datagram finds its peer by the address it comes from, and a STUN request by the user name it is addressed to, so that a peer whose
/// address changes (a NAT that forgot it) is found again. Only what knows the peer's password moves it. What is nobody's is dropped
/// without an answer.
///
/// Copies: 0 on the way to a peer.
#[derive(Debug)]
pub struct Peers {
    limits: PeersLimits,
    peers: HashMap<PeerId, Entry>,
    table: Table<PeerId>,
    /// When each peer is to be looked at again.
    due: BTreeSet<(Instant, PeerId)>,
    /// Those that may have something to say.
    touched: VecDeque<PeerId>,
    connecting: usize,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    due: Option<Instant>,
    touched: bool,
    counted: bool,
}

impl Peers {
    /// Makes an empty house.
    #[must_use]
    pub fn new(limits: PeersLimits) -> Self {
        Self { limits, peers: HashMap::new(), table: Table::new(), due: BTreeSet::new(), touched: VecDeque::new(), connecting: 0, next: 1 }
    }

    /// Whether another peer would be let in. Ask before making one, which costs more than asking.
    ///
    /// # Errors
    /// When the house is full.
    pub fn check_room(&self) -> Result<(), Full> {
        if self.peers.len() < self.limits.peers && self.connecting < self.limits.connecting { Ok(()) } else { Err(Full) }
    }

    /// Lets a peer in; gives what it is answered with.
    ///
    /// # Errors
    /// When the house is full.
    pub fn insert(&mut self, negotiated: Negotiated) -> Result<(PeerId, String), Full> {
        self.check_room()?;
        let id = PeerId(self.next);
        self.next += 1;
        self.connecting += 1;
        self.table.insert(id, &negotiated.name);
        self.peers.insert(id, Entry { peer: negotiated.peer, due: None, touched: false, counted: true });
        self.touch(id);
        Ok((id, negotiated.answer))
    }

    /// The peers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// How many of a role there are, that connect and that are connected.
    #[must_use]
    pub fn count(&self, role: Role) -> (usize, usize) {
        let of_role = || self.peers.values().filter(|entry| entry.peer.role() == role);
        let connected = of_role().filter(|entry| !entry.counted).count();
        (of_role().count() - connected, connected)
    }

    /// The peer, if it is still there.
    #[must_use]
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(&id).map(|entry| &entry.peer)
    }

    /// Takes a datagram, or a frame of a TCP connection from `source`; says whose it was.
    pub fn handle_datagram(&mut self, protocol: Protocol, source: SocketAddr, datagram: &[u8], now: Instant) -> Option<PeerId> {
        let named = stun_name(datagram).map(|name| self.table.named(&name));
        let id = match named {
            // A request for somebody who is not here is nobody's, wherever it comes from.
            Some(named) => named?,
            None => self.table.at(protocol, source)?,
        };
        let entry = self.peers.get_mut(&id)?;
        if named.is_some() && self.table.at(protocol, source) != Some(id) {
            if !entry.peer.accepts(protocol, source, datagram, now) {
                return None;
            }
            self.table.bind(id, protocol, source);
        }
        entry.peer.handle_datagram(protocol, source, datagram, now);
        self.touch(id);
        Some(id)
    }

    /// Goes on to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            if let Some(entry) = self.peers.get_mut(&id) {
                entry.due = None;
                entry.peer.handle_timeout(now);
                self.touch(id);
            }
        }
    }

    /// Hands a trickled fragment to a peer; says whether it is there.
    pub fn handle_candidates(&mut self, id: PeerId, fragment: &str, now: Instant) -> bool {
        self.with(id, |peer| peer.handle_candidates(fragment, now)).is_some()
    }

    /// As [`Peer::write`].
    pub fn write(&mut self, id: PeerId, unit: &Unit, at: Instant, now: Instant) -> bool {
        self.with(id, |peer| peer.write(unit, at, now)).unwrap_or(false)
    }

    /// As [`Peer::want_key`].
    pub fn want_key(&mut self, id: PeerId, now: Instant) {
        self.with(id, |peer| peer.want_key(now));
    }

    /// As [`Peer::close`].
    pub fn close(&mut self, id: PeerId, now: Instant) {
        self.with(id, |peer| peer.close(now));
    }

    /// The next thing that a peer has to say: never [`PeerOutput::Wait`], that is [`Peers::poll_deadline`]. A peer is forgotten when it
    /// says that it is gone.
    pub fn poll(&mut self, now: Instant) -> Option<(PeerId, PeerOutput)> {
        while let Some(&id) = self.touched.front() {
            let Some(entry) = self.peers.get_mut(&id) else {
                self.touched.pop_front();
                continue;
            };
            let output = entry.peer.poll(now);
            match &output {
                PeerOutput::Wait(at) => {
                    self.touched.pop_front();
                    entry.touched = false;
                    if let Some(before) = entry.due.replace(*at) {
                        self.due.remove(&(before, id));
                    }
                    self.due.insert((*at, id));
                    continue;
                }
                PeerOutput::Connected => {
                    if std::mem::take(&mut entry.counted) {
                        self.connecting -= 1;
                    }
                }
                PeerOutput::Gone => self.forget(id),
                // What a peer is asked at one of its candidates it answers from there.
                PeerOutput::Transmit(datagram) if !entry.peer.is_connected() => {
                    self.table.bind_if_free(id, datagram.protocol, datagram.destination);
                }
                PeerOutput::Able(_)
                | PeerOutput::KeyWanted
                | PeerOutput::Lost
                | PeerOutput::Packet(_)
                | PeerOutput::Report(_)
                | PeerOutput::Transmit(_) => {}
            }
            return Some((id, output));
        }
        None
    }

    /// When [`Peers::handle_timeout`] is due.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    fn with<T>(&mut self, id: PeerId, act: impl FnOnce(&mut Peer) -> T) -> Option<T> {
        let done = act(&mut self.peers.get_mut(&id)?.peer);
        self.touch(id);
        Some(done)
    }

    fn touch(&mut self, id: PeerId) {
        if let Some(entry) = self.peers.get_mut(&id)
            && !std::mem::replace(&mut entry.touched, true)
        {
            self.touched.push_back(id);
        }
    }

    fn forget(&mut self, id: PeerId) {
        self.table.remove(id);
        if let Some(entry) = self.peers.remove(&id) {
            if let Some(at) = entry.due {
                self.due.remove(&(at, id));
            }
            self.connecting -= usize::from(entry.counted);
        }
    }
}
