//! What WebRTC viewers cost, as a table and as JSON.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::cli::FanoutRtc;
use crate::distribution::Spread;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};

/// What a run cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    /// How many watched: not every server takes as many as were asked for.
    pub(crate) viewers: u32,
    /// Processor time for a packet more, in microseconds.
    pub(crate) us: f64,
    /// Memory that a viewer more made resident.
    pub(crate) kb: f64,
    pub(crate) packets_per_second: f64,
    /// Of a million packets, those that never came.
    pub(crate) missing: f64,
}

/// One server's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Of each round; nothing of one that failed.
    pub(crate) costs: Vec<Option<Cost>>,
    /// Why a round gave none.
    pub(crate) trouble: Option<String>,
}

impl Row {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, costs: Vec::new(), trouble: None }
    }

    /// Takes note of a round.
    pub(super) fn note(&mut self, round: Result<Cost>) {
        if let Err(error) = &round {
            self.trouble = Some(format!("{error:#}"));
        }
        self.costs.push(round.ok());
    }

    fn spread(&self, part: fn(&Cost) -> f64) -> Option<Spread> {
        Spread::of(self.costs.iter().flatten().map(part))
    }
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) viewers: u32,
    pub(crate) rows: Vec<Row>,
    limits: Vec<Limit>,
}

impl Report {
    pub(super) fn new(machine: Machine, options: &FanoutRtc, rows: Vec<Row>) -> Self {
        let ours = rows.iter().filter(|row| row.name.starts_with("crosspoint")).filter_map(|row| row.spread(|cost| cost.us));
        let worst = ours.map(|spread| spread.most).max_by(f64::total_cmp);
        let limits = Limit::most("--max-us", options.max_us, worst).into_iter().collect();
        Self { machine, viewers: options.viewers, rows, limits }
    }

    pub(super) fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let chart = |title: &str, unit: &str, part: fn(&Cost) -> f64| {
            Chart::rows(title, unit, self.rows.iter().map(|row| (row.name.to_owned(), row.spread(part))))
        };
        let cost = chart("A packet and viewer", "µs of processor time", |cost| cost.us);
        cost.into_iter().chain(chart("A viewer's memory", "kB", |cost| cost.kb)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}; {} viewers", self.viewers)?;
        let heads = ["µs least", "median", "most", "viewers", "kB each", "packets/s", "missing/M"];
        writeln!(f, "\n{:<28} {}", "for a packet", heads.map(|head| format!("{head:>10}")).join(" "))?;
        for row in &self.rows {
            match row.spread(|cost| cost.us) {
                Some(Spread { least, median, most }) => {
                    let [viewers, kb, rate, missing] = [
                        |cost: &Cost| f64::from(cost.viewers),
                        |cost: &Cost| cost.kb,
                        |cost: &Cost| cost.packets_per_second,
                        |cost: &Cost| cost.missing,
                    ]
                    .map(|part| row.spread(part).map_or(0.0, |spread| spread.median));
                    writeln!(
                        f,
                        "{:<28} {least:>10.2} {median:>10.2} {most:>10.2} {viewers:>10.0} {kb:>10.0} {rate:>10.0} {missing:>10.0}",
                        row.name
                    )?;
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
    use anyhow::anyhow;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn round_that_failed_stays_in_its_place() {
        let mut row = Row::new("janus");
        row.note(Err(anyhow!("not there")));
        row.note(Ok(Cost { viewers: 2, us: 40.0, kb: 600.0, packets_per_second: 1e5, missing: 0.0 }));
        assert_eq!(row.costs.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);
        assert_eq!(row.spread(|cost| cost.us).map(|spread| spread.median), Some(40.0));
        let machine = Machine { processor: "EPYC".into(), cores: 2, kernel: "6".into(), load_before: 0.0, browser: String::new() };
        let report = Report { machine, viewers: 2, rows: vec![row], limits: Vec::new() };
        let table = report.to_string();
        assert!(table.contains("janus") && table.contains("40.00") && table.contains("a round failed: not there"), "{table}");
    }

    #[test]
    fn worst_round_of_ours_is_held_to_the_limit() {
        let report = |given: &str| {
            let Command::FanoutRtc(options) = Cli::command_of(&format!("loadtest fanout-rtc {given}")) else { panic!("it was asked for") };
            let mut row = Row::new("crosspoint");
            for us in [4.0, 5.0] {
                row.note(Ok(Cost { viewers: 2, us, kb: 150.0, packets_per_second: 1e5, missing: 0.0 }));
            }
            Report::new(Machine::none(), &options, vec![row])
        };
        assert!(report("--max-us 5").held() && !report("--max-us 4.9").held());
    }
}
