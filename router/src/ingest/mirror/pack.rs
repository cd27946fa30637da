//! Mirrored packets into the container that viewers get.

use bytes::{BufMut, BytesMut};
use crosspoint_ffi::{Codec, Packet};

use super::{FeedFormat, FeedKind};
use crate::wire::ivf;
use crate::wire::ts::Muxer;

/// Packs what a [`Mirror`](super::Mirror) sends, once for all viewers.
///
/// Copies: 1 (into the container).
#[derive(Debug)]
pub struct Packer(Container);

#[derive(Debug)]
enum Container {
    Ivf { size: (u32, u32), codec: Codec },
    Ts(Box<Muxer>),
}

impl Packer {
    /// Makes a packer; nothing when the kind's container has no form for its codec.
    #[must_use]
    pub fn new(kind: FeedKind) -> Option<Self> {
        Some(Self(match kind.format {
            FeedFormat::Ivf => {
                ivf::file_header(kind.codec, (0, 0))?;
                Container::Ivf { size: (0, 0), codec: kind.codec }
            }
            FeedFormat::MpegTs => Container::Ts(Box::new(Muxer::for_codecs(Some(kind.codec), None)?)),
        }))
    }

    /// Appends `packet` to `out`; false, and nothing, when the container does not take it. `sound` goes with the pictures from the next
    /// key frame on.
    #[must_use]
    pub fn pack(&mut self, packet: &Packet, sound: Option<Codec>, out: &mut BytesMut) -> bool {
        match &mut self.0 {
            Container::Ivf { size, codec } => {
                let (Some(pts), Ok(bytes)) = (packet.pts, u32::try_from(packet.data.len())) else { return false };
                if packet.codec != *codec {
                    return false;
                }
                if packet.key {
                    let told = packet.parameters.as_ref().map_or((0, 0), |parameters| parameters.size);
                    *size = ivf::key_frame_size(*codec, &packet.data).unwrap_or(told);
                }
                out.reserve(ivf::FRAME_HEADER_BYTES + packet.data.len());
                out.put_slice(&ivf::frame_header(bytes, pts));
                out.put_slice(&packet.data);
                true
            }
            Container::Ts(muxer) => {
                if packet.key && packet.codec.is_video() {
                    muxer.change(Some(packet.codec), sound);
                }
                muxer.write(packet, out)
            }
        }
    }

    /// What a viewer gets before anything else; nothing where units speak for themselves.
    #[must_use]
    pub fn header(&self) -> Option<[u8; ivf::FILE_HEADER_BYTES]> {
        match &self.0 {
            Container::Ivf { size, codec } => ivf::file_header(*codec, *size),
            Container::Ts(_) => None,
        }
    }
}
