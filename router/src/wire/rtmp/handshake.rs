//! The handshake (5.2): three pieces each way, of which the middle one may carry a digest.
//!
//! RTMP 1.0 has peers exchange and echo random bytes. Since Flash Player 9 peers may hide a digest (HMAC-SHA256) in them by which each proves to be
//! genuine Adobe software; everybody knows the keys since. A peer whose bytes hold a digest gets one, every other gets the plain handshake.

use bytes::{Buf, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Error;

/// The random bytes that a handshake takes.
pub const RANDOM_BYTES: usize = 1528;

/// One side of the handshake.
#[derive(Debug)]
pub(super) struct Handshake {
    side: Side,
    stage: Stage,
    buffer: BytesMut,
    /// Our C1 or S1, once it is sent.
    ours: Box<[u8; PIECE_BYTES]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The peer's version and its first piece.
    First,
    /// The peer's answer to our piece.
    Second,
    Done,
}

impl Handshake {
    /// Waits for a client.
    pub(super) fn server(random: &[u8; RANDOM_BYTES]) -> Self {
        Self { side: Side::Server, stage: Stage::First, buffer: BytesMut::new(), ours: piece(random, [0; 4]) }
    }

    /// Greets a server.
    pub(super) fn client(random: &[u8; RANDOM_BYTES], out: &mut BytesMut) -> Self {
        let mut ours = piece(random, CLIENT_VERSION);
        seal(&mut ours, PLAYER_KEY);
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&ours[..]);
        Self { side: Side::Client, stage: Stage::First, buffer: BytesMut::new(), ours }
    }

    /// Takes the peer's next bytes; once the handshake is done, gives those that come after it.
    pub(super) fn handle_input(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<Option<BytesMut>, Error> {
        self.buffer.extend_from_slice(bytes);
        if self.stage == Stage::First {
            if self.buffer.first().is_some_and(|&version| version != VERSION) {
                return Err(Error::Version);
            }
            let Some(theirs) = self.buffer.get(1..=PIECE_BYTES).and_then(|theirs| <[u8; PIECE_BYTES]>::try_from(theirs).ok()) else {
                return Ok(None);
            };
            self.buffer.advance(1 + PIECE_BYTES);
            self.stage = Stage::Second;
            match self.side {
                Side::Client => self.answer(&theirs, SERVER_KEY, PLAYER_KEY_WHOLE, out),
                Side::Server => {
                    let digest = digest_of(&theirs, PLAYER_KEY);
                    if digest.is_some() {
                        self.ours[4..8].copy_from_slice(&SERVER_VERSION);
                        seal(&mut self.ours, SERVER_KEY);
                    }
                    out.extend_from_slice(&[VERSION]);
                    out.extend_from_slice(&self.ours[..]);
                    self.answer(&theirs, PLAYER_KEY, SERVER_KEY_WHOLE, out);
                }
            }
        }
        // What the answer says is nobody's business: some send zeros.
        if self.stage == Stage::Second && self.buffer.len() >= PIECE_BYTES {
            self.buffer.advance(PIECE_BYTES);
            self.stage = Stage::Done;
        }
        Ok((self.stage == Stage::Done).then(|| std::mem::take(&mut self.buffer)))
    }

    /// Writes what answers the peer's piece: a digest over random bytes where it has one, else its echo.
    fn answer(&self, theirs: &[u8; PIECE_BYTES], their_key: &[u8], our_key: &[u8], out: &mut BytesMut) {
        let Some(digest) = digest_of(theirs, their_key) else { return out.extend_from_slice(theirs) };
        let random = &self.ours[..PIECE_BYTES - DIGEST_BYTES];
        out.extend_from_slice(random);
        out.extend_from_slice(&hmac(&hmac(our_key, &[&digest]), &[random]));
    }
}

/// A first piece: the time, which is nobody's business, the version, random bytes.
fn piece(random: &[u8; RANDOM_BYTES], version: [u8; 4]) -> Box<[u8; PIECE_BYTES]> {
    let mut piece = Box::new([0; PIECE_BYTES]);
    piece[4..8].copy_from_slice(&version);
    piece[8..].copy_from_slice(random);
    piece
}

/// Hides a digest in a piece.
fn seal(piece: &mut [u8; PIECE_BYTES], key: &[u8]) {
    seal_by(SCHEMES[0], piece, key);
}

fn seal_by(scheme: usize, piece: &mut [u8; PIECE_BYTES], key: &[u8]) {
    let at = digest_offset(piece, scheme);
    let digest = digest_around(piece, at, key);
    piece[at..at + DIGEST_BYTES].copy_from_slice(&digest);
}

/// The digest that a piece hides, in either of the two places.
fn digest_of(piece: &[u8; PIECE_BYTES], key: &[u8]) -> Option<[u8; DIGEST_BYTES]> {
    SCHEMES.into_iter().find_map(|scheme| {
        let at = digest_offset(piece, scheme);
        let digest = digest_around(piece, at, key);
        (piece[at..at + DIGEST_BYTES] == digest).then_some(digest)
    })
}

/// Where a piece says that its digest is, by the sum of four bytes.
fn digest_offset(piece: &[u8; PIECE_BYTES], scheme: usize) -> usize {
    let sum: usize = piece[scheme..scheme + 4].iter().map(|&byte| usize::from(byte)).sum();
    sum % 728 + scheme + 4
}

fn digest_around(piece: &[u8; PIECE_BYTES], at: usize, key: &[u8]) -> [u8; DIGEST_BYTES] {
    hmac(key, &[&piece[..at], &piece[at + DIGEST_BYTES..]])
}

fn hmac(key: &[u8], pieces: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any key will do for HMAC");
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

const VERSION: u8 = 3;
const PIECE_BYTES: usize = 1536;
const DIGEST_BYTES: usize = 32;
/// Where the four bytes are whose sum says where the digest is.
const SCHEMES: [usize; 2] = [8, 772];
/// The first Flash Player that both schemes are said to work with is 9.0.124; its number is what FFmpeg sends, too.
const CLIENT_VERSION: [u8; 4] = [9, 0, 124, 2];
/// Versions of a server from 3 on announce a digest.
const SERVER_VERSION: [u8; 4] = [3, 0, 1, 1];
/// What digests of clients are made with, and what their answers are.
const PLAYER_KEY: &[u8] = PLAYER_KEY_WHOLE.split_at(30).0;
const PLAYER_KEY_WHOLE: &[u8; 62] = b"Genuine Adobe Flash Player 001\
    \xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
/// What digests of servers are made with, and what their answers are.
const SERVER_KEY: &[u8] = SERVER_KEY_WHOLE.split_at(36).0;
const SERVER_KEY_WHOLE: &[u8; 68] = b"Genuine Adobe Flash Media Server 001\
    \xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";

#[cfg(test)]
mod tests {
    use super::*;

    fn shake(client: &mut Handshake, server: &mut Handshake, greeting: BytesMut) -> (BytesMut, BytesMut) {
        let (mut to_client, mut to_server) = (BytesMut::new(), BytesMut::new());
        assert_eq!(server.handle_input(&greeting, &mut to_client).unwrap(), None);
        let rest_of_client = client.handle_input(&to_client, &mut to_server).unwrap().unwrap();
        to_server.extend_from_slice(b"and more");
        let rest_of_server = server.handle_input(&to_server, &mut BytesMut::new()).unwrap().unwrap();
        assert_eq!((&rest_of_client[..], &rest_of_server[..]), (&b""[..], &b"and more"[..]));
        (to_client, to_server)
    }

    #[test]
    fn digests_are_made_and_known_by_both_sides() {
        let mut greeting = BytesMut::new();
        let mut client = Handshake::client(&[7; RANDOM_BYTES], &mut greeting);
        let mut server = Handshake::server(&[9; RANDOM_BYTES]);
        let (to_client, to_server) = shake(&mut client, &mut server, greeting);
        let from_server: [u8; PIECE_BYTES] = to_client[1..=PIECE_BYTES].try_into().unwrap();
        let digest = digest_of(&from_server, SERVER_KEY).expect("a digest in the server's piece");
        assert_signed(&to_server[..PIECE_BYTES], PLAYER_KEY_WHOLE, &digest);
    }

    #[test]
    fn digest_in_either_place_is_answered_with_one() {
        for scheme in [8, 772] {
            // Sums of all sizes, so that the digest comes to lie all over its half of the piece.
            for filling in [0, 1, 90, 181, 182, 254, 255] {
                let hello = |key| {
                    let mut theirs = piece(&[filling; RANDOM_BYTES], CLIENT_VERSION);
                    seal_by(scheme, &mut theirs, key);
                    theirs
                };
                let theirs = hello(PLAYER_KEY);
                let mut answer = BytesMut::new();
                let mut server = Handshake::server(&[9; RANDOM_BYTES]);
                server.handle_input(&[&[VERSION][..], &theirs[..]].concat(), &mut answer).unwrap();
                assert_signed(&answer[1 + PIECE_BYTES..], SERVER_KEY_WHOLE, &digest_of(&theirs, PLAYER_KEY).unwrap());

                let theirs = hello(SERVER_KEY);
                let mut answer = BytesMut::new();
                let mut client = Handshake::client(&[7; RANDOM_BYTES], &mut BytesMut::new());
                client.handle_input(&[&[VERSION][..], &theirs[..]].concat(), &mut answer).unwrap();
                assert_signed(&answer, PLAYER_KEY_WHOLE, &digest_of(&theirs, SERVER_KEY).unwrap());
            }
        }
    }

    fn assert_signed(answer: &[u8], key: &[u8], digest: &[u8]) {
        let (random, signature) = answer.split_at(PIECE_BYTES - DIGEST_BYTES);
        assert_eq!(signature, hmac(&hmac(key, &[digest]), &[random]));
    }

    #[test]
    fn peers_without_digest_get_the_plain_handshake() {
        let mut server = Handshake::server(&[9; RANDOM_BYTES]);
        let mut hello = vec![VERSION];
        hello.extend([1; PIECE_BYTES]);
        let mut answer = BytesMut::new();
        // Byte by byte: nothing hangs on how TCP cuts.
        for byte in &hello {
            assert_eq!(server.handle_input(&[*byte], &mut answer).unwrap(), None);
        }
        assert_eq!(answer.len(), 1 + 2 * PIECE_BYTES);
        assert_eq!(answer[5..9], [0; 4], "no digest is announced");
        assert_eq!(answer[1 + PIECE_BYTES..], hello[1..], "an echo");

        let mut greeting = BytesMut::new();
        let mut client = Handshake::client(&[7; RANDOM_BYTES], &mut greeting);
        let mut echo = BytesMut::new();
        client.handle_input(&answer, &mut echo).unwrap();
        assert_eq!(echo, &answer[1..=PIECE_BYTES]);
    }

    #[test]
    fn other_protocols_are_refused_by_their_first_byte() {
        for first in [0, 2, 6, b'G', 0x16] {
            let mut server = Handshake::server(&[9; RANDOM_BYTES]);
            assert_eq!(server.handle_input(&[first], &mut BytesMut::new()), Err(Error::Version));
        }
    }
}
