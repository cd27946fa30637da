//! What a camera's pictures cost from the publisher to the camera, beside others.
//!
//! ```text
//! clip ─▶ publish ─WebSocket▶ crosspoint ─▶ camera file, read at 30 Hz
//!            ├─────────TCP──▶ ffmpeg ─▶ nothing, or Y4M
//!            └─────────TCP──▶ pixelflux ─▶ its virtual camera, read at 30 Hz
//!
//! clip, sound ─▶ peer ─WebRTC▶ crosspoint ─▶ camera file, read at 30 Hz; PulseAudio
//!                   └──WebRTC▶ aiortc, or webrtcbin, both of which decode it
//! ```

mod ffmpeg;
mod pixelflux;
mod report;
mod webrtc;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;
use serde_json::json;
use tokio::time::{Instant, sleep};

use self::report::{Report, Row};
use self::webrtc::{Media, Other};
use crate::cli::Ingest;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::process::Process;
use crate::progress::Progress;
use crate::publish::publish;
use crate::reader::Reader;
use crate::report::note;
use crate::tone;

/// Measures, prints the report, and says whether the limits held.
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
    /// Ours, with sound, over WebRTC.
    CrosspointWebRtc,
    /// ffmpeg, which throws them away.
    Decode,
    Pixelflux,
    /// Another, with sound, over WebRTC.
    WebRtc(Other),
    /// ffmpeg, which writes them as Y4M into a pipe that is read.
    Y4m,
}

impl Kind {
    /// Those that were asked for, ours before others.
    fn all(options: &Ingest) -> Vec<Self> {
        let peers = |kinds: &'static [Self]| kinds.iter().copied().filter(|_| options.peers);
        let pictures = [Self::Crosspoint].into_iter().chain(peers(&[Self::Decode, Self::Y4m, Self::Pixelflux]));
        let webrtc = [Self::CrosspointWebRtc].into_iter().chain(peers(&[Self::WebRtc(Other::Aiortc), Self::WebRtc(Other::Webrtcbin)]));
        pictures.chain(webrtc.filter(|_| options.webrtc)).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Crosspoint => "crosspoint",
            Self::CrosspointWebRtc => "crosspoint, webrtc",
            Self::Decode => "ffmpeg, decoding alone",
            Self::Pixelflux => "pixelflux virtual camera",
            Self::WebRtc(Other::Aiortc) => "aiortc, webrtc",
            Self::WebRtc(Other::Webrtcbin) => "GStreamer webrtcbin, webrtc",
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
    let sound = if options.webrtc { tone::opus(PERIOD * u32::try_from(frames)?)? } else { Vec::new() };
    let (bitrate_bps, media) = (clip.bitrate_bps(), Media { clip, sound: sound.into() });
    let mut rows: Vec<(Kind, Row)> = Kind::all(options).into_iter().map(|kind| (kind, Row::new(kind.name()))).collect();
    let progress = Progress::of("ingest", options.rounds as usize * rows.len());
    // Interleaved: the machine's moods are shared out.
    for round in 0..options.rounds {
        for (kind, row) in &mut rows {
            note(&format!("round {} of {}, {}", round + 1, options.rounds, row.name));
            row.note(one(*kind, options, format, media.clone()).await);
            progress.step();
        }
    }
    drop(progress);
    let limits = limits(options, &rows);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    ensure!(rows[0].spread().is_some(), "nothing could be measured: {}", rows[0].trouble.as_deref().unwrap_or_default());
    Ok(Report { machine, seconds: options.seconds, bitrate_bps, rows, limits })
}

/// What ours is held against.
fn limits(options: &Ingest, rows: &[(Kind, Row)]) -> Vec<Limit> {
    let median = |wanted| rows.iter().find(|(kind, _)| *kind == wanted).and_then(|(_, row)| Some(row.spread()?.median));
    let limits = [
        Limit::most("--max-percent", options.max_percent, median(Kind::Crosspoint)),
        Limit::most("--max-webrtc-percent", options.max_webrtc_percent, median(Kind::CrosspointWebRtc)),
    ];
    limits.into_iter().flatten().collect()
}

/// The share of a processor that one of them takes.
async fn one(kind: Kind, options: &Ingest, format: VideoFormat, media: Media) -> Result<f64> {
    let Ingest { seconds, peers_folder, .. } = options;
    match kind {
        Kind::Crosspoint => ours(options, format, media.clip).await,
        Kind::CrosspointWebRtc => webrtc::ours(*seconds, &options.common.crosspoint, format, media).await,
        Kind::Decode => ffmpeg::to_nothing(*seconds, media.clip).await,
        Kind::Pixelflux => pixelflux::virtual_camera(*seconds, peers_folder, media.clip).await,
        Kind::WebRtc(other) => webrtc::theirs(*seconds, other, peers_folder, media).await,
        Kind::Y4m => ffmpeg::to_pipe(*seconds, media.clip).await,
    }
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

/// The share of a processor that a process takes, from when it has found its pace.
async fn percent_of(process: &Process, seconds: u32) -> Result<f64> {
    sleep(Duration::from_secs(WARM_UP_SECONDS.into())).await;
    let (before_ms, start) = (process.threads_cpu_ms()?, Instant::now());
    let progress = Progress::over("looking", seconds);
    sleep(Duration::from_secs(seconds.into())).await;
    drop(progress);
    Ok((process.threads_cpu_ms()? - before_ms) / 10.0 / start.elapsed().as_secs_f64())
}

const FRAME_RATE: u32 = 30;
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / FRAME_RATE as u64);
const BITRATE_BPS: u32 = 2_500_000;
/// Before what counts: decoders and readers find their pace.
const WARM_UP_SECONDS: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};

    fn options(given: &str) -> Ingest {
        let Command::Ingest(options) = Cli::command_of(&format!("loadtest ingest{given}")) else { panic!("ingest was asked for") };
        options
    }

    #[test]
    fn ours_is_held_to_the_limits_and_others_are_not() {
        let row = |kind: Kind, percent: &[Option<f64>]| (kind, Row { percent: percent.to_vec(), ..Row::new(kind.name()) });
        let rows = [
            row(Kind::Crosspoint, &[Some(6.0), None, Some(8.0)]),
            row(Kind::Decode, &[Some(90.0); 3]),
            row(Kind::CrosspointWebRtc, &[Some(10.0); 3]),
            row(Kind::WebRtc(Other::Aiortc), &[Some(90.0); 3]),
        ];
        let held = limits(&options(" --webrtc --max-percent 7 --max-webrtc-percent 10"), &rows);
        assert_eq!((held.len(), Limit::broken(&held)), (2, Vec::new()));
        let broken = limits(&options(" --webrtc --max-percent 6.9 --max-webrtc-percent 9.9"), &rows);
        assert_eq!(Limit::broken(&broken), ["--max-percent", "--max-webrtc-percent"]);
        assert_eq!(Limit::broken(&limits(&options(" --max-percent 7"), &rows[1..])), ["--max-percent"], "what was not measured breaks it");
        assert_eq!(limits(&options(""), &rows), Vec::new());
    }

    #[test]
    fn those_take_part_that_were_asked_for() {
        let kinds = |given| Kind::all(&options(given)).into_iter().map(Kind::name).collect::<Vec<_>>();
        assert_eq!(kinds(""), ["crosspoint"]);
        assert_eq!(kinds(" --webrtc"), ["crosspoint", "crosspoint, webrtc"]);
        let all = kinds(" --webrtc --peers");
        assert_eq!(all.len(), 7);
        assert_eq!(all.iter().filter(|name| name.ends_with(", webrtc")).count(), 3);
    }
}
