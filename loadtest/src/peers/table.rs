//! The table that lays ours beside others.

use std::fmt;

use serde::Serialize;

use crate::distribution::Spread;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};

/// What one contender gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Series {
    pub(super) name: String,
    /// Of each round; nothing of one that failed.
    pub(super) rounds: Vec<Option<f64>>,
}

/// One question: what is measured, on ours and on others in the same rounds. Less is better.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) ours: Series,
    pub(super) peers: Vec<Series>,
    /// What nobody can go below, as it was found out for the kind of machine that the aims were set on.
    pub(super) floor: &'static str,
    /// What ours is meant to stay below.
    pub(super) aim: Option<f64>,
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// The day, UTC.
    pub(super) date: String,
    /// What of whom was measured.
    pub(super) versions: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(super) troubles: Vec<String>,
    pub(super) minutes: f64,
    pub(super) limits: Vec<Limit>,
}

impl Series {
    pub(super) fn spread(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().flatten().copied())
    }

    /// How many times as much as `ours` it gave, round by round.
    pub(super) fn ratio(&self, ours: &Self) -> Option<Spread> {
        let pairs = self.rounds.iter().zip(&ours.rounds).filter_map(|(theirs, ours)| Some((*theirs)? / (*ours)?));
        Spread::of(pairs.filter(|ratio| ratio.is_finite()))
    }
}

impl Row {
    fn is_met(&self) -> Option<bool> {
        Some(self.ours.spread()?.median <= self.aim?)
    }

    pub(super) fn limit(&self) -> Option<Limit> {
        Limit::most(self.what, self.aim, self.ours.spread().map(|spread| spread.median))
    }
}

impl Report {
    pub(super) fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let chart = |row: &Row| {
            let series = [&row.ours].into_iter().chain(&row.peers).map(|series| (series.name.clone(), series.spread()));
            Chart::rows(row.what, row.unit, series)
        };
        self.rows.iter().filter_map(chart).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, browser } = &self.machine;
        writeln!(
            f,
            "{}, {cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}, {:.1} minutes",
            self.date, self.minutes
        )?;
        writeln!(f, "{}", [&[browser.clone()][..], &self.versions].concat().join(", "))?;
        writeln!(f, "medians of the rounds (least to most); a ratio is taken within a round\n")?;
        writeln!(f, "| what | peers | floor | aim | ours | ratio |\n|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let told = |series: &Series| series.spread().map_or_else(|| "–".to_owned(), spread);
            let peers: Vec<String> = row.peers.iter().map(|peer| format!("{} {}", peer.name, told(peer))).collect();
            let ratios: Vec<String> = row.peers.iter().filter_map(|peer| Some(format!("{}×", spread(peer.ratio(&row.ours)?)))).collect();
            let aim = row.aim.map_or_else(|| "–".to_owned(), |aim| format!("≤ {}", short(aim)));
            let met = match row.is_met() {
                Some(true) => ", met",
                Some(false) => ", missed",
                None => "",
            };
            let floor = if row.floor.is_empty() { "–" } else { row.floor };
            let [peers, ratios] = [peers, ratios].map(|cells| if cells.is_empty() { "–".to_owned() } else { cells.join(" · ") });
            writeln!(f, "| {}, {} | {peers} | {floor} | {aim}{met} | {} | {ratios} |", row.what, row.unit, told(&row.ours))?;
        }
        self.troubles.iter().try_for_each(|trouble| writeln!(f, "\nnot measured: {trouble}"))?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

fn spread(Spread { least, median, most }: Spread) -> String {
    if least == most { short(median) } else { format!("{} ({} to {})", short(median), short(least), short(most)) }
}

/// A number in about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        ..0.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, rounds: &[Option<f64>]) -> Series {
        Series { name: name.to_owned(), rounds: rounds.to_vec() }
    }

    fn row(peers: Vec<Series>) -> Row {
        let ours = series("crosspoint", &[Some(2.0), Some(4.0), None]);
        Row { what: "WebSocket fan-out", unit: "µs", ours, peers, floor: "1", aim: Some(3.5) }
    }

    #[test]
    fn ratio_is_taken_within_a_round() {
        let row = row(vec![series("ws", &[Some(4.0), Some(12.0), Some(900.0)]), series("gone", &[None; 3])]);
        assert_eq!(row.peers[0].ratio(&row.ours), Some(Spread { least: 2.0, median: 2.5, most: 3.0 }));
        assert_eq!(row.peers[1].ratio(&row.ours), None);
        assert_eq!(series("ws", &[Some(1.0)]).ratio(&series("crosspoint", &[Some(0.0)])), None);
    }

    #[test]
    fn table_lays_ours_beside_others_and_tells_what_is_missing() {
        let row = row(vec![series("ws", &[Some(4.0), Some(12.0), None]), series("gone", &[None; 3])]);
        let machine = Machine { processor: "EPYC".into(), cores: 2, kernel: "6".into(), load_before: 0.0, browser: "Chromium 156".into() };
        let limits = row.limit().into_iter().collect();
        let (date, troubles) = ("2026-11-27".into(), vec!["janus: not there".into()]);
        let report = Report { machine, date, versions: vec!["ws 8".into()], rows: vec![row], troubles, minutes: 1.0, limits };
        let table = report.to_string();
        let expected =
            "| WebSocket fan-out, µs | ws 8.0 (4.0 to 12.0) · gone – | 1 | ≤ 3.5, met | 3.0 (2.0 to 4.0) | 2.5 (2.0 to 3.0)× |\n";
        assert!(table.contains(expected), "{table}");
        assert!(table.contains("not measured: janus: not there") && table.contains("Chromium 156, ws 8"), "{table}");
        assert!(report.held());
    }

    #[test]
    fn median_of_ours_is_held_to_the_aim() {
        let ours = |us| Row { ours: series("crosspoint", &[Some(us), Some(us)]), ..row(Vec::new()) };
        assert_eq!([3.5, 3.6].map(|us| ours(us).limit().map(|limit| limit.held)), [Some(true), Some(false)]);
        assert_eq!(Row { aim: None, ..ours(9.0) }.limit(), None);
    }

    #[test]
    fn numbers_have_about_three_digits() {
        assert_eq!([0.234, 0.996, 12.34, 99.96, 1_234.5].map(short), ["0.23", "1.0", "12.3", "100", "1234"]);
    }
}
