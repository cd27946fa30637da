//! The keys of a session, out of those of a handshake.

use str0m::crypto::SrtpProvider;

/// One direction's master key and salt.
pub(super) struct Direction<'a> {
    key: &'a [u8],
    /// With zeros behind it where it is shorter (RFC 7714, section 11).
    salt: [u8; SALT_BYTES],
}

/// What a key is for.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Rtcp,
    Rtp,
}

impl<'a> Direction<'a> {
    /// That of the client, or of the server, in the material of a handshake, which is both keys and then both salts, the client's first
    /// (RFC 5764, section 4.2). Keys have 32 bytes if they are long, else 16; salts 12 if the cipher authenticates itself, else 14.
    pub(super) fn read(material: &'a [u8], is_long: bool, is_aead: bool, is_client: bool) -> Option<Self> {
        let (key_bytes, salt_bytes) = (if is_long { 32 } else { 16 }, if is_aead { 12 } else { SALT_BYTES });
        if material.len() != 2 * (key_bytes + salt_bytes) {
            return None;
        }
        let (keys, salts) = material.split_at(2 * key_bytes);
        let (key, part) = if is_client { (&keys[..key_bytes], &salts[..salt_bytes]) } else { (&keys[key_bytes..], &salts[salt_bytes..]) };
        let mut salt = [0; SALT_BYTES];
        salt[..salt_bytes].copy_from_slice(part);
        Some(Self { key, salt })
    }

    /// The key that encrypts.
    pub(super) fn key<const N: usize>(&self, crypto: &dyn SrtpProvider, of: Use) -> [u8; N] {
        self.derive(crypto, of.label())
    }

    /// The key that authenticates, where that is another.
    pub(super) fn authentication_key<const N: usize>(&self, crypto: &dyn SrtpProvider, of: Use) -> [u8; N] {
        self.derive(crypto, of.label() + 1)
    }

    /// The salt.
    pub(super) fn salt<const N: usize>(&self, crypto: &dyn SrtpProvider, of: Use) -> [u8; N] {
        self.derive(crypto, of.label() + 2)
    }

    /// The key stream of AES in counter mode from the label on (RFC 3711, sections 4.3.1 and 4.3.3, with a key derivation rate of 0;
    /// RFC 6188 for long keys).
    fn derive<const N: usize>(&self, crypto: &dyn SrtpProvider, label: u8) -> [u8; N] {
        let mut derived = [0; N];
        let mut counter = [0; BLOCK_BYTES];
        counter[..SALT_BYTES].copy_from_slice(&self.salt);
        counter[LABEL_AT] ^= label;
        // A provider may need a block more than it fills.
        let mut block = [0; 2 * BLOCK_BYTES];
        for (number, part) in (0_u16..).zip(derived.chunks_mut(BLOCK_BYTES)) {
            counter[SALT_BYTES..].copy_from_slice(&number.to_be_bytes());
            if self.key.len() == 32 {
                crypto.srtp_aes_256_ecb_round(self.key, &counter, &mut block);
            } else {
                crypto.srtp_aes_128_ecb_round(self.key, &counter, &mut block);
            }
            part.copy_from_slice(&block[..part.len()]);
        }
        derived
    }
}

impl Use {
    /// The first of its three labels.
    fn label(self) -> u8 {
        match self {
            Self::Rtcp => 3,
            Self::Rtp => 0,
        }
    }
}

/// A block of AES.
const BLOCK_BYTES: usize = 16;
/// The master salt of RFC 3711. The two bytes behind it count blocks.
const SALT_BYTES: usize = 14;
/// A label is above the 48 bits of an index.
const LABEL_AT: usize = SALT_BYTES - 7;

#[cfg(test)]
mod tests {
    use super::super::tests::bytes;
    use super::*;
    use str0m::crypto::from_feature_flags;

    #[test]
    fn keys_are_those_of_rfc_3711_b_3() {
        let crypto = from_feature_flags().srtp_provider;
        let key = bytes("e1f97a0d3e018be0d64fa32c06de4139");
        let direction = Direction { key: &key, salt: bytes("0ec675ad498afeebb6960b3aabe6").try_into().unwrap() };
        assert_eq!(direction.key::<16>(crypto, Use::Rtp), *bytes("c61e7a93744f39ee10734afe3ff7a087"));
        assert_eq!(direction.salt::<14>(crypto, Use::Rtp), *bytes("30cbbc08863d8c85d49db34a9ae1"));
        let authentication = bytes(
            "cebe321f6ff7716b6fd4ab49af256a156d38baa48f0a0acf3c34e2359e6cdbcee049646c43d9327ad175578ef72270986371c10c9a369ac2f94a8c5fbcddd\
             c256d6e919a48b610ef17c2041e47403576",
        );
        assert_eq!(direction.authentication_key::<80>(crypto, Use::Rtp)[..], authentication[..80]);
    }

    #[test]
    fn long_keys_are_those_of_rfc_6188_7_2() {
        let crypto = from_feature_flags().srtp_provider;
        let key = bytes("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
        let direction = Direction { key: &key, salt: bytes("3b04803de51ee7c96423ab5b78d2").try_into().unwrap() };
        assert_eq!(direction.key::<32>(crypto, Use::Rtp), *bytes("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"));
        assert_eq!(direction.salt::<14>(crypto, Use::Rtp), *bytes("fa31791685ca444a9e07c6c64e93"));
        assert_eq!(direction.authentication_key::<20>(crypto, Use::Rtp), *bytes("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    }
}
