//! What systemd, or whoever speaks its protocol, hands us and is told: `sd_listen_fds(3)`, `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::env;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crosspoint_ffi::fd;

/// Listening sockets that were opened for us.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For the main port.
    pub main: Option<OwnedFd>,
    /// For RTMP.
    pub rtmp: Option<OwnedFd>,
    /// For RTMP inside TLS.
    pub rtmps: Option<OwnedFd>,
}

impl Inherited {
    /// Takes what the environment says that is ours. Those that are named `rtmp` and `rtmps` are for that, the first other one is the main
    /// port. Call it before anything is opened.
    #[must_use]
    pub fn take() -> Self {
        let variable = |name| env::var(name).ok();
        if variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
            return Self::default();
        }
        let count = variable("LISTEN_FDS").and_then(|count| count.parse().ok()).unwrap_or(0);
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let listeners = fd::inherited_listeners(count).into_iter().zip(names.split(':').chain(std::iter::repeat("")));
        let mut inherited = Self::default();
        for (listener, name) in listeners {
            let place = match name {
                "rtmp" => &mut inherited.rtmp,
                "rtmps" => &mut inherited.rtmps,
                _ => &mut inherited.main,
            };
            if let Some(listener) = listener {
                place.get_or_insert(listener);
            }
        }
        inherited
    }
}

/// Whom we tell how we are.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Finds it by the environment; without one nothing is told.
    #[must_use]
    pub fn find() -> Self {
        Self::at(env::var("NOTIFY_SOCKET").ok().as_deref(), env::var("WATCHDOG_USEC").ok().as_deref())
    }

    fn at(socket: Option<&str>, watchdog_us: Option<&str>) -> Self {
        let socket = socket.and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            // One that does not read is not waited for.
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        let watchdog = watchdog_us.and_then(|text| text.parse().ok()).filter(|us| *us > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Tells that everything listens.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Tells that the end was asked for.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Tells again and again that we live, as long as this is waited for: a thread that is stuck does not get here.
    pub async fn stay_alive(&self) {
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(watchdog / 2).await;
        }
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, state, "telling the supervisor");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Io;

    #[test]
    fn supervisor_hears_of_life_and_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let named = format!("@crosspoint-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&named[1..]).unwrap();
        let sockets =
            [(path.to_str().unwrap(), UnixDatagram::bind(&path).unwrap()), (&named, UnixDatagram::bind_addr(&abstract_name).unwrap())];
        for (name, socket) in sockets {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let heard = || {
                let mut bytes = [0; 64];
                let length = socket.recv(&mut bytes).unwrap();
                String::from_utf8(bytes[..length].to_vec()).unwrap()
            };
            let supervisor = Supervisor::at(Some(name), Some("1000"));
            supervisor.ready();
            assert_eq!(heard(), "READY=1");
            Io::Epoll
                .block_on(async { tokio::time::timeout(Duration::from_millis(20), supervisor.stay_alive()).await })
                .unwrap()
                .unwrap_err();
            assert_eq!((heard(), heard()), ("WATCHDOG=1".to_owned(), "WATCHDOG=1".to_owned()));
            // There is room now, whether it was full or not.
            supervisor.stopping();
            assert!((0..64).any(|_| heard() == "STOPPING=1"));
        }
        Supervisor::at(None, None).ready();
    }
}
