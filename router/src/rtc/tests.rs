use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crosspoint_ffi::{Codec, MediaTime};
use str0m::media::MediaKind::{Audio, Video};

use super::simulation::{BITRATES, CLIENT, Link, World, clock, doors, epoch, offer};
use super::{BadOffer, Identity, Offer, Peer, PeerOutput, Peers, PeersLimits, Protocol, Role, packetize, packetize_vp8};
use crate::broadcast::{Media, Unit};

pub(super) const FRAME: Duration = Duration::from_millis(33);

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A second of 30 pictures, key frames when they are asked for, and sound.
pub(super) fn publish_for(world: &mut World, frames: usize) {
    let mut asked = world.client_asked;
    for nth in 0..frames {
        let key = nth == 0 || world.client_asked != asked;
        asked = world.client_asked;
        world.publish(Video, key, if key { 20_000 } else { 4_000 });
        world.publish(Audio, true, 120);
        world.run(FRAME);
    }
}

fn pictures(world: &World) -> usize {
    world.packets().filter(|packet| packet.codec == Codec::Vp8).count()
}

#[test]
fn publisher_gives_access_units_in_time() {
    let mut world = World::new(&[Audio, Video], Role::Publisher, Link::GOOD);
    world.connect();
    publish_for(&mut world, 60);
    world.run(ms(200));
    assert_eq!(world.count(|output| matches!(output, PeerOutput::Connected)), 1);
    let video: Vec<_> = world.packets().filter(|packet| packet.codec == Codec::Vp8).collect();
    let audio: Vec<_> = world.packets().filter(|packet| packet.codec == Codec::Opus).collect();
    assert_eq!((video.len(), audio.len()), (60, 60));
    assert!(video[0].key && !video[1].key && video[0].data.len() == 20_000);
    for pair in video.windows(2) {
        let step = pair[1].pts.unwrap() - pair[0].pts.unwrap();
        assert!((step - MediaTime::from_millis(33)).abs() <= MediaTime::from_micros(20), "{step:?}");
    }
    let apart = (video[0].pts.unwrap() - audio[0].pts.unwrap()).abs();
    assert!(apart <= MediaTime::from_millis(10), "both tracks begin together: {apart:?}");
}

#[test]
fn publisher_is_told_to_send_both_channels_and_what_makes_up_for_losses() {
    let world = World::new(&[Audio], Role::Publisher, Link::GOOD);
    let told = world.answer.lines().find(|line| line.starts_with("a=fmtp:")).unwrap_or_default();
    let words: Vec<_> = told.split([' ', ';']).collect();
    assert!(words.contains(&"stereo=1") && words.contains(&"useinbandfec=1"), "{}", world.answer);
}

#[test]
fn key_frame_is_asked_for_until_one_comes() {
    let mut world = World::new(&[Video], Role::Publisher, Link::GOOD);
    world.connect();
    for _ in 0..60 {
        world.publish(Video, false, 1_000);
        world.run(FRAME);
    }
    let asked = world.client_asked;
    assert!((3..=5).contains(&asked), "asked {asked} times in 2 s");
    world.publish(Video, true, 1_000);
    world.run(Duration::from_secs(2));
    assert_eq!(world.client_asked, asked);
}

#[test]
fn publisher_over_a_bad_link_goes_on_at_key_frames() {
    let link = Link { delay: ms(25), jitter: ms(15), lost: 50, doubled: 20, ..Link::GOOD };
    let mut world = World::new(&[Audio, Video], Role::Publisher, link);
    world.connect();
    publish_for(&mut world, 600);
    world.run(ms(500));
    let seen = pictures(&world);
    assert!(seen > 540, "{seen} of 600 pictures, 5 % of datagrams lost");
    let sounds = world.packets().filter(|packet| packet.codec == Codec::Opus && World::captured(packet).is_some()).count();
    assert!(sounds > 540, "{sounds} of 600 packets of sound");
}

#[test]
fn outage_is_survived_and_a_new_key_frame_asked_for() {
    let mut world = World::new(&[Audio, Video], Role::Publisher, Link::GOOD);
    world.connect();
    publish_for(&mut world, 30);
    world.link = Link::DEAD;
    publish_for(&mut world, 300);
    let (before, asked) = (pictures(&world), world.client_asked);
    world.link = Link::GOOD;
    publish_for(&mut world, 300);
    assert!(world.client_asked > asked, "asked for a key frame");
    let seen = pictures(&world) - before;
    assert!(seen > 150, "{seen} of 300 pictures after an outage of 10 s");
    let newest = world.packets().last().unwrap();
    assert!(world.now - newest.arrival < ms(100), "live again");
}

#[test]
fn address_that_changes_is_followed() {
    let mut world = World::new(&[Audio, Video], Role::Publisher, Link::GOOD);
    world.connect();
    publish_for(&mut world, 30);
    world.seen_at = SocketAddr::from(([10, 0, 0, 99], 7777));
    publish_for(&mut world, 450);
    let newest = world.packets().last().unwrap();
    assert!(world.now - newest.arrival < ms(200), "still live at the new address");
}

#[test]
fn viewer_whose_address_changes_is_followed() {
    let mut world = World::new(&[Audio, Video], Role::Viewer, Link::GOOD);
    world.connect();
    show_for(&mut world, 90, 0);
    world.client_got.clear();
    let moved = world.now;
    world.seen_at = SocketAddr::from(([10, 0, 0, 99], 7777));
    show_for(&mut world, 900, 0);
    let first = world.client_got.iter().map(|data| data.network_time).find(|at| *at > moved + ms(100)).unwrap();
    assert!(first - moved < ms(3_000), "{:?} later", first - moved);
}

#[test]
fn key_frames_are_asked_for_at_a_bounded_rate() {
    let mut world = World::new(&[Video], Role::Publisher, Link::GOOD);
    world.connect();
    publish_for(&mut world, 30);
    let asked = world.client_asked;
    for _ in 0..100 {
        let now = world.now;
        world.peers.want_key(world.id, now);
        world.publish(Video, false, 500);
        world.run(ms(10));
    }
    let times = world.client_asked - asked;
    assert!((1..=3).contains(&times), "asked {times} times in a second");
}

pub(super) fn access_unit(key: bool, size: usize) -> Vec<u8> {
    let head: &[u8] = if key { &[0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80] } else { &[] };
    [head, &[0, 0, 0, 1, if key { 0x65 } else { 0x41 }], &vec![0xaa; size]].concat()
}

pub(super) fn picture(key: bool, access_unit: &[u8], time: MediaTime, captured: Instant) -> Unit {
    let (bytes, payloads) = (Bytes::copy_from_slice(access_unit), packetize(access_unit).into());
    Unit { media: Media::Video, key, bytes, payloads, preface: None, time, captured }
}

pub(super) fn sound(time: MediaTime, captured: Instant) -> Unit {
    let payloads = Arc::new([Arc::from(&[0xfc; 160][..])]);
    Unit { media: Media::Audio, key: false, bytes: Bytes::new(), payloads, preface: None, time, captured }
}

pub(super) fn show_for(world: &mut World, frames: u32, first: u32) {
    for nth in first..first + frames {
        let unit = access_unit(nth % 30 == 0, 6_000);
        let (now, time) = (world.now, MediaTime::from(world.now - world.start));
        world.peers.write(world.id, &picture(nth % 30 == 0, &unit, time, now), now, now);
        world.peers.write(world.id, &sound(time, now), now, now);
        world.run(FRAME);
    }
}

#[test]
fn viewer_gets_pictures_and_sound_in_one_stream() {
    let mut world = World::new(&[Audio, Video], Role::Viewer, Link::GOOD);
    let streams: Vec<_> = world.answer.lines().filter(|line| line.starts_with("a=msid:")).collect();
    assert!(streams.len() == 2 && streams.iter().all(|line| line.starts_with("a=msid:crosspoint ")), "{streams:?}");
    assert!(world.answer.contains("tcptype passive"), "{}", world.answer);
    world.connect();
    show_for(&mut world, 60, 0);
    world.run(ms(200));
    let got = |codec| world.client_got.iter().filter(|data| data.params.spec().codec == codec).count();
    assert_eq!((got(str0m::format::Codec::H264), got(str0m::format::Codec::Opus)), (60, 60));
    let first = world.client_got.iter().find(|data| data.params.spec().codec == str0m::format::Codec::H264).unwrap();
    assert!(first.is_keyframe());
    world.lose_picture();
    world.run(ms(100));
    assert_eq!(world.count(|output| matches!(output, PeerOutput::KeyWanted)), 1);
}

#[test]
fn viewer_that_asks_is_told_when_things_were_captured() {
    let mut world = World::new(&[Audio, Video], Role::Viewer, Link::GOOD);
    world.connect();
    let first = world.now;
    show_for(&mut world, 90, 0);
    world.run(ms(200));
    for wanted in [str0m::format::Codec::H264, str0m::format::Codec::Opus] {
        let expected = |nth| clock().time_of_day + (first - clock().at) + FRAME * nth;
        let all: Vec<_> = world.client_got.iter().filter(|data| data.params.spec().codec == wanted).collect();
        assert_eq!(all.len(), 90);
        let told: Vec<_> = (0..).zip(all).filter_map(|(nth, data)| Some((nth, data.ext_vals.abs_capture_time?))).collect();
        let apart = told.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
        assert!(told[0].0 == 0 && apart <= Some(30), "{wanted:?}: once a second at the least");
        for (nth, time) in told {
            let off = time.capture_time.duration_since(expected(nth)).unwrap_or_else(|error| error.duration());
            assert!(off < Duration::from_micros(100), "{wanted:?}: {off:?}");
        }
    }
}

#[test]
fn viewer_over_a_bad_link_is_sent_again_what_was_lost() {
    let link = Link { delay: ms(20), jitter: ms(10), lost: 30, doubled: 10, ..Link::GOOD };
    let mut world = World::new(&[Audio, Video], Role::Viewer, link);
    world.connect();
    show_for(&mut world, 300, 0);
    world.run(ms(500));
    let got = world.client_got.iter().filter(|data| data.params.spec().codec == str0m::format::Codec::H264).count();
    assert!(got > 285, "{got} of 300 pictures, 3 % of datagrams lost");
}

#[test]
fn peers_that_never_connect_or_fall_silent_are_gone_after_30_s() {
    let mut world = World::new(&[Video], Role::Viewer, Link::DEAD);
    world.run(ms(29_900));
    assert_eq!(world.peers.len(), 1);
    world.run(ms(200));
    assert!(world.peers.is_empty() && world.peers.check_room().is_ok());
    assert_eq!(world.count(|output| matches!(output, PeerOutput::Gone)), 1);

    let mut world = World::new(&[Video], Role::Publisher, Link::GOOD);
    world.connect();
    world.run(Duration::from_secs(120));
    assert_eq!(world.peers.len(), 1, "idle is not silent");
    world.link = Link::DEAD;
    world.run(ms(31_000));
    assert!(world.peers.is_empty());
}

#[test]
fn closing_tells_both_ends() {
    let mut world = World::new(&[Video], Role::Viewer, Link::GOOD);
    world.connect();
    let now = world.now;
    world.peers.close(world.id, now);
    world.run(ms(500));
    assert!(world.peers.is_empty());
    assert!(!world.client.is_alive() || !world.client.is_connected(), "the client was told");
}

#[test]
fn house_is_full_at_its_limits() {
    let identity = Identity::generate().unwrap();
    let now = epoch();
    let mut peers = Peers::new(PeersLimits { peers: 10, connecting: 3 });
    let negotiate = || {
        let (_, offer, ..) = offer(&[Video], Role::Viewer, now);
        Peer::viewer(Offer::parse(&offer.to_sdp_string()).unwrap(), BITRATES, clock(), &identity, &doors(), now).unwrap()
    };
    for _ in 0..3 {
        peers.insert(negotiate()).unwrap();
    }
    assert!(peers.check_room().is_err() && peers.insert(negotiate()).is_err());
    while peers.poll(now).is_some() {}
    let later = now + Duration::from_secs(31);
    peers.handle_timeout(later);
    while peers.poll(later).is_some() {}
    assert!(peers.is_empty() && peers.check_room().is_ok() && peers.poll_deadline().is_none());
}

#[test]
fn strangers_and_forgers_reach_nobody() {
    let mut world = World::new(&[Video], Role::Publisher, Link::GOOD);
    world.connect();
    publish_video(&mut world, 10);
    let before = pictures(&world);
    let stranger = SocketAddr::from(([192, 0, 2, 1], 9));
    let name = world.answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().to_owned();
    let creds = str0m::ice::IceCreds { ufrag: "x".into(), pass: "wrong password of some length".into() };
    for round in 0..2_000_u64 {
        let now = world.now;
        let mut forged = vec![(round % 256) as u8; (round % 1500) as usize];
        world.peers.handle_datagram(Protocol::Udp, stranger, &forged, now);
        // A request for our peer, by somebody who does not know its password.
        forged = stun_request(&format!("{name}:x"), &creds.pass);
        assert_eq!(world.peers.handle_datagram(Protocol::Udp, stranger, &forged, now), None);
        assert_eq!(world.peers.handle_datagram(Protocol::Udp, CLIENT, &stun_request("nobody:x", "y"), now), None);
    }
    for size in [0, 1, 2, 19, 20, 100, 1500, 65_000] {
        for first in [0_u8, 1, 22, 63, 128, 191, 255] {
            let now = world.now;
            world.peers.handle_datagram(Protocol::Udp, CLIENT, &vec![first; size], now);
        }
    }
    publish_video(&mut world, 10);
    world.run(ms(100));
    assert_eq!(pictures(&world), before + 10, "the live session is untouched");
}

fn publish_video(world: &mut World, frames: usize) {
    for nth in 0..frames {
        world.publish(Video, nth == 0, 2_000);
        world.run(FRAME);
    }
}

/// A STUN binding request (RFC 8489) with a user name and, for an integrity, nothing that holds.
fn stun_request(name: &str, password: &str) -> Vec<u8> {
    let mut attributes = Vec::new();
    let mut attribute = |kind: u16, value: &[u8]| {
        attributes.extend_from_slice(&kind.to_be_bytes());
        attributes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        attributes.extend_from_slice(value);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    };
    attribute(0x0006, name.as_bytes());
    attribute(0x0024, &[0, 0, 1, 0]);
    let mut integrity = [0; 20];
    integrity[..password.len().min(20)].copy_from_slice(&password.as_bytes()[..password.len().min(20)]);
    attribute(0x0008, &integrity);
    let mut request = vec![0, 1];
    request.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    request.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    request.extend_from_slice(&attributes);
    request
}

/// Answers `sdp` in both roles; only what it does not do counts: panic, or take for ever.
fn answer(sdp: &str, identity: &Identity) -> bool {
    let mut any = false;
    for role in [Role::Publisher, Role::Viewer] {
        let Ok(offer) = Offer::parse(sdp) else { continue };
        any |= match role {
            Role::Publisher => Peer::publisher(offer, identity, &doors(), epoch()),
            Role::Viewer => Peer::viewer(offer, BITRATES, clock(), identity, &doors(), epoch()),
        }
        .is_ok();
    }
    any
}

#[test]
fn absurd_offers_are_refused_or_answered() {
    let identity = Identity::generate().unwrap();
    let (_, good, ..) = offer(&[Audio, Video], Role::Publisher, epoch());
    let good = good.to_sdp_string();
    assert!(answer(&good, &identity));
    assert!(answer(&good.replace("\r\n", "\n"), &identity), "line feeds alone");
    let video = &good[good.find("m=video").unwrap()..];
    let cases = [
        ("empty", String::new()),
        ("spaces", "   \r\n".to_owned()),
        ("json", "{\"sdp\":1}".to_owned()),
        ("version only", "v=0\r\n".to_owned()),
        ("no media", good[..good.find("m=").unwrap()].to_owned()),
        ("10 000 lines", format!("{good}{}", "a=x:y\r\n".repeat(10_000))),
        ("500 media", format!("{good}{}", video.repeat(500))),
        ("500 media of nothing", format!("{good}{}", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(500))),
        ("a line of a megabyte", format!("{good}a=x:{}\r\n", "y".repeat(1 << 20))),
        ("one mid twice", format!("{good}{video}")),
        ("no fingerprint", good.lines().filter(|line| !line.contains("fingerprint")).collect::<Vec<_>>().join("\r\n")),
        ("no ice", good.lines().filter(|line| !line.contains("ice-")).collect::<Vec<_>>().join("\r\n")),
        ("a port of a million", good.replace("m=video 9", "m=video 1000000")),
        ("emoji", good.replace("a=mid:", "a=mid:🎥")),
        ("zero bytes", good.replace("a=mid:", "a=mid:\0")),
    ];
    for (name, sdp) in cases {
        assert!(!answer(&sdp, &identity) || matches!(name, "emoji" | "zero bytes" | "a port of a million"), "{name}");
    }
}

#[test]
fn damaged_offers_panic_nowhere() {
    let identity = Identity::generate().unwrap();
    let (_, good, ..) = offer(&[Audio, Video], Role::Viewer, epoch());
    let good = good.to_sdp_string();
    for end in (0..good.len()).step_by(17) {
        answer(&good[..end], &identity);
    }
    let mut bytes = good.into_bytes();
    for at in (0..bytes.len()).step_by(11) {
        for flip in [0x01, 0x20, 0x55] {
            bytes[at] ^= flip;
            if let Ok(sdp) = str::from_utf8(&bytes) {
                answer(sdp, &identity);
            }
            bytes[at] ^= flip;
        }
    }
}

#[test]
fn offers_that_do_not_fit_the_call_are_refused() {
    let identity = Identity::generate().unwrap();
    let now = epoch();
    let sdp = |role| Offer::parse(&offer(&[Video], role, now).1.to_sdp_string()).unwrap();
    assert!(Peer::publisher(sdp(Role::Viewer), &identity, &doors(), now).is_err());
    assert!(Peer::viewer(sdp(Role::Publisher), BITRATES, clock(), &identity, &doors(), now).is_err());
}

#[test]
fn an_hour_idle_is_soon_over() {
    let mut world = World::new(&[Video], Role::Viewer, Link { lost: 20, ..Link::GOOD });
    world.connect();
    world.run(Duration::from_secs(3600));
    assert_eq!(world.peers.len(), 1);
}

/// Answers a viewer that takes pictures in VP9 alone, and perhaps sound.
fn answer_vp9(kinds: &[str0m::media::MediaKind]) -> Result<String, BadOffer> {
    let now = epoch();
    let mut client = str0m::Rtc::builder().clear_codecs().enable_vp9(true).enable_opus(true, false).build(now);
    let mut api = client.sdp_api();
    for &kind in kinds {
        api.add_media(kind, str0m::media::Direction::RecvOnly, None, None, None);
    }
    let (offer, pending) = api.apply().unwrap();
    let offer = Offer::parse(&offer.to_sdp_string())?;
    let answer = Peer::viewer(offer, BITRATES, clock(), &Identity::generate().unwrap(), &doors(), now)?.answer;
    let parsed = str0m::change::SdpAnswer::from_sdp_string(&answer).unwrap();
    client.sdp_api().accept_answer(pending, parsed).unwrap();
    Ok(answer)
}

#[test]
fn viewer_of_other_codecs_gets_the_sound_or_is_refused() {
    let refused = answer_vp9(&[Video]).unwrap_err();
    assert!(refused.to_string().contains("h264"), "{refused}");
    let answer = answer_vp9(&[Video, Audio]).unwrap();
    let sound = answer.find("m=audio 9").unwrap();
    assert!(answer.contains("m=video 0 "));
    assert!(answer.find("a=candidate:").unwrap() > sound, "candidates stand where they are read");
}

#[test]
fn viewer_that_takes_no_h264_gets_vp8() {
    let without = |codec: &'static str| {
        // Whatever the numbers of its payload types stand for elsewhere, nobody claims that it takes them.
        move |sdp: String| sdp.replace(&format!(" {codec}/90000"), " X-NONE/90000")
    };
    let mut world = World::offered(&[Audio, Video], Role::Viewer, Link::GOOD, without("H264"));
    world.connect();
    assert_eq!(world.peers.peer(world.id).unwrap().pictures(), Some(Codec::Vp8));
    for nth in 0..60 {
        // RFC 6386, 9.1: the lowest bit of a frame tells whether it refers to another.
        let frame: Vec<u8> = (0..6_000).map(|at| if at == 0 { u8::from(nth % 30 != 0) } else { (at * 7 % 251) as u8 }).collect();
        let (now, time) = (world.now, MediaTime::from(world.now - world.start));
        let unit = Unit { payloads: packetize_vp8(&frame).into(), ..picture(nth % 30 == 0, &[], time, now) };
        world.peers.write(world.id, &unit, now, now);
        world.run(FRAME);
    }
    world.run(ms(200));
    let got: Vec<_> = world.client_got.iter().filter(|data| data.params.spec().codec == str0m::format::Codec::Vp8).collect();
    assert_eq!(got.len(), 60);
    assert!(got[0].is_keyframe() && !got[1].is_keyframe() && got[0].data.len() == 6_000);
    let mut world = World::offered(&[Video], Role::Viewer, Link::GOOD, without("VP8"));
    world.connect();
    assert_eq!(world.peers.peer(world.id).unwrap().pictures(), Some(Codec::H264));
}
