//! How a report goes out.

use std::fmt::{self, Display, Write as _};
use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::cli::Common;
use crate::distribution::Summary;
use crate::plot::{Draw, draw};
use crate::progress;

/// Prints `report` as a table for people, or as JSON for machines; and draws it, where that was asked.
///
/// # Errors
/// When nobody reads it, or what was asked for cannot be drawn.
pub(crate) fn print(report: &(impl Display + Draw + Serialize), common: &Common) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if common.json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    common.plot.as_deref().map_or(Ok(()), |path| draw(path, &report.charts()))
}

/// Says what happens now, to whoever watches.
pub(crate) fn note(what: &str) {
    progress::above(|| {
        // Nobody may be watching.
        let _ = writeln!(std::io::stderr(), "loadtest: {what}");
    });
}

/// Writes a row of a table.
pub(crate) fn write_row<const N: usize>(f: &mut fmt::Formatter<'_>, name: &str, cells: [String; N]) -> fmt::Result {
    // An empty line before a table is part of its head's name.
    let (gap, name) = name.strip_prefix('\n').map_or(("", name), |name| ("\n", name));
    let mut line = format!("{gap}{name:<28}");
    cells.iter().try_for_each(|cell| write!(line, "{cell:>11}"))?;
    writeln!(f, "{line}")
}

/// The cells below the heads in [`PERCENTILES`].
pub(crate) fn percentiles(summary: Option<Summary>) -> [String; 6] {
    match summary {
        Some(Summary { p50, p90, p95, p99, max, mean, count: _ }) => [p50, p90, p95, p99, max, mean].map(|value| format!("{value:.1}")),
        None => PERCENTILES.map(|_| "–".to_owned()),
    }
}

/// A cell of one number, or a dash.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}

pub(crate) const PERCENTILES: [&str; 6] = ["p50", "p90", "p95", "p99", "max", "mean"];
