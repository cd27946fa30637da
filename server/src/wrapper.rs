//! The wrapper through which stock Chromium sees the file camera.
//!
//! The two fake-camera flags on the whole browser would replace the microphone by a beeping fake. So the browser is started with
//! `--utility-cmd-prefix=WRAPPER`, and the wrapper adds the flags to one child only: the video capture service. Everything else it
//! executes unchanged, the microphone's service with it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crosspoint_ffi::v4l2::is_loopback;

use crate::Error;
use crate::config::{CameraChoice, WrapperOptions};

/// How a browser is started with the wrapper.
pub const HELP: &str = "\
Start Chromium with the wrapper like this:

  crosspoint browser-wrapper --write /tmp/crosspoint-wrapper
  chromium --utility-cmd-prefix=/tmp/crosspoint-wrapper --auto-accept-camera-and-microphone-capture

The browser then has the camera that crosspoint writes and the PulseAudio microphone beside it; it needs no other flag. Give the
wrapper the same --camera as the server. Its path must have no space in it: Chromium splits the prefix there. The wrapper must be
executable for the user that runs the browser, and the camera file readable.";

/// Prints the wrapper, or writes it executable where the options say.
///
/// # Errors
/// When it cannot be written, or written only where Chromium could not start it.
pub fn print_or_write(options: &WrapperOptions) -> Result<(), Error> {
    let script = script(&options.camera.clone().chosen(is_loopback)).map_err(Error::Wrapper)?;
    let Some(path) = &options.write else {
        return io::stdout().write_all(&script).map_err(Error::Wrapper);
    };
    if path.as_os_str().as_bytes().iter().any(u8::is_ascii_whitespace) {
        return Err(Error::WrapperPath(path.clone()));
    }
    write_executable(path, &script).map_err(Error::Wrapper)
}

/// The wrapper for `camera` as a POSIX shell script. A relative camera file is looked for from the present folder.
///
/// # Errors
/// When a relative camera file cannot be made absolute.
pub fn script(camera: &CameraChoice) -> io::Result<Vec<u8>> {
    let mut script =
        b"#!/bin/sh\n# Made by `crosspoint browser-wrapper`; start Chromium with --utility-cmd-prefix and this file's path.\n".to_vec();
    if let Some(file) = camera.file() {
        let file = std::path::absolute(file)?;
        script.extend_from_slice(
            b"for argument in \"$@\"; do\n  if [ \"$argument\" = --utility-sub-type=video_capture.mojom.VideoCaptureService ]; then\n",
        );
        // The camera's label is the path as given, so the name alone is given.
        script.extend_from_slice(b"    cd ");
        script.extend(quoted(file.parent().unwrap_or_else(|| Path::new("/")).as_os_str().as_bytes()));
        script.extend_from_slice(b" && set -- \"$@\" --use-fake-device-for-media-stream --use-file-for-fake-video-capture=");
        script.extend(quoted(file.file_name().unwrap_or_default().as_bytes()));
        script.extend_from_slice(b"\n    break\n  fi\ndone\n");
    }
    script.extend_from_slice(b"exec \"$@\"\n");
    Ok(script)
}

/// The bytes as one word of a POSIX shell.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut word = vec![b'\''];
    for &byte in text {
        match byte {
            b'\'' => word.extend_from_slice(br"'\''"),
            _ => word.push(byte),
        }
    }
    word.push(b'\'');
    word
}

/// Writes beside `path` and renames, so that a browser that starts meanwhile finds the old wrapper or the new one, whole.
fn write_executable(path: &Path, script: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&fresh)?;
        // The mode at creation is cut by the umask.
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.write_all(script)?;
        drop(file);
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // The error that is told is the one that came first.
        let _ = fs::remove_file(&fresh);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the wrapper as Chromium does, with a child that prints its folder and its arguments.
    fn run(wrapper: &Path, arguments: &[&str]) -> Vec<String> {
        assert!(fs::metadata(wrapper).unwrap().permissions().mode() & 0o111 != 0, "it can be executed");
        // By its interpreter: a child that another test forks meanwhile may still hold the file open for writing, and the kernel executes
        // no such file.
        let output = Command::new("/bin/sh")
            .arg(wrapper)
            .args(["/bin/sh", "-c", r#"pwd; for a in "$@"; do echo "$a"; done"#, "sh"])
            .args(arguments)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn install(camera: &CameraChoice, folder: &Path) -> PathBuf {
        let path = folder.join("wrapper");
        print_or_write(&WrapperOptions { write: Some(path.clone()), camera: camera.clone() }).unwrap();
        path
    }

    const CAPTURE: &str = "--utility-sub-type=video_capture.mojom.VideoCaptureService";

    #[test]
    fn only_the_capture_service_gets_the_camera() {
        let folder = tempfile::tempdir().unwrap();
        let hostile = folder.path().join("it's a $(folder) \"with\" `names`");
        fs::create_dir(&hostile).unwrap();
        let wrapper = install(&CameraChoice::File(hostile.join("Bob's $HOME cam.y4m")), folder.path());

        let capture = run(&wrapper, &["--type=utility", CAPTURE, "--lang=en US"]);
        let camera = "--use-file-for-fake-video-capture=Bob's $HOME cam.y4m";
        let expected = [hostile.to_str().unwrap(), "--type=utility", CAPTURE, "--lang=en US", "--use-fake-device-for-media-stream", camera];
        assert_eq!(capture, expected);

        let audio = ["--type=utility", "--utility-sub-type=audio.mojom.AudioService", "a  b"];
        assert_eq!(run(&wrapper, &audio), [&["/"], &audio[..]].concat());
    }

    #[test]
    fn missing_folder_leaves_the_child_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let wrapper = install(&CameraChoice::File(folder.path().join("gone/cam.y4m")), folder.path());
        assert_eq!(run(&wrapper, &[CAPTURE]), ["/", CAPTURE]);
    }

    #[test]
    fn no_file_camera_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        for camera in [CameraChoice::Off, CameraChoice::V4l2("/dev/video0".into())] {
            assert_eq!(run(&install(&camera, folder.path()), &[CAPTURE]), ["/", CAPTURE]);
        }
    }

    #[test]
    fn path_with_a_space_is_refused() {
        let options = WrapperOptions { write: Some("/tmp/my wrapper".into()), camera: CameraChoice::Auto };
        assert!(matches!(print_or_write(&options), Err(Error::WrapperPath(_))));
    }
}
