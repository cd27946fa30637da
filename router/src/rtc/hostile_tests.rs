//! Peers and strangers that mean no good, beside one that does.

use std::net::SocketAddr;
use std::time::Duration;

use str0m::media::MediaKind::Video;

use super::simulation::{CLIENT, Link, World, doors, offer};
use super::tests::{FRAME, ms, show_for};
use super::{Identity, Offer, Peer, PeerOutput, Protocol, Role};

fn publish(world: &mut World, pictures: u32) {
    for nth in 0..pictures {
        world.publish(Video, nth == 0, 2_000);
        world.run(FRAME);
    }
}

#[test]
fn peer_with_another_certificate_than_its_offer_says_never_connects() {
    let other = |offer: String| {
        let line = offer.lines().find(|line| line.starts_with("a=fingerprint:")).unwrap();
        let (name, print) = line.split_once(' ').unwrap();
        let turned: String = print
            .chars()
            .map(|digit| {
                if digit == 'A' {
                    'B'
                } else if digit == '0' {
                    '1'
                } else {
                    digit
                }
            })
            .collect();
        assert_ne!(turned, print);
        offer.replace(line, &format!("{name} {turned}"))
    };
    for role in [Role::Publisher, Role::Viewer] {
        let mut world = World::offered(&[Video], role, Link::GOOD, other);
        world.run(Duration::from_secs(31));
        assert_eq!(world.count(|output| matches!(output, PeerOutput::Connected)), 0, "{role:?}");
        assert!(world.peers.is_empty(), "{role:?}");
    }
}

#[test]
fn what_was_sent_before_is_taken_once_whoever_sends_it_again() {
    let mut world = World::new(&[Video], Role::Publisher, Link::GOOD);
    world.connect();
    world.tape = Some(Vec::new());
    publish(&mut world, 30);
    world.run(ms(200));
    let tape = world.tape.take().unwrap();
    assert!(tape.len() > 60, "{} datagrams", tape.len());
    let stranger = SocketAddr::from(([192, 0, 2, 1], 9));
    for source in [CLIENT, stranger] {
        for datagram in &tape {
            let now = world.now;
            let mut flipped = datagram.clone();
            *flipped.last_mut().unwrap() ^= 0x40;
            world.peers.handle_datagram(Protocol::Udp, source, datagram, now);
            world.peers.handle_datagram(Protocol::Udp, source, &flipped, now);
            world.drain();
        }
    }
    world.run(ms(200));
    assert_eq!((world.packets().count(), world.count(|output| matches!(output, PeerOutput::Lost))), (30, 0));
    publish(&mut world, 30);
    world.run(ms(200));
    assert_eq!((world.packets().count(), world.count(|output| matches!(output, PeerOutput::Lost))), (60, 0));
}

#[test]
fn what_a_viewer_said_before_is_heard_once_and_by_itself_alone() {
    let mut world = World::new(&[Video], Role::Viewer, Link { lost: 20, ..Link::GOOD });
    world.connect();
    world.tape = Some(Vec::new());
    show_for(&mut world, 60, 0);
    world.lose_picture();
    world.run(ms(200));
    let wanted = |world: &World| world.count(|output| matches!(output, PeerOutput::KeyWanted));
    assert_eq!(wanted(&world), 1);
    let tape = world.tape.take().unwrap();
    assert!(tape.len() > 20, "{} datagrams", tape.len());
    world.sent.clear();
    for datagram in &tape {
        let now = world.now;
        let mut flipped = datagram.clone();
        *flipped.last_mut().unwrap() ^= 0x40;
        for forged in [datagram, &flipped, &datagram[..datagram.len() / 2].to_vec(), &vec![0x80; 1_200], &vec![0x81, 200, 0, 0]] {
            world.peers.handle_datagram(Protocol::Udp, CLIENT, forged, now);
            world.drain();
        }
    }
    assert_eq!((wanted(&world), world.sent.len()), (1, 0), "nor is anything sent again");
    let got = world.client_got.len();
    show_for(&mut world, 60, 60);
    assert!(world.client_got.len() > got + 50, "the live session is untouched");
}

#[test]
fn a_thousand_that_never_connect_bother_nobody_and_are_gone_after_30_s() {
    let mut world = World::new(&[Video], Role::Publisher, Link::GOOD);
    world.connect();
    let identity = Identity::generate().unwrap();
    let begun = world.now;
    let sdp = offer(&[Video], Role::Publisher, begun).1.to_sdp_string();
    // It is asked nowhere.
    let sdp: String = sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
    for _ in 0..1_000 {
        let offer = Offer::parse(&sdp).unwrap();
        let half = Peer::publisher(offer, &identity, &doors(), begun).unwrap();
        world.peers.insert(half).unwrap();
    }
    assert!(world.peers.check_room().is_err(), "the next has to wait");
    publish(&mut world, 30);
    world.run(ms(29_900) - (world.now - begun));
    assert_eq!((world.peers.len(), world.packets().count()), (1_001, 30));
    world.run(ms(200));
    assert_eq!((world.peers.len(), world.count(|output| matches!(output, PeerOutput::Gone))), (1, 1_000));
    assert!(world.peers.check_room().is_ok());
    publish(&mut world, 30);
    world.run(ms(200));
    assert_eq!(world.packets().count(), 60, "the live session is untouched");
}
