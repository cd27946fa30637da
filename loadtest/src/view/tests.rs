//! What was done to a viewer is measured as that: the accounts of `view` held against a link's own, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crosspoint_ffi::VideoFormat;
use str0m::Rtc;
use str0m::media::{Direction, Frequency, MediaKind, Mid};
use str0m::rtp::RtpWrite;

use super::account::{Account, Behaviour, Counts, Kind, Schedule, Sum, Visitor};
use crate::clip::Clip;
use crate::fanout::rtc::peer::{self, Peer, Polled};
use crate::impair::{Done, Impairment, Link};
use crate::publish::Dice;
use crate::watch::{Content, Message, Watch, picture_of};

/// Publishes a clip `times` over, as messages of a WebSocket that take up to two milliseconds, through a link to a viewer.
async fn watched(impairment: Impairment, times: usize, seed: u32) -> (Account, Done, Counts) {
    let format = VideoFormat::new(320, 180, 30).unwrap();
    let clip = Clip::encode(format, 300_000, 90, Duration::from_secs(1) / 30).await.unwrap();
    let content = Content::of(clip.frames.iter().map(|frame| &frame[..]));
    let start = Instant::now();
    let (mut link, mut watch, mut dice) = (Link::new(impairment, seed), Watch::default(), Dice::new(seed + 1));
    let mut schedule = Schedule::of(&clip);
    assert!(schedule.is_distinct());
    let passes: Vec<Instant> = (0..times).map(|_| schedule.pass(start)).collect();
    let (mut now, mut sum, mut visitor) = (start, Sum::default(), Visitor::new(start));
    let mut see = |watch: &mut Watch| sum.take(&mut visitor, &std::mem::take(&mut watch.pictures), Some(&schedule));
    for nth in 0..times * clip.frames.len() {
        let (pass, place) = (nth / clip.frames.len(), nth % clip.frames.len());
        let frame = &clip.frames[place];
        let message = [&[0x82, 127][..], &(frame.len() as u64).to_be_bytes(), frame].concat();
        let at = passes[pass] + clip.period * place as u32 + Duration::from_millis(2).mul_f64(dice.roll());
        // What was due before it came before it.
        while let Some(earlier) = link.due().filter(|earlier| *earlier <= at) {
            watch.take(&link.poll(earlier).unwrap(), earlier, Some(&content)).unwrap();
        }
        see(&mut watch);
        link.take(at, &message, Message::parse(&message).unwrap().head);
    }
    while let Some(at) = link.due() {
        now = at;
        watch.take(&link.poll(at).unwrap(), at, Some(&content)).unwrap();
    }
    see(&mut watch);
    sum.leave(&visitor, now, now, Some(&schedule));
    let Watch { messages, breaks, corrupt, .. } = watch;
    let counts = Counts { messages, breaks, corrupt, ..Counts::default() };
    (sum.account(Kind::WebSocket, Behaviour::Steady, 1, counts, &[]), link.done(), counts)
}

fn is_within_5_percent(measured: f64, done: f64) {
    assert!((measured - done).abs() <= done * 0.05, "measured {measured}, done {done}");
}

#[tokio::test]
async fn delay_of_50_ms_is_measured_as_one() {
    let (plain, ..) = watched(Impairment::default(), 1, 1).await;
    let (late, ..) = watched(Impairment { delay: Duration::from_millis(50), ..Impairment::default() }, 1, 2).await;
    let (plain, late) = (plain.age_ms.unwrap(), late.age_ms.unwrap());
    is_within_5_percent(late.p50 - plain.p50, 50.0);
    is_within_5_percent(late.p99 - plain.p99, 50.0);
}

#[tokio::test]
async fn corruption_of_1_percent_is_measured_as_such() {
    let (account, done, _) = watched(Impairment { corruption: 0.01, ..Impairment::default() }, 600, 1).await;
    is_within_5_percent(account.corrupt_percent, done.corrupted as f64 * 100.0 / done.units as f64);
    is_within_5_percent(account.corrupt_percent, 1.0);
}

#[tokio::test]
async fn lost_messages_break_counters_and_age_what_never_came() {
    let (account, done, counts) = watched(Impairment { loss: 0.05, ..Impairment::default() }, 10, 3).await;
    assert!(done.lost > 0 && account.breaks > 0);
    assert_eq!(counts.messages, done.units - done.lost);
    let age = account.age_ms.unwrap();
    assert_eq!(age.count, done.units, "the schedule counts");
    is_within_5_percent(100.0 - account.pictures_percent.unwrap(), done.lost as f64 * 100.0 / done.units as f64);
    // The one in twenty that never came is as old as the next, a period later.
    assert!(age.p90 < 3.0 && age.p99 > 33.0, "{age:?}");
}

#[tokio::test]
async fn viewer_that_is_stalled_for_a_second_has_a_gap_of_one() {
    let stall = Some((Duration::from_secs(1), Duration::from_secs(1)));
    let (account, ..) = watched(Impairment { stall, ..Impairment::default() }, 1, 1).await;
    let (age, gap) = (account.age_ms.unwrap(), account.gap_ms.unwrap());
    is_within_5_percent(gap.max, 1e3);
    // Thirty pictures of ninety were late by it, not one, evenly from a second down; and so many waits were as long.
    assert!(age.p50 < 10.0, "{age:?}");
    is_within_5_percent(age.p90, 700.0);
    // The twelfth from the top of some 119.
    is_within_5_percent(gap.p90, gap.max - 11.0 * 1e3 / 30.0);
    assert_eq!((account.breaks, account.pictures_percent), (0, Some(100.0)));
}

#[tokio::test]
async fn frames_lost_in_a_stall_are_as_old_as_frames_held_back_by_it() {
    let stall = Some((Duration::from_secs(1), Duration::from_secs(1)));
    let (late, ..) = watched(Impairment { stall, ..Impairment::default() }, 10, 1).await;
    // The same, but what would come late does not come: it is the viewer's trouble all the same.
    let clip = Clip::encode(VideoFormat::new(320, 180, 30).unwrap(), 300_000, 90, Duration::from_secs(1) / 30).await.unwrap();
    let (mut schedule, start) = (Schedule::of(&clip), Instant::now());
    let (mut sum, mut visitor) = (Sum::default(), Visitor::new(start));
    for _ in 0..10 {
        let pass = schedule.pass(start);
        let due = clip.frames.iter().enumerate().map(|(nth, frame)| (picture_of(frame).unwrap(), pass + clip.period * nth as u32));
        let came: Vec<_> = due.filter(|(_, due)| !(start + Duration::from_secs(1)..start + Duration::from_secs(2)).contains(due)).collect();
        sum.take(&mut visitor, &came, Some(&schedule));
    }
    let lost = sum.account(Kind::WebSocket, Behaviour::Steady, 1, Counts::default(), &[]);
    let (late, lost) = (late.age_ms.unwrap(), lost.age_ms.unwrap());
    assert_eq!(late.count, lost.count);
    is_within_5_percent(lost.p99, late.p99);
    is_within_5_percent(lost.max, 1e3);
}

#[tokio::test]
async fn viewer_to_whom_nothing_comes_has_waited_all_the_time() {
    let clip = Clip::encode(VideoFormat::new(320, 180, 30).unwrap(), 300_000, 90, Duration::from_secs(1) / 30).await.unwrap();
    let (mut schedule, start) = (Schedule::of(&clip), Instant::now());
    schedule.pass(start);
    let (mut sum, end) = (Sum::default(), start + Duration::from_secs(3));
    sum.leave(&Visitor::new(start), end, end, Some(&schedule));
    let account = sum.account(Kind::WebSocket, Behaviour::Steady, 1, Counts::default(), &[]);
    assert_eq!((account.pictures_percent, account.join_ms.map(|join| join.max)), (Some(0.0), Some(3e3)));
    assert_eq!(account.age_ms.map(|age| (age.count, age.max)), Some((90, 3e3)));
}

/// A router of one stream of packets that each are a picture, and a viewer, with a link between them.
struct Pair {
    sender: Rtc,
    viewer: Peer,
    account: peer::Account,
    link: Link,
    mid: Option<Mid>,
    now: Instant,
}

const SENDER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1_000);
const VIEWER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 2_000);

impl Pair {
    fn connected(impairment: Impairment) -> Self {
        let now = Instant::now();
        let mut sender = Rtc::builder().set_rtp_mode(true).build(now);
        sender.add_local_candidate(str0m::Candidate::host(SENDER, "udp").unwrap());
        let mut viewer = Peer::new(VIEWER, now).unwrap();
        let mut api = viewer.rtc.sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        let answer = sender.sdp_api().accept_offer(offer).unwrap();
        viewer.rtc.sdp_api().accept_answer(pending, answer).unwrap();
        let mut pair =
            Self { sender, viewer, account: peer::Account::default(), link: Link::new(Impairment::default(), 1), mid: None, now };
        while !pair.account.is_connected || !pair.sender.is_connected() {
            assert!(now + Duration::from_secs(10) > pair.now, "connected within ten seconds");
            pair.run_until(pair.now + Duration::from_millis(10));
        }
        pair.link = Link::new(impairment, 1);
        pair
    }

    /// Lets everything happen that is due.
    fn run_until(&mut self, end: Instant) {
        loop {
            let mut next = end;
            loop {
                match self.viewer.poll(&mut self.account).unwrap() {
                    Polled::Due(at) => break next = next.min(at),
                    Polled::Packet(_) => {}
                    Polled::Send(transmit) => {
                        let receive = str0m::net::Receive::new(str0m::net::Protocol::Udp, VIEWER, SENDER, &transmit.contents).unwrap();
                        self.sender.handle_input(str0m::Input::Receive(self.now, receive)).unwrap();
                    }
                }
            }
            let mut is_sent = false;
            loop {
                match self.sender.poll_output().unwrap() {
                    str0m::Output::Timeout(at) => break next = next.min(at),
                    str0m::Output::Transmit(transmit) => {
                        self.link.take(self.now, &transmit.contents, 0);
                        is_sent = true;
                    }
                    str0m::Output::Event(str0m::Event::MediaAdded(added)) => self.mid = Some(added.mid),
                    str0m::Output::Event(_) => {}
                }
            }
            while let Some(unit) = self.link.poll(self.now) {
                self.viewer.take(SENDER, &unit, self.now).unwrap();
                is_sent = true;
            }
            if is_sent {
                continue;
            }
            if next <= self.now && self.now >= end {
                return;
            }
            self.now = next.min(self.link.due().unwrap_or(next)).max(self.now);
            self.viewer.tick(self.now).unwrap();
            self.sender.handle_input(str0m::Input::Timeout(self.now)).unwrap();
            if self.now >= end {
                return;
            }
        }
    }

    fn send(&mut self, packets: u64) {
        let payload: std::sync::Arc<[u8]> = vec![0x41; 200].into();
        let mid = self.mid.expect("what was offered");
        let payload_type = self.sender.media(mid).unwrap().remote_pts()[0];
        for number in 0..packets {
            let mut api = self.sender.direct_api();
            let stream = api.stream_tx_by_mid(mid, None).unwrap();
            let time = (number * Frequency::NINETY_KHZ.get() as u64 / 1_000) as u32;
            stream.write_rtp(RtpWrite::new(payload_type, number.into(), time, self.now, payload.clone()).marker(true).nackable(true));
            self.sender.handle_input(str0m::Input::Timeout(self.now)).unwrap();
            self.run_until(self.now + Duration::from_millis(1));
        }
        self.run_until(self.now + Duration::from_secs(1));
    }
}

#[test]
fn loss_of_1_percent_is_measured_as_such() {
    let mut pair = Pair::connected(Impairment { loss: 0.01, ..Impairment::default() });
    pair.send(20_000);
    let (tally, done) = (&pair.account.tally, pair.link.done());
    let lost = tally.lost as f64 / (tally.packets + tally.missing()) as f64;
    is_within_5_percent(lost, done.lost as f64 / done.units as f64);
}

#[test]
fn corrupt_datagram_is_a_lost_one() {
    let mut pair = Pair::connected(Impairment { corruption: 0.01, ..Impairment::default() });
    pair.send(5_000);
    let (tally, done) = (&pair.account.tally, pair.link.done());
    let lost = tally.lost as f64 / (tally.packets + tally.missing()) as f64;
    is_within_5_percent(lost, done.corrupted as f64 / done.units as f64);
}
