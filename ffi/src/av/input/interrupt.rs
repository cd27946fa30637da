//! What ends a call that blocks inside libavformat.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ffmpeg_sys_next as ff;

use super::super::log;
use super::super::owned::say;
use crate::{Error, Remedy};

/// Ends the calls of an [`Input`](super::Input), from any thread and for good.
///
/// What blocks in a name look-up cannot be ended (the C library has no way); all else ends within a tenth of a second.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the call that blocks, if one does, and every later one.
    pub fn stop(&self) {
        // Relaxed: nothing but the flag itself is handed over.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody stopped it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an input's call had to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    EndlessHeader,
    EndlessPlaylist,
    Late,
    Nested,
    Stopped,
}

/// What a failure for which libavformat has no code of its own was, most likely.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hint {
    CutOff,
    NotSecure,
    Redirects,
}

/// What libavformat asks, again and again, whether to go on. It lives as long as the demuxer that knows its address.
///
/// All orderings are relaxed: each field stands for itself, and but for `interrupt` they are written on the thread that is inside the call.
#[derive(Debug)]
pub(super) struct Watch {
    interrupt: Interrupt,
    born: Instant,
    /// Milliseconds after `born`.
    deadline: AtomicU64,
    /// How long a read may go without a byte, in milliseconds; 0 while bytes do not help (opening).
    patience: AtomicU64,
    /// Questions left to an answer's header; `u32::MAX` outside of headers.
    header: AtomicU32,
    fault: AtomicU8,
    hint: AtomicU8,
}

impl Watch {
    pub(super) fn new(interrupt: &Interrupt) -> Self {
        Self {
            interrupt: interrupt.clone(),
            born: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
            patience: AtomicU64::new(0),
            header: AtomicU32::new(u32::MAX),
            fault: AtomicU8::new(0),
            hint: AtomicU8::new(0),
        }
    }

    /// The callback for libavformat.
    ///
    /// The watch must outlive what gets it.
    pub(super) fn callback(&self) -> ff::AVIOInterruptCB {
        ff::AVIOInterruptCB { callback: Some(asked), opaque: (&raw const *self).cast_mut().cast::<c_void>() }
    }

    /// Begins a call that must end in `limit`, whatever comes.
    pub(super) fn begin_call(&self, limit: Duration) {
        self.patience.store(0, Ordering::Relaxed);
        self.set_deadline(limit);
        self.hint.store(0, Ordering::Relaxed);
        log::forget_unknown_host();
    }

    /// Begins a call that must end when no byte came for `patience`.
    pub(super) fn begin_read(&self, patience: Duration) {
        self.patience.store(patience.as_millis() as u64, Ordering::Relaxed);
        self.set_deadline(patience);
    }

    /// Bytes came.
    pub(super) fn progress(&self) {
        match self.patience.load(Ordering::Relaxed) {
            0 => {}
            patience => self.set_deadline(Duration::from_millis(patience)),
        }
    }

    /// Allows the header of the next answer so many bytes, in the units in which libavformat reads them.
    pub(super) fn begin_header(&self) {
        self.header.store(HEADER_READS, Ordering::Relaxed);
    }

    pub(super) fn end_header(&self) {
        self.header.store(u32::MAX, Ordering::Relaxed);
    }

    /// Ends the call for this reason; the first one counts.
    pub(super) fn fail(&self, fault: Fault) {
        let _ = self.fault.compare_exchange(0, fault as u8 + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        [Fault::EndlessHeader, Fault::EndlessPlaylist, Fault::Late, Fault::Nested, Fault::Stopped]
            .into_iter()
            .find(|&fault| fault as u8 + 1 == self.fault.load(Ordering::Relaxed))
    }

    /// Notes what a failure was that does not end the call by itself.
    pub(super) fn note(&self, hint: Hint) {
        self.hint.store(hint as u8 + 1, Ordering::Relaxed);
    }

    /// Whether the call must end.
    pub(super) fn is_over(&self) -> bool {
        if self.interrupt.is_stopped() {
            self.fail(Fault::Stopped);
        } else if self.born.elapsed().as_millis() as u64 > self.deadline.load(Ordering::Relaxed) {
            self.fail(Fault::Late);
        }
        match self.header.load(Ordering::Relaxed) {
            0 => self.fail(Fault::EndlessHeader),
            u32::MAX => {}
            left => self.header.store(left - 1, Ordering::Relaxed),
        }
        self.fault().is_some()
    }

    /// What a call's failure means, in plain words. It is asked on the thread of the call.
    pub(super) fn explain(&self, doing: &'static str, code: c_int) -> Error {
        let Some(fault) = self.fault() else {
            let text = if code == ff::AVERROR(ff::EIO) { self.io_trouble().to_owned() } else { plain(code) };
            return Error::new(doing, remedy(code), text);
        };
        let (remedy, text) = match fault {
            Fault::EndlessHeader => (Remedy::Report, "the header of the answer does not end"),
            Fault::EndlessPlaylist => (Remedy::Report, "the playlist is too long, or does not end"),
            Fault::Late => (Remedy::Retry, "nothing usable came in time"),
            Fault::Nested => (Remedy::Report, "it names something else that may not be opened"),
            Fault::Stopped => (Remedy::Rebuild, "it was stopped"),
        };
        Error::new(doing, remedy, text)
    }

    /// What `EIO` stands for, which is much.
    fn io_trouble(&self) -> &'static str {
        if log::has_unknown_host() {
            return "no such host";
        }
        let hint = self.hint.load(Ordering::Relaxed);
        match [Hint::CutOff, Hint::NotSecure, Hint::Redirects].into_iter().find(|&kind| kind as u8 + 1 == hint) {
            Some(Hint::CutOff) => "the connection broke in the middle of the answer",
            Some(Hint::NotSecure) => "no secure connection could be made, or it redirects too often",
            Some(Hint::Redirects) => "it redirects too often",
            None => "the connection broke",
        }
    }

    fn set_deadline(&self, from_now: Duration) {
        self.deadline.store((self.born.elapsed() + from_now).as_millis() as u64, Ordering::Relaxed);
    }
}

unsafe extern "C" fn asked(opaque: *mut c_void) -> c_int {
    // SAFETY: `callback` made the pointer of a watch, which outlives whoever asks (`Input` drops its demuxer first); it is only ever shared.
    let watch = unsafe { &*opaque.cast::<Watch>() };
    c_int::from(watch.is_over())
}

fn remedy(code: c_int) -> Remedy {
    match code {
        ff::AVERROR_INVALIDDATA | ff::AVERROR_PROTOCOL_NOT_FOUND | ff::AVERROR_DEMUXER_NOT_FOUND | ff::AVERROR_PATCHWELCOME => {
            Remedy::Report
        }
        _ => Remedy::Retry,
    }
}

fn plain(code: c_int) -> String {
    let text = match code {
        ff::AVERROR_HTTP_BAD_REQUEST => "http 400: bad request",
        ff::AVERROR_HTTP_UNAUTHORIZED => "http 401: it asks for a password",
        ff::AVERROR_HTTP_FORBIDDEN => "http 403: forbidden",
        ff::AVERROR_HTTP_NOT_FOUND => "http 404: not found",
        ff::AVERROR_HTTP_OTHER_4XX => "http 4xx: the server refuses the request",
        ff::AVERROR_HTTP_SERVER_ERROR => "http 5xx: the server has an error of its own",
        ff::AVERROR_INVALIDDATA => "it is not media that is known here, or damaged",
        ff::AVERROR_PROTOCOL_NOT_FOUND => "no such protocol",
        ff::AVERROR_DEMUXER_NOT_FOUND => "no such container",
        ff::AVERROR_EOF => "it ends before it has begun",
        code if code == ff::AVERROR(ff::EINVAL) => "it is not valid, or names a protocol that is not allowed",
        code => return say(code),
    };
    text.to_owned()
}

/// Reads of 4 KiB at most: no header is 4 MiB long, and connecting and waiting (ten questions a second) ask some hundred times.
const HEADER_READS: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_ends_when_told_when_late_and_when_a_header_does_not_end() {
        let interrupt = Interrupt::default();
        let watch = Watch::new(&interrupt);
        assert!(!watch.is_over());
        interrupt.stop();
        assert!(watch.is_over());
        assert_eq!(watch.fault(), Some(Fault::Stopped));

        let watch = Watch::new(&Interrupt::default());
        watch.begin_call(Duration::ZERO);
        while !watch.is_over() {}
        assert_eq!(watch.fault(), Some(Fault::Late));

        let watch = Watch::new(&Interrupt::default());
        watch.begin_header();
        let asked = (0..2 * HEADER_READS).take_while(|_| !watch.is_over()).count();
        assert_eq!((asked, watch.fault()), (HEADER_READS as usize, Some(Fault::EndlessHeader)));
    }

    #[test]
    fn bytes_put_a_reads_deadline_off_but_not_that_of_opening() {
        let watch = Watch::new(&Interrupt::default());
        watch.begin_call(Duration::from_millis(1));
        watch.progress();
        assert!(watch.deadline.load(Ordering::Relaxed) < 1_000);
        watch.begin_read(Duration::from_secs(3_600));
        watch.deadline.store(0, Ordering::Relaxed);
        watch.progress();
        assert!(!watch.is_over());
    }
}
