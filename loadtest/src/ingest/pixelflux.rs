//! The virtual camera of PyPI's pixelflux: `peers/camera.py`.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::percent_of;
use crate::clip::Clip;
use crate::clock::Clock;
use crate::publish::send;
use crate::scratch;
use crate::script::{Script, python};

/// What it takes to have `clip` in its camera, which is read at 30 Hz by a process of its own.
pub(super) async fn virtual_camera(seconds: u32, peers: &Path, clip: Clip) -> Result<f64> {
    let (python, needed) = python(peers);
    let folder = scratch::folder(Path::new("/dev/shm"))?;
    let words = vec![python.into(), peers.join("camera.py").into(), folder.path().join("camera").into()];
    let mut script = Script::start("pixelflux", words, &needed, None, 1).await?;
    let mut stream = TcpStream::connect(script.address(0)).await.context("connecting to pixelflux")?;
    stream.set_nodelay(true)?;
    let (sent, mut units) = (clip.pictures.len() as u64, clip.pictures.clone().into_iter());
    let (published, percent) = tokio::join!(
        send(clip, std::time::Duration::ZERO, Clock::start(), async |_| {
            let unit = units.next().context("a picture for each frame")?;
            let length = u32::try_from(unit.len())?.to_le_bytes();
            Ok(stream.write_all(&[&length, &unit[..]].concat()).await?)
        }),
        percent_of(script.process(), seconds)
    );
    published?;
    stream.shutdown().await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await.context("asking pixelflux what came")?;
    script.check().or_else(|error| if said.is_empty() { Err(error) } else { Ok(()) })?;
    let counts: Vec<u64> = said.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().context("pixelflux's counts")?;
    let [shown, seen] = counts[..] else { anyhow::bail!("pixelflux says {said:?}") };
    ensure!(shown * 100 >= sent * 95 && seen * 100 >= sent * 90, "the camera got {shown} of {sent} frames, its reader {seen}");
    percent
}
