//! Parameter sets: every key frame that is mirrored has them with it.

use crosspoint_ffi::{Codec, Packet, Payload};

use crate::wire::annexb::{self, h264_nal, hevc_nal};

/// The newest parameter sets of an H.264 or HEVC stream, by NAL unit type.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    sets: Vec<(u8, Vec<u8>)>,
}

impl ParameterSets {
    /// The packet, with the parameter sets in front that it needs and lacks.
    ///
    /// Copies: 0, or 1 for a key frame that lacks them.
    pub(super) fn complete(&mut self, packet: &Packet) -> Packet {
        let Some(Kinds { kind, wanted }) = Kinds::of(packet.codec) else { return packet.clone() };
        if packet.key
            && self.sets.is_empty()
            && let Some(parameters) = &packet.parameters
        {
            // A container that keeps them to itself; what is no byte stream has no start code and gives nothing.
            self.note(&parameters.extradata, kind, wanted);
        }
        let found = self.note(&packet.data, kind, wanted);
        if !packet.key || wanted.iter().all(|wanted| found.contains(wanted)) {
            return packet.clone();
        }
        let mut data = Vec::with_capacity(packet.data.len() + 256);
        for (kind, set) in &self.sets {
            if !found.contains(kind) {
                data.extend([0, 0, 0, 1]);
                data.extend(set);
            }
        }
        data.extend_from_slice(&packet.data);
        Packet { data: Payload::copy_from_slice(&data), ..packet.clone() }
    }

    /// Remembers the sets in `bytes`, up to the first slice; says which kinds there were.
    fn note(&mut self, bytes: &[u8], kind: fn(u8) -> u8, wanted: &[u8]) -> Vec<u8> {
        let mut found = Vec::new();
        for nal in annexb::nals(bytes) {
            let this = kind(nal[0]);
            if wanted.contains(&this) {
                if !found.contains(&this) {
                    found.push(this);
                    self.sets.retain(|(kind, _)| *kind != this);
                }
                self.sets.push((this, nal.to_vec()));
            } else if is_slice(this, wanted) {
                break;
            }
        }
        self.sets.sort_by_key(|(kind, _)| *kind);
        found
    }
}

/// How a codec numbers its NAL units, and which are parameter sets.
struct Kinds {
    kind: fn(u8) -> u8,
    wanted: &'static [u8],
}

impl Kinds {
    fn of(codec: Codec) -> Option<Self> {
        match codec {
            Codec::H264 => Some(Self { kind: |first| first & 0x1f, wanted: H264_SETS }),
            Codec::Hevc => Some(Self { kind: |first| first >> 1 & 0x3f, wanted: HEVC_SETS }),
            Codec::Aac
            | Codec::Av1
            | Codec::Mpeg1Video
            | Codec::Mpeg2Video
            | Codec::Mp2
            | Codec::Mp3
            | Codec::Opus
            | Codec::OtherAudio(_)
            | Codec::OtherVideo(_)
            | Codec::Vp8
            | Codec::Vp9 => None,
        }
    }
}

/// Whether a NAL unit is a slice: what follows it are more slices.
fn is_slice(kind: u8, wanted: &[u8]) -> bool {
    if wanted == H264_SETS { (h264_nal::SLICE..=h264_nal::IDR).contains(&kind) } else { kind < HEVC_VPS }
}

/// A video parameter set of HEVC; slices have lower numbers.
const HEVC_VPS: u8 = 32;
const H264_SETS: &[u8] = &[h264_nal::SPS, h264_nal::PPS];
const HEVC_SETS: &[u8] = &[HEVC_VPS, hevc_nal::SPS, hevc_nal::PPS];
