//! What a viewer more costs: the processor time of a frame and viewer, beside other relays in the same run.
//!
//! ```text
//! clip ─▶ publish ─WebSocket▶ crosspoint (epoll, uring) | a relay ─▶ viewers, each of which checks what it gets
//!                                      └ processor time without viewers, and with all of them
//! a display ─▶ crosspoint ─RTMP▶ players, or a server that has them ─▶ players, who check as well
//! ```

pub(crate) mod player;
pub(crate) mod relay;
mod report;
pub(crate) mod rtc;
pub(crate) mod rtmp;
pub(crate) mod viewer;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, sleep};

use self::relay::{Kind, Relay};
use self::report::{Cost, Report, Row};
use self::rtmp::Screen;
use self::viewer::Audience;
use crate::cli::Fanout;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::publish::publish;
use crate::report::note;

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &Fanout) -> Result<bool> {
    let report = viewer::locally(measure(options)).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

async fn measure(options: &Fanout) -> Result<Report> {
    let machine = Machine::look("/bin/true".as_ref());
    if options.pin {
        relay::pin_ourselves().context("pinning the load to the second processor")?;
    }
    let period = Duration::from_secs(1) / FRAME_RATE;
    let format = crosspoint_ffi::VideoFormat::new(1280, 720, FRAME_RATE).context("a format")?;
    let clip = Clip::encode(format, BITRATE_BPS, (options.seconds * FRAME_RATE) as usize, period).await?;
    let mut kinds = vec![Kind::Crosspoint("epoll"), Kind::Crosspoint("uring")];
    if options.peers {
        crate::peers::setup::node(&options.peers_folder).await?;
        kinds.extend([Kind::Node("uwebsockets"), Kind::Node("ws")]);
    }
    let mut rows: Vec<Row> = kinds.iter().map(|kind| Row::new(format!("{}, websocket", kind.name()))).collect();
    let mut players: Vec<(rtmp::Kind, Row)> = Vec::new();
    let screen = if options.rtmp {
        let others = options.peers.then_some([rtmp::Kind::Nginx, rtmp::Kind::NodeMediaServer]).into_iter().flatten();
        let kinds = ["epoll", "uring"].map(rtmp::Kind::Crosspoint).into_iter().chain(others);
        players.extend(kinds.map(|kind| (kind, Row::new(format!("{}, rtmp", kind.name())))));
        Some(Screen::start(options.pin).await?)
    } else {
        None
    };
    let progress = Progress::of("fan-out", options.rounds as usize * (rows.len() + players.len()));
    // Interleaved: the machine's moods are shared out.
    for round in 0..options.rounds {
        let note = |name: &str| note(&format!("round {} of {}, {name}", round + 1, options.rounds));
        for (kind, row) in kinds.iter().zip(&mut rows) {
            note(&row.name);
            row.note(one(*kind, options, &clip).await);
            progress.step();
        }
        for ((kind, row), screen) in players.iter_mut().zip(screen.iter().cycle()) {
            note(&row.name);
            row.note(rtmp::one(*kind, options, screen).await);
            progress.step();
        }
    }
    drop(progress);
    rows.extend(players.into_iter().map(|(_, row)| row));
    ensure!(
        rows.iter().any(|row| row.costs.iter().any(Option::is_some)),
        "nothing could be measured: {:?}",
        rows.first().and_then(|row| row.trouble.clone())
    );
    Ok(Report::new(machine, options, rows))
}

/// What a frame and viewer cost one relay of WebSocket messages.
async fn one(kind: Kind, options: &Fanout, clip: &Clip) -> Result<Cost> {
    let mut relay = Relay::start(kind, options).await?;
    let clock = Clock::start();
    let frames = clip.frames.len() as f64;
    let sender = relay.publisher().await?;

    let before = relay.cpu_ms();
    publish(&sender.0, clip.clone(), Duration::ZERO, clock).await?;
    let alone_ms = relay.cpu_ms() - before;

    let audience = Audience::join(&relay.viewers(), options.viewers).await?;
    // They stand from the first frame on.
    publish(&sender.0, Clip { frames: clip.frames[..30].to_vec(), ..clip.clone() }, Duration::ZERO, clock).await?;
    let deadline = Instant::now() + SETTLE;
    while !audience.all_have(1) {
        ensure!(Instant::now() < deadline, "not all viewers got a frame in {} s", SETTLE.as_secs());
        sleep(LOOK_AGAIN).await;
    }
    let (seen, before) = (audience.frames(), relay.cpu_ms());
    publish(&sender.0, clip.clone(), Duration::ZERO, clock).await?;
    let watched_ms = relay.cpu_ms() - before;
    let deadline = Instant::now() + SETTLE;
    let wanted = seen + (frames * f64::from(options.viewers)) as u64 * 99 / 100;
    while audience.frames() < wanted && Instant::now() < deadline {
        sleep(LOOK_AGAIN).await;
    }
    let given = audience.frames() - seen;
    ensure!(given + 30 * u64::from(options.viewers) >= wanted - seen, "viewers got {given} of {frames} x {} frames", options.viewers);
    audience.check()?;
    relay.check()?;
    let us = (watched_ms - alone_ms) * 1e3 / (frames * f64::from(options.viewers));
    Ok(Cost { us, frame_kb: audience.bytes() as f64 / audience.frames() as f64 / 1e3 })
}

const FRAME_RATE: u32 = 30;
/// With MPEG-TS around it 12.9 kB a frame.
const BITRATE_BPS: u32 = 3_750_000;
/// How long viewers may be behind.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
