//! `GET /metrics`: counters in the text format of Prometheus (exposition format 0.0.4).

use std::fmt::{self, Write as _};

use crosspoint_router::broadcast::HubStats;
use crosspoint_router::control::InputStats;

use crate::broadcast::BroadcastStats;

/// The kind of text it is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters as text. Nothing in it names a stream or a peer: labels are of a few fixed values.
pub(super) fn text(broadcast: &BroadcastStats, input: &InputStats) -> String {
    let mut page = Page::default();
    // Writing to a string does not fail.
    let _ = page.camera(input).and_then(|()| page.broadcast(broadcast));
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn camera(&mut self, stats: &InputStats) -> fmt::Result {
        self.counter("camera_frames_total", "Frames written to the camera.", stats.frames_out)?;
        self.counter("camera_copies_total", "Passes over their samples after decoding.", stats.copies)?;
        self.counter("camera_copied_bytes_total", "Bytes that these wrote.", stats.copied_bytes)
    }

    fn broadcast(&mut self, stats: &BroadcastStats) -> fmt::Result {
        self.counter("screen_captures_total", "Looks at the display that saw a change.", stats.captures)?;
        self.counter("screen_rows_total", "Rows of the display read and converted.", stats.rows)?;
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

    fn labelled<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, u64)>,
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

const PREFIX: &str = "crosspoint_";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::broadcast::Packing;

    #[test]
    fn page_is_in_the_exposition_format() {
        let hub = HubStats { viewers: 3, units: 40, bytes: 5_000, lags: 1, dropped: 7, keys_ordered: 2 };
        let stats = BroadcastStats {
            captures: 9,
            rows: 720,
            encoders: 1,
            pictures: [("h264", 30), ("mpeg1", 0), ("vp8", 0)],
            patches: 13,
            repeats: 12,
            overruns: 0,
            sound_encoders: 2,
            packings: BTreeMap::from([(Packing::Ts, hub)]),
        };
        let input = InputStats { frames_out: 5, copies: 6, copied_bytes: 7, ..InputStats::default() };
        let text = text(&stats, &input);
        assert!(text.ends_with('\n'));
        for line in [
            "# TYPE crosspoint_screen_captures_total counter",
            "crosspoint_screen_captures_total 9",
            "crosspoint_screen_pictures_total{codec=\"h264\"} 30",
            "crosspoint_screen_patches_total 13",
            "crosspoint_screen_repeats_total 12",
            "# TYPE crosspoint_viewers gauge",
            "crosspoint_camera_frames_total 5",
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
