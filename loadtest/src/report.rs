//! How a report goes out.

use std::fmt::Display;
use std::io::Write as _;

use anyhow::Result;
use serde::Serialize;

/// Prints `report` as a table for people, or as JSON for machines.
///
/// # Errors
/// When nobody reads it.
pub(crate) fn print(report: &(impl Display + Serialize), json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}
