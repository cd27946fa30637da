//! Asking a STUN server where it sees the UDP socket.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crosspoint_router::rtc::{Discovering, Discovery};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::lookup_host;

use super::Rtc;
use crate::config::StunServer;
use crate::shutdown::Shutdown;
use crate::timer::sleep_until;

impl Rtc {
    /// Keeps peers told where `server` sees us, until the end; nothing without UDP. A server that does not answer, or whose name is not
    /// known, is looked up again after a while: its address may be another by then.
    pub(crate) async fn discover(self, server: StunServer, mut shutdown: Shutdown) {
        let asking = async {
            loop {
                match self.address_of(&server).await {
                    Ok(address) => self.ask(address).await,
                    Err(error) => tracing::warn!(%server, %error, "the stun server's name is not known"),
                }
                if self.0.front.seen.take().is_some() {
                    tracing::warn!(%server, "the stun server answers no more: nobody is told where it saw us");
                }
                sleep_until(Some(Instant::now() + LOOK_UP_AGAIN)).await;
            }
        };
        tokio::select! {
            () = asking => {}
            () = shutdown.requested() => {}
        }
    }

    /// An address of the server that the socket can send to.
    async fn address_of(&self, server: &StunServer) -> io::Result<SocketAddr> {
        let takes_v6 = self.0.front.listen.is_ipv6();
        let mut addresses = lookup_host((server.host.as_str(), server.port)).await?;
        addresses.find(|address| takes_v6 || address.is_ipv4()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Asks until there is no answer any more.
    async fn ask(&self, server: SocketAddr) {
        let mut number = [0; 16];
        let (Some(udp), Ok(16)) = (&self.0.udp, getrandom(&mut number, GetRandomFlags::empty())) else { return };
        self.0.discovery.replace(Some(Discovery::new(server, u128::from_ne_bytes(number), Instant::now())));
        loop {
            let due = {
                let mut asked = self.0.discovery.borrow_mut();
                let Some(discovery) = &mut *asked else { return };
                match discovery.poll(Instant::now()) {
                    Discovering::Ask(question) => {
                        udp.queue(question.destination, question.bytes, question.segment_bytes);
                        udp.flush();
                    }
                    Discovering::Over => {
                        *asked = None;
                        return;
                    }
                    Discovering::Wait => {}
                }
                discovery.deadline()
            };
            tokio::select! {
                () = sleep_until(Some(due)) => {}
                () = self.0.discovered.notified() => {}
            }
        }
    }

    /// Takes a datagram that is no peer's.
    pub(super) fn discovered(&self, source: SocketAddr, datagram: &[u8]) {
        let mut asked = self.0.discovery.borrow_mut();
        let Some(discovery) = &mut *asked else { return };
        if discovery.handle_datagram(source, datagram, Instant::now())
            && let Some(seen) = discovery.seen()
        {
            if self.0.front.seen.replace(Some(seen)) != Some(seen) {
                tracing::info!(address = %seen, "seen by the stun server");
            }
            self.0.discovered.notify_one();
        }
    }
}

/// After a server did not answer for a minute, or a name was not known.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(30);
