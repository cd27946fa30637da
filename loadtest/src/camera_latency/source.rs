//! What the camera gets its pictures from.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;

use super::{period, warm_up};
use crate::chromium::Chromium;
use crate::cli::{self, CameraLatency};
use crate::clip::Clip;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::page::{Page, Scripts};
use crate::publish::{Sent, publish};
use crate::report::note;
use crate::scratch;
use crate::socket::{Receiver, Sender};

/// What is sent, before anything is started.
pub(super) enum Source {
    Socket(Clip),
    /// The page that will publish.
    Whip(Page),
}

/// What is sent, by whom, to a router.
pub(super) enum Sending {
    Socket { clip: Clip, sender: Sender, receiver: Receiver },
    Whip { page: Page, chromium: Chromium },
}

/// What is known of the pictures once they are sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Stream {
    pub(super) codec: String,
    pub(super) bitrate_bps: f64,
    /// The mean time that a browser took to encode one.
    pub(super) encoding_ms: Option<f64>,
}

impl Source {
    /// Encodes what can be, or serves the page.
    pub(super) async fn prepare(options: &CameraLatency, clock: Clock) -> Result<Self> {
        match options.source {
            cli::Source::Socket => {
                note("encoding the frames");
                let clip = Clip::encode(options.format, options.bitrate_kbps * 1_000, pictures(options), period(options)).await?;
                Ok(Self::Socket(clip))
            }
            cli::Source::Whip => {
                ensure!(options.jitter_ms == 0.0, "a browser cannot be told to send late: --jitter-ms is for --source socket");
                ensure!(options.url.is_none(), "a router that runs lets no page of ours in: --url is for --source socket");
                Ok(Self::Whip(Page::serve(SCRIPTS, clock).await?))
            }
        }
    }

    /// Whose page it is that a router has to let in.
    pub(super) fn origin(&self) -> Option<&str> {
        match self {
            Self::Socket(_) => None,
            Self::Whip(page) => Some(page.origin()),
        }
    }

    /// What the router's camera is configured for.
    pub(super) fn input(&self) -> serde_json::Value {
        match self {
            Self::Socket(_) => json!({"type": "socket", "format": "mpegts"}),
            Self::Whip(_) => json!({"type": "webrtc"}),
        }
    }

    /// Connects to `crosspoint`.
    pub(super) async fn connect(self, crosspoint: &Crosspoint, options: &CameraLatency) -> Result<Sending> {
        match self {
            Self::Socket(clip) => {
                let (sender, receiver) = crosspoint.endpoint.open("/input/devices/virtual/socket/video").await?;
                Ok(Sending::Socket { clip, sender, receiver })
            }
            Self::Whip(page) => {
                let wanted = json!({
                    "whip": crosspoint.endpoint.url("/whip/camera"),
                    "width": options.format.width(),
                    "height": options.format.height(),
                    "frame_rate": options.format.frame_rate(),
                    "bitrate_bps": options.bitrate_kbps * 1_000,
                    "pictures": pictures(options),
                    "period_ms": period(options).as_secs_f64() * 1e3,
                });
                let folder = scratch::folder(&std::env::temp_dir())?;
                let mut chromium = Chromium::start(&options.chromium, folder, None, &page.url(&wanted))?;
                let connected = page.wait("the publisher's connection", OPEN, |account| account.opened.is_some()).await;
                chromium.check()?;
                connected?;
                Ok(Sending::Whip { page, chromium })
            }
        }
    }
}

impl Sending {
    /// Sends all of it; says when each picture was.
    pub(super) async fn send(&mut self, options: &CameraLatency, clock: Clock) -> Result<(Vec<Sent>, Stream)> {
        match self {
            Self::Socket { clip, sender, receiver } => {
                let stream = Stream { codec: "H.264".to_owned(), bitrate_bps: clip.bitrate_bps(), encoding_ms: None };
                let hear = async {
                    loop {
                        if let Err(error) = receiver.next_text().await {
                            return error;
                        }
                    }
                };
                let sent = tokio::select! {
                    sent = publish(sender, clip.clone(), options.jitter(), clock) => sent.context("publishing"),
                    error = hear => Err(error.context("publishing")),
                };
                Ok((sent?, stream))
            }
            Self::Whip { page, chromium } => {
                let (time, last) = (period(options) * u32::try_from(pictures(options))?, u32::try_from(pictures(options))? - 1);
                let is_done = page.wait("the last picture from the publisher", time + OPEN, |account| {
                    account.video.newest() == Some(last) && account.opened.as_ref().is_some_and(|opened| opened["bytes"].is_u64())
                });
                let is_done = is_done.await;
                chromium.check()?;
                is_done?;
                drawn(page, period(options), time)
            }
        }
    }

    /// The processor time of who sends, where that is not us, in milliseconds.
    pub(super) fn cpu_ms(&self) -> f64 {
        match self {
            Self::Socket { .. } => 0.0,
            Self::Whip { chromium, .. } => chromium.cpu_ms(),
        }
    }

    /// Leaves.
    pub(super) async fn close(self) {
        match self {
            Self::Socket { sender, .. } => sender.close().await,
            Self::Whip { .. } => {}
        }
    }
}

/// When the page drew each picture, by our clock.
fn drawn(page: &Page, period: Duration, time: Duration) -> Result<(Vec<Sent>, Stream)> {
    let account = page.account();
    let opened = account.opened.as_ref().context("what the publisher has open")?;
    let start = opened["start"].as_f64().and_then(|start| account.video.clock.to_ours(start)).context("when it began")?;
    let period_ms = period.as_secs_f64() * 1e3;
    let sent = (0..).zip(account.video.ours()).map(|(nth, drawn)| {
        ensure!(drawn.top == Some(nth), "the publisher drew {:?}, not {nth}", drawn.top);
        Ok(Sent { due_ms: start + period_ms * f64::from(nth), at_ms: drawn.at_ms })
    });
    let codec = opened["codec"].as_str().unwrap_or_default().trim_start_matches("video/").to_owned();
    let bitrate_bps = opened["bytes"].as_f64().unwrap_or_default() * 8.0 / time.as_secs_f64();
    Ok((sent.collect::<Result<_>>()?, Stream { codec, bitrate_bps, encoding_ms: opened["encoding_ms"].as_f64() }))
}

/// All that is sent.
fn pictures(options: &CameraLatency) -> usize {
    warm_up(options) + (options.seconds * options.format.frame_rate()) as usize
}

const SCRIPTS: Scripts = &[("/page.js", include_str!("sender.js"))];
/// A cold browser on a busy machine.
const OPEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::client::Endpoint;

    #[tokio::test]
    async fn pictures_of_a_page_are_due_by_its_clock_and_drawn_by_ours() {
        let clock = Clock::start();
        let page = Page::serve(&[], clock).await.unwrap();
        let address = page.origin().strip_prefix("http://").unwrap().to_owned();
        let (sender, mut receiver) = Endpoint::at(address).open("/socket/video").await.unwrap();
        // Its clock is a minute ahead; it began at 61 s, and drew the second picture 4 ms late.
        let script = async {
            for told in [
                r#"{"opened":{"start":61000}}"#,
                r#"{"frames":[[0,0,61000.5,null],[1,1,61014,null]]}"#,
                r#"{"opened":{"start":61000,"codec":"video/VP8","bytes":5000,"encoding_ms":7.5}}"#,
            ] {
                sender.send_text(told.to_owned()).await.unwrap();
            }
            loop {
                let question: serde_json::Value = serde_json::from_str(&receiver.next_text().await.unwrap()).unwrap();
                let answer = json!({"clock": {"question": question["question"], "now": clock.now_ms() + 60_000.0}});
                sender.send_text(answer.to_string()).await.unwrap();
            }
        };
        tokio::select! {
            () = script => {}
            live = page.wait("its clock", OPEN, |account| account.video.is_live()) => live.unwrap(),
        }
        let (sent, stream) = drawn(&page, Duration::from_millis(10), Duration::from_millis(20)).unwrap();
        let bound = page.account().video.clock.bound_ms().unwrap() + 1e-6;
        let times = [sent[0].due_ms - 1_000.0, sent[0].at_ms - 1_000.5, sent[1].due_ms - 1_010.0, sent[1].at_ms - 1_014.0];
        assert!(times.iter().all(|off| off.abs() <= bound), "{times:?} off by more than {bound}");
        assert_eq!(stream, Stream { codec: "VP8".to_owned(), bitrate_bps: 2e6, encoding_ms: Some(7.5) });
    }

    #[tokio::test]
    async fn what_a_browser_cannot_do_is_refused() {
        for given in ["--jitter-ms 2", "--url http://localhost:10001"] {
            let Command::CameraLatency(options) = Cli::command_of(&format!("loadtest camera-latency --source whip {given}")) else {
                panic!("it was asked for")
            };
            assert!(Source::prepare(&options, Clock::start()).await.is_err(), "{given}");
        }
    }
}
