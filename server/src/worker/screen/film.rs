//! H.264 of a screen that moves and rests.

use std::time::Instant;

use crosspoint_ffi::av::{H264Encoder, H264Settings};
use crosspoint_ffi::{Codec, I420, MediaTime, Packet, Payload, Result};
use crosspoint_router::wire::h264::Repeater;

/// An H.264 encoder that is left alone while the picture stays the same.
///
/// To compare a picture with itself costs x264 milliseconds. It does so until the picture is as fine as can be; what players need of a screen
/// that stands still from then on is made here: pictures that repeat the one before, and key frames that are sent again.
///
/// Copies: 0 (what is sent again is shared).
#[derive(Debug)]
pub(super) struct Film {
    encoder: H264Encoder,
    repeater: Repeater,
    rest: Option<Rest>,
    /// Pictures encoded since the last change, that one included.
    since_change: u32,
}

/// A key frame of the picture that is shown, and the finer ones of the same behind it: all that the encoder made since. As long as nothing
/// changes, the stream can begin with them again.
#[derive(Debug)]
struct Rest {
    packets: Vec<Packet>,
    /// As it was behind the last of them.
    repeater: Repeater,
    /// How many of them were sent since the last key frame.
    sent: usize,
    /// Whether no other picture was sent since the last of them.
    is_last: bool,
    /// Whether none was sent twice, and nothing between them.
    is_open: bool,
}

/// What comes of a picture.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// In order; the last one is of the time that was asked for.
    pub(super) packets: Vec<Packet>,
    /// Whether the encoder had work.
    pub(super) is_encoded: bool,
}

impl Film {
    /// Opens the encoder.
    pub(super) fn new(settings: H264Settings) -> Result<Self> {
        Ok(Self { encoder: H264Encoder::new(settings)?, repeater: Repeater::new(), rest: None, since_change: 0 })
    }

    /// Changes the bitrate from the next picture on.
    pub(super) fn set_bitrate(&mut self, bitrate_bps: u32) {
        self.encoder.set_bitrate(bitrate_bps);
    }

    /// Whether another picture of the same would be finer than what was sent last.
    pub(super) fn is_rough(&self) -> bool {
        self.is_worth_more() || self.rest.as_ref().is_some_and(Rest::is_behind)
    }

    /// The next packets: of `picture`, or what stands for it when nothing `changed` since the last one.
    pub(super) fn next(&mut self, picture: &I420<'_>, pts: MediaTime, captured: Instant, key: bool, changed: bool) -> Result<Made> {
        let again = if changed { None } else { self.again(key) };
        if let Some((data, key)) = again {
            let packet = Packet { codec: Codec::H264, data, pts: Some(pts), dts: Some(pts), key, arrival: captured, parameters: None };
            return Ok(Made { packets: vec![packet], is_encoded: false });
        }
        // The encoder goes on from its last picture; whoever was sent its key frame again must have that, too.
        let mut packets = if key { Vec::new() } else { self.catch_up(pts) };
        let repeater = &mut self.repeater;
        let packet = self.encoder.encode_amended(picture, pts, captured, key, |unit| repeater.handle_unit(unit))?;
        self.since_change = if changed { 1 } else { self.since_change.saturating_add(1) };
        self.keep(packet.as_ref(), changed);
        packets.extend(packet);
        Ok(Made { packets, is_encoded: true })
    }

    /// What stands for a picture of the same.
    fn again(&mut self, key: bool) -> Option<(Payload, bool)> {
        let is_worth_more = self.is_worth_more();
        let rest = self.rest.as_mut();
        if key {
            // Two of the same identity must not meet (`idr_pic_id`, 7.4.3).
            let meets = |rest: &Rest| rest.is_last && rest.packets.len() == 1;
            let rest = rest.filter(|rest| !(is_worth_more || rest.is_behind() || meets(rest)))?;
            (rest.sent, rest.is_open) = (0, false);
            return self.send_kept();
        }
        if rest.is_some_and(|rest| rest.is_behind()) {
            return self.send_kept();
        }
        if is_worth_more {
            return None;
        }
        let unit = self.repeater.repeat()?;
        if let Some(rest) = &mut self.rest {
            (rest.is_last, rest.is_open) = (false, false);
        }
        Some((Payload::copy_from_slice(&unit), false))
    }

    /// The next one of those that are kept.
    fn send_kept(&mut self) -> Option<(Payload, bool)> {
        let rest = self.rest.as_mut()?;
        let packet = rest.packets.get(rest.sent)?;
        (rest.sent, rest.is_last) = (rest.sent + 1, true);
        if !rest.is_behind() {
            self.repeater = rest.repeater.clone();
        }
        Some((packet.data.clone(), packet.key))
    }

    /// The rest of those that are being sent again, each a millisecond before the next; the last of them before `pts`.
    fn catch_up(&mut self, pts: MediaTime) -> Vec<Packet> {
        let Some(rest) = self.rest.as_mut().filter(|rest| rest.is_behind()) else { return Vec::new() };
        let packets = rest.packets.drain(..).skip(rest.sent);
        let mut packets: Vec<_> = packets.collect();
        let steps = 1..=i64::try_from(packets.len()).unwrap_or(0);
        for (packet, step) in packets.iter_mut().zip(steps.rev()) {
            let time = Some(pts - MediaTime::from_millis(step));
            (packet.pts, packet.dts) = (time, time);
        }
        self.repeater = rest.repeater.clone();
        self.rest = None;
        packets
    }

    /// Keeps what the encoder made, or forgets all when it is no more of the same.
    fn keep(&mut self, packet: Option<&Packet>, changed: bool) {
        let Some(packet) = packet else { return self.rest = None };
        let open = self.rest.take().filter(|rest| rest.is_open && !changed && !packet.key);
        if !packet.key && open.is_none() {
            return;
        }
        let mut packets = open.map_or_else(Vec::new, |rest| rest.packets);
        packets.push(packet.clone());
        self.rest = Some(Rest { sent: packets.len(), packets, repeater: self.repeater.clone(), is_last: true, is_open: true });
    }

    /// Whether the encoder could make it finer.
    fn is_worth_more(&self) -> bool {
        self.since_change < MOST && self.encoder.is_rough()
    }
}

impl Rest {
    /// Whether some are still to be sent again.
    fn is_behind(&self) -> bool {
        self.sent < self.packets.len()
    }
}

/// Pictures of the same that are encoded one after another, at most: more of them are no finer, or the bitrate is too low for any. As many
/// milliseconds are less than the shortest frame period.
const MOST: u32 = 6;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crosspoint_ffi::VideoFormat;
    use crosspoint_ffi::av::{Preset, VideoDecoder};

    use super::*;

    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 180;
    /// What a repetition takes at most.
    const REPETITION_BYTES: usize = 20;

    /// A picture of blocks with noise of this strength, another for each `scene`.
    fn picture(scene: u32, strength: u32) -> Vec<u8> {
        let mut state = scene;
        let mut noise = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        (0..WIDTH * HEIGHT * 3 / 2).map(|at| (60 + (at / 16 + scene) % 8 * 16 + noise() * strength / 256) as u8).collect()
    }

    fn settings(preset: Preset, bitrate_bps: u32) -> H264Settings {
        let format = VideoFormat::new(WIDTH, HEIGHT, 30).expect("a good format");
        H264Settings { format, bitrate_bps, max_bitrate_bps: bitrate_bps, preset }
    }

    fn pts(nth: usize) -> MediaTime {
        MediaTime::from(Duration::from_millis(100) * u32::try_from(nth).expect("few"))
    }

    /// The luma that a decoder shows for `packet`.
    fn shown(decoder: &mut VideoDecoder, packet: &Packet) -> Vec<u8> {
        decoder.send(packet).expect("a good packet");
        let shown = decoder.receive().expect("a good packet").expect("a picture for each packet");
        let shown = shown.as_i420().expect("planar");
        (0..shown.height).flat_map(|y| shown.y.row(y, shown.width).to_vec()).collect()
    }

    /// What is asked of a film: a picture that changed (C) or not (.), or a key frame of either (K and k).
    const PLOT: &str = "K..........C......C............k.k.k..C.C..........kkk..CC..K........k....k....k....k.kk.C.k.....k.....k.....kCCk..........kC..k..kkC";

    #[test]
    fn stream_that_was_not_all_encoded_shows_what_the_encoder_s_own_would() {
        for (preset, bitrate_bps) in [(Preset::Ultrafast, 1_000_000), (Preset::Superfast, 500_000), (Preset::Veryfast, 8_000_000)] {
            let mut film = Film::new(settings(preset, bitrate_bps)).expect("libx264");
            let [mut decoder, mut own_decoder] = [(); 2].map(|()| VideoDecoder::new(Codec::H264).expect("a decoder"));
            // Gives the encoder's numbers back: they go round after 16 pictures, so 15 more repetitions take one away.
            let mut undo = Repeater::new();
            let (mut scene, mut own, mut counts, mut last_pts) = (0, Vec::new(), [0; 4], pts(0) - pts(1));
            for (nth, step) in PLOT.chars().enumerate() {
                let (changed, key) = ("CK".contains(step), "Kk".contains(step));
                scene += u32::from(changed);
                let bytes = picture(scene, 48);
                let picture = I420::packed(&bytes, WIDTH, HEIGHT).expect("sized");
                let mut made = film.next(&picture, pts(nth), Instant::now(), key, changed).expect("encoded");
                let times: Vec<_> = made.packets.iter().map(|packet| packet.pts.expect("a time")).collect();
                assert!(
                    times[0] > last_pts && times.is_sorted() && times.last() == Some(&pts(nth)),
                    "{preset:?}, picture {nth}: {times:?}"
                );
                last_pts = pts(nth);
                let packet = made.packets.pop().expect("a packet for each picture");
                assert_eq!(packet.key, key, "{preset:?}, picture {nth}");
                for packet in &made.packets {
                    assert!(made.is_encoded && changed && !packet.key, "{preset:?}, picture {nth}");
                    counts[3] += 1;
                    shown(&mut decoder, packet);
                }
                let seen = shown(&mut decoder, &packet);
                if made.is_encoded {
                    counts[0] += 1;
                    let mut unit = packet.data.to_vec();
                    undo.handle_unit(&mut unit);
                    own = shown(&mut own_decoder, &Packet { data: Payload::copy_from_slice(&unit), ..packet });
                } else if packet.key {
                    counts[1] += 1;
                    undo.handle_unit(&mut packet.data.to_vec());
                } else if packet.data.len() < REPETITION_BYTES {
                    counts[2] += 1;
                    (0..15).for_each(|_| drop(undo.repeat()));
                }
                // What is sent again is as it was when it is complete.
                assert!(seen == own || film.rest.as_ref().is_some_and(Rest::is_behind), "{preset:?}, picture {nth}");
            }
            assert!(counts.iter().take(3).all(|&count| count > 4), "{preset:?}: encoded, keys, repetitions, caught up: {counts:?}");
        }
    }

    #[test]
    fn change_in_the_middle_of_what_is_sent_again_comes_behind_all_of_it() {
        let mut film = Film::new(settings(Preset::Ultrafast, 300_000)).expect("libx264");
        let mut next = |nth: usize, key, changed| {
            let bytes = picture(u32::from(nth > 21), 255);
            let picture = I420::packed(&bytes, WIDTH, HEIGHT).expect("sized");
            film.next(&picture, pts(nth), Instant::now(), key, changed).expect("encoded")
        };
        (0..20).for_each(|nth| drop(next(nth, nth == 0, nth == 0)));
        let again = next(20, true, false);
        assert!(!again.is_encoded && again.packets.len() == 1 && again.packets[0].key);
        let second = next(21, false, false);
        assert!(!second.is_encoded && second.packets[0].data.len() > REPETITION_BYTES, "the finer one behind it");
        let changed = next(22, false, true);
        assert!(changed.is_encoded && changed.packets.len() == MOST as usize - 1, "{} packets", changed.packets.len());
    }

    #[test]
    fn rough_picture_is_refined_before_it_is_repeated() {
        let mut film = Film::new(settings(Preset::Ultrafast, 300_000)).expect("libx264");
        let bytes = picture(1, 128);
        let picture = I420::packed(&bytes, WIDTH, HEIGHT).expect("sized");
        let mut encoded = 0;
        for nth in 0..20 {
            let was_rough = film.is_rough();
            let made = film.next(&picture, pts(nth), Instant::now(), nth == 0, nth == 0).expect("encoded");
            assert!(made.is_encoded == (was_rough || nth == 0), "picture {nth}");
            encoded += u32::from(made.is_encoded);
        }
        assert!((2..=MOST).contains(&encoded) && !film.is_rough(), "{encoded}");
    }
}
