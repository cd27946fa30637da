//! WebRTC viewers, each of which decrypts what it gets.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until};

use super::janus::{Janus, header};
use super::tally::Tally;
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
    tally: RefCell<Tally>,
    trouble: RefCell<Option<String>>,
}

/// Whom viewers watch.
#[derive(Clone, Copy)]
pub(super) enum Host<'a> {
    /// A router; with the viewers' ways estimated, or not.
    Crosspoint(&'a Endpoint, bool),
    Janus(&'a Janus),
}

impl Audience {
    /// Lets `count` viewers in, one after another.
    pub(super) async fn join(&mut self, host: Host<'_>, count: u32) -> Result<()> {
        for _ in 0..count {
            self.add(Viewer::enter(host).await?).await?;
        }
        Ok(())
    }

    /// Lets one in who sends what it gets on to `janus`.
    pub(super) async fn feed(&mut self, server: &Endpoint, janus: &Janus) -> Result<()> {
        let mut viewer = Viewer::enter(Host::Crosspoint(server, false)).await?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(janus.media).await?;
        viewer.feed = Some(socket);
        self.add(viewer).await
    }

    async fn add(&mut self, viewer: Viewer) -> Result<()> {
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
        Ok(())
    }

    /// The packets that all of them got together, and those that never came.
    pub(super) fn counts(&self) -> (u64, u64) {
        let sum = |part: fn(&Tally) -> u64| self.counts.iter().map(|count| part(&count.tally.borrow())).sum();
        (sum(|tally| tally.packets), sum(Tally::missing))
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
    local: SocketAddr,
    count: Rc<Count>,
    /// Where packets go on to.
    feed: Option<UdpSocket>,
}

impl Viewer {
    async fn enter(host: Host<'_>) -> Result<Self> {
        let offered = match host {
            Host::Crosspoint(..) => None,
            Host::Janus(janus) => Some(janus.watch().await?),
        };
        // Janus has no candidate on the loopback interface, and a pair is of one interface.
        let address = offered.as_ref().map_or(Some(Ipv4Addr::LOCALHOST.into()), |(_, sdp)| candidate(sdp)).context("a candidate")?;
        let socket = UdpSocket::bind((address, 0)).await?;
        let local = socket.local_addr()?;
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now().into_std());
        rtc.add_local_candidate(Candidate::host(local, "udp")?);
        match host {
            Host::Crosspoint(server, estimated) => offer(&mut rtc, server, estimated).await?,
            Host::Janus(janus) => {
                let (handle, sdp) = offered.context("an offer")?;
                let answer = rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&sdp)?)?;
                janus.answer(&handle, &answer.to_sdp_string()).await?;
            }
        }
        Ok(Self { rtc, socket, local, count: Rc::default(), feed: None })
    }

    async fn watch(mut self) -> Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let due = self.drain()?;
            tokio::select! {
                readable = self.socket.readable() => readable?,
                () = sleep_until(due) => {}
            }
            for _ in 0..TURN {
                let Ok((length, source)) = self.socket.try_recv_from(&mut buffer) else { break };
                let receive = Receive::new(Protocol::Udp, source, self.local, &buffer[..length])?;
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
                Output::Event(Event::RtpPacket(packet)) => self.take(&packet),
                Output::Event(_) => {}
            }
        }
    }

    fn take(&self, packet: &RtpPacket) {
        self.count.tally.borrow_mut().take(*packet.seq_no);
        if let Some(feed) = &self.feed {
            let head = header(packet.header.marker, packet.header.sequence_number, packet.header.timestamp);
            // As above.
            drop(feed.try_send(&[&head, &packet.payload[..]].concat()));
        }
    }
}

/// Offers to watch, and takes the answer.
async fn offer(rtc: &mut Rtc, server: &Endpoint, estimated: bool) -> Result<()> {
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().context("an offer")?;
    let mut sdp = offer.to_sdp_string();
    if !estimated {
        let kept = sdp.split_inclusive('\n').filter(|line| !line.contains("transport-wide-cc") && !line.contains("transport-cc"));
        sdp = kept.collect();
    }
    let answer = server.post("/stream/webrtc/offer", Some(&json!({"id": super::STREAM, "sdp": sdp}))).await?;
    let answer = SdpAnswer::from_sdp_string(answer["sdp"].as_str().context("an answer has an sdp")?)?;
    rtc.sdp_api().accept_answer(pending, answer)?;
    Ok(())
}

/// The address of the first candidate (RFC 8839, 5.1).
fn candidate(sdp: &str) -> Option<IpAddr> {
    sdp.lines().find_map(|line| line.strip_prefix("a=candidate:")?.split(' ').nth(4)?.parse().ok())
}

const CONNECT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(2);
const DATAGRAM_BYTES: usize = 2_048;
/// Datagrams taken before other viewers get their turn.
const TURN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_candidate_is_found() {
        let sdp =
            "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=candidate:1 1 udp 2015363327 192.0.2.2 42096 typ host\r\na=end-of-candidates\r\n";
        assert_eq!(candidate(sdp), Some(IpAddr::from([192, 0, 2, 2])));
        assert_eq!(candidate("v=0\r\n"), None);
    }
}
