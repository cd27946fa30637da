//! The listeners: they accept, tell protocols apart by their first byte, and hand on.

mod addresses;
mod ice_tcp;
mod sniff;
mod tcp;
mod tls;
mod udp;

pub(crate) use addresses::local as local_addresses;
pub(crate) use tcp::{Entrance, Place, Rooms, accept, listen};
pub(crate) use tls::{Tls, connector};
pub(crate) use udp::Udp;
