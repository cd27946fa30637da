//! `GET /metrics`: counters in the text format of Prometheus (exposition format 0.0.4).

use std::fmt::{self, Write as _};

use crosspoint_router::broadcast::HubStats;
use crosspoint_router::control::InputStats;

use crate::broadcast::BroadcastStats;
use crate::histogram::HistogramStats;

/// The kind of text it is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is told, at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) broadcast: BroadcastStats,
    pub(super) inputs: InputStats,
    /// How long encoders of pictures took.
    pub(super) encode_time: HistogramStats,
    /// Bytes that they made.
    pub(super) encoded_bytes: u64,
    /// Streams by mode.
    pub(super) streams: [(&'static str, u64); 4],
    /// Connections that wait for their peer, and those that had to go for others.
    pub(super) waiting: (usize, u64),
    /// Who listens to events.
    pub(super) listeners: usize,
    /// `epoll` or `uring`.
    pub(super) io: &'static str,
}

/// The counters as text. Nothing in it names a stream or a peer: labels are of a few fixed values.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    // Writing to a string does not fail.
    let _ = page.process(snapshot);
    let _ = page.inputs(&snapshot.inputs);
    let _ = page.screen(snapshot);
    let _ = page.broadcast(&snapshot.broadcast);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn process(&mut self, snapshot: &Snapshot) -> fmt::Result {
        self.head("build_info", "The version that runs.", "gauge")?;
        writeln!(self.0, "{PREFIX}build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))?;
        let backends = ["epoll", "uring"].map(|name| (name, u64::from(name == snapshot.io)));
        self.labelled("io_backend", "What the network thread waits with.", "gauge", "backend", backends)?;
        self.labelled("streams", "Streams now.", "gauge", "mode", snapshot.streams)?;
        let (waiting, evicted) = snapshot.waiting;
        self.gauge("connections_waiting", "Connections that wait for their peer.", waiting as f64)?;
        self.counter("connections_evicted_total", "Silent connections that had to go for others.", evicted)?;
        self.gauge("event_listeners", "Who listens to events.", snapshot.listeners as f64)
    }

    fn inputs(&mut self, stats: &InputStats) -> fmt::Result {
        let frames = [("in", stats.frames_in), ("decoded", stats.frames_decoded), ("unwatched", stats.frames_unwatched)];
        let frames = frames.into_iter().chain([("out", stats.frames_out), ("dropped", stats.frames_dropped)]);
        self.labelled("camera_frames_total", "Frames of the camera's source, by how far they came.", "counter", "stage", frames)?;
        self.counter("camera_copies_total", "Passes over a frame's samples between its decoder and the camera.", stats.copies)?;
        self.counter("camera_copied_bytes_total", "Bytes that these wrote.", stats.copied_bytes)?;
        self.counter("camera_possible_tears_total", "Writes that a read fell into.", stats.possible_tears)?;
        self.counter("input_bad_units_total", "Stretches of input that could not be understood.", stats.bad_units)?;
        self.gauge("camera_frames_per_second", "Frames written in the last full second.", stats.fps.into())?;
        self.head("camera_latency_seconds", "From a frame's arrival to the end of its write.", "gauge")?;
        for (quantile, milliseconds) in [("0.5", stats.latency_p50_ms), ("0.99", stats.latency_p99_ms)] {
            if let Some(milliseconds) = milliseconds {
                writeln!(self.0, "{PREFIX}camera_latency_seconds{{quantile=\"{quantile}\"}} {}", seconds(milliseconds))?;
            }
        }
        let in_use = [("camera", stats.camera_in_use), ("microphone", stats.microphone_in_use)];
        let in_use = in_use.into_iter().filter_map(|(device, used)| Some((device, u64::from(used?))));
        self.labelled("device_in_use", "Whether somebody reads the device.", "gauge", "device", in_use)?;
        let publishers = [("video", stats.video_publishers), ("audio", stats.audio_publishers)];
        self.labelled("publishers", "Publishers now.", "gauge", "track", publishers)?;
        self.gauge("feed_viewers", "Viewers of the feed now.", stats.feed_viewers.into())?;
        if let Some(milliseconds) = stats.microphone_depth_ms {
            self.gauge("microphone_depth_seconds", "Sound that waits to be heard.", seconds(milliseconds))?;
        }
        self.counter("microphone_underruns_total", "Times that it ran dry.", stats.microphone_underruns)?;
        self.counter("microphone_lost_packets_total", "Packets of its source that were lost.", stats.microphone_lost_packets)
    }

    fn screen(&mut self, snapshot: &Snapshot) -> fmt::Result {
        self.histogram("screen_encode_seconds", "How long an encoder took for a picture.", &snapshot.encode_time)?;
        self.counter("screen_encoded_bytes_total", "Bytes that encoders of pictures made.", snapshot.encoded_bytes)
    }

    fn broadcast(&mut self, stats: &BroadcastStats) -> fmt::Result {
        self.counter("screen_captures_total", "Looks at the display that saw a change.", stats.captures)?;
        self.counter("screen_rows_total", "Rows of the display read and converted.", stats.rows)?;
        let stages = stats.stages_us.map(|(stage, micros)| (stage, micros as f64 / 1e6));
        self.labelled(
            "screen_stage_seconds_total",
            "Time that the stages of the screen's pictures before the encoders took.",
            "counter",
            "stage",
            stages,
        )?;
        self.counter("screen_encoders_opened_total", "Encoders of pictures opened.", stats.encoders)?;
        self.labelled("screen_pictures_total", "Pictures encoded.", "counter", "codec", stats.pictures)?;
        self.counter("screen_patches_total", "Pictures in which little changed, without the encoder.", stats.patches)?;
        self.counter("screen_repeats_total", "Pictures of a screen at rest, without the encoder.", stats.repeats)?;
        self.counter("screen_overruns_total", "Pictures dropped because the network thread was behind.", stats.overruns)?;
        self.counter("sound_encoders_opened_total", "Encoders of the speaker opened.", stats.sound_encoders)?;
        let packings = |of: fn(&HubStats) -> u64| stats.packings.iter().map(move |(packing, hub)| (packing.name(), of(hub)));
        let help = "Access units packed, once for all viewers of a packing.";
        self.labelled("packed_units_total", help, "counter", "packing", packings(|hub| hub.units))?;
        self.labelled("packed_bytes_total", "Bytes of them.", "counter", "packing", packings(|hub| hub.bytes))?;
        self.labelled("viewers", "Viewers now.", "gauge", "packing", packings(|hub| hub.viewers as u64))?;
        self.labelled("viewer_lags_total", "Times that a viewer was left behind.", "counter", "packing", packings(|hub| hub.lags))?;
        let help = "Units that slow viewers lost, summed over viewers.";
        self.labelled("viewer_dropped_units_total", help, "counter", "packing", packings(|hub| hub.dropped))?;
        self.labelled("keys_ordered_total", "Key frames ordered.", "counter", "packing", packings(|hub| hub.keys_ordered))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.head(name, help, "counter")?;
        writeln!(self.0, "{PREFIX}{name} {value}")
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.head(name, help, "gauge")?;
        writeln!(self.0, "{PREFIX}{name} {value}")
    }

    fn histogram(&mut self, name: &str, help: &str, stats: &HistogramStats) -> fmt::Result {
        self.head(name, help, "histogram")?;
        for (bound, count) in stats.cumulative() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            writeln!(self.0, "{PREFIX}{name}_bucket{{le=\"{bound}\"}} {count}")?;
        }
        writeln!(self.0, "{PREFIX}{name}_sum {}\n{PREFIX}{name}_count {}", stats.sum_seconds(), stats.count())
    }

    fn labelled<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, impl fmt::Display)>,
    ) -> fmt::Result {
        self.head(name, help, kind)?;
        for (of, value) in values {
            writeln!(self.0, "{PREFIX}{name}{{{label}=\"{of}\"}} {value}")?;
        }
        Ok(())
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) -> fmt::Result {
        writeln!(self.0, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}")
    }
}

/// Prometheus counts in seconds. Through the shortest decimals, which are what was meant.
fn seconds(milliseconds: f32) -> f64 {
    (f64::from(milliseconds) * 1e3).round() / 1e6
}

const PREFIX: &str = "crosspoint_";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::broadcast::Packing;
    use crate::histogram::Histogram;

    #[test]
    fn page_is_in_the_exposition_format() {
        let hub = HubStats { viewers: 3, units: 40, bytes: 5_000, lags: 1, dropped: 7, keys_ordered: 2 };
        let broadcast = BroadcastStats {
            captures: 9,
            rows: 720,
            stages_us: [("read", 5_000), ("convert", 2_500_000)],
            encoders: 1,
            pictures: [("h264", 30), ("mpeg1", 0), ("vp8", 0)],
            patches: 13,
            repeats: 12,
            overruns: 0,
            sound_encoders: 2,
            packings: BTreeMap::from([(Packing::Ts, hub)]),
        };
        let encode_time = Histogram::default();
        encode_time.note(Duration::from_millis(3));
        let text = text(&Snapshot {
            broadcast,
            inputs: InputStats {
                frames_in: 11,
                copies: 6,
                copied_bytes: 7,
                camera_in_use: Some(true),
                latency_p50_ms: Some(1.5),
                ..InputStats::default()
            },
            encode_time: encode_time.stats(),
            encoded_bytes: 77,
            streams: [("internal", 0), ("remote", 0), ("socket", 2), ("webrtc", 0)],
            waiting: (4, 1),
            listeners: 0,
            io: "uring",
        });
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
            "crosspoint_camera_frames_total{stage=\"in\"} 11",
            "crosspoint_camera_latency_seconds{quantile=\"0.5\"} 0.0015",
            "crosspoint_device_in_use{device=\"camera\"} 1",
            "# TYPE crosspoint_screen_encode_seconds histogram",
            "crosspoint_screen_encode_seconds_bucket{le=\"0.002\"} 0",
            "crosspoint_screen_encode_seconds_bucket{le=\"0.004\"} 1",
            "crosspoint_screen_encode_seconds_bucket{le=\"+Inf\"} 1",
            "crosspoint_screen_encode_seconds_count 1",
            "crosspoint_screen_stage_seconds_total{stage=\"convert\"} 2.5",
            "# TYPE crosspoint_viewers gauge",
            "crosspoint_camera_copies_total 6",
            "crosspoint_camera_copied_bytes_total 7",
            "crosspoint_viewers{packing=\"ts\"} 3",
            "crosspoint_viewer_dropped_units_total{packing=\"ts\"} 7",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let mut seen = std::collections::BTreeSet::new();
        assert!(names.into_iter().all(|name| seen.insert(name)), "each name is told once");
    }
}
