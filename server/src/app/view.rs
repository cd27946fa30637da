//! WebRTC viewers of streams.

use std::time::Instant;

use crosspoint_ffi::{Codec, MediaTime};
use crosspoint_router::broadcast::{Media, Rendition, Unit};
use crosspoint_router::control::{Refusal, RefusalKind, StreamId, StreamMode};
use crosspoint_router::rtc::{Offer, Role};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, debug};

use super::publish::{next_order, no_orders};
use super::sessions::Order;
use super::{App, SessionKind, SessionToken, Transport, channel_key};
use crate::broadcast::{Broadcast, ChannelKey, Packing, PicturesKey, Seat, Watch};
use crate::rtc::{Answered, Reach, Said};
use crate::worker::screen::ScreenCodec;

impl App {
    /// Answers the offer of a viewer of a stream of the mode webrtc; without an id of `default`, or the only one.
    ///
    /// # Errors
    /// When there is no such stream, it is of another mode, there are too many peers, or the offer cannot be answered.
    pub(crate) fn view_rtc(&self, id: Option<StreamId>, offer: Offer, reach: Reach<'_>) -> Result<String, Refusal> {
        let id = match id {
            Some(id) => id,
            None => self.0.streams.borrow().implied_of(StreamMode::Webrtc)?,
        };
        self.0.streams.borrow().may_view(&id, StreamMode::Webrtc)?;
        self.check_room()?;
        let answered = self.0.rtc.answer(offer, Role::Viewer, reach)?;
        let sdp = answered.sdp.clone();
        let app = self.clone();
        let span = tracing::info_span!("viewer", stream = %id);
        tokio::task::spawn_local(async move { app.show(id, answered, no_orders()).await }.instrument(span));
        Ok(sdp)
    }

    /// Answers the offer of a viewer of any stream (WHEP).
    ///
    /// # Errors
    /// When there is no such stream, there are too many peers, or the offer cannot be answered.
    pub(crate) fn view_whep(&self, id: &StreamId, offer: Offer, reach: Reach<'_>) -> Result<(SessionToken, String), Refusal> {
        if self.0.streams.borrow().spec(id).is_none() {
            return Err(Refusal::new(RefusalKind::Missing, format!("no stream with the id {id} runs")));
        }
        self.check_room()?;
        let ice_names = offer.ice_names();
        let answered = self.0.rtc.answer(offer, Role::Viewer, reach)?;
        let (token, orders) = self.0.sessions.open(SessionKind::Stream(id.clone()), ice_names)?;
        let sdp = answered.sdp.clone();
        let (app, id, own) = (self.clone(), id.clone(), token.clone());
        let span = tracing::info_span!("viewer", stream = %id);
        let conversation = async move {
            app.show(id, answered, orders).await;
            app.0.sessions.close(&own);
        };
        tokio::task::spawn_local(conversation.instrument(span));
        Ok((token, sdp))
    }

    /// Shows a stream to a peer until either ends.
    async fn show(&self, id: StreamId, answered: Answered, mut orders: mpsc::Receiver<Order>) {
        let Answered { peer, mut said, .. } = answered;
        let _guest = self.0.guests.come();
        let mut shutdown = self.shutdown();
        let (leave, mut left) = oneshot::channel();
        self.0.viewers.borrow_mut().push((id.clone(), Transport::WebRtc, leave));
        // Nothing while it connects: what is encoded for it then would be stale.
        let mut view: Option<View> = None;
        let mut stopped = false;
        loop {
            if let Some(view) = &mut view {
                view.follow(&self.0.media.broadcast);
                while let Some(unit) = view.next_unit() {
                    let moment = unit.time.to_duration().map_or(unit.captured, |time| self.0.media.broadcast.epoch() + time);
                    // An encoder may be a little ahead of itself; nobody can have captured what has not been.
                    peer.write(&unit, moment.min(Instant::now()));
                }
            }
            let more = async {
                match &mut view {
                    Some(view) => view.more().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = more => {}
                said = said.recv() => match said {
                    Some(Said::Connected) => {
                        let key = self.0.streams.borrow().spec(&id).map(channel_key);
                        let Some(key) = key else { break };
                        self.0.streams.borrow_mut().join(&id);
                        // Whatever the stream's own viewers get, peers get H.264 if they can.
                        let codec = if peer.pictures() == Some(Codec::Vp8) { ScreenCodec::Vp8 } else { ScreenCodec::H264 };
                        let pictures = key.pictures.map(|pictures| PicturesKey { codec, ..pictures });
                        view = Some(View::begin(&self.0.media.broadcast, pictures));
                    }
                    Some(Said::Able(bits)) => {
                        debug!(bits, "viewer can take");
                        if let Some(seat) = view.as_ref().and_then(|view| view.seat.as_ref()) {
                            seat.set_able(bits);
                        }
                    }
                    Some(Said::KeyWanted) => {
                        debug!("viewer wants a key frame");
                        if let Some(view) = &view {
                            view.watch.want_key();
                        }
                    }
                    Some(Said::Lost | Said::Packet(_)) => {}
                    None => break,
                },
                order = next_order(&mut orders) => match order {
                    Order::Candidates(fragment) => peer.add_candidates(&fragment),
                    Order::End => break,
                },
                _ = &mut left => {
                    stopped = true;
                    break;
                }
                () = shutdown.requested() => break,
            }
        }
        drop(left);
        self.0.viewers.borrow_mut().retain(|(_, _, leave)| !leave.is_closed());
        if view.is_some() && !stopped {
            self.0.streams.borrow_mut().leave(&id);
        }
    }
}

/// What a peer is shown: pictures of a size that it can take, and the sound.
struct View {
    pictures: Option<PicturesKey>,
    /// Nothing for sound alone.
    seat: Option<Seat>,
    watch: Watch,
    rendition: Rendition,
    /// The other rendition, from which nothing has come yet.
    next: Option<(Watch, Rendition)>,
    /// The time of the sound that was shown last: both renditions have the same.
    heard: Option<MediaTime>,
}

impl View {
    fn begin(broadcast: &Broadcast, pictures: Option<PicturesKey>) -> Self {
        let seat = pictures.map(|key| broadcast.seat(key));
        let watch = broadcast.channel(ChannelKey { pictures, packing: Packing::Rtp }).watch();
        Self { pictures, seat, watch, rendition: Rendition::Whole, next: None, heard: None }
    }

    /// Turns to the rendition that the peer is to get. The old one goes on until the new one has something to show.
    fn follow(&mut self, broadcast: &Broadcast) {
        let (Some(seat), Some(key)) = (&self.seat, self.pictures) else { return };
        let rendition = seat.rendition();
        if rendition == self.rendition {
            self.next = None;
        } else if self.next.is_none() {
            let pictures = Some(PicturesKey { rendition, ..key });
            self.next = Some((broadcast.channel(ChannelKey { pictures, packing: Packing::Rtp }).watch(), rendition));
        }
    }

    fn next_unit(&mut self) -> Option<Unit> {
        loop {
            let mut unit = None;
            if let Some((mut watch, rendition)) = self.next.take() {
                unit = watch.next_unit();
                if unit.is_some() {
                    debug!(?rendition, "viewer's pictures change");
                    (self.watch, self.rendition) = (watch, rendition);
                } else {
                    self.next = Some((watch, rendition));
                }
            }
            let unit = unit.or_else(|| self.watch.next_unit())?;
            if unit.media == Media::Video {
                return Some(unit);
            }
            if self.heard.is_none_or(|heard| heard < unit.time) {
                self.heard = Some(unit.time);
                return Some(unit);
            }
        }
    }

    /// Waits until there may be more to show.
    async fn more(&mut self) {
        let judged = async {
            match &mut self.seat {
                Some(seat) => seat.judged().await,
                None => std::future::pending().await,
            }
        };
        let next = async {
            match &mut self.next {
                Some((watch, _)) => watch.more().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.watch.more() => {}
            () = next => {}
            () = judged => {}
        }
    }
}
