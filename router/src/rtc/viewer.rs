//! What a viewer is sent.

use std::fmt;
use std::time::{Duration, Instant};

use str0m::format::Codec;
use str0m::media::{MediaKind, Mid};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Rtc, RtcConfig};

use super::egress::{Burst, Egress, Manner, Stream};
use super::keys::{self, Keys};
use super::meter::Meter;
use super::outbox::{Outbox, Piece};
use super::resends::Resends;
use super::rtcp::{self, Feedback};
use super::srtp::{self, Opener};
use super::track::Track;
use super::way::Way;
use super::{Clock, Offer};
use crate::broadcast::{Bitrates, Media, Unit};

/// The tracks that a viewer receives: one of pictures, one of sound.
///
/// `str0m` has the connection: SDP, ICE and DTLS, from which it would get keys; they come here instead, and RTP with all that belongs to it is
/// ours. Pictures go out in bursts of [`BURST_PACKETS`], which are one send each; the rest of a larger one follows at [`SPREAD`] times the
/// rate that the [`Way`] carries. What waits here is bounded by the account of that, which drops what comes later. Sound never waits.
pub(super) struct Viewer {
    video: Option<Track>,
    audio: Option<Track>,
    /// Nothing before there are keys.
    secure: Option<Secure>,
    clock: Clock,
    cname: String,
    outbox: Outbox,
    resends: Resends,
    way: Way,
    /// When the next burst may go.
    gate: Option<Instant>,
    /// When a picture was last sent.
    shown: Option<Instant>,
    key_wanted: bool,
    /// The last full intra request, which comes again until it is answered.
    request: Option<(u32, u8)>,
}

/// What there are keys for.
struct Secure {
    egress: Egress,
    opener: Opener,
    room: Vec<u8>,
}

/// What a viewer has to say.
#[derive(Debug)]
pub(super) enum ViewerOutput {
    Able(u32),
    KeyWanted,
    Send(Burst),
}

impl Viewer {
    /// A viewer that made this offer, for which pictures have so many bits a second.
    pub(super) fn new(offer: &Offer, bitrates: Bitrates, clock: Clock) -> Self {
        Self {
            video: None,
            audio: None,
            secure: None,
            clock,
            cname: String::new(),
            outbox: Outbox::new(),
            resends: Resends::default(),
            way: Way::new(offer, bitrates),
            gate: None,
            shown: None,
            key_wanted: false,
            request: None,
        }
    }

    /// What we send to a viewer that made this offer.
    pub(super) fn config(offer: &Offer) -> RtcConfig {
        let mut extensions = ExtensionMap::empty();
        // Numbers are the offer's in the end.
        extensions.set(4, Extension::RtpMid);
        extensions.set(5, Extension::PlayoutDelay);
        extensions.set(6, Extension::AbsoluteCaptureTime);
        // Either we estimate what the way carries from when packets arrived, or the viewer does from when they were sent (REMB).
        let is_told = offer.has_transport_feedback();
        extensions.set(7, if is_told { Extension::TransportSequenceNumber } else { Extension::AbsoluteSendTime });
        Rtc::builder()
            .clear_codecs()
            .enable_h264(true)
            .enable_vp8(true)
            .enable_opus(true, false)
            .set_extension_map(extensions)
            .set_rtp_mode(true)
            .set_crypto_provider(keys::provider())
            // It has nothing to report on.
            .set_rtcp_report_interval_audio(NEVER)
            .set_rtcp_report_interval_video(NEVER)
            .set_stats_interval(Some(PLACE_EVERY))
    }

    /// Takes what was agreed on by `answer`: without keys `str0m` does not say so itself.
    pub(super) fn handle_answer(&mut self, rtc: &mut Rtc, answer: &str) {
        for mid in answer.lines().filter_map(|line| line.strip_prefix("a=mid:")) {
            let mid = Mid::from(mid.trim_end());
            let Some(media) = rtc.media(mid).filter(|media| media.direction().is_sending() && !media.disabled()) else { continue };
            let (kind, cname) = (media.kind(), media.cname().to_owned());
            let track = match kind {
                MediaKind::Audio => &mut self.audio,
                MediaKind::Video => &mut self.video,
            };
            if track.is_none() {
                *track = Track::of(rtc, mid, kind);
                self.cname = cname;
                self.way.set_sound(self.audio.is_some());
            }
        }
    }

    /// Takes the keys; says whether they are such as we know.
    pub(super) fn handle_keys(&mut self, keys: &Keys) -> bool {
        self.secure = srtp::contexts(keys).map(|(sealer, opener)| {
            let egress = Egress::new(sealer, self.clock);
            Secure { egress, opener, room: Vec::new() }
        });
        self.secure.is_some()
    }

    /// What it is to be sent pictures in, if it takes any.
    pub(super) fn pictures(&self) -> Option<crosspoint_ffi::Codec> {
        let track = self.video.as_ref()?;
        Some(if track.codec == Codec::Vp8 { crosspoint_ffi::Codec::Vp8 } else { crosspoint_ffi::Codec::H264 })
    }

    /// Takes a sealed RTCP packet.
    pub(super) fn handle_control(&mut self, packet: &[u8], meter: &mut Meter, now: Instant) {
        let Some(secure) = &mut self.secure else { return };
        let mut room = std::mem::take(&mut secure.room);
        if let Some(opened) = secure.opener.open_rtcp(packet, &mut room) {
            for feedback in rtcp::parse(opened) {
                self.handle_feedback(&feedback, meter, now);
            }
        }
        if let Some(secure) = &mut self.secure {
            secure.room = room;
        }
        self.pad(now);
    }

    fn handle_feedback(&mut self, feedback: &Feedback<'_>, meter: &mut Meter, now: Instant) {
        match feedback {
            &Feedback::Report { ssrc, lost, last_report, since, .. } => {
                let Some(secure) = &self.secure else { return };
                if let Some(round_trip) = rtcp::round_trip(secure.egress.now_middle(now), last_report, since) {
                    self.resends.handle_round_trip(round_trip);
                    meter.handle_round_trip(round_trip);
                }
                for track in [&mut self.video, &mut self.audio].into_iter().flatten() {
                    track.stream.is_known |= track.stream.ssrc == ssrc;
                }
                if self.video.as_ref().is_some_and(|video| video.stream.ssrc == ssrc) {
                    self.way.handle_lost(lost, meter, now);
                }
            }
            Feedback::Missing { ssrc, numbers } => {
                if self.video.as_ref().is_some_and(|video| video.stream.ssrc == *ssrc) {
                    numbers.clone().for_each(|number| self.resend(number, now));
                }
            }
            &Feedback::Key { ssrc, fir } => {
                let request = fir.map(|number| (ssrc, number));
                let is_ours = self.video.as_ref().is_some_and(|video| video.stream.has(ssrc));
                self.key_wanted |= is_ours && (request.is_none() || request != self.request);
                self.request = request.or(self.request);
            }
            &Feedback::Able { bps } => self.way.handle_said(bps, now),
            &Feedback::Time { ssrc, middle } => {
                if let Some(secure) = &mut self.secure {
                    secure.egress.handle_time(ssrc, middle, now);
                }
            }
            Feedback::Arrivals(arrivals) => self.way.handle_arrivals(arrivals, meter, now),
            Feedback::Goodbye => {}
        }
    }

    /// Queues a unit, of which `at` is the moment; says whether there is a track for it.
    pub(super) fn write(&mut self, unit: &Unit, at: Instant, meter: &mut Meter, now: Instant) -> bool {
        match unit.media {
            Media::Audio => {
                let Some(track) = &mut self.audio else { return false };
                let rtp_time = track.time(unit);
                for payload in unit.payloads.iter() {
                    let piece = Piece { number: track.next, payload, rtp_time, captured: at, first: true, last: false };
                    track.next += 1;
                    send(&mut self.secure, &mut self.way, &mut track.stream, &piece, Manner::First { at_once: false }, now);
                }
                meter.handle_sent(unit.payloads.len());
            }
            Media::Video => {
                let Some(track) = &mut self.video else { return false };
                let rtp_time = track.time(unit);
                let bytes = unit.payloads.iter().map(|payload| payload.len()).sum();
                let admitted = self.way.admit(unit.key, bytes, now);
                // Of one that gets no pictures for now, too: more is wanted.
                self.want(now);
                if admitted {
                    meter.handle_sent(unit.payloads.len());
                    self.outbox.push(&unit.payloads, rtp_time, at, now);
                    self.shown = Some(now);
                    self.release(now);
                }
                self.pad(now);
            }
        }
        self.report(now);
        true
    }

    /// Goes on to `now`.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.release(now);
        self.want(now);
        self.pad(now);
        self.report(now);
        self.key_wanted |= self.way.wants_key(now);
    }

    /// When [`Viewer::handle_timeout`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let gate = self.gate.filter(|_| self.outbox.is_waiting());
        let report = self.secure.as_ref().and_then(|secure| secure.egress.deadline());
        [gate, self.way.deadline(), report].into_iter().flatten().min()
    }

    /// Says goodbye.
    pub(super) fn close(&mut self) {
        let streams = [&self.video, &self.audio].into_iter().flatten().map(|track| &track.stream);
        if let Some(secure) = &mut self.secure {
            secure.egress.say_goodbye(streams);
        }
    }

    /// What there is to say.
    pub(super) fn poll(&mut self) -> Option<ViewerOutput> {
        if std::mem::take(&mut self.key_wanted) {
            return Some(ViewerOutput::KeyWanted);
        }
        if let Some(bits) = self.way.poll() {
            return Some(ViewerOutput::Able(bits));
        }
        self.secure.as_mut()?.egress.poll().map(ViewerOutput::Send)
    }

    /// Whether no pictures come for now: what the way is probed with are packets, too.
    fn has_paused(&self, now: Instant) -> bool {
        let is_shown = |shown| now.saturating_duration_since(shown) >= if self.way.is_little(now) { PAUSE } else { IDLE };
        !self.outbox.is_waiting() && self.shown.is_none_or(is_shown)
    }

    fn want(&mut self, now: Instant) {
        self.way.want(self.has_paused(now), now);
    }

    /// Sends what may go.
    fn release(&mut self, now: Instant) {
        let Some(track) = &mut self.video else { return };
        // A viewer is to show pictures when it has them, not to keep some in hand for a jitter that may come. One that hears sound
        // beside them is not told so: Chromium would show them at once whatever the sound does, which takes it some 70 ms more, and
        // be out of sync.
        let manner = Manner::First { at_once: self.audio.is_none() };
        while self.outbox.is_waiting() && self.gate.is_none_or(|gate| gate <= now) {
            if let Some(secure) = &mut self.secure {
                let (packets, bytes) = self.outbox.waiting(BURST_PACKETS);
                secure.egress.expect(packets, bytes);
            }
            let mut bytes = 0;
            for piece in self.outbox.take(BURST_PACKETS) {
                bytes += piece.payload.len();
                send(&mut self.secure, &mut self.way, &mut track.stream, &piece, manner, now);
            }
            let pause = |rate_bps| Duration::from_secs_f64(bytes as f64 * 8.0 / (f64::from(rate_bps) * SPREAD));
            self.gate = self.way.rate_bps().map(|rate_bps| now + pause(rate_bps));
        }
    }

    /// Sends again what is missing, if that is worth it.
    fn resend(&mut self, number: u16, now: Instant) {
        let Some(track) = &mut self.video else { return };
        let Some(piece) = self.outbox.sent(number) else { return };
        if self.resends.admit(piece.number, piece.payload.len(), self.way.offered_bps(now), now) {
            send(&mut self.secure, &mut self.way, &mut track.stream, &piece, Manner::Again, now);
        }
    }

    /// Sends what the way is probed with: what was sent last, which makes up for what is lost of it.
    fn pad(&mut self, now: Instant) {
        let Some(wanted) = self.way.poll_padding(now) else { return };
        let Some(track) = &mut self.video else { return };
        // A probe wants several packets. Of a narrow way the viewer's last ones would be too much.
        let manner = if wanted > SMALL_PROBE { Manner::Again } else { Manner::Padding };
        let mut padded = 0;
        while padded < wanted {
            let before = padded;
            for piece in self.outbox.newest().take(BURST_PACKETS) {
                let sent = send(&mut self.secure, &mut self.way, &mut track.stream, &piece, manner, now);
                padded += sent;
                if sent == 0 || padded >= wanted {
                    break;
                }
            }
            if padded == before {
                return;
            }
        }
    }

    fn report(&mut self, now: Instant) {
        let streams = [&self.video, &self.audio].into_iter().flatten().map(|track| &track.stream);
        if let Some(secure) = &mut self.secure {
            secure.egress.report(streams, &self.cname, now);
        }
    }
}

impl fmt::Debug for Viewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are nobody's business.
        f.debug_struct("Viewer").finish_non_exhaustive()
    }
}

/// Sends a packet on the way; gives the datagram's bytes.
fn send(secure: &mut Option<Secure>, way: &mut Way, stream: &mut Stream, piece: &Piece<'_>, manner: Manner, now: Instant) -> usize {
    let sent = secure.as_mut().and_then(|secure| secure.egress.send(stream, piece, manner, now));
    let Some((number, bytes)) = sent else { return 0 };
    way.handle_sent(number, bytes, now);
    bytes
}

/// What is probed with less is, is probed with small packets.
const SMALL_PROBE: usize = 6_000;

/// `str0m` has no part in it.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// How often it is looked at where the viewer is by now.
const PLACE_EVERY: Duration = Duration::from_secs(1);

/// Packets of pictures that go at once: a picture of 35 kB, larger than any at 3 Mbit/s but key frames.
const BURST_PACKETS: usize = 32;

/// How much faster than the viewer's rate the rest of a picture follows, as browsers do it.
const SPREAD: f64 = 2.5;

/// So long after its last picture a viewer's estimate may grow old.
const IDLE: Duration = Duration::from_secs(2);

/// The same while next to nothing is sent.
const PAUSE: Duration = Duration::from_millis(20);
