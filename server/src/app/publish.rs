//! WebRTC publishers: from an offer to the camera and the microphone.

use std::time::{Duration, Instant};

use crosspoint_router::control::{AudioDestination, AudioInput, AudioSource, InputSpec, InputState, Refusal, VideoInput, VideoSource};
use crosspoint_router::ingest::{MediaSource, Nature, SourceOutput, Track};
use crosspoint_router::rtc::{Offer, Role};
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::sessions::Order;
use super::{App, SessionKind, SessionToken, Transport};
use crate::outlet::{Ears, Turn};
use crate::rtc::{Answered, Link, Reach, Said};
use crate::timer::sleep_until;
use crate::ws::Close;

/// The tracks of a session that are still its own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Tracks {
    video: bool,
    audio: bool,
}

impl App {
    /// Answers a publisher's offer for the tracks that are configured as webrtc.
    ///
    /// # Errors
    /// When none is, there are too many peers, or the offer cannot be answered.
    pub(crate) fn publish_rtc(&self, offer: Offer, reach: Reach<'_>) -> Result<String, Refusal> {
        let (video, audio) = self.0.inputs.borrow().may_publish_webrtc(offer.sends_video(), offer.sends_audio())?;
        let answered = self.0.rtc.answer(offer, Role::Publisher, reach)?;
        let sdp = answered.sdp.clone();
        let app = self.clone();
        let conversation = async move { app.ingest(answered, Tracks { video, audio }, no_orders()).await };
        tokio::task::spawn_local(conversation.instrument(span()));
        Ok(sdp)
    }

    /// Configures the tracks that an offer sends and answers it (WHIP); what it does not send stays as it is. The session's end takes back
    /// what it configured.
    ///
    /// # Errors
    /// As [`App::configure`] and [`App::publish_rtc`].
    pub(crate) async fn publish_whip(&self, offer: Offer, reach: Reach<'_>) -> Result<(SessionToken, String), Refusal> {
        let tracks = Tracks { video: offer.sends_video(), audio: offer.sends_audio() };
        let ice_names = offer.ice_names();
        let answered = self.0.rtc.answer(offer, Role::Publisher, reach)?;
        let before = self.0.inputs.borrow().spec().cloned();
        let (video, audio) = before.map(|spec| (spec.video, spec.audio)).unwrap_or_default();
        let canvas = video.clone();
        let as_webrtc = || {
            let (width, height, frame_rate) = canvas.map(|video| (video.width, video.height, video.frame_rate)).unwrap_or_default();
            VideoInput { source: VideoSource::Webrtc, width, height, frame_rate }
        };
        let destination = audio.as_ref().map_or(AudioDestination::Microphone, |audio| audio.destination);
        let spec = InputSpec {
            video: if tracks.video { Some(as_webrtc()) } else { video },
            audio: if tracks.audio { Some(AudioInput { source: AudioSource::Webrtc, destination }) } else { audio },
            start_paused: false,
        };
        self.configure(spec).await?;
        let (token, orders) = self.0.sessions.open(SessionKind::Camera, ice_names)?;
        let sdp = answered.sdp.clone();
        let (app, own) = (self.clone(), token.clone());
        let conversation = async move {
            let left = app.ingest(answered, tracks, orders).await;
            app.0.sessions.close(&own);
            app.take_back(left).await;
        };
        tokio::task::spawn_local(conversation.instrument(span()));
        Ok((token, sdp))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn end_session(&self, kind: &SessionKind, token: &SessionToken) -> Result<(), Refusal> {
        self.0.sessions.tell(kind, token, Order::End)
    }

    /// The user names of a session's ICE session, as the other end has it.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn ice_names(&self, kind: &SessionKind, token: &SessionToken) -> Result<Vec<String>, Refusal> {
        self.0.sessions.ice_names(kind, token)
    }

    /// Hands a session a trickled fragment.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn add_candidates(&self, kind: &SessionKind, token: &SessionToken, fragment: String) -> Result<(), Refusal> {
        self.0.sessions.tell(kind, token, Order::Candidates(fragment))
    }

    /// Takes what a publisher sends until it ends, or others have taken over all its tracks; says which were its own to the end.
    async fn ingest(&self, answered: Answered, tracks: Tracks, mut orders: mpsc::Receiver<Order>) -> Tracks {
        let Answered { peer, mut said, .. } = answered;
        let _guest = self.0.guests.come();
        let mut shutdown = self.shutdown();
        loop {
            tokio::select! {
                said = said.recv() => match said {
                    Some(Said::Connected) => break,
                    Some(Said::Able(_) | Said::KeyWanted | Said::Lost | Said::Packet(_)) => {}
                    None => return self.untaken(tracks),
                },
                order = next_order(&mut orders) => match order {
                    Order::Candidates(fragment) => peer.add_candidates(&fragment),
                    Order::End => return self.untaken(tracks),
                },
                () = shutdown.requested() => return self.untaken(tracks),
            }
        }
        // It may have been configured away while the peer connected.
        let Ok((video, audio)) = self.0.inputs.borrow().may_publish_webrtc(tracks.video, tracks.audio) else {
            return Tracks { video: false, audio: false };
        };
        let (video, mut video_left) = video.then(|| self.0.video.sit_down(Transport::WebRtc)).unzip();
        let (audio, mut audio_left) = audio.then(|| self.0.audio.sit_down(Transport::WebRtc)).unzip();
        let eyes = if video.is_some() { Some(self.0.media.video_begins().await.turn) } else { None };
        let ears = audio.map(|_| self.0.media.ears());
        let mut ingest = RtcIngest::new(eyes, ears);
        let (mut tick, mut joined) = (self.0.media.tick(), self.0.media.feed.joined());
        let mut reader: Option<Instant> = None;
        loop {
            let until = ingest.release(&peer).await;
            let timer = sleep_until(until);
            tokio::select! {
                said = said.recv() => match said {
                    Some(Said::Packet(packet)) => ingest.source.handle_packet(packet),
                    Some(Said::Lost) => ingest.source.handle_loss(),
                    Some(Said::Able(_) | Said::Connected | Said::KeyWanted) => {}
                    None => break,
                },
                () = timer => {}
                _ = left(&mut video_left) => ingest.let_go(Track::Video),
                _ = left(&mut audio_left) => ingest.let_go(Track::Audio),
                Ok(()) = tick.changed() => {
                    // A reader that comes, or comes again, is to have its picture at once.
                    let now = *tick.borrow_and_update();
                    if now.is_some_and(|now| reader.is_none_or(|last| now.saturating_duration_since(last) > READER_GONE)) {
                        peer.want_key();
                    }
                    reader = now;
                }
                Ok(()) = joined.changed() => peer.want_key(),
                order = next_order(&mut orders) => match order {
                    Order::Candidates(fragment) => peer.add_candidates(&fragment),
                    Order::End => break,
                },
                () = shutdown.requested() => break,
            }
            if ingest.is_idle() {
                break;
            }
        }
        drop(ingest);
        let mut own = Tracks { video: false, audio: false };
        if let Some(sitting) = video
            && self.0.video.stand_up(sitting)
        {
            own.video = true;
            self.0.media.video_gone().await;
        }
        if let Some(sitting) = audio {
            own.audio = self.0.audio.stand_up(sitting);
        }
        own
    }

    /// Of the tracks of a session that never connected those that nobody else publishes.
    fn untaken(&self, tracks: Tracks) -> Tracks {
        let (video, audio) = (self.0.video.occupants() == 0, self.0.audio.occupants() == 0);
        Tracks { video: tracks.video && video, audio: tracks.audio && audio }
    }

    /// Takes back what a session configured, as far as nobody has configured or taken it since.
    async fn take_back(&self, own: Tracks) {
        let Some(spec) = self.0.inputs.borrow().spec().cloned() else { return };
        let (video, audio) = spec.webrtc_tracks();
        let (video, audio) = (video && own.video, audio && own.audio);
        if !video && !audio {
            return;
        }
        let start_paused = self.0.inputs.borrow().state() == InputState::Paused;
        let spec = InputSpec { video: spec.video.filter(|_| !video), audio: spec.audio.filter(|_| !audio), start_paused };
        if spec.video.is_none() && spec.audio.is_none() {
            self.stop_inputs().await;
        } else if let Err(error) = self.configure(spec).await {
            tracing::debug!(%error, "taking back what a session configured");
        }
    }
}

fn span() -> tracing::Span {
    tracing::info_span!("publisher", transport = "webrtc")
}

/// What a publisher sends, on its way to the camera and the sink.
struct RtcIngest {
    source: MediaSource,
    eyes: Option<Turn>,
    ears: Option<Ears>,
    dropped_for_key: u64,
}

impl RtcIngest {
    fn new(eyes: Option<Turn>, ears: Option<Ears>) -> Self {
        let mut source = MediaSource::new(Nature::Realtime);
        source.set_wanted(eyes.is_some(), ears.is_some());
        Self { source, eyes, ears, dropped_for_key: 0 }
    }

    /// Releases what is due; says when there is more to do.
    async fn release(&mut self, peer: &Link) -> Option<Instant> {
        let dropped = self.source.stats().dropped_for_key;
        if std::mem::replace(&mut self.dropped_for_key, dropped) != dropped {
            peer.want_key();
        }
        if let Some(latency) = self.ears.as_ref().and_then(Ears::latency) {
            self.source.set_sound_latency(latency);
        }
        loop {
            match self.source.poll(Instant::now()) {
                SourceOutput::Ended => return None,
                SourceOutput::Gap => {
                    if let Some(eyes) = &self.eyes {
                        eyes.gap().await;
                    }
                }
                SourceOutput::Release(Track::Audio, packet) => {
                    if let Some(eyes) = &self.eyes {
                        eyes.sound_of_source(&packet);
                    }
                    if let Some(outlet) = self.ears.as_ref().and_then(|ears| ears.outlet.as_ref()) {
                        outlet.packet(packet);
                    }
                }
                SourceOutput::Release(Track::Video, packet) => {
                    if let Some(eyes) = &self.eyes {
                        eyes.packet(packet).await;
                    }
                }
                SourceOutput::Wait { until, .. } => return until,
            }
        }
    }

    /// Another has taken a track over, or it was configured away.
    fn let_go(&mut self, track: Track) {
        match track {
            Track::Audio => self.ears = None,
            Track::Video => self.eyes = None,
        }
        self.source.set_wanted(self.eyes.is_some(), self.ears.is_some());
    }

    fn is_idle(&self) -> bool {
        self.eyes.is_none() && self.ears.is_none()
    }
}

/// Waits until a seat is taken away, once.
async fn left(seat: &mut Option<oneshot::Receiver<Close>>) {
    match seat {
        Some(taken) => {
            // However it is over, it is.
            let _ = taken.await;
            *seat = None;
        }
        None => std::future::pending().await,
    }
}

/// Waits for what a session is told; one that cannot be told anything waits for ever.
pub(super) async fn next_order(orders: &mut mpsc::Receiver<Order>) -> Order {
    match orders.recv().await {
        Some(order) => order,
        None => std::future::pending().await,
    }
}

/// The orders of a session that nobody can come back to.
pub(super) fn no_orders() -> mpsc::Receiver<Order> {
    mpsc::channel(1).1
}

/// A camera that was not read for this long has a new reader.
const READER_GONE: Duration = Duration::from_millis(500);
