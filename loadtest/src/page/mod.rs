//! A page that looks at numbered pictures, and what it told.

mod serve;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::clock::{Clock, ClockMap, RoundTrip};

/// The scripts of a page besides those that all have, by their paths: `/page.js` is the one that it starts with.
pub(crate) type Scripts = &'static [(&'static str, &'static str)];

/// A web server for one page, and what the page told so far.
pub(crate) struct Page {
    told: Arc<Told>,
    origin: String,
    server: JoinHandle<()>,
}

/// Where in the browser a frame was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum View {
    /// The `<video>` element shows it.
    Video,
    /// A worker read it from the track.
    Worker,
}

/// What the page told.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// What it has open, once it has: the track's label and settings.
    pub(crate) opened: Option<Value>,
    /// What went wrong first.
    pub(crate) failed: Option<String>,
    /// What the `<video>` element showed.
    pub(crate) video: Sightings,
    /// What the worker saw.
    pub(crate) worker: Sightings,
    /// How long a viewer over WebRTC had a way until it showed a picture.
    pub(crate) begun_ms: Option<f64>,
    /// What a viewer over WebRTC said of its buffers, one look after another.
    pub(crate) buffers: Vec<Buffers>,
}

/// What the browser holds back, by its own word (`getStats`); nothing where it had nothing since the look before.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct Buffers {
    /// How long pictures lay in the jitter buffer, decoding included.
    pub(crate) picture_ms: Option<f64>,
    /// The same of the sound.
    pub(crate) sound_ms: Option<f64>,
    /// By how much what is seen was captured after what is heard.
    pub(crate) ahead_ms: Option<f64>,
}

/// Frames in the order seen, and the clock that timed them.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    /// Maps the times to ours.
    pub(crate) clock: ClockMap,
    frames: Vec<Sighting>,
}

/// A frame that a script looked at.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct Sighting {
    /// The number in its top strip, if one could be read.
    pub(crate) top: Option<u32>,
    /// The number in its bottom strip.
    pub(crate) bottom: Option<u32>,
    /// When.
    pub(crate) at_ms: f64,
    /// Where it was before, of pictures that came over WebRTC.
    #[serde(default)]
    pub(crate) way: Option<Way>,
}

/// What a browser knows of a received picture's way (`VideoFrameCallbackMetadata` and `RTCRtpSynchronizationSource`).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct Way {
    /// When the sender captured it, by its wall clock.
    pub(crate) captured_ms: Option<f64>,
    /// When its last packet was there.
    pub(crate) received_ms: Option<f64>,
    /// How long decoding took.
    pub(crate) decoding_s: Option<f64>,
    /// When it was handed to the compositor.
    pub(crate) presented_ms: f64,
}

/// A message from the page.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// How long there was a way until a picture was shown.
    Begun(f64),
    /// What its buffers hold now.
    Buffers(Buffers),
    /// What its clock showed when our question came; the question is the time we asked.
    Clock { question: f64, now: f64 },
    /// Something broke there.
    Failed(String),
    /// What was seen lately.
    Frames(Vec<Sighting>),
    /// The pictures' source is open.
    Opened(Value),
}

/// The account and its bell.
struct Told {
    account: Mutex<Account>,
    changed: Notify,
    clock: Clock,
}

impl Page {
    /// Serves the page on a free port of the loopback address, where browsers allow cameras without TLS.
    ///
    /// # Errors
    /// When no port can be listened on.
    pub(crate) async fn serve(scripts: Scripts, clock: Clock) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening for the page")?;
        let origin = format!("http://{}", listener.local_addr()?);
        let told = Arc::new(Told { account: Mutex::default(), changed: Notify::new(), clock });
        let server = tokio::spawn(serve::accept(listener, scripts, Arc::clone(&told)));
        Ok(Self { told, origin, server })
    }

    /// Where the page comes from.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Where the page is; `wanted` is handed to its script.
    pub(crate) fn url(&self, wanted: &Value) -> String {
        let query: String = wanted.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("{}/?wanted={query}", self.origin)
    }

    /// Waits until `condition` holds of the account, looking whenever something is told.
    ///
    /// # Errors
    /// When the page failed, or `patience` is over: `what` did not happen then.
    pub(crate) async fn wait(&self, what: &str, patience: Duration, condition: impl Fn(&Account) -> bool) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.told.changed.notified();
            {
                let account = self.told.account();
                if let Some(failed) = &account.failed {
                    bail!("the page: {failed}");
                }
                if condition(&account) {
                    return Ok(());
                }
            }
            if timeout_at(deadline, changed).await.is_err() {
                bail!("{what}: not after {} s", patience.as_secs());
            }
        }
    }

    /// Looks at what was told so far.
    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        self.told.account()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Account {
    fn sightings(&mut self, from: View) -> &mut Sightings {
        match from {
            View::Video => &mut self.video,
            View::Worker => &mut self.worker,
        }
    }
}

impl Sightings {
    /// The frames with our times; empty as long as the clocks are not compared.
    pub(crate) fn ours(&self) -> Vec<Sighting> {
        let ours = |theirs_ms: f64| self.clock.to_ours(theirs_ms);
        let way = |way: Way| {
            let Way { captured_ms, received_ms, decoding_s, presented_ms } = way;
            let (captured_ms, received_ms) = (captured_ms.and_then(ours), received_ms.and_then(ours));
            Some(Way { captured_ms, received_ms, decoding_s, presented_ms: ours(presented_ms)? })
        };
        let sighting = |sighting: &Sighting| Some(Sighting { at_ms: ours(sighting.at_ms)?, way: sighting.way.and_then(way), ..*sighting });
        self.frames.iter().filter_map(sighting).collect()
    }

    /// Whether frames come and their times can be told.
    pub(crate) fn is_live(&self) -> bool {
        !self.frames.is_empty() && self.clock.round_trips() >= FIRST_ROUND_TRIPS
    }

    /// The newest number seen.
    pub(crate) fn newest(&self) -> Option<u32> {
        self.frames.iter().rev().find_map(|sighting| sighting.top)
    }
}

impl Told {
    fn account(&self) -> MutexGuard<'_, Account> {
        // Nobody panics while holding it; and if so, what was told stays true.
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, from: View, message: Message, arrived_ms: f64) {
        let mut account = self.account();
        match message {
            Message::Clock { question, now } => {
                account.sightings(from).clock.add(RoundTrip { asked_ms: question, theirs_ms: now, answered_ms: arrived_ms });
            }
            Message::Begun(after_ms) => account.begun_ms = Some(after_ms),
            Message::Buffers(buffers) => account.buffers.push(buffers),
            Message::Failed(text) => _ = account.failed.get_or_insert(text),
            Message::Frames(frames) => account.sightings(from).frames.extend(frames),
            Message::Opened(settings) => account.opened = Some(settings),
        }
        drop(account);
        self.changed.notify_waiters();
    }
}

/// Half a second of questions.
const FIRST_ROUND_TRIPS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Endpoint;

    #[test]
    fn messages_are_what_the_scripts_send() {
        let cases = [
            (r#"{"clock":{"question":12.5,"now":99.25}}"#, Message::Clock { question: 12.5, now: 99.25 }),
            (
                r#"{"buffers":{"picture_ms":12.5,"sound_ms":40,"ahead_ms":null}}"#,
                Message::Buffers(Buffers { picture_ms: Some(12.5), sound_ms: Some(40.0), ahead_ms: None }),
            ),
            (r#"{"begun":80.5}"#, Message::Begun(80.5)),
            (r#"{"failed":"NotAllowedError"}"#, Message::Failed("NotAllowedError".to_owned())),
            (r#"{"frames":[[7,null,1.5]]}"#, Message::Frames(vec![Sighting { top: Some(7), bottom: None, at_ms: 1.5, way: None }])),
            (
                r#"{"frames":[[7,7,9.5,[null,2.5,0.25,9]]]}"#,
                Message::Frames(vec![Sighting {
                    top: Some(7),
                    bottom: Some(7),
                    at_ms: 9.5,
                    way: Some(Way { captured_ms: None, received_ms: Some(2.5), decoding_s: Some(0.25), presented_ms: 9.0 }),
                }]),
            ),
            (r#"{"opened":{"width":1280}}"#, Message::Opened(serde_json::json!({"width": 1280}))),
        ];
        for (text, message) in cases {
            assert_eq!(serde_json::from_str::<Message>(text).unwrap(), message, "{text}");
        }
    }

    #[tokio::test]
    async fn account_has_the_scripts_times_on_our_clock() {
        let clock = Clock::start();
        let page = Page::serve(&[], clock).await.unwrap();
        let address = page.origin.strip_prefix("http://").unwrap();
        let (sender, mut receiver) = Endpoint::at(address).open("/socket/worker").await.unwrap();
        // A script whose clock is a minute ahead.
        let theirs = || clock.now_ms() + 60_000.0;
        let script = async {
            let sighting = format!(r#"{{"frames":[[7,7,{},[null,{},0.003,{}]]]}}"#, 61_000.0, 60_980.0, 60_990.0);
            sender.send_text(sighting).await.unwrap();
            loop {
                let question: Value = serde_json::from_str(&receiver.next_text().await.unwrap()).unwrap();
                let answer = serde_json::json!({"clock": {"question": question["question"], "now": theirs()}});
                sender.send_text(answer.to_string()).await.unwrap();
            }
        };
        tokio::select! {
            () = script => {}
            live = page.wait("frames", Duration::from_secs(30), |account| account.worker.is_live()) => live.unwrap(),
        }
        let account = page.account();
        let bound = account.worker.clock.bound_ms().unwrap();
        let seen = account.worker.ours();
        assert_eq!((seen.len(), seen[0].top, account.worker.newest()), (1, Some(7), Some(7)));
        let way = seen[0].way.unwrap();
        assert!((way.received_ms.unwrap() - 980.0).abs() <= bound + 1e-6 && (way.presented_ms - 990.0).abs() <= bound + 1e-6, "{way:?}");
        assert_eq!((way.captured_ms, way.decoding_s), (None, Some(0.003)));
        assert!((seen[0].at_ms - 1_000.0).abs() <= bound + 1e-6, "{} is off by more than {bound}", seen[0].at_ms);
        assert!(!account.video.is_live());
    }

    #[tokio::test]
    async fn failed_page_fails_the_wait() {
        let page = Page::serve(&[], Clock::start()).await.unwrap();
        let address = page.origin.strip_prefix("http://").unwrap();
        let (sender, _receiver) = Endpoint::at(address).open("/socket/video").await.unwrap();
        sender.send_text(r#"{"failed":"NotFoundError: no camera"}"#.to_owned()).await.unwrap();
        let error = page.wait("frames", Duration::from_secs(30), |_| false).await.unwrap_err();
        assert!(error.to_string().contains("no camera"), "{error}");
    }
}
