//! `GET /metrics`: what is counted, in the text format of Prometheus (exposition format 0.0.4).
//!
//! Names say their unit, times are seconds, and what only grows ends in `_total`. Labels are of a few fixed values: nothing names a
//! stream, a peer or an address.

mod page;

use crosspoint_router::broadcast::HubStats;
use crosspoint_router::control::InputStats;

use self::page::{Buckets, Page};
use crate::app::Figures;
use crate::broadcast::BroadcastStats;

/// The kind of text it is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the door counts itself.
#[derive(Debug)]
pub(super) struct DoorStats {
    /// Connections that wait for their peer, and those that had to go for others.
    pub(super) waiting: (usize, u64),
    /// Who listens to events.
    pub(super) listeners: usize,
    /// `epoll` or `uring`.
    pub(super) io: &'static str,
}

/// All of it as text.
pub(super) fn text(figures: &Figures, door: &DoorStats) -> String {
    let mut page = Page::default();
    process(&mut page, figures, door);
    camera(&mut page, figures);
    microphone(&mut page, &figures.inputs);
    publishers(&mut page, figures);
    screen(&mut page, &figures.broadcast);
    viewers(&mut page, figures);
    webrtc(&mut page, figures);
    page.into_text()
}

fn process(page: &mut Page, figures: &Figures, door: &DoorStats) {
    page.gauges("build_info", "The version that runs.", "version", [(env!("CARGO_PKG_VERSION"), 1)]);
    let backends = ["epoll", "uring"].map(|name| (name, u64::from(name == door.io)));
    page.gauges("io_backend", "What the network thread waits with.", "backend", backends);
    page.gauges("streams", "Streams now.", "mode", figures.streams.iter().copied());
    let (waiting, evicted) = door.waiting;
    page.gauge("connections_waiting", "Connections that wait for their peer.", waiting);
    page.counter("connections_evicted_total", "Silent connections that had to go for others.", evicted);
    page.gauge("event_listeners", "Who listens to events.", door.listeners);
    let queues = [
        ("decode", figures.media.decode_queued),
        ("screen", figures.broadcast.pictures_queued),
        ("webrtc_sessions", figures.rtc.sessions.0),
        ("webrtc_tcp", figures.rtc.connections.0),
    ];
    page.gauges("queue_depth", "What waits between two threads or tasks: each queue is bounded.", "queue", queues);
}

fn camera(page: &mut Page, figures: &Figures) {
    let (stats, media) = (&figures.inputs, &figures.media);
    let frames = [("in", stats.frames_in), ("decoded", stats.frames_decoded), ("unwatched", stats.frames_unwatched)];
    let frames = frames.into_iter().chain([("out", stats.frames_out), ("dropped", stats.frames_dropped)]);
    page.counters("camera_frames_total", "Frames of the camera's source, by how far they came.", "stage", frames);
    let help = "Frames that were dropped: for want of a key frame, by a decoder that is behind, for a newer one before and in the thread \
                that draws, in a pause, over an error.";
    page.counters("camera_dropped_frames_total", help, "stage", media.dropped);
    page.counter("camera_overwritten_frames_total", "Frames that nobody had read when the next one was written.", media.overwritten);
    let of_camera = |value: u64| figures.camera.map(|camera| (camera, value));
    let help = "Passes over a frame's samples between its decoder and the camera.";
    page.counters("camera_copies_total", help, "camera", of_camera(stats.copies));
    page.counters("camera_copied_bytes_total", "Bytes that these wrote.", "camera", of_camera(stats.copied_bytes));
    page.counter("camera_possible_tears_total", "Writes that a read fell into.", stats.possible_tears);
    page.counter("input_bad_units_total", "Stretches of input that could not be understood.", stats.bad_units);
    page.gauge("camera_frames_per_second", "Frames written in the last full second.", stats.fps);
    page.histogram("camera_latency_seconds", "From a frame's arrival to the end of its write.", media.latency);
    let help = "What the stages before that took for a frame.";
    page.histograms("camera_stage_seconds", help, "stage", [("decode", media.decode_time), ("draw", media.draw_time)]);
    let in_use = [("camera", stats.camera_in_use), ("microphone", stats.microphone_in_use)];
    let in_use = in_use.into_iter().filter_map(|(device, used)| Some((device, u64::from(used?))));
    page.gauges("device_in_use", "Whether somebody reads the device.", "device", in_use);
}

fn microphone(page: &mut Page, stats: &InputStats) {
    if let Some(milliseconds) = stats.microphone_depth_ms {
        page.gauge("microphone_depth_seconds", "Sound that waits to be heard.", seconds(milliseconds));
    }
    if let Some(milliseconds) = stats.microphone_latency_ms {
        page.gauge("microphone_latency_seconds", "From a packet's release until it is heard.", seconds(milliseconds));
    }
    page.counter("microphone_underruns_total", "Times that it ran dry.", stats.microphone_underruns);
    page.counter("microphone_lost_packets_total", "Packets of its source that were lost.", stats.microphone_lost_packets);
    let dropped = seconds(stats.microphone_dropped_ms);
    page.counter("microphone_dropped_seconds_total", "Sound that was dropped to get back to live.", dropped);
}

fn publishers(page: &mut Page, figures: &Figures) {
    page.gauges_by("publishers", "Publishers now.", ["track", "transport"], figures.publishers.iter().copied());
}

fn screen(page: &mut Page, stats: &BroadcastStats) {
    page.counter("screen_captures_total", "Looks at the display that saw a change.", stats.captures);
    page.counter("screen_rows_total", "Rows of the display read and converted.", stats.rows);
    let stages = stats.stages_us.map(|(stage, micros)| (stage, micros as f64 / 1e6));
    let help = "Time that the stages of the screen's pictures before the encoders took.";
    page.counters("screen_stage_seconds_total", help, "stage", stages);
    page.histogram("screen_encode_seconds", "How long an encoder took for a picture.", stats.encode_time);
    page.counter("screen_encoded_bytes_total", "Bytes that encoders of pictures made.", stats.encoded_bytes);
    page.counter("screen_encoders_opened_total", "Encoders of pictures opened.", stats.encoders);
    page.counters("screen_pictures_total", "Pictures encoded.", "codec", stats.pictures);
    page.counter("screen_patches_total", "Pictures in which little changed, without the encoder.", stats.patches);
    page.counter("screen_repeats_total", "Pictures of a screen at rest, without the encoder.", stats.repeats);
    page.counter("screen_overruns_total", "Pictures dropped because the network thread was behind.", stats.overruns);
    let help = "From a picture's capture until it is encoded, and until it is handed to a viewer's socket, of each viewer.";
    page.histograms("screen_latency_seconds", help, "stage", stats.latencies);
    page.counter("sound_encoders_opened_total", "Encoders of the speaker opened.", stats.sound_encoders);
    page.counter("sound_overruns_total", "Packets of the speaker dropped because the network thread was behind.", stats.sound_overruns);
}

fn viewers(page: &mut Page, figures: &Figures) {
    let hubs = &figures.broadcast.packings;
    let packings = |of: fn(&HubStats) -> u64| hubs.iter().map(move |(packing, hub)| (packing.name(), of(hub)));
    let help = "Access units packed, once for all viewers of a packing.";
    page.counters("packed_units_total", help, "packing", packings(|hub| hub.units));
    page.counters("packed_bytes_total", "Bytes of them.", "packing", packings(|hub| hub.bytes));
    page.gauges("viewers", "Viewers now, pushes included.", "packing", packings(|hub| hub.viewers as u64));
    let help = "Viewers of streams now, those that connect included.";
    page.gauges("stream_viewers", help, "transport", figures.viewers.iter().copied());
    page.gauge("feed_viewers", "Viewers of the feed now.", figures.inputs.feed_viewers);
    page.gauges("pushes", "Streams that are pushed, by whether media flows.", "state", figures.pushes);
    page.gauge("push_reconnects", "How often the pushes that run now began anew.", figures.reconnects);
    let behind = hubs.iter().map(|(packing, hub)| (packing.name(), Buckets::of(&HubStats::BEHIND, &hub.behind, hub.behind_sum)));
    page.histograms("viewer_units_behind", "How many units wait for a viewer when it is given one.", "packing", behind);
    page.counters("viewer_lags_total", "Times that a viewer was left behind.", "packing", packings(|hub| hub.lags));
    let help = "Units that slow viewers lost, summed over viewers.";
    page.counters("viewer_dropped_units_total", help, "packing", packings(|hub| hub.dropped));
    page.counters("keys_ordered_total", "Key frames ordered.", "packing", packings(|hub| hub.keys_ordered));
}

fn webrtc(page: &mut Page, figures: &Figures) {
    let rtc = &figures.rtc;
    let roles = [("publisher", &rtc.publishers), ("viewer", &rtc.viewers)];
    let states = roles.iter().flat_map(|(role, stats)| [(*role, "connecting", stats.connecting), (*role, "connected", stats.connected)]);
    page.gauges_by("webrtc_peers", "Peers now.", ["role", "state"], states);
    let help = "A round trip of each peer once a second.";
    page.histograms("webrtc_round_trip_seconds", help, "role", roles.map(|(role, stats)| (role, stats.round_trips)));
    let help = "Packets of media sent to viewers and received from publishers.";
    page.counters("webrtc_packets_total", help, "role", roles.map(|(role, stats)| (role, stats.packets)));
    let help = "Those that viewers did not get, by their own reports, and those that were missing between what publishers sent.";
    page.counters("webrtc_lost_packets_total", help, "role", roles.map(|(role, stats)| (role, stats.lost)));
    let dropped = [("session", rtc.sessions.1), ("tcp", rtc.connections.1), ("udp", rtc.udp_dropped)];
    let help = "What was dropped because a session was behind, or a connection or the UDP socket full.";
    page.counters("webrtc_dropped_total", help, "stage", dropped);
}

/// Prometheus counts in seconds. Through the shortest decimals, which are what was meant.
fn seconds(milliseconds: f32) -> f64 {
    (f64::from(milliseconds) * 1e3).round() / 1e6
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::app::MediaFigures;
    use crate::broadcast::Packing;
    use crate::histogram::{Histogram, HistogramStats};
    use crate::rtc::{RoleStats, RtcStats};

    fn took(milliseconds: u64) -> HistogramStats {
        let histogram = Histogram::default();
        histogram.note(Duration::from_millis(milliseconds));
        histogram.stats()
    }

    fn figures() -> Figures {
        let behind = [30, 6, 3, 1, 0, 0, 0];
        let hub = HubStats { viewers: 3, units: 40, bytes: 5_000, lags: 1, dropped: 7, keys_ordered: 2, behind, behind_sum: 61 };
        Figures {
            camera: Some("device"),
            inputs: InputStats { frames_in: 11, copies: 6, copied_bytes: 7, camera_in_use: Some(true), ..InputStats::default() },
            media: MediaFigures {
                latency: took(3),
                decode_time: took(1),
                dropped: [("source", 1), ("decode", 2), ("handover", 3), ("present", 4), ("pause", 5), ("draw", 6)],
                decode_queued: 8,
                ..MediaFigures::default()
            },
            broadcast: BroadcastStats {
                captures: 9,
                stages_us: [("read", 5_000), ("convert", 2_500_000)],
                pictures: [("h264", 30), ("mpeg1", 0), ("vp8", 0)],
                patches: 13,
                repeats: 12,
                encode_time: took(3),
                encoded_bytes: 77,
                latencies: [("encoded", took(5)), ("sent", took(600))],
                packings: BTreeMap::from([(Packing::Ts, hub)]),
                ..BroadcastStats::default()
            },
            rtc: RtcStats {
                viewers: RoleStats { connecting: 1, connected: 4, round_trips: took(20), packets: 100, lost: 3 },
                sessions: (5, 1),
                udp_dropped: 2,
                ..RtcStats::default()
            },
            publishers: vec![("video", "webrtc", 1), ("video", "websocket", 0)],
            viewers: vec![("rtmp", 2), ("webrtc", 5)],
            streams: vec![("internal", 0), ("socket", 2)],
            pushes: [("flowing", 1), ("waiting", 0)],
            reconnects: 3,
        }
    }

    #[test]
    fn page_is_in_the_exposition_format() {
        let text = text(&figures(), &DoorStats { waiting: (4, 1), listeners: 0, io: "uring" });
        assert!(text.ends_with('\n'));
        for line in [
            "# TYPE crosspoint_screen_captures_total counter",
            "crosspoint_screen_captures_total 9",
            "crosspoint_screen_pictures_total{codec=\"h264\"} 30",
            "crosspoint_screen_patches_total 13",
            "crosspoint_screen_repeats_total 12",
            "crosspoint_io_backend{backend=\"uring\"} 1",
            "crosspoint_io_backend{backend=\"epoll\"} 0",
            "crosspoint_streams{mode=\"socket\"} 2",
            "crosspoint_connections_evicted_total 1",
            "crosspoint_queue_depth{queue=\"decode\"} 8",
            "crosspoint_queue_depth{queue=\"webrtc_sessions\"} 5",
            "crosspoint_camera_frames_total{stage=\"in\"} 11",
            "crosspoint_camera_dropped_frames_total{stage=\"handover\"} 3",
            "# TYPE crosspoint_camera_latency_seconds histogram",
            "crosspoint_camera_latency_seconds_bucket{le=\"0.004\"} 1",
            "crosspoint_camera_latency_seconds_sum 0.003",
            "crosspoint_camera_stage_seconds_bucket{stage=\"decode\",le=\"0.0005\"} 0",
            "crosspoint_camera_stage_seconds_bucket{stage=\"decode\",le=\"0.001\"} 1",
            "crosspoint_camera_stage_seconds_count{stage=\"draw\"} 0",
            "crosspoint_camera_copies_total{camera=\"device\"} 6",
            "crosspoint_camera_copied_bytes_total{camera=\"device\"} 7",
            "crosspoint_device_in_use{device=\"camera\"} 1",
            "crosspoint_publishers{track=\"video\",transport=\"webrtc\"} 1",
            "# TYPE crosspoint_screen_encode_seconds histogram",
            "crosspoint_screen_encode_seconds_bucket{le=\"0.002\"} 0",
            "crosspoint_screen_encode_seconds_bucket{le=\"0.004\"} 1",
            "crosspoint_screen_encode_seconds_bucket{le=\"+Inf\"} 1",
            "crosspoint_screen_encode_seconds_count 1",
            "crosspoint_screen_stage_seconds_total{stage=\"convert\"} 2.5",
            "crosspoint_screen_latency_seconds_bucket{stage=\"sent\",le=\"1\"} 1",
            "# TYPE crosspoint_viewers gauge",
            "crosspoint_viewers{packing=\"ts\"} 3",
            "crosspoint_stream_viewers{transport=\"webrtc\"} 5",
            "crosspoint_pushes{state=\"flowing\"} 1",
            "crosspoint_viewer_units_behind_bucket{packing=\"ts\",le=\"2\"} 36",
            "crosspoint_viewer_units_behind_bucket{packing=\"ts\",le=\"+Inf\"} 40",
            "crosspoint_viewer_units_behind_sum{packing=\"ts\"} 61",
            "crosspoint_viewer_dropped_units_total{packing=\"ts\"} 7",
            "crosspoint_webrtc_peers{role=\"viewer\",state=\"connecting\"} 1",
            "crosspoint_webrtc_round_trip_seconds_bucket{role=\"viewer\",le=\"0.033\"} 1",
            "crosspoint_webrtc_lost_packets_total{role=\"viewer\"} 3",
            "crosspoint_webrtc_dropped_total{stage=\"udp\"} 2",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let mut seen = BTreeSet::new();
        assert!(names.into_iter().all(|name| seen.insert(name)), "each name is told once");
    }
}
