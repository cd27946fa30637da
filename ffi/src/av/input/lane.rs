//! A stream's packets, in the form that the rest of the house takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ffmpeg_sys_next as ff;

use super::super::codec::set_extradata;
use super::super::owned::{Owned, check, packet, would_block};
use super::super::packet::{bytes, share};
use super::adts::{Adts, is_adts};
use super::order::Order;
use super::track::{Track, codec_parameters, extradata, read_parameters};
use crate::{Codec, Error, MediaTime, Packet, Parameters, Payload, Remedy, Result};

/// Makes [`Packet`]s of one stream's raw packets.
///
/// Copies: 0 (a payload is the demuxer's buffer; 1 of H.264 and HEVC in MP4's form, whose lengths become start codes, and of raw AAC, which
/// gets a header; 1 where a parser cut one buffer into several).
pub(super) struct Lane {
    pub(super) codec: Codec,
    /// What packets carry and what the track shows.
    pub(super) parameters: Arc<Parameters>,
    form: Form,
    /// The codec's header as the stream has it now, and as its packets have said since.
    stream_header: Vec<u8>,
    header: Vec<u8>,
    time_base: ff::AVRational,
    order: Order,
    is_as_opened: bool,
}

enum Form {
    /// Raw AAC, but for the odd packet that has its header already.
    Adts(Adts),
    Filter(Owned<ff::AVBSFContext>),
    Plain,
}

impl Lane {
    pub(super) fn new(stream: &ff::AVStream, track: &Track) -> Result<Self> {
        let parameters = codec_parameters(stream);
        let header = extradata(parameters).to_vec();
        let mut lane = Self {
            codec: track.codec,
            parameters: track.parameters.clone(),
            form: Form::Plain,
            stream_header: header.clone(),
            header,
            time_base: stream.time_base,
            order: Order::default(),
            is_as_opened: true,
        };
        lane.take_form(parameters)?;
        Ok(lane)
    }

    /// Goes back to the start of the stream; says whether it can: the codec may have become another since.
    pub(super) fn restart(&mut self) -> bool {
        if let Form::Filter(filter) = &mut self.form {
            // SAFETY: the filter is initialised; the call drops what it holds.
            unsafe { ff::av_bsf_flush(filter.as_mut_ptr()) };
        }
        self.order = Order::default();
        self.is_as_opened
    }

    /// Puts what a raw packet of `stream` becomes into `ready`.
    ///
    /// # Errors
    /// [`Remedy::Drop`] when the packet is damaged.
    pub(super) fn take(&mut self, mut raw: Owned<ff::AVPacket>, stream: &ff::AVStream, ready: &mut VecDeque<Packet>) -> Result<()> {
        self.follow(&raw, stream)?;
        let Form::Filter(filter) = &mut self.form else {
            if raw.size > 0 {
                ready.push_back(self.finish(raw, stream)?);
            }
            return Ok(());
        };
        // SAFETY: the filter is initialised and empty; the call takes the packet's contents over.
        check(unsafe { ff::av_bsf_send_packet(filter.as_mut_ptr(), raw.as_mut_ptr()) }, "reading a packet", Remedy::Drop)?;
        loop {
            let Form::Filter(filter) = &mut self.form else { return Ok(()) };
            let mut filtered = packet()?;
            // SAFETY: the filter is initialised and the packet empty; the call fills it or leaves it so.
            let code = unsafe { ff::av_bsf_receive_packet(filter.as_mut_ptr(), filtered.as_mut_ptr()) };
            if would_block(code) || code == ff::AVERROR_EOF {
                return Ok(());
            }
            check(code, "reading a packet", Remedy::Drop)?;
            if filtered.size > 0 {
                ready.push_back(self.finish(filtered, stream)?);
            }
        }
    }

    /// Follows what the stream, or a packet of it, says anew of the codec.
    fn follow(&mut self, raw: &Owned<ff::AVPacket>, stream: &ff::AVStream) -> Result<()> {
        let parameters = codec_parameters(stream);
        let header = if extradata(parameters) == self.stream_header {
            side_data(raw, ff::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA).map(<[u8]>::to_vec)
        } else {
            self.stream_header = extradata(parameters).to_vec();
            Some(self.stream_header.clone())
        };
        if let Some(header) = header.filter(|header| !header.is_empty() && *header != self.header) {
            let said = read_parameters(parameters, stream.sample_aspect_ratio);
            self.parameters = Arc::new(Parameters { extradata: Payload::copy_from_slice(&header), ..said });
            self.header = header;
            self.is_as_opened = false;
            self.take_form(parameters)?;
        }
        if let Some(change) = side_data(raw, ff::AVPacketSideDataType::AV_PKT_DATA_PARAM_CHANGE).and_then(Change::parse) {
            let changed = change.apply(&self.parameters);
            if changed != *self.parameters {
                self.parameters = Arc::new(changed);
                self.is_as_opened = false;
            }
        }
        Ok(())
    }

    /// Chooses the form by the codec's header.
    fn take_form(&mut self, parameters: &ff::AVCodecParameters) -> Result<()> {
        let is_start_code = self.header.starts_with(&[0, 0, 1]) || self.header.starts_with(&[0, 0, 0, 1]);
        let filter = match self.codec {
            Codec::Aac => {
                self.form = Adts::of_config(&self.header).map_or(Form::Plain, Form::Adts);
                return Ok(());
            }
            Codec::H264 if !is_start_code && self.header.len() >= SHORTEST_AVCC => c"h264_mp4toannexb",
            Codec::Hevc if !is_start_code && self.header.len() >= SHORTEST_HVCC => c"hevc_mp4toannexb",
            Codec::Av1
            | Codec::H264
            | Codec::Hevc
            | Codec::Mp2
            | Codec::Mp3
            | Codec::Mpeg1Video
            | Codec::Mpeg2Video
            | Codec::Opus
            | Codec::OtherAudio(_)
            | Codec::OtherVideo(_)
            | Codec::Vp8
            | Codec::Vp9 => {
                self.form = Form::Plain;
                return Ok(());
            }
        };
        let missing = || Error::new("finding a filter", Remedy::Report, "this FFmpeg was built without it");
        // SAFETY: looks a terminated name up in a static table.
        let kind = unsafe { ff::av_bsf_get_by_name(filter.as_ptr()) };
        // SAFETY: null or an entry of that table.
        let kind = unsafe { kind.as_ref() }.ok_or_else(missing)?;
        let mut filter = std::ptr::null_mut();
        // SAFETY: the kind is of FFmpeg's table; the call stores null or a new filter.
        let code = unsafe { ff::av_bsf_alloc(kind, &raw mut filter) };
        // SAFETY: null or a new filter, which `av_bsf_free` undoes; nobody else has the pointer.
        let filter = unsafe { Owned::new(filter) };
        check(code, "allocating a filter", Remedy::Rebuild)?;
        let mut filter = filter?;
        // SAFETY: a new filter has empty parameters of its own there; the stream's are initialised and only read.
        check(unsafe { ff::avcodec_parameters_copy(filter.par_in, parameters) }, "setting up a filter", Remedy::Rebuild)?;
        // SAFETY: as above; they are the filter's alone.
        let par_in = unsafe { &mut *filter.par_in };
        set_extradata(&mut par_in.extradata, &mut par_in.extradata_size, &self.header)?;
        filter.time_base_in = self.time_base;
        // SAFETY: the filter is set up and not initialised yet.
        check(unsafe { ff::av_bsf_init(filter.as_mut_ptr()) }, "setting up a filter", Remedy::Report)?;
        // SAFETY: an initialised filter has the parameters of what it makes there.
        let made = extradata(unsafe { &*filter.par_out });
        if *made != *self.parameters.extradata {
            self.parameters = Arc::new(Parameters { extradata: Payload::copy_from_slice(made), ..(*self.parameters).clone() });
        }
        self.form = Form::Filter(filter);
        Ok(())
    }

    fn finish(&mut self, raw: Owned<ff::AVPacket>, stream: &ff::AVStream) -> Result<Packet> {
        let time = |ticks: i64| (ticks != ff::AV_NOPTS_VALUE).then(|| media_time(ticks, self.time_base));
        let (pts, dts, key) = (time(raw.pts), time(raw.dts), raw.flags & ff::AV_PKT_FLAG_KEY != 0);
        let dts = if self.codec.is_video() {
            let delay = usize::try_from(codec_parameters(stream).video_delay).unwrap_or(0);
            let duration = Some(raw.duration).filter(|&ticks| ticks > 0).map(|ticks| media_time(ticks, self.time_base));
            self.order.decode_time(pts, dts, delay, duration.unwrap_or_else(|| interval(stream)))
        } else {
            dts.or(pts)
        };
        let is_framed = self.codec == Codec::Aac && is_adts(bytes(&raw));
        let framed = match self.form {
            Form::Adts(adts) if !is_framed => adts.frame(bytes(&raw)),
            Form::Adts(_) | Form::Filter(_) | Form::Plain => None,
        };
        let describes_itself = match self.codec {
            Codec::Aac => is_framed || framed.is_some(),
            Codec::Mp2 | Codec::Mp3 | Codec::Mpeg1Video | Codec::Mpeg2Video => true,
            // Of these too the container may know what the packets do not: the shape of a pixel, what goes before the first picture.
            Codec::Av1
            | Codec::H264
            | Codec::Hevc
            | Codec::Opus
            | Codec::OtherAudio(_)
            | Codec::OtherVideo(_)
            | Codec::Vp8
            | Codec::Vp9 => false,
        };
        Ok(Packet {
            codec: self.codec,
            data: framed.map_or_else(|| share(raw), Ok)?,
            // Pictures may be shown in another order than they are decoded.
            pts: if self.codec.is_video() { pts } else { pts.or(dts) },
            dts,
            key,
            arrival: Instant::now(),
            parameters: (!describes_itself).then(|| self.parameters.clone()),
        })
    }
}

/// A time of a stream, whose ticks last `base` seconds.
pub(super) fn media_time(ticks: i64, base: ff::AVRational) -> MediaTime {
    let rate = u32::try_from(base.den).unwrap_or(1).max(1);
    MediaTime::from_ticks(ticks.saturating_mul(i64::from(base.num)), rate)
}

/// How long a picture of a stream stands, by its rate.
fn interval(stream: &ff::AVStream) -> MediaTime {
    let rate = [stream.avg_frame_rate, stream.r_frame_rate].into_iter().find(|rate| rate.num > 0 && rate.den > 0);
    rate.map_or(USUAL_INTERVAL, |rate| media_time(1, ff::AVRational { num: rate.den, den: rate.num }))
}

/// What a packet says besides its payload.
fn side_data(raw: &Owned<ff::AVPacket>, kind: ff::AVPacketSideDataType) -> Option<&[u8]> {
    let mut size = 0;
    // SAFETY: the packet is initialised and only read; the call stores the size of what it finds.
    let data = unsafe { ff::av_packet_get_side_data(raw.as_ptr(), kind, &raw mut size) };
    if data.is_null() {
        return None;
    }
    // SAFETY: the call found so many bytes, which live as long as the packet and are not written.
    Some(unsafe { std::slice::from_raw_parts(data, size) })
}

/// `AV_PKT_DATA_PARAM_CHANGE`.
#[derive(Debug, Default, Eq, PartialEq)]
struct Change {
    channels: Option<u32>,
    channel_mask: Option<u64>,
    sample_rate: Option<u32>,
    size: Option<(u32, u32)>,
}

impl Change {
    /// Reads flags and, in this order, what they announce, all little endian.
    fn parse(data: &[u8]) -> Option<Self> {
        let (flags, mut rest) = data.split_first_chunk::<4>()?;
        let flags = u32::from_le_bytes(*flags);
        let mut change = Self::default();
        let number = |rest: &mut &[u8]| {
            let (bytes, after) = rest.split_first_chunk::<4>()?;
            *rest = after;
            Some(u32::from_le_bytes(*bytes))
        };
        if flags & 1 != 0 {
            change.channels = Some(number(&mut rest)?);
        }
        if flags & 2 != 0 {
            change.channel_mask = Some(u64::from(number(&mut rest)?) | u64::from(number(&mut rest)?) << 32);
        }
        if flags & 4 != 0 {
            change.sample_rate = Some(number(&mut rest)?);
        }
        if flags & 8 != 0 {
            change.size = Some((number(&mut rest)?, number(&mut rest)?));
        }
        Some(change)
    }

    fn apply(&self, to: &Parameters) -> Parameters {
        // A new number of channels has other places than the old one.
        let old_mask = if self.channels.is_some() { 0 } else { to.channel_mask };
        Parameters {
            channels: self.channels.unwrap_or(to.channels),
            channel_mask: self.channel_mask.unwrap_or(old_mask),
            sample_rate: self.sample_rate.unwrap_or(to.sample_rate),
            size: self.size.unwrap_or(to.size),
            ..to.clone()
        }
    }
}

const USUAL_INTERVAL: MediaTime = MediaTime::from_millis(40);

// An `AVCDecoderConfigurationRecord` and an `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1 and 8.3.3.1) with no set in it.
const SHORTEST_AVCC: usize = 7;
const SHORTEST_HVCC: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_in_their_order() {
        let bytes = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
        for (data, expected) in [
            (bytes(&[4, 48_000]), Some(Change { sample_rate: Some(48_000), ..Change::default() })),
            (bytes(&[8, 640, 480]), Some(Change { size: Some((640, 480)), ..Change::default() })),
            (bytes(&[3, 2, 3, 0]), Some(Change { channels: Some(2), channel_mask: Some(3), ..Change::default() })),
            (bytes(&[4]), None),
            (vec![1], None),
        ] {
            assert_eq!(Change::parse(&data), expected, "{data:?}");
        }
    }

    #[test]
    fn ticks_of_any_length_are_times() {
        let base = |num, den| ff::AVRational { num, den };
        assert_eq!(media_time(30_000, base(1_001, 30_000)), MediaTime::from_millis(1_001_000));
        assert_eq!(media_time(-1_024, base(1, 48_000)), MediaTime::from_nanos(-21_333_333));
    }
}
