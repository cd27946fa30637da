//! What a viewer is sent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use str0m::bwe::{Bitrate, BweKind};
use str0m::format::{Codec, CodecSpec};
use str0m::media::{MediaAdded, MediaKind, MediaTime as RtpTime, Mid, Pt};
use str0m::rtp::{AbsCaptureTime, Extension, ExtensionMap, ExtensionValues, RtpWrite};
use str0m::stats::{MediaEgressStats, PeerStats};
use str0m::{Input, Rtc, RtcConfig};

use super::allowance::Allowance;
use super::history::History;
use super::loss::Loss;
use super::offered::Offered;
use super::queue::Queue;
use super::{Clock, Offer, Payload};
use crate::broadcast::{Bitrates, Media, Unit};

/// The tracks that a viewer receives: one of pictures, one of sound.
///
/// Pictures go out in bursts of [`BURST_PACKETS`], which are one send each; the rest of a larger one follows at [`SPREAD`] times the rate
/// that the viewer can take. What waits here is bounded by the viewer's [`Allowance`], which drops what comes later. Sound never waits.
#[derive(Debug)]
pub(super) struct Viewer {
    video: Option<Track>,
    audio: Option<Track>,
    /// The bits a second that there are for it.
    bitrates: Bitrates,
    clock: Clock,
    history: History,
    allowance: Allowance,
    waiting: VecDeque<Waiting>,
    /// When the next burst may go.
    gate: Option<Instant>,
    /// When a picture was last sent.
    shown: Option<Instant>,
    /// What was said last of what it can take.
    told_bps: Option<u32>,
    /// What there was to send of pictures, lately and for longer.
    offered: [Offered; 2],
    /// Since when it has said that it can take less than it was told.
    doubted: Option<Instant>,
    /// Whether we estimate what its way carries.
    estimating: bool,
    /// What it said last that it can take itself.
    said_bps: Option<u64>,
    loss: Loss,
    queue: Queue,
    /// What was sent of pictures just now.
    sent: Offered,
    /// When the way was last probed; nothing while nothing is sent.
    probed: Option<Instant>,
    /// The estimate, and since when it is that.
    stuck: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Track {
    mid: Mid,
    codec: Codec,
    payload_type: Pt,
    rate: u32,
    /// The number of the next packet.
    next: u64,
}

/// A packet of a picture, before its turn.
#[derive(Debug)]
struct Waiting {
    payload: Payload,
    rtp_time: u32,
    at: Instant,
    first: bool,
    marker: bool,
}

impl Viewer {
    /// A viewer for which pictures have so many bits a second.
    pub(super) fn new(bitrates: Bitrates, clock: Clock) -> Self {
        Self {
            video: None,
            audio: None,
            bitrates,
            clock,
            history: History::new(bitrates.most_bps),
            allowance: Allowance::default(),
            waiting: VecDeque::new(),
            gate: None,
            shown: None,
            told_bps: None,
            offered: [Offered::over(LATELY), Offered::over(LONGER)],
            doubted: None,
            estimating: false,
            said_bps: None,
            loss: Loss::new(bitrates.most_bps),
            queue: Queue::default(),
            sent: Offered::over(JUST_NOW),
            probed: None,
            stuck: None,
        }
    }

    /// What we send to a viewer that made this offer.
    pub(super) fn config(offer: &Offer, bitrates: Bitrates) -> RtcConfig {
        let mut extensions = ExtensionMap::empty();
        // Numbers are the offer's in the end.
        extensions.set(4, Extension::RtpMid);
        extensions.set(5, Extension::PlayoutDelay);
        extensions.set(6, Extension::AbsoluteCaptureTime);
        // Either we estimate what the way carries from when packets arrived, or the viewer does from when they were sent (REMB).
        let is_told = offer.has_transport_feedback();
        extensions.set(7, if is_told { Extension::TransportSequenceNumber } else { Extension::AbsoluteSendTime });
        let config = Rtc::builder()
            .clear_codecs()
            .enable_h264(true)
            .enable_vp8(true)
            .enable_opus(true, false)
            .set_extension_map(extensions)
            .set_rtp_mode(true)
            .set_rtcp_report_interval_audio(REPORT_EVERY)
            .set_rtcp_report_interval_video(REPORT_EVERY);
        if is_told {
            // Most ways carry it all; one that does not says so in a round trip or two.
            config.set_stats_interval(Some(ESTIMATE_EVERY)).enable_bwe(Some(Bitrate::bps(u64::from(bitrates.usual_bps))))
        } else {
            config.set_stats_interval(Some(ROUND_TRIP_EVERY))
        }
    }

    pub(super) fn handle_media(&mut self, rtc: &mut Rtc, media: &MediaAdded) {
        if !media.direction.is_sending() {
            return;
        }
        let track = match media.kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        if track.is_none() {
            *track = Track::of(rtc, media);
            self.keep(rtc);
        }
    }

    /// Has as many packets of pictures kept as there should be.
    fn keep(&self, rtc: &mut Rtc) {
        let Some(video) = &self.video else { return };
        if let Some(stream) = rtc.direct_api().stream_tx_by_mid(video.mid, None) {
            self.history.apply(stream);
        }
    }

    /// What it is to be sent pictures in, if it takes any.
    pub(super) fn pictures(&self) -> Option<crosspoint_ffi::Codec> {
        let track = self.video.as_ref()?;
        Some(if track.codec == Codec::Vp8 { crosspoint_ffi::Codec::Vp8 } else { crosspoint_ffi::Codec::H264 })
    }

    /// Takes an estimate of what the way carries; says what there is of it for pictures, if that is news.
    pub(super) fn handle_estimate(&mut self, estimate: &BweKind, now: Instant) -> Option<u32> {
        match estimate {
            BweKind::Remb { estimate, .. } => {
                self.said_bps = Some(estimate.as_u64());
                self.take_estimate(estimate.as_u64().min(self.loss.rate_bps()), now, DOUBT, KEEPS)
            }
            // Its value is the mean of seconds: too late to be of use when the way has become narrow.
            BweKind::Twcc { can_probe, .. } => {
                self.estimating = *can_probe;
                None
            }
            _ => None,
        }
    }

    /// Takes what was measured by now; says what there is of it for pictures, if that is news.
    pub(super) fn handle_stats(&mut self, rtc: &mut Rtc, stats: &PeerStats, now: Instant) -> Option<u32> {
        // That of its feedback would include how long the viewer waits before it gives some.
        let round_trip = stats.selected_candidate_pair.as_ref().and_then(|pair| pair.current_round_trip_time);
        if round_trip.is_some_and(|round_trip| self.history.handle_round_trip(round_trip)) {
            self.keep(rtc);
        }
        let estimate = stats.bwe_tx.filter(|_| self.estimating)?.as_u64();
        let sent_bps = self.sent.rate_bps(now);
        let carried = stats.rtt.and_then(|round_trip| self.queue.handle_round_trip(round_trip, sent_bps, now));
        match carried {
            Some(carried) if carried < estimate => self.take_estimate(carried, now, Duration::ZERO, QUEUE_KEEPS),
            Some(_) | None => {
                // A way that loses what it cannot carry has no queue to go by.
                let is_whole = stats.egress_loss_fraction.is_none_or(|lost| lost < FEW_LOST);
                if is_whole && self.is_stuck(estimate, now) {
                    rtc.bwe().reset(Bitrate::bps(estimate));
                }
                let least = self.queue.least_bps(now).filter(|_| is_whole).unwrap_or(0);
                self.take_estimate(estimate.max(least), now, Duration::ZERO, KEEPS)
            }
        }
    }

    /// Whether an estimate stands still for which not all pictures are sent. `str0m` does not probe after a loss before the estimate has changed,
    /// and it may never: of the sound alone there is none that is higher. Begun anew, it probes.
    fn is_stuck(&mut self, estimate: u64, now: Instant) -> bool {
        let since = self.stuck.filter(|&(stuck, _)| stuck == estimate).map_or(now, |(_, since)| since);
        let is_stuck = self.allowance.is_skipping() && now >= since + STUCK;
        self.stuck = Some((estimate, if is_stuck { now } else { since }));
        is_stuck
    }

    /// Takes what was lost of a track; says what there is for pictures, if that is news. It is all there is to know of a viewer that neither
    /// says when packets arrived nor what it can take.
    pub(super) fn handle_loss(&mut self, stats: &MediaEgressStats, now: Instant) -> Option<u32> {
        let is_video = self.video.as_ref().is_some_and(|video| video.mid == stats.mid);
        let lost = stats.loss.filter(|_| is_video && !self.estimating)?;
        if !self.loss.handle_report(lost, self.offered[0].rate_bps(now)) {
            return None;
        }
        self.take_estimate(self.said_bps.unwrap_or(u64::MAX).min(self.loss.rate_bps()), now, Duration::ZERO, KEEPS)
    }

    /// One that falls is taken when it has been there for some time, and of the rate before so many quarters are kept.
    fn take_estimate(&mut self, bits: u64, now: Instant, some_time: Duration, keeps: u32) -> Option<u32> {
        let sound = if self.audio.is_some() { SOUND_BPS } else { 0 };
        // RTP's headers, and what has to be sent again.
        let pictures = (bits / 16 * 15).saturating_sub(sound).max(LEAST_BPS);
        let pictures = u32::try_from(pictures).unwrap_or(u32::MAX);
        let before = self.allowance.rate_bps();
        let falls = pictures < before.unwrap_or(self.bitrates.usual_bps);
        if falls && !self.is_tried(pictures, now) {
            self.doubted = None;
            return None;
        }
        let since = self.doubted.filter(|_| falls).unwrap_or(now);
        self.doubted = falls.then_some(since);
        if falls && now < since + some_time {
            return None;
        }
        let pictures = before.map_or(pictures, |before| pictures.max(before / 4 * keeps));
        self.allowance.set_rate(pictures, now);
        // More than there is, is as good as more still; less than a fiftieth is no news.
        let told = pictures.min(self.bitrates.most_bps / 4 * 5);
        let is_news = self.told_bps.is_none_or(|before| before.abs_diff(told) > before / 50);
        is_news.then(|| *self.told_bps.insert(told))
    }

    /// Whether so much was sent that an estimate which falls to `estimate_bps` says something of the way. One that grows does always; but of a
    /// screen that stands still a viewer sees little, and thinks that little more would fit.
    fn is_tried(&self, estimate_bps: u32, now: Instant) -> bool {
        let [lately, longer] = [0, 1].map(|nth| self.offered[nth].rate_bps(now));
        let allowed = f64::from(self.told_bps.unwrap_or(self.bitrates.usual_bps).min(self.bitrates.most_bps));
        longer > allowed * 0.6 || lately.min(longer) * 0.8 > f64::from(estimate_bps)
    }

    /// Queues a unit, of which `at` is the moment; says whether there is a track for it.
    pub(super) fn write(&mut self, rtc: &mut Rtc, unit: &Unit, at: Instant, now: Instant) -> bool {
        match unit.media {
            Media::Audio => {
                let Some(track) = &mut self.audio else { return false };
                let (rtp_time, clock) = (track.time(unit), self.clock);
                let packet = |payload| Waiting { payload: Payload::clone(payload), rtp_time, at, first: true, marker: false };
                track.send(rtc, unit.payloads.iter().map(|payload| (packet(payload), captured(clock, at))));
            }
            Media::Video => {
                if self.video.is_none() {
                    return false;
                }
                let bytes = unit.payloads.iter().map(|payload| payload.len()).sum();
                self.offered.iter_mut().for_each(|offered| offered.add(bytes, now));
                // Of one that gets no pictures for now, too: more is wanted.
                if !self.is_little(now) {
                    self.probe(rtc, now);
                }
                if !self.allowance.admit(unit.key, bytes, now) {
                    return true;
                }
                let Some(track) = &mut self.video else { return false };
                self.sent.add(bytes, now);
                let (rtp_time, last) = (track.time(unit), unit.payloads.len().saturating_sub(1));
                let packet =
                    |(nth, payload)| Waiting { payload: Payload::clone(payload), rtp_time, at, first: nth == 0, marker: nth == last };
                self.waiting.extend(unit.payloads.iter().enumerate().map(packet));
                self.shown = Some(now);
                self.release(rtc, now);
            }
        }
        true
    }

    /// Goes on to `now`; says whether a key frame is wanted.
    pub(super) fn handle_timeout(&mut self, rtc: &mut Rtc, now: Instant) -> bool {
        self.release(rtc, now);
        if self.is_quiet(now) {
            self.rest(rtc);
        }
        self.allowance.wants_key(now)
    }

    /// When [`Viewer::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let gate = self.gate.filter(|_| !self.waiting.is_empty());
        [gate, self.allowance.deadline()].into_iter().flatten().min()
    }

    /// Whether nothing about it is urgent: so little is sent that no estimate could come of it.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let is_shown = |shown| now.saturating_duration_since(shown) >= if self.is_little(now) { PAUSE } else { IDLE };
        self.waiting.is_empty() && self.shown.is_none_or(is_shown)
    }

    /// Whether we estimate what its way carries.
    pub(super) fn is_estimated(&self) -> bool {
        self.estimating
    }

    fn is_little(&self, now: Instant) -> bool {
        self.offered[0].rate_bps(now) < QUIET_BPS
    }

    /// Sends what may go.
    fn release(&mut self, rtc: &mut Rtc, now: Instant) {
        let Some(track) = &mut self.video else { return };
        // A viewer is to show pictures when it has them, not to keep some in hand for a jitter that may come. One that hears sound
        // beside them is not told so: Chromium would show them at once whatever the sound does, which takes it some 70 ms more, and
        // be out of sync.
        let most = self.audio.is_none().then_some(RtpTime::ZERO);
        let clock = self.clock;
        while !self.waiting.is_empty() && self.gate.is_none_or(|gate| gate <= now) {
            let burst = self.waiting.len().min(BURST_PACKETS);
            let bytes: usize = self.waiting.iter().take(burst).map(|packet| packet.payload.len()).sum();
            track.send(
                rtc,
                self.waiting.drain(..burst).map(|packet| {
                    // One packet is enough, and the others stay of one size.
                    let extensions = if packet.first { captured(clock, packet.at) } else { ExtensionValues::default() };
                    (packet, ExtensionValues { play_delay_min: most, play_delay_max: most, ..extensions })
                }),
            );
            let pause = |rate_bps| Duration::from_secs_f64(bytes as f64 * 8.0 / (f64::from(rate_bps) * SPREAD));
            self.gate = self.allowance.rate_bps().map(|rate_bps| now + pause(rate_bps));
        }
    }

    /// Has the way looked at for more than it is known to carry, if more is wanted and it is time to: `str0m` does so when it is told to
    /// want more than before. By itself it would only after 15 s, or when much less is sent than it thinks possible.
    fn probe(&mut self, rtc: &mut Rtc, now: Instant) {
        let probed = self.probed.is_some_and(|at| now < at + PROBE_EVERY);
        let wanted = u64::from(self.bitrates.most_bps) * 5 / 4 + SOUND_BPS;
        if !probed {
            rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::bps(wanted - 1));
            // It takes note only as time passes.
            let _ = rtc.handle_input(Input::Timeout(now));
            rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::bps(wanted));
            self.probed = Some(now);
        }
    }

    /// While nothing is sent nobody needs an estimate, and probes are packets.
    fn rest(&mut self, rtc: &mut Rtc) {
        if self.probed.take().is_some() {
            rtc.bwe().set_bitrate(Bitrate::ZERO, Bitrate::ZERO);
        }
    }
}

impl Track {
    /// A track in the codec that we send, if the viewer takes it.
    fn of(rtc: &Rtc, media: &MediaAdded) -> Option<Self> {
        let wanted = rtc.media(media.mid)?.remote_pts();
        let taken = |fits: fn(&CodecSpec) -> bool| {
            rtc.codec_config().params().iter().find(|params| wanted.contains(&params.pt()) && fits(&params.spec()))
        };
        let params = match media.kind {
            MediaKind::Audio => taken(|spec| spec.codec == Codec::Opus),
            // Everybody else watches H.264: another encoder only for who does not take that. Its other packetization mode has no fragments.
            MediaKind::Video => taken(|spec| spec.codec == Codec::H264 && spec.format.packetization_mode == Some(1))
                .or_else(|| taken(|spec| spec.codec == Codec::Vp8)),
        }?;
        let CodecSpec { codec, clock_rate, .. } = params.spec();
        Some(Self { mid: media.mid, codec, payload_type: params.pt(), rate: clock_rate.get(), next: 1 })
    }

    /// A unit's RTP time, which wraps.
    fn time(&self, unit: &Unit) -> u32 {
        unit.time.to_ticks(self.rate) as u32
    }

    /// Hands over packets, each with its extensions.
    fn send(&mut self, rtc: &mut Rtc, packets: impl Iterator<Item = (Waiting, ExtensionValues)>) {
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, None) else { return };
        // The pacer would send packets one by one, each in its time; bursts are ours.
        stream.set_unpaced(true);
        // What the viewer has shown before it comes again is of use for pictures alone.
        let is_video = self.rate == VIDEO_RATE;
        for (Waiting { payload, rtp_time, at, marker, .. }, extensions) in packets {
            let packet = RtpWrite::new(self.payload_type, self.next.into(), rtp_time, at, payload);
            stream.write_rtp(packet.marker(marker).nackable(is_video).ext_vals(extensions));
            self.next += 1;
        }
    }
}

/// When something was captured, by our own clock, from which nothing is off.
fn captured(clock: Clock, at: Instant) -> ExtensionValues {
    let time = AbsCaptureTime { capture_time: clock.time_of_day(at), clock_offset: Some(0) };
    ExtensionValues { abs_capture_time: Some(time), ..ExtensionValues::default() }
}

/// A receiver brings picture and sound together once it has had two reports of each.
const REPORT_EVERY: Duration = Duration::from_millis(500);

/// How old an estimate may be: peers give feedback as often.
const ESTIMATE_EVERY: Duration = Duration::from_millis(100);

/// How old a round trip may be where that is all there is to know.
const ROUND_TRIP_EVERY: Duration = Duration::from_secs(1);

/// Packets of pictures that go at once: a picture of 35 kB, larger than any at 3 Mbit/s but key frames.
const BURST_PACKETS: usize = 32;

/// How much faster than the viewer's rate the rest of a picture follows, as browsers do it.
const SPREAD: f64 = 2.5;

/// A few pictures.
const JUST_NOW: Duration = Duration::from_millis(150);

/// Shorter than the distance of regular key frames, and longer.
const LATELY: Duration = Duration::from_millis(500);
const LONGER: Duration = Duration::from_secs(4);

/// A viewer thinks of a burst on a busy machine what it would think of a narrow way, and then of the rest behind it that little more fits:
/// what it says must hold while there is something to send. Half-way between two reports that are a second apart.
const DOUBT: Duration = Duration::from_millis(500);

/// The quarters that are kept of a rate that falls: an estimate is too low for a moment while a queue becomes shorter.
const KEEPS: u32 = 3;
/// The same where a queue grows, and what is not kept does not wait in it.
const QUEUE_KEEPS: u32 = 2;

/// What a way may lose that carries what it is given.
const FEW_LOST: f32 = 0.05;

/// What is set aside for sound, with its headers.
const SOUND_BPS: u64 = 110_000;

/// Less than this is no estimate of a way that carries media at all, and nothing is to be divided by it.
const LEAST_BPS: u64 = 30_000;

/// So long after its last picture a viewer's estimate may grow old.
const IDLE: Duration = Duration::from_secs(2);

/// A caret that blinks is less than this, with pauses longer than that: any estimate would be of the pauses, which `str0m` fills with packets
/// of nothing, one every 5 ms.
const QUIET_BPS: f64 = 64_000.0;
const PAUSE: Duration = Duration::from_millis(20);

/// How often a way is probed that carries less than there is.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long an estimate may stand still: probes come more often.
const STUCK: Duration = Duration::from_secs(3);

/// The clock of pictures (RFC 6184 and 7741).
const VIDEO_RATE: u32 = 90_000;
