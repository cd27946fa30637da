//! SRTP (RFC 3711): what goes to a viewer is sealed, and what it reports is opened.
//!
//! Each direction has a master key and salt, out of DTLS (RFC 5764, section 4.2; [`super::keys`]); of these, keys for RTP and for RTCP are
//! [derived](derivation), and a [cipher] made of each: AES-GCM (RFC 7714), or AES-CM with HMAC-SHA1 (RFC 3711). A sealed packet's nonce is
//! made of its stream (SSRC) and index, so a stream's index must never be sealed twice, not even for the same packet with another
//! extension: what is not behind the last of its stream is not sealed at all. What is sent again goes on a stream of its own (RTX, RFC 4588).
//!
//! RTP from a viewer is of no interest. Its RTCP is opened if it is authentic and new, by a window for each stream (RFC 3711, 3.3.2).
//!
//! Copies: 1 of a payload (its encryption, into the datagram). An RTX packet's payload is gathered before that: 1 more.

mod cipher;
mod derivation;
mod replay;
#[cfg(test)]
mod tests;

use std::fmt;

use str0m::crypto::dtls::SrtpProfile;

use super::keys::{self, Keys};
use cipher::Cipher;
use derivation::{Direction, Use};
use replay::Window;

/// Seals what we send.
pub(super) struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    /// The index of the next RTCP packet. All of our streams share it: to each of them it grows.
    rtcp_index: u32,
    /// The last index of each of our streams.
    sealed: Vec<(u32, u64)>,
    /// A payload that comes in two pieces.
    whole: Vec<u8>,
}

/// Opens what the viewer reports.
pub(super) struct Opener {
    rtcp: Cipher,
    /// What came of each of its streams.
    opened: Vec<(u32, Window)>,
}

/// Both directions' contexts of what a handshake came to; nothing for a profile that is not known.
pub(super) fn contexts(keys: &Keys) -> Option<(Sealer, Opener)> {
    let crypto = keys::provider();
    let is_long = match keys.profile {
        SrtpProfile::AEAD_AES_128_GCM | SrtpProfile::AES128_CM_SHA1_80 => false,
        SrtpProfile::AEAD_AES_256_GCM => true,
        _ => return None,
    };
    let is_aead = keys.profile != SrtpProfile::AES128_CM_SHA1_80;
    let ours = Direction::read(&keys.material, is_long, is_aead, keys.is_client)?;
    let theirs = Direction::read(&keys.material, is_long, is_aead, !keys.is_client)?;
    let cipher = |direction: &Direction<'_>, of, encrypts| Cipher::new(&crypto, keys.profile, direction, of, encrypts);
    let (rtp, rtcp) = (cipher(&ours, Use::Rtp, true)?, cipher(&ours, Use::Rtcp, true)?);
    let sealer = Sealer { rtp, rtcp, rtcp_index: 0, sealed: Vec::new(), whole: Vec::new() };
    Some((sealer, Opener { rtcp: cipher(&theirs, Use::Rtcp, false)?, opened: Vec::new() }))
}

impl Sealer {
    /// By how many bytes a sealed RTP packet is longer.
    pub(super) fn tag_bytes(&self) -> usize {
        self.rtp.tag_bytes()
    }

    /// Appends the sealed form of an RTP packet to `out`.
    ///
    /// Its `header` (the fixed one, contributing sources, extensions) stays readable; the pieces of its payload are encrypted, one behind
    /// the other. Its `index` is its roll-over counter (32 bits) and its number (16). Nothing is appended when that is not behind the last
    /// one that was sealed of its stream.
    pub(super) fn seal_rtp(&mut self, header: &[u8], parts: [&[u8]; 2], index: u64, out: &mut Vec<u8>) {
        let Some(&[_, _, n1, n0, _, _, _, _, s3, s2, s1, s0]) = header.first_chunk() else { return };
        let stream = u32::from_be_bytes([s3, s2, s1, s0]);
        debug_assert_eq!(u64::from(u16::from_be_bytes([n1, n0])), index & 0xffff, "the header's number is the index's");
        if index >> RTP_INDEX_BITS != 0 || !self.advance(stream, index) {
            return;
        }
        let payload = match parts {
            [[], payload] => payload,
            [first, second] => {
                self.whole.clear();
                self.whole.extend_from_slice(first);
                self.whole.extend_from_slice(second);
                &self.whole
            }
        };
        self.rtp.seal_rtp(header, payload, stream, index, out);
    }

    /// Appends the sealed form of a compound RTCP packet to `out`, with the next index. Nothing is appended once all are used up, after
    /// 2³¹ packets.
    pub(super) fn seal_rtcp(&mut self, packet: &[u8], out: &mut Vec<u8>) {
        let Some((header, rest)) = packet.split_first_chunk() else { return };
        let index = self.rtcp_index;
        if index >> RTCP_INDEX_BITS != 0 {
            return;
        }
        self.rtcp_index += 1;
        self.rtcp.seal_rtcp(header, rest, index, out);
    }

    /// Whether the index is behind the last of its stream. It is the last then.
    fn advance(&mut self, stream: u32, index: u64) -> bool {
        let Some((_, last)) = self.sealed.iter_mut().find(|(of, _)| *of == stream) else {
            self.sealed.push((stream, index));
            return true;
        };
        let is_next = index > *last;
        *last = index.max(*last);
        is_next
    }
}

impl Opener {
    /// The RTCP packet in an SRTCP packet, put in `room`; nothing when that is forged, malformed, or was opened before.
    pub(super) fn open_rtcp<'a>(&mut self, packet: &[u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let (stream, index) = self.rtcp.rtcp_index(packet)?;
        let window = self.opened.iter().position(|(of, _)| *of == stream);
        match window {
            Some(at) if !self.opened[at].1.is_new(index) => return None,
            None if self.opened.len() == MOST_STREAMS => return None,
            Some(_) | None => {}
        }
        self.rtcp.open_rtcp(packet, stream, index, room)?;
        // Only what is authentic moves a window, or makes one.
        match window {
            Some(at) => self.opened[at].1.insert(index),
            None => self.opened.push((stream, Window::from(index))),
        }
        Some(room)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("rtcp_index", &self.rtcp_index).field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("opened", &self.opened).finish_non_exhaustive()
    }
}

/// A roll-over counter of 32 bits, and a number of 16 (RFC 3711, section 3.3.1).
const RTP_INDEX_BITS: u32 = 48;
/// The 32nd says whether it is encrypted (RFC 3711, section 3.4).
const RTCP_INDEX_BITS: u32 = 31;
/// A viewer reports on one stream or a few. One that makes up more is not listened to on those.
const MOST_STREAMS: usize = 64;
