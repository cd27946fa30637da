//! One sandbox, in a process and a namespace of its own.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::account::{Account, Camera, Use, Viewer};
use super::browser::Browser;
use super::{FRAME_RATE, PERIOD, WARM_UP_SECONDS};
use crate::cli::Sandbox;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::display::Display;
use crate::fanout::viewer::{Audience, Place, locally};
use crate::glass::painter::Painter;
use crate::process::{Process, own_cpu_ms};
use crate::publish::publish;
use crate::reader::Reader;
use crate::sound::Sound;

/// Runs one, and accounts for it.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &Sandbox) -> Result<bool> {
    let account = locally(live(options)).await?;
    say(&format!("{ACCOUNT}{}", serde_json::to_string(&account)?))?;
    Ok(true)
}

async fn live(options: &Sandbox) -> Result<Account> {
    let display = Display::start((1_280, 720), None).await?;
    let sound = Sound::start(false).await?;
    let mut crosspoint = Crosspoint::of_sandbox(&options.crosspoint, display.name(), sound.address()).await?;
    let endpoint = crosspoint.endpoint.clone();
    let mut publisher = None;
    if let Some(clip) = &options.clip {
        let clip = Clip::load(clip, PERIOD)?;
        let video = json!({"video": {"type": "socket", "format": "mpegts", "width": 1280, "height": 720, "frame_rate": FRAME_RATE}});
        endpoint.post("/input/devices/virtual/configure", Some(&video)).await?;
        let (sender, receiver) = endpoint.open("/input/devices/virtual/socket/video").await?;
        // Who has a browser has the camera open there.
        let camera = crosspoint.camera().context("a camera of our own")?;
        let reader = if options.chromium.is_none() { Some(Reader::start(&camera, PERIOD)?) } else { None };
        publisher = Some((clip, sender, receiver, reader));
    }
    let mut audience = None;
    if options.changes.is_some() {
        endpoint.post("/stream/start", Some(&json!({"mode": "socket", "id": "screen", "framerate": FRAME_RATE}))).await?;
        let place = Place { address: endpoint.address().to_owned(), path: "/stream/socket/screen" };
        audience = Some(Audience::join(&place, 1).await?);
    }
    let mut browser = match &options.chromium {
        Some(binary) => {
            let ours = (display.name(), sound.address());
            Some(Browser::open(binary, (&options.crosspoint, &crosspoint), ours, options.clip.is_some()).await?)
        }
        None => None,
    };
    say(READY)?;
    while !options.start.exists() {
        crosspoint.check()?;
        sleep(LOOK_AGAIN).await;
    }
    let sending = publisher.as_ref().map(|(clip, sender, ..)| {
        let (clip, sender) = (clip.clone(), sender.clone());
        tokio::task::spawn_local(async move { publish(&sender, clip, Duration::ZERO, Clock::start()).await })
    });
    let painter = options.changes.filter(|&rate| rate > 0).map(|rate| Brush::start(display.name(), rate)).transpose()?;
    sleep(Duration::from_secs(WARM_UP_SECONDS.into())).await;

    let look = async || -> Result<Look> {
        let own = crosspoint.process().context("a router of our own")?;
        Ok(Look {
            at: Instant::now(),
            cpu_ms: [own, display.process(), sound.process()].map(Process::cpu_ms),
            browser_ms: browser.as_ref().map(|browser| browser.chromium.cpu_ms()),
            generator_ms: own_cpu_ms(),
            wake_ups: own.wake_ups()?,
            status: endpoint.get("/input/devices/virtual/status").await?,
            received: audience.as_ref().map_or(0, Audience::pictures),
            painted: painter.as_ref().map_or(0, Brush::painted),
        })
    };
    let before = look().await?;
    sleep(Duration::from_secs(options.seconds.into())).await;
    let after = look().await?;
    let mib = |process: &Process| process.share_mib();
    let mib = [mib(crosspoint.process().context("a router of our own")?)?, mib(display.process())?, mib(sound.process())?];
    let browser_mib = browser.as_ref().map(|browser| browser.chromium.share_mib());
    if let Some(browser) = &mut browser {
        browser.check()?;
    }
    if let Some(sending) = sending {
        sending.await.context("publishing")??;
    }
    if let Some(audience) = &audience {
        audience.check()?;
    }
    crosspoint.check()?;
    Ok(after.since(&before, (mib, browser_mib), publisher.is_some(), audience.is_some()))
}

/// What can be counted at a moment.
struct Look {
    at: Instant,
    cpu_ms: [f64; 3],
    browser_ms: Option<f64>,
    generator_ms: f64,
    wake_ups: u64,
    status: Value,
    received: u64,
    painted: u64,
}

impl Look {
    fn since(&self, before: &Self, (mib, browser_mib): ([f64; 3], Option<f64>), has_camera: bool, is_watched: bool) -> Account {
        let seconds = (self.at - before.at).as_secs_f64();
        let percent = |now: f64, then: f64| (now - then) / 10.0 / seconds;
        let part = |nth: usize| Use { cpu_percent: percent(self.cpu_ms[nth], before.cpu_ms[nth]), mib: mib[nth] };
        let count = |look: &Self, name: &str| look.status["stats"][name].as_u64().unwrap_or(0);
        let latency = |name: &str| self.status["stats"]["latency_ms"][name].as_f64().unwrap_or(0.0);
        let grown = |name: &str| count(self, name) - count(before, name);
        let camera = Camera { sent: grown("frames_in"), shown: grown("frames_out"), p50_ms: latency("p50"), p99_ms: latency("p99") };
        let viewer = Viewer { changes: self.painted - before.painted, received: self.received - before.received };
        Account {
            crosspoint: part(0),
            display: part(1),
            sound: part(2),
            browser: self
                .browser_ms
                .zip(before.browser_ms)
                .zip(browser_mib)
                .map(|((now, then), mib)| Use { cpu_percent: percent(now, then), mib }),
            generator_percent: percent(self.generator_ms, before.generator_ms),
            wake_ups_per_s: (self.wake_ups - before.wake_ups) as f64 / seconds,
            camera: has_camera.then_some(camera),
            viewer: is_watched.then_some(viewer),
        }
    }
}

/// Changes the screen at a rate.
struct Brush {
    painted: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Brush {
    fn start(display: &str, rate: u32) -> Result<Self> {
        let mut painter = Painter::connect(display)?;
        let (painted, ended) = (Arc::<AtomicU64>::default(), Arc::new(AtomicBool::new(false)));
        let brush = Self { painted: Arc::clone(&painted), ended: Arc::clone(&ended) };
        thread::Builder::new().name("painter".to_owned()).spawn(move || {
            let start = Instant::now();
            for number in 0.. {
                thread::sleep((start + Duration::from_secs(1) * number / rate).saturating_duration_since(Instant::now()));
                if ended.load(Ordering::Relaxed) || painter.draw(number).is_err() {
                    return;
                }
                painted.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        Ok(brush)
    }

    fn painted(&self) -> u64 {
        self.painted.load(Ordering::Relaxed)
    }
}

impl Drop for Brush {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The line that says that all is started.
pub(super) const READY: &str = "ready";
/// What the line of the account begins with.
pub(super) const ACCOUNT: &str = "account ";
const LOOK_AGAIN: Duration = Duration::from_millis(10);
