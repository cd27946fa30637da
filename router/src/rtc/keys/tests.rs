//! With two peers in memory, in virtual time: ours, which holds its keys back, and str0m as it is.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::media::{KeyframeRequestKind, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use super::super::simulation::epoch;
use super::super::srtp::{Opener, contexts};
use super::*;

#[test]
fn keys_are_had_and_str0m_connects_without_them() {
    for is_client in [true, false] {
        let mut pair = Pair::new(SrtpProfile::AEAD_AES_256_GCM, is_client);
        pair.connect();
        assert!(pair.keys.as_ref().is_some_and(|keys| keys.is_client == is_client));
        assert!(pair.theirs.rtc.is_connected() && !pair.ours.rtc.is_connected(), "it says that media cannot flow, as it has no keys");
        assert!(take().is_none(), "they are told once");
    }
}

#[test]
fn without_keys_str0m_sends_no_media() {
    let mut pair = Pair::new(SrtpProfile::AEAD_AES_256_GCM, false);
    pair.connect();
    // Whatever is asked of it, and whatever comes.
    let (mid, stream) = ("vid".into(), Ssrc::from(77));
    pair.ours.rtc.direct_api().declare_media(mid, MediaKind::Video);
    pair.ours.rtc.direct_api().declare_stream_tx(stream, None, mid, None);
    pair.ours.rtc.direct_api().expect_stream_rx(Ssrc::from(78), None, mid, None);
    for number in 0..100_u64 {
        let now = pair.now;
        let mut direct = pair.ours.rtc.direct_api();
        direct.stream_tx(&stream).unwrap().write_rtp(RtpWrite::new(96.into(), number.into(), number as u32, now, vec![1; 100]));
        direct.stream_rx(&Ssrc::from(78)).unwrap().request_keyframe(KeyframeRequestKind::Pli);
        let packet = [&[0x80, 96, 0, number as u8, 0, 0, 0, 0, 0, 0, 0, 78][..], &[1; 60]].concat();
        pair.ours.receive(&packet, now);
        pair.ours.receive(&[0x80, 201, 0, 1, 0, 0, 0, 77].repeat(5), now);
        pair.run(Duration::from_millis(500));
    }
    pair.ours.rtc.disconnect();
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.ours.media, Vec::<Vec<u8>>::new());
    assert!(pair.ours.events.iter().all(|event| !matches!(event, Event::MediaAdded(_) | Event::RtpPacket(_))));
    assert!(pair.ours.polls < 20_000, "it does not spin: {}", pair.ours.polls);
}

#[test]
fn str0m_takes_what_is_sealed_and_what_it_seals_is_opened() {
    for profile in [SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AES128_CM_SHA1_80] {
        for is_client in [true, false] {
            let mut pair = Pair::new(profile, is_client);
            pair.connect();
            let (mut sealer, mut opener) = contexts(pair.keys.as_ref().unwrap()).unwrap();
            let mid = "vid".into();
            pair.theirs.rtc.direct_api().declare_media(mid, MediaKind::Video);
            pair.theirs.rtc.direct_api().expect_stream_rx(Ssrc::from(OURS), None, mid, None);

            // Packets, past the roll-over, in one piece and in two.
            let payload = |number: u64| number.to_be_bytes().repeat(100);
            for index in ROLLS - 3..ROLLS + 3 {
                let mut header = [0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                header[2..4].copy_from_slice(&(index as u16).to_be_bytes());
                header[8..].copy_from_slice(&OURS.to_be_bytes());
                let (payload, mut out) = (payload(index), Vec::new());
                let parts = if index % 2 == 0 { [&payload[..2], &payload[2..]] } else { [&[], &payload[..]] };
                sealer.seal_rtp(&header, parts, index, &mut out);
                pair.theirs.receive(&out, pair.now);
                pair.run(Duration::from_millis(10));
            }
            let packets =
                pair.theirs.events.iter().filter_map(|event| if let Event::RtpPacket(packet) = event { Some(packet) } else { None });
            let came: Vec<_> = packets.map(|packet| (*packet.seq_no, packet.payload.to_vec())).collect();
            assert_eq!(came, (ROLLS - 3..ROLLS + 3).map(|index| (index, payload(index))).collect::<Vec<_>>(), "{profile}");

            // A report of ours, of which theirs tell.
            let mut out = Vec::new();
            let report = [&[0x80, 200, 0, 6][..], &OURS.to_be_bytes(), &NTP.to_be_bytes(), &[0; 12]].concat();
            sealer.seal_rtcp(&report, &mut out);
            pair.theirs.receive(&out, pair.now);
            pair.theirs.rtc.direct_api().stream_rx(&Ssrc::from(OURS)).unwrap().request_keyframe(KeyframeRequestKind::Pli);
            pair.run(Duration::from_secs(12));
            let opened = opened(&mut opener, &pair.theirs.media);
            let reports: Vec<_> = opened.iter().filter(|packet| packet[1] == 201 && packet[0] & 31 == 1).collect();
            assert!(reports.iter().all(|report| report[8..12] == OURS.to_be_bytes()));
            let last = reports.last().unwrap();
            assert_eq!(last[16..20], (ROLLS as u32 + 2).to_be_bytes(), "{profile}: the highest number");
            assert_eq!(last[24..28], ((NTP >> 16) as u32).to_be_bytes(), "{profile}: the last sender report");
            assert!(
                opened.iter().any(|packet| packet[..2] == [0x81, 206] && packet[8..12] == OURS.to_be_bytes()),
                "{profile}: a key frame"
            );

            // What has been tampered with is not taken.
            let events = pair.theirs.events.len();
            let mut out = Vec::new();
            let mut header = [0x80, 96, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
            header[8..].copy_from_slice(&OURS.to_be_bytes());
            sealer.seal_rtp(&header, [&[], b"payload"], ROLLS + 9, &mut out);
            out[15] ^= 1;
            pair.theirs.receive(&out, pair.now);
            pair.run(Duration::from_millis(1));
            assert_eq!(pair.theirs.events.len(), events);
            assert_eq!(pair.ours.media, Vec::<Vec<u8>>::new());
        }
    }
}

/// The packets in all that was sealed.
fn opened(opener: &mut Opener, sealed: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut room = Vec::new();
    let mut packets = Vec::new();
    for datagram in sealed {
        let mut rest = opener.open_rtcp(datagram, &mut room).expect("each of theirs is opened");
        while !rest.is_empty() {
            let (packet, others) = rest.split_at(4 * (1 + usize::from(u16::from_be_bytes([rest[2], rest[3]]))));
            packets.push(packet.to_vec());
            rest = others;
        }
    }
    packets
}

struct Pair {
    now: Instant,
    ours: End,
    theirs: End,
    keys: Option<Keys>,
    profile: SrtpProfile,
}

struct End {
    rtc: Rtc,
    at: SocketAddr,
    other: SocketAddr,
    deadline: Instant,
    events: Vec<Event>,
    /// What it sent of RTP and RTCP.
    media: Vec<Vec<u8>>,
    polls: u32,
}

impl Pair {
    /// Two that are about to connect, and will use that profile.
    fn new(profile: SrtpProfile, is_client: bool) -> Self {
        let now = epoch();
        let (at, other) = (SocketAddr::from(([1, 1, 1, 1], 1_000)), SocketAddr::from(([2, 2, 2, 2], 2_000)));
        let mut ours = End::new(Rtc::builder().set_crypto_provider(provider()), at, other, now);
        let mut theirs = End::new(Rtc::builder().set_crypto_provider(plain(profile)), other, at, now);
        ours.meet(&mut theirs, is_client);
        theirs.meet(&mut ours, !is_client);
        Self { now, ours, theirs, keys: None, profile }
    }

    fn connect(&mut self) {
        let is_connected = |end: &End| end.events.iter().any(|event| matches!(event, Event::Connected));
        while !(is_connected(&self.ours) && is_connected(&self.theirs)) {
            self.run(Duration::from_millis(10));
        }
    }

    /// Lets time go by. What is sent arrives at once.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            loop {
                let to_theirs = self.ours.poll();
                if let Some(mut keys) = take() {
                    assert!(self.keys.is_none());
                    keys = recast(keys, self.profile);
                    self.keys = Some(keys);
                }
                let to_ours = self.theirs.poll();
                assert!(take().is_none(), "str0m's own provider leaves none");
                if to_theirs.is_empty() && to_ours.is_empty() {
                    break;
                }
                to_theirs.iter().for_each(|datagram| self.theirs.receive(datagram, self.now));
                to_ours.iter().for_each(|datagram| self.ours.receive(datagram, self.now));
            }
            let next = self.ours.deadline.min(self.theirs.deadline).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            // Not to stand still, whoever asks for that.
            self.now = next.max(self.now + Duration::from_micros(100));
            self.ours.rtc.handle_input(Input::Timeout(self.now)).unwrap();
            self.theirs.rtc.handle_input(Input::Timeout(self.now)).unwrap();
        }
    }
}

impl End {
    fn new(config: RtcConfig, at: SocketAddr, other: SocketAddr, now: Instant) -> Self {
        let mut rtc = config.set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(at, "udp").unwrap());
        rtc.add_remote_candidate(Candidate::host(other, "udp").unwrap());
        Self { rtc, at, other, deadline: now, events: Vec::new(), media: Vec::new(), polls: 0 }
    }

    fn meet(&mut self, other: &mut Self, is_client: bool) {
        let (fingerprint, credentials) =
            (other.rtc.direct_api().local_dtls_fingerprint().clone(), other.rtc.direct_api().local_ice_credentials());
        let mut direct = self.rtc.direct_api();
        direct.set_remote_fingerprint(fingerprint);
        direct.set_remote_ice_credentials(credentials);
        direct.set_ice_controlling(is_client);
        direct.start_dtls(is_client).unwrap();
    }

    /// What it sends now of what is not media.
    fn poll(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        loop {
            self.polls += 1;
            match self.rtc.poll_output().unwrap() {
                Output::Event(event) => self.events.push(event),
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    return sent;
                }
                Output::Transmit(transmit) => {
                    let datagram = transmit.contents.to_vec();
                    if (128..192).contains(&datagram[0]) { self.media.push(datagram) } else { sent.push(datagram) }
                }
            }
        }
    }

    fn receive(&mut self, datagram: &[u8], now: Instant) {
        let contents = datagram.try_into().unwrap();
        let receive = Receive { proto: Protocol::Udp, source: self.other, destination: self.at, contents };
        self.rtc.handle_input(Input::Receive(now, receive)).unwrap();
    }
}

/// str0m's provider, with another profile than is negotiated. (It takes the long keys' if it may.)
fn plain(profile: SrtpProfile) -> Arc<CryptoProvider> {
    static SHORT: Recast = Recast(SrtpProfile::AEAD_AES_128_GCM);
    static LONG: Recast = Recast(SrtpProfile::AEAD_AES_256_GCM);
    static COUNTER: Recast = Recast(SrtpProfile::AES128_CM_SHA1_80);
    let dtls_provider = [&SHORT, &LONG, &COUNTER].into_iter().find(|recast| recast.0 == profile).unwrap();
    Arc::new(CryptoProvider { dtls_provider, ..from_feature_flags() })
}

/// The keys of another profile: of the first bytes of the material.
fn recast(keys: Keys, profile: SrtpProfile) -> Keys {
    Keys { material: KeyingMaterial::new(&keys.material[..profile.keying_material_len()]), profile, ..keys }
}

/// DTLS that comes to keys of this profile.
#[derive(Debug)]
struct Recast(SrtpProfile);

#[derive(Debug)]
struct Recasting(Box<dyn DtlsInstance>, SrtpProfile);

impl DtlsProvider for Recast {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        from_feature_flags().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let dtls = from_feature_flags().dtls_provider.new_dtls(cert, now, version, mtu)?;
        Ok(Box::new(Recasting(dtls, self.0)))
    }
}

impl DtlsInstance for Recasting {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buf);
        let DtlsOutput::KeyingMaterial(material, profile) = output else { return output };
        assert_eq!(profile, SrtpProfile::AEAD_AES_256_GCM, "the longest are negotiated");
        DtlsOutput::KeyingMaterial(KeyingMaterial::new(&material[..self.1.keying_material_len()]), self.1)
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

/// Our stream.
const OURS: u32 = 0x1234_5678;
/// Where numbers begin again.
const ROLLS: u64 = 0x1_0000;
/// A time, in our report.
const NTP: u64 = 0xe123_4567_89ab_cdef;
