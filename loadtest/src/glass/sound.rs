//! Something to hear.

use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;
use crate::scratch;
use crate::wait::until;

/// A sound server of our own, whose loudspeaker sounds a tone: a receiver that is behind can play a tone faster, noise it cannot.
#[derive(Debug)]
pub(super) struct Sound {
    address: String,
    _server: Process,
    _folder: TempDir,
}

impl Sound {
    /// Starts it.
    ///
    /// # Errors
    /// When PulseAudio is not installed, or does not start in time.
    pub(super) async fn start() -> Result<Self> {
        let folder = scratch::folder(Path::new("/dev/shm"))?;
        let (home, log) = (folder.path().display(), folder.path().join("sound"));
        let (home, socket) = ([format!("HOME={home}"), format!("XDG_RUNTIME_DIR={home}")], format!("{home}/native"));
        let protocol = format!("module-native-protocol-unix auth-anonymous=1 socket={socket}");
        let words = [
            "pulseaudio",
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--log-target=stderr",
            "-L",
            SPEAKER,
            "-L",
            TONE,
            "-L",
            &protocol,
        ];
        let words = ["env", &home[0], &home[1]].into_iter().chain(words).map(Into::into).collect();
        let mut server = Process::launch("the sound server", words, None, &log)?;
        until("the sound server listens", || {
            server.check(&log)?;
            Ok(UnixStream::connect(&socket).ok())
        })
        .await?;
        Ok(Self { address: format!("unix:{socket}"), _server: server, _folder: folder })
    }

    /// Where the sound server is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// The router's loudspeaker, as it would load it itself.
const SPEAKER: &str = "module-null-sink sink_name=audio_output format=s16le rate=48000 channels=2";
const TONE: &str = "module-sine sink=audio_output frequency=440";
