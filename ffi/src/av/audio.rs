//! Sound packets to samples.

use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::codec::decoder;
use super::opus::OpusDecoder;
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
/// Opus that no container describes comes over a net: what was lost of it is made up for where something stands for it ([`crate::opus`]).
///
/// Copies: 0 (packets are lent, samples are the decoder's own).
pub struct AudioDecoder {
    codec: Opened,
    spare: Option<Owned<ff::AVFrame>>,
    /// The time of the next samples, if the packet sent last has none of its own for them.
    next_pts: Option<MediaTime>,
    arrival: Option<Instant>,
}

/// What decodes.
enum Opened {
    Any(Owned<ff::AVCodecContext>),
    /// Opus over a net, and what became of the packet sent last.
    Opus(OpusDecoder, Option<Owned<ff::AVFrame>>),
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
        let opened = if codec == Codec::Opus && parameters.is_none() {
            Opened::Opus(OpusDecoder::open()?, None)
        } else {
            Opened::Any(decoder(codec, parameters)?.open()?)
        };
        Ok(Self { codec: opened, spare: None, next_pts: None, arrival: None })
    }

    /// Decodes a packet. Receive until nothing comes before the next.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the packet is damaged, [`Remedy::Retry`] when samples must be received first, [`Remedy::Rebuild`] when there is
    /// no memory.
    pub fn send(&mut self, packet: &Packet) -> Result<()> {
        let waits = || Error::new("decoding a packet", Remedy::Retry, "decoded samples wait to be received");
        let sent = match &mut self.codec {
            Opened::Any(context) => match send(context, &packet.data)? {
                code if would_block(code) => return Err(waits()),
                code => check(code, "decoding a packet", remedy(code)).map(drop),
            },
            Opened::Opus(_, Some(_)) => return Err(waits()),
            Opened::Opus(decoder, decoded) => decoder.decode(&packet.data).map(|frame| *decoded = Some(frame)),
        };
        self.next_pts = packet.pts.or(self.next_pts);
        self.arrival = Some(packet.arrival);
        sent
    }

    /// The next samples; nothing when the decoder wants more packets.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when a packet turned out damaged, [`Remedy::Rebuild`] when there is no memory.
    pub fn receive(&mut self) -> Result<Option<Samples>> {
        let decoded = match &mut self.codec {
            Opened::Opus(_, decoded) => decoded.take(),
            Opened::Any(context) => {
                let mut decoded = self.spare.take().map_or_else(frame, Ok)?;
                // SAFETY: the context is open and the frame initialised; the call makes it refer to decoded samples or leaves it empty.
                let code = unsafe { ff::avcodec_receive_frame(context.as_mut_ptr(), decoded.as_mut_ptr()) };
                if would_block(code) || code == ff::AVERROR_EOF {
                    self.spare = Some(decoded);
                    return Ok(None);
                }
                check(code, "decoding sound", remedy(code))?;
                Some(decoded)
            }
        };
        let Some(frame) = decoded else { return Ok(None) };
        let samples = Samples { frame, pts: self.next_pts, arrival: self.arrival.unwrap_or_else(Instant::now) };
        self.next_pts = self.next_pts.map(|pts| pts + samples.duration());
        Ok(Some(samples))
    }

    /// Forgets the stream; the next packet begins a new one.
    pub fn reset(&mut self) {
        match &mut self.codec {
            // SAFETY: the context is open; the call drops the references it holds.
            Opened::Any(context) => unsafe { ff::avcodec_flush_buffers(context.as_mut_ptr()) },
            Opened::Opus(decoder, decoded) => {
                decoder.reset();
                *decoded = None;
            }
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

/// Hands a packet to a decoder; gives FFmpeg's code.
fn send(context: &mut Owned<ff::AVCodecContext>, data: &Payload) -> Result<i32> {
    let lent = lend(data, ff::AV_NOPTS_VALUE)?;
    // SAFETY: the context is open; the packet is initialised and padded (`Payload`), and the call only takes a reference to it.
    Ok(unsafe { ff::avcodec_send_packet(context.as_mut_ptr(), lent.as_ptr()) })
}

fn remedy(code: i32) -> Remedy {
    if code == ff::AVERROR(ff::ENOMEM) { Remedy::Rebuild } else { Remedy::Drop }
}
