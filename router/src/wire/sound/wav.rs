//! PCM behind a WAV header (RIFF, RF64): its length is not believed where it cannot be, for a stream has none.

use std::sync::Arc;
use std::time::Instant;

use crosspoint_ffi::{Codec, CodecId, MediaTime, Parameters, Payload};

use super::{Cut, Out, Reason};

/// Whether a WAV begins here.
pub(super) fn begins(bytes: &[u8]) -> bool {
    (bytes.starts_with(b"RIFF") || bytes.starts_with(b"RF64")) && bytes.get(8..12) == Some(b"WAVE")
}

/// Cuts a WAV's chunks, and its samples into packets of at most 20 ms: what is there comes out, whole blocks of it.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    began: bool,
    sound: Option<Sound>,
    /// Inside the samples: how many bytes of them are left, if that is known.
    data: Option<Option<usize>>,
    /// The byte that makes the samples' length even.
    padding_bytes: usize,
    /// Blocks that came out: a sum of rounded lengths would drift.
    blocks: i64,
}

#[derive(Clone, Debug)]
struct Sound {
    codec: Codec,
    parameters: Arc<Parameters>,
    rate: u32,
    block_bytes: usize,
}

impl Cutter {
    pub(super) fn cut(&mut self, bytes: &[u8], now: Instant, out: &mut Out) -> Cut {
        if !self.began {
            self.began = true;
            return Cut::Took(RIFF_BYTES);
        }
        match self.data {
            Some(left) => self.samples(bytes, left, now, out),
            None => self.chunk(bytes, out),
        }
    }

    /// A chunk that is not samples, or the header of the one that is.
    fn chunk(&mut self, bytes: &[u8], out: &mut Out) -> Cut {
        let Some((header, body)) = bytes.split_at_checked(CHUNK_HEADER_BYTES) else { return Cut::More(CHUNK_HEADER_BYTES) };
        let said = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let length = said as usize;
        match &header[..4] {
            b"fmt " if length > FORMAT_MOST_BYTES => Cut::Lost,
            b"fmt " => {
                let Some(body) = body.get(..length) else { return Cut::More(CHUNK_HEADER_BYTES + length) };
                self.sound = Sound::parse(body);
                if self.sound.is_none() {
                    out.bad(Reason::Unsupported);
                    return Cut::Lost;
                }
                Cut::Took(CHUNK_HEADER_BYTES + length + length % 2)
            }
            b"data" if self.sound.is_none() => Cut::Lost,
            b"data" => {
                // A writer that cannot seek back leaves one of these.
                self.data = Some((said != 0 && said < ENDLESS).then_some(length));
                self.padding_bytes = length % 2;
                Cut::Took(CHUNK_HEADER_BYTES)
            }
            // Another file, or no chunk at all.
            b"RIFF" | b"RF64" | b"OggS" => Cut::Lost,
            name if length > NOTES_MOST_BYTES || !name.iter().all(|&byte| byte.is_ascii_graphic() || byte == b' ') => Cut::Lost,
            _ => Cut::Took(CHUNK_HEADER_BYTES + length + length % 2),
        }
    }

    fn samples(&mut self, bytes: &[u8], left: Option<usize>, now: Instant, out: &mut Out) -> Cut {
        let Some(sound) = &self.sound else { return Cut::Lost };
        let most = sound.block_bytes * (sound.rate as usize / LUMPS_PER_SECOND).max(1);
        let mut room = left.unwrap_or(usize::MAX).min(bytes.len());
        if left.is_none() {
            match next_file(&bytes[..bytes.len().min(most + RIFF_BYTES)]) {
                Next::Begins => return Cut::Lost,
                Next::At(at) => room = at,
                Next::No => {}
            }
        }
        let blocks = room.min(most) / sound.block_bytes;
        let taken = blocks * sound.block_bytes;
        if taken == 0 {
            return match left {
                // Less than a block is left of a file's samples.
                Some(left) if left < sound.block_bytes => {
                    self.data = None;
                    Cut::Took(left + self.padding_bytes)
                }
                // Less than a block lies before another file.
                None if room < bytes.len() && room > 0 && bytes.len() > sound.block_bytes + RIFF_BYTES => Cut::Took(room),
                Some(_) | None => Cut::More(sound.block_bytes.max(room + 1)),
            };
        }
        let end = self.blocks + blocks as i64;
        let duration = MediaTime::from_ticks(end, sound.rate) - MediaTime::from_ticks(self.blocks, sound.rate);
        self.blocks = end;
        out.packet(sound.codec, &bytes[..taken], duration, Some(&sound.parameters), now);
        if let Some(left) = left {
            let left = left - taken;
            self.data = (left > 0).then_some(Some(left));
            return Cut::Took(taken + if left == 0 { self.padding_bytes } else { 0 });
        }
        Cut::Took(taken)
    }
}

impl Sound {
    /// Parses a `fmt ` chunk; nothing when its samples are of no kind that is carried.
    fn parse(body: &[u8]) -> Option<Self> {
        let short = |at: usize| Some(u16::from_le_bytes([*body.get(at)?, *body.get(at + 1)?]));
        let (tag, channels, block_bytes, bits) = (short(0)?, short(2)?, short(12)?, short(14)?);
        let rate = u32::from(short(4)?) | u32::from(short(6)?) << 16;
        // Extensible: the first bytes of the format's GUID are the tag, its mask says where the channels stand.
        let (tag, mask) = if tag == EXTENSIBLE { (short(24)?, u64::from(short(20)?) | u64::from(short(22)?) << 16) } else { (tag, 0) };
        let id = match (tag, bits) {
            (1, 8) => PCM_U8,
            (1, 16) => PCM_S16LE,
            (1, 24) => PCM_S24LE,
            (1, 32) => PCM_S32LE,
            (3, 32) => PCM_F32LE,
            (3, 64) => PCM_F64LE,
            (6, 8) => PCM_ALAW,
            (7, 8) => PCM_MULAW,
            (_, _) => return None,
        };
        let fits = (1..=MOST_CHANNELS).contains(&channels) && (1_000..=MOST_RATE).contains(&rate) && block_bytes == channels * (bits / 8);
        let parameters = Parameters {
            extradata: Payload::default(),
            bits_per_coded_sample: bits.into(),
            format: -1,
            sample_rate: rate,
            channels: channels.into(),
            channel_mask: mask,
            block_align: block_bytes.into(),
            ..Parameters::default()
        };
        fits.then(|| Self {
            codec: Codec::OtherAudio(CodecId(id)),
            parameters: Arc::new(parameters),
            rate,
            block_bytes: block_bytes.into(),
        })
    }
}

enum Next {
    /// It may begin there.
    At(usize),
    Begins,
    No,
}

/// Where another WAV begins among endless samples. The start of one that is not whole yet counts: it is a matter of a few bytes.
fn next_file(bytes: &[u8]) -> Next {
    for at in memchr::memchr_iter(b'R', bytes) {
        let rest = &bytes[at..];
        let whole = rest.len() >= RIFF_BYTES;
        let start = &rest[..rest.len().min(4)];
        if if whole { begins(rest) } else { b"RIFF".starts_with(start) || b"RF64".starts_with(start) } {
            return if at == 0 && whole { Next::Begins } else { Next::At(at) };
        }
    }
    Next::No
}

/// `RIFF`, a length, `WAVE`.
const RIFF_BYTES: usize = 12;
const CHUNK_HEADER_BYTES: usize = 8;
const FORMAT_MOST_BYTES: usize = 256;
/// Longer notes (lists, pictures) than this are rather bytes that are no chunk.
const NOTES_MOST_BYTES: usize = 1 << 24;
/// Lengths from here on say that it is not known: sox writes `7fff…`, FFmpeg `ffff…`, each less its headers.
const ENDLESS: u32 = 0x7fff_0000;
const EXTENSIBLE: u16 = 0xfffe;
const MOST_CHANNELS: u16 = 32;
const MOST_RATE: u32 = 384_000;
/// Packets of 20 ms: short against the depth that a sink is held at.
const LUMPS_PER_SECOND: usize = 50;

/// FFmpeg's numbers (`libavcodec/codec_id.h`), which are part of its ABI.
const PCM_S16LE: u32 = 0x1_0000;
const PCM_U8: u32 = PCM_S16LE + 5;
const PCM_MULAW: u32 = PCM_S16LE + 6;
const PCM_ALAW: u32 = PCM_S16LE + 7;
const PCM_S32LE: u32 = PCM_S16LE + 8;
const PCM_S24LE: u32 = PCM_S16LE + 12;
const PCM_F32LE: u32 = PCM_S16LE + 21;
const PCM_F64LE: u32 = PCM_S16LE + 23;
