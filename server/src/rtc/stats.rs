//! What is known of all peers together.

use std::cell::Cell;

use crosspoint_router::rtc::{Report, Role};
use tokio::sync::mpsc;

use super::Rtc;
use crate::histogram::{Histogram, HistogramStats};

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Counters {
    publishers: Ways,
    viewers: Ways,
    /// What peers said that their sessions were too slow for.
    pub(super) unheard: Cell<u64>,
    /// Datagrams that connections were too slow for.
    pub(super) unsent: Cell<u64>,
}

/// The ways of all peers of a role.
#[derive(Debug, Default)]
struct Ways {
    round_trips: Histogram,
    packets: Cell<u64>,
    lost: Cell<u64>,
}

/// All peers at one moment, and what was counted since start-up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RtcStats {
    /// Those that publish.
    pub(crate) publishers: RoleStats,
    /// Those that view.
    pub(crate) viewers: RoleStats,
    /// What publishers said that waits for their sessions, and what was dropped because these were too slow.
    pub(crate) sessions: (usize, u64),
    /// Datagrams that wait for connections to take them, and those that these did not.
    pub(crate) connections: (usize, u64),
    /// Datagrams that the UDP socket did not take.
    pub(crate) udp_dropped: u64,
}

/// The peers of a role.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoleStats {
    pub(crate) connecting: usize,
    pub(crate) connected: usize,
    /// A round trip of each peer, once a second.
    pub(crate) round_trips: HistogramStats,
    /// Packets of media on the way, and those of them that did not arrive.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
}

impl Counters {
    /// Takes note of how a peer's way does.
    pub(super) fn note(&self, role: Role, report: &Report) {
        let ways = match role {
            Role::Publisher => &self.publishers,
            Role::Viewer => &self.viewers,
        };
        if let Some(round_trip) = report.round_trip {
            ways.round_trips.note(round_trip);
        }
        ways.packets.set(ways.packets.get() + report.packets);
        ways.lost.set(ways.lost.get() + report.lost);
    }
}

impl Rtc {
    /// What is known of all peers.
    pub(crate) fn stats(&self) -> RtcStats {
        let (counters, peers) = (&self.0.counters, self.0.peers.borrow());
        let of = |role, ways: &Ways| {
            let (connecting, connected) = peers.count(role);
            let round_trips = ways.round_trips.stats();
            RoleStats { connecting, connected, round_trips, packets: ways.packets.get(), lost: ways.lost.get() }
        };
        let unheard = self.0.sessions.borrow().values().map(|session| waiting(&session.said)).sum();
        let unsent = self.0.connections.borrow().values().map(|connection| waiting(&connection.frames)).sum();
        RtcStats {
            publishers: of(Role::Publisher, &counters.publishers),
            viewers: of(Role::Viewer, &counters.viewers),
            sessions: (unheard, counters.unheard.get()),
            connections: (unsent, counters.unsent.get()),
            udp_dropped: self.0.udp.as_ref().map_or(0, |udp| udp.dropped()),
        }
    }
}

fn waiting<T>(queue: &mpsc::Sender<T>) -> usize {
    queue.max_capacity() - queue.capacity()
}
