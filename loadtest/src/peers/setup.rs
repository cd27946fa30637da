//! Installing what Crosspoint is measured beside.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use crate::process::Process;
use crate::report::note;
use crate::scratch;

/// Installs all of them, as far as they are missing: packages of Debian as root, those of npm and PyPI into `folder`.
///
/// # Errors
/// When one cannot be installed.
pub(crate) async fn all(folder: &Path) -> Result<()> {
    debian().await?;
    node(folder).await?;
    python(folder).await
}

/// Installs what the Node relays need.
///
/// # Errors
/// When it cannot be installed.
pub(crate) async fn node(folder: &Path) -> Result<()> {
    // npm writes the second one when it is done.
    if !is_older(&folder.join("node_modules/.package-lock.json"), &folder.join("package-lock.json")) {
        return Ok(());
    }
    note("installing from npm");
    let words = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"].map(OsString::from);
    succeed("npm", words.into_iter().chain([folder.into()])).await
}

async fn python(folder: &Path) -> Result<()> {
    let (venv, wanted) = (folder.join(".venv"), folder.join("requirements.txt"));
    let done = venv.join("done");
    if !is_older(&done, &wanted) {
        return Ok(());
    }
    note("installing from PyPI");
    succeed("python3 -m venv", ["python3".into(), "-m".into(), "venv".into(), venv.clone().into()]).await?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"].map(OsString::from);
    succeed("pip", [venv.join("bin/python").into()].into_iter().chain(pip).chain([wanted.into()])).await?;
    fs::write(&done, "").with_context(|| format!("writing {}", done.display()))
}

async fn debian() -> Result<()> {
    let missing: Vec<&str> = DEBIAN.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    note(&format!("installing from Debian: {}", missing.join(" ")));
    let as_root: &[&str] = if rustix::process::geteuid().is_root() { &["env"] } else { &["sudo", "env"] };
    let apt = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends"];
    let apt = |words: &[&str]| succeed("apt-get", [as_root, &apt, words].concat().into_iter().map(OsString::from).collect::<Vec<_>>());
    let install = [&["install"], &missing[..]].concat();
    // Package lists may be absent or too old to download from: fetch them when the first try shows it.
    if apt(&install).await.is_err() {
        apt(&["update"]).await?;
        apt(&install).await?;
    }
    Ok(())
}

/// Runs a command to its end. Whoever is interrupted meanwhile ends it, too.
async fn succeed(name: &'static str, words: impl IntoIterator<Item = OsString>) -> Result<()> {
    let folder = scratch::folder(&std::env::temp_dir())?;
    let log = folder.path().join("log");
    let mut process = Process::launch(name, words.into_iter().collect(), None, &log)?;
    loop {
        match process.ended()? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => process.check(&log)?,
            None => sleep(LOOK_AGAIN).await,
        }
    }
}

/// Whether `made` is missing, or was made before `from` changed.
fn is_older(made: &Path, from: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    changed(made).is_none_or(|made| changed(from).is_some_and(|from| made < from))
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What tells that a package is there, and the package.
const DEBIAN: [(&str, &str); 14] = [
    ("/usr/bin/janus", "janus"),
    ("/usr/sbin/nginx", "nginx"),
    ("/usr/lib/nginx/modules/ngx_rtmp_module.so", "libnginx-mod-rtmp"),
    ("/usr/bin/ffmpeg", "ffmpeg"),
    ("/usr/bin/gst-launch-1.0", "gstreamer1.0-tools"),
    ("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstx264.so", "gstreamer1.0-plugins-ugly"),
    ("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstlibav.so", "gstreamer1.0-libav"),
    ("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstopus.so", "gstreamer1.0-plugins-base"),
    ("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstrtpmanager.so", "gstreamer1.0-plugins-good"),
    ("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstwebrtc.so", "gstreamer1.0-plugins-bad"),
    ("/usr/lib/x86_64-linux-gnu/gstreamer-1.0/libgstnice.so", "gstreamer1.0-nice"),
    ("/usr/lib/x86_64-linux-gnu/girepository-1.0/GstWebRTC-1.0.typelib", "gir1.2-gst-plugins-bad-1.0"),
    ("/usr/lib/python3/dist-packages/gi/__init__.py", "python3-gi"),
    ("/usr/bin/openssl", "openssl"),
];

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[tokio::test]
    async fn what_an_installer_says_last_is_told() {
        let shell = |script: &str| ["/bin/sh", "-c", script].map(OsString::from);
        succeed("a shell", shell("exit 0")).await.unwrap();
        let error = succeed("a shell", shell("echo no such package; exit 100")).await.unwrap_err().to_string();
        assert!(error.contains("a shell ended") && error.contains("no such package"), "{error}");
    }

    #[test]
    fn what_is_missing_or_out_of_date_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (made, from) = (folder.path().join("made"), folder.path().join("from"));
        File::create(&from).unwrap();
        assert!(is_older(&made, &from));
        let made_file = File::create(&made).unwrap();
        made_file.set_modified(SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert!(!is_older(&made, &from));
        made_file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(is_older(&made, &from));
    }
}
