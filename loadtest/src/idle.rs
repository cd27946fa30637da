//! What memory servers take that do nothing.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use crosspoint_ffi::VideoFormat;
use serde::Serialize;
use tokio::time::sleep;

use crate::cli::Idle;
use crate::crosspoint::Crosspoint;
use crate::distribution::Spread;
use crate::fanout::relay::Relay;
use crate::fanout::rtc::janus::Janus;
use crate::fanout::rtmp::Pushed;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::process::Process;
use crate::report::{number, write_row};

/// Measures, prints the report, and says whether the limit held.
///
/// # Errors
/// When the router cannot be started.
pub(crate) async fn run(options: &Idle) -> Result<bool> {
    let machine = Machine::look("/bin/true".as_ref());
    let format = VideoFormat::new(1_280, 720, 30).context("a format")?;
    let ours = Crosspoint::start(&options.common.crosspoint, format, false).await?;
    sleep(REST).await;
    let ours = Row::new("crosspoint", Memory::of(ours.process().context("a router of our own")?));
    let mut rows = vec![ours];
    if options.peers {
        rows.push(Row::new("nginx-rtmp", nginx().await));
        rows.push(Row::new("janus", janus().await));
        rows.extend([node("uwebsockets", &options.peers_folder).await, node("ws", &options.peers_folder).await]);
        rows.push(Row::new("npm node-media-server", node_media_server(&options.peers_folder).await));
    }
    let report = Report::new(machine, options, rows);
    crate::report::print(&report, &options.common)?;
    Ok(report.limits.iter().all(|limit| limit.held))
}

async fn nginx() -> Result<Memory> {
    let server = Pushed::nginx(None).await?;
    sleep(REST).await;
    Memory::of(&server.process)
}

async fn janus() -> Result<Memory> {
    let server = Janus::start(None).await?;
    sleep(REST).await;
    Memory::of(server.process())
}

async fn node(package: &'static str, peers: &Path) -> Row {
    let memory = async {
        let server = Relay::of_node(package, peers, None).await?;
        sleep(REST).await;
        Memory::of(server.process())
    };
    Row::new(if package == "ws" { "npm ws" } else { "npm uwebsockets" }, memory.await)
}

async fn node_media_server(peers: &Path) -> Result<Memory> {
    let server = Pushed::node_media_server(peers, None).await?;
    sleep(REST).await;
    Memory::of(&server.process)
}

/// What a process has.
#[derive(Clone, Copy, Debug)]
struct Memory {
    private_mib: f64,
    resident_mib: f64,
}

impl Memory {
    fn of(process: &Process) -> Result<Self> {
        Ok(Self { private_mib: process.private_mib()?, resident_mib: process.resident_kb()? * 1e3 / f64::from(1 << 20) })
    }
}

/// One server's figures, of its only round.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    /// What is its alone.
    private_mib: [Option<f64>; 1],
    /// With what it shares with others, its libraries for one.
    resident_mib: [Option<f64>; 1],
    trouble: Option<String>,
}

impl Row {
    fn new(name: &'static str, memory: Result<Memory>) -> Self {
        let trouble = memory.as_ref().err().map(|error| format!("{error:#}"));
        let memory = memory.ok();
        let part = |part: fn(Memory) -> f64| [memory.map(part)];
        Self { name, private_mib: part(|memory| memory.private_mib), resident_mib: part(|memory| memory.resident_mib), trouble }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rows: Vec<Row>,
    limits: Vec<Limit>,
}

impl Report {
    /// Of rows of which the first is ours.
    fn new(machine: Machine, options: &Idle, rows: Vec<Row>) -> Self {
        let ours = rows.first().and_then(|row| row.private_mib[0]);
        let limit = Limit::most("--max-private-mib", options.max_private_mib, ours);
        Self { machine, rows, limits: limit.into_iter().collect() }
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let chart = |title: &str, part: fn(&Row) -> [Option<f64>; 1]| {
            Chart::rows(title, "MiB", self.rows.iter().map(|row| (row.name.to_owned(), Spread::of(part(row).into_iter().flatten()))))
        };
        chart("Private memory", |row| row.private_mib).into_iter().chain(chart("Resident memory", |row| row.resident_mib)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, "MiB", ["private", "resident"].map(str::to_owned))?;
        for Row { name, private_mib: [private], resident_mib: [resident], trouble } in &self.rows {
            write_row(f, name, [*private, *resident].map(number))?;
            if let Some(trouble) = trouble {
                writeln!(f, "{:<28} {trouble}", "")?;
            }
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

/// What starting took is over, and given back: ours does that after five seconds.
const REST: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn ours_is_held_to_the_limit() {
        let broken = |given: &str| {
            let Command::Idle(options) = Cli::command_of(&format!("loadtest idle {given}")) else { panic!("idle was asked for") };
            let row = |name, private_mib| Row::new(name, Ok(Memory { private_mib, resident_mib: 30.0 }));
            Limit::broken(&Report::new(Machine::none(), &options, vec![row("crosspoint", 6.0), row("janus", 20.0)]).limits).len()
        };
        assert_eq!((broken("--max-private-mib 6"), broken("--max-private-mib 5.9")), (0, 1));
    }
}
