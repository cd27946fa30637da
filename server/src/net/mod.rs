//! The listeners: they accept, tell protocols apart by their first byte, and hand on.

mod addresses;
mod ice_tcp;
mod sniff;
mod tcp;
mod tls;
mod udp;
mod waiting;

pub(crate) use addresses::local as local_addresses;
pub(crate) use tcp::{Entrance, Rooms, accept, listen};
pub(crate) use tls::{Secure, Tls, connector};
pub(crate) use udp::Udp;
pub(crate) use waiting::{Place, Waiting};
