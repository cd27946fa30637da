//! Where an answer says that we can be reached.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crosspoint_router::rtc::Doors;
use hyper::http::uri::Authority;

use crate::config::Advertised;
use crate::net::local_addresses;

/// What we listen on, and what else leads there.
pub(super) struct Front {
    pub(super) listen: SocketAddr,
    /// Nothing without UDP.
    pub(super) udp_port: Option<u16>,
    pub(super) advertise: Vec<Advertised>,
    /// Where a STUN server sees the UDP socket.
    pub(super) seen: Cell<Option<SocketAddr>>,
}

impl Front {
    /// The addresses for a peer that reached us by `host`: our own, what `--advertise` names, where a STUN server sees us, and that host where
    /// it is an address. So a
    /// peer on the other side of a port mapping gets the address that it knows to lead here. Browsers take no candidate with a port below
    /// 1024 (but 80 and 443 of public addresses), so a mapping of such a port is taken to have one of ours beside it.
    pub(super) fn doors(&self, host: &str) -> Doors {
        let own = match self.listen.ip() {
            ip if ip.is_unspecified() => local_addresses(ip.is_ipv6()),
            ip => vec![ip],
        };
        let named = self.named(host);
        let at = |port: u16| {
            let own = own.iter().map(move |&ip| SocketAddr::new(ip, port));
            let advertised = self.advertise.iter().map(move |advertised| advertised.at(port));
            let beside = named.filter(|named| named.port() < FIRST_UNPRIVILEGED).map(|named| SocketAddr::new(named.ip(), port));
            let mut all = Vec::new();
            for address in named.into_iter().chain(beside).chain(advertised).chain(own) {
                if !all.contains(&address) {
                    all.push(address);
                }
            }
            all
        };
        let mut udp = self.udp_port.map(at).unwrap_or_default();
        udp.extend(self.seen.get().filter(|seen| !udp.contains(seen)));
        Doors { udp, tcp: at(self.listen.port()) }
    }

    /// The address that a `Host` stands for, if it needs no resolving.
    fn named(&self, host: &str) -> Option<SocketAddr> {
        let authority: Authority = host.parse().ok()?;
        let name = authority.host();
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let ip = match literal.parse() {
            Ok(ip) => ip,
            Err(_) if name == "localhost" && self.listen.is_ipv6() && !self.listen.ip().is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            Err(_) if name == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Err(_) => return None,
        };
        Some(SocketAddr::new(ip, authority.port_u16().unwrap_or(80)))
    }
}

/// The first port that browsers send media to, whatever the address.
const FIRST_UNPRIVILEGED: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_are_the_callers_the_flags_and_our_own() {
        let front = Front {
            listen: "127.0.0.1:10001".parse().unwrap(),
            udp_port: Some(10002),
            advertise: vec!["192.0.2.1".parse().unwrap(), "192.0.2.2:444".parse().unwrap()],
            seen: Cell::default(),
        };
        let texts = |addresses: Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        let doors = front.doors("localhost:444");
        assert_eq!(texts(doors.udp), ["127.0.0.1:444", "127.0.0.1:10002", "192.0.2.1:10002", "192.0.2.2:444"]);
        assert_eq!(texts(doors.tcp), ["127.0.0.1:444", "127.0.0.1:10001", "192.0.2.1:10001", "192.0.2.2:444"]);
        assert_eq!(texts(front.doors("[2001:db8::1]:9").tcp)[..2], ["[2001:db8::1]:9", "[2001:db8::1]:10001"]);
        assert_eq!(texts(front.doors("203.0.113.7:4444").tcp)[..2], ["203.0.113.7:4444", "192.0.2.1:10001"], "a port that browsers take");
        assert_eq!(texts(front.doors("app.example").tcp).len(), 3, "a name is not looked up");
        front.seen.set(Some("198.51.100.7:4000".parse().unwrap()));
        let seen = front.doors("app.example");
        assert_eq!(texts(seen.udp), ["192.0.2.1:10002", "192.0.2.2:444", "127.0.0.1:10002", "198.51.100.7:4000"]);
        assert_eq!(texts(seen.tcp).len(), 3, "it is the UDP socket's");
        let front = Front { udp_port: None, seen: Cell::default(), ..front };
        assert!(front.doors("127.0.0.1:10001").udp.is_empty());
    }
}
