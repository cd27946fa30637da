//! What a publisher sends, as packets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crosspoint_ffi::{Codec, MediaTime, Packet, Payload};
use str0m::format::{Codec as RtcCodec, FormatParams};
use str0m::media::{Frequency, KeyframeRequestKind, MediaAdded, MediaData, MediaKind, Mid, Rid};
use str0m::{Rtc, RtcConfig};

use super::concealment::Concealment;
use super::placement::{Placement, align};

/// The tracks that a publisher sends: one of pictures, one of sound.
#[derive(Debug)]
pub(super) struct Publisher {
    start: Instant,
    video: Option<Track>,
    audio: Option<Track>,
    packets: VecDeque<Packet>,
    concealment: Concealment,
    /// Whether no picture makes sense before a key frame.
    key_wanted: bool,
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Track {
    mid: Mid,
    /// Of several renditions the first that is heard.
    rid: Option<Option<Rid>>,
    placement: Placement,
}

impl Publisher {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            video: None,
            audio: None,
            packets: VecDeque::new(),
            concealment: Concealment::default(),
            key_wanted: false,
            asked: None,
        }
    }

    /// What we take from publishers.
    pub(super) fn config() -> RtcConfig {
        let mut config = Rtc::builder().clear_codecs().enable_vp8(true).enable_h264(true).enable_vp9(true).enable_av1(true);
        // Both channels: a browser sends one to who does not say that it takes two (RFC 7587, 7.1).
        let opus = FormatParams { min_p_time: Some(10), stereo: Some(true), use_inband_fec: Some(true), ..FormatParams::default() };
        config.codec_config().add_config(OPUS.into(), None, RtcCodec::Opus, Frequency::FORTY_EIGHT_KHZ, Some(2), opus);
        config
            // The sound's own depth absorbs what is late: here it only waits for what was overtaken.
            .set_reordering_size_audio(4)
            .set_reordering_timeout_audio(Some(REORDERING))
            .set_stats_interval(Some(MEASURE_EVERY))
    }

    pub(super) fn handle_media(&mut self, media: &MediaAdded) {
        if !media.direction.is_receiving() {
            return;
        }
        let track = match media.kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        // What else of the kind there may be is nobody's.
        track.get_or_insert(Track { mid: media.mid, rid: None, placement: Placement::default() });
    }

    /// Takes the next access unit; says whether pictures were lost before it.
    pub(super) fn handle_data(&mut self, data: &MediaData, now: Instant) -> bool {
        let Some(codec) = codec(data.params.spec().codec) else { return false };
        let Some(track) = self.track(data.mid) else { return false };
        if *track.rid.get_or_insert(data.rid) != data.rid || data.data.is_empty() {
            return false;
        }
        let key = !codec.is_video() || data.is_keyframe();
        let lost = codec.is_video() && !data.contiguous && !key;
        if codec.is_video() {
            self.key_wanted = lost || self.key_wanted && !key;
        }
        let pts = self.place(data, now);
        let packet = |data, pts| Packet { codec, data, pts, dts: None, key, arrival: now, parameters: None };
        if codec == Codec::Opus {
            let (first, last) = (**data.seq_range.start(), **data.seq_range.end());
            let lost = self.concealment.handle(first..=last, data.time.numer(), &data.data);
            let stands = |(before, data): (MediaTime, Payload)| packet(data, pts.map(|pts| pts - before));
            self.packets.extend(lost.map(stands));
        }
        self.packets.push_back(packet(Payload::copy_from_slice(&data.data), pts));
        lost
    }

    pub(super) fn poll(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }

    /// No picture makes sense before a key frame: asks for one until it comes.
    pub(super) fn want_key(&mut self) {
        self.key_wanted = self.video.is_some();
    }

    /// When a key frame is asked for, if one is wanted; at once when the last time is long enough ago.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.filter(|_| self.key_wanted).map(|asked| asked + ASK_EVERY)
    }

    /// Asks for a key frame when it is time.
    pub(super) fn handle_timeout(&mut self, rtc: &mut Rtc, now: Instant) {
        let Some(video) = self.video.as_ref().filter(|_| self.key_wanted) else { return };
        if self.asked.is_some_and(|asked| now < asked + ASK_EVERY) {
            return;
        }
        self.asked = Some(now);
        if let Some(mut writer) = rtc.writer(video.mid) {
            let rid = video.rid.flatten();
            // A stream that has not been heard of yet cannot be asked: it begins with a key frame, and the next time it can.
            let _ = writer.request_keyframe(rid, KeyframeRequestKind::Pli);
        }
    }

    /// Where a unit is on the timeline of both tracks.
    fn place(&mut self, data: &MediaData, now: Instant) -> Option<MediaTime> {
        let since_start = now - self.start;
        let placement = &mut self.track(data.mid)?.placement;
        let at = placement.place(data, since_start);
        if placement.handle_report(data, at)
            && let (Some(video), Some(audio)) = (&mut self.video, &mut self.audio)
            && align(&mut video.placement, &mut audio.placement)
        {
            return Some(self.track(data.mid)?.placement.place(data, since_start));
        }
        Some(at)
    }

    fn track(&mut self, mid: Mid) -> Option<&mut Track> {
        [&mut self.video, &mut self.audio].into_iter().flatten().find(|track| track.mid == mid)
    }
}

fn codec(codec: RtcCodec) -> Option<Codec> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "str0m's codecs are more than we configure")]
    match codec {
        RtcCodec::Av1 => Some(Codec::Av1),
        RtcCodec::H264 => Some(Codec::H264),
        RtcCodec::Opus => Some(Codec::Opus),
        RtcCodec::Vp8 => Some(Codec::Vp8),
        RtcCodec::Vp9 => Some(Codec::Vp9),
        _ => None,
    }
}

/// What an offer calls it counts, but for who offers nothing that is in use already.
const OPUS: u8 = 111;
/// A key frame is many times a difference frame, and takes a round trip and an encode to come: it is not asked for more often.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often it is measured how the way does.
const MEASURE_EVERY: Duration = Duration::from_secs(1);
/// How long sound waits for a packet that others overtook.
const REORDERING: Duration = Duration::from_millis(40);
