//! One track of an Ogg stream: its headers, and how long its packets sound.

use std::sync::Arc;
use std::time::Instant;

use crosspoint_ffi::{Codec, CodecId, MediaTime, Parameters, Payload, opus};

use crate::wire::sound::Out;

/// A track of a kind that is carried.
#[derive(Debug)]
pub(super) struct Track {
    serial: u32,
    kind: Kind,
    parameters: Arc<Parameters>,
    rate: u32,
    /// Where the last page ended, in samples.
    granule: Option<u64>,
    /// How long the packets of the present page sound each, as its position tells.
    step: MediaTime,
}

#[derive(Debug)]
enum Kind {
    Flac,
    Opus,
    /// Its headers, while they are not all there.
    Vorbis(Vec<Vec<u8>>),
}

impl Track {
    /// Begins the track whose first packet is `head`; nothing when it is of no kind that is carried.
    pub(super) fn begin(serial: u32, head: &[u8]) -> Option<Self> {
        let number = |at: usize| head.get(at..at + 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        let (kind, rate, channels, extradata) = if head.starts_with(b"OpusHead") {
            (Kind::Opus, OPUS_RATE, *head.get(9)?, head)
        } else if head.starts_with(b"\x01vorbis") {
            (Kind::Vorbis(vec![head.to_vec()]), number(12)?, *head.get(11)?, &[][..])
        } else if head.starts_with(b"\x7fFLAC") && head.get(9..13) == Some(b"fLaC") {
            // Behind four bytes of a metadata block's header.
            let info = head.get(17..17 + FLAC_INFO_BYTES)?;
            let rate = u32::from(info[10]) << 12 | u32::from(info[11]) << 4 | u32::from(info[12] >> 4);
            (Kind::Flac, rate, (info[12] >> 1 & 7) + 1, info)
        } else {
            return None;
        };
        if !(1..=MOST_RATE).contains(&rate) || channels == 0 {
            return None;
        }
        let parameters = parameters(rate, channels, extradata);
        Some(Self { serial, kind, parameters, rate, granule: Some(0), step: MediaTime::ZERO })
    }

    pub(super) fn serial(&self) -> u32 {
        self.serial
    }

    /// A page of so many packets begins that ends at `granule`.
    pub(super) fn handle_page(&mut self, granule: Option<u64>, packets: usize) {
        let Some(granule) = granule else { return };
        let samples =
            self.granule.and_then(|before| granule.checked_sub(before)).filter(|&samples| samples <= u64::from(self.rate) * PAGE_MOST_S);
        self.granule = Some(granule);
        if let (Some(samples), Ok(packets @ 1..)) = (samples, u32::try_from(packets)) {
            self.step = MediaTime::from_nanos(MediaTime::from_ticks(samples as i64, self.rate).as_nanos() / i64::from(packets));
        }
    }

    /// Takes a whole packet.
    pub(super) fn packet(&mut self, bytes: &[u8], now: Instant, out: &mut Out) {
        let Some(&first) = bytes.first() else { return };
        match &mut self.kind {
            // Comments, and metadata that a frame's sync word tells from frames.
            Kind::Opus if bytes.starts_with(b"OpusTags") => {}
            Kind::Flac if first != 0xff => {}
            Kind::Flac => out.packet(Codec::OtherAudio(CodecId(FLAC)), bytes, self.step, Some(&self.parameters), now),
            Kind::Opus => out.packet(Codec::Opus, bytes, opus::duration(bytes), Some(&self.parameters), now),
            Kind::Vorbis(headers) if first & 1 == 1 => {
                if headers.len() < VORBIS_HEADERS {
                    headers.push(bytes.to_vec());
                }
                if headers.len() == VORBIS_HEADERS {
                    let channels = u8::try_from(self.parameters.channels).unwrap_or(0);
                    self.parameters = parameters(self.rate, channels, &laced(headers));
                }
            }
            // Without its headers it says nothing.
            Kind::Vorbis(headers) if headers.len() < VORBIS_HEADERS => {}
            Kind::Vorbis(_) => out.packet(Codec::OtherAudio(CodecId(VORBIS)), bytes, self.step, Some(&self.parameters), now),
        }
    }
}

fn parameters(rate: u32, channels: u8, extradata: &[u8]) -> Arc<Parameters> {
    let extradata = Payload::copy_from_slice(extradata);
    Arc::new(Parameters { extradata, format: -1, sample_rate: rate, channels: channels.into(), ..Parameters::default() })
}

/// The three headers as Matroska, and FFmpeg, want them: how many less one, the lengths of all but the last, the headers.
fn laced(headers: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![2];
    for header in &headers[..headers.len() - 1] {
        bytes.resize(bytes.len() + header.len() / 255, 255);
        bytes.push((header.len() % 255) as u8);
    }
    bytes.extend(headers.iter().flatten());
    bytes
}

const OPUS_RATE: u32 = 48_000;
const MOST_RATE: u32 = 384_000;
const FLAC_INFO_BYTES: usize = 34;
const VORBIS_HEADERS: usize = 3;
/// A page that says it is longer follows a gap.
const PAGE_MOST_S: u64 = 10;

/// FFmpeg's numbers (`libavcodec/codec_id.h`), which are part of its ABI.
const VORBIS: u32 = 0x1_5005;
const FLAC: u32 = 0x1_500c;
