//! What the fan-out cost, as a table and as JSON.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Fanout;
use crate::distribution::Spread;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};

/// What a frame costs for each viewer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Microseconds of processor time.
    pub(super) us: f64,
    /// What it has, in kilobytes.
    pub(super) frame_kb: f64,
}

/// One relay's figures.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// Microseconds of processor time for a frame and viewer, of each round; nothing of one that failed.
    pub(super) costs: Vec<Option<f64>>,
    /// What a frame had, in kilobytes, of each round.
    pub(super) frame_kb: Vec<f64>,
    /// Why a round gave none.
    pub(super) trouble: Option<String>,
}

impl Row {
    pub(super) fn new(name: String) -> Self {
        Self { name, costs: Vec::new(), frame_kb: Vec::new(), trouble: None }
    }

    /// Takes note of a round.
    pub(super) fn note(&mut self, round: Result<Cost>) {
        match round {
            Ok(Cost { us, frame_kb }) => {
                self.costs.push(Some(us));
                self.frame_kb.push(frame_kb);
            }
            // An io_uring that the kernel refuses is no reason to measure nothing.
            Err(error) => {
                self.costs.push(None);
                self.trouble = Some(format!("{error:#}"));
            }
        }
    }

    fn spread(&self) -> Option<Spread> {
        Spread::of(self.costs.iter().flatten().copied())
    }
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    viewers: u32,
    seconds: u32,
    pub(super) rows: Vec<Row>,
    limits: Vec<Limit>,
}

impl Report {
    pub(super) fn new(machine: Machine, options: &Fanout, rows: Vec<Row>) -> Self {
        let best = |kind: &str| {
            let ours = rows.iter().filter(|row| row.name.starts_with("crosspoint") && row.name.ends_with(kind)).filter_map(Row::spread);
            ours.map(|spread| spread.median).min_by(f64::total_cmp)
        };
        let websocket = Limit::most("--max-us", options.max_us, best("websocket"));
        let rtmp = Limit::most("--max-rtmp-us", options.max_rtmp_us, best("rtmp"));
        let limits = websocket.into_iter().chain(rtmp).collect();
        Self { machine, viewers: options.viewers, seconds: options.seconds, rows, limits }
    }

    pub(super) fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let rows = self.rows.iter().map(|row| (row.name.clone(), row.spread()));
        Chart::rows("A frame and viewer", "µs of processor time", rows).into_iter().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}")?;
        writeln!(f, "{} viewers, {} s a round", self.viewers, self.seconds)?;
        writeln!(f, "\n{:<28} {:>8} {:>8} {:>8} {:>8}", "µs of processor time", "least", "median", "most", "kB")?;
        for row in &self.rows {
            match row.spread() {
                Some(Spread { least, median, most }) => {
                    let frame_kb = row.frame_kb.iter().sum::<f64>() / row.frame_kb.len() as f64;
                    writeln!(f, "{:<28} {least:>8.2} {median:>8.2} {most:>8.2} {frame_kb:>8.1}", row.name)?;
                }
                None => writeln!(f, "{:<28} not measured", row.name)?,
            }
            if let Some(trouble) = &row.trouble {
                writeln!(f, "{:<28} a round failed: {trouble}", "")?;
            }
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn better_runtime_is_held_to_the_limits() {
        let report = |given: &str| {
            let Command::Fanout(options) = Cli::command_of(&format!("loadtest fanout --rtmp {given}")) else {
                panic!("fanout was asked for")
            };
            let row = |name: &str, us| {
                let mut row = Row::new(name.to_owned());
                row.note(Ok(Cost { us, frame_kb: 12.0 }));
                row
            };
            let ours =
                [row("crosspoint epoll, websocket", 6.0), row("crosspoint uring, websocket", 9.0), row("crosspoint epoll, rtmp", 8.0)];
            Report::new(Machine::none(), &options, ours.into_iter().chain([row("npm ws, websocket", 1.0)]).collect())
        };
        assert!(report("--max-us 6 --max-rtmp-us 8").held());
        assert_eq!(Limit::broken(&report("--max-us 5.9 --max-rtmp-us 7.9").limits), ["--max-us", "--max-rtmp-us"]);
    }
}
