//! Video packets to pictures, without delay.

use std::ptr;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::codec::{MOST_PIXELS, decoder};
use super::lend::Lending;
use super::owned::{Owned, check, frame, would_block};
use super::packet::lend;
use super::picture::Picture;
use super::reorder::Reorder;
use crate::lend::Lender;
use crate::{Codec, Error, MediaTime, Packet, Parameters, Remedy, Result};

/// Decodes one video stream, showing every picture as soon as display order allows.
///
/// Send a packet, then receive until nothing comes. A picture of a stream that reorders nothing comes right after its packet; one
/// that other pictures must precede comes when those have come.
///
/// - MPEG-1 and MPEG-2 decoders are told to give pictures in decoding order (`AV_CODEC_FLAG_LOW_DELAY`), and the container's times put
///   them into display order here.
/// - H.264 and HEVC decoders order pictures themselves, by the depth that the stream declares. H.264 need not declare one; FFmpeg then
///   assumes none, which loses pictures of streams that do reorder, so the container's times tell it.
/// - Codecs that only FFmpeg knows come as it gives them: those that reorder hold a picture.
///
/// Copies: 0 (packets are lent; pictures are the decoder's own, or made in slots that a [`Lender`] offers, see `av::lend`).
pub struct VideoDecoder {
    context: Owned<ff::AVCodecContext>,
    /// After the context, which calls it until it is gone.
    lending: Option<Lending>,
    order: Order,
    stamps: Stamps,
    spare: Option<Owned<ff::AVFrame>>,
    drained: bool,
}

impl VideoDecoder {
    /// Opens a decoder without delay, of packets that say all there is to know.
    ///
    /// # Errors
    /// As [`VideoDecoder::open`].
    pub fn new(codec: Codec) -> Result<Self> {
        Self::open(codec, None, Threads::Slices)
    }

    /// Opens a decoder, with what a container says of the packets.
    ///
    /// # Errors
    /// When `codec` is not video, FFmpeg was built without it, its pictures are too large, or it needs what `parameters` do not say.
    pub fn open(codec: Codec, parameters: Option<&Parameters>, threads: Threads) -> Result<Self> {
        Self::build(codec, parameters, threads, None)
    }

    /// Opens a decoder whose pictures are made in slots that `lender` offers, where they fit and it decodes without delay.
    ///
    /// # Errors
    /// As [`VideoDecoder::open`].
    pub fn open_in(lender: &Lender, codec: Codec, parameters: Option<&Parameters>, threads: Threads) -> Result<Self> {
        Self::build(codec, parameters, threads, Some(lender))
    }

    fn build(codec: Codec, parameters: Option<&Parameters>, threads: Threads, lender: Option<&Lender>) -> Result<Self> {
        let order = match codec {
            Codec::Mpeg1Video | Codec::Mpeg2Video => Order::ByTimes(Reorder::new()),
            Codec::H264 => Order::ByDecoder(Some(Depth::default())),
            Codec::Av1 | Codec::Hevc | Codec::OtherVideo(_) | Codec::Vp8 | Codec::Vp9 => Order::ByDecoder(None),
            Codec::Aac | Codec::Mp2 | Codec::Mp3 | Codec::Opus | Codec::OtherAudio(_) => {
                return Err(Error::new("opening a video decoder", Remedy::Report, format!("{codec:?} is sound")));
            }
        };
        let mut unopened = decoder(codec, parameters)?;
        // Pictures that refer to no other are not kept; of those that do, up to 17.
        unopened.context.max_pixels = if unopened.is_intra_only() { MOST_PIXELS } else { MOST_MOVING_PIXELS };
        match (threads, &order) {
            (Threads::Frames, Order::ByDecoder(depth)) => {
                unopened.frame_threads(frame_threads());
                if depth.is_some() {
                    // Each thread has a context of its own, which later advice does not reach.
                    unopened.context.has_b_frames = unopened.context.has_b_frames.max(USUAL_DEPTH);
                }
            }
            // In decoding order, which is what the times reorder, MPEG-1 and MPEG-2 have no frame threads.
            (Threads::Slices, _) | (Threads::Frames, Order::ByTimes(_)) => {
                unopened.slice_threads(SLICE_THREADS);
                // MPEG-4 and its like would then give pictures in decoding order too, where nothing here reorders them.
                if !matches!(codec, Codec::OtherVideo(_)) {
                    unopened.context.flags |= ff::AV_CODEC_FLAG_LOW_DELAY as i32;
                }
            }
        }
        // Frame threads ask for memory from threads of their own; their pictures come late anyway.
        let lender = lender.filter(|_| threads == Threads::Slices);
        let lending = lender.and_then(|lender| Lending::install(&mut unopened.context, codec, lender));
        Ok(Self { context: unopened.open()?, lending, order, stamps: Stamps::default(), spare: None, drained: false })
    }

    /// Decodes a packet. Receive until nothing comes before the next.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the packet is damaged (pictures may still come, of it or of later ones), [`Remedy::Retry`] when pictures must
    /// be received first, [`Remedy::Rebuild`] when there is no memory.
    pub fn send(&mut self, packet: &Packet) -> Result<()> {
        if self.drained {
            self.reset();
        }
        let mut lent = lend(&packet.data, self.stamps.next)?;
        if packet.key {
            // Without it the PNG decoder adds the picture to the one before.
            lent.flags |= ff::AV_PKT_FLAG_KEY;
        }
        if let Order::ByDecoder(Some(depth)) = &mut self.order {
            let deep = depth.after(packet);
            self.context.has_b_frames = self.context.has_b_frames.max(deep);
        }
        // SAFETY: the context is open; the packet is initialised and padded (`Payload`), and the call only takes a reference to it.
        let code = unsafe { ff::avcodec_send_packet(self.context.as_mut_ptr(), lent.as_ptr()) };
        if would_block(code) {
            return Err(Error::new("decoding a packet", Remedy::Retry, "decoded pictures wait to be received"));
        }
        self.stamps.push(packet.pts, packet.arrival);
        if let Order::ByTimes(reorder) = &mut self.order {
            reorder.advance(packet.pts, packet.decode_time());
        }
        check(code, "decoding a packet", remedy(code)).map(drop)
    }

    /// The next picture in display order; nothing when the decoder wants more packets.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when a packet turned out damaged, [`Remedy::Rebuild`] when there is no memory.
    pub fn receive(&mut self) -> Result<Option<Picture>> {
        loop {
            if let Order::ByTimes(reorder) = &mut self.order
                && let Some(picture) = reorder.pop()
            {
                return Ok(Some(picture));
            }
            let mut decoded = self.spare.take().map_or_else(frame, Ok)?;
            // SAFETY: the context is open and the frame initialised; the call makes it refer to a decoded picture or leaves it empty.
            let code = unsafe { ff::avcodec_receive_frame(self.context.as_mut_ptr(), decoded.as_mut_ptr()) };
            if would_block(code) || code == ff::AVERROR_EOF {
                self.spare = Some(decoded);
                if let Order::ByTimes(reorder) = &mut self.order {
                    if self.drained {
                        reorder.release();
                    }
                    return Ok(reorder.pop());
                }
                return Ok(None);
            }
            check(code, "decoding a picture", remedy(code))?;
            let (pts, arrival) = self.stamps.find(decoded.pts);
            let picture = Picture::new(decoded, pts, arrival);
            match &mut self.order {
                Order::ByDecoder(_) => return Ok(Some(picture)),
                Order::ByTimes(reorder) => reorder.insert(pts, picture),
            }
        }
    }

    /// Skips, from the next packet on, the pictures that no other refers to (or no longer skips them): the cheapest way to catch up.
    pub fn skip_unreferenced(&mut self, skip: bool) {
        self.context.skip_frame = if skip { ff::AVDiscard::AVDISCARD_NONREF } else { ff::AVDiscard::AVDISCARD_DEFAULT };
    }

    /// Whether any of its pictures was made in a slot that was lent to it, so that it may still refer to it.
    #[must_use]
    pub fn is_lent(&self) -> bool {
        self.lending.as_ref().is_some_and(|lending| lending.lent() > 0)
    }

    /// Ends the stream: [`VideoDecoder::receive`] then gives what was held. The next packet begins a new stream.
    pub fn flush(&mut self) {
        if !self.drained {
            self.drained = true;
            // SAFETY: the context is open; a null packet means the end of the stream. The only refusal is that it ended before.
            unsafe { ff::avcodec_send_packet(self.context.as_mut_ptr(), ptr::null()) };
        }
    }

    /// Forgets the stream and what was held of it; the next packet begins a new one.
    pub fn reset(&mut self) {
        // SAFETY: the context is open; the call drops the references it holds.
        unsafe { ff::avcodec_flush_buffers(self.context.as_mut_ptr()) };
        match &mut self.order {
            Order::ByDecoder(None) => {}
            Order::ByDecoder(Some(depth)) => {
                *depth = Depth::default();
                // FFmpeg only ever raises it, after damage too; the next stream's SPS says it again.
                self.context.has_b_frames = 0;
            }
            Order::ByTimes(reorder) => reorder.clear(),
        }
        self.drained = false;
    }
}

// SAFETY: a codec context is bound to no thread; its own worker threads are idle outside calls, and `&mut self` orders the calls.
unsafe impl Send for VideoDecoder {}

impl std::fmt::Debug for VideoDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VideoDecoder({:?})", self.order)
    }
}

/// How a decoder shares its work among threads.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Threads {
    /// Several pictures at once: faster, and later by a picture for every thread but one. MPEG-1 and MPEG-2 have only the other.
    Frames,
    /// The slices of one picture: every picture comes as soon as it may.
    #[default]
    Slices,
}

/// Who puts pictures into display order.
#[derive(Debug)]
enum Order {
    /// The decoder; of H.264 we watch how deep.
    ByDecoder(Option<Depth>),
    /// We.
    ByTimes(Reorder<Picture>),
}

/// How many pictures an H.264 stream decodes ahead of the one to show, judged by its container's times.
///
/// A key frame's time minus its decode time is that depth in frame times, and the distance of decode times is one frame time. A lead that
/// never changes is only an offset: pictures that pass others have a larger one.
#[derive(Debug, Default)]
struct Depth {
    /// The lead of the last key frame.
    lead: Option<MediaTime>,
    last_dts: Option<MediaTime>,
}

impl Depth {
    /// The depth that is certain when `packet` goes to the decoder.
    fn after(&mut self, packet: &Packet) -> i32 {
        let (Some(pts), Some(dts)) = (packet.pts, packet.decode_time()) else { return 0 };
        let lead = match self.lead {
            Some(lead) if !packet.key => lead,
            Some(_) | None => *self.lead.insert(pts - dts),
        };
        let step = self.last_dts.replace(dts).map_or(0, |last| (dts - last).as_nanos());
        if step <= 0 || (pts - dts - lead).abs().as_nanos() < step / 2 {
            return 0;
        }
        let depth = (lead.as_nanos() + step / 2) / step;
        i32::try_from(depth.clamp(0, DEEPEST)).unwrap_or(0)
    }
}

/// What belongs to the packets inside a decoder, found by the number that goes through it in the place of a time.
///
/// A number comes out as it went in, in every version of FFmpeg; a time would have to be turned into ticks and back.
struct Stamps {
    next: i64,
    ring: [Option<(Option<MediaTime>, Instant)>; INSIDE],
}

impl Default for Stamps {
    fn default() -> Self {
        Self { next: 0, ring: [None; INSIDE] }
    }
}

impl Stamps {
    fn push(&mut self, pts: Option<MediaTime>, arrival: Instant) {
        self.ring[self.next as usize % INSIDE] = Some((pts, arrival));
        self.next += 1;
    }

    fn find(&self, number: i64) -> (Option<MediaTime>, Instant) {
        let recent = (self.next - INSIDE as i64..self.next).contains(&number);
        let last = self.next - 1;
        let slot = if recent { number } else { last };
        let (pts, arrival) = self.ring[slot.max(0) as usize % INSIDE].unwrap_or_else(|| (None, Instant::now()));
        // A picture of no known packet has no known time; it arrived by now.
        (if recent { pts } else { None }, arrival)
    }
}

fn remedy(code: i32) -> Remedy {
    if code == ff::AVERROR(ff::ENOMEM) { Remedy::Rebuild } else { Remedy::Drop }
}

/// How many threads decode pictures side by side.
fn frame_threads() -> i32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    i32::try_from(cores).unwrap_or(MOST_FRAME_THREADS).clamp(2, MOST_FRAME_THREADS)
}

/// Enough to halve the time of a large picture made of slices; the machine's other cores have other work.
const SLICE_THREADS: i32 = 2;

/// Each holds a picture, which at 30 fps is 33 ms.
const MOST_FRAME_THREADS: i32 = 4;

/// The pixels of an 8K picture: with up to 17 pictures kept, what a hostile stream can make us allocate must end somewhere.
const MOST_MOVING_PIXELS: i64 = 8_192 * 4_320;

/// What encoders reorder by unless told otherwise (a pyramid of B pictures).
const USUAL_DEPTH: i32 = 2;

/// H.264 and HEVC decoders keep at most 16 pictures, each of at most two packets, and frame threads some more; else only when packets make
/// no picture.
const INSIDE: usize = 64;

/// The deepest reordering of H.264 (`max_dec_frame_buffering` is at most 16, the picture itself not counted).
const DEEPEST: i64 = 15;
