//! A WebRTC publisher of a clip.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

use crate::client::Endpoint;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::fanout::rtc::viewer::candidate;
use crate::publish::Sent;

/// How it asks to publish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    Offer,
    Whip,
}

/// A publisher of H.264 and, where it has a track for it, Opus.
pub(crate) struct Peer {
    rtc: Rtc,
    video: Option<Mid>,
    audio: Option<Mid>,
    socket: UdpSocket,
    is_connected: bool,
}

impl Peer {
    /// Asks to publish pictures, `with_sound` or alone.
    pub(crate) async fn enter(server: &Endpoint, door: Door, with_sound: bool) -> Result<Self> {
        let mut peer = Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let mut api = peer.rtc.sdp_api();
        peer.video = Some(api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None));
        peer.audio = with_sound.then(|| api.add_media(MediaKind::Audio, Direction::SendOnly, None, None, None));
        let (offer, pending) = api.apply().context("an offer")?;
        let sdp = offer.to_sdp_string();
        let answer = match door {
            Door::Offer => {
                let mut input = json!({"video": {"type": "webrtc", "width": 1280, "height": 720, "frame_rate": 30}});
                if with_sound {
                    input["audio"] = json!({"type": "webrtc"});
                }
                server.post("/input/devices/virtual/configure", Some(&input)).await?;
                let answer = server.post("/input/devices/virtual/webrtc/offer", Some(&json!({ "sdp": sdp }))).await?;
                answer["sdp"].as_str().context("an answer has an sdp")?.to_owned()
            }
            Door::Whip => server.post_sdp("/whip/camera", sdp).await?,
        };
        peer.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        Ok(peer)
    }

    /// Takes an offer to receive what is published; gives the answer with it.
    pub(crate) async fn invited(offer: &str) -> Result<(Self, String)> {
        // Who offers may have no candidate on the loopback interface, and a pair is of one interface.
        let theirs = candidate(offer).context("a candidate")?;
        let mut peer = Self::at(SocketAddr::new(theirs.ip(), 0)).await?;
        let answer = peer.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(offer)?)?;
        Ok((peer, answer.to_sdp_string()))
    }

    async fn at(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let mut rtc = Rtc::builder().clear_codecs().enable_h264(true).enable_opus(true, false).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        Ok(Self { rtc, video: None, audio: None, socket, is_connected: false })
    }

    /// Waits until it can send.
    pub(crate) async fn connect(&mut self) -> Result<()> {
        let deadline = Instant::now() + CONNECT;
        while !self.is_connected || self.video.is_none() {
            ensure!(Instant::now() < deadline, "not connected after {} s", CONNECT.as_secs());
            self.rest(deadline).await?;
        }
        Ok(())
    }

    /// Sends every picture at its time, and `sound`, packets of 20 ms, as long as there are pictures; says when each picture was. What is
    /// late does not move what comes after it.
    pub(crate) async fn publish(mut self, clip: Clip, sound: &[Arc<[u8]>], clock: Clock) -> Result<Vec<Sent>> {
        self.connect().await?;
        let (start, mut sent) = (Instant::now(), Vec::with_capacity(clip.pictures.len()));
        let mut packets = (0..).zip(sound).map(|(nth, packet)| (PACKET * nth, packet)).peekable();
        while let Some(picture) = clip.pictures.get(sent.len()) {
            let time = clip.period * u32::try_from(sent.len())?;
            while let Some((time, packet)) = packets.next_if(|(heard, _)| *heard <= time) {
                self.until(start + time).await?;
                let audio = self.audio.context("the other side takes no sound")?;
                self.write(audio, Codec::Opus, time, packet)?;
            }
            let due = start + time;
            self.until(due).await?;
            let video = self.video.context("the other side takes no pictures")?;
            self.write(video, Codec::H264, time, picture)?;
            let at_ms = clock.now_ms();
            sent.push(Sent { due_ms: at_ms - due.elapsed().as_secs_f64() * 1e3, at_ms });
        }
        Ok(sent)
    }

    async fn until(&mut self, due: Instant) -> Result<()> {
        while Instant::now() < due {
            self.rest(due).await?;
        }
        Ok(())
    }

    /// Takes what comes, and lets what is due happen, once or until `due`.
    async fn rest(&mut self, due: Instant) -> Result<()> {
        let (mut buffer, local) = ([0; DATAGRAM_BYTES], self.socket.local_addr()?);
        let wake = self.drain()?.min(due);
        tokio::select! {
            readable = self.socket.readable() => readable?,
            () = sleep_until(wake.into()) => {}
        }
        while let Ok((length, source)) = self.socket.try_recv_from(&mut buffer) {
            let receive = Receive::new(Protocol::Udp, source, local, &buffer[..length])?;
            self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
            self.drain()?;
        }
        self.rtc.handle_input(Input::Timeout(Instant::now()))?;
        self.drain().map(drop)
    }

    fn write(&mut self, mid: Mid, codec: Codec, time: Duration, data: &Arc<[u8]>) -> Result<()> {
        let now = Instant::now();
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()?;
        let writer = self.rtc.writer(mid).context("a sender")?;
        let taken = writer.payload_params().find(|params| params.spec().codec == codec);
        let payload_type = taken.with_context(|| format!("the other side takes no {codec:?}"))?.pt();
        writer.write(payload_type, now, MediaTime::from(time), Arc::clone(data))?;
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain().map(drop)
    }

    /// Sends all there is; says when there may be more.
    fn drain(&mut self) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                // What a full socket loses any link may lose.
                Output::Transmit(transmit) => drop(self.socket.try_send_to(&transmit.contents, transmit.destination)),
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::MediaAdded(media)) => match media.kind {
                    MediaKind::Audio => self.audio = Some(media.mid),
                    MediaKind::Video => self.video = Some(media.mid),
                },
                Output::Event(_) => {}
            }
        }
    }
}

const CONNECT: Duration = Duration::from_secs(10);
const DATAGRAM_BYTES: usize = 2_048;
/// Of sound.
const PACKET: Duration = Duration::from_millis(20);
