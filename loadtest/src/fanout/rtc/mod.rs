//! What a WebRTC viewer more costs: processor time a packet, and memory.
//!
//! ```text
//! a display that moves ─▶ crosspoint ─UDP▶ peers on str0m, each of which decrypts what it gets and counts what is missing
//!                           └ processor time of its network thread and resident memory, with one viewer and with all of them
//! ```

mod viewer;

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;
use tokio::task::LocalSet;
use tokio::time::sleep;

use self::viewer::Audience;
use super::relay::{RELAY_CORE, Relay, pin_ourselves};
use super::rtmp::Screen;
use crate::cli::FanoutRtc;
use crate::machine::Machine;

/// Measures, prints the report, and says whether the limit held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &FanoutRtc) -> Result<bool> {
    let report = LocalSet::new().run_until(measure(options)).await?;
    crate::report::print(&report, options.json)?;
    Ok(options.max_us.is_none_or(|most| report.rows.iter().all(|row| row.us <= most)))
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    viewers: u32,
    rows: Vec<Row>,
}

/// What a run cost.
#[derive(Debug, Serialize)]
struct Row {
    /// Whether viewers told when each packet arrived, so that their ways were estimated.
    estimated: bool,
    /// Processor time of the network thread for a packet more.
    us: f64,
    /// Memory that a viewer more made resident.
    kb: f64,
    packets_per_second: f64,
    /// Of a million packets.
    missing: f64,
}

async fn measure(options: &FanoutRtc) -> Result<Report> {
    let mut report = Report { machine: Machine::look("/bin/true".as_ref()), viewers: options.viewers, rows: Vec::new() };
    if options.pin {
        pin_ourselves().context("pinning the load to the second processor")?;
    }
    let noise = if options.display.is_none() { Some(Screen::start(options.pin).await?) } else { None };
    let display = options.display.as_deref().or_else(|| noise.as_ref().map(Screen::name)).context("a display")?;
    for _ in 0..options.rounds {
        for estimated in [false, true] {
            report.rows.push(one(options, display, estimated).await?);
        }
    }
    Ok(report)
}

async fn one(options: &FanoutRtc, display: &str, estimated: bool) -> Result<Row> {
    let mut server = Relay::of_display("auto", display, &options.crosspoint, options.pin.then_some(RELAY_CORE)).await?;
    server.endpoint().post("/stream/start", Some(&json!({"mode": "webrtc", "id": "fanout", "framerate": 30}))).await?;
    let mut audience = Audience::default();
    audience.join(server.endpoint(), 1, estimated).await?;
    let few = window(&server, &audience, options).await?;
    audience.join(server.endpoint(), options.viewers - 1, estimated).await?;
    let many = window(&server, &audience, options).await?;
    server.check()?;
    audience.check()?;
    let (packets, more) = (many.packets - few.packets, f64::from(options.viewers - 1));
    ensure!(packets > 0.0, "{more} viewers more got no packets more: does the display move?");
    Ok(Row {
        estimated,
        us: (many.cpu_ms - few.cpu_ms) * 1e3 / packets,
        kb: (many.resident_kb - few.resident_kb) / more,
        packets_per_second: many.packets / f64::from(options.seconds),
        missing: many.missing * 1e6 / many.packets,
    })
}

/// What the options' seconds brought.
struct Window {
    cpu_ms: f64,
    packets: f64,
    missing: f64,
    resident_kb: f64,
}

async fn window(server: &Relay, audience: &Audience, options: &FanoutRtc) -> Result<Window> {
    // Estimates settle, and what joining cost is over.
    sleep(SETTLE).await;
    let (cpu_ms, (packets, missing)) = (server.network_cpu_ms()?, audience.counts());
    sleep(Duration::from_secs(options.seconds.into())).await;
    let (packets_now, missing_now) = audience.counts();
    Ok(Window {
        cpu_ms: server.network_cpu_ms()? - cpu_ms,
        packets: (packets_now - packets) as f64,
        missing: (missing_now - missing) as f64,
        resident_kb: server.resident_kb()?,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{processor}, {cores} cores, linux {kernel}, load {load_before}; {} viewers", self.viewers)?;
        writeln!(f, "{:>16} {:>10} {:>12} {:>12} {:>18}", "estimated", "µs/packet", "kB/viewer", "packets/s", "missing/million")?;
        for Row { estimated, us, kb, packets_per_second, missing } in &self.rows {
            writeln!(f, "{estimated:>16} {us:>10.2} {kb:>12.0} {packets_per_second:>12.0} {missing:>18.0}")?;
        }
        Ok(())
    }
}

const SETTLE: Duration = Duration::from_secs(3);
