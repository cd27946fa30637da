//! Interleaved samples to packets of sound.

use std::collections::VecDeque;
use std::ffi::{CStr, c_int};
use std::slice;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::codec::encoder;
use super::owned::{Owned, check, frame, packet, would_block};
use super::packet::share;
use super::resample::layout;
use crate::{AudioFormat, Codec, Error, MediaTime, Packet, Payload, PayloadBuilder, Remedy, Result};

/// Encodes interleaved signed 16-bit little-endian sound as AAC (low complexity, in ADTS frames of 1024 samples), as MPEG audio layer II
/// (1152 samples) or as Opus (20 ms).
///
/// A packet's time is that of the sound in it: what the encoder is late by is taken off. Times are exactly one frame apart while the given
/// times agree with the count of samples; small differences (two clocks that drift) are slewed away, large ones (a gap) are followed at once.
///
/// Copies: 1 pass in (AAC takes floats in planes), and of AAC 1 out (some hundred bytes, behind their ADTS header).
pub struct AudioEncoder {
    codec: Codec,
    context: Owned<ff::AVCodecContext>,
    filling: Owned<ff::AVFrame>,
    filled: usize,
    format: AudioFormat,
    /// The time of the next sample to come.
    clock: Option<MediaTime>,
    /// Time and capture of the frames inside the encoder.
    inside: VecDeque<(MediaTime, Instant)>,
    started: Option<(MediaTime, Instant)>,
    ready: VecDeque<Packet>,
}

impl AudioEncoder {
    /// Opens an encoder.
    ///
    /// # Errors
    /// When there is none of this codec here, or the codec has no such rate or number of channels (1 or 2).
    pub fn new(codec: Codec, format: AudioFormat, bitrate_bps: u32) -> Result<Self> {
        let refuse = |what: &str| Error::new("opening an encoder", Remedy::Report, what);
        let Some(Encoding { name, sample_format, rates }) = Encoding::of(codec) else {
            return Err(refuse("sound is encoded as aac, mp2 or opus"));
        };
        if !rates.contains(&format.rate) || !(1..=2).contains(&format.channels) {
            return Err(refuse("the codec has no such rate or number of channels"));
        }
        let mut unopened = encoder(name)?;
        let context = &mut unopened.context;
        context.sample_rate = c_int::try_from(format.rate).map_err(|_| refuse("the rate is too high"))?;
        context.sample_fmt = sample_format;
        context.ch_layout = layout(format.channels);
        context.bit_rate = i64::from(bitrate_bps);
        if codec == Codec::Aac {
            context.profile = ff::FF_PROFILE_AAC_LOW;
        }
        context.time_base = ff::AVRational { num: 1, den: context.sample_rate };
        let context = unopened.open()?;
        let mut filling = frame()?;
        filling.format = sample_format as c_int;
        filling.nb_samples = context.frame_size;
        filling.sample_rate = context.sample_rate;
        filling.ch_layout = layout(format.channels);
        // SAFETY: the frame has its format, samples and layout set and no buffers yet; 0 asks for the machine's own alignment.
        check(unsafe { ff::av_frame_get_buffer(filling.as_mut_ptr(), 0) }, "allocating a frame", Remedy::Rebuild)?;
        let (inside, ready) = (VecDeque::new(), VecDeque::new());
        Ok(Self { codec, context, filling, filled: 0, format, clock: None, inside, started: None, ready })
    }

    /// Encodes `pcm`, of any whole number of frames, whose first sample is heard at `pts` and was captured at `captured`. Receive until
    /// nothing comes before the next.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when `pcm` ends inside a frame, [`Remedy::Rebuild`] when the encoder is broken.
    pub fn encode(&mut self, pcm: &[u8], pts: MediaTime, captured: Instant) -> Result<()> {
        let frame_bytes = self.format.frame_bytes();
        if !pcm.len().is_multiple_of(frame_bytes) {
            return Err(Error::new("encoding sound", Remedy::Drop, "it ends inside a frame"));
        }
        let mut clock = self.clock.and_then(|clock| follow(clock, pts)).unwrap_or_else(|| {
            // A packet that began before a gap would be as late as the gap is long, and players would wait for such from then on.
            self.filled = 0;
            pts
        });
        let mut rest = pcm;
        while !rest.is_empty() {
            let frames = (self.frame_samples() - self.filled).min(rest.len() / frame_bytes);
            let (piece, after) = rest.split_at(frames * frame_bytes);
            if self.filled == 0 {
                self.started = Some((clock, captured));
            }
            self.fill(piece)?;
            self.filled += frames;
            clock += MediaTime::from_ticks(frames as i64, self.format.rate);
            rest = after;
            if self.filled == self.frame_samples() {
                self.filled = 0;
                self.send()?;
            }
        }
        self.clock = Some(clock);
        Ok(())
    }

    /// The next packet; nothing when the encoder wants more sound.
    pub fn receive(&mut self) -> Option<Packet> {
        self.ready.pop_front()
    }

    /// The time of the packet that the encoder makes next; nothing before the first sound.
    #[must_use]
    pub fn next_time(&self) -> Option<MediaTime> {
        let first = self.inside.front().or(self.started.as_ref()).map(|(time, _)| *time).or(self.clock)?;
        Some(first - self.delay())
    }

    /// Lets what the encoder makes next be so many packets later: others stand in their place.
    pub fn skip(&mut self, packets: u64) {
        let length = MediaTime::from_nanos(self.packet_duration().as_nanos() * packets as i64);
        self.clock = self.clock.map(|clock| clock + length);
        for (time, _) in self.inside.iter_mut().chain(&mut self.started) {
            *time += length;
        }
    }

    /// How long a packet sounds.
    #[must_use]
    pub fn packet_duration(&self) -> MediaTime {
        MediaTime::from_ticks(i64::from(self.context.frame_size), self.format.rate)
    }

    /// What it makes.
    #[must_use]
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// What it encodes.
    #[must_use]
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// How far its packets' sound is behind what was given: the overlap of its windows and its look ahead.
    fn delay(&self) -> MediaTime {
        MediaTime::from_ticks(i64::from(self.context.initial_padding), self.format.rate)
    }

    fn frame_samples(&self) -> usize {
        usize::try_from(self.context.frame_size).unwrap_or(0)
    }

    fn fill(&mut self, pcm: &[u8]) -> Result<()> {
        // SAFETY: the frame is initialised and has buffers; the call gives it others where the encoder still refers to these.
        check(unsafe { ff::av_frame_make_writable(self.filling.as_mut_ptr()) }, "encoding sound", Remedy::Rebuild)?;
        let channels = usize::from(self.format.channels);
        let samples = self.frame_samples();
        if self.codec != Codec::Aac {
            let bytes = samples * self.format.frame_bytes();
            // SAFETY: `av_frame_get_buffer` made one plane of `frame_size` frames of 16-bit samples, for the codecs that take them
            // interleaved, and `av_frame_make_writable` made it ours alone; any bytes are valid.
            let plane = unsafe { slice::from_raw_parts_mut(self.filling.data[0], bytes) };
            let at = self.filled * self.format.frame_bytes();
            // The machine's own order is little endian wherever we run.
            plane[at..at + pcm.len()].copy_from_slice(pcm);
            return Ok(());
        }
        for channel in 0..channels {
            let plane = self.filling.data[channel].cast::<f32>();
            // SAFETY: `av_frame_get_buffer` made a plane of `frame_size` floats, aligned for vectors, for each of the at most two channels,
            // and `av_frame_make_writable` made it ours alone; zero or any other bytes are a valid float.
            let plane = unsafe { slice::from_raw_parts_mut(plane, samples) };
            let samples = pcm.chunks_exact(2).skip(channel).step_by(channels);
            for (float, sample) in plane[self.filled..].iter_mut().zip(samples) {
                *float = f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.inside.extend(self.started.take());
        // SAFETY: the context is open and the frame is of its format, rate, layout and frame size; the call takes a reference to it.
        let code = unsafe { ff::avcodec_send_frame(self.context.as_mut_ptr(), self.filling.as_ptr()) };
        check(code, "encoding sound", Remedy::Rebuild)?;
        loop {
            let mut encoded = packet()?;
            // SAFETY: the context is open and the packet initialised; the call fills it or leaves it empty.
            let code = unsafe { ff::avcodec_receive_packet(self.context.as_mut_ptr(), encoded.as_mut_ptr()) };
            if would_block(code) {
                return Ok(());
            }
            check(code, "encoding sound", Remedy::Rebuild)?;
            let Some((pts, arrival)) = self.inside.pop_front() else {
                return Err(Error::new("encoding sound", Remedy::Rebuild, "more packets than frames"));
            };
            let pts = pts - self.delay();
            let data = if self.codec == Codec::Aac { self.frame_up(&encoded)? } else { share(encoded)? };
            let codec = self.codec;
            self.ready.push_back(Packet { codec, data, pts: Some(pts), dts: Some(pts), key: true, arrival, parameters: None });
        }
    }

    /// Puts the ADTS header (ISO/IEC 13818-7, 6.2) before a raw AAC frame.
    fn frame_up(&self, encoded: &Owned<ff::AVPacket>) -> Result<Payload> {
        let size = usize::try_from(encoded.size).unwrap_or(0);
        let length = size + ADTS_BYTES;
        if encoded.data.is_null() || length >= 1 << 13 {
            return Err(Error::new("encoding sound", Remedy::Rebuild, "a frame does not fit adts"));
        }
        // SAFETY: a packet of an encoder has `size` bytes at `data`, which it keeps alive and nobody writes any more.
        let raw = unsafe { slice::from_raw_parts(encoded.data, size) };
        let mut builder = PayloadBuilder::with_capacity(length);
        builder.extend_from_slice(&adts_header(self.format, length));
        builder.extend_from_slice(raw);
        Ok(builder.finish())
    }
}

impl std::fmt::Debug for AudioEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioEncoder({:?}, {:?}, next at {:?})", self.codec, self.format, self.clock)
    }
}

// SAFETY: a codec context and a frame are bound to no thread, and `&mut self` orders the calls.
unsafe impl Send for AudioEncoder {}

/// FFmpeg's encoder of a codec.
struct Encoding {
    name: &'static CStr,
    sample_format: ff::AVSampleFormat,
    rates: &'static [u32],
}

impl Encoding {
    fn of(codec: Codec) -> Option<Self> {
        let interleaved = ff::AVSampleFormat::AV_SAMPLE_FMT_S16;
        match codec {
            Codec::Aac => Some(Self { name: c"aac", sample_format: ff::AVSampleFormat::AV_SAMPLE_FMT_FLTP, rates: &AAC_RATES }),
            Codec::Mp2 => Some(Self { name: c"mp2", sample_format: interleaved, rates: &[48_000, 44_100, 32_000] }),
            // Its default frame is 20 ms long: half as many packets as of 10 ms, and still half the depth of a receiver's buffer.
            Codec::Opus => Some(Self { name: c"libopus", sample_format: interleaved, rates: &[48_000, 24_000, 16_000, 12_000, 8_000] }),
            Codec::Av1
            | Codec::H264
            | Codec::Hevc
            | Codec::Mp3
            | Codec::Mpeg1Video
            | Codec::Mpeg2Video
            | Codec::OtherAudio(_)
            | Codec::OtherVideo(_)
            | Codec::Vp8
            | Codec::Vp9 => None,
        }
    }
}

/// Where the counted clock goes when the given time is `pts`; nothing over a gap.
fn follow(clock: MediaTime, pts: MediaTime) -> Option<MediaTime> {
    let error = pts - clock;
    (error.abs() <= GAP).then(|| clock + MediaTime::from_nanos(error.as_nanos() / SLEW))
}

fn adts_header(format: AudioFormat, length: usize) -> [u8; ADTS_BYTES] {
    let rate = AAC_RATES.iter().position(|&rate| rate == format.rate).unwrap_or(0) as u8;
    let length = length as u16;
    [
        // Sync word; MPEG-4, layer 0, no checksum.
        0xff,
        0xf1,
        // Low complexity (object type 2, less one), the rate's index, the channels' high bit.
        0x40 | rate << 2 | format.channels >> 2,
        (format.channels & 3) << 6 | (length >> 11) as u8,
        (length >> 3) as u8,
        // "Variable rate" buffer fullness (all ones), one raw block.
        (length << 5) as u8 | 0x1f,
        0xfc,
    ]
}

const ADTS_BYTES: usize = 7;

/// The rates of AAC, by their index in ADTS (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: [u32; 13] = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// More than a sound server's own jitter, less than what lips show.
const GAP: MediaTime = MediaTime::from_millis(100);

/// One part of the difference a piece: pieces come every 10 to 20 ms, so jitter is smoothed over a second and a drift is followed.
const SLEW: i64 = 64;
