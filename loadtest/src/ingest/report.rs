//! What a run found, for people and for machines.

use std::fmt;

use serde::Serialize;

use crate::distribution::Spread;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::report::{number, write_row};

/// One contender's figures.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Percent of a processor, of each round; nothing of one that failed.
    pub(super) percent: Vec<Option<f64>>,
    pub(super) trouble: Option<String>,
}

impl Row {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, percent: Vec::new(), trouble: None }
    }

    /// Takes what a round gave.
    pub(super) fn note(&mut self, percent: anyhow::Result<f64>) {
        self.trouble = percent.as_ref().err().map(|error| format!("{error:#}")).or_else(|| self.trouble.take());
        self.percent.push(percent.ok());
    }

    pub(super) fn spread(&self) -> Option<Spread> {
        Spread::of(self.percent.iter().flatten().copied())
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) seconds: u32,
    pub(super) bitrate_bps: f64,
    pub(super) rows: Vec<Row>,
    pub(super) limits: Vec<Limit>,
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let rows = self.rows.iter().map(|row| (row.name.to_owned(), row.spread()));
        Chart::rows("720p30 from the publisher to the camera", "% of a processor", rows).into_iter().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}")?;
        writeln!(f, "H.264 720p30 of {:.1} Mbit/s, {} s a round", self.bitrate_bps / 1e6, self.seconds)?;
        write_row(f, "\n% of a processor", ["least", "median", "most"].map(str::to_owned))?;
        for row in &self.rows {
            let spread = row.spread();
            write_row(f, row.name, [|s: Spread| s.least, |s: Spread| s.median, |s: Spread| s.most].map(|part| number(spread.map(part))))?;
            if let Some(trouble) = &row.trouble {
                writeln!(f, "{:<28} a round failed: {trouble}", "")?;
            }
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}
