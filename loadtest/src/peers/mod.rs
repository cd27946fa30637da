//! Ours beside others, in one table.
//!
//! Each measurement is a command of its own (most are subcommands of this one) that interleaves ours with its peers and says what it
//! found as JSON; one after another they run here, each within a bound, and what one could not measure leaves a gap and a reason.

mod rows;
pub(crate) mod setup;
mod table;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use self::rows::{Measurement, measurements};
use self::table::Report;
use crate::cli::Peers;
use crate::machine::Machine;
use crate::process::Process;
use crate::progress::Progress;
use crate::report::note;
use crate::scratch;

/// Measures, prints the table, and says whether the aims held, where that was asked.
///
/// # Errors
/// When peers cannot be installed, or nothing can be measured.
pub(crate) async fn run(options: &Peers) -> Result<bool> {
    if options.setup {
        setup::all(&options.peers_folder).await?;
    }
    let report = measure(options).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

async fn measure(options: &Peers) -> Result<Report> {
    let (machine, start) = (Machine::look(&options.chromium), Instant::now());
    let (mut rows, mut troubles) = (Vec::new(), Vec::new());
    let chosen = |measurement: &Measurement| options.only.is_empty() || options.only.contains(&measurement.group);
    let measurements: Vec<Measurement> = measurements(options).into_iter().filter(chosen).collect();
    let progress = Progress::of("measurements", measurements.len());
    for measurement in &measurements {
        note(&measurement.words.join(" "));
        match ask(measurement, options).await {
            Ok(answer) => {
                rows.extend((measurement.rows)(&answer));
                let missing = answer["rows"].as_array().into_iter().flatten();
                troubles.extend(missing.filter_map(|row| Some(format!("{}: {}", row["name"].as_str()?, row["trouble"].as_str()?))));
            }
            Err(error) => troubles.push(format!("{error:#}")),
        }
        progress.step();
    }
    drop(progress);
    rows.retain(|row| row.ours.spread().is_some() || row.peers.iter().any(|peer| peer.spread().is_some()));
    ensure!(!rows.is_empty(), "nothing could be measured: {}", troubles.join("; "));
    let limits = if options.hold_aims { rows.iter().filter_map(table::Row::limit).collect() } else { Vec::new() };
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    Ok(Report { machine, date: date(), versions: versions(options), rows, troubles, minutes, limits })
}

/// What a measurement says.
async fn ask(measurement: &Measurement, options: &Peers) -> Result<Value> {
    let folder = scratch::folder(&std::env::temp_dir())?;
    let log = folder.path().join("log");
    let mut words: Vec<OsString> = Vec::new();
    if measurement.is_script {
        let binary =
            fs::canonicalize(&options.common.crosspoint).with_context(|| format!("finding {}", options.common.crosspoint.display()))?;
        let mut name = OsString::from("CROSSPOINT_BIN=");
        name.push(binary);
        // What it cannot take away goes with our folder.
        let mut temporary = OsString::from("TMPDIR=");
        temporary.push(folder.path());
        words.extend(["env".into(), name, temporary]);
    } else {
        words.push(std::env::current_exe()?.into());
    }
    words.extend(measurement.words.iter().map(Into::into));
    if !measurement.is_script {
        words.extend(["--crosspoint".into(), options.common.crosspoint.clone().into()]);
    }
    let mut process = Process::launch("a measurement", words, None, &log)?;
    let deadline = Instant::now() + BOUND;
    let mut told = 0;
    let status = loop {
        let status = process.ended()?;
        let said = fs::read_to_string(&log)?;
        for line in said[told..].split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            told += line.len();
            if let Some(line) = line.strip_prefix("loadtest: ") {
                note(line.trim_end());
            }
        }
        if let Some(status) = status {
            break status;
        }
        ensure!(Instant::now() < deadline, "{}: not done after {} minutes", measurement.words.join(" "), BOUND.as_secs() / 60);
        sleep(LOOK_AGAIN).await;
    };
    let said = fs::read_to_string(&log)?;
    let Some(answer) = answer(&said) else {
        bail!("{} ({status}): {}", measurement.words.join(" "), said.lines().last().unwrap_or_default());
    };
    Ok(answer)
}

/// The JSON behind all that a command said on its way.
fn answer(said: &str) -> Option<Value> {
    let start = if said.starts_with('{') { 0 } else { said.rfind("\n{")? + 1 };
    serde_json::Deserializer::from_str(&said[start..]).into_iter().next()?.ok()
}

/// What peers call their versions.
fn versions(options: &Peers) -> Vec<String> {
    let debian = |package: &str| {
        let output = Command::new("dpkg-query").args(["-W", "-f", "${Package} ${Version}", package]).output().ok()?;
        (output.status.success() && !output.stdout.is_empty()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let npm = |package: &str| {
        let about = fs::read(options.peers_folder.join("node_modules").join(package).join("package.json")).ok()?;
        let about: Value = serde_json::from_slice(&about).ok()?;
        Some(format!("{package} {}", about["version"].as_str()?))
    };
    let python = fs::read_to_string(options.peers_folder.join("requirements.txt")).unwrap_or_default();
    let mut versions: Vec<String> =
        ["janus", "libnginx-mod-rtmp", "ffmpeg", "gstreamer1.0-tools", "gstreamer1.0-plugins-bad", "gstreamer1.0-libav"]
            .into_iter()
            .filter_map(debian)
            .collect();
    versions.extend(["uwebsockets", "ws", "node-media-server"].into_iter().filter_map(npm));
    let installed = |path: &Path| path.exists();
    if installed(&options.peers_folder.join(".venv/done")) {
        versions.extend(python.lines().map(|line| line.replace("==", " ")));
    }
    versions
}

/// Today, UTC.
fn date() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// For one measurement. The longest takes four minutes with the usual options.
const BOUND: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answer_is_found_behind_what_was_said_on_the_way() {
        assert_eq!(answer("{\"rows\": []}\n"), Some(json!({"rows": []})));
        assert_eq!(
            answer("loadtest: round 1\n{\n  \"rows\": [\n    {\n      \"us\": 1\n    }\n  ]\n}\nloadtest: bye\n"),
            Some(json!({"rows": [{"us": 1}]}))
        );
        assert_eq!(answer("loadtest: no browser\n"), None);
        assert_eq!(answer("loadtest: x\n{\"rows\": ["), None);
    }
}
