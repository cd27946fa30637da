//! By the RFCs' vectors, and with everything that can be wrong with a packet.

use str0m::crypto::dtls::KeyingMaterial;
use str0m::crypto::from_feature_flags;

use super::cipher::{self, Cipher};
use super::*;

const PROFILES: [SrtpProfile; 3] = [SrtpProfile::AEAD_AES_128_GCM, SrtpProfile::AEAD_AES_256_GCM, SrtpProfile::AES128_CM_SHA1_80];

#[test]
fn rtp_is_sealed_as_in_rfc_7714_16() {
    let packet = bytes("8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let (header, payload) = packet.split_at(12);
    let short = "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb1\
                 6a9152cf765ee4390cce";
    let long = "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfff\
                d6b0f9bb7878d7a76c13";
    for (mut cipher, expected) in gcm_of_the_rfc().into_iter().zip([short, long]) {
        let mut out = Vec::new();
        cipher.seal_rtp(header, payload, 0x5501_a0b2, 0xf17b, &mut out);
        assert_eq!(out, bytes(expected));
    }
}

#[test]
fn rtcp_is_sealed_and_opened_as_in_rfc_7714_17() {
    let packet = bytes("81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let short = "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa458\
                 96cf4d2fc5abf87245d9eade800005d4";
    let long = "81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c\
                4446839f57ff6f6cb26ac3be800005d4";
    let tagged = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef841dd968\
                  3dd78ec92ae58790125f62b3000005d4";
    for (mut cipher, expected) in gcm_of_the_rfc().into_iter().zip([short, long]) {
        let (header, rest) = packet.split_first_chunk().unwrap();
        let (mut out, mut room) = (Vec::new(), Vec::new());
        cipher.seal_rtcp(header, rest, 0x5d4, &mut out);
        assert_eq!(out, bytes(expected));
        assert_eq!(cipher.rtcp_index(&out), Some((0x4d61_7273, 0x5d4)));
        cipher.open_rtcp(&out, 0x4d61_7273, 0x5d4, &mut room).unwrap();
        assert_eq!(room, packet);
        assert_eq!(cipher.rtcp_index(&bytes(tagged)), None, "one that is not encrypted is not taken");
    }
}

#[test]
fn counter_mode_is_that_of_a_packet_that_libsrtp_sealed() {
    // What libsrtp's srtp_driver validates itself with: the master key and salt of RFC 3711, B.3, stream 0xcafebabe, number 0x1234.
    let master = bytes("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6");
    let mut sealer = sealer_of(&master[..16], &master[16..], SrtpProfile::AES128_CM_SHA1_80);
    let mut out = Vec::new();
    sealer.seal_rtp(&bytes("800f1234decafbadcafebabe"), [&[], &[0xab; 16]], 0x1234, &mut out);
    assert_eq!(out, bytes("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"));
    let mut out = Vec::new();
    sealer.rtcp_index = 1;
    sealer.seal_rtcp(&bytes("81c8000bcafebabeabababababababababababababababab"), &mut out);
    assert_eq!(out, bytes("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798"));
}

#[test]
fn what_one_end_seals_the_other_opens_once() {
    for profile in PROFILES {
        let ((mut sealer, _), (_, mut opener)) = ends(profile);
        let mut room = Vec::new();
        let sealed: Vec<_> = (0..200_u8).map(|at| seal_rtcp(&mut sealer, &report(1 + u32::from(at % 2), at))).collect();
        for (at, packet) in (0..).zip(&sealed) {
            assert_eq!(opener.open_rtcp(packet, &mut room), Some(&report(1 + u32::from(at % 2), at)[..]), "{profile}");
            assert_eq!(opener.open_rtcp(packet, &mut room), None, "{profile}: again");
        }
        for packet in &sealed {
            assert_eq!(opener.open_rtcp(packet, &mut room), None, "{profile}: again, and late");
        }
    }
}

#[test]
fn what_comes_out_of_order_is_opened_within_the_window() {
    for profile in PROFILES {
        let ((mut sealer, _), (_, mut opener)) = ends(profile);
        let mut room = Vec::new();
        let sealed: Vec<_> = (0..70).map(|at| seal_rtcp(&mut sealer, &report(1, at))).collect();
        assert!(opener.open_rtcp(&sealed[69], &mut room).is_some());
        for (at, packet) in sealed.iter().enumerate() {
            assert_eq!(opener.open_rtcp(packet, &mut room).is_some(), (6..69).contains(&at), "{profile}: {at}");
        }
    }
}

#[test]
fn a_direction_opens_only_the_other_end() {
    for profile in PROFILES {
        let ((mut client, mut of_client), (mut server, mut of_server)) = ends(profile);
        let (from_client, from_server) = (seal_rtcp(&mut client, &report(1, 1)), seal_rtcp(&mut server, &report(1, 1)));
        let mut room = Vec::new();
        assert_ne!(from_client, from_server);
        assert!(of_client.open_rtcp(&from_client, &mut room).is_none() && of_server.open_rtcp(&from_server, &mut room).is_none());
        assert!(of_client.open_rtcp(&from_server, &mut room).is_some() && of_server.open_rtcp(&from_client, &mut room).is_some());
    }
}

#[test]
fn no_cut_and_no_flipped_bit_is_opened_nor_remembered() {
    for profile in PROFILES {
        let ((mut sealer, _), (_, mut opener)) = ends(profile);
        let mut room = Vec::new();
        let sealed = seal_rtcp(&mut sealer, &report(1, 7));
        for end in 0..sealed.len() {
            assert_eq!(opener.open_rtcp(&sealed[..end], &mut room), None, "{profile}: cut to {end}");
        }
        for bit in 0..8 * sealed.len() {
            let mut forged = sealed.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opener.open_rtcp(&forged, &mut room), None, "{profile}: bit {bit}");
        }
        for length in 0..64 {
            for fill in [0, 0x80, 0xff] {
                assert_eq!(opener.open_rtcp(&vec![fill; length], &mut room), None);
            }
        }
        assert!(opener.opened.is_empty(), "what is forged leaves nothing behind");
        assert_eq!(opener.open_rtcp(&sealed, &mut room), Some(&report(1, 7)[..]));
    }
}

#[test]
fn a_report_of_nothing_but_its_sender_is_sealed_and_opened() {
    for profile in PROFILES {
        let ((mut sealer, _), (_, mut opener)) = ends(profile);
        let empty = bytes("80c9000100000001");
        assert_eq!(opener.open_rtcp(&seal_rtcp(&mut sealer, &empty), &mut Vec::new()), Some(&empty[..]));
        let mut out = Vec::new();
        for end in 0..8 {
            sealer.seal_rtcp(&empty[..end], &mut out);
        }
        assert!(out.is_empty());
    }
}

#[test]
fn pieces_are_sealed_as_the_whole() {
    for profile in PROFILES {
        let payload: Vec<u8> = (0..=255).collect();
        let sealed = |parts: [&[u8]; 2]| {
            let ((mut sealer, _), _) = ends(profile);
            let mut out = b"before".to_vec();
            sealer.seal_rtp(&header(9, 5), parts, 5, &mut out);
            out
        };
        let whole = sealed([&[], &payload]);
        assert!(whole.starts_with(b"before") && whole[6..18] == header(9, 5));
        let tag_bytes = if profile == SrtpProfile::AES128_CM_SHA1_80 { 10 } else { 16 };
        assert_eq!((whole.len(), ends(profile).0.0.tag_bytes()), (6 + 12 + 256 + tag_bytes, tag_bytes));
        assert_eq!(sealed([&payload[..2], &payload[2..]]), whole, "{profile}");
        assert_eq!(sealed([&payload, &[]]), whole, "{profile}");
    }
}

#[test]
fn room_for_what_is_sealed_is_enough() {
    for profile in PROFILES {
        let ((mut sealer, _), _) = ends(profile);
        for length in 0..50_u16 {
            let mut out = Vec::new();
            out.reserve_exact(12 + usize::from(length) + sealer.tag_bytes());
            let before = (out.as_ptr(), out.capacity());
            sealer.seal_rtp(&header(1, length), [&[], &vec![1; length.into()]], length.into(), &mut out);
            assert_eq!((out.as_ptr(), out.capacity(), out.len()), (before.0, before.1, before.1), "{profile}: {length}");
        }
    }
}

#[test]
fn an_index_is_sealed_once() {
    for profile in PROFILES {
        let ((mut sealer, _), _) = ends(profile);
        let mut out = Vec::new();
        sealer.seal_rtp(&header(1, 0xffff), [&[], b"first"], 0xffff, &mut out);
        let first = out.len();
        sealer.seal_rtp(&header(1, 0), [&[], b"third"], 0x1_0000, &mut out);
        assert_eq!(out.len(), 2 * first, "numbers wrap, indices do not");
        sealer.seal_rtp(&header(2, 0xffff), [&[], b"other"], 0xffff, &mut out);
        assert_eq!(out.len(), 3 * first, "each stream has its own");
        sealer.seal_rtp(&header(1, 0), [&[], b"again"], 0x1_0000, &mut out);
        sealer.seal_rtp(&header(1, 0xffff), [&[], b"again"], 0xffff, &mut out);
        assert_eq!(out.len(), 3 * first, "once");
        sealer.seal_rtp(&header(3, 0), [&[], b"too late"], 1 << 48, &mut out);
        sealer.seal_rtp(&header(3, 0)[..11], [&[], b"too short"], 0, &mut out);
        sealer.rtcp_index = 1 << 31;
        sealer.seal_rtcp(&report(1, 1), &mut out);
        assert_eq!(out.len(), 3 * first, "all are used up");
    }
}

#[test]
fn streams_that_are_made_up_are_bounded() {
    let ((mut sealer, _), (_, mut opener)) = ends(SrtpProfile::AEAD_AES_128_GCM);
    let mut room = Vec::new();
    for stream in 0..100 {
        let opened = opener.open_rtcp(&seal_rtcp(&mut sealer, &report(stream, 0)), &mut room).is_some();
        assert_eq!(opened, stream < 64);
    }
    assert!(opener.open_rtcp(&seal_rtcp(&mut sealer, &report(63, 1)), &mut room).is_some());
}

#[test]
fn nothing_is_made_of_material_of_another_length() {
    for profile in PROFILES {
        for length in 0..120 {
            let keys = Keys { material: KeyingMaterial::new(&vec![1; length]), profile, is_client: true };
            assert_eq!(contexts(&keys).is_some(), length == profile.keying_material_len());
        }
    }
}

#[test]
fn keys_are_not_printed() {
    let material: Vec<u8> = (100..160).collect();
    let keys = Keys { material: KeyingMaterial::new(&material), profile: SrtpProfile::AES128_CM_SHA1_80, is_client: true };
    let (sealer, opener) = contexts(&keys).unwrap();
    let printed = format!("{keys:?} {sealer:?} {opener:?}");
    assert_eq!(
        printed,
        "Keys { profile: AES128_CM_SHA1_80, is_client: true, .. } Sealer { rtcp_index: 0, sealed: [], .. } Opener { opened: [], .. }"
    );
}

/// Ciphers of the session keys and the salt of RFC 7714, section 16: short, and long.
fn gcm_of_the_rfc() -> [Cipher; 2] {
    let key: [u8; 32] = std::array::from_fn(|at| at as u8);
    let srtp = from_feature_flags().srtp_provider;
    let salt = *b"Quid pro quo";
    [
        Cipher::Gcm(cipher::Gcm::Short(srtp.aead_aes_128_gcm().create_cipher(*key.first_chunk().unwrap(), true)), salt),
        Cipher::Gcm(cipher::Gcm::Long(srtp.aead_aes_256_gcm().create_cipher(key, true)), salt),
    ]
}

/// The sealer with this master key and salt.
fn sealer_of(key: &[u8], salt: &[u8], profile: SrtpProfile) -> Sealer {
    let material = [key, key, salt, salt].concat();
    contexts(&Keys { material: KeyingMaterial::new(&material), profile, is_client: true }).unwrap().0
}

/// The client's end and the server's.
fn ends(profile: SrtpProfile) -> ((Sealer, Opener), (Sealer, Opener)) {
    let material: Vec<u8> = (0..profile.keying_material_len()).map(|at| (at as u8).wrapping_mul(7)).collect();
    let end = |is_client| contexts(&Keys { material: KeyingMaterial::new(&material), profile, is_client }).unwrap();
    (end(true), end(false))
}

fn seal_rtcp(sealer: &mut Sealer, packet: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sealer.seal_rtcp(packet, &mut out);
    out
}

/// A receiver report from a stream, with something in it.
fn report(stream: u32, fill: u8) -> Vec<u8> {
    [&bytes("81c90007")[..], &stream.to_be_bytes(), &[fill; 24]].concat()
}

/// An RTP header.
fn header(stream: u32, number: u16) -> [u8; 12] {
    let (mut header, number) = ([0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], number.to_be_bytes());
    header[2..4].copy_from_slice(&number);
    header[8..].copy_from_slice(&stream.to_be_bytes());
    header
}

/// What hexadecimal digits say.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
