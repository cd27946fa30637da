//! `GET /events`: what changes, as server-sent events.
//!
//! Who listens looks for itself, a few times a second and only while it listens: changes come from threads and devices that know of no
//! listeners, and a look costs less than a frame.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::api::{InputEvent, StreamGone, StreamInfo};
use super::failure::Failure;
use super::inputs;
use crate::app::App;
use crate::shutdown::Shutdown;

/// Who listens now.
#[derive(Debug, Default)]
pub(super) struct Listeners(Rc<Cell<usize>>);

/// One of them; dropped, its place is free.
struct Listener(Rc<Cell<usize>>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Listeners {
    /// How many listen.
    pub(super) fn count(&self) -> usize {
        self.0.get()
    }

    /// Lets one more listen, until it goes, does not read, or the server ends. `list` gives the streams as this caller is told of them.
    ///
    /// # Errors
    /// When too many listen.
    pub(super) fn listen(
        &self,
        app: App,
        list: impl Fn(&App) -> Vec<StreamInfo> + 'static,
        mut shutdown: Shutdown,
    ) -> Result<Response<Answer>, Failure> {
        if self.0.get() >= MAX_LISTENERS {
            let failure = Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many listen to events already");
            return Err(failure.with(header::RETRY_AFTER, "1"));
        }
        self.0.set(self.0.get() + 1);
        let listener = Listener(Rc::clone(&self.0));
        let (pieces, flow) = mpsc::channel(PIECES);
        tokio::task::spawn_local(async move {
            let _listener = listener;
            tokio::select! {
                () = tell(&app, list, &pieces) => {}
                () = shutdown.requested() => {}
                () = pieces.closed() => {}
            }
        });
        let mut response = Response::new(Answer::Flow(flow));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Looks and tells, for as long as it is read.
async fn tell(app: &App, list: impl Fn(&App) -> Vec<StreamInfo>, pieces: &mpsc::Sender<Bytes>) {
    let mut seen = Seen::default();
    let mut said = Instant::now();
    loop {
        let mut text = seen.changes(inputs::event(app.input_status()), list(app));
        if text.is_empty() && said.elapsed() >= KEEP_ALIVE {
            // A comment: it keeps proxies from closing what is silent, and finds a listener that is gone.
            text.push_str(":\n\n");
        }
        if !text.is_empty() {
            said = Instant::now();
            if !matches!(timeout(STALL, pieces.send(text.into())).await, Ok(Ok(()))) {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a listener knows.
#[derive(Debug, Default)]
struct Seen {
    input: Option<String>,
    streams: BTreeMap<String, String>,
}

impl Seen {
    /// The events that tell a listener what it does not know.
    fn changes(&mut self, input: InputEvent, streams: Vec<StreamInfo>) -> String {
        let mut text = String::new();
        let input = data(&input);
        if self.input.as_ref() != Some(&input) {
            event("input", &input, &mut text);
            self.input = Some(input);
        }
        let now: BTreeMap<String, String> = streams.into_iter().map(|info| (info.id.clone(), data(&info))).collect();
        for id in self.streams.keys().filter(|id| !now.contains_key(*id)) {
            event("gone", &data(&StreamGone { id }), &mut text);
        }
        for (id, info) in &now {
            if self.streams.get(id) != Some(info) {
                event("stream", info, &mut text);
            }
        }
        self.streams = now;
        text
    }
}

/// As the standard has it: JSON has no bare line breaks, so each fits a line.
fn event(name: &str, data: &str, text: &mut String) {
    text.extend(["event: ", name, "\ndata: ", data, "\n\n"]);
}

fn data(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own types have no maps with keys that are no strings")
}

/// As often as a person sees a difference.
const LOOK: Duration = Duration::from_millis(200);
/// Half of what proxies usually grant.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A listener that reads nothing for this long is let go.
const STALL: Duration = Duration::from_secs(10);
/// Full, the listener's task waits: it looks again when there is room, and tells only what is then.
const PIECES: usize = 4;
const MAX_LISTENERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::{Mode, State};

    fn input(state: State) -> InputEvent {
        InputEvent { state, last_error: None, camera_in_use: Some(false), microphone_in_use: None }
    }

    fn stream(viewers: u32) -> StreamInfo {
        StreamInfo {
            id: "live".to_owned(),
            mode: Mode::Socket,
            ingest_url: None,
            playback_url: None,
            secure_playback_url: None,
            websocket_url: Some("/stream/socket/live".to_owned()),
            webrtc_offer_url: None,
            is_streaming: true,
            started_at: "2025-12-10T12:00:00Z".to_owned(),
            viewers,
            framerate: 30,
            last_error: None,
            reconnects: None,
        }
    }

    #[test]
    fn changes_are_told_once() {
        let mut seen = Seen::default();
        let idle = "event: input\ndata: {\"state\":\"idle\",\"last_error\":null,\"camera_in_use\":false,\"microphone_in_use\":null}\n\n";
        assert_eq!(seen.changes(input(State::Idle), Vec::new()), idle);
        assert_eq!(seen.changes(input(State::Idle), Vec::new()), "");
        let told = seen.changes(input(State::Idle), vec![stream(0)]);
        assert!(told.starts_with("event: stream\ndata: {\"id\":\"live\",\"mode\":\"socket\",") && told.ends_with("}\n\n"), "{told}");
        assert_eq!(seen.changes(input(State::Idle), vec![stream(0)]), "");
        let told = seen.changes(input(State::Running), vec![stream(1)]);
        assert!(told.contains("\"running\"") && told.contains("\"viewers\":1"), "{told}");
        assert_eq!(seen.changes(input(State::Running), Vec::new()), "event: gone\ndata: {\"id\":\"live\"}\n\n");
    }
}
