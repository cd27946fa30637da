//! What a viewer's connection carries from us: RTP streams and their reports, sealed.
//!
//! Copies: 1 (encryption, from the shared payload into what is sent).

use std::collections::VecDeque;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::Clock;
use super::outbox::Piece;
use super::rtcp::{SenderReport, write_goodbye, write_reports, write_time_back};
use super::srtp::Sealer;

/// Datagrams of one size, but for the last, which may be shorter, one behind the other: one send, where the kernel does that.
#[derive(Debug)]
pub(super) struct Burst {
    pub(super) bytes: Vec<u8>,
    pub(super) segment_bytes: usize,
    /// Whether another may follow.
    is_open: bool,
}

/// The numbers by which the viewer knows header extensions (RFC 8285); nothing for one that it does not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extensions {
    pub(super) mid: Option<u8>,
    pub(super) transport_number: Option<u8>,
    pub(super) send_time: Option<u8>,
    pub(super) playout_delay: Option<u8>,
    pub(super) capture_time: Option<u8>,
}

/// An RTP stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    /// The ticks of its clock in a second.
    pub(super) rate: u32,
    pub(super) mid: String,
    pub(super) extensions: Extensions,
    /// Where packets are sent again (RFC 4588).
    pub(super) again: Option<Again>,
    /// Whether the viewer has said that it receives it, by which it knows its place without being told.
    pub(super) is_known: bool,
    /// When something was last said of when things were captured.
    told: Option<Instant>,
    sent: Sent,
}

/// The stream of what is sent again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
    next: u64,
}

/// What a sender report tells.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    packets: u32,
    bytes: u32,
    /// The last packet's time, and the moment it stands for.
    last: Option<(u32, Instant)>,
}

impl Again {
    pub(super) fn new(ssrc: u32, payload_type: u8) -> Self {
        Self { ssrc, payload_type, next: 1 }
    }
}

impl Stream {
    pub(super) fn new(ssrc: u32, payload_type: u8, rate: u32, mid: String, extensions: Extensions, again: Option<Again>) -> Self {
        Self { ssrc, payload_type, rate, mid, extensions, again, is_known: false, told: None, sent: Sent::default() }
    }

    /// Whether it is known by this number.
    pub(super) fn has(&self, ssrc: u32) -> bool {
        self.ssrc == ssrc || self.again.as_ref().is_some_and(|again| again.ssrc == ssrc)
    }
}

/// How a packet of a stream is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Manner {
    /// For the first time.
    First {
        /// Whether it is to be shown at once, and not kept in hand for a jitter that may come.
        at_once: bool,
    },
    /// Once more (RFC 4588).
    Again,
    /// As 255 bytes of nothing (RFC 3550, 5.1), after which the viewer says when they arrived.
    Padding,
}

/// The sending end of a connection.
pub(super) struct Egress {
    sealer: Sealer,
    clock: Clock,
    /// The next number of all packets (transport-wide).
    next: u16,
    bursts: VecDeque<Burst>,
    /// How many bytes are still to come at once.
    expected: usize,
    reported: Option<Instant>,
    /// Whether something was sent since then.
    is_news: bool,
    /// The viewer's number and time, and when it told that.
    told: Option<(u32, u32, Instant)>,
}

impl Egress {
    pub(super) fn new(sealer: Sealer, clock: Clock) -> Self {
        Self { sealer, clock, next: 0, bursts: VecDeque::new(), expected: 0, reported: None, is_news: false, told: None }
    }

    /// Sends a packet; gives its transport-wide number, if the viewer has such of the stream, and the datagram's bytes.
    pub(super) fn send(&mut self, stream: &mut Stream, piece: &Piece<'_>, manner: Manner, now: Instant) -> Option<(Option<u16>, usize)> {
        let mut header = Header::default();
        let is_first = matches!(manner, Manner::First { .. });
        let tells = piece.first && is_first && stream.told.is_none_or(|told| now >= told + CAPTURE_EVERY);
        // The original's number goes first in the payload of what is sent again (RFC 4588, 4).
        let original = (piece.number as u16).to_be_bytes();
        let (ssrc, payload_type, index) = match &mut stream.again {
            _ if is_first => (stream.ssrc, stream.payload_type, piece.number),
            Some(again) => {
                again.next += 1;
                (again.ssrc, again.payload_type, again.next - 1)
            }
            // Sealed a second time with the same index it would give its key away.
            None => return None,
        };
        header.fixed(piece.last, payload_type, index as u16, piece.rtp_time, ssrc);
        let numbers = stream.extensions;
        if let Some(id) = numbers.mid.filter(|_| !stream.is_known) {
            header.extension(id, stream.mid.as_bytes());
        }
        let transport = numbers.transport_number.map(|id| {
            header.extension(id, &self.next.to_be_bytes());
            self.next = self.next.wrapping_add(1);
            self.next.wrapping_sub(1)
        });
        if let Some(id) = numbers.send_time {
            header.extension(id, &self.send_time(now));
        }
        if let Some(id) = numbers.playout_delay.filter(|_| manner == Manner::First { at_once: true }) {
            header.extension(id, &[0; 3]);
        }
        if let Some(id) = numbers.capture_time.filter(|_| tells) {
            let mut value = [0; 16];
            value[..8].copy_from_slice(&ntp(self.clock, piece.captured).to_be_bytes());
            header.extension(id, &value);
            stream.told = Some(now);
        }
        let over = header.length() + self.sealer.tag_bytes();
        // A picture is one send if all of its packets have one size but the last.
        let padding = match manner {
            Manner::First { .. } if !piece.last => self.short(over + piece.payload.len()),
            Manner::First { .. } | Manner::Again => 0,
            Manner::Padding => u8::MAX,
        };
        let mut tail = [0; 255];
        let tail = &mut tail[..padding.into()];
        if let Some(last) = tail.last_mut() {
            *last = padding;
        }
        let parts: [&[u8]; 2] = match manner {
            Manner::First { .. } if tail.is_empty() => [&[], piece.payload],
            Manner::First { .. } => [piece.payload, tail],
            Manner::Again => [&original, piece.payload],
            Manner::Padding => [&[], tail],
        };
        let header = header.finish(padding > 0);
        let bytes = over + parts[0].len() + parts[1].len();
        let room = room(&mut self.bursts, bytes, self.expected);
        self.sealer.seal_rtp(header, parts, index, room);
        self.expected = self.expected.saturating_sub(bytes);
        if is_first {
            stream.sent.packets = stream.sent.packets.wrapping_add(1);
            stream.sent.bytes = stream.sent.bytes.wrapping_add(piece.payload.len() as u32);
            stream.sent.last = Some((piece.rtp_time, piece.captured));
            self.is_news = true;
        }
        Some((transport, bytes))
    }

    /// By how much a datagram is too short for the burst that it would go on with; nothing if that is too much to be filled.
    fn short(&self, bytes: usize) -> u8 {
        let burst = self.bursts.back().filter(|burst| burst.is_open);
        burst.and_then(|burst| u8::try_from(burst.segment_bytes.checked_sub(bytes)?).ok()).unwrap_or(0)
    }

    /// So many bytes of payload follow at once.
    pub(super) fn expect(&mut self, packets: usize, payload_bytes: usize) {
        self.expected = payload_bytes + packets * (MOST_HEADER_BYTES + self.sealer.tag_bytes());
    }

    /// Reports on the streams of which something was sent, if it is time to. All of one `cname` are shown and heard together.
    pub(super) fn report<'a>(&mut self, streams: impl Iterator<Item = &'a Stream>, cname: &str, now: Instant) {
        if !self.is_news || self.reported.is_some_and(|at| now < at + REPORT_EVERY) {
            return;
        }
        let report = |stream: &Stream| {
            let (rtp_time, at) = stream.sent.last?;
            let since = now.saturating_duration_since(at).as_nanos() * u128::from(stream.rate) / 1_000_000_000;
            let (packets, bytes) = (stream.sent.packets, stream.sent.bytes);
            Some(SenderReport {
                ssrc: stream.ssrc,
                ntp: ntp(self.clock, now),
                rtp_time: rtp_time.wrapping_add(since as u32),
                packets,
                bytes,
            })
        };
        let reports: Vec<_> = streams.filter_map(report).collect();
        if !reports.is_empty() {
            (self.reported, self.is_news) = (Some(now), false);
            let mut packet = Vec::new();
            write_reports(&mut packet, &reports, cname);
            if let (Some((viewer, middle, at)), Some(report)) = (self.told.take(), reports.first()) {
                let since = now.saturating_duration_since(at).as_nanos() * (1 << 16) / 1_000_000_000;
                write_time_back(&mut packet, report.ssrc, viewer, middle, since as u32);
            }
            self.control(&packet);
        }
    }

    /// Takes the time by the viewer's clock, which goes back to it with the next report.
    pub(super) fn handle_time(&mut self, viewer: u32, middle: u32, now: Instant) {
        self.told = Some((viewer, middle, now));
    }

    /// When the next report is due, unless something is sent before, with which it goes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reported.filter(|_| self.is_news).map(|at| at + REPORT_EVERY + REPORT_WAITS)
    }

    /// Says that nothing more comes.
    pub(super) fn say_goodbye<'a>(&mut self, streams: impl Iterator<Item = &'a Stream>) {
        let ssrcs: Vec<u32> = streams.map(|stream| stream.ssrc).collect();
        let mut packet = Vec::new();
        write_goodbye(&mut packet, &ssrcs);
        self.control(&packet);
    }

    /// What is to be sent next.
    pub(super) fn poll(&mut self) -> Option<Burst> {
        self.bursts.pop_front()
    }

    /// The middle of the time of day now, as a viewer's report repeats it.
    pub(super) fn now_middle(&self, now: Instant) -> u32 {
        (ntp(self.clock, now) >> 16) as u32
    }

    fn control(&mut self, packet: &[u8]) {
        let mut bytes = Vec::with_capacity(packet.len() + MOST_CONTROL_BYTES);
        self.sealer.seal_rtcp(packet, &mut bytes);
        let segment_bytes = bytes.len();
        if segment_bytes > 0 {
            self.bursts.push_back(Burst { bytes, segment_bytes, is_open: false });
        }
    }

    /// 24 bits of a second in 6 and its fractions in 18 (abs-send-time).
    fn send_time(&self, now: Instant) -> [u8; 3] {
        let time = now.saturating_duration_since(self.clock.at).as_nanos() * (1 << 18) / 1_000_000_000;
        let [.., high, middle, low] = (time as u32).to_be_bytes();
        [high, middle, low]
    }
}

/// Room for a datagram of so many bytes: behind others of its size, or a new burst, in which so many bytes are `expected`.
fn room(bursts: &mut VecDeque<Burst>, bytes: usize, expected: usize) -> &mut Vec<u8> {
    let fits = |burst: &Burst| burst.is_open && bytes <= burst.segment_bytes && burst.bytes.len() + bytes <= MOST_BURST_BYTES;
    if !bursts.back().is_some_and(fits) {
        bursts.push_back(Burst { bytes: Vec::with_capacity(expected.max(bytes)), segment_bytes: bytes, is_open: true });
    }
    let last = bursts.len() - 1;
    let burst = &mut bursts[last];
    burst.is_open = bytes == burst.segment_bytes;
    &mut burst.bytes
}

/// The time of day at a moment (RFC 3550, 4): seconds since 1900 in the upper half, their fractions in the lower.
fn ntp(clock: Clock, at: Instant) -> u64 {
    let since = clock.time_of_day(at).duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() + SECONDS_TO_1970;
    (seconds << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}

/// An RTP header as it is written.
struct Header {
    bytes: [u8; MOST_HEADER_BYTES],
    length: usize,
}

impl Default for Header {
    fn default() -> Self {
        Self { bytes: [0; MOST_HEADER_BYTES], length: FIXED_BYTES + 4 }
    }
}

impl Header {
    /// The fixed part (RFC 3550, 5.1), with an extension of one-byte headers behind it.
    fn fixed(&mut self, marker: bool, payload_type: u8, number: u16, rtp_time: u32, ssrc: u32) {
        self.bytes[0] = 0x90;
        self.bytes[1] = u8::from(marker) << 7 | payload_type & 0x7f;
        self.bytes[2..4].copy_from_slice(&number.to_be_bytes());
        self.bytes[4..8].copy_from_slice(&rtp_time.to_be_bytes());
        self.bytes[8..12].copy_from_slice(&ssrc.to_be_bytes());
        self.bytes[12..14].copy_from_slice(&ONE_BYTE_HEADERS);
    }

    /// An element of the extension (RFC 8285, 4.2): one that does not fit is left out.
    fn extension(&mut self, id: u8, value: &[u8]) {
        let end = self.length + 1 + value.len();
        if (1..=14).contains(&id) && (1..=16).contains(&value.len()) && end <= MOST_HEADER_BYTES {
            self.bytes[self.length] = id << 4 | (value.len() - 1) as u8;
            self.bytes[self.length + 1..end].copy_from_slice(value);
            self.length = end;
        }
    }

    /// How long it is with what is in it.
    fn length(&self) -> usize {
        let length = self.length.next_multiple_of(4).min(MOST_HEADER_BYTES);
        if length == FIXED_BYTES + 4 { FIXED_BYTES } else { length }
    }

    /// The bytes of it, of a packet with padding behind its payload or none.
    fn finish(&mut self, is_padded: bool) -> &[u8] {
        let length = self.length();
        self.bytes[0] |= u8::from(is_padded) << 5;
        if length == FIXED_BYTES {
            self.bytes[0] &= !0x10;
            return &self.bytes[..FIXED_BYTES];
        }
        let words = (length - FIXED_BYTES - 4) / 4;
        self.bytes[14..16].copy_from_slice(&(words as u16).to_be_bytes());
        &self.bytes[..length]
    }
}

/// The header without extensions.
const FIXED_BYTES: usize = 12;
/// With all of them, and a long name of the media.
const MOST_HEADER_BYTES: usize = 64;
/// What says that they have headers of one byte (RFC 8285, 4.2).
const ONE_BYTE_HEADERS: [u8; 2] = [0xbe, 0xde];
/// A datagram of IPv4, less its headers.
const MOST_BURST_BYTES: usize = 65_507;
/// What SRTCP adds: an index and a tag.
const MOST_CONTROL_BYTES: usize = 32;
/// A receiver brings picture and sound together once it has had two reports of each.
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// Longer than pictures are apart.
const REPORT_WAITS: Duration = Duration::from_millis(100);
/// How often it is said when things were captured; in between receivers count on, by the packets' times (abs-capture-time: at least once a
/// second). The packet that says so is longer than the others, and a send of its own.
const CAPTURE_EVERY: Duration = Duration::from_millis(900);
/// From the beginning of NTP's time to that of Unix.
const SECONDS_TO_1970: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use str0m::config::KeyingMaterial;
    use str0m::crypto::dtls::SrtpProfile;

    use super::super::Payload;
    use super::super::keys::Keys;
    use super::super::rtcp::{Feedback, parse};
    use super::super::simulation::{clock, epoch};
    use super::super::srtp::{Opener, contexts};
    use super::*;

    const TAG_BYTES: usize = 16;

    /// An egress, and what opens its reports.
    fn egress() -> (Egress, Opener) {
        let keys = |is_client| {
            let material = KeyingMaterial::new(&[7; 88]);
            contexts(&Keys { material, profile: SrtpProfile::AEAD_AES_256_GCM, is_client }).expect("keys")
        };
        (Egress::new(keys(false).0, clock()), keys(true).1)
    }

    fn stream() -> Stream {
        let extensions =
            Extensions { mid: Some(1), transport_number: Some(2), send_time: None, playout_delay: Some(3), capture_time: Some(4) };
        Stream::new(0x0102_0304, 96, 90_000, "v".to_owned(), extensions, Some(Again::new(9, 97)))
    }

    fn send(
        egress: &mut Egress,
        stream: &mut Stream,
        number: u64,
        bytes: usize,
        manner: Manner,
        now: Instant,
    ) -> Option<(Option<u16>, usize)> {
        let payload: Payload = Arc::from(vec![0xaa; bytes]);
        let piece = Piece { number, payload: &payload, rtp_time: 0x1122_3344, captured: now, first: number == 1, last: number == 3 };
        egress.send(stream, &piece, manner, now)
    }

    const FIRST: Manner = Manner::First { at_once: true };

    #[test]
    fn packets_of_a_size_or_nearly_go_in_one_burst_with_the_last_one() {
        let (mut egress, _) = egress();
        let mut stream = stream();
        stream.is_known = true;
        stream.told = Some(epoch());
        // The third is its picture's last.
        for (number, bytes) in [(1, 400), (2, 390), (3, 50), (4, 400), (5, 500), (6, 100)] {
            assert!(send(&mut egress, &mut stream, number, bytes, FIRST, epoch()).is_some());
        }
        let bursts: Vec<_> = std::iter::from_fn(|| egress.poll()).map(|burst| (burst.bytes.len(), burst.segment_bytes)).collect();
        // A header with a number, and the delay.
        let over = 12 + 4 + 8 + TAG_BYTES;
        assert_eq!(bursts, [(850 + 3 * over, 400 + over), (400 + over, 400 + over), (600 + 2 * over, 500 + over)]);
    }

    #[test]
    fn header_says_what_there_is_to_say() {
        let (mut egress, _) = egress();
        let mut stream = stream();
        let mut sealed = |stream: &mut Stream, number, at_once| {
            let (told, _) = send(&mut egress, stream, number, 100, Manner::First { at_once }, epoch()).expect("sent");
            (told, egress.poll().expect("a packet").bytes)
        };
        let (first_number, first) = sealed(&mut stream, 1, true);
        stream.is_known = true;
        let (second_number, second) = sealed(&mut stream, 3, false);
        assert_eq!((first_number, second_number), (Some(0), Some(1)));
        let time = ntp(clock(), epoch()).to_be_bytes();
        let told = [&[0x10, b'v', 0x21, 0, 0, 0x32, 0, 0, 0, 0x4f][..], &time, &[0; 8], &[0, 0]].concat();
        let fixed = |marker: u8, number| [0x90, marker | 96, 0, number, 0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4, 0xbe, 0xde, 0];
        assert_eq!(first[..44], [&fixed(0, 1)[..], &[7], &told].concat());
        assert_eq!(second[..20], [&fixed(0x80, 3)[..], &[1, 0x21, 0, 1, 0]].concat());
    }

    #[test]
    fn what_is_sent_again_has_numbers_of_its_own_and_what_pads_is_nothing() {
        let (mut egress, _) = egress();
        let mut stream = stream();
        stream.is_known = true;
        for (manner, bytes) in [(Manner::Again, 2 + 100), (Manner::Padding, 255)] {
            let sent = send(&mut egress, &mut stream, 2, 100, manner, epoch());
            assert_eq!(sent.map(|(_, bytes)| bytes), Some(12 + 4 + 4 + bytes + TAG_BYTES));
        }
        let [again, padding] = [egress.poll(), egress.poll()].map(|burst| burst.expect("a packet").bytes);
        assert_eq!((&again[..4], &again[8..12]), (&[0x90, 97, 0, 1][..], &[0, 0, 0, 9][..]));
        assert_eq!((&padding[..4], &padding[8..12]), (&[0xb0, 97, 0, 2][..], &[0, 0, 0, 9][..]));
        stream.again = None;
        assert!(send(&mut egress, &mut stream, 2, 100, Manner::Again, epoch()).is_none());
        assert!(egress.poll().is_none());
    }

    #[test]
    fn reports_come_while_something_is_sent() {
        let (mut egress, mut opener) = egress();
        let (mut stream, mut now) = (stream(), epoch());
        let mut reports = |egress: &mut Egress, stream: &Stream, now| {
            egress.report([stream].into_iter(), "us", now);
            let sealed = std::iter::from_fn(|| egress.poll()).last()?;
            let mut room = Vec::new();
            opener.open_rtcp(&sealed.bytes, &mut room).map(<[u8]>::to_vec)
        };
        assert_eq!(reports(&mut egress, &stream, now), None, "nothing was sent");
        send(&mut egress, &mut stream, 1, 100, FIRST, now);
        let first = reports(&mut egress, &stream, now).expect("a report");
        assert_eq!(first[..4], [0x80, 200, 0, 6]);
        assert_eq!(first[16..20], 0x1122_3344_u32.to_be_bytes(), "its time by the stream's clock");
        assert_eq!((&first[20..24], &first[24..28]), (&[0, 0, 0, 1][..], &[0, 0, 0, 100][..]));
        now += Duration::from_millis(300);
        send(&mut egress, &mut stream, 2, 100, FIRST, now);
        assert_eq!(egress.deadline(), Some(epoch() + REPORT_EVERY + REPORT_WAITS));
        std::iter::from_fn(|| egress.poll()).for_each(drop);
        assert_eq!(reports(&mut egress, &stream, now), None, "it is too early");
        now += Duration::from_millis(200);
        egress.handle_time(5, 6, now);
        let second = reports(&mut egress, &stream, now).expect("a report");
        let later = 0x1122_3344 + 90 * 200;
        assert_eq!(second[16..20], u32::to_be_bytes(later));
        assert_eq!(second[second.len() - 12..], [0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 0], "the viewer's own time");
        now += Duration::from_secs(10);
        assert_eq!((reports(&mut egress, &stream, now), egress.deadline()), (None, None), "nothing is new");
        assert!(!parse(&second).any(|feedback| matches!(feedback, Feedback::Goodbye)));
        egress.say_goodbye([].into_iter());
        assert!(egress.poll().is_none());
        egress.say_goodbye([&stream].into_iter());
        let mut room = Vec::new();
        let sealed = egress.poll().expect("a goodbye");
        let opened = opener.open_rtcp(&sealed.bytes, &mut room).expect("authentic");
        assert!(parse(opened).any(|feedback| matches!(feedback, Feedback::Goodbye)));
    }
}
