//! Who takes H.264 and Opus from a WebRTC publisher.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use crosspoint_ffi::VideoFormat;

use super::{PERIOD, percent_of};
use crate::client::Endpoint;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::publishers::peer::{Door, Peer};
use crate::reader::Reader;
use crate::script::{BINDINGS, PYTHON, Script, python};
use crate::sound::Sound;

/// Whom ours is measured beside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Other {
    /// `peers/ingest_aiortc.py`.
    Aiortc,
    /// `peers/ingest_webrtcbin.py`.
    Webrtcbin,
}

/// What is published.
#[derive(Clone)]
pub(super) struct Media {
    pub(super) clip: Clip,
    /// Opus, in packets of 20 ms.
    pub(super) sound: Arc<[Arc<[u8]>]>,
}

/// What ours takes to have the pictures in the camera, which is read at 30 Hz, and the sound in a sound server's microphone.
pub(super) async fn ours(seconds: u32, binary: &Path, format: VideoFormat, media: Media) -> Result<f64> {
    let sound = Sound::start(false).await?;
    let mut crosspoint = Crosspoint::with_sound(binary, format, &sound).await?;
    let peer = Peer::enter(&crosspoint.endpoint, Door::Offer, true).await?;
    let _reader = Reader::start(&crosspoint.camera().context("a camera of our own")?, PERIOD)?;
    let process = crosspoint.process().context("a router of our own")?;
    let sent = media.clip.frames.len() as u64;
    let percent = run(peer, media, percent_of(process, seconds)).await?;
    let status = crosspoint.endpoint.get("/input/devices/virtual/status").await?;
    let shown = status["stats"]["frames_out"].as_u64().unwrap_or(0);
    ensure!(shown * 100 >= sent * 95, "the camera got {shown} of {sent} frames");
    crosspoint.check()?;
    Ok(percent)
}

/// What another takes to decode both.
pub(super) async fn theirs(seconds: u32, other: Other, peers: &Path, media: Media) -> Result<f64> {
    let (name, program, script, needed) = match other {
        Other::Aiortc => {
            let (python, needed) = python(peers);
            ("aiortc", python, "ingest_aiortc.py", needed)
        }
        Other::Webrtcbin => ("webrtcbin", PYTHON.into(), "ingest_webrtcbin.py", BINDINGS.into()),
    };
    let mut script = Script::start(name, vec![program.into(), peers.join(script).into()], &needed, None, 1).await?;
    let endpoint = Endpoint::at(script.address(0));
    let offered = endpoint.post("/", None).await?;
    let (peer, answer) = Peer::invited(offered["sdp"].as_str().context("an offer has an sdp")?).await?;
    endpoint.post_sdp(&format!("/{}", offered["id"]), answer).await?;
    let (pictures, sounds) = (media.clip.frames.len() as u64, media.sound.len() as u64);
    let percent = run(peer, media, percent_of(script.process(), seconds)).await?;
    let counts = endpoint.post("/counts", None).await?;
    script.check()?;
    for (what, sent) in [("pictures", pictures), ("sounds", sounds)] {
        let decoded = counts[what].as_u64().unwrap_or(0);
        ensure!(decoded * 100 >= sent * 90, "{decoded} of {sent} {what} were decoded");
    }
    Ok(percent)
}

/// Publishes once the connection stands; gives what was measured meanwhile.
async fn run(mut peer: Peer, media: Media, percent: impl Future<Output = Result<f64>>) -> Result<f64> {
    peer.connect().await?;
    let (sent, percent) = tokio::join!(peer.publish(media.clip, &media.sound, Clock::start()), percent);
    sent?;
    percent
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::tone;

    #[tokio::test]
    async fn others_decode_what_is_published_to_them() {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let decoder = Path::new("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstlibav.so");
        let needed = [(Other::Aiortc, python(&peers).1), (Other::Webrtcbin, decoder.to_owned())];
        let clip = Clip::encode(VideoFormat::new(320, 180, 30).unwrap(), 300_000, 70, PERIOD).await.unwrap();
        let media = Media { clip, sound: tone::opus(Duration::from_secs(2)).unwrap().into() };
        for (other, needed) in needed {
            if needed.exists() {
                let percent = theirs(1, other, &peers, media.clone()).await.unwrap();
                assert!(percent > 0.0, "{other:?}");
            } else {
                let _ = writeln!(std::io::stderr(), "skipped: {} is missing", needed.display());
            }
        }
    }
}
