//! Installing what Crosspoint is measured beside.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::report::note;

/// Installs all of them, as far as they are missing: packages of Debian as root, those of npm and PyPI into `folder`.
///
/// # Errors
/// When one cannot be installed.
pub(crate) fn all(folder: &Path) -> Result<()> {
    debian()?;
    node(folder)?;
    python(folder)
}

/// Installs what the Node relays need.
pub(crate) fn node(folder: &Path) -> Result<()> {
    // npm writes the second one when it is done.
    if !is_older(&folder.join("node_modules/.package-lock.json"), &folder.join("package-lock.json")) {
        return Ok(());
    }
    note("installing from npm");
    succeed(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"]).arg(folder))
}

fn python(folder: &Path) -> Result<()> {
    let (venv, wanted) = (folder.join(".venv"), folder.join("requirements.txt"));
    let done = venv.join("done");
    if !is_older(&done, &wanted) {
        return Ok(());
    }
    note("installing from PyPI");
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    succeed(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted))?;
    fs::write(&done, "").with_context(|| format!("writing {}", done.display()))
}

fn debian() -> Result<()> {
    let missing: Vec<&str> = DEBIAN.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    note(&format!("installing from Debian: {}", missing.join(" ")));
    let as_root: &[&str] = if rustix::process::geteuid().is_root() { &["env"] } else { &["sudo", "env"] };
    let apt = |words: &[&str]| {
        let mut command = Command::new(as_root[0]);
        command.args(&as_root[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends"]).args(words);
        // It says much, and what goes wrong in the other stream.
        command.stdout(std::process::Stdio::null());
        command
    };
    let install = [&["install"], &missing[..]].concat();
    // Package lists may be absent or too old to download from: fetch them when the first try shows it.
    succeed(&mut apt(&install)).or_else(|_| succeed(&mut apt(&["update"])).and_then(|()| succeed(&mut apt(&install))))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{:?}: {status}", command);
    Ok(())
}

/// Whether `made` is missing, or was made before `from` changed.
fn is_older(made: &Path, from: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    changed(made).is_none_or(|made| changed(from).is_some_and(|from| made < from))
}

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
