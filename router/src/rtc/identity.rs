//! What all peers of a process share: the certificate they are known by, and where they can be reached.

use std::fmt;
use std::net::SocketAddr;

use str0m::Candidate;
use str0m::config::DtlsCert;
use str0m::crypto::from_feature_flags;
use str0m::net::TcpType;

/// The certificate that our end of every DTLS handshake shows. Its fingerprint stands in the answers.
#[derive(Clone)]
pub struct Identity(pub(super) DtlsCert);

impl Identity {
    /// Makes a new one, from the system's random source. Nothing when that has nothing to give.
    ///
    /// Making one takes longer than all else in setting a peer up, and a process needs no second.
    #[must_use]
    pub fn generate() -> Option<Self> {
        from_feature_flags().dtls_provider.generate_certificate().map(Self)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// The addresses that a peer may reach us at, as its answer tells it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Doors {
    /// Those of the UDP socket.
    pub udp: Vec<SocketAddr>,
    /// Those of the TCP listener, where peers connect to (ICE-TCP passive, RFC 6544).
    pub tcp: Vec<SocketAddr>,
}

impl Doors {
    /// The host candidates, each address once.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let udp = self.udp.iter().filter_map(|&address| Candidate::builder().udp().host(address).build().ok());
        let passive = |&address: &SocketAddr| Candidate::builder().tcp().host(address).tcptype(TcpType::Passive).build().ok();
        udp.chain(self.tcp.iter().filter_map(passive))
    }
}
