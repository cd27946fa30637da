//! Wake-ups between threads, file watching and waiting: thin types over `eventfd(2)`, `inotify(7)` and `poll(2)`.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::sockopt::socket_acceptconn;

use crate::{Error, Remedy, Result};

/// A flag that one thread raises and another can `poll` for; raising it twice before it is lowered is raising it once.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    /// Makes a lowered flag.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        eventfd(0, flags).map(Self).map_err(|errno| Error::system("making an eventfd", Remedy::Retry, errno))
    }

    /// Raises the flag.
    pub fn raise(&self) {
        // EAGAIN means that the counter is full: the flag is up already. Nothing else can fail on a descriptor that we own.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Lowers the flag; says whether it was up.
    pub fn lower(&self) -> bool {
        let mut count = [0; 8];
        rustix::io::read(&self.0, &mut count).is_ok()
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What other processes did with a watched file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileEvent {
    /// A reader closed it.
    Closed,
    /// Somebody opened it.
    Opened,
    /// The kernel's queue overflowed: events were lost.
    Overflowed,
    /// A `read` of it returned. Reads that returned since the last look, with nothing between them, are one event.
    Read,
}

/// Takes over the listening sockets that whoever started this process left open, from descriptor 3 on (`sd_listen_fds(3)`), `count` of them.
/// What is none, and everything at a second call, is `None`. The children of this process will not have them.
///
/// Call it before this process opens sockets of its own.
pub fn inherited_listeners(count: usize) -> Vec<Option<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    // Only the one who finds it lowered goes on; nothing else hangs on it, so that no ordering is needed.
    let is_first = !TAKEN.swap(true, Ordering::Relaxed);
    (FIRST_INHERITED..).take(count.min(MOST_INHERITED)).map(|number| is_first.then(|| inherited_listener(number)).flatten()).collect()
}

fn inherited_listener(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the descriptor is borrowed for two calls that the kernel answers with EBADF where nothing is open, and nothing is closed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if !socket_acceptconn(borrowed).is_ok_and(|listens| listens) {
        return None;
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open (it was just found to listen), it is a listening socket from before we opened any (the caller's duty), so nothing
    // in this process owns it, and `TAKEN` lets each number through once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `SD_LISTEN_FDS_START`
const FIRST_INHERITED: RawFd = 3;
/// Far more than we have uses for.
const MOST_INHERITED: usize = 64;

/// Names one watched file among those of its [`FileWatch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WatchId(i32);

/// Watches files for the opens, reads and closes of readers, through one inotify instance: a user has only 128 of them.
#[derive(Debug)]
pub struct FileWatch(OwnedFd);

impl FileWatch {
    /// Makes a watch of no files.
    ///
    /// # Errors
    /// When the user's inotify instances are used up (`fs.inotify.max_user_instances`).
    pub fn new() -> Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        inotify::init(flags).map(Self).map_err(|errno| Error::system("making an inotify instance", Remedy::Report, errno))
    }

    /// Watches the inode that `file` has open, whatever it is named, until it is gone.
    ///
    /// # Errors
    /// When the user's watches are used up (`fs.inotify.max_user_watches`), or `/proc` is not mounted.
    pub fn add(&self, file: &File) -> Result<WatchId> {
        let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS | inotify::WatchFlags::CLOSE_NOWRITE;
        inotify::add_watch(&self.0, format!("/proc/self/fd/{}", file.as_raw_fd()), events)
            .map(WatchId)
            .map_err(|errno| Error::system("watching a file", Remedy::Report, errno))
    }

    /// Watches the device node that `file` has open for who opens and closes it. What devices are used by is not read.
    ///
    /// # Errors
    /// As [`FileWatch::add`].
    pub fn add_device(&self, file: &File) -> Result<WatchId> {
        let events = inotify::WatchFlags::OPEN | inotify::WatchFlags::CLOSE;
        inotify::add_watch(&self.0, format!("/proc/self/fd/{}", file.as_raw_fd()), events)
            .map(WatchId)
            .map_err(|errno| Error::system("watching a device", Remedy::Report, errno))
    }

    /// Watches a file no more. Events of it that are in the queue still come.
    pub fn remove(&self, id: WatchId) {
        // It is refused when the file is gone, and the watch with it.
        let _ = inotify::remove_watch(&self.0, id.0);
    }

    /// Calls `each` for every event since the last call, oldest first; does not wait. [`FileEvent::Overflowed`] comes with no file.
    pub fn drain(&self, mut each: impl FnMut(Option<WatchId>, FileEvent)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            let id = (event.wd() >= 0).then(|| WatchId(event.wd()));
            let known = [
                (inotify::ReadFlags::OPEN, FileEvent::Opened),
                (inotify::ReadFlags::ACCESS, FileEvent::Read),
                (inotify::ReadFlags::CLOSE_NOWRITE, FileEvent::Closed),
                (inotify::ReadFlags::CLOSE_WRITE, FileEvent::Closed),
                (inotify::ReadFlags::QUEUE_OVERFLOW, FileEvent::Overflowed),
            ];
            known.into_iter().filter(|(flag, _)| flags.contains(*flag)).for_each(|(_, event)| each(id, event));
        }
    }
}

impl AsFd for FileWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of `fds` can be read, or `timeout` has passed (nothing: for ever). A signal ends the wait early.
///
/// # Errors
/// When `poll(2)` itself fails, which only happens when the kernel is out of memory.
pub fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Option<Duration>) -> Result<()> {
    wait(&mut fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), timeout)
}

/// Waits as [`wait_readable`] does, or until `urgent` has priority data, such as the event of a device, or is gone.
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_readable_or_urgent(fds: [BorrowedFd<'_>; 2], urgent: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<()> {
    let [first, second] = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    wait(&mut [first, second, PollFd::from_borrowed_fd(urgent, PollFlags::PRI)], timeout)
}

fn wait(polled: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<()> {
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    match poll(polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Error::system("waiting", Remedy::Retry, io::Error::from(errno))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use rustix::net;

    use super::*;

    #[test]
    fn wake_is_level_triggered_and_merges() {
        let wake = Wake::new().expect("a descriptor");
        assert!(!wake.lower());
        wake.raise();
        wake.raise();
        wait_readable([wake.as_fd()], None).expect("polled");
        assert!(wake.lower());
        assert!(!wake.lower());
    }

    #[test]
    fn urgent_data_and_a_lost_peer_end_the_wait() {
        let calm = Wake::new().expect("a descriptor");
        let ours = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let theirs = std::net::TcpStream::connect(ours.local_addr().expect("an address")).expect("connected");
        let (accepted, _) = ours.accept().expect("accepted");
        net::send(&theirs, b"!", net::SendFlags::OOB).expect("sent");
        wait_readable_or_urgent([calm.as_fd(), calm.as_fd()], accepted.as_fd(), None).expect("polled");
    }

    #[test]
    fn watch_of_a_device_tells_who_opens_it_to_write_and_ends() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let watch = FileWatch::new().expect("inotify");
        let id = watch.add_device(file.as_file()).expect("watched");
        drop(File::options().write(true).open(file.path()).expect("opened"));
        let mut events = Vec::new();
        watch.drain(|of, event| events.push((of, event)));
        assert_eq!(events, [FileEvent::Opened, FileEvent::Closed].map(|event| (Some(id), event)));
        watch.remove(id);
        drop(File::open(file.path()).expect("opened"));
        watch.drain(|_, event| panic!("{event:?}"));
    }

    #[test]
    fn watch_tells_open_read_and_close() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"frame").expect("written");
        let watch = FileWatch::new().expect("inotify");
        let id = watch.add(file.as_file()).expect("watched");
        let mut reader = File::open(file.path()).expect("opened");
        reader.read_exact(&mut [0; 5]).expect("read");
        drop(reader);
        let mut events = Vec::new();
        watch.drain(|of, event| events.push((of, event)));
        assert_eq!(events, [FileEvent::Opened, FileEvent::Read, FileEvent::Closed].map(|event| (Some(id), event)));
    }
}
