//! A client and our end of it in virtual time, over a link with faults.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use crosspoint_ffi::{Packet, opus};
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, KeyframeRequestKind, MediaData, MediaKind, MediaTime as RtpTime, Mid};
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::Extension;
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::{Clock, Doors, Identity, Offer, Peer, PeerId, PeerOutput, Peers, PeersLimits, Role};
use crate::broadcast::Bitrates;

pub(super) fn epoch() -> Instant {
    static EPOCH: LazyLock<Instant> = LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere; nothing looks at where")]
        Instant::now()
    });
    *EPOCH
}

/// It was the second million when everything began.
pub(super) fn clock() -> Clock {
    Clock { at: epoch(), time_of_day: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) }
}

pub(super) const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 10001);
pub(super) const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 5000);

/// What the way between the two does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) delay: Duration,
    /// Up to this much more, each datagram for itself: they overtake each other.
    pub(super) jitter: Duration,
    /// Of 1000.
    pub(super) lost: u64,
    /// Of 1000.
    pub(super) doubled: u64,
    /// The way that the media go, with room for [`QUEUE`]; nothing is as wide as can be.
    pub(super) bits_per_second: Option<u64>,
}

/// What there is for a viewer.
pub(super) const BITRATE_BPS: u32 = 3_000_000;
pub(super) const BITRATES: Bitrates = Bitrates { least_bps: 300_000, usual_bps: BITRATE_BPS, most_bps: BITRATE_BPS };

/// What waits before a narrow link, at most: the rest is lost.
const QUEUE: Duration = Duration::from_millis(300);

impl Link {
    pub(super) const GOOD: Self =
        Self { delay: Duration::from_millis(5), jitter: Duration::ZERO, lost: 0, doubled: 0, bits_per_second: None };
    pub(super) const DEAD: Self = Self { lost: 1000, ..Self::GOOD };
}

/// Both ends, the link and the time.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) peers: Peers,
    pub(super) id: PeerId,
    pub(super) client: Rtc,
    role: Role,
    pub(super) link: Link,
    /// Where the client's datagrams seem to come from: a NAT's address.
    pub(super) seen_at: SocketAddr,
    pub(super) mids: HashMap<MediaKind, Mid>,
    /// The RTP time at which the client's clock of a kind began; 0 where none is named.
    pub(super) first_ticks: HashMap<MediaKind, u64>,
    /// How often our timers were looked at.
    pub(super) looks: usize,
    client_due: Instant,
    random: u64,
    /// When a narrow link has carried all it was given.
    link_free: Instant,
    /// By arrival: to us or to the client.
    flying: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    pub(super) said: Vec<PeerOutput>,
    /// When we sent the client RTP and RTCP, and how many bytes.
    pub(super) sent: Vec<(Instant, usize)>,
    /// What the viewer could take, and when that was known.
    pub(super) able: Vec<(Duration, u32)>,
    pub(super) client_got: Vec<MediaData>,
    pub(super) client_asked: u32,
    /// What a client that estimates that can send, in bits a second.
    pub(super) client_able: Option<u64>,
    /// Every datagram that reached us, while there is one.
    pub(super) tape: Option<Vec<Vec<u8>>>,
    pub(super) answer: String,
}

/// An offer of `kinds`, and the client that it is of.
pub(super) fn offer(
    kinds: &[MediaKind],
    role: Role,
    now: Instant,
) -> (Rtc, SdpOffer, str0m::change::SdpPendingOffer, HashMap<MediaKind, Mid>) {
    offer_of(Rtc::builder(), kinds, role, now)
}

/// The same of a client of that kind.
fn offer_of(
    client: RtcConfig,
    kinds: &[MediaKind],
    role: Role,
    now: Instant,
) -> (Rtc, SdpOffer, str0m::change::SdpPendingOffer, HashMap<MediaKind, Mid>) {
    let mut client = client.set_extension(13, Extension::AbsoluteCaptureTime).build(now);
    client.add_local_candidate(Candidate::host(CLIENT, "udp").expect("an address"));
    let direction = if role == Role::Publisher { Direction::SendOnly } else { Direction::RecvOnly };
    let mut api = client.sdp_api();
    let mids = kinds.iter().map(|&kind| (kind, api.add_media(kind, direction, None, None, None))).collect();
    let (offer, pending) = api.apply().expect("changes");
    (client, offer, pending, mids)
}

pub(super) fn doors() -> Doors {
    Doors { udp: vec![SERVER], tcp: vec![SERVER] }
}

impl World {
    pub(super) fn new(kinds: &[MediaKind], role: Role, link: Link) -> Self {
        Self::offered(kinds, role, link, |offer| offer)
    }

    /// A world in which we get another offer than the client made.
    pub(super) fn offered(kinds: &[MediaKind], role: Role, link: Link, edit: impl Fn(String) -> String) -> Self {
        Self::begin(Rtc::builder(), kinds, role, link, edit)
    }

    /// One of a publisher that sends as much as it is told gets through.
    pub(super) fn adapting(kinds: &[MediaKind], link: Link) -> Self {
        let client = Rtc::builder().enable_bwe(Some(Bitrate::bps(u64::from(BITRATE_BPS))));
        let mut world = Self::begin(client, kinds, Role::Publisher, link, |offer| offer);
        world.client.bwe().set_bitrate(Bitrate::ZERO, Bitrate::bps(u64::from(BITRATE_BPS)));
        world
    }

    fn begin(client: RtcConfig, kinds: &[MediaKind], role: Role, link: Link, edit: impl Fn(String) -> String) -> Self {
        let now = epoch();
        let (mut client, offer, pending, mids) = offer_of(client, kinds, role, now);
        let identity = Identity::generate().expect("entropy");
        let offer = Offer::parse(&edit(offer.to_sdp_string())).expect("an offer");
        let negotiated = match role {
            Role::Publisher => Peer::publisher(offer, &identity, &doors(), now),
            Role::Viewer => Peer::viewer(offer, BITRATES, clock(), &identity, &doors(), now),
        };
        let mut peers = Peers::new(PeersLimits { peers: 2_000, connecting: 1_000 });
        let (id, answer) = peers.insert(negotiated.expect("can be answered")).expect("room");
        let parsed = SdpAnswer::from_sdp_string(&answer).expect("an answer");
        client.sdp_api().accept_answer(pending, parsed).expect("an answer to the offer");
        Self {
            now,
            start: now,
            peers,
            id,
            client,
            role,
            link,
            seen_at: CLIENT,
            mids,
            first_ticks: HashMap::new(),
            looks: 0,
            client_due: now,
            random: 7,
            link_free: now,
            flying: BTreeMap::new(),
            said: Vec::new(),
            sent: Vec::new(),
            able: Vec::new(),
            client_got: Vec::new(),
            client_asked: 0,
            client_able: None,
            tape: None,
            answer,
        }
    }

    /// Lets `duration` pass.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.drain();
            let arrival = self.flying.first_key_value().map(|(&(at, _), _)| at);
            let due = [arrival, self.peers.poll_deadline(), Some(self.client_due)].into_iter().flatten().min().unwrap_or(end);
            if due > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(due);
            if arrival == Some(due) {
                self.deliver();
            } else if self.client_due == due {
                let _ = self.client.handle_input(Input::Timeout(self.now));
                // A client that says the same again must not stop the clock.
                self.client_due = self.now + Duration::from_millis(1);
            } else {
                self.looks += 1;
                self.peers.handle_timeout(self.now);
            }
        }
    }

    /// Runs until both ends are connected.
    pub(super) fn connect(&mut self) {
        for _ in 0..1000 {
            self.run(Duration::from_millis(10));
            if self.client.is_connected() && self.peers.peer(self.id).is_some_and(Peer::is_connected) {
                return;
            }
        }
        panic!("no connection within 10 s");
    }

    /// The client sends an access unit.
    pub(super) fn publish(&mut self, kind: MediaKind, key: bool, size: usize) {
        self.publish_captured(kind, key, size, self.now);
    }

    /// The client sends an access unit of what it captured a while ago.
    pub(super) fn publish_captured(&mut self, kind: MediaKind, key: bool, size: usize, captured: Instant) {
        let Some(&mid) = self.mids.get(&kind) else { return };
        let since = captured - self.start;
        let Some(writer) = self.client.writer(mid) else { return };
        let wanted = match kind {
            MediaKind::Audio => str0m::format::Codec::Opus,
            MediaKind::Video => str0m::format::Codec::Vp8,
        };
        let params = writer.payload_params().find(|params| params.spec().codec == wanted).expect("negotiated");
        let (payload_type, rate) = (params.pt(), params.spec().clock_rate);
        let mut bytes = vec![0x55; size];
        // When it was captured, for whoever wants to know.
        bytes[1..9].copy_from_slice(&(since.as_nanos() as u64).to_le_bytes());
        // RFC 6386, 9.1: the lowest bit of a frame tells whether it refers to another.
        bytes[0] = u8::from(!key);
        let first = self.first_ticks.get(&kind).copied().unwrap_or_default();
        let time = RtpTime::new(first + (since.as_nanos() * u128::from(rate.get()) / 1_000_000_000) as u64, rate);
        writer.write(payload_type, captured, time, bytes).expect("a track that sends");
        self.client.handle_input(Input::Timeout(self.now)).expect("a client that works");
        self.drain();
    }

    /// The client says what it can take itself (REMB).
    pub(super) fn limit(&mut self, bits_per_second: u64) {
        let mid = self.mids[&MediaKind::Video];
        let mut api = self.client.direct_api();
        api.stream_rx_by_mid(mid, None).expect("a stream that was heard").request_remb(Bitrate::bps(bits_per_second));
        self.client.handle_input(Input::Timeout(self.now)).expect("a client that works");
        self.drain();
    }

    /// The client cannot go on without a key frame.
    pub(super) fn lose_picture(&mut self) {
        let mid = self.mids[&MediaKind::Video];
        let mut writer = self.client.writer(mid).expect("a track");
        writer.request_keyframe(None, KeyframeRequestKind::Pli).expect("negotiated");
        self.client.handle_input(Input::Timeout(self.now)).expect("a client that works");
        self.drain();
    }

    /// When what a client published was captured, after the start; nothing for what only stands for something.
    pub(super) fn captured(packet: &Packet) -> Option<Duration> {
        let data = Some(&packet.data).filter(|data| packet.codec.is_video() || !opus::is_lost(data))?;
        let stamp = data.get(1..9)?;
        Some(Duration::from_nanos(u64::from_le_bytes(stamp.try_into().expect("eight bytes"))))
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.said.iter().filter_map(|output| match output {
            PeerOutput::Packet(packet) => Some(packet),
            PeerOutput::Able(_)
            | PeerOutput::Connected
            | PeerOutput::Gone
            | PeerOutput::KeyWanted
            | PeerOutput::Lost
            | PeerOutput::Report(_)
            | PeerOutput::Transmit(_)
            | PeerOutput::Wait(_) => None,
        })
    }

    pub(super) fn count(&self, like: impl Fn(&PeerOutput) -> bool) -> usize {
        self.said.iter().filter(|output| like(output)).count()
    }

    pub(super) fn drain(&mut self) {
        while let Some((_, output)) = self.peers.poll(self.now) {
            match output {
                PeerOutput::Transmit(datagram) if datagram.protocol == Protocol::Udp => {
                    // What is sent to an address that the NAT has forgotten gets nowhere.
                    if datagram.destination == self.seen_at || datagram.destination == CLIENT && self.seen_at == CLIENT {
                        for bytes in datagram.segments() {
                            // RFC 7983.
                            if bytes[0] >= 128 {
                                self.sent.push((self.now, bytes.len()));
                            }
                            self.send(false, bytes);
                        }
                    }
                }
                PeerOutput::Able(bits) => self.able.push((self.now - self.start, bits)),
                other @ (PeerOutput::Connected
                | PeerOutput::Gone
                | PeerOutput::KeyWanted
                | PeerOutput::Lost
                | PeerOutput::Packet(_)
                | PeerOutput::Report(_)
                | PeerOutput::Transmit(_)
                | PeerOutput::Wait(_)) => self.said.push(other),
            }
        }
        loop {
            // A client that gives up has nothing more to say.
            let Ok(output) = self.client.poll_output() else {
                self.client.disconnect();
                self.client_due = self.now + Duration::from_secs(3600);
                return;
            };
            match output {
                Output::Timeout(at) => {
                    self.client_due = at.max(self.now);
                    return;
                }
                Output::Transmit(transmit) => {
                    if transmit.proto == Protocol::Udp {
                        self.send(true, &transmit.contents);
                    }
                }
                Output::Event(Event::MediaData(data)) => self.client_got.push(data),
                Output::Event(Event::KeyframeRequest(_)) => self.client_asked += 1,
                Output::Event(Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. })) => self.client_able = Some(estimate.as_u64()),
                Output::Event(_) => {}
            }
        }
    }

    fn deliver(&mut self) {
        let Some((_, (to_us, bytes))) = self.flying.pop_first() else { return };
        if to_us {
            if let Some(tape) = &mut self.tape {
                tape.push(bytes.clone());
            }
            self.peers.handle_datagram(Protocol::Udp, self.seen_at, &bytes, self.now);
            return;
        }
        let Ok(contents) = DatagramRecv::try_from(&bytes[..]) else { return };
        let receive = Receive { proto: Protocol::Udp, source: SERVER, destination: CLIENT, contents };
        let _ = self.client.handle_input(Input::Receive(self.now, receive));
    }

    fn send(&mut self, to_us: bool, bytes: &[u8]) {
        let mut waits = Duration::ZERO;
        if let Some(rate) = self.link.bits_per_second.filter(|_| to_us == (self.role == Role::Publisher)) {
            let free = self.link_free.max(self.now);
            // With the headers of UDP and IP.
            let done = free + Duration::from_secs_f64((bytes.len() + 28) as f64 * 8.0 / rate as f64);
            waits = done - self.now;
            if waits > QUEUE {
                return;
            }
            self.link_free = done;
        }
        let copies = 1 + u64::from(self.chance(self.link.doubled));
        for _ in 0..copies {
            if self.chance(self.link.lost) {
                continue;
            }
            let jitter = self.link.jitter.mul_f64(self.next_random() as f64 / (1_u64 << 31) as f64);
            let number = self.next_random();
            self.flying
                .insert((self.now + waits + self.link.delay + jitter, (self.flying.len() as u64) << 32 | number), (to_us, bytes.to_vec()));
        }
    }

    fn chance(&mut self, of_1000: u64) -> bool {
        self.next_random() % 1000 < of_1000
    }

    /// 31 bits, of Knuth's MMIX.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }
}
