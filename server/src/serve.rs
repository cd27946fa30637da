//! The life of the server between its configuration and its exit.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use crosspoint_ffi::v4l2::is_loopback;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Error;
use crate::app::App;
use crate::config::{Config, ListenChoice, TlsChoice};
use crate::http::Door;
use crate::net::{self, Entrance, Rooms, Tls, Waiting};
use crate::rtc::Rtc;
use crate::runtime::Io;
use crate::shutdown::{Ending, Signals};
use crate::systemd::{Inherited, Supervisor};
use crate::tokens::Tokens;

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

/// Runs `crosspoint` until SIGINT or SIGTERM, listening on what it inherited where it did.
///
/// # Errors
/// When it cannot start.
pub fn run(config: Config, inherited: Inherited) -> Result<(), Error> {
    let config = config.with_desktop(|name| std::env::var(name).ok());
    let supervisor = Supervisor::find();
    raise_descriptors();
    let io = Io::choose(config.io)?;
    tracing::info!(io = io.as_str(), "runtime chosen");
    io.block_on(async {
        let mut signals = Signals::install().map_err(Error::Signals)?;
        let (end, ends) = mpsc::channel(1);
        let (supervisor, told) = {
            let supervisor = Rc::new(supervisor);
            (Rc::clone(&supervisor), supervisor)
        };
        tokio::task::spawn_local(async move {
            loop {
                let signal = signals.next().await;
                tracing::info!(signal, "ending");
                told.stopping();
                if end.send(()).await.is_err() {
                    return;
                }
            }
        });
        tokio::select! {
            served = serve_with(config, inherited, ends, |_| supervisor.ready()) => served,
            () = supervisor.stay_alive() => unreachable!("it tells for ever"),
        }
    })?
}

/// Lets us have as many descriptors as we may: each viewer is one.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "raising the limit of open files");
    }
}

/// Serves until the first message on `ends`, then says goodbye to everyone; a second message ends it at once. `on_ready` is called once
/// everything listens. Runs inside [`Io::block_on`].
///
/// # Errors
/// When it cannot start.
pub async fn serve(config: Config, ends: mpsc::Receiver<()>, on_ready: impl FnOnce(&Ready)) -> Result<(), Error> {
    serve_with(config, Inherited::default(), ends, on_ready).await
}

/// The same on listeners that were opened for us, where there are some.
///
/// # Errors
/// When it cannot start.
pub async fn serve_with(
    mut config: Config,
    inherited: Inherited,
    mut ends: mpsc::Receiver<()>,
    on_ready: impl FnOnce(&Ready),
) -> Result<(), Error> {
    config.camera = config.camera.chosen(is_loopback);
    let ready_file = config.ready_file.clone();
    let ready_file_error = |cause| Error::ReadyFile { path: ready_file.clone().unwrap_or_default(), cause };
    if let Some(path) = &ready_file {
        // One left by an earlier run would tell whoever waits for it that this one listens already.
        remove_stale(path).map_err(ready_file_error)?;
    }
    let is_inherited = inherited.main.is_some();
    let (listener, listen) = match inherited.main {
        Some(listener) => adopt(listener, "--listen")?,
        None => bind(config.listen, "--listen")?,
    };
    let tls = Tls::new(&config)?;
    let tokens = Tokens::new(&config)?;
    let further = |inherited, choice, usual, flag| match inherited {
        Some(listener) => adopt(listener, flag).map(Some),
        None => bind_further(choice, usual, flag),
    };
    let rtmp = further(inherited.rtmp, config.rtmp_listen, RTMP_PORT, "--rtmp-listen")?;
    // Without TLS there is none inside it.
    let rtmps_choice = if config.tls == TlsChoice::Off { Some(ListenChoice::Off) } else { config.rtmps_listen };
    let rtmps = further(inherited.rtmps, rtmps_choice, RTMPS_PORT, "--rtmps-listen")?;
    let address = |bound: &Option<(TcpListener, SocketAddr)>| bound.as_ref().map(|(_, address)| *address);

    let ending = Ending::new();
    // The number that the listener got, unless another is wanted: one port is mapped for everything.
    let at = SocketAddr::new(listen.ip(), config.webrtc_udp_port.unwrap_or_else(|| listen.port()));
    let udp = if config.no_udp { None } else { Some(bind_udp(at).map_err(|cause| Error::Udp { address: at, cause })?) };
    let (udp, udp_address) = udp.unzip();
    let rtc = Rtc::new(&config, udp, listen).map_err(Error::Rtc)?;
    tokio::task::spawn_local(rtc.clone().run(ending.shutdown()));
    if let Some(server) = config.stun_server.clone() {
        tokio::task::spawn_local(rtc.clone().discover(server, ending.shutdown()));
    }
    let ready = Ready { listen, udp: udp_address, rtmp: address(&rtmp), rtmps: address(&rtmps) };
    let app = App::start(&config, rtc.clone(), ending.weak())?;
    let (resting, mut asked) = (app.clone(), ending.shutdown());
    tokio::task::spawn_local(async move {
        tokio::select! {
            never = resting.rest() => match never {},
            () = asked.requested() => {}
        }
    });
    let (tokens, waiting) = (Rc::new(tokens), Waiting::new(config.limits.max_waiting));
    let door = Rc::new(Door::new(app.clone(), &config, Rc::clone(&tokens), Rc::clone(&waiting), &ready));
    let rooms = Rc::new(Rooms { door, app, tokens, rtc, tls, waiting, first_byte: config.limits.first_byte });
    for (bound, entrance) in [(rtmp, Entrance::Rtmp), (rtmps, Entrance::Rtmps)] {
        if let Some((listener, _)) = bound {
            let mut asked = ending.shutdown();
            let (rooms, shutdown) = (Rc::clone(&rooms), ending.shutdown());
            tokio::task::spawn_local(async move {
                tokio::select! {
                    never = net::accept(&listener, entrance, rooms, shutdown) => match never {},
                    () = asked.requested() => {}
                }
            });
        }
    }

    if let Some(path) = &ready_file {
        write_whole(path, &ready).map_err(ready_file_error)?;
    }
    tracing::info!(%listen, rtmp = ?ready.rtmp, rtmps = ?ready.rtmps, "ready");
    on_ready(&ready);

    tokio::select! {
        never = net::accept(&listener, Entrance::Any, Rc::clone(&rooms), ending.shutdown()) => match never {},
        _ = ends.recv() => {}
    }
    ending.request();
    let late = Ending::new();
    let refuse = async {
        if is_inherited {
            // Who comes now waits at the listener for whoever inherits it next.
            std::future::pending().await
        } else {
            // Who comes now is told that it is the end, and not waited for.
            net::accept(&listener, Entrance::Any, rooms, late.shutdown()).await
        }
    };
    tokio::select! {
        never = refuse => match never {},
        in_time = ending.all_gone(config.limits.drain) => if !in_time {
            tracing::warn!("some connections did not end in time");
        },
        () = second(&mut ends) => tracing::warn!("ending at once"),
    }
    Ok(())
}

fn bind_udp(at: SocketAddr) -> io::Result<(net::Udp, SocketAddr)> {
    let udp = net::Udp::bind(at)?;
    let address = udp.local_addr()?;
    Ok((udp, address))
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bound = net::listen(address).and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    bound.map_err(|cause| Error::Listen { flag, address, cause })
}

/// Takes a listener over that was opened for us.
fn adopt(listener: OwnedFd, flag: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let listener = std::net::TcpListener::from(listener);
    let adopted = listener.set_nonblocking(true).and_then(|()| {
        let address = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, address))
    });
    adopted.map_err(|cause| Error::Inherited { flag, cause })
}

/// Listens where the flag says. The usual port, which nobody asked for, may be another's: then the main port has to do.
fn bind_further(choice: Option<ListenChoice>, usual: u16, flag: &'static str) -> Result<Option<(TcpListener, SocketAddr)>, Error> {
    match choice {
        Some(ListenChoice::At(address)) => bind(address, flag).map(Some),
        Some(ListenChoice::Off) => Ok(None),
        None => match bind((Ipv4Addr::UNSPECIFIED, usual).into(), flag) {
            Ok(bound) => Ok(Some(bound)),
            Err(error) => {
                tracing::warn!(%error, "going on without it");
                Ok(None)
            }
        },
    }
}

/// The port that RTMP is assigned, and the next for RTMP inside TLS.
pub(crate) const RTMP_PORT: u16 = 1935;
pub(crate) const RTMPS_PORT: u16 = 1936;

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
