//! WebRTC viewers, each of which decrypts what it gets.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use str0m::Rtc;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::media::{Direction, MediaKind};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until};

use super::other::{Other, header};
use super::peer::{Account, Peer, Polled};
use super::tally::Tally;
use crate::client::Endpoint;
use crate::impair::Impairment;
use crate::impair::serve::{Links, before_datagrams};
use crate::view::crowd::Pace;

/// All viewers of a stream. They leave when this is dropped.
#[derive(Default)]
pub(super) struct Audience {
    counts: Vec<Rc<Count>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What one viewer got.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) account: RefCell<Account>,
    trouble: RefCell<Option<String>>,
}

/// Whom viewers watch.
#[derive(Clone, Copy)]
pub(crate) enum Host<'a> {
    /// A router; with the viewers' ways estimated, or not, and a bad link before it, or not.
    Crosspoint {
        server: &'a Endpoint,
        estimated: bool,
        via: Option<(Impairment, &'a Links)>,
    },
    Other(&'a Other),
}

impl Audience {
    /// Lets `count` viewers in, one after another.
    pub(super) async fn join(&mut self, host: Host<'_>, count: u32) -> Result<()> {
        for _ in 0..count {
            self.add(Viewer::enter(host).await?).await?;
        }
        Ok(())
    }

    /// Lets one in who sends what it gets on to `other`.
    pub(super) async fn feed(&mut self, server: &Endpoint, other: &Other) -> Result<()> {
        let mut viewer = Viewer::enter(Host::Crosspoint { server, estimated: false, via: None }).await?;
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(other.media()).await?;
        viewer.feed = Some(socket);
        self.add(viewer).await
    }

    async fn add(&mut self, viewer: Viewer) -> Result<()> {
        let count = Rc::clone(&viewer.count);
        self.counts.push(Rc::clone(&count));
        self.tasks.push(tokio::task::spawn_local(async move {
            let count = Rc::clone(&viewer.count);
            if let Err(error) = viewer.watch(Pace::steady()).await {
                count.trouble.replace(Some(format!("{error:#}")));
            }
        }));
        let deadline = Instant::now() + CONNECT;
        while !count.account.borrow().is_connected {
            self.check()?;
            ensure!(Instant::now() < deadline, "a viewer is not connected after {} s", CONNECT.as_secs());
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// The packets that all of them got together, and those that never came.
    pub(super) fn counts(&self) -> (u64, u64) {
        let sum = |part: fn(&Tally) -> u64| self.counts.iter().map(|count| part(&count.account.borrow().tally)).sum();
        (sum(|tally| tally.packets), sum(Tally::missing))
    }

    /// The packets of who got the fewest.
    #[cfg(test)]
    pub(super) fn least(&self) -> u64 {
        self.counts.iter().map(|count| count.account.borrow().tally.packets).min().unwrap_or(0)
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

/// A viewer on its socket.
pub(crate) struct Viewer {
    peer: Peer,
    socket: UdpSocket,
    count: Rc<Count>,
    /// Where packets go on to.
    feed: Option<UdpSocket>,
}

impl Viewer {
    /// Asks to watch.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn enter(host: Host<'_>) -> Result<Self> {
        let offered = match host {
            Host::Crosspoint { .. } => None,
            Host::Other(other) => Some(other.watch().await?),
        };
        // Others have no candidate on the loopback interface, and a pair is of one interface.
        let loopback = || Some(Ipv4Addr::LOCALHOST.into());
        let address = offered.as_ref().map_or_else(loopback, |(_, sdp)| candidate(sdp).map(|address| address.ip()));
        let socket = UdpSocket::bind((address.context("a candidate")?, 0)).await?;
        let mut peer = Peer::new(socket.local_addr()?, Instant::now().into_std())?;
        match host {
            Host::Crosspoint { server, estimated, via } => offer(&mut peer.rtc, server, estimated, via).await?,
            Host::Other(other) => {
                let (viewer, sdp) = offered.context("an offer")?;
                let answer = peer.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(&sdp)?)?;
                other.answer(&viewer, &answer.to_sdp_string()).await?;
            }
        }
        Ok(Self { peer, socket, count: Rc::default(), feed: None })
    }

    /// What it gets.
    pub(crate) fn count(&self) -> Rc<Count> {
        Rc::clone(&self.count)
    }

    /// Takes what comes, at a pace, for ever.
    pub(crate) async fn watch(mut self, pace: Pace) -> Result<()> {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            pace.rest().await;
            let due = self.drain()?;
            tokio::select! {
                readable = self.socket.readable() => readable?,
                () = sleep_until(due.into()) => {}
            }
            for _ in 0..TURN {
                let Ok((length, source)) = self.socket.try_recv_from(&mut buffer) else { break };
                self.peer.take(source, &buffer[..length], Instant::now().into_std())?;
                self.drain()?;
            }
            self.peer.tick(Instant::now().into_std())?;
        }
    }

    /// Sends and counts all there is; says when there may be more.
    fn drain(&mut self) -> Result<std::time::Instant> {
        loop {
            match self.peer.poll(&mut self.count.account.borrow_mut())? {
                Polled::Due(at) => return Ok(at),
                // What a full socket loses any link may lose.
                Polled::Send(transmit) => drop(self.socket.try_send_to(&transmit.contents, transmit.destination)),
                Polled::Packet(packet) => {
                    if let Some(feed) = &self.feed {
                        let head = header(packet.header.marker, packet.header.sequence_number, packet.header.timestamp);
                        // As above.
                        drop(feed.try_send(&[&head, &packet.payload[..]].concat()));
                    }
                }
            }
        }
    }
}

/// Offers to watch, and takes the answer.
async fn offer(rtc: &mut Rtc, server: &Endpoint, estimated: bool, via: Option<(Impairment, &Links)>) -> Result<()> {
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().context("an offer")?;
    let mut sdp = offer.to_sdp_string();
    if !estimated {
        let kept = sdp.split_inclusive('\n').filter(|line| !line.contains("transport-wide-cc") && !line.contains("transport-cc"));
        sdp = kept.collect();
    }
    if via.is_some() {
        // Or the server would find a way around the link.
        sdp = sdp.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
    }
    let answer = server.post("/stream/webrtc/offer", Some(&json!({"id": super::STREAM, "sdp": sdp}))).await?;
    let mut sdp = answer["sdp"].as_str().context("an answer has an sdp")?.to_owned();
    if let Some((impairment, links)) = via {
        // The link is the only way there is.
        let link = before_datagrams(candidate(&sdp).context("a candidate")?, impairment, links).await?;
        let mut lines: Vec<&str> = sdp.split_inclusive('\n').collect();
        let line = format!("a=candidate:1 1 udp 2130706431 {} {} typ host\r\n", link.ip(), link.port());
        let first = lines.iter().position(|line| line.starts_with("a=candidate:")).context("a candidate")?;
        lines[first] = &line;
        let mut nth = 0..;
        lines.retain(|line| nth.next() == Some(first) || !line.starts_with("a=candidate:"));
        sdp = lines.concat();
    }
    let answer = SdpAnswer::from_sdp_string(&sdp)?;
    rtc.sdp_api().accept_answer(pending, answer)?;
    Ok(())
}

/// The address of the first candidate (RFC 8839, 5.1).
pub(crate) fn candidate(sdp: &str) -> Option<SocketAddr> {
    sdp.lines().find_map(|line| {
        let mut words = line.strip_prefix("a=candidate:")?.split(' ').skip(4);
        Some(SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    })
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
        assert_eq!(candidate(sdp), Some(SocketAddr::from(([192, 0, 2, 2], 42_096))));
        assert_eq!(candidate("v=0\r\n"), None);
    }
}
