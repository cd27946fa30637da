//! What publishers get through to the camera, each of them to a router of its own.

pub(crate) mod peer;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use self::peer::{Door, Peer};
use crate::cli::Publish;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::distribution::{Distribution, Summary};
use crate::fanout::viewer::locally;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::process::own_cpu_ms;
use crate::progress::Progress;
use crate::publish::publish;
use crate::reader::Reader;
use crate::report::{note, number, write_row};
use crate::sight::{Sight, percent};

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When a router cannot be started.
pub(crate) async fn run(options: &Publish) -> Result<bool> {
    let report = locally(measure(options)).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.publishers.iter().all(|publisher| publisher.trouble.is_none()) && report.limits.iter().all(|limit| limit.held))
}

/// How a publisher sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    WebRtc,
    WebSocket,
    Whip,
}

async fn measure(options: &Publish) -> Result<Report> {
    let machine = Machine::look("/bin/true".as_ref());
    note("encoding the frames");
    let format = VideoFormat::new(1_280, 720, FRAME_RATE).context("a format")?;
    let clip = Clip::encode(format, BITRATE_BPS, (options.seconds * FRAME_RATE) as usize, PERIOD).await?;
    let counts = [(Kind::WebSocket, options.websocket), (Kind::WebRtc, options.webrtc), (Kind::Whip, options.whip)];
    let mut tasks = Vec::new();
    note("sending");
    let (own_ms, start) = (own_cpu_ms(), Instant::now());
    for (kind, count) in counts {
        for _ in 0..count {
            let (clip, binary) = (clip.clone(), options.common.crosspoint.clone());
            tasks.push((kind, tokio::task::spawn_local(async move { one(kind, clip, format, &binary).await })));
        }
    }
    ensure!(!tasks.is_empty(), "there is nobody to publish");
    let progress = Progress::over("sending", options.seconds);
    let mut publishers = Vec::new();
    for (kind, task) in tasks {
        let figures = task.await.context("a publisher")?;
        let trouble = figures.as_ref().err().map(|error| format!("{error:#}"));
        publishers.push(Publisher { kind, figures: figures.ok(), trouble });
    }
    drop(progress);
    let generator_percent = (own_cpu_ms() - own_ms) / 10.0 / start.elapsed().as_secs_f64();
    let limits = limits(options, &publishers);
    Ok(Report { machine, seconds: options.seconds, publishers, generator_percent, limits })
}

/// What the worst of them is held against.
fn limits(options: &Publish, publishers: &[Publisher]) -> Vec<Limit> {
    let all = || publishers.iter().filter_map(|publisher| publisher.figures.as_ref());
    let limits = [
        Limit::least("--min-shown-percent", options.min_shown_percent, all().map(|figures| figures.shown_percent).min_by(f64::total_cmp)),
        Limit::most(
            "--max-server-p99-ms",
            options.max_server_p99_ms,
            all().filter_map(|figures| figures.server_p99_ms).max_by(f64::total_cmp),
        ),
        Limit::most(
            "--max-age-p99-ms",
            options.max_age_p99_ms,
            all().filter_map(|figures| Some(figures.age_ms?.p99)).max_by(f64::total_cmp),
        ),
    ];
    limits.into_iter().flatten().collect()
}

async fn one(kind: Kind, clip: Clip, format: VideoFormat, binary: &Path) -> Result<Figures> {
    let mut crosspoint = Crosspoint::start(binary, format, false).await?;
    let endpoint = crosspoint.endpoint.clone();
    let clock = Clock::start();
    let reader = Reader::watch(&crosspoint.camera().context("a camera of our own")?, PERIOD, clock)?;
    let process = crosspoint.process().context("a router of our own")?;
    let (router_ms, start) = (process.threads_cpu_ms()?, Instant::now());
    // Who leaves takes its picture away.
    let mut held = None;
    let sent = match kind {
        Kind::WebSocket => {
            let video = json!({"video": {"type": "socket", "format": "mpegts", "width": 1280, "height": 720, "frame_rate": FRAME_RATE}});
            endpoint.post("/input/devices/virtual/configure", Some(&video)).await?;
            let (sender, _) = held.insert(endpoint.open("/input/devices/virtual/socket/video").await?);
            publish(sender, clip, Duration::ZERO, clock).await?
        }
        Kind::WebRtc => Peer::enter(&endpoint, Door::Offer, false).await?.publish(clip, &[], clock).await?,
        Kind::Whip => Peer::enter(&endpoint, Door::Whip, false).await?.publish(clip, &[], clock).await?,
    };
    sleep(SETTLE).await;
    drop(held);
    let router_percent = (process.threads_cpu_ms()? - router_ms) / 10.0 / start.elapsed().as_secs_f64();
    let status = endpoint.get("/input/devices/virtual/status").await?;
    crosspoint.check()?;
    let stats = &status["stats"];
    let shown = usize::try_from(stats["frames_out"].as_u64().context("a status has frames_out")?)?;
    let [server_p50_ms, server_p99_ms] = ["p50", "p99"].map(|part| stats["latency_ms"][part].as_f64());
    let sight = Sight::of(&reader.seen(), sent.len(), WARM_UP);
    let ages = sight.ages_ms(&sent, WARM_UP, clock.now_ms());
    let shown_percent = percent(shown, sent.len());
    let (age_ms, seen_percent, sent) = (ages.summary(), sight.seen.percent, sent.len());
    Ok(Figures { sent, shown, shown_percent, seen_percent, age_ms, ages, server_p50_ms, server_p99_ms, router_percent })
}

/// What one publisher got through.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    /// Pictures that were sent, and those that came to the camera.
    sent: usize,
    shown: usize,
    shown_percent: f64,
    /// Those that its reader saw, of the ones that count.
    seen_percent: f64,
    /// From when a picture was due at the publisher to when the camera's reader had read it, or the one that was there instead.
    age_ms: Option<Summary>,
    #[serde(skip)]
    ages: Distribution,
    /// From arrival to the camera, by the router's own count.
    server_p50_ms: Option<f64>,
    server_p99_ms: Option<f64>,
    /// The router's processor time, of one.
    router_percent: f64,
}

#[derive(Debug, Serialize)]
struct Publisher {
    kind: Kind,
    figures: Option<Figures>,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    seconds: u32,
    publishers: Vec<Publisher>,
    /// Our own processor time for all of them, of one.
    generator_percent: f64,
    limits: Vec<Limit>,
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let kinds = [Kind::WebSocket, Kind::WebRtc, Kind::Whip].map(|kind| {
            let mut ages = Distribution::default();
            let of_kind = self.publishers.iter().filter(|publisher| publisher.kind == kind);
            of_kind.filter_map(|publisher| publisher.figures.as_ref()).for_each(|figures| ages.add(&figures.ages));
            let name = format!("{kind:?}").to_lowercase();
            Chart::histogram(format!("{name}: due at the publisher to read from the camera"), "ms", &ages)
        });
        kinds.into_iter().flatten().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}; {} s", self.seconds)?;
        write_row(f, "\npublisher", ["sent", "shown", "%", "read %", "age p50", "p99", "in router", "p99", "router %"].map(str::to_owned))?;
        for Publisher { kind, figures, trouble } in &self.publishers {
            let name = format!("{kind:?}").to_lowercase();
            if let Some(figures) = figures {
                let Figures { shown_percent, seen_percent, age_ms, server_p50_ms, server_p99_ms, router_percent, .. } = figures;
                let ages = [age_ms.map(|age| age.p50), age_ms.map(|age| age.p99), *server_p50_ms, *server_p99_ms];
                let [age_p50, age_p99, p50, p99] = ages.map(number);
                let [shown, seen, router] = [shown_percent, seen_percent, router_percent].map(|percent| number(Some(*percent)));
                let cells = [figures.sent.to_string(), figures.shown.to_string(), shown, seen, age_p50, age_p99, p50, p99, router];
                write_row(f, &name, cells)?;
            }
            if let Some(trouble) = trouble {
                writeln!(f, "{name:<28} failed: {trouble}")?;
            }
        }
        writeln!(f, "\nload: {:.1} % of a processor", self.generator_percent)?;
        writeln!(
            f,
            "clock: CLOCK_MONOTONIC, one machine. Ages count from when each picture was due to when the camera's reader, which looks 30 times"
        )?;
        writeln!(
            f,
            "a second, had it, by its number; one that it never saw is as old as the one it saw instead, or as the end. “In router” is by"
        )?;
        writeln!(f, "the router's own count, of what came to the camera; milliseconds")?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

const FRAME_RATE: u32 = 30;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / FRAME_RATE as u64);
const BITRATE_BPS: u32 = 2_500_000;
/// Pictures before those that count: a second, in which the decoder finds its pace.
const WARM_UP: usize = FRAME_RATE as usize;
/// The last picture comes to the camera.
const SETTLE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn worst_publisher_is_held_to_the_limits() {
        let publisher = |ms: f64, shown_percent| {
            let ages: Distribution = [ms; 10].into_iter().collect();
            let figures = Figures {
                sent: 100,
                shown: 99,
                shown_percent,
                seen_percent: 98.0,
                age_ms: ages.summary(),
                ages,
                server_p50_ms: None,
                server_p99_ms: Some(ms),
                router_percent: 4.0,
            };
            Publisher { kind: Kind::Whip, figures: Some(figures), trouble: None }
        };
        let publishers = [publisher(4.0, 99.0), publisher(40.0, 100.0)];
        let limits = |given: &str| {
            let Command::Publish(options) = Cli::command_of(&format!("loadtest publish {given}")) else { panic!("publish was asked for") };
            limits(&options, &publishers)
        };
        let held = limits("--min-shown-percent 99 --max-server-p99-ms 40 --max-age-p99-ms 40");
        assert_eq!((held.len(), Limit::broken(&held).len()), (3, 0));
        assert_eq!(Limit::broken(&limits("--min-shown-percent 99.5 --max-server-p99-ms 39 --max-age-p99-ms 39")).len(), 3);
    }
}
