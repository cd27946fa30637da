//! What viewers got, as a table and as JSON.

use std::fmt;

use serde::Serialize;

use super::account::{Account, Behaviour, Done, Kind, OMISSION, charts, corrupt_percent};
use crate::cli::View;
use crate::distribution::Summary;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::report::number;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    seconds: u32,
    accounts: Vec<Account>,
    /// What was put between router and viewers, and what that did by its own count.
    delay_ms: f64,
    link: Done,
    /// The router's processor time and our own, in percent of one.
    router_percent: f64,
    generator_percent: f64,
    limits: Vec<Limit>,
}

impl Report {
    pub(super) fn new(machine: Machine, options: &View, accounts: Vec<Account>, link: Done, percent: [f64; 2]) -> Self {
        let steady = || accounts.iter().filter(|account| account.behaviour == Behaviour::Steady);
        let worst = |figures: Vec<f64>| figures.into_iter().max_by(f64::total_cmp);
        let pictures = steady().filter_map(|account| account.pictures_percent).min_by(f64::total_cmp);
        let age = worst(steady().filter_map(|account| Some(account.age_ms?.p99)).collect());
        let gap = worst(steady().filter_map(|account| Some(account.gap_ms?.p99)).collect());
        let missing = worst(steady().filter(|account| account.kind == Kind::WebRtc).map(|account| account.missing_percent).collect());
        let join = worst(accounts.iter().filter_map(|account| Some(account.join_ms?.p95)).collect());
        let limits = [
            Limit::least("--min-pictures-percent", options.min_pictures_percent, pictures),
            Limit::most("--max-age-p99-ms", options.max_age_p99_ms, age),
            Limit::most("--max-gap-p99-ms", options.max_gap_p99_ms, gap),
            Limit::most("--max-corrupt-percent", options.max_corrupt_percent, corrupt_percent(&accounts)),
            Limit::most("--max-missing-percent", options.max_missing_percent, missing),
            Limit::most("--max-join-p95-ms", options.max_join_p95_ms, join),
        ];
        let limits = limits.into_iter().flatten().collect();
        let [router_percent, generator_percent] = percent;
        Self { machine, seconds: options.seconds, accounts, delay_ms: options.delay_ms, link, router_percent, generator_percent, limits }
    }

    /// Whether all limits held, and nobody who read steadily was ended.
    pub(super) fn held(&self) -> bool {
        let ended = self.accounts.iter().any(|account| account.behaviour == Behaviour::Steady && account.ended > 0);
        !ended && self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        charts(&self.accounts)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}; {} s", self.seconds)?;
        let Done { units, lost, corrupted } = self.link;
        if units > 0 {
            writeln!(f, "between router and viewers: {} ms, and of {units} units {lost} lost, {corrupted} corrupted", self.delay_ms)?;
        }
        let heads = [
            "viewers",
            "join p95",
            "pictures",
            "of all %",
            "age p50",
            "p99",
            "gap p99",
            "max",
            "breaks",
            "corrupt %",
            "lost %",
            "missing %",
            "ended",
        ];
        writeln!(f)?;
        write!(f, "{:<18}", "ms")?;
        heads.iter().try_for_each(|head| write!(f, "{head:>10}"))?;
        writeln!(f)?;
        for account in &self.accounts {
            let part = |summary: Option<Summary>, part: fn(Summary) -> f64| number(summary.map(part));
            let cells = [
                account.viewers.to_string(),
                part(account.join_ms, |join| join.p95),
                account.pictures.to_string(),
                number(account.pictures_percent),
                part(account.age_ms, |age| age.p50),
                part(account.age_ms, |age| age.p99),
                part(account.gap_ms, |gap| gap.p99),
                part(account.gap_ms, |gap| gap.max),
                account.breaks.to_string(),
                format!("{:.2}", account.corrupt_percent),
                format!("{:.2}", account.lost_percent),
                format!("{:.2}", account.missing_percent),
                account.ended.to_string(),
            ];
            write!(f, "{:<18}", format!("{:?}, {:?}", account.kind, account.behaviour).to_lowercase())?;
            cells.iter().try_for_each(|cell| write!(f, "{cell:>10}"))?;
            writeln!(f)?;
            if let Some(trouble) = &account.trouble {
                writeln!(f, "{:<18}ended: {trouble}", "")?;
            }
        }
        writeln!(f, "\nprocessor, % of one: router {:.1}, load {:.1}", self.router_percent, self.generator_percent)?;
        writeln!(f, "{OMISSION}")?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::view::account::account;

    fn report(given: &str, account: Account) -> Report {
        let Command::View(options) = Cli::command_of(&format!("loadtest view {given}")) else { panic!("view was asked for") };
        Report::new(Machine::none(), &options, vec![account], Done::default(), [0.0; 2])
    }

    #[test]
    fn viewers_are_held_to_their_limits() {
        let held = report(
            "--min-pictures-percent 98 --max-age-p99-ms 41 --max-gap-p99-ms 41 --max-join-p95-ms 41 --max-corrupt-percent 0",
            account(40.0, 98.0, 0),
        );
        assert!(held.held() && held.limits.len() == 5, "{held}");
        let broken =
            report("--min-pictures-percent 99 --max-age-p99-ms 39 --max-gap-p99-ms 39 --max-join-p95-ms 39", account(40.0, 98.0, 0));
        assert_eq!(Limit::broken(&broken.limits).len(), 4, "{broken}");
        let corrupt = report("--max-corrupt-percent 0", Account { corrupt_percent: 0.1, ..account(40.0, 98.0, 0) });
        assert_eq!(Limit::broken(&corrupt.limits), ["--max-corrupt-percent"]);
        assert!(!broken.held() && !report("--max-missing-percent 100", account(40.0, 98.0, 0)).held(), "nobody watches by WebRTC");
    }

    #[test]
    fn who_reads_steadily_must_not_be_ended() {
        assert!(report("--seconds 2", account(40.0, 98.0, 0)).held());
        assert!(!report("--seconds 2", account(40.0, 98.0, 1)).held());
    }
}
