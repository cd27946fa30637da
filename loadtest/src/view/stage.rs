//! A router with something to watch.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;
use serde_json::json;
use tokio::task::JoinHandle;

use super::account::Schedule;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::fanout::relay::Relay;
use crate::fanout::rtc::STREAM;
use crate::fanout::rtmp::Screen;
use crate::publish::send_from;
use crate::socket::{Receiver, Sender};
use crate::watch::Content;

/// A router whose camera is published to, and which streams a display.
pub(crate) struct Stage {
    pub(crate) relay: Relay,
    pub(crate) clip: Clip,
    /// What is published, and when.
    pub(crate) content: Rc<Content>,
    pub(crate) schedule: Schedule,
    sender: Sender,
    _receiver: Receiver,
    _screen: Option<Screen>,
}

impl Stage {
    /// Starts it, with a clip of so many seconds.
    pub(crate) async fn start(binary: &Path, seconds: u32, with_display: bool) -> Result<Self> {
        let format = VideoFormat::new(1_280, 720, FRAME_RATE).context("a format")?;
        let clip = Clip::encode(format, BITRATE_BPS, (seconds * FRAME_RATE) as usize, PERIOD).await?;
        let content = Rc::new(Content::of(clip.frames.iter().map(|frame| &frame[..])));
        let schedule = Schedule::of(&clip);
        ensure!(schedule.is_distinct(), "two frames of the clip begin alike");
        let screen = if with_display { Some(Screen::start(false).await?) } else { None };
        let relay = Relay::of_camera_and_display(screen.as_ref().map(Screen::name), binary).await?;
        let (sender, _receiver) = relay.publisher().await?;
        if with_display {
            for (mode, id) in [("internal", PLAYED), ("webrtc", STREAM)] {
                relay.endpoint().post("/stream/start", Some(&json!({"mode": mode, "id": id, "framerate": FRAME_RATE}))).await?;
            }
        }
        Ok(Self { relay, clip, content, schedule, sender, _receiver, _screen: screen })
    }

    /// Publishes the clip, by its schedule: a pass goes on where the one before ended. Needs a [`tokio::task::LocalSet`] around it.
    pub(crate) fn publish(&mut self) -> JoinHandle<Result<()>> {
        let (clip, sender, start) = (self.clip.clone(), self.sender.clone(), self.schedule.pass(Instant::now()));
        tokio::task::spawn_local(async move {
            send_from(start.into(), clip, Duration::ZERO, Clock::start(), async |frame| sender.send_binary(frame).await).await.map(drop)
        })
    }
}

const FRAME_RATE: u32 = 30;
pub(super) const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / FRAME_RATE as u64);
const BITRATE_BPS: u32 = 2_500_000;
/// The stream for players.
pub(super) const PLAYED: &str = "played";
