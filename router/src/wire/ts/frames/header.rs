//! Where a frame of sound ends, by the header it begins with.

use crosspoint_ffi::{MediaTime, opus};

use crate::wire::ts::kind::Kind;

/// A format whose frames have to be found.
#[derive(Debug)]
pub(super) enum Format {
    /// AC-3 and E-AC-3 (ETSI TS 102 366).
    Ac3,
    /// DTS (ETSI TS 102 114).
    Dts,
    /// AAC in LATM elements behind LOAS headers (ISO/IEC 14496-3, 1.7.2).
    Latm,
    /// Opus behind control headers ("Encapsulation of Opus in MPEG-2 TS").
    Opus,
    /// MLP and TrueHD access units; only one with a major sync is told from anything else.
    TrueHd { locked: bool },
}

/// What begins at some byte.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Unit {
    /// A frame.
    Frame {
        /// Bytes in front that are not for the decoder.
        header_bytes: usize,
        /// All of its bytes, the header included.
        bytes: usize,
        /// How long it sounds, where frames are decoded one by one.
        duration: Option<MediaTime>,
    },
    /// No frame.
    Lost,
    /// Perhaps a frame, whose end is missing.
    More,
}

impl Unit {
    /// A frame of so many bytes, all of them the decoder's.
    fn plain(bytes: usize) -> Self {
        Self::Frame { header_bytes: 0, bytes, duration: None }
    }
}

impl Format {
    /// The format of a kind of stream, if its payloads have to be cut.
    pub(super) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Ac3 | Kind::Eac3 => Some(Self::Ac3),
            Kind::Dts => Some(Self::Dts),
            Kind::Latm => Some(Self::Latm),
            Kind::Opus(_) => Some(Self::Opus),
            Kind::TrueHd => Some(Self::TrueHd { locked: false }),
            Kind::Aac
            | Kind::BlurayPcm
            | Kind::Cavs
            | Kind::Dirac
            | Kind::H264
            | Kind::Hevc
            | Kind::Mpeg1Video
            | Kind::Mpeg2Video
            | Kind::Mpeg4Video
            | Kind::MpegAudio
            | Kind::S302m
            | Kind::Vc1
            | Kind::Vvc => None,
        }
    }

    /// Whether FFmpeg's decoder takes several frames in one packet: it must say how much of it it used, which those of DTS and Opus do not.
    pub(super) fn joins(&self) -> bool {
        match self {
            Self::Ac3 | Self::Latm | Self::TrueHd { .. } => true,
            Self::Dts | Self::Opus => false,
        }
    }

    /// Forgets where frames begin.
    pub(super) fn lose(&mut self) {
        if let Self::TrueHd { locked } = self {
            *locked = false;
        }
    }

    /// What `bytes`, of which there is at least one, begin with.
    pub(super) fn unit(&mut self, bytes: &[u8]) -> Unit {
        let unit = match self {
            Self::Ac3 => ac3(bytes),
            Self::Dts => dts(bytes),
            Self::Latm => latm(bytes),
            Self::Opus => opus_unit(bytes),
            Self::TrueHd { locked } => {
                let unit = truehd(bytes, *locked);
                *locked |= matches!(unit, Unit::Frame { .. });
                unit
            }
        };
        match unit {
            Unit::Frame { bytes: needed, .. } if needed > bytes.len() => Unit::More,
            Unit::Frame { .. } | Unit::Lost | Unit::More => unit,
        }
    }
}

/// More bytes are needed if these agree with `sync` as far as they go.
fn begun(bytes: &[u8], sync: &[u8]) -> Unit {
    let common = bytes.len().min(sync.len());
    if bytes[..common] == sync[..common] { Unit::More } else { Unit::Lost }
}

/// A syncframe (4.3.1, 4.3.2; annex E: E.1.2.1, E.1.2.2).
fn ac3(bytes: &[u8]) -> Unit {
    let Some(&[0x0b, 0x77, two, three, four, five]) = bytes.first_chunk() else { return begun(bytes, &AC3_SYNC) };
    let words = match five >> 3 {
        0..=10 => {
            let code = usize::from(four & 0x3f);
            let Some(&kbps) = AC3_KBPS.get(code / 2) else { return Unit::Lost };
            match four >> 6 {
                0 => kbps * 2,
                1 => kbps * 320 / 147 + code % 2,
                2 => kbps * 3,
                _ => return Unit::Lost,
            }
        }
        11..=16 => (usize::from(two & 7) << 8 | usize::from(three)) + 1,
        _ => return Unit::Lost,
    };
    Unit::plain(words * 2)
}

/// A core frame (5.3.1) and the extension substreams behind it (7.4.1), or one of these alone.
fn dts(bytes: &[u8]) -> Unit {
    let (mut end, mut duration) = (0, None);
    if bytes[0] == DTS_SYNC[0] {
        let Some(&[0x7f, 0xfe, 0x80, 0x01, four, five, six, seven, eight]) = bytes.first_chunk() else { return begun(bytes, &DTS_SYNC) };
        end = (usize::from(five & 3) << 12 | usize::from(six) << 4 | usize::from(seven >> 4)) + 1;
        let blocks = i64::from(four & 1) << 6 | i64::from(five >> 2);
        let rate = DTS_RATES[usize::from(eight >> 2 & 15)];
        if end < DTS_LEAST_BYTES || rate == 0 {
            return Unit::Lost;
        }
        duration = Some(MediaTime::from_ticks((blocks + 1) * 32, rate));
    }
    // A payload that ends with a core frame has none: what belongs together is not torn apart.
    while let Some(rest) = bytes.get(end..).filter(|rest| !rest.is_empty()) {
        let Some(&[0x64, 0x58, 0x20, 0x25, _, fields @ ..]) = rest.first_chunk::<10>() else {
            match begun(rest, &DTS_EXTENSION_SYNC) {
                Unit::More => return Unit::More,
                Unit::Frame { .. } | Unit::Lost if end == 0 => return Unit::Lost,
                Unit::Frame { .. } | Unit::Lost => break,
            }
        };
        let fields = fields.iter().fold(0, |all, &byte| all << 8 | u64::from(byte));
        // Two bits of index; then one that says how long the lengths of header and substream are.
        let is_long = fields >> 37 & 1 != 0;
        let length = if is_long { fields >> 5 & 0xf_ffff } else { fields >> 13 & 0xffff };
        if length < 10 {
            return Unit::Lost;
        }
        end += length as usize + 1;
    }
    Unit::Frame { header_bytes: 0, bytes: end, duration }
}

fn latm(bytes: &[u8]) -> Unit {
    match *bytes {
        [0x56] => Unit::More,
        [0x56, one, ref rest @ ..] if one & 0xe0 == 0xe0 => match rest.first() {
            Some(&two) => Unit::plain(3 + (usize::from(one & 0x1f) << 8 | usize::from(two))),
            None => Unit::More,
        },
        _ => Unit::Lost,
    }
}

fn opus_unit(bytes: &[u8]) -> Unit {
    let [0x7f, rest @ ..] = bytes else { return Unit::Lost };
    let Some((&flags, mut rest)) = rest.split_first() else { return Unit::More };
    if flags & 0xe0 != 0xe0 {
        return Unit::Lost;
    }
    let mut size = 0;
    loop {
        let Some((&byte, after)) = rest.split_first() else { return Unit::More };
        (size, rest) = (size + usize::from(byte), after);
        if size > OPUS_MOST_BYTES {
            return Unit::Lost;
        }
        if byte != 0xff {
            break;
        }
    }
    let mut header_bytes = bytes.len() - rest.len();
    let trims_bytes = [0x10, 0x08].into_iter().filter(|flag| flags & flag != 0).count() * 2;
    header_bytes += trims_bytes;
    if flags & 0x04 != 0 {
        let Some(&extension_bytes) = rest.get(trims_bytes) else { return Unit::More };
        header_bytes += 1 + usize::from(extension_bytes);
    }
    if size == 0 {
        return Unit::Lost;
    }
    let duration = bytes.get(header_bytes..).map(opus::duration);
    Unit::Frame { header_bytes, bytes: header_bytes + size, duration }
}

fn truehd(bytes: &[u8], locked: bool) -> Unit {
    // Discs put an AC-3 stream between; no access unit is as long as its sync word would say.
    if let [0x0b, 0x77, ..] = bytes {
        return match ac3(bytes) {
            Unit::Frame { bytes, .. } if locked => Unit::Frame { header_bytes: bytes, bytes, duration: None },
            Unit::Frame { .. } | Unit::Lost => Unit::Lost,
            Unit::More => Unit::More,
        };
    }
    let Some(&[zero, one, _, _, sync @ ..]) = bytes.first_chunk::<8>() else { return Unit::More };
    let words = usize::from(zero & 0x0f) << 8 | usize::from(one);
    if !locked && sync != TRUEHD_SYNC || !(4..=TRUEHD_MOST_WORDS).contains(&words) {
        return Unit::Lost;
    }
    Unit::plain(words * 2)
}

const AC3_SYNC: [u8; 2] = [0x0b, 0x77];
/// Table 4.13, by half the `frmsizecod`.
const AC3_KBPS: [usize; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
const DTS_SYNC: [u8; 4] = [0x7f, 0xfe, 0x80, 0x01];
const DTS_EXTENSION_SYNC: [u8; 4] = [0x64, 0x58, 0x20, 0x25];
/// The smallest `FSIZE` that is valid (5.3.1), plus one.
const DTS_LEAST_BYTES: usize = 96;
/// Table 5-5; 0 is invalid.
const DTS_RATES: [u32; 16] = [0, 8_000, 16_000, 32_000, 0, 0, 11_025, 22_050, 44_100, 0, 0, 12_000, 24_000, 48_000, 96_000, 192_000];
/// 120 ms in frames of 2.5 ms, each of at most 1275 bytes (RFC 6716, 3.2.1).
const OPUS_MOST_BYTES: usize = 48 * 1_275 + 100;
/// The major sync of TrueHD; that of MLP has another last byte and is for DVD-Audio.
const TRUEHD_SYNC: [u8; 4] = [0xf8, 0x72, 0x6f, 0xba];
/// No access unit is longer than 4000 bytes; some margin.
const TRUEHD_MOST_WORDS: usize = 0xb00;
