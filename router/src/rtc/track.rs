//! A track that a viewer receives.

use str0m::Rtc;
use str0m::format::{Codec, CodecSpec};
use str0m::media::{MediaKind, Mid};
use str0m::rtp::Extension;

use super::egress::{Again, Extensions, Stream};
use crate::broadcast::Unit;

/// A track as it was agreed on.
pub(super) struct Track {
    pub(super) codec: Codec,
    pub(super) stream: Stream,
    /// The number of the next packet, of sound.
    pub(super) next: u64,
}

impl Track {
    /// A track in the codec that we send, if the viewer takes it.
    pub(super) fn of(rtc: &mut Rtc, mid: Mid, kind: MediaKind) -> Option<Self> {
        let media = rtc.media(mid)?;
        let (wanted, map) = (media.remote_pts(), media.remote_extmap());
        let taken = |fits: fn(&CodecSpec) -> bool| {
            rtc.codec_config().params().iter().find(|params| wanted.contains(&params.pt()) && fits(&params.spec()))
        };
        let params = match kind {
            MediaKind::Audio => taken(|spec| spec.codec == Codec::Opus),
            // Everybody else watches H.264: another encoder only for who does not take that. Its other packetization mode has no fragments.
            MediaKind::Video => taken(|spec| spec.codec == Codec::H264 && spec.format.packetization_mode == Some(1))
                .or_else(|| taken(|spec| spec.codec == Codec::Vp8)),
        }?;
        let CodecSpec { codec, clock_rate, .. } = params.spec();
        let extensions = Extensions {
            mid: map.id_of(Extension::RtpMid),
            transport_number: map.id_of(Extension::TransportSequenceNumber),
            send_time: map.id_of(Extension::AbsoluteSendTime),
            playout_delay: map.id_of(Extension::PlayoutDelay).filter(|_| kind == MediaKind::Video),
            capture_time: map.id_of(Extension::AbsoluteCaptureTime),
        };
        let (payload_type, resend) = (*params.pt(), params.resend());
        let mut api = rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None)?;
        // What the viewer has shown before it comes again is of use for pictures alone.
        let again = stream.rtx().zip(resend).filter(|_| kind == MediaKind::Video);
        let again = again.map(|(ssrc, payload_type)| Again::new(*ssrc, *payload_type));
        Some(Self {
            codec,
            stream: Stream::new(*stream.ssrc(), payload_type, clock_rate.get(), mid.to_string(), extensions, again),
            next: 1,
        })
    }

    /// A unit's RTP time, which wraps.
    pub(super) fn time(&self, unit: &Unit) -> u32 {
        unit.time.to_ticks(self.stream.rate) as u32
    }
}
