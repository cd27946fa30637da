//! GStreamer's webrtcbin, as Debian has it: `peers/fanout.py`, which has one for each viewer and neither decodes nor encodes.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::other::{PAYLOAD_TYPE, SSRC};
use crate::client::Endpoint;
use crate::process::Process;
use crate::script::{BINDINGS, PYTHON, Script};

/// A running one.
pub(crate) struct Webrtcbin {
    script: Script,
    endpoint: Endpoint,
    /// Where it takes the stream.
    pub(super) media: SocketAddr,
}

impl Webrtcbin {
    /// Starts it, on `core` alone if one is named.
    ///
    /// # Errors
    /// When GStreamer or its bindings are not installed, or it does not answer in time.
    pub(super) async fn start(peers: &Path, core: Option<&str>) -> Result<Self> {
        let [payload_type, ssrc] = [PAYLOAD_TYPE.into(), u32::from_be_bytes(SSRC)].map(|number: u32| number.to_string());
        let words = vec![PYTHON.into(), peers.join("fanout.py").into(), payload_type.into(), ssrc.into()];
        let script = Script::start("webrtcbin", words, Path::new(BINDINGS), core, 2).await?;
        let (media, endpoint) = (script.address(0), Endpoint::at(script.address(1)));
        Ok(Self { script, endpoint, media })
    }

    /// Asks for the stream: a viewer's name, and what is offered to it.
    pub(super) async fn watch(&self) -> Result<(String, String)> {
        let offered = self.endpoint.post("/", None).await?;
        Ok((format!("/{}", offered["id"]), offered["sdp"].as_str().context("an offer has an sdp")?.to_owned()))
    }

    /// Answers what a viewer was offered.
    pub(super) async fn answer(&self, viewer: &str, sdp: &str) -> Result<()> {
        self.endpoint.post_sdp(viewer, sdp.to_owned()).await.map(drop)
    }

    pub(super) fn check(&mut self) -> Result<()> {
        self.script.check()
    }

    pub(super) fn process(&self) -> &Process {
        self.script.process()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::UdpSocket;
    use std::time::Duration;

    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::interval;

    use super::super::other::{Other, header};
    use super::super::viewer::{Audience, Host};
    use super::*;
    use crate::wait::until;

    #[tokio::test]
    async fn viewers_get_what_is_fed() {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        if !Path::new(BINDINGS).exists() {
            let _ = writeln!(std::io::stderr(), "skipped: {BINDINGS} is missing");
            return;
        }
        let all = LocalSet::new();
        all.run_until(async {
            let other = Other::Webrtcbin(Webrtcbin::start(&peers, None).await.unwrap());
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(other.media()).unwrap();
            let feed = spawn_local(async move {
                let mut ticks = interval(Duration::from_millis(5));
                for number in 0.. {
                    ticks.tick().await;
                    // A key frame's slice in a packet of its own.
                    let packet = [&header(true, number, u32::from(number) * 450)[..], &[0x65; 100]].concat();
                    socket.send(&packet).unwrap();
                }
            });
            let mut audience = Audience::default();
            audience.join(Host::Other(&other), 2).await.unwrap();
            until("both have packets", || Ok((audience.least() >= 20).then_some(()))).await.unwrap();
            feed.abort();
        })
        .await;
    }
}
