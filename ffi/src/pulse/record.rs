//! Recording a source, read in the server's memory.

use std::ffi::CString;
use std::fmt;
use std::ptr;
use std::rc::Rc;
use std::slice;

use libpulse_sys as pa;

use super::connection::Link;
use super::signals::Lend;
use super::stream::Stream;
use crate::{AudioFormat, Error, MediaTime, Remedy, Result};

/// A stream from a source.
///
/// Copies: 0 (fragments are read where the server shares them).
pub struct Record {
    stream: Stream,
}

impl Record {
    pub(super) fn new(link: &Rc<Link>, source: &str, format: AudioFormat, fragment_bytes: usize) -> Result<Self> {
        let stream = Stream::new(link, "record", source, format)?;
        let source = CString::new(source).map_err(|_| Error::new(CONNECTING, Remedy::Report, "the source's name holds a zero byte"))?;
        let fragment = u32::try_from(fragment_bytes.max(format.frame_bytes())).unwrap_or(u32::MAX);
        let attributes = pa::pa_buffer_attr {
            maxlength: fragment.saturating_mul(MAX_FRAGMENTS),
            tlength: u32::MAX,
            prebuf: u32::MAX,
            minreq: u32::MAX,
            fragsize: fragment,
        };
        // SAFETY: our new stream; name and attributes are copied.
        let connecting = unsafe { pa::pa_stream_connect_record(stream.raw(), source.as_ptr(), &attributes, FLAGS) };
        if connecting < 0 { Err(stream.refused(CONNECTING)) } else { Ok(Self { stream }) }
    }

    /// Gives everything recorded so far to `take`, piece by piece, and returns how many bytes that was. `hole` is set on pieces the
    /// source had nothing for: they are silence. Ask for [`Record::latency`] before, it is that of the first byte.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the stream has ended.
    pub fn read_with(&mut self, mut take: impl FnMut(&[u8], bool)) -> Result<usize> {
        let mut taken = 0;
        while self.stream.check()? {
            let Some(piece) = Piece::peek(&self.stream)? else {
                break;
            };
            let _lend = Lend::new(self.stream.signals());
            match piece.memory {
                // SAFETY: `peek` gives this many bytes, which stay until `pa_stream_drop`, in the drop of `piece`. The server has handed
                // the block over: it writes to it again only when that drop gives it back.
                Some(memory) => take(unsafe { slice::from_raw_parts(memory, piece.bytes) }, false),
                None => silence(piece.bytes, |silence| take(silence, true)),
            }
            taken += piece.bytes;
        }
        Ok(taken)
    }

    /// Pauses or goes on. A stream that is still being made remembers it.
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

    /// Throws away what is recorded but not read.
    ///
    /// # Errors
    /// [`Remedy::Rebuild`] when the stream has ended.
    pub fn flush(&mut self) -> Result<()> {
        self.stream.flush()
    }

    /// How long ago the next byte to be read was captured, once the server told it for the first time. That of a monitor can be
    /// negative: a sink mixes ahead of its clock.
    #[must_use]
    pub fn latency(&self) -> Option<MediaTime> {
        self.stream.timing().until(-self.stream.queued()?).map(|until| -until)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("ready", &self.stream.is_ready()).field("corked", &self.is_corked()).finish()
    }
}

/// The next piece of a recording; given back when dropped.
struct Piece<'a> {
    stream: &'a Stream,
    /// Nothing for a hole.
    memory: Option<*const u8>,
    bytes: usize,
}

impl<'a> Piece<'a> {
    /// # Errors
    /// When the ready stream cannot be read.
    fn peek(stream: &'a Stream) -> Result<Option<Self>> {
        let (mut memory, mut bytes) = (ptr::null(), 0);
        // SAFETY: our stream, which the caller found ready; two valid places to write to.
        let code = unsafe { pa::pa_stream_peek(stream.raw(), &mut memory, &mut bytes) };
        if code < 0 {
            return Err(stream.refused("reading sound"));
        }
        let memory = (!memory.is_null()).then_some(memory.cast());
        Ok((bytes > 0).then_some(Self { stream, memory, bytes }))
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        // SAFETY: our stream; the slice of the piece is gone. It is the answer to the `pa_stream_peek` that made the piece.
        unsafe { pa::pa_stream_drop(self.stream.raw()) };
    }
}

fn silence(mut bytes: usize, mut take: impl FnMut(&[u8])) {
    while bytes > 0 {
        let piece = bytes.min(SILENCE.len());
        take(&SILENCE[..piece]);
        bytes -= piece;
    }
}

/// 20 ms of 48 kHz stereo; a multiple of every frame of up to eight channels but seven, so that pieces end between frames.
static SILENCE: [u8; 3_840] = [0; 3_840];

/// More than this late, the server drops.
const MAX_FRAGMENTS: u32 = 50;

/// The stream stays on its source and is as loud as that.
const FLAGS: pa::pa_stream_flags_t = pa::PA_STREAM_ADJUST_LATENCY | pa::PA_STREAM_DONT_MOVE | pa::PA_STREAM_START_UNMUTED;

const CONNECTING: &str = "recording a source";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hole_of_any_length_is_as_much_silence() {
        for bytes in [0, 4, SILENCE.len(), SILENCE.len() * 2 + 8] {
            let mut heard = 0;
            silence(bytes, |piece| {
                assert!(!piece.is_empty() && piece.iter().all(|&byte| byte == 0));
                heard += piece.len();
            });
            assert_eq!(heard, bytes);
        }
    }
}
