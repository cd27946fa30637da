//! What does a packet to one of 200 WebRTC viewers cost, beside what it takes at the least: encryption, and one `sendmsg` a picture?

use std::collections::HashMap;
use std::hint::black_box;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crosspoint_ffi::MediaTime;
use crosspoint_ffi::udp::send_segments;
use crosspoint_router::broadcast::{Bitrates, Media, Unit};
use crosspoint_router::rtc::{Clock, Datagram, Doors, Identity, Offer, Peer, PeerId, PeerOutput, Peers, PeersLimits, Protocol};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::Receive;
use str0m::{Candidate, Event, Input, Output, Rtc};

const VIEWERS: usize = 200;
/// A picture of a 3 Mbit/s stream at 30 a second.
const PACKETS: usize = 12;
const PAYLOAD_BYTES: usize = 1_100;
/// RTP's header with two extensions, before a payload; the tag comes behind it.
const HEADER_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
const PICTURE_EVERY: Duration = Duration::from_millis(33);
const BITRATES: Bitrates = Bitrates { least_bps: 300_000, usual_bps: 6_000_000, most_bps: 6_000_000 };
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 10_001);

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rtc packet");
    group.throughput(Throughput::Elements((VIEWERS * PACKETS) as u64)).sample_size(10);
    let mut floor = Floor::new();
    group.bench_function(BenchmarkId::new("floor, sealed", VIEWERS), |bencher| bencher.iter(|| floor.seal(|_, _| {})));
    group.bench_function(BenchmarkId::new("floor, sealed and sent", VIEWERS), |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| floor.show()).sum());
    });
    for (name, estimated) in [("ours, written", false), ("ours, written, ways estimated", true)] {
        let mut house = House::new(estimated);
        group.bench_function(BenchmarkId::new(name, VIEWERS), |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| house.show()).sum());
        });
    }
    group.finish();
}

/// The least that can be done: each viewer has a key and a socket, nothing else.
struct Floor {
    sender: UdpSocket,
    viewers: Vec<(LessSafeKey, UdpSocket, SocketAddr)>,
    payload: Vec<u8>,
    sealed: Vec<Vec<u8>>,
    number: u64,
}

impl Floor {
    fn new() -> Self {
        let viewer = |nth: usize| {
            let key = UnboundKey::new(&AES_256_GCM, &[nth as u8; 32]).expect("32 bytes");
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            socket.set_nonblocking(true).expect("a socket option");
            let address = socket.local_addr().expect("bound");
            (LessSafeKey::new(key), socket, address)
        };
        Self {
            sender: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"),
            viewers: (0..VIEWERS).map(viewer).collect(),
            payload: vec![0x47; PAYLOAD_BYTES],
            sealed: vec![Vec::new(); PACKETS],
            number: 0,
        }
    }

    fn seal(&mut self, mut sealed: impl FnMut(SocketAddr, &[Vec<u8>])) {
        let Self { viewers, payload, sealed: packets, number, .. } = self;
        for (key, _, address) in viewers {
            for packet in packets.iter_mut() {
                *number += 1;
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&number.to_be_bytes());
                packet.clear();
                packet.resize(HEADER_BYTES, 0x90);
                packet.extend_from_slice(payload);
                let (header, body) = packet.split_at_mut(HEADER_BYTES);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body).expect("sealed");
                packet.extend_from_slice(tag.as_ref());
            }
            sealed(*address, black_box(packets));
        }
    }

    /// Shows everybody a picture; gives how long that took, without their reading of it.
    fn show(&mut self) -> Duration {
        let started = Instant::now();
        let sender = self.sender.try_clone().expect("a descriptor");
        self.seal(|address, packets| {
            let slices: Vec<IoSlice<'_>> = packets.iter().map(|packet| IoSlice::new(packet)).collect();
            send_segments(&sender, address, &slices, (HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES) as u16).expect("sent");
        });
        let took = started.elapsed();
        let mut buffer = [0; 2_048];
        for (_, socket, _) in &self.viewers {
            let came = std::iter::from_fn(|| socket.recv(&mut buffer).ok()).count();
            assert_eq!(came, PACKETS, "a picture fits a socket's buffer");
        }
        took
    }
}

/// Our end of viewers that are connected, in virtual time.
struct House {
    now: Instant,
    start: Instant,
    peers: Peers,
    ids: Vec<PeerId>,
    clients: HashMap<SocketAddr, Rtc>,
    unit: Unit,
    /// What we said to what clients said, on its way to them.
    flying: Vec<Datagram>,
}

impl House {
    fn new(estimated: bool) -> Self {
        let start = Instant::now();
        let payloads: Arc<[Arc<[u8]>]> = vec![Arc::from(vec![0x41; PAYLOAD_BYTES]); PACKETS].into();
        let unit =
            Unit { media: Media::Video, key: true, bytes: Bytes::new(), payloads, preface: None, time: MediaTime::ZERO, captured: start };
        let peers = Peers::new(PeersLimits::default());
        let mut house = Self { now: start, start, peers, ids: Vec::new(), clients: HashMap::new(), unit, flying: Vec::new() };
        let identity = Identity::generate().expect("entropy");
        for nth in 0..VIEWERS {
            house.join(&identity, SocketAddr::new(Ipv4Addr::new(10, 0, 1, nth as u8).into(), 5_000), estimated);
        }
        // Until estimates have settled.
        for _ in 0..60 {
            house.show();
        }
        house
    }

    fn join(&mut self, identity: &Identity, address: SocketAddr, estimated: bool) {
        let now = self.now;
        let mut client = Rtc::builder().set_rtp_mode(true).build(now);
        client.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
        let mut api = client.sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = api.apply().expect("changes");
        let offer = offer.to_sdp_string();
        let kept = |line: &&str| estimated || !line.contains("transport-wide-cc") && !line.contains("transport-cc");
        let offer = Offer::parse(&offer.split_inclusive('\n').filter(kept).collect::<String>()).expect("an offer");
        let doors = Doors { udp: vec![SERVER], tcp: vec![] };
        let clock = Clock { at: self.start, time_of_day: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000) };
        let negotiated = Peer::viewer(offer, BITRATES, clock, identity, &doors, now).expect("can be answered");
        let (id, answer) = self.peers.insert(negotiated).expect("room");
        client.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).expect("an answer")).expect("its answer");
        self.clients.insert(address, client);
        self.ids.push(id);
        for _ in 0..1_000 {
            self.now += Duration::from_millis(5);
            self.peers.handle_timeout(self.now);
            let datagrams = self.take();
            let mut replies = self.deliver(datagrams);
            replies.extend(self.tick());
            self.hear(replies);
            if self.peers.peer(id).is_some_and(Peer::is_connected) {
                return;
            }
        }
        panic!("no connection within 5 s");
    }

    /// Shows everybody a picture, and takes what they say to it; gives how long our part took.
    fn show(&mut self) -> Duration {
        self.now += PICTURE_EVERY;
        let now = self.now;
        self.unit.time = MediaTime::from_nanos((now - self.start).as_nanos() as i64);
        let flying = std::mem::take(&mut self.flying);
        let mut replies = self.deliver(flying);
        let started = Instant::now();
        self.peers.handle_timeout(now);
        let mut took = started.elapsed();
        for nth in 0..self.ids.len() {
            let started = Instant::now();
            assert!(self.peers.write(self.ids[nth], &self.unit, now, now), "connected, with a track");
            let datagrams = self.take();
            took += started.elapsed();
            assert!(datagrams.len() >= PACKETS, "{} datagrams", datagrams.len());
            // As on a machine of its own, the memory is free again for the next one's.
            replies.extend(self.deliver(datagrams));
        }
        replies.extend(self.tick());
        let started = Instant::now();
        self.hear(replies);
        took + started.elapsed()
    }

    fn take(&mut self) -> Vec<Datagram> {
        let mut datagrams = std::mem::take(&mut self.flying);
        while let Some((_, output)) = self.peers.poll(self.now) {
            if let PeerOutput::Transmit(datagram) = output {
                datagrams.push(datagram);
            }
        }
        datagrams
    }

    /// Gives clients what is theirs; gives what they say.
    fn deliver(&mut self, datagrams: Vec<Datagram>) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut replies = Vec::new();
        for datagram in datagrams {
            let address = datagram.destination;
            let Some(client) = self.clients.get_mut(&address) else { continue };
            for bytes in datagram.segments() {
                let receive = Receive::new(str0m::net::Protocol::Udp, SERVER, address, bytes).expect("a datagram of ours");
                client.handle_input(Input::Receive(self.now, receive)).expect("a client that works");
                while !matches!(answer(client, address, &mut replies), Output::Timeout(_)) {}
            }
        }
        replies
    }

    /// Tells clients the time; gives what they say.
    fn tick(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut replies = Vec::new();
        for (&address, client) in &mut self.clients {
            client.handle_input(Input::Timeout(self.now)).expect("a client that works");
            while !matches!(answer(client, address, &mut replies), Output::Timeout(_)) {}
        }
        replies
    }

    fn hear(&mut self, replies: Vec<(SocketAddr, Vec<u8>)>) {
        for (address, bytes) in replies {
            self.peers.handle_datagram(Protocol::Udp, address, &bytes, self.now);
            while let Some((_, output)) = self.peers.poll(self.now) {
                if let PeerOutput::Transmit(datagram) = output {
                    self.flying.push(datagram);
                }
            }
        }
    }
}

/// What a client has to say next; what it sends is a reply.
fn answer(client: &mut Rtc, address: SocketAddr, replies: &mut Vec<(SocketAddr, Vec<u8>)>) -> Output {
    let output = client.poll_output().expect("a client that works");
    match &output {
        Output::Transmit(transmit) => replies.push((address, transmit.contents.to_vec())),
        Output::Event(Event::RtpPacket(packet)) => assert!(!packet.payload.is_empty(), "decrypted"),
        Output::Event(_) | Output::Timeout(_) => {}
    }
    output
}

criterion_group!(benches, packets);
criterion_main!(benches);
