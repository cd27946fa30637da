//! GStreamer's webrtcbin, as Debian has it: `peers/fanout.py`, which has one for each viewer and neither decodes nor encodes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::other::{PAYLOAD_TYPE, SSRC};
use crate::client::Endpoint;
use crate::process::Process;
use crate::scratch;
use crate::wait::until;

/// A running one.
pub(crate) struct Webrtcbin {
    process: Process,
    log: PathBuf,
    endpoint: Endpoint,
    /// Where it takes the stream.
    pub(super) media: SocketAddr,
    _folder: TempDir,
}

impl Webrtcbin {
    /// Starts it, on `core` alone if one is named.
    ///
    /// # Errors
    /// When GStreamer or its bindings are not installed, or it does not answer in time.
    pub(super) async fn start(peers: &Path, core: Option<&str>) -> Result<Self> {
        ensure!(Path::new(BINDINGS).exists(), "{BINDINGS} is missing: loadtest peers --setup");
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let log = folder.path().join("log");
        let [payload_type, ssrc] = [PAYLOAD_TYPE.into(), u32::from_be_bytes(SSRC)].map(|number: u32| number.to_string());
        // The log holds what others read.
        let words = vec![PYTHON.into(), peers.join("fanout.py").into(), payload_type.into(), ssrc.into()];
        let mut process = Process::launch("webrtcbin", words, core, &log)?;
        let [media, http] = until("webrtcbin listens", || {
            process.check(&log)?;
            Ok(ports(&fs::read_to_string(&log)?))
        })
        .await?;
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Ok(Self { process, log, endpoint: Endpoint::at(at(http)), media: at(media), _folder: folder })
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
        self.process.check(&self.log)
    }

    pub(super) fn process(&self) -> &Process {
        &self.process
    }
}

/// What it says first: two ports, in a line of their own behind whatever GStreamer warns of.
fn ports(said: &str) -> Option<[u16; 2]> {
    let lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let ports = |line: &str| line.split(' ').map(|port| port.parse().ok()).collect::<Option<Vec<_>>>()?.try_into().ok();
    lines.filter_map(ports).next()
}

/// Debian's own, whose the bindings are.
const PYTHON: &str = "/usr/bin/python3";
const BINDINGS: &str = "/usr/lib/x86_64-linux-gnu/girepository-1.0/GstWebRTC-1.0.typelib";

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

    #[test]
    fn ports_are_a_whole_line() {
        assert_eq!(ports("(python3:7): GLib-WARNING\n40001 40002\n"), Some([40_001, 40_002]));
        assert_eq!(ports("40001 400"), None);
        assert_eq!(ports("40001\n40001 70000\n"), None);
    }
}
