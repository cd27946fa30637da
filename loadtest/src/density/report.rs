//! How many sandboxes a machine carried, as a table and as JSON.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::account::Account;
use crate::cli::Density;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};

/// A number of sandboxes at once.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) sandboxes: u32,
    /// Means of the sandboxes.
    mean: Option<Mean>,
    /// The worst camera's 99th percentile of a frame's way into it.
    worst_p99_ms: Option<f64>,
    /// Of all processors of the machine.
    machine_busy_percent: f64,
    /// Why this number is too much.
    pub(super) broken: Option<String>,
    accounts: Vec<Account>,
}

/// What a sandbox takes on average.
#[derive(Clone, Copy, Debug, Serialize)]
struct Mean {
    crosspoint_percent: f64,
    display_percent: f64,
    sound_percent: f64,
    browser_percent: f64,
    /// All together.
    cpu_percent: f64,
    generator_percent: f64,
    crosspoint_mib: f64,
    browser_mib: f64,
    /// All together.
    mib: f64,
    wake_ups_per_s: f64,
}

/// What the figures would come to on a large machine: arithmetic, not a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Projection {
    processors: u32,
    sandboxes: u64,
    gib: f64,
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Machine,
    seconds: u32,
    cameras_percent: u32,
    viewers_percent: u32,
    steps: Vec<Step>,
    projection: Option<Projection>,
    limits: Vec<Limit>,
}

impl Step {
    pub(super) fn new(sandboxes: u32, accounts: Vec<Result<Account>>, machine_busy_percent: f64) -> Self {
        let mut broken = None;
        let mut whole = Vec::new();
        for account in accounts {
            match account {
                Ok(account) => whole.push(account),
                Err(error) => broken = Some(format!("{error:#}")),
            }
        }
        let broken = broken.or_else(|| whole.iter().find_map(Account::broken));
        let worst_p99_ms = whole.iter().filter_map(|account| Some(account.camera?.p99_ms)).max_by(f64::total_cmp);
        Self { sandboxes, mean: Mean::of(&whole), worst_p99_ms, machine_busy_percent, broken, accounts: whole }
    }
}

impl Mean {
    fn of(accounts: &[Account]) -> Option<Self> {
        let mean = |figure: &dyn Fn(&Account) -> f64| accounts.iter().map(figure).sum::<f64>() / accounts.len() as f64;
        (!accounts.is_empty()).then(|| Self {
            crosspoint_percent: mean(&|account| account.crosspoint.cpu_percent),
            display_percent: mean(&|account| account.display.cpu_percent),
            sound_percent: mean(&|account| account.sound.cpu_percent),
            browser_percent: mean(&|account| account.browser.unwrap_or_default().cpu_percent),
            cpu_percent: mean(&Account::cpu_percent),
            generator_percent: mean(&|account| account.generator_percent),
            crosspoint_mib: mean(&|account| account.crosspoint.mib),
            browser_mib: mean(&|account| account.browser.unwrap_or_default().mib),
            mib: mean(&Account::mib),
            wake_ups_per_s: mean(&|account| account.wake_ups_per_s),
        })
    }
}

impl Projection {
    fn of(mean: Mean) -> Self {
        let sandboxes = (f64::from(PROCESSORS) * 100.0 * FILL / mean.cpu_percent.max(0.01)) as u64;
        Self { processors: PROCESSORS, sandboxes, gib: sandboxes as f64 * mean.mib / 1_024.0 }
    }
}

impl Report {
    pub(super) fn new(machine: Machine, options: &Density, steps: Vec<Step>) -> Self {
        let last = steps.iter().rfind(|step| step.broken.is_none());
        let mean = last.and_then(|step| step.mean);
        let limits = [
            Limit::least("--min-sandboxes", options.min_sandboxes, last.map(|step| f64::from(step.sandboxes))),
            Limit::most("--max-p99-ms", options.max_p99_ms, last.and_then(|step| step.worst_p99_ms)),
            Limit::most("--max-cpu-percent", options.max_cpu_percent, mean.map(|mean| mean.cpu_percent)),
            Limit::most("--max-mib", options.max_mib, mean.map(|mean| mean.crosspoint_mib)),
        ];
        Self {
            machine,
            seconds: options.seconds,
            cameras_percent: options.cameras,
            viewers_percent: options.viewers,
            projection: mean.map(Projection::of),
            steps,
            limits: limits.into_iter().flatten().collect(),
        }
    }

    pub(super) fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let of = |title: &str, unit: &str, figure: &dyn Fn(&Step) -> Option<f64>| {
            let points = self.steps.iter().filter_map(|step| Some((f64::from(step.sandboxes), figure(step)?)));
            Chart::line(title, "sandboxes", unit, points.collect())
        };
        let charts = [
            of("What a sandbox takes", "% of a processor", &|step| Some(step.mean?.cpu_percent)),
            of("A sandbox's memory", "MiB", &|step| Some(step.mean?.mib)),
            of("A sandbox's wake-ups", "a second", &|step| Some(step.mean?.wake_ups_per_s)),
            of("The worst camera's 99th percentile", "ms", &|step| step.worst_p99_ms),
            of("How busy the machine was", "%", &|step| Some(step.machine_busy_percent)),
        ];
        charts.into_iter().flatten().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}")?;
        writeln!(
            f,
            "of 100 sandboxes {} have a camera at work, {} are watched; {} s each; means of a sandbox, processors in percent of one",
            self.cameras_percent, self.viewers_percent, self.seconds
        )?;
        let heads = [
            "sandboxes",
            "router",
            "X",
            "sound",
            "browser",
            "all",
            "load",
            "router MiB",
            "browser MiB",
            "all MiB",
            "wakes/s",
            "p99 ms",
            "busy",
        ];
        writeln!(f)?;
        heads.iter().try_for_each(|head| write!(f, "{head:>12}"))?;
        writeln!(f)?;
        for step in &self.steps {
            write!(f, "{:>12}", step.sandboxes)?;
            if let Some(mean) = step.mean {
                let ours = [mean.crosspoint_percent, mean.display_percent, mean.sound_percent, mean.browser_percent];
                let shares = ours.into_iter().chain([mean.cpu_percent, mean.generator_percent]);
                shares.into_iter().try_for_each(|share| write!(f, "{share:>12.2}"))?;
                [mean.crosspoint_mib, mean.browser_mib, mean.mib, mean.wake_ups_per_s]
                    .iter()
                    .try_for_each(|figure| write!(f, "{figure:>12.1}"))?;
                write!(f, "{:>12}", crate::report::number(step.worst_p99_ms))?;
            }
            writeln!(f, "{:>11.0}%", step.machine_busy_percent)?;
            if let Some(broken) = &step.broken {
                writeln!(f, "            breaks: {broken}")?;
            }
        }
        if let Some(Projection { processors, sandboxes, gib }) = self.projection {
            writeln!(
                f,
                "\nProjection, not a measurement: {sandboxes} such sandboxes on {processors} such cores, a fifth of them left, in {gib:.1} GiB"
            )?;
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

const PROCESSORS: u32 = 64;
/// The part of them that is used.
const FILL: f64 = 0.8;

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::super::account::{Camera, Use};
    use super::*;
    use crate::cli::{Cli, Command};

    fn account(cpu_percent: f64) -> Account {
        Account { crosspoint: Use { cpu_percent, mib: 8.0 }, display: Use { cpu_percent: 1.0, mib: 24.0 }, ..Account::default() }
    }

    #[test]
    fn projection_fills_four_fifths_of_the_processors_with_the_mean() {
        let step = Step::new(2, vec![Ok(account(3.0)), Ok(account(5.0))], 10.0);
        let mean = step.mean.expect("two accounts");
        assert_eq!((mean.cpu_percent, mean.mib, step.broken), (5.0, 32.0, None));
        assert_eq!(Projection::of(mean), Projection { processors: 64, sandboxes: 1_024, gib: 32.0 });
    }

    #[test]
    fn browser_is_part_of_what_a_sandbox_takes() {
        let browser = Some(Use { cpu_percent: 30.0, mib: 200.0 });
        let step = Step::new(2, vec![Ok(Account { browser, ..account(3.0) }), Ok(account(3.0))], 10.0);
        let mean = step.mean.expect("two accounts");
        assert_eq!((mean.browser_percent, mean.cpu_percent, mean.browser_mib, mean.mib), (15.0, 19.0, 100.0, 132.0));
    }

    #[test]
    fn sandbox_without_an_account_breaks_the_number() {
        let step = Step::new(2, vec![Ok(account(3.0)), Err(anyhow!("late"))], 100.0);
        assert_eq!((step.broken.as_deref(), step.accounts.len()), (Some("late"), 1));
    }

    #[test]
    fn sandboxes_are_held_to_their_limits() {
        let report = |given: &str| {
            let Command::Density(options) = Cli::command_of(&format!("loadtest density {given}")) else { panic!("density was asked for") };
            let camera = Some(Camera { sent: 100, shown: 100, p50_ms: 1.0, p99_ms: 4.0 });
            let whole = Step::new(2, vec![Ok(Account { camera, ..account(4.0) })], 10.0);
            // What broke is no measure of what one takes.
            Report::new(Machine::none(), &options, vec![whole, Step::new(4, vec![Ok(account(40.0)), Err(anyhow!("late"))], 100.0)])
        };
        let held = report("--min-sandboxes 2 --max-p99-ms 4 --max-cpu-percent 5 --max-mib 8");
        assert!(held.held() && held.limits.len() == 4, "{held}");
        let broken = report("--min-sandboxes 4 --max-p99-ms 3.9 --max-cpu-percent 4.9 --max-mib 7.9");
        assert_eq!(Limit::broken(&broken.limits).len(), 4, "{broken}");
        assert!(!broken.held());
    }
}
