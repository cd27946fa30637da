//! MPEG transport streams (ISO/IEC 13818-1), in and out.
//!
//! A [`Demuxer`] takes chunks of any size and alignment and yields one [`Packet`] per PES packet as soon as its last byte is there;
//! a [`Muxer`] writes them so that players need not wait either. Both are state machines: bytes and `now` go in.
//!
//! ```
//! use bytes::BytesMut;
//! use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};
//! use crosspoint_router::wire::ts::{Demuxer, Event, Muxer};
//!
//! # #[allow(clippy::disallowed_methods, reason = "an example has to get a time somewhere")]
//! let now = std::time::Instant::now();
//! let frame = Packet {
//!     codec: Codec::Aac,
//!     data: Payload::copy_from_slice(&[0xff, 0xf1, 0x50, 0x80, 0x01, 0x1f, 0xfc, 0x21]),
//!     pts: Some(MediaTime::ZERO),
//!     dts: None,
//!     key: true,
//!     arrival: now,
//!     parameters: None,
//! };
//! let mut bytes = BytesMut::new();
//! let mut muxer = Muxer::new(false, true);
//! assert!(muxer.write(&frame, &mut bytes) && muxer.write(&frame, &mut bytes));
//!
//! let mut demuxer = Demuxer::new();
//! demuxer.push(&bytes, now);
//! let Some(Event::Packet { packet, .. }) = demuxer.poll() else { panic!("the frame comes out") };
//! assert_eq!(packet.data, frame.data);
//! ```

use crosspoint_ffi::Packet;

mod cell;
mod classify;
mod codec_id;
mod demux;
mod elementary;
mod ending;
mod frames;
mod kind;
mod mux;
mod pes;
mod psi;
mod sync;
#[cfg(test)]
mod tests;

pub use demux::Demuxer;
pub use mux::Muxer;

/// What a [`Demuxer`] yields.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something was wrong with the bytes; for counters.
    Bad(Reason),
    /// Pictures or sound of this stream were lost between the last packet and the next.
    Gap(Stream),
    /// A whole PES packet: one picture as muxers write it, or one or more sound frames.
    Packet {
        /// Which of the program's two streams.
        stream: Stream,
        /// The payload and its times.
        packet: Packet,
    },
}

/// The two streams of a program that are taken.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stream {
    /// The program's first sound that is supported.
    Audio,
    /// The program's first picture stream that is supported.
    Video,
}

/// What was wrong with a transport stream.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// A transport packet's header or adaptation field contradicts itself.
    Cell,
    /// A continuity counter jumped: transport packets are missing.
    Continuity,
    /// More of a PES packet came after it was taken to be over.
    Late,
    /// A PES packet grew past the limit.
    Oversized,
    /// A PES header is wrong.
    Pes,
    /// A transport or PES packet is scrambled.
    Scrambled,
    /// A PAT or PMT whose checksum or structure is wrong.
    Section,
    /// The sync byte was not where it should be.
    SyncLost,
    /// The transport packet says that it is damaged.
    TransportError,
    /// A PES packet ended before its stated length.
    Truncated,
    /// The stream's bytes are not of the codec that its type promises.
    UnknownCodec,
}

impl Reason {
    /// How a metric names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cell => "cell",
            Self::Continuity => "continuity",
            Self::Late => "late",
            Self::Oversized => "oversized",
            Self::Pes => "pes",
            Self::Scrambled => "scrambled",
            Self::Section => "section",
            Self::SyncLost => "sync_lost",
            Self::TransportError => "transport_error",
            Self::Truncated => "truncated",
            Self::UnknownCodec => "unknown_codec",
        }
    }
}

/// The bytes of a transport packet (2.4.3.2).
const CELL_BYTES: usize = 188;
/// The first byte of each.
const SYNC_BYTE: u8 = 0x47;
/// The PID of the program association table.
const PAT_PID: u16 = 0;
/// The PID of stuffing packets.
const NULL_PID: u16 = 0x1fff;

mod stream_type {
    //! ISO/IEC 13818-1, table 2-34; from 0x80 on by custom of ATSC (A/53), SCTE and Blu-ray discs (HDMV).
    pub(super) const MPEG1_VIDEO: u8 = 0x01;
    pub(super) const MPEG2_VIDEO: u8 = 0x02;
    pub(super) const MPEG1_AUDIO: u8 = 0x03;
    pub(super) const MPEG2_AUDIO: u8 = 0x04;
    pub(super) const PRIVATE_PES: u8 = 0x06;
    pub(super) const AAC_ADTS: u8 = 0x0f;
    pub(super) const MPEG4_VIDEO: u8 = 0x10;
    pub(super) const AAC_LATM: u8 = 0x11;
    pub(super) const H264: u8 = 0x1b;
    pub(super) const HEVC: u8 = 0x24;
    pub(super) const VVC: u8 = 0x33;
    pub(super) const CAVS: u8 = 0x42;
    pub(super) const HDMV_PCM: u8 = 0x80;
    pub(super) const AC3: u8 = 0x81;
    pub(super) const HDMV_DTS: u8 = 0x82;
    pub(super) const HDMV_TRUEHD: u8 = 0x83;
    pub(super) const HDMV_EAC3: u8 = 0x84;
    pub(super) const HDMV_DTS_HD: u8 = 0x85;
    pub(super) const HDMV_DTS_MASTER: u8 = 0x86;
    pub(super) const EAC3: u8 = 0x87;
    pub(super) const DTS: u8 = 0x8a;
    pub(super) const HDMV_EAC3_SECOND: u8 = 0xa1;
    pub(super) const HDMV_DTS_SECOND: u8 = 0xa2;
    pub(super) const DIRAC: u8 = 0xd1;
    pub(super) const VC1: u8 = 0xea;
}
