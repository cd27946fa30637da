//! Hours of bad weather, both ways: what comes through, and that nothing is left of it once it is over.

use std::net::SocketAddr;
use std::time::Duration;

use crosspoint_ffi::MediaTime;
use str0m::format::Codec::H264;
use str0m::media::MediaKind::{Audio, Video};

use super::simulation::{CLIENT, Link, World};
use super::tests::{FRAME, access_unit, ms, picture, sound};
use super::{Peer, PeerOutput, Role};
use crate::ingest::{MediaSource, Nature, SourceOutput, Track};

/// How many there are, each with a calm behind it.
const STORMS: u32 = 100;
/// A storm has so many winds, each of so many pictures.
const WINDS: u32 = 4;
const WIND: u32 = 150;
/// An outage of 10 s.
const OUTAGE: u32 = 300;
/// What it may take until nothing is left of it, and for how long it is looked at then.
const CLEARS_UP: u32 = 600;
const CALM: u32 = 90;

/// What a seed says, by SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// A way that loses up to a fifth, and may have become narrow.
    fn wind(&mut self) -> Link {
        let bits_per_second = [None, Some(20_000_000), Some(1_500_000), Some(400_000)][self.roll(4) as usize];
        Link { delay: ms(5 + self.roll(100)), jitter: ms(self.roll(30)), lost: self.roll(201), doubled: self.roll(50), bits_per_second }
    }
}

/// How it went in a calm after a storm.
#[derive(Debug, Default)]
struct Account {
    pictures: u32,
    sounds: u32,
    /// The longest time from capture to where the other end goes on with it.
    latest: Duration,
}

/// One end that sends pictures and sound, and what the other one does with it.
trait Way {
    fn world(&mut self) -> &mut World;
    /// Sends a picture and sound, and lets a picture's time pass.
    fn send(&mut self);
    /// What came since the last time this was asked.
    fn account(&mut self) -> Account;
}

/// Sends through storms, and judges each calm.
fn weather(way: &mut impl Way, seed: u64) {
    let mut dice = Dice(seed);
    for storm in 0..STORMS {
        for _ in 0..WINDS {
            way.world().link = dice.wind();
            if dice.roll(3) == 0 {
                // The NAT on the way forgets, and begins anew.
                way.world().seen_at = SocketAddr::new(CLIENT.ip(), 6_000 + storm as u16);
            }
            (0..WIND).for_each(|_| way.send());
        }
        if storm % 3 == 0 {
            way.world().link = Link::DEAD;
            (0..OUTAGE).for_each(|_| way.send());
        }
        way.world().link = Link::GOOD;
        (0..CLEARS_UP).for_each(|_| way.send());
        way.account();
        (0..CALM).for_each(|_| way.send());
        let Account { pictures, sounds, latest } = way.account();
        let all = CALM - 1..=CALM + 1;
        assert!(all.contains(&pictures) && all.contains(&sounds), "storm {storm}: {pictures} pictures and {sounds} sounds of {CALM}");
        // Of the last storm as of the first.
        assert!(latest < ms(50), "storm {storm}: {latest:?} late");
        let world = way.world();
        assert!(world.peers.len() == 1 && world.peers.peer(world.id).is_some_and(Peer::is_connected), "storm {storm}");
    }
}

/// A publisher, as far as its packets are released to be decoded.
struct Ingest {
    world: World,
    source: MediaSource,
    asked: u32,
    account: Account,
}

impl Ingest {
    fn drain(&mut self) {
        for output in std::mem::take(&mut self.world.said) {
            match output {
                PeerOutput::Packet(packet) => self.source.handle_packet(packet),
                PeerOutput::Lost => self.source.handle_loss(),
                PeerOutput::Able(_)
                | PeerOutput::Connected
                | PeerOutput::Gone
                | PeerOutput::KeyWanted
                | PeerOutput::Report(_)
                | PeerOutput::Transmit(_)
                | PeerOutput::Wait(_) => {}
            }
        }
        let (now, dropped) = (self.world.now, self.source.stats().dropped_for_key);
        loop {
            match self.source.poll(now) {
                SourceOutput::Ended | SourceOutput::Wait { .. } => break,
                SourceOutput::Gap => {}
                SourceOutput::Release(track, packet) => {
                    let Some(captured) = World::captured(&packet) else { continue };
                    self.account.latest = self.account.latest.max(now - self.world.start - captured);
                    *(if track == Track::Video { &mut self.account.pictures } else { &mut self.account.sounds }) += 1;
                }
            }
        }
        if self.source.stats().dropped_for_key != dropped {
            self.world.peers.want_key(self.world.id, now);
        }
    }
}

impl Way for Ingest {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn send(&mut self) {
        let key = self.asked != self.world.client_asked;
        self.asked = self.world.client_asked;
        let bits = self.world.client_able.unwrap_or(1_000_000).clamp(100_000, 1_000_000) as usize;
        self.world.publish(Video, key, bits / 8 / 30 * if key { 4 } else { 1 });
        self.world.publish(Audio, true, 120);
        for _ in 0..3 {
            self.world.run(FRAME / 3);
            self.drain();
        }
    }

    fn account(&mut self) -> Account {
        std::mem::take(&mut self.account)
    }
}

#[test]
fn publisher_is_live_again_after_each_of_many_storms() {
    let mut world = World::adapting(&[Audio, Video], Link::GOOD);
    world.connect();
    let source = MediaSource::new(Nature::Realtime);
    let mut way = Ingest { world, source, asked: u32::MAX, account: Account::default() };
    weather(&mut way, 1);
    let minutes = (way.world.now - way.world.start).as_secs() / 60;
    assert!(minutes >= 75, "{minutes} simulated minutes");
}

/// A viewer, as far as what it receives is whole.
struct View {
    world: World,
    asked: usize,
}

impl Way for View {
    fn world(&mut self) -> &mut World {
        &mut self.world
    }

    fn send(&mut self) {
        let world = &mut self.world;
        let asked = self.asked + world.count(|output| matches!(output, PeerOutput::KeyWanted));
        world.said.clear();
        let key = asked > 0;
        self.asked = 0;
        let able = world.able.last().map_or(1_000_000, |&(_, bits)| bits.clamp(100_000, 1_000_000));
        let unit = access_unit(key, able as usize / 8 / 30 * if key { 4 } else { 1 });
        let (now, time) = (world.now, MediaTime::from(world.now - world.start));
        world.peers.write(world.id, &picture(key, &unit, time, now), now, now);
        world.peers.write(world.id, &sound(time, now), now, now);
        world.run(FRAME);
    }

    fn account(&mut self) -> Account {
        let mut account = Account::default();
        for data in std::mem::take(&mut self.world.client_got) {
            let captured = self.world.start + Duration::from_secs_f64(data.time.as_seconds());
            account.latest = account.latest.max(data.network_time.saturating_duration_since(captured));
            *(if data.params.spec().codec == H264 { &mut account.pictures } else { &mut account.sounds }) += 1;
        }
        self.world.able.drain(..self.world.able.len().saturating_sub(1));
        account
    }
}

#[test]
fn viewer_sees_all_and_at_once_after_each_of_many_storms() {
    let mut world = World::new(&[Audio, Video], Role::Viewer, Link::GOOD);
    world.connect();
    let mut way = View { world, asked: 1 };
    weather(&mut way, 2);
    let minutes = (way.world.now - way.world.start).as_secs() / 60;
    assert!(minutes >= 75, "{minutes} simulated minutes");
}
