//! WebSockets: publishers of either track, viewers of streams and of the feed.

use crosspoint_router::control::{Refusal, RefusalKind, StreamId, StreamMode};
use crosspoint_router::ingest::FeedFormat;

use super::{App, Transport};
use crate::ws::{self, Close, Socket};

impl App {
    /// Lets a publisher of the picture in, before its upgrade is answered.
    ///
    /// # Errors
    /// When the picture is not configured as socket.
    pub fn may_publish_video(&self) -> Result<(), Refusal> {
        self.0.inputs.borrow().may_publish_video()
    }

    /// Lets a publisher of the sound in, before its upgrade is answered.
    ///
    /// # Errors
    /// When the sound is not configured as socket.
    pub fn may_publish_audio(&self) -> Result<(), Refusal> {
        self.0.inputs.borrow().may_publish_audio()
    }

    /// Lets a viewer of the feed in, before its upgrade is answered; says which format it will get.
    ///
    /// # Errors
    /// When there is no video input.
    pub fn may_watch_feed(&self) -> Result<FeedFormat, Refusal> {
        self.0.inputs.borrow().may_watch_feed()?;
        self.check_room()?;
        Ok(self.0.media.feed.format())
    }

    /// Lets a viewer of a stream's WebSocket in, before its upgrade is answered.
    ///
    /// # Errors
    /// When there is no such stream, or it is not for the WebSocket.
    pub fn may_view(&self, id: &StreamId) -> Result<(), Refusal> {
        self.0.streams.borrow().may_view(id, StreamMode::Socket)?;
        self.check_room()
    }

    /// Takes the picture from `socket` until it ends, another takes over or the picture is configured away.
    pub async fn publish_video(&self, mut socket: Socket) {
        if self.may_publish_video().is_err() {
            // It was configured away between the upgrade's answer and now.
            return socket.end(Close::RECONFIGURED.into()).await;
        }
        let _guest = self.0.guests.come();
        let mut shutdown = self.shutdown();
        let (sitting, left) = self.0.video.sit_down(Transport::WebSocket);
        let mut ingest = self.0.media.video_ingest().await;
        let end = tokio::select! {
            close = left => close.unwrap_or(Close::GOING_AWAY).into(),
            () = shutdown.requested() => Close::GOING_AWAY.into(),
            end = ws::ingest::run(&mut socket, "mpegts", &mut ingest) => end,
        };
        if self.0.video.stand_up(sitting) {
            self.0.media.video_gone().await;
        }
        socket.end(end).await;
    }

    /// Takes the sound from `socket` until it ends, another takes over or the sound is configured away.
    pub async fn publish_audio(&self, mut socket: Socket) {
        if self.may_publish_audio().is_err() {
            return socket.end(Close::RECONFIGURED.into()).await;
        }
        let _guest = self.0.guests.come();
        let mut shutdown = self.shutdown();
        let (sitting, left) = self.0.audio.sit_down(Transport::WebSocket);
        let mut ingest = self.0.media.audio_ingest();
        let end = tokio::select! {
            // Whoever told it to leave has seen to the silence.
            close = left => close.unwrap_or(Close::GOING_AWAY).into(),
            () = shutdown.requested() => Close::GOING_AWAY.into(),
            end = ws::ingest::run(&mut socket, "mp3", &mut ingest) => end,
        };
        // What was sent is played out: the source's end is not its listeners' cut.
        drop(ingest);
        self.0.audio.stand_up(sitting);
        socket.end(end).await;
    }

    /// Shows the stream to `socket` until either ends.
    pub async fn view_stream(&self, id: StreamId, socket: Socket) {
        let mut shutdown = self.shutdown();
        let (watch, mut viewing) = match self.watch(&id, StreamMode::Socket, Transport::WebSocket) {
            Ok(watched) => watched,
            // Others came between the upgrade's answer and now, or it was stopped.
            Err(refusal) if refusal.kind == RefusalKind::Unavailable => return socket.end(Close::FULL.into()).await,
            Err(_) => return socket.end(Close::STOPPED.into()).await,
        };
        ws::viewer::serve(socket, watch, async {
            tokio::select! {
                close = viewing.over() => close,
                () = shutdown.requested() => Close::GOING_AWAY,
            }
        })
        .await;
    }

    /// Shows the feed to `socket` until the socket ends or the feed's format changes. It stays while nothing is configured or live.
    pub async fn view_feed(&self, mut socket: Socket) {
        let _guest = self.0.guests.come();
        let mut shutdown = self.shutdown();
        if self.check_room().is_err() {
            return socket.end(Close::FULL.into()).await;
        }
        let watch = self.0.media.feed.watch();
        if let Err(end) = socket.send_text(watch.format().name()).await {
            return socket.end(end).await;
        }
        let outdated = watch.outdated();
        ws::viewer::serve(socket, watch, async {
            tokio::select! {
                () = outdated => Close::FORMAT_CHANGED,
                () = shutdown.requested() => Close::GOING_AWAY,
            }
        })
        .await;
    }
}
