//! What a camera's pictures cost from the publisher to the camera, beside ffmpeg.
//!
//! ```text
//! clip ─▶ publish ─WebSocket▶ crosspoint ─▶ camera file, read at 30 Hz
//!            └─────────TCP──▶ ffmpeg ─▶ nothing, or Y4M
//! ```

use std::ffi::OsString;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;
use serde::Serialize;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::Ingest;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::distribution::Spread;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::process::Process;
use crate::progress::Progress;
use crate::publish::{publish, send};
use crate::reader::Reader;
use crate::report::{note, number, write_row};
use crate::scratch;

/// Measures, prints the report, and says whether the limit held.
///
/// # Errors
/// When the router cannot be measured.
pub(crate) async fn run(options: &Ingest) -> Result<bool> {
    let report = measure(options).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.limits.iter().all(|limit| limit.held))
}

/// Who takes the pictures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Crosspoint,
    /// ffmpeg, which throws them away.
    Decode,
    /// ffmpeg, which writes them as Y4M into a pipe that is read.
    Y4m,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Crosspoint => "crosspoint",
            Self::Decode => "ffmpeg, decoding alone",
            Self::Y4m => "ffmpeg to a Y4M pipe",
        }
    }
}

async fn measure(options: &Ingest) -> Result<Report> {
    let machine = Machine::look("/bin/true".as_ref());
    note("encoding the frames");
    let format = VideoFormat::new(1_280, 720, FRAME_RATE).context("a format")?;
    let frames = ((options.seconds + WARM_UP_SECONDS) * FRAME_RATE + FRAME_RATE / 2) as usize;
    let clip = Clip::encode(format, BITRATE_BPS, frames, PERIOD).await?;
    let kinds = if options.peers { &[Kind::Crosspoint, Kind::Decode, Kind::Y4m][..] } else { &[Kind::Crosspoint] };
    let mut rows: Vec<Row> = kinds.iter().map(|kind| Row { name: kind.name(), percent: Vec::new(), trouble: None }).collect();
    for round in 0..options.rounds {
        for (kind, row) in kinds.iter().zip(&mut rows) {
            note(&format!("round {} of {}, {}", round + 1, options.rounds, row.name));
            let percent = match kind {
                Kind::Crosspoint => ours(options, format, clip.clone()).await,
                Kind::Decode => ffmpeg(options, &["-f", "null", "-"], clip.clone()).await,
                Kind::Y4m => ffmpeg_to_pipe(options, clip.clone()).await,
            };
            row.trouble = percent.as_ref().err().map(|error| format!("{error:#}")).or_else(|| row.trouble.take());
            row.percent.push(percent.ok());
        }
    }
    let ours = rows[0].spread();
    ensure!(ours.is_some(), "nothing could be measured: {}", rows[0].trouble.as_deref().unwrap_or_default());
    let limit = Limit::most("--max-percent", options.max_percent, ours.map(|spread| spread.median));
    Ok(Report { machine, seconds: options.seconds, bitrate_bps: clip.bitrate_bps(), rows, limits: limit.into_iter().collect() })
}

async fn ours(options: &Ingest, format: VideoFormat, clip: Clip) -> Result<f64> {
    let mut crosspoint = Crosspoint::start(&options.common.crosspoint, format, false).await?;
    let video = json!({"video": {"type": "socket", "format": "mpegts", "width": 1280, "height": 720, "frame_rate": FRAME_RATE}});
    crosspoint.endpoint.post("/input/devices/virtual/configure", Some(&video)).await?;
    let (sender, _receiver) = crosspoint.endpoint.open("/input/devices/virtual/socket/video").await?;
    let _reader = Reader::start(&crosspoint.camera().context("a camera of our own")?, PERIOD)?;
    let frames = clip.frames.len() as u64;
    let process = crosspoint.process().context("a router of our own")?;
    let (sent, percent) = tokio::join!(publish(&sender, clip, Duration::ZERO, Clock::start()), percent_of(process, options.seconds));
    sent?;
    let stats = crosspoint.endpoint.get("/input/devices/virtual/status").await?;
    let shown = stats["stats"]["frames_out"].as_u64().unwrap_or(0);
    ensure!(shown * 100 >= frames * 95, "the camera got {shown} of {frames} frames");
    crosspoint.check()?;
    percent
}

async fn ffmpeg_to_pipe(options: &Ingest, clip: Clip) -> Result<f64> {
    let folder = scratch::folder(Path::new("/dev/shm"))?;
    let pipe = folder.path().join("pipe.y4m");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).context("making a pipe")?;
    // Opened for both, it waits for nobody: neither a writer nor that one's end.
    let mut reader = OpenOptions::new().read(true).write(true).open(&pipe)?;
    let name = pipe.to_string_lossy().into_owned();
    let ended = Arc::new(AtomicBool::new(false));
    let reading = thread::Builder::new().name("reader".to_owned()).spawn({
        let ended = Arc::clone(&ended);
        move || {
            let mut bytes = vec![0; 1 << 20];
            while !ended.load(Ordering::Relaxed) && reader.read(&mut bytes).is_ok() {}
        }
    })?;
    let percent = ffmpeg(options, &["-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-y", &name], clip).await;
    ended.store(true, Ordering::Relaxed);
    // It reads once more.
    OpenOptions::new().write(true).open(&pipe)?.write_all(b"\n")?;
    ensure!(reading.join().is_ok(), "the pipe's reader panicked");
    percent
}

async fn ffmpeg(options: &Ingest, output: &[&str], clip: Clip) -> Result<f64> {
    let folder = scratch::folder(Path::new("/dev/shm"))?;
    let log = folder.path().join("log");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let input = format!("tcp://{}", listener.local_addr()?);
    // Live: it neither probes longer than it must nor waits for more, as far as it can.
    let live = ["-fflags", "nobuffer", "-flags", "low_delay", "-probesize", "32768", "-threads", "1", "-f", "mpegts", "-i", &input];
    let words = ["ffmpeg", "-nostdin", "-v", "error"].iter().chain(&live).chain(output);
    let mut process = Process::launch("ffmpeg", words.map(OsString::from).collect(), None, &log)?;
    let (mut stream, _) = timeout(START, listener.accept()).await.context("ffmpeg does not connect")??;
    stream.set_nodelay(true)?;
    let (sent, percent) = tokio::join!(
        send(clip, Duration::ZERO, Clock::start(), async |frame| Ok(stream.write_all(&frame).await?)),
        percent_of(&process, options.seconds)
    );
    sent?;
    process.check(&log)?;
    percent
}

/// The share of a processor that a process takes, from when it has found its pace.
async fn percent_of(process: &Process, seconds: u32) -> Result<f64> {
    sleep(Duration::from_secs(WARM_UP_SECONDS.into())).await;
    let (before_ms, start) = (process.threads_cpu_ms()?, Instant::now());
    let progress = Progress::over("looking", seconds);
    sleep(Duration::from_secs(seconds.into())).await;
    drop(progress);
    Ok((process.threads_cpu_ms()? - before_ms) / 10.0 / start.elapsed().as_secs_f64())
}

/// One contender's figures.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    /// Percent of a processor, of each round; nothing of one that failed.
    percent: Vec<Option<f64>>,
    trouble: Option<String>,
}

impl Row {
    fn spread(&self) -> Option<Spread> {
        Spread::of(self.percent.iter().flatten().copied())
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    seconds: u32,
    bitrate_bps: f64,
    rows: Vec<Row>,
    limits: Vec<Limit>,
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let rows = self.rows.iter().map(|row| (row.name.to_owned(), row.spread()));
        Chart::rows("720p30 from the publisher to the camera", "% of a processor", rows).into_iter().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, load_before, .. } = &self.machine;
        writeln!(f, "{cores} cores of {processor}, Linux {kernel}, load before {load_before:.2}")?;
        writeln!(f, "H.264 720p30 of {:.1} Mbit/s, {} s a round", self.bitrate_bps / 1e6, self.seconds)?;
        write_row(f, "\n% of a processor", ["least", "median", "most"].map(str::to_owned))?;
        for row in &self.rows {
            let spread = row.spread();
            write_row(f, row.name, [|s: Spread| s.least, |s: Spread| s.median, |s: Spread| s.most].map(|part| number(spread.map(part))))?;
            if let Some(trouble) = &row.trouble {
                writeln!(f, "{:<28} a round failed: {trouble}", "")?;
            }
        }
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

const FRAME_RATE: u32 = 30;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / FRAME_RATE as u64);
const BITRATE_BPS: u32 = 2_500_000;
/// Before what counts: decoders and readers find their pace.
const WARM_UP_SECONDS: u32 = 1;
const START: Duration = Duration::from_secs(10);
