//! How a peer's way does: round trips, and what is lost on it.

use std::time::{Duration, Instant};

use str0m::Event;
use str0m::media::Mid;
use str0m::stats::{MediaIngressStats, PeerStats};

/// What was measured of a peer's way since the report before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// The last round trip, if there was one.
    pub round_trip: Option<Duration>,
    /// Packets of media that were sent to a viewer, or came from a publisher.
    pub packets: u64,
    /// Those of them, or beside those that came, that were lost on the way; they may have been sent again. It is a share, of all that a peer
    /// numbers (transport-wide feedback) or else of what receivers report of a track, times the packets.
    pub lost: u64,
}

/// Sums up what is measured, for a report now and then.
#[derive(Debug, Default)]
pub(super) struct Meter {
    round_trip: Option<Duration>,
    packets: u64,
    /// With the rest that the report before left.
    lost: f64,
    /// The packets of each track at last.
    tracks: Vec<(Mid, u64)>,
    /// What was lost lately of all that was sent, or missing between all that came.
    share: Option<f32>,
    reported: Option<Instant>,
}

impl Meter {
    /// Takes what is measured of a publisher: of the peer, then of its tracks.
    pub(super) fn handle_event(&mut self, event: &Event) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "str0m's events are more than what it measures")]
        match event {
            Event::MediaIngressStats(stats) => self.handle_ingress(stats),
            Event::PeerStats(stats) => self.handle_peer(stats),
            _ => {}
        }
    }

    /// Takes how long something took there and back.
    pub(super) fn handle_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// Takes which part is lost lately of what is sent.
    pub(super) fn handle_share(&mut self, lost: f32) {
        self.share = Some(lost);
    }

    /// Takes that so many packets were sent.
    pub(super) fn handle_sent(&mut self, packets: usize) {
        self.packets += packets as u64;
        self.lost += packets as f64 * share(self.share);
    }

    fn handle_peer(&mut self, stats: &PeerStats) {
        let pair = stats.selected_candidate_pair.as_ref();
        self.round_trip = pair.and_then(|pair| pair.current_round_trip_time).or(stats.rtt).or(self.round_trip);
        self.share = stats.ingress_loss_fraction;
    }

    fn handle_ingress(&mut self, stats: &MediaIngressStats) {
        let came = self.more(stats.mid, stats.packets);
        // They are the rest.
        let share = share(self.share.or(stats.loss));
        self.lost += came as f64 * share / (1.0 - share);
    }

    /// A report, if there is something to say and it is time to.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Report> {
        let is_due = self.reported.is_none_or(|at| now.saturating_duration_since(at) >= EVERY);
        if !is_due || self.round_trip.is_none() && self.packets == 0 {
            return None;
        }
        self.reported = Some(now);
        let lost = self.lost.floor();
        self.lost -= lost;
        Some(Report { round_trip: self.round_trip.take(), packets: std::mem::take(&mut self.packets), lost: lost as u64 })
    }

    /// How many packets more a track has, which it takes note of.
    fn more(&mut self, mid: Mid, packets: u64) -> u64 {
        let at = self.tracks.iter().position(|(track, _)| *track == mid).unwrap_or_else(|| {
            self.tracks.push((mid, 0));
            self.tracks.len() - 1
        });
        let more = packets.saturating_sub(self.tracks[at].1);
        self.tracks[at].1 = packets;
        self.packets += more;
        more
    }
}

/// All but everything at most: the rest is known.
fn share(lost: Option<f32>) -> f64 {
    f64::from(lost.unwrap_or(0.0)).clamp(0.0, 0.99)
}

/// How far reports are apart: what a viewer's rate is estimated by is measured ten times as often.
const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use str0m::media::MediaKind::{Audio, Video};

    use super::super::simulation::{Link, World};
    use super::super::tests::{ms, publish_for, show_for};
    use super::super::{PeerOutput, Role};
    use super::*;

    /// What is reported of 10 s of media over `link`.
    fn reports(role: Role, link: Link) -> Vec<Report> {
        let mut world = World::new(&[Audio, Video], role, link);
        world.connect();
        match role {
            Role::Publisher => publish_for(&mut world, 300),
            Role::Viewer => show_for(&mut world, 300, 0),
        }
        let report = |output: &PeerOutput| if let PeerOutput::Report(report) = output { Some(*report) } else { None };
        world.said.iter().filter_map(report).collect()
    }

    #[test]
    fn round_trips_and_losses_of_either_direction_are_told_once_a_second() {
        for role in [Role::Publisher, Role::Viewer] {
            for (lost, shares) in [(0, 0.0..0.001), (80, 0.04..0.13)] {
                let reports = reports(role, Link { delay: ms(20), lost, ..Link::GOOD });
                assert!((7..=12).contains(&reports.len()), "{role:?}: {} reports", reports.len());
                let trips: Vec<_> = reports.iter().filter_map(|report| report.round_trip).collect();
                assert!(!trips.is_empty() && trips.iter().all(|trip| (ms(39)..ms(80)).contains(trip)), "{role:?}: {trips:?}");
                let packets: u64 = reports.iter().map(|report| report.packets).sum();
                let gone: u64 = reports.iter().map(|report| report.lost).sum();
                let share = gone as f64 / packets as f64;
                assert!(packets > 500 && shares.contains(&share), "{role:?}: {gone} of {packets} with {lost} of 1000 lost");
            }
        }
    }
}
