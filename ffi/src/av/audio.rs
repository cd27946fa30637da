//! Sound packets to samples.

use std::collections::VecDeque;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::codec::{Unopened, decoder, decoder_called};
use super::owned::{Owned, check, frame, would_block};
use super::packet::lend;
use crate::{Codec, Error, MediaTime, Packet, Parameters, Payload, Remedy, Result};

/// Decoded sound in the memory it was decoded into, in the decoder's own sample format; a [`Resampler`](super::Resampler) takes it.
pub struct Samples {
    frame: Owned<ff::AVFrame>,
    pts: Option<MediaTime>,
    arrival: Instant,
}

impl Samples {
    /// The samples a second and channel.
    #[must_use]
    pub fn rate(&self) -> u32 {
        self.frame.sample_rate.unsigned_abs()
    }

    /// The channels.
    #[must_use]
    pub fn channels(&self) -> u8 {
        u8::try_from(self.frame.ch_layout.nb_channels).unwrap_or(0)
    }

    /// The samples of one channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        usize::try_from(self.frame.nb_samples).unwrap_or(0)
    }

    /// How long they last.
    #[must_use]
    pub fn duration(&self) -> MediaTime {
        MediaTime::from_ticks(i64::from(self.frame.nb_samples), self.rate().max(1))
    }

    /// When the first is heard.
    #[must_use]
    pub fn pts(&self) -> Option<MediaTime> {
        self.pts
    }

    /// When the last byte of their packet reached us.
    #[must_use]
    pub fn arrival(&self) -> Instant {
        self.arrival
    }

    pub(super) fn frame(&self) -> &Owned<ff::AVFrame> {
        &self.frame
    }
}

impl std::fmt::Debug for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Samples({} at {} Hz, {} channels, {:?})", self.frames(), self.rate(), self.channels(), self.pts)
    }
}

// SAFETY: a frame is fields and references to buffers whose counts are atomic; reading and freeing it is bound to no thread.
unsafe impl Send for Samples {}

/// Decodes one sound stream of whatever FFmpeg decodes.
///
/// Send a packet (one frame or several), then receive until nothing comes. Of several frames only the first has the packet's time; the
/// others' follow from the samples before them.
///
/// An Opus frame of no bytes stands for one that was lost (RFC 6716, 3.1): it becomes what might have been there.
///
/// Copies: 0 (packets are lent, samples are the decoder's own).
pub struct AudioDecoder {
    context: Owned<ff::AVCodecContext>,
    /// For Opus that comes over a net.
    concealer: Option<Concealer>,
    /// Whether the concealer took the last packet.
    concealing: bool,
    spare: Option<Owned<ff::AVFrame>>,
    /// The time of the next samples, if the packet sent last has none of its own for them.
    next_pts: Option<MediaTime>,
    arrival: Option<Instant>,
}

impl AudioDecoder {
    /// Opens a decoder of packets that say all there is to know.
    ///
    /// # Errors
    /// As [`AudioDecoder::open`].
    pub fn new(codec: Codec) -> Result<Self> {
        Self::open(codec, None)
    }

    /// Opens a decoder, with what a container says of the packets.
    ///
    /// # Errors
    /// When `codec` is not sound, FFmpeg was built without it, or it needs what `parameters` do not say.
    pub fn open(codec: Codec, parameters: Option<&Parameters>) -> Result<Self> {
        if codec.is_video() {
            return Err(Error::new("opening an audio decoder", Remedy::Report, format!("{codec:?} is video")));
        }
        // Without a container it comes over a net, where some gets lost.
        let concealer = if codec == Codec::Opus && parameters.is_none() { Concealer::open() } else { None };
        let context = decoder(codec, parameters)?.open()?;
        Ok(Self { context, concealer, concealing: false, spare: None, next_pts: None, arrival: None })
    }

    /// Decodes a packet. Receive until nothing comes before the next.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the packet is damaged, [`Remedy::Retry`] when samples must be received first, [`Remedy::Rebuild`] when there is
    /// no memory.
    pub fn send(&mut self, packet: &Packet) -> Result<()> {
        self.concealing = self.concealer.is_some() && packet.data.len() == NO_FRAME_BYTES;
        let code = match &mut self.concealer {
            Some(concealer) if self.concealing => {
                concealer.catch_up()?;
                send(&mut concealer.context, &packet.data)?
            }
            Some(concealer) => {
                concealer.note(&packet.data);
                send(&mut self.context, &packet.data)?
            }
            None => send(&mut self.context, &packet.data)?,
        };
        if would_block(code) {
            return Err(Error::new("decoding a packet", Remedy::Retry, "decoded samples wait to be received"));
        }
        self.next_pts = packet.pts.or(self.next_pts);
        self.arrival = Some(packet.arrival);
        check(code, "decoding a packet", remedy(code)).map(drop)
    }

    /// The next samples; nothing when the decoder wants more packets.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when a packet turned out damaged, [`Remedy::Rebuild`] when there is no memory.
    pub fn receive(&mut self) -> Result<Option<Samples>> {
        let mut decoded = self.spare.take().map_or_else(frame, Ok)?;
        let context = match &mut self.concealer {
            Some(concealer) if self.concealing => &mut concealer.context,
            Some(_) | None => &mut self.context,
        };
        let code = receive(context, &mut decoded);
        if would_block(code) || code == ff::AVERROR_EOF {
            self.spare = Some(decoded);
            return Ok(None);
        }
        check(code, "decoding sound", remedy(code))?;
        let samples = Samples { frame: decoded, pts: self.next_pts, arrival: self.arrival.unwrap_or_else(Instant::now) };
        self.next_pts = self.next_pts.map(|pts| pts + samples.duration());
        Ok(Some(samples))
    }

    /// Forgets the stream; the next packet begins a new one.
    pub fn reset(&mut self) {
        // SAFETY: the context is open; the call drops the references it holds.
        unsafe { ff::avcodec_flush_buffers(self.context.as_mut_ptr()) };
        if let Some(concealer) = &mut self.concealer {
            concealer.forget();
        }
        (self.next_pts, self.arrival) = (None, None);
    }
}

impl std::fmt::Debug for AudioDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AudioDecoder(next at {:?})", self.next_pts)
    }
}

// SAFETY: a codec context is bound to no thread, and `&mut self` orders the calls.
unsafe impl Send for AudioDecoder {}

/// Makes up for frames of no bytes, by libopus. FFmpeg's own decoder does not, but takes a third of the time: so it decodes what comes, and
/// libopus only what came right before a loss.
struct Concealer {
    context: Owned<ff::AVCodecContext>,
    /// What came last, and was not decoded here.
    recent: VecDeque<Payload>,
}

impl Concealer {
    /// Opens one, if this FFmpeg has libopus.
    fn open() -> Option<Self> {
        let context = decoder_called(c"libopus").and_then(Unopened::open).ok()?;
        Some(Self { context, recent: VecDeque::with_capacity(RECENT) })
    }

    fn forget(&mut self) {
        self.recent.clear();
        // SAFETY: the context is open; the call drops the references it holds.
        unsafe { ff::avcodec_flush_buffers(self.context.as_mut_ptr()) };
    }

    fn note(&mut self, data: &Payload) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(data.clone());
    }

    /// Decodes what came last, so that it is known what it sounded like. Of one loss behind another, that is what was made up.
    fn catch_up(&mut self) -> Result<()> {
        let recent = std::mem::take(&mut self.recent);
        if !recent.is_empty() {
            self.forget();
        }
        let mut decoded = frame()?;
        for data in recent {
            // What is damaged was told before.
            send(&mut self.context, &data)?;
            while receive(&mut self.context, &mut decoded) >= 0 {}
        }
        Ok(())
    }
}

/// Hands a packet to a decoder; gives FFmpeg's code.
fn send(context: &mut Owned<ff::AVCodecContext>, data: &Payload) -> Result<i32> {
    let lent = lend(data, ff::AV_NOPTS_VALUE)?;
    // SAFETY: the context is open; the packet is initialised and padded (`Payload`), and the call only takes a reference to it.
    Ok(unsafe { ff::avcodec_send_packet(context.as_mut_ptr(), lent.as_ptr()) })
}

/// Has a decoder fill a frame; gives FFmpeg's code.
fn receive(context: &mut Owned<ff::AVCodecContext>, decoded: &mut Owned<ff::AVFrame>) -> i32 {
    // SAFETY: the context is open and the frame initialised; the call makes it refer to decoded samples or leaves it empty.
    unsafe { ff::avcodec_receive_frame(context.as_mut_ptr(), decoded.as_mut_ptr()) }
}

/// An Opus packet whose one frame has no bytes: what it would be is all it says.
const NO_FRAME_BYTES: usize = 1;
/// Decoders agree after a few packets, whatever they knew before.
const RECENT: usize = 5;

fn remedy(code: i32) -> Remedy {
    if code == ff::AVERROR(ff::ENOMEM) { Remedy::Rebuild } else { Remedy::Drop }
}
