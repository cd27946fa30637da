//! RTMP players of a display: ours, and those of a server that we push to.

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::player::{Place, play};
use super::relay::{LOAD_CORE, RELAY_CORE, Relay};
use super::report::Cost;
use super::viewer::Audience;
use crate::cli::Fanout;
use crate::display::Display;
use crate::process::Process;
use crate::progress::Progress;
use crate::scratch;
use crate::view::crowd::Pace;
use crate::wait::until;

/// Which server has the players.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Ours, on the runtime of this name.
    Crosspoint(&'static str),
    /// nginx with its RTMP module, fed by our push.
    Nginx,
    /// npm's server of that name, likewise.
    NodeMediaServer,
}

impl Kind {
    pub(super) fn name(self) -> String {
        match self {
            Self::Crosspoint(io) => format!("crosspoint {io}"),
            Self::Nginx => "nginx".to_owned(),
            Self::NodeMediaServer => "npm node-media-server".to_owned(),
        }
    }
}

/// A display that is all noise, so that each picture has the bytes that the bitrate allows.
pub(crate) struct Screen {
    // The noise ends before what it is drawn on.
    _noise: Process,
    display: Display,
    _folder: TempDir,
}

impl Screen {
    pub(crate) fn name(&self) -> &str {
        self.display.name()
    }

    pub(crate) async fn start(pin: bool) -> Result<Self> {
        let core = pin.then_some(LOAD_CORE);
        let display = Display::start(SIZE, core).await?;
        // A quarter of it does, and leaves the load's processor to the players.
        let source = "color=gray:s=640x360:r=30,noise=alls=40:allf=t";
        let mut noise =
            vec!["env".to_owned(), format!("DISPLAY={}", display.name()), "SDL_VIDEODRIVER=x11".to_owned(), "ffplay".to_owned()];
        noise.extend(["-loglevel", "error", "-noborder", "-left", "0", "-top", "0", "-f", "lavfi", "-i", source].map(str::to_owned));
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let noise = Process::launch("ffplay", noise.into_iter().map(OsString::from).collect(), core, &folder.path().join("noise"))?;
        Ok(Self { _noise: noise, display, _folder: folder })
    }
}

/// A server that we push to.
pub(crate) struct Pushed {
    pub(crate) process: Process,
    port: u16,
    _folder: TempDir,
}

impl Pushed {
    /// nginx with its RTMP module as Debian has it.
    pub(crate) async fn nginx(core: Option<&str>) -> Result<Self> {
        let (folder, port) = (scratch::folder(Path::new("/dev/shm"))?, free_port()?);
        let (path, configuration) = (folder.path().display(), folder.path().join("nginx.conf"));
        let text = format!(
            "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
             daemon off; master_process off; pid {path}/nginx.pid; error_log {path}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             rtmp {{ server {{ listen 127.0.0.1:{port}; application app {{ live on; }} }} }}\n"
        );
        fs::write(&configuration, text)?;
        let words = ["/usr/sbin/nginx".into(), "-p".into(), folder.path().into(), "-c".into(), configuration.into()];
        Self::launch("nginx", words.into(), folder, port, core).await
    }

    /// npm's node-media-server.
    pub(crate) async fn node_media_server(peers: &Path, core: Option<&str>) -> Result<Self> {
        let (folder, port) = (scratch::folder(Path::new("/dev/shm"))?, free_port()?);
        let relay = peers.join("relay.js");
        let words = ["node".into(), relay.into(), "node-media-server".into(), port.to_string().into(), folder.path().into()];
        Self::launch("node-media-server", words.into(), folder, port, core).await
    }

    async fn launch(name: &'static str, words: Vec<OsString>, folder: TempDir, port: u16, core: Option<&str>) -> Result<Self> {
        let log = folder.path().join("log");
        let mut process = Process::launch(name, words, core, &log)?;
        until("an RTMP server listens", || {
            process.check(&log)?;
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
        })
        .await?;
        Ok(Self { process, port, _folder: folder })
    }
}

/// For those who take no port 0.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Who is measured.
enum Measured<'a> {
    Ours(&'a Relay),
    Pushed(&'a Pushed),
}

impl Measured<'_> {
    /// The processor time of those who serve players; what captures and encodes is left out of ours.
    fn cpu_ms(&self) -> Result<f64> {
        match self {
            Self::Ours(relay) => relay.network_cpu_ms(),
            Self::Pushed(pushed) => pushed.process.first_thread_cpu_ms(),
        }
    }
}

/// What a frame costs for each player: the time with all of them less the time with one.
pub(super) async fn one(kind: Kind, options: &Fanout, screen: &Screen) -> Result<Cost> {
    let alone = options.pin.then_some(RELAY_CORE);
    let (io, core, pushed) = match kind {
        Kind::Crosspoint(io) => (io, RELAY_CORE, None),
        Kind::Nginx => ("auto", LOAD_CORE, Some(Pushed::nginx(alone).await?)),
        Kind::NodeMediaServer => ("auto", LOAD_CORE, Some(Pushed::node_media_server(&options.peers_folder, alone).await?)),
    };
    let mut relay = Relay::of_display(io, screen.name(), &options.common.crosspoint, options.pin.then_some(core)).await?;
    let (mut start, place) = match &pushed {
        None => (json!({"mode": "internal"}), Place { address: relay.address().to_owned(), app: "live".into(), name: "fanout".into() }),
        Some(Pushed { port, .. }) => (
            json!({"mode": "remote", "target_url": format!("rtmp://127.0.0.1:{port}/app/fanout")}),
            Place { address: format!("127.0.0.1:{port}"), app: "app".into(), name: "fanout".into() },
        ),
    };
    start["id"] = "fanout".into();
    start["framerate"] = FRAME_RATE.into();
    relay.endpoint().post("/stream/start", Some(&start)).await?;
    // There are servers that turn away who comes before the stream.
    let deadline = Instant::now() + START;
    while !relay.endpoint().get("/stream/list").await?.as_array().is_some_and(|all| all.iter().any(|one| one["is_streaming"] == true)) {
        ensure!(Instant::now() < deadline, "no stream after {} s", START.as_secs());
        sleep(LOOK_AGAIN).await;
    }
    let measured = pushed.as_ref().map_or(Measured::Ours(&relay), Measured::Pushed);

    let mut audience = Audience::none();
    audience.add({
        let place = place.clone();
        async move |count: &_| play(place, count, Pace::steady()).await
    });
    let (alone_ms, _, _) = window(&measured, &audience, 1, options).await?;
    for number in 1..options.viewers {
        let place = place.clone();
        audience.add(async move |count: &_| play(place, count, Pace::steady()).await);
        // A door may be narrower than all of them together.
        if number % AT_ONCE == 0 {
            until("players have come in", || {
                audience.check()?;
                Ok(audience.all_have(1).then_some(()))
            })
            .await?;
        }
    }
    let (watched_ms, frames, bytes) = window(&measured, &audience, options.viewers, options).await?;
    audience.check()?;
    relay.check()?;
    // `alone_ms` is for one viewer's frames already.
    let us = (watched_ms - alone_ms) * 1e3 / f64::from(options.viewers - 1).max(1.0);
    Ok(Cost { us, frame_kb: bytes / frames / 1e3 })
}

/// The milliseconds that a frame took for all viewers together, and the frames and bytes that they got in the options' seconds.
async fn window(measured: &Measured<'_>, audience: &Audience, viewers: u32, options: &Fanout) -> Result<(f64, f64, f64)> {
    until("all players have pictures", || {
        audience.check()?;
        Ok(audience.all_have(u64::from(FRAME_RATE)).then_some(()))
    })
    .await?;
    let (cpu_ms, frames, bytes) = (measured.cpu_ms()?, audience.frames(), audience.bytes());
    let progress = Progress::over("watching", options.seconds);
    sleep(Duration::from_secs(options.seconds.into())).await;
    drop(progress);
    let cpu_ms = measured.cpu_ms()? - cpu_ms;
    let (frames, bytes) = ((audience.frames() - frames) as f64, (audience.bytes() - bytes) as f64);
    let each = frames / f64::from(viewers);
    let due = f64::from(options.seconds * FRAME_RATE);
    ensure!(each > due * 0.9, "players got {each:.0} of {due} frames");
    Ok((cpu_ms / each, frames, bytes))
}

const FRAME_RATE: u32 = 30;
const SIZE: (u32, u32) = (1280, 720);
/// How many players come in together.
const AT_ONCE: u32 = 50;
/// A push connects, and waits for a first picture.
const START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
