//! WebRTC viewers, each of which decrypts what it gets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::Endpoint;

/// All viewers of a stream. They leave when this is dropped.
#[derive(Default)]
pub(super) struct Audience {
    counts: Vec<Rc<Count>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What one viewer got.
#[derive(Debug, Default)]
struct Count {
    connected: Cell<bool>,
    packets: Cell<u64>,
    /// The numbers of the first packet and of the last one.
    numbers: Cell<Option<(u64, u64)>>,
    trouble: RefCell<Option<String>>,
}

impl Audience {
    /// Lets `count` viewers in, one after another.
    pub(super) async fn join(&mut self, server: &Endpoint, count: u32, estimated: bool) -> Result<()> {
        for _ in 0..count {
            let viewer = Viewer::offer(server, estimated).await?;
            let count = Rc::clone(&viewer.count);
            self.counts.push(Rc::clone(&count));
            self.tasks.push(tokio::task::spawn_local(async move {
                let count = Rc::clone(&viewer.count);
                if let Err(error) = viewer.watch().await {
                    count.trouble.replace(Some(format!("{error:#}")));
                }
            }));
            let deadline = Instant::now() + CONNECT;
            while !count.connected.get() {
                self.check()?;
                ensure!(Instant::now() < deadline, "a viewer is not connected after {} s", CONNECT.as_secs());
                sleep(LOOK_AGAIN).await;
            }
        }
        Ok(())
    }

    /// The packets that all of them got together, and those that never came.
    pub(super) fn counts(&self) -> (u64, u64) {
        let missing =
            |count: &Rc<Count>| count.numbers.get().map_or(0, |(first, last)| (last + 1 - first).saturating_sub(count.packets.get()));
        (self.counts.iter().map(|count| count.packets.get()).sum(), self.counts.iter().map(missing).sum())
    }

    /// Fails when one of them ended.
    pub(super) fn check(&self) -> Result<()> {
        for count in &self.counts {
            if let Some(trouble) = count.trouble.take() {
                bail!("a viewer: {trouble}");
            }
        }
        Ok(())
    }
}

impl Drop for Audience {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    count: Rc<Count>,
}

impl Viewer {
    async fn offer(server: &Endpoint, estimated: bool) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now().into_std());
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        let mut api = rtc.sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = api.apply().context("an offer")?;
        let mut sdp = offer.to_sdp_string();
        if !estimated {
            let kept = sdp.split_inclusive('\n').filter(|line| !line.contains("transport-wide-cc") && !line.contains("transport-cc"));
            sdp = kept.collect();
        }
        let answer = server.post("/stream/webrtc/offer", Some(&json!({"id": "fanout", "sdp": sdp}))).await?;
        let answer = SdpAnswer::from_sdp_string(answer["sdp"].as_str().context("an answer has an sdp")?)?;
        rtc.sdp_api().accept_answer(pending, answer)?;
        Ok(Self { rtc, socket, count: Rc::default() })
    }

    async fn watch(mut self) -> Result<()> {
        let (mut buffer, local) = (vec![0; DATAGRAM_BYTES], self.socket.local_addr()?);
        loop {
            let due = self.drain()?;
            tokio::select! {
                readable = self.socket.readable() => readable?,
                () = sleep_until(due) => {}
            }
            for _ in 0..TURN {
                let Ok((length, source)) = self.socket.try_recv_from(&mut buffer) else { break };
                let receive = Receive::new(Protocol::Udp, source, local, &buffer[..length])?;
                self.rtc.handle_input(Input::Receive(Instant::now().into_std(), receive))?;
                self.drain()?;
            }
            self.rtc.handle_input(Input::Timeout(Instant::now().into_std()))?;
        }
    }

    /// Sends and counts all there is; says when there may be more.
    fn drain(&mut self) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at.into()),
                // What a full socket loses any link may lose.
                Output::Transmit(transmit) => drop(self.socket.try_send_to(&transmit.contents, transmit.destination)),
                Output::Event(Event::Connected) => self.count.connected.set(true),
                Output::Event(Event::RtpPacket(packet)) => {
                    let number = *packet.seq_no;
                    let (first, last) = self.count.numbers.get().unwrap_or((number, number));
                    self.count.numbers.set(Some((first.min(number), last.max(number))));
                    self.count.packets.set(self.count.packets.get() + 1);
                }
                Output::Event(_) => {}
            }
        }
    }
}

const CONNECT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
const DATAGRAM_BYTES: usize = 2_048;
/// Datagrams taken before other viewers get their turn.
const TURN: usize = 64;
