//! The life of the server between its configuration and its exit.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use crate::Error;
use crate::app::App;
use crate::config::{CameraChoice, Config};
use crate::http::Door;
use crate::net;
use crate::runtime::Io;
use crate::shutdown::{Ending, Signals};

/// The addresses that are listened on, as the ready file tells them.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ready {
    /// TCP for everything.
    pub listen: SocketAddr,
    /// WebRTC.
    pub udp: Option<SocketAddr>,
    /// RTMP players.
    pub rtmp: Option<SocketAddr>,
    /// RTMPS players.
    pub rtmps: Option<SocketAddr>,
}

/// Runs `crosspoint` until SIGINT or SIGTERM.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config) -> Result<(), Error> {
    let config = config.with_desktop(|name| std::env::var(name).ok());
    let io = Io::choose(config.io)?;
    tracing::info!(io = io.as_str(), "runtime chosen");
    io.block_on(async {
        let mut signals = Signals::install().map_err(Error::Signals)?;
        let (end, ends) = mpsc::channel(1);
        tokio::task::spawn_local(async move {
            loop {
                let signal = signals.next().await;
                tracing::info!(signal, "ending");
                if end.send(()).await.is_err() {
                    return;
                }
            }
        });
        serve(config, ends, |_| ()).await
    })?
}

/// Serves until the first message on `ends`, then says goodbye to everyone; a second message ends it at once. `on_ready` is called once
/// everything listens. Runs inside [`Io::block_on`].
///
/// # Errors
/// When it cannot start.
pub async fn serve(config: Config, mut ends: mpsc::Receiver<()>, on_ready: impl FnOnce(&Ready)) -> Result<(), Error> {
    if matches!(config.camera, CameraChoice::V4l2(_)) {
        return Err(Error::V4l2);
    }
    let ready_file = config.ready_file.clone();
    let ready_file_error = |cause| Error::ReadyFile { path: ready_file.clone().unwrap_or_default(), cause };
    if let Some(path) = &ready_file {
        // One left by an earlier run would tell whoever waits for it that this one listens already.
        remove_stale(path).map_err(ready_file_error)?;
    }
    let listener = net::listen(config.listen).map_err(|cause| Error::Listen { address: config.listen, cause })?;
    let listen = listener.local_addr().map_err(|cause| Error::Listen { address: config.listen, cause })?;

    let ending = Ending::new();
    let app = App::start(&config, ending.shutdown())?;
    let door = Rc::new(Door::new(app, &config, listen.port()));

    let ready = Ready { listen, udp: None, rtmp: None, rtmps: None };
    if let Some(path) = &ready_file {
        write_whole(path, &ready).map_err(ready_file_error)?;
    }
    tracing::info!(%listen, "ready");
    on_ready(&ready);

    tokio::select! {
        never = net::accept(listener, door, ending.shutdown()) => match never {},
        _ = ends.recv() => {}
    }
    ending.request();
    tokio::select! {
        in_time = ending.all_gone(GOODBYE) => if !in_time {
            tracing::warn!("some connections did not end in time");
        },
        () = second(&mut ends) => tracing::warn!("ending at once"),
    }
    Ok(())
}

/// How long connections may take to end; the process is to be gone in 5 s.
const GOODBYE: Duration = Duration::from_secs(4);

async fn second(ends: &mut mpsc::Receiver<()>) {
    if ends.recv().await.is_none() {
        // Nobody is left who could be more impatient.
        std::future::pending::<()>().await;
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes beside `path` and renames: whoever waits for the file to be there finds it whole.
fn write_whole(path: &Path, ready: &Ready) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let mut file = fs::File::create(&name)?;
    let mut json = serde_json::to_vec(ready)?;
    json.push(b'\n');
    file.write_all(&json)?;
    fs::rename(&name, path)
}
