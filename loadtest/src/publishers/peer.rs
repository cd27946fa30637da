//! A WebRTC publisher of a clip.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use str0m::change::SdpAnswer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

use crate::client::Endpoint;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::publish::Sent;

/// How it asks to publish.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    Offer,
    Whip,
}

pub(super) struct Peer {
    rtc: Rtc,
    mid: Mid,
    socket: UdpSocket,
    is_connected: bool,
}

impl Peer {
    /// Asks to publish.
    pub(super) async fn enter(server: &Endpoint, door: Door) -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let mut rtc = Rtc::builder().build(Instant::now());
        rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
        let mut api = rtc.sdp_api();
        let mid = api.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let (offer, pending) = api.apply().context("an offer")?;
        let sdp = offer.to_sdp_string();
        let answer = match door {
            Door::Offer => {
                let video = json!({"video": {"type": "webrtc", "width": 1280, "height": 720, "frame_rate": 30}});
                server.post("/input/devices/virtual/configure", Some(&video)).await?;
                let answer = server.post("/input/devices/virtual/webrtc/offer", Some(&json!({ "sdp": sdp }))).await?;
                answer["sdp"].as_str().context("an answer has an sdp")?.to_owned()
            }
            Door::Whip => server.post_sdp("/whip/camera", sdp).await?,
        };
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
        Ok(Self { rtc, mid, socket, is_connected: false })
    }

    /// Sends every picture at its time; says when each was. A picture that is late does not move those after it.
    pub(super) async fn publish(mut self, clip: Clip, clock: Clock) -> Result<Vec<Sent>> {
        let (mut buffer, mut next, local) = (vec![0; DATAGRAM_BYTES], 0, self.socket.local_addr()?);
        let deadline = Instant::now() + CONNECT;
        let (mut start, mut sent) = (None, Vec::with_capacity(clip.pictures.len()));
        while next < clip.pictures.len() {
            let mut wake = self.drain()?;
            if self.is_connected {
                let start = *start.get_or_insert_with(Instant::now);
                wake = wake.min(start + clip.period * u32::try_from(next)?);
            }
            ensure!(self.is_connected || Instant::now() < deadline, "not connected after {} s", CONNECT.as_secs());
            tokio::select! {
                readable = self.socket.readable() => readable?,
                () = sleep_until(wake.into()) => {}
            }
            while let Ok((length, source)) = self.socket.try_recv_from(&mut buffer) {
                let receive = Receive::new(Protocol::Udp, source, local, &buffer[..length])?;
                self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
                self.drain()?;
            }
            let now = Instant::now();
            self.rtc.handle_input(Input::Timeout(now))?;
            let due = start.map(|start| start + clip.period * next as u32);
            if let Some(due) = due.filter(|due| now >= *due) {
                self.drain()?;
                self.write(&clip, next, now)?;
                self.drain()?;
                let at_ms = clock.now_ms();
                sent.push(Sent { due_ms: at_ms - due.elapsed().as_secs_f64() * 1e3, at_ms });
                next += 1;
            }
        }
        self.drain()?;
        Ok(sent)
    }

    fn write(&mut self, clip: &Clip, nth: usize, now: Instant) -> Result<()> {
        let writer = self.rtc.writer(self.mid).context("a sender")?;
        let h264 = writer.payload_params().find(|params| params.spec().codec == Codec::H264);
        let payload_type = h264.context("the router takes no H.264")?.pt();
        let time = MediaTime::from(clip.period * u32::try_from(nth)?);
        writer.write(payload_type, now, time, clip.pictures[nth].clone())?;
        Ok(self.rtc.handle_input(Input::Timeout(now))?)
    }

    /// Sends all there is; says when there may be more.
    fn drain(&mut self) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                // What a full socket loses any link may lose.
                Output::Transmit(transmit) => drop(self.socket.try_send_to(&transmit.contents, transmit.destination)),
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(_) => {}
            }
        }
    }
}

const CONNECT: Duration = Duration::from_secs(10);
const DATAGRAM_BYTES: usize = 2_048;
