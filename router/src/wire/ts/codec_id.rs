//! FFmpeg's numbers of the codecs that have no name here (`libavcodec/codec_id.h`); they are part of its ABI and do not change.

use crosspoint_ffi::{Codec, CodecId};

pub(super) const AC3: Codec = Codec::OtherAudio(CodecId(0x1_5003));
pub(super) const AAC_LATM: Codec = Codec::OtherAudio(CodecId(0x1_5031));
pub(super) const CAVS: Codec = Codec::OtherVideo(CodecId(87));
pub(super) const DIRAC: Codec = Codec::OtherVideo(CodecId(116));
pub(super) const DTS: Codec = Codec::OtherAudio(CodecId(0x1_5004));
pub(super) const EAC3: Codec = Codec::OtherAudio(CodecId(0x1_5028));
pub(super) const MPEG4: Codec = Codec::OtherVideo(CodecId(12));
pub(super) const PCM_BLURAY: Codec = Codec::OtherAudio(CodecId(0x1_0018));
pub(super) const S302M: Codec = Codec::OtherAudio(CodecId(0x1_001a));
pub(super) const TRUEHD: Codec = Codec::OtherAudio(CodecId(0x1_502c));
pub(super) const VC1: Codec = Codec::OtherVideo(CodecId(70));
pub(super) const VVC: Codec = Codec::OtherVideo(CodecId(196));
