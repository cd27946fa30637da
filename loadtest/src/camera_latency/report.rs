//! What a run found, for people and for machines.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::analysis::Parts;
use crate::cli::Source;
use crate::distribution::Distribution;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::report::{PERCENTILES, number, percentiles, write_row};
use crate::sight::Seen;
use crate::usage::Cpu;

/// The report of one run. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What was measured on.
    pub(crate) machine: Machine,
    /// What was sent.
    pub(crate) clip: ClipReport,
    /// The frames that the page's script had.
    pub(crate) in_page: Option<ViewReport>,
    /// The frames that were displayed.
    pub(crate) visible: Option<ViewReport>,
    /// How old frames were at the end, and where the time went.
    pub(crate) parts_ms: Parts,
    /// The router's own count: arrival of a frame's last byte to the end of its write.
    pub(crate) server: ServerReport,
    /// From one read of the camera file to the next, mean; nothing when they could not be watched.
    pub(crate) reader_period_ms: Option<f64>,
    /// The share of frames that waited longer than that.
    pub(crate) passed_by_percent: Option<f64>,
    /// The largest error of a time in the browser.
    pub(crate) clock_bound_ms: Option<f64>,
    /// The questions that this rests on.
    pub(crate) clock_round_trips: usize,
    /// Processor time while frames were sent.
    pub(crate) cpu_percent: Cpu,
    /// The camera as the page saw it.
    pub(crate) track: Option<Value>,
    /// The limits given.
    pub(crate) limits: Vec<Limit>,
}

/// What was sent.
#[derive(Debug, Serialize)]
pub(crate) struct ClipReport {
    pub(crate) source: Source,
    pub(crate) codec: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frame_rate: u32,
    pub(crate) bitrate_bps: f64,
    pub(crate) seconds: u32,
    pub(crate) jitter_ms: f64,
    pub(crate) phase: &'static str,
    /// The mean time that the publisher took to encode a picture, where it is a browser.
    pub(crate) encoding_ms: Option<f64>,
}

/// What one view saw.
#[derive(Debug, Serialize)]
pub(crate) struct ViewReport {
    /// The frames.
    pub(crate) frames: Seen,
    /// Pictures torn or unreadable, of all looked at.
    pub(crate) torn_percent: f64,
    /// How old frames were, from when each was due, of all; and of those seen, at the second that each was sent.
    #[serde(skip)]
    pub(crate) ages: Distribution,
    #[serde(skip)]
    pub(crate) over_time: Vec<(f64, f64)>,
}

/// What the router says of itself.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ServerReport {
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// All of its `stats`.
    pub(crate) stats: Value,
}

impl Report {
    /// Whether all limits held.
    pub(crate) fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let ages = |view: &ViewReport, name: &str| Chart::histogram(format!("Due to {name}, of all frames"), "ms", &view.ages);
        let over_time =
            |view: &ViewReport, name: &str| Chart::line(format!("Sent to {name}, of those seen"), "seconds", "ms", view.over_time.clone());
        self.views().flat_map(|(name, view)| [ages(view, name), over_time(view, name)]).flatten().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (clip, machine) = (&self.clip, &self.machine);
        writeln!(
            f,
            "{} by {} {}x{} at {} fps, {:.2} Mbit/s, {} s, jitter {} ms, phase {}",
            clip.codec,
            match clip.source {
                Source::Socket => "WebSocket",
                Source::Whip => "WHIP",
            },
            clip.width,
            clip.height,
            clip.frame_rate,
            clip.bitrate_bps / 1e6,
            clip.seconds,
            clip.jitter_ms,
            clip.phase
        )?;
        writeln!(
            f,
            "{}, {} cores, Linux {}, load {} before the run; {}",
            machine.processor, machine.cores, machine.kernel, machine.load_before, machine.browser
        )?;
        self.write_frames(f)?;
        self.write_ages(f)?;
        self.write_parts(f)?;
        self.write_conditions(f)?;
        self.write_limits(f)
    }
}

impl Report {
    fn views(&self) -> impl Iterator<Item = (&'static str, &ViewReport)> {
        [("in page", &self.in_page), ("visible", &self.visible)].into_iter().filter_map(|(name, view)| Some((name, view.as_ref()?)))
    }

    fn write_frames(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["sent", "seen", "share %", "again", "disorder", "torn", "unreadable"];
        write_row(f, "\nframes", heads.map(str::to_owned))?;
        for (name, view) in self.views() {
            let seen = &view.frames;
            let counts = [seen.again, seen.out_of_order, seen.torn, seen.unreadable].map(|count| count.to_string());
            let [again, disorder, torn, unreadable] = counts;
            write_row(
                f,
                name,
                [seen.sent.to_string(), seen.seen.to_string(), format!("{:.1}", seen.percent), again, disorder, torn, unreadable],
            )?;
        }
        Ok(())
    }

    fn write_ages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.clip.source {
            Source::Socket => "\nlast byte sent to …, ms",
            Source::Whip => "\ndrawn on the canvas to …, ms",
        };
        write_row(f, from, PERCENTILES.map(str::to_owned))?;
        write_row(f, "in page", percentiles(self.parts_ms.sent_to_page))?;
        write_row(f, "visible", percentiles(self.parts_ms.sent_to_visible))?;
        write_row(f, "\ndue to …, of all frames, ms", PERCENTILES.map(str::to_owned))?;
        write_row(f, "in page", percentiles(self.parts_ms.due_to_page))?;
        write_row(f, "visible", percentiles(self.parts_ms.due_to_visible))
    }

    fn write_parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_row(f, "\nwhere the time goes, ms", PERCENTILES.map(str::to_owned))?;
        let server = [self.server.p50_ms, None, None, self.server.p99_ms, None, None].map(number);
        write_row(f, "router, by its own count", server)?;
        match self.parts_ms.wait {
            Some(_) => write_row(f, "wait for the reader's timer", percentiles(self.parts_ms.wait))?,
            None if self.clip.source == Source::Whip => {
                write_row(f, "canvas to read: all before", percentiles(self.parts_ms.sent_to_read))?;
                write_row(f, "… of which encoding (mean)", [None, None, None, None, None, self.clip.encoding_ms].map(number))?;
            }
            None => write_row(f, "router and wait for reader", percentiles(self.parts_ms.sent_to_read))?,
        }
        write_row(f, "browser: read to in page", percentiles(self.parts_ms.read_to_page))?;
        write_row(f, "browser: in page to visible", percentiles(self.parts_ms.page_to_visible))?;
        match self.reader_period_ms {
            Some(period) => {
                let (half, longer) = (period / 2.0, number(self.passed_by_percent));
                writeln!(
                    f,
                    "  the reader's period is {period:.2} ms: a wait is {half:.1} ms at best, on average; {longer} % waited a whole period"
                )
            }
            None => writeln!(f, "  the camera file's reads could not be watched: wait and browser are not told apart"),
        }
    }

    fn write_conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = &self.cpu_percent;
        let crosspoint = number(cpu.crosspoint);
        writeln!(f, "\nprocessor, % of one: crosspoint {crosspoint}, generator {:.1}, browser {:.1}", cpu.generator, cpu.browser)?;
        let bound = self.clock_bound_ms.map_or_else(|| "unknown".to_owned(), |bound| format!("{bound:.3} ms"));
        writeln!(f, "clock: CLOCK_MONOTONIC; error of the page's times at most {bound} ({} round trips)", self.clock_round_trips)?;
        let late = self.parts_ms.due_to_sent.map_or_else(|| "–".to_owned(), |late| format!("{:.1} ms (p99)", late.p99));
        writeln!(f, "generator: frames left {late} after they were due; parts count from when they left")?;
        writeln!(
            f,
            "“of all frames” counts from when each was due, seen or not: one that was not is as old as the one seen instead, or the end"
        )
    }

    fn write_limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::distribution::Summary;

    pub(in super::super) fn report() -> Report {
        let summary = Summary { count: 570, mean: 21.5, p50: 20.0, p90: 33.0, p95: 36.0, p99: 38.0, max: 51.25 };
        let frames = Seen { sent: 600, seen: 594, percent: 99.0, again: 3, out_of_order: 0, torn: 2, unreadable: 1, period_ms: Some(33.3) };
        Report {
            machine: Machine {
                processor: "EPYC".into(),
                cores: 2,
                kernel: "6.18".into(),
                load_before: 0.5,
                browser: "Chromium 156".into(),
            },
            clip: ClipReport {
                source: Source::Socket,
                codec: "H.264".into(),
                width: 1280,
                height: 720,
                frame_rate: 30,
                bitrate_bps: 2.4e6,
                seconds: 20,
                jitter_ms: 4.0,
                phase: "sweep",
                encoding_ms: None,
            },
            in_page: Some(ViewReport { frames, torn_percent: 0.3, ages: [20.0, 30.0].into_iter().collect(), over_time: vec![(0.0, 20.0)] }),
            visible: None,
            parts_ms: Parts {
                due_to_sent: Some(summary),
                wait: Some(summary),
                sent_to_page: Some(summary),
                due_to_page: Some(summary),
                ..Parts::default()
            },
            server: ServerReport { p50_ms: Some(1.5), p99_ms: Some(3.25), stats: Value::Null },
            reader_period_ms: Some(33.34),
            passed_by_percent: Some(4.0),
            clock_bound_ms: Some(0.0625),
            clock_round_trips: 190,
            cpu_percent: Cpu { crosspoint: None, generator: 1.0, browser: 60.0 },
            track: None,
            limits: vec![Limit { name: "--max-p50-ms", limit: 40.0, measured: Some(20.0), held: true }],
        }
    }

    #[test]
    fn table_has_a_row_for_what_was_measured_and_a_dash_for_what_was_not() {
        let table = report().to_string();
        let row =
            |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>();
        assert_eq!(row("in page")[2..], ["600", "594", "99.0", "3", "0", "2", "1"]);
        assert_eq!(row("router, by its own count")[5..], ["1.5", "–", "–", "3.2", "–", "–"]);
        assert_eq!(row("wait for")[5..], ["20.0", "33.0", "36.0", "38.0", "51.2", "21.5"]);
        assert_eq!(row("browser: in page to visible")[5..], ["–"; 6]);
        assert_eq!(row("visible")[1..], ["–"; 6]);
        assert!(table.contains("33.34 ms: a wait is 16.7 ms at best, on average; 4.0 % waited"), "{table}");
        assert!(table.contains("crosspoint –, generator 1.0") && table.contains("at most 0.062 ms"), "{table}");
        assert!(table.ends_with("held: --max-p50-ms 40 (measured 20.0)\n"), "{table}");
    }

    #[test]
    fn what_a_browser_sent_counts_from_its_canvas() {
        let mut report = report();
        (report.clip.source, report.clip.encoding_ms, report.parts_ms.sent_to_read) =
            (Source::Whip, Some(7.5), report.parts_ms.wait.take());
        let table = report.to_string();
        let row =
            |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>();
        assert_eq!(row("… of which encoding")[5..], ["–", "–", "–", "–", "–", "7.5"]);
        assert_eq!(row("canvas to read")[5..], ["20.0", "33.0", "36.0", "38.0", "51.2", "21.5"]);
        assert!(table.contains("by WHIP 1280x720") && table.contains("drawn on the canvas to"), "{table}");
    }

    #[test]
    fn one_broken_limit_breaks_the_run() {
        let mut report = report();
        assert!(report.held());
        report.limits.push(Limit { name: "--max-p99-ms", limit: 30.0, measured: Some(38.0), held: false });
        assert!(!report.held());
        assert!(report.to_string().contains("BROKEN: --max-p99-ms 30"));
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["parts_ms"]["sent_to_page"]["p99"], 38.0);
        assert_eq!(json["server"]["p99_ms"], 3.25);
        assert_eq!(json["visible"], Value::Null);
        assert_eq!(json["limits"][0]["held"], true);
    }
}
