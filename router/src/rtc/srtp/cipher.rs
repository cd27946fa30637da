//! What encrypts and authenticates, by profile.

use str0m::crypto::dtls::SrtpProfile;
use str0m::crypto::{AeadAes128Gcm, AeadAes128GcmCipher, AeadAes256Gcm, AeadAes256GcmCipher};
use str0m::crypto::{Aes128CmSha1_80, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider, Sha1HmacProvider};

use super::derivation::{Direction, Use};

/// The keys of RTP or of RTCP in one direction, ready for use.
pub(super) enum Cipher {
    /// RFC 7714.
    Gcm(Gcm, [u8; GCM_SALT_BYTES]),
    /// RFC 3711, sections 4.1.1 and 4.2.1.
    Cm(Cm),
}

/// AES-GCM, by the length of its key.
pub(super) enum Gcm {
    Long(Box<dyn AeadAes256GcmCipher>),
    Short(Box<dyn AeadAes128GcmCipher>),
}

pub(super) struct Cm {
    cipher: Box<dyn Aes128CmSha1_80Cipher>,
    salt: [u8; Aes128CmSha1_80::SALT_LEN],
    hmac: &'static dyn Sha1HmacProvider,
    hmac_key: [u8; Aes128CmSha1_80::HMAC_KEY_LEN],
}

impl Cipher {
    /// That of a direction for RTP or RTCP; nothing for a profile that is not known.
    pub(super) fn new(crypto: &CryptoProvider, profile: SrtpProfile, direction: &Direction<'_>, of: Use, encrypts: bool) -> Option<Self> {
        let srtp = crypto.srtp_provider;
        let gcm = |gcm| Some(Self::Gcm(gcm, direction.salt(srtp, of)));
        match profile {
            SrtpProfile::AEAD_AES_128_GCM => gcm(Gcm::Short(srtp.aead_aes_128_gcm().create_cipher(direction.key(srtp, of), encrypts))),
            SrtpProfile::AEAD_AES_256_GCM => gcm(Gcm::Long(srtp.aead_aes_256_gcm().create_cipher(direction.key(srtp, of), encrypts))),
            SrtpProfile::AES128_CM_SHA1_80 => Some(Self::Cm(Cm {
                cipher: srtp.aes_128_cm_sha1_80().create_cipher(direction.key(srtp, of), encrypts),
                salt: direction.salt(srtp, of),
                hmac: crypto.sha1_hmac_provider,
                hmac_key: direction.authentication_key(srtp, of),
            })),
            _ => None,
        }
    }

    /// What a tag takes behind an RTP packet.
    pub(super) fn tag_bytes(&self) -> usize {
        match self {
            Self::Gcm(..) => GCM_TAG_BYTES,
            Self::Cm(_) => CM_TAG_BYTES,
        }
    }

    /// Appends a sealed RTP packet: its header, the payload's cipher text, a tag.
    pub(super) fn seal_rtp(&mut self, header: &[u8], payload: &[u8], stream: u32, index: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(header);
        let body = out.len();
        let sealed = match self {
            Self::Gcm(gcm, salt) => {
                out.resize(body + payload.len() + GCM_TAG_BYTES, 0);
                gcm.encrypt(&gcm_rtp_nonce(salt, stream, index), header, payload, &mut out[body..])
            }
            Self::Cm(cm) => cm.encrypt(payload, stream, index, out).map(|()| {
                let rolled = (index >> 16) as u32;
                let tag = cm.tag(&[&out[start..], &rolled.to_be_bytes()]);
                out.extend_from_slice(&tag);
            }),
        };
        if sealed.is_err() {
            out.truncate(start);
        }
    }

    /// Appends a sealed RTCP packet: its header, the cipher text of the rest, and a tag and the index (GCM) or the index and a tag (CM).
    pub(super) fn seal_rtcp(&mut self, header: &[u8; RTCP_HEADER_BYTES], rest: &[u8], index: u32, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(header);
        let body = out.len();
        let stream = rtcp_stream(header);
        let trailer = (ENCRYPTED | index).to_be_bytes();
        let sealed = match self {
            Self::Gcm(gcm, salt) => {
                out.resize(body + rest.len() + GCM_TAG_BYTES, 0);
                let nonce = gcm_rtcp_nonce(salt, stream, index);
                gcm.encrypt(&nonce, &gcm_rtcp_readable(header, trailer), rest, &mut out[body..]).map(|()| out.extend_from_slice(&trailer))
            }
            Self::Cm(cm) => cm.encrypt(rest, stream, index.into(), out).map(|()| {
                out.extend_from_slice(&trailer);
                let tag = cm.tag(&[&out[start..]]);
                out.extend_from_slice(&tag);
            }),
        };
        if sealed.is_err() {
            out.truncate(start);
        }
    }

    /// The stream and the index that a sealed RTCP packet says it has; nothing when it is too short, or says that it is not encrypted,
    /// which none is in WebRTC (RFC 8827, section 6.5, forbids it).
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<(u32, u32)> {
        let (header, rest) = packet.split_first_chunk()?;
        let trailer = match self {
            Self::Gcm(..) => {
                let (sealed, trailer) = rest.split_last_chunk()?;
                (sealed.len() >= GCM_TAG_BYTES).then_some(trailer)?
            }
            Self::Cm(_) => rest.split_last_chunk::<CM_TAG_BYTES>()?.0.last_chunk()?,
        };
        let trailer = u32::from_be_bytes(*trailer);
        (trailer & ENCRYPTED != 0).then_some((rtcp_stream(header), trailer & !ENCRYPTED))
    }

    /// Puts the RTCP packet in `room`, if it is authentic.
    pub(super) fn open_rtcp(&mut self, packet: &[u8], stream: u32, index: u32, room: &mut Vec<u8>) -> Option<()> {
        let (header, rest) = packet.split_first_chunk()?;
        room.clear();
        room.extend_from_slice(header);
        match self {
            Self::Gcm(gcm, salt) => {
                let (sealed, trailer) = rest.split_last_chunk()?;
                room.resize(RTCP_HEADER_BYTES + sealed.len().checked_sub(GCM_TAG_BYTES)?, 0);
                let nonce = gcm_rtcp_nonce(salt, stream, index);
                gcm.decrypt(&nonce, &gcm_rtcp_readable(header, *trailer), sealed, &mut room[RTCP_HEADER_BYTES..]).ok()
            }
            Self::Cm(cm) => {
                let (signed, tag) = packet.split_last_chunk::<CM_TAG_BYTES>()?;
                let (sealed, _) = signed.get(RTCP_HEADER_BYTES..)?.split_last_chunk::<RTCP_TRAILER_BYTES>()?;
                if !cm.is_tagged(signed, tag) {
                    return None;
                }
                // It is the same as to encrypt: what is written over with the key stream.
                cm.encrypt(sealed, stream, index.into(), room).ok()
            }
        }
    }
}

impl Gcm {
    fn encrypt(&mut self, nonce: &Nonce, readable: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        match self {
            Self::Long(cipher) => cipher.encrypt(nonce, readable, input, output),
            Self::Short(cipher) => cipher.encrypt(nonce, readable, input, output),
        }
    }

    fn decrypt(&mut self, nonce: &Nonce, readable: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        match self {
            Self::Long(cipher) => cipher.decrypt(nonce, &[readable], input, output),
            Self::Short(cipher) => cipher.decrypt(nonce, &[readable], input, output),
        }
        .map(|_| ())
    }
}

impl Cm {
    /// Appends what is written over with the key stream.
    fn encrypt(&mut self, input: &[u8], stream: u32, index: u64, out: &mut Vec<u8>) -> Result<(), CryptoError> {
        let body = out.len();
        out.resize(body + input.len(), 0);
        let nonce = Aes128CmSha1_80::rtp_iv(self.salt, stream, index);
        self.cipher.encrypt(&nonce, input, &mut out[body..])
    }

    fn tag(&self, signed: &[&[u8]]) -> [u8; CM_TAG_BYTES] {
        let mut tag = [0; CM_TAG_BYTES];
        tag.copy_from_slice(&self.hmac.sha1_hmac(&self.hmac_key, signed)[..CM_TAG_BYTES]);
        tag
    }

    /// Whether a packet's tag is right, in a time that does not tell how wrong it is.
    fn is_tagged(&self, signed: &[u8], tag: &[u8]) -> bool {
        let hmac = |key: &[u8], signed: &[&[u8]]| self.hmac.sha1_hmac(key, signed);
        Aes128CmSha1_80::rtcp_verify(hmac, &self.hmac_key, signed, tag)
    }
}

type Nonce = [u8; AeadAes128Gcm::IV_LEN];

fn gcm_rtp_nonce(salt: &[u8; GCM_SALT_BYTES], stream: u32, index: u64) -> Nonce {
    AeadAes128Gcm::rtp_iv(*salt, stream, (index >> 16) as u32, index as u16)
}

fn gcm_rtcp_nonce(salt: &[u8; GCM_SALT_BYTES], stream: u32, index: u32) -> Nonce {
    AeadAes128Gcm::rtcp_iv(*salt, stream, index)
}

/// What of a sealed RTCP packet is authenticated, but not encrypted (RFC 7714, section 9.2).
fn gcm_rtcp_readable(header: &[u8; RTCP_HEADER_BYTES], trailer: [u8; RTCP_TRAILER_BYTES]) -> [u8; AeadAes128Gcm::RTCP_AAD_LEN] {
    let mut readable = [0; AeadAes128Gcm::RTCP_AAD_LEN];
    readable[..RTCP_HEADER_BYTES].copy_from_slice(header);
    readable[RTCP_HEADER_BYTES..].copy_from_slice(&trailer);
    readable
}

/// Who a compound RTCP packet is from.
fn rtcp_stream(&[_, _, _, _, s3, s2, s1, s0]: &[u8; RTCP_HEADER_BYTES]) -> u32 {
    u32::from_be_bytes([s3, s2, s1, s0])
}

/// That of both lengths of key, as its nonce is.
const GCM_SALT_BYTES: usize = AeadAes128Gcm::SALT_LEN;
/// That of both lengths of key.
const GCM_TAG_BYTES: usize = AeadAes128Gcm::TAG_LEN;
const _: () = assert!(AeadAes256Gcm::TAG_LEN == GCM_TAG_BYTES && AeadAes256Gcm::SALT_LEN == GCM_SALT_BYTES);
/// 80 bits.
const CM_TAG_BYTES: usize = Aes128CmSha1_80::HMAC_TAG_LEN;
/// What stays readable of a compound RTCP packet: its first word, and who it is from.
const RTCP_HEADER_BYTES: usize = 8;
/// The index, and whether it is encrypted.
const RTCP_TRAILER_BYTES: usize = 4;
/// The flag in the trailer.
const ENCRYPTED: u32 = 1 << 31;
