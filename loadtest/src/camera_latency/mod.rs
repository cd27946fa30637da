//! How old a picture is when a page has it.
//!
//! ```text
//! clip ─▶ publish ─WebSocket▶ crosspoint ─▶ camera file ─▶ Chromium ─▶ worker (in page), <video> (visible)
//!            │sent_ms                            │reads                  │numbers and times
//!            └──────────────────────────────▶ analysis ◀────────────────┘
//! ```
//!
//! Or a page of another Chromium draws the numbers on a canvas, and publishes that by WHIP.

mod analysis;
mod reads;
mod report;
mod source;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use self::analysis::{Parts, follow, passed_by_percent, reader_period_ms, write_csv};
use self::reads::ReadWatch;
use self::report::{ClipReport, Report, ServerReport, ViewReport};
use self::source::{Source, Stream};
use crate::chromium::Chromium;
use crate::cli::{self, CameraLatency, CameraLatencyLimits, Phase, Visible};
use crate::clock::Clock;
use crate::crosspoint::{Crosspoint, write_wrapper};
use crate::distribution::Distribution;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::page::{Account, Page, Scripts, Sightings};
use crate::progress::Progress;
use crate::publish::Sent;
use crate::report::note;
use crate::scratch;
use crate::sight::Sight;
use crate::usage::{Cpu, Usage};

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &CameraLatency) -> Result<bool> {
    let report = measure(options).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

async fn measure(options: &CameraLatency) -> Result<Report> {
    let machine = Machine::look(&options.chromium);
    let clock = Clock::start();
    let source = Source::prepare(options, clock).await?;
    let mut crosspoint = match &options.url {
        Some(url) => Crosspoint::running(url)?,
        None => Crosspoint::for_pages(&options.common.crosspoint, options.format, options.microphone, source.origin()).await?,
    };
    let camera = configure(&crosspoint, source.input(), options).await?;
    let reads = camera.as_deref().and_then(|camera| ReadWatch::start(camera, clock).ok());
    let page = Page::serve(SCRIPTS, clock).await?;
    let mut chromium = open_page(options, &page, camera.as_deref())?;
    let live = page.wait("frames from the camera", OPEN, |account| watched(options, account).iter().all(|view| view.is_live())).await;
    // What ended says more than what did not come.
    chromium.check()?;
    crosspoint.check()?;
    live?;

    note("sending");
    let mut sending = source.connect(&crosspoint, options).await?;
    let progress = Progress::over("sending", options.seconds + warm_up_seconds(options));
    let (before, others_ms) = (Usage::of(&crosspoint, &chromium, clock), sending.cpu_ms());
    let (sent, stream) = sending.send(options, clock).await?;
    drop(progress);
    let last = u32::try_from(sent.len()).context("counting frames")? - 1;
    let all_seen = |account: &Account| watched(options, account).iter().all(|view| view.newest() == Some(last));
    // The last frame may be one that is never seen.
    let _ = page.wait("the last frame", LAST_FRAME, all_seen).await;
    let end_ms = clock.now_ms();
    let cpu_percent = Usage::of(&crosspoint, &chromium, clock).with_load(sending.cpu_ms() - others_ms).since(&before);
    // Who leaves earlier takes it away.
    sending.close().await;
    crosspoint.check()?;
    chromium.check()?;
    let server = ask_server(&crosspoint).await?;
    if options.url.is_some() {
        crosspoint.endpoint.post("/input/devices/virtual/stop", None).await?;
    }
    let reads = reads.map(ReadWatch::finish).unwrap_or_default();
    let account = page.account();
    ensure!(account.failed.is_none(), "the page: {}", account.failed.as_deref().unwrap_or_default());
    conclude(options, Run { machine, clip: clip_report(options, stream), sent, end_ms, reads, server, cpu_percent }, &account)
}

/// What a run left behind.
struct Run {
    machine: Machine,
    clip: ClipReport,
    sent: Vec<Sent>,
    /// When nobody looked any more.
    end_ms: f64,
    reads: Vec<f64>,
    server: ServerReport,
    cpu_percent: Cpu,
}

fn conclude(options: &CameraLatency, run: Run, account: &Account) -> Result<Report> {
    let Run { machine, clip, sent, end_ms, reads, server, cpu_percent } = run;
    let warm_up = warm_up(options);
    let worker = in_page(options).then(|| Sight::of(&account.worker.ours(), sent.len(), warm_up));
    let video = visible(options).then(|| Sight::of(&account.video.ours(), sent.len(), warm_up));
    let frames = follow(&sent, &reads, worker.as_ref(), video.as_ref());
    if let Some(path) = &options.frames {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        write_csv(&frames, BufWriter::new(file)).with_context(|| format!("writing {}", path.display()))?;
    }
    let frames = &frames[warm_up..];
    let [page_ms, visible_ms] = [&worker, &video].map(|sight| sight.as_ref().map(|sight| sight.ages_ms(&sent, warm_up, end_ms)));
    let reader_period_ms = reader_period_ms(&reads, &sent);
    // Between a browser's canvas and the camera there is more than the router.
    let router_ms = server.p50_ms.filter(|_| options.source == cli::Source::Socket);
    let parts_ms = Parts::of(frames, router_ms, [page_ms.as_ref(), visible_ms.as_ref()]);
    let view = |sight: Sight, ages: Option<Distribution>| ViewReport {
        torn_percent: sight.torn_percent(),
        over_time: sight.over_time(&sent, warm_up),
        frames: sight.seen,
        ages: ages.unwrap_or_default(),
    };
    let views = watched(options, account);
    let report = Report {
        machine,
        clip,
        in_page: worker.map(|sight| view(sight, page_ms)),
        visible: video.map(|sight| view(sight, visible_ms)),
        parts_ms,
        reader_period_ms,
        passed_by_percent: router_ms.zip(reader_period_ms).map(|(p50, period)| passed_by_percent(frames, p50, period)),
        server,
        clock_bound_ms: views.iter().filter_map(|view| view.clock.bound_ms()).reduce(f64::max),
        clock_round_trips: views.iter().map(|view| view.clock.round_trips()).sum(),
        cpu_percent,
        track: account.opened.clone(),
        limits: Vec::new(),
    };
    Ok(Report { limits: limits(&options.limits, &report), ..report })
}

/// From one picture to the next.
fn period(options: &CameraLatency) -> Duration {
    let period = Duration::from_secs(1) / options.format.frame_rate();
    match options.phase {
        Phase::Fixed => period,
        Phase::Sweep => period + period / (options.seconds * options.format.frame_rate()),
    }
}

/// Points the router's camera at its source; gives the camera file, if it is one.
async fn configure(crosspoint: &Crosspoint, mut video: Value, options: &CameraLatency) -> Result<Option<PathBuf>> {
    let format = options.format;
    for (name, value) in [("width", format.width()), ("height", format.height()), ("frame_rate", format.frame_rate())] {
        video[name] = value.into();
    }
    let status = crosspoint.endpoint.post("/input/devices/virtual/configure", Some(&json!({ "video": video }))).await?;
    let file = (status["mode"] == "virtual-file").then(|| status["video_file"].as_str().map(PathBuf::from));
    file.map(|file| file.context("the router's status names no video_file")).transpose()
}

fn wanted(options: &CameraLatency) -> Value {
    json!({
        "width": options.format.width(),
        "height": options.format.height(),
        "frame_rate": options.format.frame_rate(),
        "microphone": options.microphone,
        "in_page": in_page(options),
        "visible": visible(options),
    })
}

fn open_page(options: &CameraLatency, page: &Page, camera: Option<&Path>) -> Result<Chromium> {
    note("opening the page");
    let folder = scratch::folder(&std::env::temp_dir())?;
    let wrapper = camera
        .map(|camera| {
            let wrapper = folder.path().join("wrapper");
            write_wrapper(&options.common.crosspoint, camera, &wrapper).map(|()| wrapper)
        })
        .transpose()?;
    Chromium::start(&options.chromium, folder, wrapper.as_deref(), &page.url(&wanted(options)))
}

async fn ask_server(crosspoint: &Crosspoint) -> Result<ServerReport> {
    let status = crosspoint.endpoint.get("/input/devices/virtual/status").await?;
    let latency = &status["stats"]["latency_ms"];
    Ok(ServerReport { p50_ms: latency["p50"].as_f64(), p99_ms: latency["p99"].as_f64(), stats: status["stats"].clone() })
}

fn clip_report(options: &CameraLatency, stream: Stream) -> ClipReport {
    let Stream { codec, bitrate_bps, encoding_ms } = stream;
    ClipReport {
        source: options.source,
        codec,
        encoding_ms,
        width: options.format.width(),
        height: options.format.height(),
        frame_rate: options.format.frame_rate(),
        bitrate_bps,
        seconds: options.seconds,
        jitter_ms: options.jitter_ms,
        phase: match options.phase {
            Phase::Fixed => "fixed",
            Phase::Sweep => "sweep",
        },
    }
}

fn limits(given: &CameraLatencyLimits, report: &Report) -> Vec<Limit> {
    let (page, ages) = (report.in_page.as_ref(), &report.parts_ms);
    let limits = [
        Limit::most("--max-p50-ms", given.max_p50_ms, ages.due_to_page.map(|age| age.p50)),
        Limit::most("--max-p99-ms", given.max_p99_ms, ages.due_to_page.map(|age| age.p99)),
        Limit::most("--max-visible-p50-ms", given.max_visible_p50_ms, ages.due_to_visible.map(|age| age.p50)),
        Limit::most("--max-server-p99-ms", given.max_server_p99_ms, report.server.p99_ms),
        Limit::least("--min-seen-percent", given.min_seen_percent, page.map(|page| page.frames.percent)),
        Limit::most("--max-torn-percent", given.max_torn_percent, page.map(|page| page.torn_percent)),
    ];
    limits.into_iter().flatten().collect()
}

fn in_page(options: &CameraLatency) -> bool {
    matches!(options.visible, Visible::Both | Visible::Page)
}

fn visible(options: &CameraLatency) -> bool {
    matches!(options.visible, Visible::Both | Visible::Paint)
}

/// The views of the browser that are measured.
fn watched<'a>(options: &CameraLatency, account: &'a Account) -> Vec<&'a Sightings> {
    let views = [(in_page(options), &account.worker), (visible(options), &account.video)];
    views.into_iter().filter(|(watched, _)| *watched).map(|(_, view)| view).collect()
}

/// The frames sent before those that count.
fn warm_up(options: &CameraLatency) -> usize {
    (options.format.frame_rate() * warm_up_seconds(options)) as usize
}

fn warm_up_seconds(options: &CameraLatency) -> u32 {
    match options.source {
        cli::Source::Socket => WARM_UP_SECONDS,
        cli::Source::Whip => WHIP_WARM_UP_SECONDS,
    }
}

const SCRIPTS: Scripts = &[("/page.js", include_str!("page.js")), ("/reader.js", include_str!("reader.js"))];
/// Sent before what counts: the decoder and the browser find their pace.
const WARM_UP_SECONDS: u32 = 1;
/// The same by WHIP: a browser finds out what the way carries.
const WHIP_WARM_UP_SECONDS: u32 = 5;
/// A cold browser on a busy machine.
const OPEN: Duration = Duration::from_secs(60);
/// The slowest frame anybody would call live, and a batch of reports.
const LAST_FRAME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn frames_are_held_to_the_limits() {
        let report = report::tests::report();
        let limits = |given: &str| {
            let Command::CameraLatency(options) = Cli::command_of(&format!("loadtest camera-latency {given}")) else {
                panic!("it was asked for")
            };
            limits(&options.limits, &report)
        };
        let held = limits("--max-p50-ms 21 --max-p99-ms 38 --max-server-p99-ms 3.25 --min-seen-percent 99 --max-torn-percent 0.3");
        assert_eq!((held.len(), Limit::broken(&held)), (5, Vec::new()));
        let broken = limits(
            "--max-p50-ms 19 --max-p99-ms 37 --max-visible-p50-ms 90 --max-server-p99-ms 3 --min-seen-percent 100 --max-torn-percent 0.2",
        );
        assert_eq!(Limit::broken(&broken).len(), 6, "what was not measured breaks its limit");
    }
}
