//! Whether a router stays as it is: memory, descriptors and threads over time, while viewers come and go.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::cli::Soak;
use crate::distribution::Summary;
use crate::fanout::viewer::locally;
use crate::impair::Impairment;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::process::Process;
use crate::progress::Progress;
use crate::report::{note, write_row};
use crate::view::account::{Account, Behaviour, OMISSION, charts, corrupt_percent};
use crate::view::crowd::Crowd;
use crate::view::stage::Stage;

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &Soak) -> Result<bool> {
    let report = locally(measure(options)).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

/// What a router has at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Sample {
    seconds: f64,
    private_mib: f64,
    descriptors: usize,
    threads: usize,
}

async fn measure(options: &Soak) -> Result<Report> {
    let machine = Machine::look("/bin/true".as_ref());
    note("encoding the frames");
    let mut stage = Stage::start(&options.common.crosspoint, CLIP_SECONDS, options.crowd.needs_display()).await?;
    let mut publishing = stage.publish();
    let mut crowd = Crowd::join(&stage, &options.crowd, Impairment::default()).await?;
    sleep(SETTLE).await;
    let (start, length) = (Instant::now(), Duration::from_secs(u64::from(options.minutes) * 60));
    let progress = Progress::over("watching", options.minutes * 60);
    let mut samples = Vec::new();
    let mut next = start;
    while next <= start + length {
        tokio::select! {
            published = &mut publishing => {
                published??;
                publishing = stage.publish();
            }
            () = sleep_until(next) => {
                stage.relay.check()?;
                samples.push(Sample::of(stage.relay.process(), start.elapsed().as_secs_f64())?);
                crowd.gather(&stage.schedule);
                next += PERIOD;
            }
        }
    }
    stage.schedule.stop(std::time::Instant::now());
    publishing.abort();
    drop(progress);
    // What is on its way arrives.
    sleep(ARRIVE).await;
    let accounts = crowd.accounts(&stage.schedule, std::time::Instant::now());
    Ok(Report::new(machine, options, samples, accounts))
}

impl Sample {
    fn of(process: &Process, seconds: f64) -> Result<Self> {
        Ok(Self { seconds, private_mib: process.private_mib()?, descriptors: process.descriptors()?, threads: process.threads()? })
    }
}

/// By how much memory grows in the second half (least squares): in the first, caches fill.
fn slope_mib_per_hour(samples: &[Sample]) -> Option<f64> {
    let half = &samples[samples.len() / 2..];
    let count = half.len() as f64;
    let mean = |part: fn(&Sample) -> f64| half.iter().map(part).sum::<f64>() / count;
    let (mean_seconds, mean_mib) = (mean(|sample| sample.seconds), mean(|sample| sample.private_mib));
    let spread: f64 = half.iter().map(|sample| (sample.seconds - mean_seconds).powi(2)).sum();
    let together: f64 = half.iter().map(|sample| (sample.seconds - mean_seconds) * (sample.private_mib - mean_mib)).sum();
    (spread > 0.0).then(|| together / spread * 3_600.0)
}

/// How many descriptors there were more in the last quarter than in the second one, at most: viewers that come and go use some.
fn new_descriptors(samples: &[Sample]) -> Option<f64> {
    let quarter = samples.len() / 4;
    let most = |part: &[Sample]| part.iter().map(|sample| sample.descriptors).max();
    Some(most(&samples[samples.len() - quarter..])? as f64 - most(&samples[quarter..2 * quarter])? as f64)
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    minutes: u32,
    samples: Vec<Sample>,
    mib_per_hour: Option<f64>,
    new_descriptors: Option<f64>,
    accounts: Vec<Account>,
    limits: Vec<Limit>,
}

impl Report {
    fn new(machine: Machine, options: &Soak, samples: Vec<Sample>, accounts: Vec<Account>) -> Self {
        let (mib_per_hour, new_descriptors) = (slope_mib_per_hour(&samples), new_descriptors(&samples));
        let steady = || accounts.iter().filter(|account| account.behaviour == Behaviour::Steady);
        let age = steady().filter_map(|account| Some(account.age_ms?.p99)).max_by(f64::total_cmp);
        let pictures = steady().filter_map(|account| account.pictures_percent).min_by(f64::total_cmp);
        let limits = [
            Limit::most("--max-age-p99-ms", options.max_age_p99_ms, age),
            Limit::least("--min-pictures-percent", options.min_pictures_percent, pictures),
            Limit::most("--max-corrupt-percent", options.max_corrupt_percent, corrupt_percent(&accounts)),
            Limit::most("--max-mib-per-hour", options.max_mib_per_hour, mib_per_hour),
            Limit::most("--max-new-descriptors", options.max_new_descriptors, new_descriptors),
        ];
        let limits = limits.into_iter().flatten().collect();
        Self { machine, minutes: options.minutes, samples, mib_per_hour, new_descriptors, accounts, limits }
    }

    /// Whether all limits held, and nobody who read steadily was ended.
    fn held(&self) -> bool {
        let ended = self.accounts.iter().any(|account| account.behaviour == Behaviour::Steady && account.ended > 0);
        !ended && self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let over_time = |title: &str, unit: &str, figure: fn(&Sample) -> f64| {
            Chart::line(title, "seconds", unit, self.samples.iter().map(|sample| (sample.seconds, figure(sample))).collect())
        };
        let router = [
            over_time("Memory of the router's own", "MiB", |sample| sample.private_mib),
            over_time("Its descriptors", "files", |sample| sample.descriptors as f64),
        ];
        router.into_iter().flatten().chain(charts(&self.accounts)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}; {} minutes", self.minutes)?;
        write_row(f, "\nrouter", ["at second", "MiB", "files", "threads"].map(str::to_owned))?;
        let last = self.samples.len().saturating_sub(1);
        for nth in [0, last / 4, last / 2, last / 4 * 3, last] {
            if let Some(Sample { seconds, private_mib, descriptors, threads }) = self.samples.get(nth) {
                let cells = [format!("{seconds:.0}"), format!("{private_mib:.2}"), descriptors.to_string(), threads.to_string()];
                write_row(f, "", cells)?;
            }
        }
        let [slope, descriptors] = [self.mib_per_hour, self.new_descriptors].map(crate::report::number);
        writeln!(f, "\nin the second half {slope} MiB an hour, {descriptors} descriptors more")?;
        for account in &self.accounts {
            let (name, breaks) = (format!("{:?}, {:?}", account.kind, account.behaviour).to_lowercase(), account.breaks);
            writeln!(f, "{name}: {} viewers, {} pictures, {breaks} breaks, {} ended", account.viewers, account.pictures, account.ended)?;
            if let Some((age, percent)) = account.age_ms.zip(account.pictures_percent) {
                let Summary { p50, p99, max, .. } = age;
                let corrupt = account.corrupt_percent;
                writeln!(
                    f,
                    "  {percent:.2} % of what was due came, {corrupt:.2} % of all corrupt; ages p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms"
                )?;
            }
            if let Some(Summary { p99, max, .. }) = account.gap_ms {
                writeln!(f, "  from one picture to the next p99 {p99:.1} ms, at most {max:.1} ms")?;
            }
            if let Some(trouble) = &account.trouble {
                writeln!(f, "  ended: {trouble}")?;
            }
        }
        writeln!(f, "{OMISSION}")?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

const PERIOD: Duration = Duration::from_secs(1);
/// The clip that is published again and again.
const CLIP_SECONDS: u32 = 10;
const ARRIVE: Duration = Duration::from_millis(500);
/// Everybody is in.
const SETTLE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::view::account::account;

    fn samples(count: u32, sample: impl Fn(f64) -> (f64, usize)) -> Vec<Sample> {
        (0..count)
            .map(f64::from)
            .map(|seconds| {
                let (private_mib, descriptors) = sample(seconds);
                Sample { seconds, private_mib, descriptors, threads: 4 }
            })
            .collect()
    }

    #[test]
    fn memory_that_grows_is_told_by_the_hour_and_caches_that_fill_are_not() {
        let leak = samples(600, |seconds| (10.0 + seconds / 3_600.0 * 2.0, 20));
        assert!((slope_mib_per_hour(&leak).unwrap() - 2.0).abs() < 1e-6);
        let cache = samples(600, |seconds| (10.0 + seconds.min(200.0), 20));
        assert!(slope_mib_per_hour(&cache).unwrap().abs() < 1e-6);
        assert_eq!(slope_mib_per_hour(&[]), None);
    }

    #[test]
    fn descriptors_that_are_left_open_are_told_and_those_of_a_moment_are_not() {
        let leak = samples(400, |seconds| (10.0, 20 + seconds as usize / 100));
        assert_eq!(new_descriptors(&leak), Some(2.0));
        let coming_and_going = samples(400, |seconds| (10.0, 20 + seconds as usize % 7));
        assert_eq!(new_descriptors(&coming_and_going), Some(0.0));
        let ever_higher =
            samples(400, |seconds| (10.0, if (seconds as usize).is_multiple_of(10) { 20 + seconds as usize / 100 } else { 20 }));
        assert_eq!(new_descriptors(&ever_higher), Some(2.0));
    }

    #[test]
    fn router_is_held_to_its_limits() {
        let report = |given: &str| {
            let Command::Soak(options) = Cli::command_of(&format!("loadtest soak {given}")) else { panic!("soak was asked for") };
            Report::new(
                Machine::none(),
                &options,
                samples(400, |seconds| (10.0 + seconds / 3_600.0, 20 + seconds as usize / 100)),
                vec![account(40.0, 98.0, 0)],
            )
        };
        let held =
            report("--max-age-p99-ms 41 --max-corrupt-percent 0 --min-pictures-percent 98 --max-mib-per-hour 1.1 --max-new-descriptors 2");
        assert!(held.held() && held.limits.len() == 5, "{held}");
        let broken = report("--max-age-p99-ms 39 --min-pictures-percent 99 --max-mib-per-hour 0.9 --max-new-descriptors 1");
        assert_eq!(Limit::broken(&broken.limits).len(), 4, "{broken}");
        assert!(!broken.held());
    }
}
