//! Playing into a sink, in memory the server reads.

use std::ffi::CString;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;
use std::rc::Rc;
use std::slice;
use std::time::Duration;

use libpulse_sys as pa;

use super::connection::Link;
use super::signals::Lend;
use super::stream::Stream;
use crate::{AudioFormat, Error, MediaTime, Remedy, Result};

/// How much sound is on its way into a sink.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Latency {
    /// What the server has room for, between us and what the sink has taken.
    pub target: Duration,
    /// What the sink takes, and the server asks for, at once: smaller means more wake-ups and less delay.
    pub minimum_request: Duration,
}

impl Latency {
    /// For live media, by who looks at [`Playback::latency`] and writes no more than it wants to lie there.
    pub const LIVE: Self = Self { target: Duration::from_millis(240), minimum_request: Duration::from_millis(10) };
}

/// A stream into a sink. It starts with the first bytes written, stops when it runs dry and starts again with the next bytes.
///
/// Copies: 0 (the lent memory is shared with the server, which mixes from it).
pub struct Playback {
    stream: Stream,
}

impl Playback {
    pub(super) fn new(link: &Rc<Link>, sink: &str, format: AudioFormat, latency: Latency) -> Result<Self> {
        let stream = Stream::new(link, "playback", sink, format)?;
        let sink = CString::new(sink).map_err(|_| Error::new(CONNECTING, Remedy::Report, "the sink's name holds a zero byte"))?;
        let bytes = |duration: Duration| duration_bytes(format, duration);
        let target = bytes(latency.target);
        let attributes = pa::pa_buffer_attr {
            maxlength: target.saturating_mul(4),
            tlength: target,
            // One frame: it starts at once. With 0 a stream that ran dry would go on without us, and what comes late would be thrown away.
            prebuf: u32::try_from(format.frame_bytes()).unwrap_or(u32::MAX),
            minreq: bytes(latency.minimum_request),
            fragsize: u32::MAX,
        };
        let mut volume = MaybeUninit::<pa::pa_cvolume>::uninit();
        // SAFETY: a place of the right type that the function fills; the channels are those of the stream that was just made, so valid.
        unsafe { pa::pa_cvolume_set(volume.as_mut_ptr(), u32::from(format.channels), pa::PA_VOLUME_NORM) };
        // SAFETY: our new stream; name, attributes and volume are copied; no stream to be synchronised with.
        let connecting =
            unsafe { pa::pa_stream_connect_playback(stream.raw(), sink.as_ptr(), &attributes, FLAGS, volume.as_ptr(), ptr::null_mut()) };
        if connecting < 0 { Err(stream.refused(CONNECTING)) } else { Ok(Self { stream }) }
    }

    /// The bytes the server wants now; 0 while the stream is being made, and once it has ended.
    #[must_use]
    pub fn writable_bytes(&self) -> usize {
        if !self.stream.is_ready() {
            return 0;
        }
        // SAFETY: our stream, which is ready.
        let bytes = unsafe { pa::pa_stream_writable_size(self.stream.raw()) };
        if bytes == usize::MAX { 0 } else { bytes }
    }

    /// Lends `fill` silent memory of up to `max_bytes`, no more than [`Playback::writable_bytes`] (so that what is on its way stays
    /// within [`Latency::target`]) and possibly less, and plays as many bytes as it returns; 0 takes the lend back. Returns the bytes
    /// played. Without anything to lend, `fill` is not called.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the stream has ended.
    ///
    /// # Panics
    /// When `fill` returns more than it was lent, or parts of frames.
    pub fn write_with(&mut self, max_bytes: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Result<usize> {
        self.stream.check()?;
        let frame_bytes = self.stream.format().frame_bytes();
        let wanted = max_bytes.min(self.writable_bytes());
        let wanted = wanted - wanted % frame_bytes;
        if wanted == 0 {
            return Ok(0);
        }
        let lent = Lent::begin(&self.stream, wanted)?;
        let used = {
            let _lend = Lend::new(self.stream.signals());
            // SAFETY: `begin` made sure that it is not null, has this many bytes, and set them all. Nobody else touches them until they
            // are written or cancelled: the block is new, of our own pool, and the server does not know of it yet.
            fill(unsafe { slice::from_raw_parts_mut(lent.memory, lent.bytes) })
        };
        assert!(used <= lent.bytes && used.is_multiple_of(frame_bytes), "{used} of {} lent bytes", lent.bytes);
        lent.write(used)
    }

    /// Pauses (what is buffered stays) or goes on. A stream that is still being made remembers it.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the stream has ended.
    pub fn cork(&mut self, corked: bool) -> Result<()> {
        self.stream.cork(corked)
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_corked(&self) -> bool {
        self.stream.is_corked()
    }

    /// Throws away what is written but not played.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the stream has ended.
    pub fn flush(&mut self) -> Result<()> {
        self.stream.flush()
    }

    /// How long from now until what was written has been heard, once the server told it for the first time; 0 or less when it has been.
    #[must_use]
    pub fn latency(&self) -> Option<MediaTime> {
        self.stream.timing().until(self.stream.queued()?)
    }

    /// How far ahead of its clock the sink takes samples, by the server's last word and the time since: what a stream that is dry is
    /// late by. A sink that was asked for no haste takes up to 50 ms, and is still busy with them when haste is first asked for.
    #[must_use]
    pub fn sink_latency(&self) -> Option<MediaTime> {
        self.stream.update_timing();
        self.stream.timing().device()
    }

    /// How often it ran dry.
    #[must_use]
    pub fn underflows(&self) -> u64 {
        self.stream.underflows()
    }
}

impl fmt::Debug for Playback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Playback").field("writable_bytes", &self.writable_bytes()).field("underflows", &self.underflows()).finish()
    }
}

/// Memory the library lent for one write; taken back when dropped.
struct Lent<'a> {
    stream: &'a Stream,
    memory: *mut u8,
    bytes: usize,
    written: bool,
}

impl<'a> Lent<'a> {
    fn begin(stream: &'a Stream, wanted: usize) -> Result<Self> {
        let (mut memory, mut bytes) = (ptr::null_mut(), wanted);
        // SAFETY: our stream, which is ready (something is writable); two valid places to write to.
        let code = unsafe { pa::pa_stream_begin_write(stream.raw(), &mut memory, &mut bytes) };
        if code < 0 || memory.is_null() {
            return Err(stream.refused(WRITING));
        }
        let lent = Self { stream, memory: memory.cast(), bytes: bytes.min(wanted), written: false };
        // SAFETY: the library lent at least this many bytes for writing. A block that did not fit the pool comes uninitialised from the
        // heap; a slice of it may only be made after this.
        unsafe { lent.memory.write_bytes(0, lent.bytes) };
        Ok(lent)
    }

    fn write(mut self, used: usize) -> Result<usize> {
        if used == 0 {
            return Ok(0);
        }
        // SAFETY: our stream; the memory is what `pa_stream_begin_write` lent and `used` no more than that, so it is taken over without a
        // copy; no callback is wanted to free it.
        let code = unsafe { pa::pa_stream_write(self.stream.raw(), self.memory.cast_const().cast(), used, None, 0, pa::PA_SEEK_RELATIVE) };
        self.written = code >= 0;
        if self.written {
            self.stream.timing().start();
            Ok(used)
        } else {
            Err(self.stream.refused(WRITING))
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !self.written {
            // SAFETY: our stream; the slice of the lent memory is gone. It is the answer to an unfinished `pa_stream_begin_write`.
            unsafe { pa::pa_stream_cancel_write(self.stream.raw()) };
        }
    }
}

fn duration_bytes(format: AudioFormat, duration: Duration) -> u32 {
    let frames = duration.as_nanos() * u128::from(format.rate) / 1_000_000_000;
    u32::try_from(frames * format.frame_bytes() as u128).unwrap_or(u32::MAX)
}

/// The stream stays on its sink (sound meant for the microphone must never come out of the speaker) and is as loud as it is written,
/// whatever the server remembers of an earlier one. The sink takes as little at once as is asked for, however much there is room for.
const FLAGS: pa::pa_stream_flags_t = pa::PA_STREAM_DONT_MOVE | pa::PA_STREAM_EARLY_REQUESTS | pa::PA_STREAM_START_UNMUTED;

const CONNECTING: &str = "playing into a sink";
const WRITING: &str = "writing sound";
