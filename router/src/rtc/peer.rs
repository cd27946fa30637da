//! One peer: its `Rtc`, what it is here for, and its deadline.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crosspoint_ffi::{Codec, Packet};
use str0m::net::{Protocol, Receive};
use str0m::{Event, Input, Output, Rtc, RtcConfig};

use super::answer::{in_one_stream, is_empty, with_candidates_read};
use super::egress::Burst;
use super::keys;
use super::meter::Meter;
use super::offer::parse_candidates;
use super::path::Path;
use super::publisher::Publisher;
use super::viewer::{Viewer, ViewerOutput};
use super::{BadOffer, Clock, Doors, Identity, Offer, Report};
use crate::broadcast::{Bitrates, Unit};

/// What a peer is here for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It sends to us.
    Publisher,
    /// It receives from us.
    Viewer,
}

/// One remote peer, from its offer to its end.
///
/// After each `handle_*`, and after [`Peer::write`] and [`Peer::want_key`], poll until it is told to wait.
#[derive(Debug)]
pub struct Peer {
    rtc: Rtc,
    side: Side,
    doors: Doors,
    path: Path,
    connected: bool,
    /// When it was heard from last; when it was made, before it connected.
    heard: Instant,
    /// When its timers were last looked at.
    advanced: Instant,
    meter: Meter,
    over: Over,
}

#[derive(Debug)]
enum Side {
    Publisher(Box<Publisher>),
    Viewer(Box<Viewer>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Over {
    NotYet,
    Near,
    Told,
}

/// A peer and what it is answered with.
#[derive(Debug)]
pub struct Negotiated {
    /// The peer.
    pub peer: Peer,
    /// Our half of the user name of its STUN requests.
    pub name: String,
    /// The answer (SDP).
    pub answer: String,
}

/// What a peer has to say.
#[derive(Debug)]
pub enum PeerOutput {
    /// The viewer can take so many bits of pictures a second.
    Able(u32),
    /// Media can flow.
    Connected,
    /// It is over: nothing more comes, and nothing is taken.
    Gone,
    /// The viewer cannot go on without a key frame.
    KeyWanted,
    /// Pictures of the publisher were lost behind what it sent so far.
    Lost,
    /// The publisher's next access unit.
    Packet(Packet),
    /// How its way does.
    Report(Report),
    /// To send.
    Transmit(Datagram),
    /// Nothing before then, unless something is handled.
    Wait(Instant),
}

/// What goes to a peer over UDP, or in frames over TCP: one datagram, or several of one size, of which the last may be shorter.
#[derive(Debug)]
pub struct Datagram {
    /// How.
    pub protocol: Protocol,
    /// Where to. For TCP it is the address that the peer connected from.
    pub destination: SocketAddr,
    /// The bytes, one datagram behind the other.
    pub bytes: Vec<u8>,
    /// How long each of them is but the last; never 0.
    pub segment_bytes: usize,
}

impl Datagram {
    /// A single one.
    pub(super) fn one(protocol: Protocol, destination: SocketAddr, bytes: Vec<u8>) -> Self {
        let segment_bytes = bytes.len().max(1);
        Self { protocol, destination, bytes, segment_bytes }
    }

    /// Each of them.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(self.segment_bytes)
    }
}

impl Peer {
    /// Answers an offer that publishes.
    ///
    /// # Errors
    /// When the offer sends nothing that we take, or is none that can be answered.
    pub fn publisher(offer: Offer, identity: &Identity, doors: &Doors, now: Instant) -> Result<Negotiated, BadOffer> {
        if !offer.sends_video() && !offer.sends_audio() {
            return Err(BadOffer("the offer sends neither video nor audio".to_owned()));
        }
        Self::negotiate(offer, Publisher::config(), Side::Publisher(Box::new(Publisher::new(now))), identity, doors, now)
    }

    /// Answers an offer that views, of somebody for whom pictures have these `bitrates`, and who may want to know when they were captured,
    /// by `clock`.
    ///
    /// # Errors
    /// When the offer receives nothing that we send, or is none that can be answered.
    pub fn viewer(
        offer: Offer,
        bitrates: Bitrates,
        clock: Clock,
        identity: &Identity,
        doors: &Doors,
        now: Instant,
    ) -> Result<Negotiated, BadOffer> {
        if !offer.receives_video() && !offer.receives_audio() {
            return Err(BadOffer("the offer receives neither video nor audio".to_owned()));
        }
        let (config, viewer) = (Viewer::config(&offer), Viewer::new(&offer, bitrates, clock));
        Self::negotiate(offer, config, Side::Viewer(Box::new(viewer)), identity, doors, now)
    }

    fn negotiate(
        offer: Offer,
        config: RtcConfig,
        mut side: Side,
        identity: &Identity,
        doors: &Doors,
        now: Instant,
    ) -> Result<Negotiated, BadOffer> {
        let mut rtc = config.set_dtls_cert(identity.0.clone()).build(now);
        for candidate in doors.candidates() {
            rtc.add_local_candidate(candidate);
        }
        let refused = |_| BadOffer("the offer cannot be answered: it needs ice credentials, a fingerprint and bundled media".to_owned());
        let answer = rtc.sdp_api().accept_offer(offer.sdp).map_err(refused)?;
        let name = rtc.direct_api().local_ice_credentials().ufrag;
        let answer = answer.to_sdp_string();
        if is_empty(&answer) {
            let codecs = match side {
                Side::Publisher(_) => "vp8, vp9, h264 or av1, and opus",
                Side::Viewer(_) => "h264 (packetization-mode 1), vp8 and opus",
            };
            return Err(BadOffer(format!("the offer has no codec that is spoken here: {codecs}")));
        }
        if let Side::Viewer(viewer) = &mut side {
            viewer.handle_answer(&mut rtc, &answer);
        }
        let answer = with_candidates_read(&in_one_stream(&answer));
        let (doors, meter) = (doors.clone(), Meter::default());
        let mut peer =
            Self { rtc, side, doors, path: Path::default(), connected: false, heard: now, advanced: now, meter, over: Over::NotYet };
        peer.advance(now);
        Ok(Negotiated { peer, name, answer })
    }

    /// What it is here for.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.side {
            Side::Publisher(_) => Role::Publisher,
            Side::Viewer(_) => Role::Viewer,
        }
    }

    /// Whether media can flow.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// What a viewer is to be sent pictures in: H.264, or VP8 if it does not take that. Nothing before it is connected, and when it takes
    /// no pictures.
    #[must_use]
    pub fn pictures(&self) -> Option<Codec> {
        match &self.side {
            Side::Publisher(_) => None,
            Side::Viewer(viewer) => viewer.pictures(),
        }
    }

    /// Whether a datagram that is addressed to it is from who knows its password; for all that is no STUN request, whether it comes from
    /// where the peer is.
    #[must_use]
    pub fn accepts(&self, protocol: Protocol, source: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        receive(&self.doors, protocol, source, datagram).is_some_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// Takes a datagram that is its own.
    pub fn handle_datagram(&mut self, protocol: Protocol, source: SocketAddr, datagram: &[u8], now: Instant) {
        // What cannot be parsed is none of the peer's.
        let Some(received) = receive(&self.doors, protocol, source, datagram) else { return };
        if self.connected {
            self.heard = now;
            let (rtc, doors) = (&self.rtc, &self.doors);
            let is_own = || receive(doors, protocol, source, datagram).is_some_and(|own| rtc.accepts(&Input::Receive(now, own)));
            self.path.handle_datagram((protocol, source), datagram, is_own, now);
        }
        if let Side::Viewer(viewer) = &mut self.side
            && is_media(datagram)
        {
            return viewer.handle_control(datagram, &mut self.meter, now);
        }
        if self.rtc.handle_input(Input::Receive(now, received)).is_err() {
            self.end();
        }
    }

    /// Takes the candidates of a trickled fragment (RFC 8840).
    pub fn handle_candidates(&mut self, fragment: &str, now: Instant) {
        for candidate in parse_candidates(fragment) {
            self.rtc.add_remote_candidate(candidate);
        }
        self.advance(now);
    }

    /// Goes on to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.heard + PATIENCE {
            self.end();
        }
        match &mut self.side {
            Side::Publisher(publisher) => publisher.handle_timeout(&mut self.rtc, now),
            Side::Viewer(viewer) => viewer.handle_timeout(now),
        }
        self.advance(now);
    }

    /// Sends a unit to a viewer; `at` is the moment that its time stands for. Pictures and sound must have the same timeline. Says whether
    /// it was taken: a peer that is not connected, or has no such track, gets nothing. Of pictures, one that cannot take them all loses
    /// some, and asks for a key frame to go on at.
    ///
    /// Copies: 1 (encryption).
    pub fn write(&mut self, unit: &Unit, at: Instant, now: Instant) -> bool {
        let Side::Viewer(viewer) = &mut self.side else { return false };
        self.connected && viewer.write(unit, at, &mut self.meter, now)
    }

    /// Asks a publisher for a key frame, until one comes.
    pub fn want_key(&mut self, now: Instant) {
        if let Side::Publisher(publisher) = &mut self.side {
            publisher.want_key();
            publisher.handle_timeout(&mut self.rtc, now);
            self.advance(now);
        }
    }

    /// Says goodbye. It is gone once that is polled.
    pub fn close(&mut self, now: Instant) {
        if let Side::Viewer(viewer) = &mut self.side {
            viewer.close();
        }
        if !self.connected || self.rtc.close().is_err() {
            return self.end();
        }
        self.advance(now);
    }

    /// What there is to say.
    pub fn poll(&mut self, now: Instant) -> PeerOutput {
        match &mut self.side {
            Side::Publisher(publisher) => {
                if let Some(packet) = publisher.poll() {
                    return PeerOutput::Packet(packet);
                }
            }
            Side::Viewer(viewer) => match viewer.poll() {
                Some(ViewerOutput::Able(bits)) => return PeerOutput::Able(bits),
                Some(ViewerOutput::KeyWanted) => return PeerOutput::KeyWanted,
                Some(ViewerOutput::Send(Burst { bytes, segment_bytes, .. })) => {
                    // Its handshake went somewhere.
                    let Some((protocol, destination)) = self.path.of_media() else { return PeerOutput::Wait(now + SOONEST_LOOK) };
                    return PeerOutput::Transmit(Datagram { protocol, destination, bytes, segment_bytes });
                }
                None => {}
            },
        }
        if let Some(report) = self.meter.poll(now) {
            return PeerOutput::Report(report);
        }
        let mut told = false;
        while self.over == Over::NotYet {
            let output = self.rtc.poll_output();
            self.take_keys();
            match output {
                Ok(Output::Transmit(transmit)) => {
                    let bytes: Vec<u8> = transmit.contents.into();
                    let (protocol, destination) = self.path.of((transmit.proto, transmit.destination), &bytes);
                    return PeerOutput::Transmit(Datagram::one(protocol, destination, bytes));
                }
                Ok(Output::Event(event)) => {
                    if let Some(output) = self.handle_event(event, now) {
                        return output;
                    }
                }
                Ok(Output::Timeout(at)) if self.rtc.is_alive() && at < now + SOONEST_LOOK && !told && !self.is_quiet() => {
                    told = true;
                    self.advance(at.max(now));
                }
                Ok(Output::Timeout(at)) if self.rtc.is_alive() => return PeerOutput::Wait(self.deadline(at, now)),
                Ok(Output::Timeout(_)) | Err(_) => self.end(),
            }
        }
        if self.over == Over::Near {
            self.over = Over::Told;
            return PeerOutput::Gone;
        }
        PeerOutput::Wait(now + PATIENCE)
    }

    /// Takes the keys that a viewer's handshake has just come to, if it has.
    fn take_keys(&mut self) {
        if let Side::Viewer(viewer) = &mut self.side
            && !self.connected
            && let Some(keys) = keys::take()
            && !viewer.handle_keys(&keys)
        {
            self.end();
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) -> Option<PeerOutput> {
        match (event, &mut self.side) {
            (Event::Connected, side) => {
                self.connected = true;
                self.heard = now;
                if let Side::Publisher(publisher) = side {
                    publisher.want_key();
                    publisher.handle_timeout(&mut self.rtc, now);
                    self.advance(now);
                }
                Some(PeerOutput::Connected)
            }
            (Event::MediaAdded(media), Side::Publisher(publisher)) => {
                publisher.handle_media(&media);
                // It may be connected already (str0m says both in either order).
                if self.connected {
                    publisher.want_key();
                    publisher.handle_timeout(&mut self.rtc, now);
                    self.advance(now);
                }
                None
            }
            (Event::MediaData(data), Side::Publisher(publisher)) => {
                let lost = publisher.handle_data(&data, now);
                if lost {
                    publisher.handle_timeout(&mut self.rtc, now);
                    self.advance(now);
                    return Some(PeerOutput::Lost);
                }
                publisher.poll().map(PeerOutput::Packet)
            }
            (Event::PeerStats(stats), Side::Viewer(_)) => {
                if let Some(pair) = stats.selected_candidate_pair {
                    self.path.choose((pair.protocol, pair.remote.addr));
                    pair.current_round_trip_time.into_iter().for_each(|round_trip| self.meter.handle_round_trip(round_trip));
                }
                None
            }
            (event, Side::Publisher(_)) => {
                self.meter.handle_event(&event);
                None
            }
            _ => None,
        }
    }

    fn deadline(&self, rtc: Instant, now: Instant) -> Instant {
        let side = match &self.side {
            Side::Publisher(publisher) => publisher.deadline(),
            Side::Viewer(viewer) => viewer.deadline(),
        };
        // Told the time str0m may say the same again: it is not to be asked for ever.
        let rtc = rtc.max(if self.is_quiet() { self.advanced + IDLE_LOOK } else { now + SOONEST_LOOK });
        [Some(rtc), side, Some(self.heard + PATIENCE)].into_iter().flatten().min().unwrap_or(rtc)
    }

    /// Whether nothing that `str0m` does by itself is urgent: it has the connection of a viewer to look after, and nothing else.
    fn is_quiet(&self) -> bool {
        self.connected && self.role() == Role::Viewer
    }

    fn advance(&mut self, now: Instant) {
        self.advanced = now;
        if self.rtc.handle_input(Input::Timeout(now)).is_err() {
            self.end();
        }
    }

    fn end(&mut self) {
        if self.over == Over::NotYet {
            self.over = Over::Near;
            self.rtc.disconnect();
        }
    }
}

/// A datagram as `str0m` takes it. One socket answers at all of our addresses: which of them it came to is not looked at, any one that
/// was offered stands for all.
fn receive<'a>(doors: &Doors, protocol: Protocol, source: SocketAddr, datagram: &'a [u8]) -> Option<Receive<'a>> {
    let places = if protocol == Protocol::Udp { &doors.udp } else { &doors.tcp };
    let same_family = places.iter().find(|door| door.is_ipv4() == source.is_ipv4());
    let destination = *same_family.or_else(|| places.first())?;
    Receive::new(protocol, source, destination, datagram).ok()
}

/// Whether a datagram is RTP or RTCP, sealed (RFC 7983).
fn is_media(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (128..192).contains(first))
}

/// How often `str0m`'s timers of a viewer are looked at.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// How soon they are otherwise.
const SOONEST_LOOK: Duration = Duration::from_millis(1);
/// How long a peer may take to connect, and how long it may be silent: a browser says something at least every few seconds.
const PATIENCE: Duration = Duration::from_secs(30);
