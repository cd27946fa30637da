//! ffmpeg, which decodes what comes over TCP.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::percent_of;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::process::Process;
use crate::publish::send;
use crate::scratch;

/// What it takes to decode `clip` and throw it away.
pub(super) async fn to_nothing(seconds: u32, clip: Clip) -> Result<f64> {
    decode(seconds, &["-f", "null", "-"], clip).await
}

/// The same with the pictures written as Y4M into a pipe that is read.
pub(super) async fn to_pipe(seconds: u32, clip: Clip) -> Result<f64> {
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
    let percent = decode(seconds, &["-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-y", &name], clip).await;
    ended.store(true, Ordering::Relaxed);
    // It reads once more.
    OpenOptions::new().write(true).open(&pipe)?.write_all(b"\n")?;
    ensure!(reading.join().is_ok(), "the pipe's reader panicked");
    percent
}

async fn decode(seconds: u32, output: &[&str], clip: Clip) -> Result<f64> {
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
        percent_of(&process, seconds)
    );
    sent?;
    process.check(&log)?;
    percent
}

const START: Duration = Duration::from_secs(10);
