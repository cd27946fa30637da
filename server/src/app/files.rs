//! Opening what an input of the type file names.

use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

/// Opens the regular file at `path`, which lies under `root` once every link is followed. Never waits for anybody.
///
/// # Errors
/// When there is no such file, it may not be read, it is no regular file or it lies elsewhere; in words for the caller.
pub(super) fn open(path: &Path, root: &Path) -> Result<File, String> {
    // A relative path is one below the root. A FIFO or a device would keep a blocking open waiting.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(root.join(path), flags, Mode::empty()).map_err(reason)?;
    if !is_below(&file, root) {
        return Err("it is outside the folder that --media-root names".to_owned());
    }
    let stat = rustix::fs::fstat(file.as_fd()).map_err(reason)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        FileType::Directory => Err("it is a directory: name a file in it".to_owned()),
        FileType::Fifo => Err("it is a fifo: only regular files are read".to_owned()),
        FileType::BlockDevice | FileType::CharacterDevice => Err("it is a device: only regular files are read".to_owned()),
        FileType::Socket | FileType::Symlink | FileType::Unknown => Err("it is no regular file".to_owned()),
    }
}

/// Whether the file that was opened, and not what its name stands for by now, lies below `root`.
fn is_below(file: &OwnedFd, root: &Path) -> bool {
    let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let root = fs::canonicalize(root);
    matches!((real, root), (Ok(real), Ok(root)) if real.starts_with(&root))
}

fn reason(errno: Errno) -> String {
    match errno {
        Errno::NOENT | Errno::NOTDIR => "there is no such file".to_owned(),
        Errno::ACCESS | Errno::PERM => "it may not be read".to_owned(),
        Errno::LOOP => "its links go in a circle".to_owned(),
        Errno::NXIO => "it is a socket or a device: only regular files are read".to_owned(),
        other => std::io::Error::from(other).to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_regular_files_below_the_root_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("media"), folder.path().join("secret.mp4"));
        fs::create_dir_all(root.join("folder")).unwrap();
        fs::write(root.join("a b.mp4"), b"x").unwrap();
        fs::write(&outside, b"x").unwrap();
        symlink(&outside, root.join("out.mp4")).unwrap();
        symlink(root.join("a b.mp4"), root.join("in.mp4")).unwrap();
        symlink(root.join("circle"), root.join("circle")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        let _listener = UnixListener::bind(root.join("socket")).unwrap();

        let cases = [
            (root.join("a b.mp4"), None),
            ("a b.mp4".into(), None),
            (root.join("in.mp4"), None),
            (root.join("missing.mp4"), Some("no such file")),
            (root.join("a b.mp4/x"), Some("no such file")),
            (root.join("folder"), Some("directory")),
            (root.join("fifo"), Some("fifo")),
            (root.join("socket"), Some("socket")),
            (root.join("circle"), Some("circle")),
            (root.join("out.mp4"), Some("--media-root")),
            (root.join("../secret.mp4"), Some("--media-root")),
            (outside.clone(), Some("--media-root")),
            ("/dev/null".into(), Some("--media-root")),
        ];
        for (path, refused) in cases {
            let told = open(&path, &root).err();
            match refused {
                None => assert_eq!(told, None, "{}", path.display()),
                Some(reason) => assert!(told.as_ref().is_some_and(|told| told.contains(reason)), "{}: {told:?}", path.display()),
            }
        }
        assert!(open(&outside, Path::new("/")).is_ok());
        assert!(open(Path::new("/dev/null"), Path::new("/")).unwrap_err().contains("device"));
    }
}
