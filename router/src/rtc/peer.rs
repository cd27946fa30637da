//! One peer: its `Rtc`, what it is here for, and its deadline.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crosspoint_ffi::{Codec, Packet};
use str0m::net::{Protocol, Receive};
use str0m::{Event, Input, Output, Rtc, RtcConfig};

use super::answer::{in_one_stream, is_empty, with_candidates_read};
use super::meter::Meter;
use super::offer::parse_candidates;
use super::path::Path;
use super::publisher::Publisher;
use super::viewer::Viewer;
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
    /// Whether a viewer needs a key frame because of what it was not sent.
    key_wanted: bool,
    /// Whether str0m has to be told the time before it gives the next packet.
    is_gated: bool,
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

/// What goes to a peer over UDP, or in a frame over TCP.
#[derive(Debug)]
pub struct Datagram {
    /// How.
    pub protocol: Protocol,
    /// Where to. For TCP it is the address that the peer connected from.
    pub destination: SocketAddr,
    /// The bytes.
    pub bytes: Vec<u8>,
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
        let config = Viewer::config(&offer, bitrates);
        Self::negotiate(offer, config, Side::Viewer(Box::new(Viewer::new(bitrates, clock))), identity, doors, now)
    }

    fn negotiate(
        offer: Offer,
        config: RtcConfig,
        side: Side,
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
        let answer = with_candidates_read(&in_one_stream(&answer));
        let (doors, meter) = (doors.clone(), Meter::default());
        let mut peer = Self {
            rtc,
            side,
            doors,
            path: Path::default(),
            connected: false,
            heard: now,
            advanced: now,
            key_wanted: false,
            is_gated: false,
            meter,
            over: Over::NotYet,
        };
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
            Side::Viewer(viewer) => self.key_wanted |= viewer.handle_timeout(&mut self.rtc, now),
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
        let written = self.connected && viewer.write(&mut self.rtc, unit, at, now);
        if written {
            self.advance(now);
        }
        written
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
        if !self.connected || self.rtc.close().is_err() {
            return self.end();
        }
        self.advance(now);
    }

    /// What there is to say.
    pub fn poll(&mut self, now: Instant) -> PeerOutput {
        if let Side::Publisher(publisher) = &mut self.side
            && let Some(packet) = publisher.poll()
        {
            return PeerOutput::Packet(packet);
        }
        if std::mem::take(&mut self.key_wanted) {
            return PeerOutput::KeyWanted;
        }
        if let Some(report) = self.meter.poll(now) {
            return PeerOutput::Report(report);
        }
        // After each packet str0m's pacer wants to be told the time: a microsecond later than before. It would say so itself, but asks all
        // of its layers first.
        let mut told = std::mem::take(&mut self.is_gated);
        if told {
            self.advance((self.advanced + PACKET_LATER).max(now));
        }
        while self.over == Over::NotYet {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    self.is_gated = self.is_paced();
                    let bytes: Vec<u8> = transmit.contents.into();
                    let (protocol, destination) = self.path.of((transmit.proto, transmit.destination), &bytes);
                    return PeerOutput::Transmit(Datagram { protocol, destination, bytes });
                }
                Ok(Output::Event(event)) => {
                    if let Some(output) = self.handle_event(event, now) {
                        return output;
                    }
                }
                Ok(Output::Timeout(at)) if self.rtc.is_alive() && at < now + SOONEST_LOOK && !told && !self.may_wait(now) => {
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

    fn handle_event(&mut self, event: Event, now: Instant) -> Option<PeerOutput> {
        self.meter.handle_event(&event);
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
            (Event::MediaAdded(media), Side::Viewer(viewer)) => {
                viewer.handle_media(&mut self.rtc, &media);
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
            (Event::KeyframeRequest(_), Side::Viewer(_)) => Some(PeerOutput::KeyWanted),
            (Event::EgressBitrateEstimate(estimate), Side::Viewer(viewer)) => viewer.handle_estimate(&estimate, now).map(PeerOutput::Able),
            (Event::MediaEgressStats(stats), Side::Viewer(viewer)) => viewer.handle_loss(&stats, now).map(PeerOutput::Able),
            (Event::PeerStats(stats), Side::Viewer(viewer)) => viewer.handle_stats(&mut self.rtc, &stats, now).map(PeerOutput::Able),
            _ => None,
        }
    }

    fn deadline(&self, rtc: Instant, now: Instant) -> Instant {
        let side = match &self.side {
            Side::Publisher(publisher) => publisher.deadline(),
            Side::Viewer(viewer) => viewer.deadline(),
        };
        // Told the time str0m may say the same again: it is not to be asked for ever.
        let rtc = rtc.max(if self.is_quiet(now) { self.advanced + IDLE_LOOK } else { now + SOONEST_LOOK });
        [Some(rtc), side, Some(self.heard + PATIENCE)].into_iter().flatten().min().unwrap_or(rtc)
    }

    /// Whether nothing about it is urgent.
    fn is_quiet(&self, now: Instant) -> bool {
        match &self.side {
            Side::Publisher(_) => false,
            Side::Viewer(viewer) => self.connected && viewer.is_quiet(now),
        }
    }

    /// Whether what it is sent goes past str0m's pacer.
    fn is_paced(&self) -> bool {
        match &self.side {
            Side::Publisher(_) => false,
            Side::Viewer(viewer) => self.connected && viewer.is_estimated(),
        }
    }

    /// Whether nothing is urgent by what was sent, nor by what was heard just now: a packet to be sent again.
    fn may_wait(&self, now: Instant) -> bool {
        self.is_quiet(now) && self.heard != now
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

/// How often the timers of a viewer are looked at that is sent next to nothing. Estimating and pacing want to be at it 25 times a second.
const IDLE_LOOK: Duration = Duration::from_millis(500);
/// What `str0m`'s pacer takes for the distance of two packets.
const PACKET_LATER: Duration = Duration::from_micros(1);
/// How soon the timers of a viewer are looked at again.
const SOONEST_LOOK: Duration = Duration::from_millis(1);
/// How long a peer may take to connect, and how long it may be silent: a browser says something at least every few seconds.
const PATIENCE: Duration = Duration::from_secs(30);
