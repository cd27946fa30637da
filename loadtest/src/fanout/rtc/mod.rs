//! What a WebRTC viewer more costs: processor time a packet, and memory.
//!
//! ```text
//! a display that moves ─▶ crosspoint ─UDP▶ peers on str0m, each of which decrypts what it gets and counts what is missing
//!                           │ └ processor time of its network thread and resident memory, with one viewer and with all of them
//!                           └ one of them ─RTP▶ janus, or a webrtcbin for each ─UDP▶ the same peers: processor time of all of it
//! ```

pub(crate) mod janus;
mod other;
pub(crate) mod peer;
mod report;
pub(crate) mod tally;
pub(crate) mod viewer;
mod webrtcbin;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::sleep;

use self::other::Other;
pub(crate) use self::report::{Cost, Report, Row};
use self::viewer::{Audience, Host};
use super::relay::{LOAD_CORE, RELAY_CORE, Relay, pin_ourselves};
use super::rtmp::Screen;
use crate::cli::FanoutRtc;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::report::note;

/// Measures, prints the report, and says whether the limit held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &FanoutRtc) -> Result<bool> {
    let report = measure(options).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

/// Measures.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn measure(options: &FanoutRtc) -> Result<Report> {
    LocalSet::new().run_until(rounds(options)).await
}

/// Who is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Ours; with its viewers' ways estimated, or not.
    Crosspoint { estimated: bool },
    /// Another, fed with what a viewer of ours gets.
    Other(other::Kind),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Crosspoint { estimated: false } => "crosspoint",
            Self::Crosspoint { estimated: true } => "crosspoint, ways estimated",
            Self::Other(other::Kind::Janus) => "janus",
            Self::Other(other::Kind::Webrtcbin) => "GStreamer webrtcbin",
        }
    }

    /// How many viewers it gets, of so many.
    fn viewers(self, wanted: u32) -> u32 {
        match self {
            Self::Crosspoint { .. } | Self::Other(other::Kind::Janus) => wanted,
            Self::Other(other::Kind::Webrtcbin) => wanted.min(WEBRTCBINS),
        }
    }
}

async fn rounds(options: &FanoutRtc) -> Result<Report> {
    let machine = Machine::look("/bin/true".as_ref());
    if options.pin {
        pin_ourselves().context("pinning the load to the second processor")?;
    }
    let noise = if options.display.is_none() { Some(Screen::start(options.pin).await?) } else { None };
    let display = options.display.as_deref().or_else(|| noise.as_ref().map(Screen::name)).context("a display")?;
    let ours = [false, true].map(|estimated| Kind::Crosspoint { estimated });
    let others = options.peers.then_some([other::Kind::Janus, other::Kind::Webrtcbin]).into_iter().flatten();
    let kinds = ours.into_iter().chain(others.map(Kind::Other));
    let mut rows: Vec<(Kind, Row)> = kinds.map(|kind| (kind, Row::new(kind.name()))).collect();
    // Interleaved: the machine's moods are shared out.
    for round in 0..options.rounds {
        for (kind, row) in &mut rows {
            note(&format!("round {} of {}, {}, webrtc", round + 1, options.rounds, row.name));
            let cost = one(*kind, options, display).await;
            // A peer that is not there is no reason to measure nothing.
            if let (Kind::Crosspoint { .. }, Err(error)) = (*kind, &cost) {
                anyhow::bail!("{}: {error:#}", row.name);
            }
            row.note(cost);
        }
    }
    Ok(Report::new(machine, options, rows.into_iter().map(|(_, row)| row).collect()))
}

/// What a packet and a viewer cost.
async fn one(kind: Kind, options: &FanoutRtc, display: &str) -> Result<Cost> {
    let (core, mut other) = match kind {
        Kind::Crosspoint { .. } => (RELAY_CORE, None),
        Kind::Other(other) => (LOAD_CORE, Some(Other::start(other, &options.peers_folder, options.pin.then_some(RELAY_CORE)).await?)),
    };
    let mut server = Relay::of_display("auto", display, &options.common.crosspoint, options.pin.then_some(core)).await?;
    server.endpoint().post("/stream/start", Some(&json!({"mode": "webrtc", "id": STREAM, "framerate": 30}))).await?;
    let mut feeder = Audience::default();
    if let Some(other) = &other {
        feeder.feed(server.endpoint(), other).await?;
    }
    let measured = other.as_ref().map_or(Measured::Ours(&server), Measured::Other);
    let host = match (kind, &other) {
        (Kind::Crosspoint { estimated }, _) => Host::Crosspoint { server: server.endpoint(), estimated, via: None },
        (Kind::Other(_), other) => Host::Other(other.as_ref().context("it runs")?),
    };
    let mut audience = Audience::default();
    audience.join(host, 1).await?;
    let few = window(measured, &audience, options).await?;
    let viewers = kind.viewers(options.viewers);
    audience.join(host, viewers - 1).await?;
    let many = window(measured, &audience, options).await?;
    audience.check()?;
    feeder.check()?;
    let (packets, more) = (many.packets - few.packets, f64::from(viewers - 1));
    ensure!(packets > 0.0, "{more} viewers more got no packets more: does the display move?");
    let cost = Cost {
        viewers,
        us: (many.cpu_ms - few.cpu_ms) * 1e3 / packets,
        kb: (many.resident_kb - few.resident_kb) / more,
        packets_per_second: many.packets / f64::from(options.seconds),
        missing: many.missing * 1e6 / many.packets,
    };
    if let Some(other) = &mut other {
        other.check()?;
    }
    server.check()?;
    Ok(cost)
}

/// Who is measured.
#[derive(Clone, Copy)]
enum Measured<'a> {
    Ours(&'a Relay),
    Other(&'a Other),
}

impl Measured<'_> {
    /// The processor time of those who serve viewers; what captures and encodes is left out of ours.
    fn cpu_ms(self) -> Result<f64> {
        match self {
            Self::Ours(relay) => relay.network_cpu_ms(),
            Self::Other(other) => Ok(other.process().cpu_ms()),
        }
    }

    fn resident_kb(self) -> Result<f64> {
        match self {
            Self::Ours(relay) => relay.resident_kb(),
            Self::Other(other) => other.process().resident_kb(),
        }
    }
}

/// What the options' seconds brought.
struct Window {
    cpu_ms: f64,
    packets: f64,
    missing: f64,
    resident_kb: f64,
}

async fn window(measured: Measured<'_>, audience: &Audience, options: &FanoutRtc) -> Result<Window> {
    // Estimates settle, and what joining cost is over.
    sleep(SETTLE).await;
    let (cpu_ms, (packets, missing)) = (measured.cpu_ms()?, audience.counts());
    let progress = Progress::over("watching", options.seconds);
    sleep(Duration::from_secs(options.seconds.into())).await;
    drop(progress);
    let (packets_now, missing_now) = audience.counts();
    Ok(Window {
        cpu_ms: measured.cpu_ms()? - cpu_ms,
        packets: (packets_now - packets) as f64,
        missing: missing_now as f64 - missing as f64,
        resident_kb: measured.resident_kb()?,
    })
}

/// The stream that viewers ask for.
pub(crate) const STREAM: &str = "fanout";
const SETTLE: Duration = Duration::from_secs(3);
/// Half a processor's: one that has no more to give drops packets, and what is left of a cost is then shared out over too few.
const WEBRTCBINS: u32 = 25;
