//! Asking a STUN server by which address others see us (RFC 8489).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::net::Protocol;

use super::Datagram;

/// Asks one server from the socket of all media, again and again: a NAT on the way forgets in half a minute what nobody uses, and then has
/// another address for us.
///
/// Who asks for it drains [`Discovery::poll`] after each [`Discovery::handle_datagram`] and at [`Discovery::deadline`].
#[derive(Debug)]
pub struct Discovery {
    server: SocketAddr,
    /// The number of the question that is open or comes next.
    number: u128,
    /// How often it was sent.
    sent: u32,
    due: Instant,
    seen: Option<SocketAddr>,
}

/// What there is to do for a [`Discovery`].
#[derive(Debug)]
pub enum Discovering {
    /// To send.
    Ask(Datagram),
    /// The server does not answer: this is over.
    Over,
    /// Nothing before the deadline.
    Wait,
}

impl Discovery {
    /// Asks `server` from now on. Who cannot guess `number` cannot answer in its place.
    #[must_use]
    pub fn new(server: SocketAddr, number: u128, now: Instant) -> Self {
        Self { server, number, sent: 0, due: now, seen: None }
    }

    /// Where we are seen, once the server has said it.
    #[must_use]
    pub fn seen(&self) -> Option<SocketAddr> {
        self.seen
    }

    /// When there is something to do.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.due
    }

    /// What there is to do.
    pub fn poll(&mut self, now: Instant) -> Discovering {
        if now < self.due {
            return Discovering::Wait;
        }
        if self.sent == MOST_SENT {
            return Discovering::Over;
        }
        self.due = now + FIRST_WAIT * 2u32.pow(self.sent);
        self.sent += 1;
        let bytes = [&QUESTION[..], &self.question()].concat();
        Discovering::Ask(Datagram::one(Protocol::Udp, self.server, bytes))
    }

    /// Takes a datagram that was nobody else's; says whether it answers the question that is open.
    pub fn handle_datagram(&mut self, source: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let is_answer = self.sent > 0
            && source == self.server
            && datagram.get(..2) == Some(ANSWER)
            && datagram.get(NUMBER) == Some(&self.question()[..]);
        let Some(seen) = is_answer.then(|| mapped_address(datagram)).flatten() else { return false };
        (self.seen, self.sent, self.due) = (Some(seen), 0, now + ASK_AGAIN);
        self.number = self.number.wrapping_add(1);
        true
    }

    /// The number as it stands in a message.
    fn question(&self) -> [u8; 12] {
        let [.., a, b, c, d, e, f, g, h, i, j, k, l] = self.number.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

/// The XOR-MAPPED-ADDRESS of an answer (RFC 8489, 14.2). `str0m` reads answers between peers alone, which are signed.
fn mapped_address(answer: &[u8]) -> Option<SocketAddr> {
    let mask = answer.get(COOKIE)?;
    let mut attributes = answer.get(HEADER_BYTES..)?;
    loop {
        let &[a, b, c, d, ref rest @ ..] = attributes else { return None };
        let (kind, length) = (u16::from_be_bytes([a, b]), usize::from(u16::from_be_bytes([c, d])));
        let value = rest.get(..length)?;
        if kind == XOR_MAPPED_ADDRESS {
            let &[_, family, high, low, ref address @ ..] = value else { return None };
            let unmasked = |index: usize| address[index] ^ mask[index];
            let ip = match (family, address.len()) {
                (1, 4) => IpAddr::from(std::array::from_fn::<u8, 4, _>(unmasked)),
                (2, 16) => IpAddr::from(std::array::from_fn::<u8, 16, _>(unmasked)),
                _ => return None,
            };
            return Some(SocketAddr::new(ip, u16::from_be_bytes([high ^ mask[0], low ^ mask[1]])));
        }
        // Each begins at a multiple of four bytes.
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// A binding request without attributes: type, length and magic cookie (RFC 8489, 5).
const QUESTION: [u8; 8] = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
const ANSWER: &[u8] = &[1, 1];
const HEADER_BYTES: usize = 20;
/// Where the cookie stands, and the number behind it: what addresses are masked with.
const COOKIE: std::ops::Range<usize> = 4..20;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Where the number of a transaction stands.
const NUMBER: std::ops::Range<usize> = 8..20;
/// As often, and with as long between the first two, as RFC 8489 has it (6.2.1); each wait is twice the one before.
const MOST_SENT: u32 = 7;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Sooner than a NAT forgets (RFC 4787, REQ-5: two minutes; many forget after 30 s).
const ASK_AGAIN: Duration = Duration::from_secs(25);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::simulation::epoch;
    use super::*;

    const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 3478);

    fn at(millis: u64) -> Instant {
        epoch() + Duration::from_millis(millis)
    }

    fn asked(discovery: &mut Discovery, now: Instant) -> Vec<u8> {
        match discovery.poll(now) {
            Discovering::Ask(datagram) if datagram.destination == SERVER => datagram.bytes,
            other @ (Discovering::Ask(_) | Discovering::Over | Discovering::Wait) => panic!("{other:?}"),
        }
    }

    /// The answer to a question: 198.51.100.7 and a port, XORed with the cookie (RFC 8489, 14.2).
    fn answer(question: &[u8], port: u16) -> Vec<u8> {
        let [high, low] = (port ^ 0x2112).to_be_bytes();
        let address = [198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];
        [&[1, 1, 0, 12], &question[4..20], &[0, 0x20, 0, 8, 0, 1, high, low], &address].concat()
    }

    #[test]
    fn address_is_learned_and_asked_for_again_before_it_is_forgotten() {
        let mut discovery = Discovery::new(SERVER, 7, at(0));
        let first = asked(&mut discovery, at(0));
        assert_eq!((first[..8].to_vec(), first.len()), (QUESTION.to_vec(), 20));
        assert!(discovery.handle_datagram(SERVER, &answer(&first, 4_000), at(20)));
        assert_eq!(discovery.seen(), Some("198.51.100.7:4000".parse().unwrap()));
        assert!(matches!(discovery.poll(at(25_019)), Discovering::Wait));
        let second = asked(&mut discovery, at(25_020));
        assert_ne!(first, second, "a question is not asked twice");
        assert!(discovery.handle_datagram(SERVER, &answer(&second, 4_001), at(25_040)));
        assert_eq!(discovery.seen(), Some("198.51.100.7:4001".parse().unwrap()));
    }

    #[test]
    fn only_the_answer_to_what_was_asked_counts() {
        let mut discovery = Discovery::new(SERVER, 7, at(0));
        let question = [&QUESTION[..], &discovery.question()].concat();
        assert!(!discovery.handle_datagram(SERVER, &answer(&question, 9), at(0)), "before it was asked");
        assert_eq!(asked(&mut discovery, at(0)), question);
        let good = answer(&question, 9);
        let mut other = good.clone();
        other[19] ^= 1;
        let mut refused = good.clone();
        refused[1] = 0x11;
        for (why, source, datagram) in [
            ("from elsewhere", "192.0.2.2:3478".parse().unwrap(), &good[..]),
            ("to another question", SERVER, &other),
            ("a refusal", SERVER, &refused),
            ("cut off", SERVER, &good[..26]),
            ("nothing", SERVER, &[]),
            ("the question itself", SERVER, &question),
        ] {
            assert!(!discovery.handle_datagram(source, datagram, at(1)), "{why}");
        }
        assert!(discovery.handle_datagram(SERVER, &good, at(2)));
        assert!(!discovery.handle_datagram(SERVER, &good, at(3)), "twice");
    }

    #[test]
    fn addresses_are_read_of_both_families_behind_what_is_not_known() {
        let header = [&[1, 1, 0, 0][..], &QUESTION[4..], &[9; 12]].concat();
        let read = |attributes: &[&[u8]]| mapped_address(&[&header[..], &attributes.concat()].concat());
        let software = [0x80, 0x22, 0, 5, b'a', b'b', b'c', b'd', b'e', 0, 0, 0];
        let v4 = [0, 0x20, 0, 8, 0, 1, 0x0f ^ 0x21, 0xa0 ^ 0x12, 198 ^ 0x21, 51 ^ 0x12, 100 ^ 0xa4, 7 ^ 0x42];
        assert_eq!(read(&[&software, &v4]), Some("198.51.100.7:4000".parse().unwrap()));
        let masked: Vec<u8> =
            [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1u8].iter().zip(&header[4..]).map(|(a, b)| a ^ b).collect();
        assert_eq!(read(&[&[0, 0x20, 0, 20, 0, 2, 0x0f ^ 0x21, 0xa0 ^ 0x12], &masked]), Some("[2001:db8::1]:4000".parse().unwrap()));
        let wrong: [&[u8]; 5] = [&[], &software, &v4[..11], &[0, 0x20, 0, 4, 0, 1, 0, 0], &[0, 0x20, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0]];
        for attributes in wrong {
            assert_eq!(read(&[attributes]), None, "{attributes:?}");
        }
    }

    #[test]
    fn silent_server_is_asked_less_and_less_and_then_given_up() {
        let mut discovery = Discovery::new(SERVER, u128::MAX, at(0));
        let mut times = Vec::new();
        loop {
            let due = discovery.deadline();
            match discovery.poll(due) {
                Discovering::Ask(_) => times.push((due - at(0)).as_millis()),
                Discovering::Over => break,
                Discovering::Wait => panic!("it is due"),
            }
        }
        assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!((discovery.deadline() - at(0)).as_millis(), 63_500);
    }
}
