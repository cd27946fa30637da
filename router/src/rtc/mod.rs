//! WebRTC: peers that publish to us or view what we show, as state machines on `str0m`.
//!
//! ```text
//! offer ─▶ Offer ─▶ Peer (publisher | viewer) ─▶ answer
//!
//! datagram ─▶ Peers ─(ufrag, then address)▶ Peer ─▶ datagrams, packets of the publisher, key frames wanted by the viewer
//! deadline ─▶ Peers ─────────────────────▶ Peer
//! unit     ─▶ Peers ─────────────────────▶ Peer
//! ```
//!
//! [`Peers`] owns every [`Peer`] and knows whose datagram it is without asking them. After each mutation the caller drains [`Peers::poll`]
//! until it has nothing more, and comes back at [`Peers::poll_deadline`] at the latest. Sockets are the caller's: UDP datagrams go in and
//! out as they are, those of a TCP connection through [`Deframer`] and [`frame`] (RFC 4571). What is nobody's may answer a [`Discovery`].
//!
//! `str0m` speaks SDP, ICE and DTLS for all of them, and for publishers RTP too. What a viewer is sent is ours, as there may be hundreds of
//! them, each with some hundred packets a second:
//!
//! ```text
//! unit ─▶ Way ─▶ Outbox ─▶ Egress ─▶ bursts of sealed packets (RTP, SRTP)
//!          ▲        ▲ missing
//!          └────────┴── Feedback ◀─ Opener ◀─ datagram (RTCP, SRTCP)
//! ```
//!
//! What is not ours to decide comes from below: `str0m` takes its keys and transaction numbers from the system's random source, as a
//! secure transport must, and reads the wall clock once in a process, to write NTP times (RFC 3550, 6.4.1). All else goes by the `now`
//! that is given, which is what the tests in virtual time show.

mod able;
mod allowance;
mod answer;
mod clock;
mod concealment;
mod discovery;
mod egress;
mod estimate;
mod h264;
mod ice_tcp;
mod identity;
mod keys;
mod loss;
mod meter;
mod offer;
mod offered;
mod outbox;
mod path;
mod peer;
mod peers;
mod placement;
mod publisher;
mod resends;
mod rtcp;
mod srtp;
mod table;
mod track;
mod turn;
mod viewer;
mod vp8;
mod way;

pub use clock::Clock;
pub use discovery::{Discovering, Discovery};
pub use h264::{Payload, packetize};
pub use ice_tcp::{Deframer, FrameTooLong, MOST_FRAME_BYTES, frame};
pub use identity::{Doors, Identity};
pub use meter::Report;
pub use offer::{BadOffer, Offer, ice_names};
pub use peer::{Datagram, Negotiated, Peer, PeerOutput, Role};
pub use peers::{Full, PeerId, Peers, PeersLimits};
pub use str0m::net::Protocol;
pub use turn::{TurnLogin, TurnSecret};
pub use vp8::packetize_vp8;

#[cfg(test)]
mod congestion_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod weather_tests;
