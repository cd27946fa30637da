//! The camera that is a file: one Y4M frame on tmpfs, overwritten in place while Chromium reads it again and again.
//!
//! Chromium opens the file once, takes size and rate from its header and then reads the one frame at each tick of its own timer; a short
//! read ends its capture process. So a file's size never changes: another canvas is another inode, renamed into place, while the old
//! one is written on for whoever still reads it.
//!
//! A reader takes the one frame at any moment, so nothing is decoded into it: that would show half a picture. Pictures that fit are made in
//! slots of a [`Pool`] that the file's owner lends, as a device's are, and cost one copy: they lie there as they do in the file.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crosspoint_ffi::lend::{Lender, Pool};
use crosspoint_ffi::map::{Region, SharedFile};
use crosspoint_ffi::{Error, I420Mut, Remedy, Result, VideoFormat};
use crosspoint_router::wire::y4m::Layout;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// A live one-frame Y4M file of which this process is the one writer.
///
/// Copies: 0 (the picture is drawn into the pages that readers read).
#[derive(Debug)]
pub(crate) struct Y4mCamera {
    layout: Layout,
    shared: SharedFile,
    lender: Lender,
}

/// What is lent: as many as a stream refers to at most that is made for low delay, those on their way to the file, and one more.
const SLOTS: usize = 8;

impl Y4mCamera {
    /// Opens the camera file at `path`, black: the one that is there when its header and size are those of `format`, so that a browser
    /// which has it open sees no difference; else a new one in its place. What is drawn on it may be made in what `lender` has from then on.
    pub(crate) fn open(path: &Path, format: VideoFormat, lender: &Lender) -> Result<Self> {
        let place = Place::of(path)?;
        let mut camera = match place.open_existing()? {
            Some(file) => place.adopt(file, format, lender)?,
            None => place.create(format, Replace::No, lender)?,
        };
        camera.picture().fill_black();
        Ok(camera)
    }

    /// Puts a new file, black and of `format`, at `path` in place of this one, which lives on for its readers.
    pub(crate) fn replaced(&self, path: &Path, format: VideoFormat) -> Result<Self> {
        Place::of(path)?.create(format, Replace::Yes, &self.lender)
    }

    /// What the file shows.
    pub(crate) fn format(&self) -> VideoFormat {
        self.layout.format()
    }

    /// The file, for a watch.
    pub(crate) fn file(&self) -> &File {
        self.shared.file()
    }

    /// The frame that readers read, to draw on.
    pub(crate) fn picture(&mut self) -> I420Mut<'_> {
        let format = self.layout.format();
        let samples = &mut self.shared.as_mut_slice()[self.layout.picture_offset()..];
        I420Mut::packed(samples, format.width(), format.height()).expect("the file is sized by its layout")
    }

    fn map(file: File, format: VideoFormat, lender: &Lender) -> Result<Self> {
        let layout = Layout::new(format);
        let shared = SharedFile::new(file, layout.file_bytes())?;
        lender.offer(Some(Arc::new(Pool::new(Region::new(SLOTS, format.i420_bytes())?, format))));
        Ok(Self { layout, shared, lender: lender.clone() })
    }
}

/// A name in a directory that is held open, so that no later step follows another path.
struct Place {
    directory: OwnedFd,
    name: PathBuf,
    path: PathBuf,
}

/// Whether a new file may take the place of the one that has the name.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Replace {
    No,
    Yes,
}

impl Place {
    /// Opens the folder of `path`, making it (and only it) when it is missing.
    fn of(path: &Path) -> Result<Self> {
        let report = |errno: Errno| Error::new("opening the camera's folder", Remedy::Report, format!("{}: {errno}", path.display()));
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(report(Errno::INVAL));
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = match rustix::fs::open(parent, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdir(parent, Mode::from_raw_mode(0o755)).map_err(report)?;
                rustix::fs::open(parent, flags, Mode::empty()).map_err(report)?
            }
            opened => opened.map_err(report)?,
        };
        Ok(Self { directory, name: name.into(), path: path.to_owned() })
    }

    fn error(&self, doing: &'static str, cause: impl std::fmt::Display) -> Error {
        Error::new(doing, Remedy::Report, format!("{}: {cause}", self.path.display()))
    }

    /// Opens the file that has the name, if any; refuses links and whatever else is no regular file of ours.
    fn open_existing(&self) -> Result<Option<File>> {
        const DOING: &str = "opening the camera file";
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(self.error(DOING, "it is a symbolic link")),
            Err(errno) => return Err(self.error(DOING, errno)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|errno| self.error(DOING, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(self.error(DOING, "it is not a regular file"));
        }
        Ok(Some(File::from(file)))
    }

    /// Goes on with `file` when it is what we would make; else replaces it, unless another process is writing it.
    fn adopt(&self, mut file: File, format: VideoFormat, lender: &Lender) -> Result<Y4mCamera> {
        const DOING: &str = "adopting the camera file";
        let layout = Layout::new(format);
        let mut start = vec![0; layout.prologue().len()];
        let length = file.metadata().map_err(|error| self.error(DOING, error))?.len();
        let same = length == layout.file_bytes() as u64 && file.read_exact(&mut start).is_ok() && start == layout.prologue();
        if same {
            return Y4mCamera::map(file, format, lender).map_err(|error| self.error(DOING, error));
        }
        // The lock is what tells whether another process writes it; it goes when `file` is closed.
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| self.error(DOING, "another process is writing it"))?;
        self.create(format, Replace::Yes, lender)
    }

    /// Makes a black file under a name of its own, and gives it the camera's name only when it is whole.
    fn create(&self, format: VideoFormat, replace: Replace, lender: &Lender) -> Result<Y4mCamera> {
        const DOING: &str = "making the camera file";
        let fail = |errno: Errno| self.error(DOING, errno);
        let temporary = format!(".{}.{}", self.name.display(), std::process::id());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // One that a killed process with our id left behind.
        let _ = rustix::fs::unlinkat(&self.directory, &temporary, AtFlags::empty());
        let file = rustix::fs::openat(&self.directory, &temporary, flags, Mode::from_raw_mode(0o644)).map_err(fail)?;
        let named = rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).map_err(fail).and_then(|()| {
            let mut camera = Y4mCamera::map(File::from(file), format, lender).map_err(|error| self.error(DOING, error))?;
            let start = camera.layout.prologue();
            camera.shared.as_mut_slice()[..start.len()].copy_from_slice(start);
            camera.picture().fill_black();
            match replace {
                Replace::Yes => rustix::fs::renameat(&self.directory, &temporary, &self.directory, &self.name),
                // Unlike a rename this fails when another process was quicker.
                Replace::No => rustix::fs::linkat(&self.directory, &temporary, &self.directory, &self.name, AtFlags::empty()),
            }
            .map_err(fail)?;
            Ok(camera)
        });
        if replace == Replace::No || named.is_err() {
            let _ = rustix::fs::unlinkat(&self.directory, &temporary, AtFlags::empty());
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::time::Instant;

    use crosspoint_ffi::av::{H264Encoder, H264Settings, Painter, Preset, Threads, VideoDecoder};
    use crosspoint_ffi::{Codec, I420, MediaTime};

    use super::*;

    fn format(width: u32) -> VideoFormat {
        VideoFormat::new(width, 48, 30).expect("a format")
    }

    fn inode(path: &Path) -> u64 {
        std::fs::metadata(path).expect("there").ino()
    }

    #[test]
    fn file_is_whole_black_and_readable_by_all() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("made").join("HD Webcam.y4m");
        let camera = Y4mCamera::open(&path, format(64), &Lender::default()).expect("made");
        let bytes = std::fs::read(&path).expect("read");
        assert_eq!(bytes.len(), Layout::new(format(64)).file_bytes());
        assert!(bytes.starts_with(camera.layout.prologue()));
        assert_eq!((bytes[camera.layout.picture_offset()], bytes[bytes.len() - 1]), (16, 128));
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(path.parent().expect("a parent")).expect("listed").count(), 1, "nothing left beside it");
    }

    #[test]
    fn restart_adopts_the_same_inode_and_blackens_it() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("camera.y4m");
        let mut first = Y4mCamera::open(&path, format(64), &Lender::default()).expect("made");
        first.picture().y.data.fill(235);
        let before = inode(&path);
        drop(first);
        let second = Y4mCamera::open(&path, format(64), &Lender::default()).expect("adopted");
        assert_eq!(inode(&path), before);
        assert_eq!(std::fs::read(&path).expect("read")[second.layout.picture_offset()], 16);
    }

    #[test]
    fn other_size_is_another_inode_and_the_old_one_lives_on() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("camera.y4m");
        let mut old = Y4mCamera::open(&path, format(64), &Lender::default()).expect("made");
        let mut reader = File::open(&path).expect("opened");
        let new = old.replaced(&path, format(32)).expect("replaced");
        assert_eq!(new.format(), format(32));
        old.picture().y.data[0] = 99;
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).expect("read");
        assert_eq!((seen.len(), seen[old.layout.picture_offset()]), (old.layout.file_bytes(), 99));
        drop((old, new));
        assert!(Y4mCamera::open(&path, format(64), &Lender::default()).is_ok(), "a stale file of another size is replaced");
    }

    #[test]
    fn decoder_makes_pictures_in_what_is_lent_and_the_file_shows_them_as_it_would_show_others() {
        let directory = tempfile::tempdir().expect("a folder");
        let lender = Lender::default();
        let before = Y4mCamera::open(&directory.path().join("camera.y4m"), format(64), &lender).expect("made");
        let format = format(128);
        let mut camera = before.replaced(&directory.path().join("camera.y4m"), format).expect("replaced");
        let settings = H264Settings { format, bitrate_bps: 1_000_000, max_bitrate_bps: 1_000_000, preset: Preset::default() };
        let mut encoder = H264Encoder::new(settings).expect("libx264");
        let [mut lent, mut own] = [&lender, &Lender::default()]
            .map(|lender| (VideoDecoder::open_in(lender, Codec::H264, None, Threads::Slices).expect("a decoder"), Painter::new()));
        for nth in 0..30_u8 {
            let bytes: Vec<_> = (0..format.i420_bytes()).map(|at| (at % 97) as u8 ^ (nth * 3)).collect();
            let picture = I420::packed(&bytes, format.width(), format.height()).expect("sized");
            let pts = MediaTime::from_millis(i64::from(nth) * 33);
            let packet = encoder.encode(&picture, pts, Instant::now(), nth == 0).expect("encoded").expect("at once");
            let mut shown = |(decoder, painter): &mut (VideoDecoder, Painter)| {
                decoder.send(&packet).expect("a good packet");
                painter.draw(&decoder.receive().expect("a good packet").expect("at once"), &mut camera.picture()).expect("drawn");
                assert_eq!(painter.copied().passes, u64::from(nth) + 1, "one copy each");
                camera.shared.as_slice().to_vec()
            };
            assert_eq!(shown(&mut lent), shown(&mut own), "picture {nth}");
        }
        assert_eq!((lent.0.is_lent(), own.0.is_lent()), (true, false));
    }

    #[test]
    fn second_process_links_and_folders_are_refused_in_words() {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("camera.y4m");
        let _first = Y4mCamera::open(&path, format(64), &Lender::default()).expect("made");
        for other in [format(64), format(32)] {
            let error = Y4mCamera::open(&path, other, &Lender::default()).expect_err("locked").to_string();
            assert!(error.contains("another process is writing it"), "{error}");
        }
        let link = directory.path().join("link.y4m");
        std::os::unix::fs::symlink(&path, &link).expect("linked");
        let error = Y4mCamera::open(&link, format(64), &Lender::default()).expect_err("a link").to_string();
        assert!(error.contains("symbolic link"), "{error}");
        assert!(Y4mCamera::open(directory.path(), format(64), &Lender::default()).is_err());
    }
}
