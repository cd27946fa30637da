//! Where log lines go: standard error, so that standard output stays for what a command prints.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Sends what `filter` lets through to standard error. A filter that cannot be understood is reported there, and `info` used.
pub fn install(filter: &str, format: LogFormat) {
    // What str0m warns of is what peers send, and they may send it as often as they like; whoever wants it names it.
    let quiet = if filter.contains("str0m") { filter.to_owned() } else { format!("{filter},str0m=error,is=error,dimpl=error") };
    let (filter, complaint) = match EnvFilter::try_new(quiet) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let coloured = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(coloured);
    let installed = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    };
    if let Some(error) = complaint {
        tracing::warn!(%error, "--log cannot be understood, using info");
    }
    // Only a test that runs several servers in one process comes here twice; the first one's choice stands.
    if let Err(error) = installed {
        tracing::debug!(%error, "log lines keep going where they went");
    }
}
