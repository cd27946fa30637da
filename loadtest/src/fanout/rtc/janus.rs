//! Janus with its streaming plugin, as Debian has it, fed with the packets that a viewer of ours got.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::other::PAYLOAD_TYPE;
use crate::client::Endpoint;
use crate::process::Process;
use crate::scratch;
use crate::wait::until;

/// A running one, and our session with it.
pub(crate) struct Janus {
    process: Process,
    log: PathBuf,
    endpoint: Endpoint,
    session: String,
    /// Where it takes the stream.
    pub(super) media: std::net::SocketAddr,
    _folder: TempDir,
}

impl Janus {
    /// Starts it, on `core` alone if one is named.
    ///
    /// # Errors
    /// When it is not installed, or does not answer in time.
    pub(crate) async fn start(core: Option<&str>) -> Result<Self> {
        ensure!(Path::new(BINARY).exists(), "{BINARY} is missing: loadtest peers --setup");
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        // It takes no port 0.
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let media = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
        let path = folder.path();
        let home = path.display();
        let parts = ["plugins", "transports", "events", "loggers"];
        let folders: String = parts.iter().map(|part| format!("{part}_folder = \"{LIBRARIES}/{part}\"; ")).collect();
        let general = format!("configs_folder = \"{home}\"; {folders} debug_level = 2; debug_colors = false; session_timeout = 0;");
        let others = |part, used| -> Result<String> {
            let names =
                fs::read_dir(format!("{LIBRARIES}/{part}"))?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            Ok(names.filter(|name| name.ends_with(".so") && name != used).collect::<Vec<_>>().join(","))
        };
        let (plugins, transports) = (others("plugins", "libjanus_streaming.so")?, others("transports", "libjanus_http.so")?);
        let text = format!(
            "general: {{ {general} }}\nnat: {{ ice_lite = true; }}\n\
             plugins: {{ disable = \"{plugins}\"; }}\ntransports: {{ disable = \"{transports}\"; }}\n"
        );
        fs::write(path.join("janus.jcfg"), text)?;
        let text = format!(
            "general: {{ json = \"compact\"; base_path = \"/janus\"; http = true; ip = \"127.0.0.1\"; port = {}; https = false; }}\n\
             admin: {{ admin_http = false; }}\n",
            http.port()
        );
        fs::write(path.join("janus.transport.http.jcfg"), text)?;
        let text = format!(
            "fanout: {{ type = \"rtp\"; id = {MOUNT}; media = ( {{ type = \"video\"; mid = \"v\"; label = \"v\"; port = {}; pt = {PAYLOAD_TYPE}; \
             codec = \"h264\"; fmtp = \"profile-level-id=42e01f;packetization-mode=1\"; }} ); }}\n",
            media.port()
        );
        fs::write(path.join("janus.plugin.streaming.jcfg"), text)?;
        let log = path.join("log");
        let mut process = Process::launch("janus", vec![BINARY.into(), "-F".into(), path.into()], core, &log)?;
        until("janus listens", || {
            process.check(&log)?;
            Ok(std::net::TcpStream::connect(http).ok().map(drop))
        })
        .await?;
        let endpoint = Endpoint::at(http);
        let created = post(&endpoint, "/janus", json!({"janus": "create"})).await?;
        let session = format!("/janus/{}", created["data"]["id"]);
        Ok(Self { process, log, endpoint, session, media, _folder: folder })
    }

    /// Asks for the stream: a handle, and what it offers.
    pub(super) async fn watch(&self) -> Result<(String, String)> {
        let attached = post(&self.endpoint, &self.session, json!({"janus": "attach", "plugin": "janus.plugin.streaming"})).await?;
        let id = attached["data"]["id"].clone();
        let handle = format!("{}/{id}", self.session);
        post(&self.endpoint, &handle, json!({"janus": "message", "body": {"request": "watch", "id": MOUNT}})).await?;
        // What else happened in the session comes before it.
        for _ in 0..EVENTS {
            let event = self.endpoint.get(&format!("{}?maxev=1", self.session)).await?;
            if event["sender"] == id && event["jsep"]["type"] == "offer" {
                return Ok((handle, event["jsep"]["sdp"].as_str().context("an offer has an sdp")?.to_owned()));
            }
            ensure!(event["plugindata"]["data"]["error"].is_null(), "janus: {}", event["plugindata"]["data"]["error"]);
        }
        anyhow::bail!("janus offers nothing")
    }

    /// Answers what a handle offered.
    pub(super) async fn answer(&self, handle: &str, sdp: &str) -> Result<()> {
        let body = json!({"janus": "message", "body": {"request": "start"}, "jsep": {"type": "answer", "sdp": sdp}});
        post(&self.endpoint, handle, body).await.map(drop)
    }

    pub(super) fn check(&mut self) -> Result<()> {
        self.process.check(&self.log)
    }

    pub(crate) fn process(&self) -> &Process {
        &self.process
    }
}

async fn post(endpoint: &Endpoint, path: &str, mut body: Value) -> Result<Value> {
    body["transaction"] = "loadtest".into();
    let answer = endpoint.post(path, Some(&body)).await?;
    ensure!(answer["janus"] != "error", "janus: {}", answer["error"]["reason"]);
    Ok(answer)
}

const BINARY: &str = "/usr/bin/janus";
const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu/janus";
const MOUNT: u32 = 1;
/// More than a session of hundreds of viewers has.
const EVENTS: usize = 10_000;
