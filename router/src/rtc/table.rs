//! Whose datagram it is.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use str0m::ice::StunMessage;
use str0m::net::Protocol;

/// Peers by their ICE user name and by the addresses that they were heard from: a look-up, however many there are.
#[derive(Debug)]
pub(super) struct Table<K> {
    names: HashMap<String, K>,
    addresses: HashMap<(Protocol, SocketAddr), K>,
    /// The addresses of each peer, oldest first.
    of: HashMap<K, (String, VecDeque<(Protocol, SocketAddr)>)>,
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    pub(super) fn new() -> Self {
        Self { names: HashMap::new(), addresses: HashMap::new(), of: HashMap::new() }
    }

    /// A peer is there, and known by `name`, its half of what its STUN requests are addressed to.
    pub(super) fn insert(&mut self, key: K, name: &str) {
        self.names.insert(name.to_owned(), key);
        self.of.insert(key, (name.to_owned(), VecDeque::new()));
    }

    /// A peer is gone.
    pub(super) fn remove(&mut self, key: K) {
        if let Some((name, addresses)) = self.of.remove(&key) {
            self.names.remove(&name);
            for address in addresses {
                self.addresses.remove(&address);
            }
        }
    }

    /// Who was heard from there.
    pub(super) fn at(&self, protocol: Protocol, source: SocketAddr) -> Option<K> {
        self.addresses.get(&(protocol, source)).copied()
    }

    /// Who is called by what a STUN request is addressed to.
    pub(super) fn named(&self, name: &str) -> Option<K> {
        self.names.get(name).copied()
    }

    /// What comes from there is `key`'s from now on: it has proved it. Of a peer that has been at more addresses than it can use the oldest
    /// is forgotten.
    pub(super) fn bind(&mut self, key: K, protocol: Protocol, source: SocketAddr) {
        let Some((_, addresses)) = self.of.get_mut(&key) else { return };
        let address = (protocol, source);
        match self.addresses.insert(address, key) {
            Some(before) if before == key => return,
            Some(before) => {
                addresses.push_back(address);
                if let Some((_, theirs)) = self.of.get_mut(&before) {
                    theirs.retain(|&other| other != address);
                }
            }
            None => addresses.push_back(address),
        }
        if let Some((_, addresses)) = self.of.get_mut(&key)
            && addresses.len() > MOST_ADDRESSES
            && let Some(oldest) = addresses.pop_front()
        {
            self.addresses.remove(&oldest);
        }
    }

    /// The same, unless somebody is there already: the peer only says that it is reached there.
    pub(super) fn bind_if_free(&mut self, key: K, protocol: Protocol, address: SocketAddr) {
        let has_room = self.of.get(&key).is_some_and(|(_, addresses)| addresses.len() < MOST_ADDRESSES);
        if has_room && !self.addresses.contains_key(&(protocol, address)) {
            self.bind(key, protocol, address);
        }
    }
}

/// The first half of the user name of a STUN request: which of our peers it is for. Nothing for all else.
pub(super) fn stun_name(datagram: &[u8]) -> Option<String> {
    if !is_request(datagram) {
        return None;
    }
    let message = StunMessage::parse(datagram).ok()?;
    message.split_username().map(|(ours, _)| ours.to_owned())
}

/// Whether it is STUN (RFC 7983: nothing else begins with 0…3), and a request: of the type's two bits of class that has neither (RFC 8489, 5).
/// An answer may carry the name that it was asked by, as libnice's does, and that is the peer's.
fn is_request(datagram: &[u8]) -> bool {
    matches!(*datagram, [first, second, ..] if first <= 3 && first & 1 == 0 && second & 0x10 == 0)
}

/// The addresses of one peer: as many as candidates of a machine with a few interfaces make.
const MOST_ADDRESSES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn peers_are_found_by_name_and_address_and_forgotten_by_both() {
        let mut table = Table::new();
        table.insert(1, "one");
        table.insert(2, "two");
        assert_eq!((table.named("one"), table.named("two"), table.named("three")), (Some(1), Some(2), None));
        table.bind(1, Protocol::Udp, address(5));
        assert_eq!((table.at(Protocol::Udp, address(5)), table.at(Protocol::Tcp, address(5))), (Some(1), None));
        table.bind_if_free(2, Protocol::Udp, address(5));
        assert_eq!(table.at(Protocol::Udp, address(5)), Some(1), "whoever proved it stays");
        table.bind(2, Protocol::Udp, address(5));
        assert_eq!(table.at(Protocol::Udp, address(5)), Some(2), "whoever proved it last");
        table.remove(1);
        assert_eq!(table.at(Protocol::Udp, address(5)), Some(2));
        table.remove(2);
        assert_eq!((table.named("two"), table.at(Protocol::Udp, address(5))), (None, None));
    }

    #[test]
    fn only_requests_are_addressed_by_name() {
        let kinds: [&[u8]; 6] = [&[0, 1], &[1, 1], &[1, 0x11], &[0, 0x11], &[0], &[0x80, 0x60]];
        assert_eq!(kinds.map(is_request), [true, false, false, false, false, false]);
    }

    #[test]
    fn wandering_peer_takes_no_more_room() {
        let mut table = Table::new();
        table.insert(1, "one");
        for port in 1..1000 {
            table.bind(1, Protocol::Udp, address(port));
        }
        assert_eq!(table.addresses.len(), MOST_ADDRESSES);
        assert_eq!((table.at(Protocol::Udp, address(1)), table.at(Protocol::Udp, address(999))), (None, Some(1)));
    }
}
