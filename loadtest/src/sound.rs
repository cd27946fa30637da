//! A sound server to measure with.

use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;
use crate::scratch;
use crate::wait::until;

/// A sound server of our own.
#[derive(Debug)]
pub(crate) struct Sound {
    address: String,
    server: Process,
    _folder: TempDir,
}

impl Sound {
    /// Starts one; with a `speaker` of its own, or none as long as a router does not load one.
    ///
    /// # Errors
    /// When PulseAudio is not installed, or does not start in time.
    pub(crate) async fn start(speaker: bool) -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let (home, log) = (folder.path().display(), folder.path().join("sound"));
        let (home, socket) = ([format!("HOME={home}"), format!("XDG_RUNTIME_DIR={home}")], format!("{home}/native"));
        let protocol = format!("module-native-protocol-unix auth-anonymous=1 socket={socket}");
        let words = ["env", &home[0], &home[1], "pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--log-target=stderr"];
        let modules: &[&str] = if speaker { &[SPEAKER, &protocol] } else { &[&protocol] };
        let loads = modules.iter().flat_map(|module| ["-L", module]);
        let words = words.into_iter().chain(loads).map(Into::into).collect();
        let mut server = Process::launch("the sound server", words, None, &log)?;
        until("the sound server listens", || {
            server.check(&log)?;
            Ok(UnixStream::connect(&socket).ok())
        })
        .await?;
        Ok(Self { address: format!("unix:{socket}"), server, _folder: folder })
    }

    /// Where the sound server is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn process(&self) -> &Process {
        &self.server
    }
}

/// The router's loudspeaker, as it would load it itself.
const SPEAKER: &str = "module-null-sink sink_name=audio_output format=s16le rate=48000 channels=2";
