//! Samples of any kind to interleaved 16-bit ones of a device's rate.

use std::collections::VecDeque;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use ffmpeg_sys_next as ff;

use super::audio::Samples;
use super::owned::{Owned, check};
use crate::{AudioFormat, Error, Remedy, Result};

/// Converts decoded sound to one format, into memory that somebody lends.
///
/// Samples wait here as the decoder made them and are converted when they are pulled, so nothing is written twice. The source may change
/// its rate and channels at any time. A correction of the rate makes up for two clocks that drift apart; without one, a source of the
/// target's own rate passes unfiltered.
///
/// Copies: 1 pass, into the lent memory (what one pull has no room for waits converted halfway, inside libswresample).
pub struct Resampler {
    target: AudioFormat,
    current: Option<(Owned<ff::SwrContext>, Shape)>,
    /// Frames that a million become a million and this many of.
    correction_ppm: c_int,
    waiting: VecDeque<Samples>,
    /// The source changed: what is inside `current` goes out, its filter's tail with it, before the next begins.
    ending: bool,
}

impl Resampler {
    /// The largest correction: a twelfth of a semitone, which nobody hears.
    pub const MOST_CORRECTION: f64 = 0.005;

    /// Makes a resampler to `target`.
    #[must_use]
    pub fn new(target: AudioFormat) -> Self {
        Self { target, current: None, correction_ppm: 0, waiting: VecDeque::new(), ending: false }
    }

    /// Takes samples. Bound what waits by looking at [`Resampler::available_frames`] first.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when they are of no kind that can be converted.
    pub fn push(&mut self, samples: Samples) -> Result<()> {
        if samples.rate() == 0 || samples.channels() == 0 {
            return Err(Error::new("resampling", Remedy::Drop, "the samples have no rate or no channels"));
        }
        self.waiting.push_back(samples);
        Ok(())
    }

    /// Makes what is pulled from now on longer by this part (shorter when negative), at most [`Resampler::MOST_CORRECTION`]; in steps of a
    /// millionth. A source of the target's own rate goes through a filter from the first correction on.
    pub fn set_correction(&mut self, part: f64) {
        self.correction_ppm = (part.clamp(-Self::MOST_CORRECTION, Self::MOST_CORRECTION) * f64::from(CORRECTION_FRAMES)).round() as c_int;
    }

    /// The frames that can be pulled, to within the few that a filter still keeps.
    #[must_use]
    pub fn available_frames(&mut self) -> usize {
        let waiting: i64 = self.waiting.iter().map(|samples| samples.duration().to_ticks(self.target.rate)).sum();
        let inside = self.current.as_mut().map_or(0, |(context, _)| {
            // SAFETY: the context is initialised; the call only reads it.
            unsafe { ff::swr_get_delay(context.as_mut_ptr(), i64::from(self.target.rate)) }
        });
        usize::try_from(waiting + inside).unwrap_or(0)
    }

    /// Converts into `out` as many whole frames as there are and as fit, and says how many bytes that was.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when a source is of no kind that can be converted; its samples are lost.
    pub fn pull_into(&mut self, out: &mut [u8]) -> Result<usize> {
        let frame_bytes = self.target.frame_bytes();
        let mut written = 0;
        while out.len() - written >= frame_bytes {
            let produced = self.step(&mut out[written..])?;
            written += produced * frame_bytes;
            if produced == 0 && self.waiting.is_empty() && !self.ending {
                break;
            }
        }
        Ok(written)
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.waiting.clear();
        (self.current, self.ending) = (None, false);
    }

    /// What it converts to.
    #[must_use]
    pub fn format(&self) -> AudioFormat {
        self.target
    }

    /// One call of libswresample; says how many frames it wrote.
    fn step(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.ending {
            let produced = self.convert(out, Input::End)?;
            if produced == 0 {
                (self.current, self.ending) = (None, false);
            }
            return Ok(produced);
        }
        let Some(samples) = self.waiting.front() else {
            return if self.current.is_some() { self.convert(out, Input::None) } else { Ok(0) };
        };
        let shape = Shape::of(samples);
        let filters = samples.rate() != self.target.rate || self.correction_ppm != 0;
        match &self.current {
            Some((_, current)) if current.takes(shape, filters) => {}
            Some(_) => {
                self.ending = true;
                return Ok(0);
            }
            None => match open(samples, self.target, filters) {
                Ok(context) => self.current = Some((context, Shape { filters, ..shape })),
                Err(error) => {
                    self.waiting.pop_front();
                    return Err(error);
                }
            },
        }
        self.correct()?;
        let samples = self.waiting.pop_front().expect("seen above");
        self.convert(out, Input::Samples(&samples))
    }

    /// Tells libswresample the correction. It forgets it after as many frames as it is told for, which are more than one call makes.
    fn correct(&mut self) -> Result<()> {
        let Some((context, shape)) = &mut self.current else { return Ok(()) };
        if !shape.filters {
            return Ok(());
        }
        let frames = if self.correction_ppm == 0 { 0 } else { CORRECTION_FRAMES };
        // SAFETY: the context is initialised and was made with a filter, so the call sets its step and does not begin it anew.
        let code = unsafe { ff::swr_set_compensation(context.as_mut_ptr(), self.correction_ppm, frames) };
        check(code, "resampling", Remedy::Drop).map(drop)
    }

    fn convert(&mut self, out: &mut [u8], input: Input<'_>) -> Result<usize> {
        let Some((context, _)) = &mut self.current else { return Ok(0) };
        let frames = c_int::try_from(out.len() / self.target.frame_bytes()).unwrap_or(c_int::MAX);
        let mut planes = [out.as_mut_ptr()];
        let none: [*const u8; MOST_CHANNELS] = [ptr::null(); MOST_CHANNELS];
        let (data, count) = match input {
            Input::Samples(samples) => (samples.frame().extended_data.cast::<*const u8>(), samples.frame().nb_samples),
            // Planes and a count of zero ask for what is buffered; no planes end the stream.
            Input::None => (none.as_ptr().cast_mut(), 0),
            Input::End => (ptr::null_mut(), 0),
        };
        // SAFETY: the context is initialised for the samples' shape (`step` compared it) and for one interleaved plane out; `out` has room
        // for `frames` frames of it; the input planes have `count` samples each and are only read, or there are none.
        let code = unsafe { ff::swr_convert(context.as_mut_ptr(), planes.as_mut_ptr(), frames, data, count) };
        let produced = check(code, "resampling", Remedy::Drop)?;
        Ok(produced as usize)
    }
}

impl std::fmt::Debug for Resampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resampler({} waiting, to {:?})", self.waiting.len(), self.target)
    }
}

// SAFETY: a resampler's context is bound to no thread, and `&mut self` orders the calls.
unsafe impl Send for Resampler {}

enum Input<'a> {
    End,
    None,
    Samples(&'a Samples),
}

/// What a context was made for.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Shape {
    rate: u32,
    channels: u8,
    format: c_int,
    /// It resamples, even from a rate to the same.
    filters: bool,
}

impl Shape {
    fn of(samples: &Samples) -> Self {
        Self { rate: samples.rate(), channels: samples.channels(), format: samples.frame().format, filters: false }
    }

    /// Whether a context of this shape converts samples of that; one that filters goes on when it need not any more.
    fn takes(self, samples: Self, filters: bool) -> bool {
        (self.filters || !filters) && self == Self { filters: self.filters, ..samples }
    }
}

fn open(samples: &Samples, target: AudioFormat, filters: bool) -> Result<Owned<ff::SwrContext>> {
    let refuse = |what: &str| Error::new("resampling", Remedy::Drop, what);
    if usize::from(samples.channels()) > MOST_CHANNELS {
        return Err(refuse("too many channels"));
    }
    let format = SAMPLE_FORMATS
        .into_iter()
        .find(|&format| format as c_int == samples.frame().format)
        .ok_or_else(|| refuse("unknown sample format"))?;
    let rate = |rate: u32| c_int::try_from(rate).map_err(|_| refuse("the rate is too high"));
    let (rate_in, rate_out) = (rate(samples.rate())?, rate(target.rate)?);
    // The number of channels is enough: players and sinks of ours know no other order than the default one.
    let (mut layout_in, mut layout_out) = (layout(samples.channels()), layout(target.channels));
    let mut context = ptr::null_mut();
    // SAFETY: `context` is null, so the call allocates; the layouts are initialised and only read.
    let code = unsafe {
        ff::swr_alloc_set_opts2(
            &raw mut context,
            &raw mut layout_out,
            ff::AVSampleFormat::AV_SAMPLE_FMT_S16,
            rate_out,
            &raw mut layout_in,
            format,
            rate_in,
            0,
            ptr::null_mut(),
        )
    };
    // SAFETY: null or a new context of the allocator that `swr_free` undoes; nobody else has the pointer.
    let context = unsafe { Owned::new(context) };
    check(code, "resampling", Remedy::Drop)?;
    let mut context = context?;
    if filters {
        // SAFETY: the context was allocated above and begins with its `AVClass`; the name is terminated and copied.
        let code = unsafe { ff::av_opt_set_int(context.as_mut_ptr().cast(), c"flags".as_ptr(), i64::from(ff::SWR_FLAG_RESAMPLE), 0) };
        check(code, "resampling", Remedy::Drop)?;
        // Floats that fade away become denormal, and a filter takes some fifty times as long for these: silence cost more than sound.
        let format = ff::AVSampleFormat::AV_SAMPLE_FMT_S16P;
        // SAFETY: as above.
        let code = unsafe { ff::av_opt_set_sample_fmt(context.as_mut_ptr().cast(), c"internal_sample_fmt".as_ptr(), format, 0) };
        check(code, "resampling", Remedy::Drop)?;
    }
    // SAFETY: the context was allocated and set up above.
    check(unsafe { ff::swr_init(context.as_mut_ptr()) }, "resampling", Remedy::Drop)?;
    Ok(context)
}

/// The default layout of so many channels. It owns no memory: FFmpeg has a bit mask for it, or only the number.
pub(super) fn layout(channels: u8) -> ff::AVChannelLayout {
    let mut layout = MaybeUninit::zeroed();
    // SAFETY: the call overwrites the whole layout without reading it.
    unsafe { ff::av_channel_layout_default(layout.as_mut_ptr(), c_int::from(channels)) };
    // SAFETY: zero bytes are valid in every field (the order 0 is `UNSPEC`), and the call wrote a valid layout.
    unsafe { layout.assume_init() }
}

/// What our decoders make: floats in planes (MP2, MP3, AAC, Opus), integers (FLAC), any of them (PCM).
const SAMPLE_FORMATS: [ff::AVSampleFormat; 10] = [
    ff::AVSampleFormat::AV_SAMPLE_FMT_DBL,
    ff::AVSampleFormat::AV_SAMPLE_FMT_DBLP,
    ff::AVSampleFormat::AV_SAMPLE_FMT_FLTP,
    ff::AVSampleFormat::AV_SAMPLE_FMT_FLT,
    ff::AVSampleFormat::AV_SAMPLE_FMT_S16P,
    ff::AVSampleFormat::AV_SAMPLE_FMT_S16,
    ff::AVSampleFormat::AV_SAMPLE_FMT_S32P,
    ff::AVSampleFormat::AV_SAMPLE_FMT_S32,
    ff::AVSampleFormat::AV_SAMPLE_FMT_U8,
    ff::AVSampleFormat::AV_SAMPLE_FMT_U8P,
];

/// A correction is so many frames in this many, 20 s at 48 kHz.
const CORRECTION_FRAMES: c_int = 1_000_000;

/// AAC's most in practice (22.2 sound has 24); an array of as many null planes is what an empty input needs.
const MOST_CHANNELS: usize = 32;
