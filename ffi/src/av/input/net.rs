//! Which addresses are opened, how, and how much of their text is read.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::catch_unwind;
use std::slice;
use std::sync::OnceLock;

use ffmpeg_sys_next as ff;

use super::interrupt::{Fault, Hint, Watch};
use crate::{Error, Remedy, Result};

/// An address of a kind that is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    pub(super) url: CString,
    pub(super) is_realtime: bool,
}

impl Address {
    /// Checks the scheme of a URL.
    pub(super) fn new(url: &str) -> Result<Self> {
        let refuse = |text: String| Error::new("opening a url", Remedy::Report, text);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refuse(format!("it is not one: give {SCHEMES}")))?;
        // FFmpeg splits `scheme,options` itself; that would name options of any protocol.
        let scheme = scheme.to_ascii_lowercase();
        let is_realtime = match scheme.as_str() {
            "http" | "https" => false,
            "rtmp" | "rtmps" | "rtsp" | "rtsps" | "srt" | "udp" => true,
            _ => return Err(refuse(format!("{scheme} is not opened: give {SCHEMES}"))),
        };
        // Its protocols take them in lower case only.
        let url = CString::new(format!("{scheme}://{rest}")).map_err(|_| refuse("it has a zero byte".to_owned()))?;
        Ok(Self { url, is_realtime })
    }
}

/// What protocols and demuxers are told; each takes what it knows.
pub(super) const OPTIONS: [(&CStr, &CStr); 9] = [
    (c"protocol_whitelist", PROTOCOLS),
    // The whitelist keeps files safe; without it extensions decide, and a segment's name need have none.
    (c"allowed_extensions", c"ALL"),
    (c"extension_picky", c"0"),
    // The last but one: a segment is in hand while the next is being made, so that none is missed.
    (c"live_start_index", c"-2"),
    // A connection that lives on is found by the function that reads it, which is `read` here; FFmpeg 5.1 aborts when it is another.
    (c"http_persistent", c"0"),
    (c"rtsp_flags", c"prefer_tcp"),
    // Of packets over UDP, how long a missing one is waited for, in microseconds.
    (c"max_delay", c"100000"),
    (c"overrun_nonfatal", c"1"),
    // Nobody here asks for the frame rate; guessing it reads twenty frames.
    (c"fpsprobesize", c"0"),
];

/// Makes `context` open what it needs through [`open`].
pub(super) fn watch_opening(context: &mut ff::AVFormatContext) {
    if let Some(open) = context.io_open {
        let _ = DEFAULT_OPEN.set(open);
    }
    context.io_open = Some(open);
}

/// Makes what is opened and read on this thread answer to `watch` and count in `text`, while `call` runs.
pub(super) fn during<T>(watch: &Watch, text: &Text, call: impl FnOnce() -> T) -> T {
    struct Restore(Option<Scope>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPE.set(self.0);
        }
    }
    text.bytes.set(0);
    text.entries.set(0);
    let _restore = Restore(SCOPE.replace(Some(Scope { watch, text })));
    call()
}

/// How much of playlists one call of libavformat has read. What it keeps of them has no other bound.
#[derive(Debug, Default)]
pub(super) struct Text {
    bytes: Cell<usize>,
    entries: Cell<usize>,
    /// The connections that carry playlists, by their addresses.
    playlists: RefCell<Vec<usize>>,
    /// Media of a file name nothing that is opened.
    is_closed: bool,
}

impl Text {
    pub(super) fn new(is_closed: bool) -> Self {
        Self { is_closed, ..Self::default() }
    }

    fn forget(&self, connection: usize) {
        self.playlists.borrow_mut().retain(|&other| other != connection);
    }

    /// Says what a connection brought, and counts it if that is a playlist.
    fn take(&self, connection: usize, bytes: &[u8]) -> Brought {
        let mut playlists = self.playlists.borrow_mut();
        if !playlists.contains(&connection) {
            if !bytes.starts_with(b"#EXTM3U") {
                return Brought::Media;
            }
            playlists.push(connection);
        }
        // A line that two reads share may be missed; a bound need not be exact.
        let is_entry = |line: &&[u8]| line.starts_with(b"#EXT-X-STREAM-INF") || line.starts_with(b"#EXT-X-MEDIA:");
        let entries = bytes.split(|&byte| byte == b'\n').filter(is_entry).count();
        self.bytes.set(self.bytes.get() + bytes.len());
        self.entries.set(self.entries.get() + entries);
        let is_too_much = self.bytes.get() > MOST_TEXT_BYTES || self.entries.get() > MOST_ENTRIES;
        if is_too_much { Brought::TooMuchText } else { Brought::Text }
    }
}

/// What a connection brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Brought {
    Media,
    /// Of a playlist. A reader that gets nothing but playlists, again and again, gets nowhere.
    Text,
    TooMuchText,
}

/// Who is asked on this thread.
#[derive(Clone, Copy)]
struct Scope {
    watch: *const Watch,
    text: *const Text,
}

impl Scope {
    fn watch(&self) -> &Watch {
        // SAFETY: `during` borrows the watch as long as this scope can be found.
        unsafe { &*self.watch }
    }

    fn text(&self) -> &Text {
        // SAFETY: `during` borrows the text as long as this scope can be found; it stays on this thread.
        unsafe { &*self.text }
    }
}

/// Opens as libavformat would, bounds the answer's header, and puts [`read`] before what reads the rest.
unsafe extern "C" fn open(
    context: *mut ff::AVFormatContext,
    io: *mut *mut ff::AVIOContext,
    url: *const c_char,
    flags: c_int,
    options: *mut *mut ff::AVDictionary,
) -> c_int {
    let (Some(default), Some(scope)) = (DEFAULT_OPEN.get(), SCOPE.get()) else { return ff::AVERROR_EXIT };
    if scope.text().is_closed {
        scope.watch().fail(Fault::Nested);
        return ff::AVERROR_EXIT;
    }
    scope.watch().begin_header();
    // SAFETY: the arguments are libavformat's own, for the function that it would have called with them.
    let code = unsafe { default(context, io, url, flags, options) };
    scope.watch().end_header();
    if code == ff::AVERROR(ff::EINVAL) {
        // Which is what the whitelist says.
        scope.watch().fail(Fault::Nested);
    }
    // SAFETY: libavformat gives a terminated url, which lives as long as the call.
    let scheme = Scheme::of(unsafe { CStr::from_ptr(url) });
    if code == ff::AVERROR(ff::EIO) {
        match scheme {
            Scheme::Http => scope.watch().note(Hint::Redirects),
            Scheme::Https => scope.watch().note(Hint::NotSecure),
            Scheme::Other => {}
        }
    }
    if code < 0 {
        return code;
    }
    // SAFETY: libavformat gave the place, and a call that succeeded has stored a new connection there, or null.
    let opened = unsafe { *io };
    // SAFETY: as above; nobody else has the connection yet.
    let Some(opened) = (unsafe { opened.as_mut() }) else { return code };
    scope.text().forget(opened.opaque as usize);
    if let Some(function) = opened.read_packet {
        // There is one such function in libavformat, whatever the protocol; were there two, the other would go uncounted.
        if std::ptr::fn_addr_eq(*DEFAULT_READ.get_or_init(|| function), function) {
            // SAFETY: the connection is open and nobody else has it; asking for a size moves nothing.
            let mut has_length = || unsafe { ff::avio_size(opened) } >= 0;
            opened.read_packet = Some(if scheme == Scheme::Other || has_length() { read } else { read_to_close });
        }
    }
    code
}

/// Reads as libavformat would, tells the watch of media, and ends playlists that do not end.
unsafe extern "C" fn read(connection: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    let Some(default) = DEFAULT_READ.get() else { return ff::AVERROR_EXIT };
    // SAFETY: `open` put this function where it had found that one; the arguments are libavformat's own.
    let code = unsafe { default(connection, buffer, size) };
    let Some(scope) = SCOPE.get() else { return code };
    if code == ff::AVERROR(ff::EIO) {
        scope.watch().note(Hint::CutOff);
    }
    let Ok(count @ 1..) = usize::try_from(code) else { return code };
    // SAFETY: the call has just written so many bytes there, into a buffer that is libavformat's until we return.
    let bytes = unsafe { slice::from_raw_parts(buffer, count) };
    match catch_unwind(|| scope.text().take(connection as usize, bytes)).unwrap_or(Brought::TooMuchText) {
        Brought::Media => scope.watch().progress(),
        Brought::Text => {}
        Brought::TooMuchText => {
            scope.watch().fail(Fault::EndlessPlaylist);
            return ff::AVERROR_EXIT;
        }
    }
    code
}

/// Reads an HTTP answer without a length: it ends where the connection does, which libavformat takes for an error.
unsafe extern "C" fn read_to_close(connection: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    // SAFETY: `open` put this function where it had found the one that `read` calls; the arguments are libavformat's own.
    let code = unsafe { read(connection, buffer, size) };
    if code == ff::AVERROR(ff::EIO) { ff::AVERROR_EOF } else { code }
}

/// What carries an address, as far as it matters here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Http,
    Https,
    Other,
}

impl Scheme {
    fn of(url: &CStr) -> Self {
        let url = url.to_bytes();
        if url.starts_with(b"http://") {
            Self::Http
        } else if url.starts_with(b"https://") {
            Self::Https
        } else {
            Self::Other
        }
    }
}

impl std::panic::RefUnwindSafe for Text {}

type Open =
    unsafe extern "C" fn(*mut ff::AVFormatContext, *mut *mut ff::AVIOContext, *const c_char, c_int, *mut *mut ff::AVDictionary) -> c_int;
type Read = unsafe extern "C" fn(*mut c_void, *mut u8, c_int) -> c_int;

static DEFAULT_OPEN: OnceLock<Open> = OnceLock::new();
static DEFAULT_READ: OnceLock<Read> = OnceLock::new();

thread_local! {
    static SCOPE: Cell<Option<Scope>> = const { Cell::new(None) };
}

const SCHEMES: &str = "http, https, rtmp, rtmps, rtsp, rtsps, srt or udp";

/// The schemes above and what they are made of. No file, pipe, data, concat or subfile: media name further addresses.
const PROTOCOLS: &CStr = c"http,https,httpproxy,tcp,tls,rtmp,rtmps,rtp,srtp,srt,udp,crypto";

/// A day of one-second segments with long names; kept, it is some ten times as much.
const MOST_TEXT_BYTES: usize = 8 << 20;

/// Variants and renditions: each costs 10 KB and a demuxer.
const MOST_ENTRIES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_schemes_are_opened() {
        for (url, expected) in [
            ("http://a/b.mp4", Some(false)),
            ("HTTPS://a/b", Some(false)),
            ("rtmp://a/live/key", Some(true)),
            ("rtsp://a:8554/x", Some(true)),
            ("srt://a:9000?mode=caller", Some(true)),
            ("udp://127.0.0.1:5000", Some(true)),
            ("file:///etc/passwd", None),
            ("/etc/passwd", None),
            ("data:text/plain,x", None),
            ("concat:http://a|http://b", None),
            ("crypto+http://a", None),
            ("subfile,,start,1,end,2,,:http://a", None),
            ("http,x=y://a", None),
            ("http://a/\0", None),
        ] {
            assert_eq!(Address::new(url).ok().map(|address| address.is_realtime), expected, "{url}");
        }
        assert_eq!(Address::new("HTTP://A/B").map(|address| address.url), Ok(c"http://A/B".to_owned()));
    }

    #[test]
    fn playlists_are_counted_and_media_are_not() {
        let text = Text::default();
        let much = vec![b'x'; MOST_TEXT_BYTES / 2];
        assert!((0..5).all(|_| text.take(1, &much) == Brought::Media));
        assert_eq!(text.take(2, b"#EXTM3U\n"), Brought::Text);
        assert_eq!(text.take(2, &much), Brought::Text);
        assert_eq!(text.take(2, &much), Brought::TooMuchText);
        text.forget(2);
        assert_eq!(text.take(2, &much), Brought::Media, "another connection at the same address");
    }

    #[test]
    fn variants_are_counted() {
        let text = Text::default();
        let variants = b"#EXT-X-STREAM-INF:BANDWIDTH=1\na\n".repeat(MOST_ENTRIES / 2);
        assert_eq!(text.take(1, &[b"#EXTM3U\n", &variants[..]].concat()), Brought::Text);
        assert_eq!(text.take(1, &variants), Brought::Text);
        assert_eq!(text.take(1, &variants), Brought::TooMuchText);
    }
}
