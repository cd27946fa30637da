//! Why the server cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps `crosspoint` from running, in words for who started it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate or its key cannot be used.
    #[error("using the certificate {path} (--tls-cert, --tls-key): {cause}", path = path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A device cannot be opened.
    #[error("{0}")]
    Device(crosspoint_ffi::Error),
    /// The address cannot be listened on.
    #[error("listening on {address} ({flag}): {cause}")]
    Listen {
        /// By which flag.
        flag: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// What was tried for `--check` and did not work was told; this is the exit code's reason.
    #[error("something is missing (see above)")]
    Check,
    /// A listener that was opened for us cannot be used.
    #[error("taking the inherited listener for {flag} over: {cause}")]
    Inherited {
        /// For which flag.
        flag: &'static str,
        /// Why not.
        cause: io::Error,
    },
    /// The ready file cannot be written.
    #[error("writing the ready file {path} (--ready-file): {cause}", path = path.display())]
    ReadyFile {
        /// Where.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// WebRTC cannot be set up.
    #[error("setting webrtc up: {0}")]
    Rtc(io::Error),
    /// The runtime cannot be made.
    #[error("starting the runtime: {0}")]
    Runtime(io::Error),
    /// The signal handlers cannot be installed.
    #[error("listening for signals: {0}")]
    Signals(io::Error),
    /// The kernel or a filter refuses io_uring, and it was asked for by name.
    #[error("io_uring is refused here ({0}): use --io auto or --io epoll")]
    UringRefused(io::Error),
    /// A thread cannot be started.
    #[error("starting a thread: {0}")]
    Thread(io::Error),
    /// The file of tokens cannot be used.
    #[error("using the tokens in {path} (--token-file): {cause}", path = path.display())]
    TokenFile {
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// Standard output is gone.
    #[error("writing to standard output: {0}")]
    Told(io::Error),
    /// The UDP socket cannot be had.
    #[error("listening on {address} for webrtc over udp (--listen, --no-udp): {cause}")]
    Udp {
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
    /// The wrapper cannot be written or printed.
    #[error("writing the browser wrapper: {0}")]
    Wrapper(io::Error),
    /// The wrapper's path cannot be given to Chromium.
    #[error("{path} has a space in it, and Chromium splits --utility-cmd-prefix at spaces: choose another path", path = .0.display())]
    WrapperPath(PathBuf),
}
