//! Viewers of streams.

use crosspoint_router::control::{Refusal, RefusalKind, StreamId, StreamMode};
use tokio::sync::oneshot;

use super::rest::Guest;
use super::{App, Transport, channel_key};
use crate::broadcast::Watch;
use crate::ws::Close;

/// A viewer of a stream, who is counted until this is dropped.
pub(crate) struct Viewing {
    app: App,
    id: StreamId,
    left: oneshot::Receiver<Close>,
    stopped: bool,
    _guest: Guest,
}

impl App {
    /// Lets a viewer in that watches a stream of `mode` by `transport`.
    ///
    /// # Errors
    /// When there is no such stream, it is of another mode, or there are too many viewers.
    pub(crate) fn watch(&self, id: &StreamId, mode: StreamMode, transport: Transport) -> Result<(Watch, Viewing), Refusal> {
        let mut streams = self.0.streams.borrow_mut();
        streams.may_view(id, mode)?;
        self.check_room()?;
        let missing = || Refusal::new(RefusalKind::Missing, format!("no stream with the id {id} runs"));
        let key = streams.spec(id).map(channel_key).ok_or_else(missing)?;
        streams.join(id);
        let (leave, left) = oneshot::channel();
        self.0.viewers.borrow_mut().push((id.clone(), transport, leave));
        let watch = self.0.media.broadcast.channel(key).watch();
        Ok((watch, Viewing { app: self.clone(), id: id.clone(), left, stopped: false, _guest: self.0.guests.come() }))
    }
}

impl Viewing {
    /// Waits until the viewer has to leave, and says why.
    pub(crate) async fn over(&mut self) -> Close {
        let close = (&mut self.left).await;
        self.stopped = true;
        close.unwrap_or(Close::GOING_AWAY)
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        // A stream that was stopped has nobody to count, and its name may be another's by now.
        let stopped = self.stopped || self.left.try_recv().is_ok();
        self.left.close();
        self.app.0.viewers.borrow_mut().retain(|(_, _, leave)| !leave.is_closed());
        if !stopped {
            self.app.0.streams.borrow_mut().leave(&self.id);
        }
    }
}
