//! What a run found, for people and for machines.

use std::fmt;

use serde::Serialize;

use super::ages::{Ages, BufferAges};
use super::sound::Heard;
use super::stages::Stages;
use crate::distribution::Distribution;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::plot::{Chart, Draw};
use crate::report::{PERCENTILES, number, percentiles, write_row};
use crate::sight::Seen;
use crate::usage::Cpu;

/// The report of one run. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What was measured on.
    pub(super) machine: Machine,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frame_rate: u32,
    pub(super) seconds: u32,
    /// The sound beside the pictures, if there was any.
    pub(super) sound: Option<Heard>,
    /// The pictures that were shown.
    pub(super) pictures: Seen,
    /// Those torn or unreadable, of all looked at.
    pub(super) torn_percent: f64,
    /// How old they were at the end, and where the time went.
    pub(super) ages_ms: Ages,
    /// What the router's stages took, on average.
    pub(super) router_ms: Option<Stages>,
    /// What the browser held back.
    pub(super) buffers_ms: BufferAges,
    /// From when ICE had a way, of a page that had just been opened, to its first picture.
    pub(super) begun_ms: Option<f64>,
    /// The largest error of a time in the browser.
    pub(super) clock_bound_ms: Option<f64>,
    /// The questions that this rests on.
    pub(super) clock_round_trips: usize,
    /// Processor time while pictures were drawn.
    pub(super) cpu_percent: Cpu,
    /// From due to shown, of all; and of those shown, at the second that each was drawn.
    #[serde(skip)]
    pub(super) ages: Distribution,
    #[serde(skip)]
    pub(super) over_time: Vec<(f64, f64)>,
    /// The limits given.
    pub(super) limits: Vec<Limit>,
}

impl Report {
    /// Whether all limits held.
    pub(super) fn held(&self) -> bool {
        self.limits.iter().all(|limit| limit.held)
    }

    /// Gives `row` the means of what lies between captured and received.
    fn router(&self, mut row: impl FnMut(&str, Option<f64>) -> fmt::Result) -> fmt::Result {
        let stages = self.router_ms;
        row("… of which reading", stages.map(|stages| stages.read))?;
        row("… converting", stages.map(|stages| stages.convert))?;
        row("… encoding", stages.map(|stages| stages.encode))?;
        let rest = stages.zip(self.ages_ms.captured_to_received);
        row("… sending, receiving", rest.map(|(Stages { read, convert, encode }, whole)| whole.mean - read - convert - encode))
    }
}

impl Draw for Report {
    fn charts(&self) -> Vec<Chart> {
        let ages = Chart::histogram("Due to shown, of all pictures", "ms", &self.ages);
        let over_time = Chart::line("Drawn to shown, of those shown", "seconds", "ms", self.over_time.clone());
        let sound = self.sound.as_ref().and_then(|sound| Chart::histogram("Due to heard, of all pulses", "ms", &sound.ages));
        ages.into_iter().chain(over_time).chain(sound).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Machine { processor, cores, kernel, load_before, browser }, seen) = (&self.machine, &self.pictures);
        let Self { width, height, frame_rate, seconds, .. } = self;
        let with = if self.sound.is_some() { "with sound" } else { "pictures alone" };
        writeln!(f, "screen {width}x{height}, drawn {frame_rate} times a second for {seconds} s, {with}")?;
        writeln!(f, "{processor}, {cores} cores, Linux {kernel}, load {load_before} before the run; {browser}")?;
        writeln!(
            f,
            "\ndrawn {}, shown {} ({:.1} %), again {}, out of order {}, torn {}, unreadable {}",
            seen.sent, seen.seen, seen.percent, seen.again, seen.out_of_order, seen.torn, seen.unreadable
        )?;
        let ages = &self.ages_ms;
        write_row(f, "\ndrawn to …, ms", PERCENTILES.map(str::to_owned))?;
        write_row(f, "received", percentiles(ages.drawn_to_received))?;
        write_row(f, "shown", percentiles(ages.drawn_to_shown))?;
        write_row(f, "due to shown, of all", percentiles(ages.due_to_shown))?;
        if let Some(sound) = &self.sound {
            let Heard { played, heard, percent, .. } = sound;
            writeln!(f, "\npulses played {played}, heard {heard} ({percent:.1} %)")?;
            write_row(f, "\nsound, played to …, ms", PERCENTILES.map(str::to_owned))?;
            write_row(f, "decoded by a viewer", percentiles(sound.played_to_heard))?;
            write_row(f, "… of which at the player", percentiles(sound.waits))?;
            write_row(f, "due to decoded, of all", percentiles(sound.due_to_heard))?;
        }
        write_row(f, "\nwhere the time goes, ms", PERCENTILES.map(str::to_owned))?;
        write_row(f, "X server, wait for capture", percentiles(ages.drawn_to_captured))?;
        write_row(f, "convert, encode, send", percentiles(ages.captured_to_received))?;
        let mean = |name: &str, value: Option<f64>| write_row(&mut *f, name, ["", "", "", "", "", &number(value)].map(str::to_owned));
        self.router(mean)?;
        write_row(f, "wait for its turn, decode", percentiles(ages.received_to_presented))?;
        write_row(f, "… of which decoding", percentiles(ages.decoding))?;
        write_row(f, "compositor to callback", percentiles(ages.presented_to_shown))?;
        let buffers = &self.buffers_ms;
        write_row(f, "\nheld by the browser, ms", PERCENTILES.map(str::to_owned))?;
        write_row(f, "pictures, with decoding", percentiles(buffers.picture))?;
        if self.sound.is_some() {
            write_row(f, "sound", percentiles(buffers.sound))?;
            write_row(f, "picture ahead of sound", percentiles(buffers.ahead))?;
        }
        let Cpu { crosspoint, generator, browser } = &self.cpu_percent;
        writeln!(f, "\nprocessor, % of one: crosspoint {}, painter {generator:.1}, browser {browser:.1}", number(*crosspoint))?;
        writeln!(f, "first picture: {} ms after ICE had a way", number(self.begun_ms))?;
        let bound = self.clock_bound_ms.map_or_else(|| "unknown".to_owned(), |bound| format!("{bound:.3} ms"));
        writeln!(f, "clock: CLOCK_MONOTONIC; error of the page's times at most {bound} ({} round trips);", self.clock_round_trips)?;
        writeln!(f, "when pictures were captured is told by the wall clock, in whole milliseconds, and may be off by more")?;
        let late = ages.due_to_drawn.map_or_else(|| "–".to_owned(), |late| format!("{:.1} ms (p99)", late.p99));
        writeln!(f, "painter: pictures were drawn {late} after they were due; parts count from when the X server was asked to")?;
        writeln!(
            f,
            "“of all” counts from when each was due, shown or not: one that was not is as old as the one shown instead, or the end"
        )?;
        self.limits.iter().try_for_each(|limit| writeln!(f, "{limit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::Summary;

    fn report(limits: Vec<Limit>) -> Report {
        let summary = Summary { count: 590, mean: 31.5, p50: 30.0, p90: 42.0, p95: 45.0, p99: 58.0, max: 71.25 };
        Report {
            machine: Machine {
                processor: "EPYC".into(),
                cores: 2,
                kernel: "6.18".into(),
                load_before: 0.5,
                browser: "Chromium 156".into(),
            },
            width: 1280,
            height: 720,
            frame_rate: 30,
            seconds: 20,
            sound: Some(Heard { played: 100, heard: 99, percent: 99.0, due_to_heard: Some(summary), ..Heard::default() }),
            pictures: Seen {
                sent: 600,
                seen: 590,
                percent: 98.3,
                again: 3,
                out_of_order: 0,
                torn: 2,
                unreadable: 1,
                period_ms: Some(33.3),
            },
            torn_percent: 0.5,
            ages_ms: Ages { drawn_to_shown: Some(summary), due_to_shown: Some(summary), due_to_drawn: Some(summary), ..Ages::default() },
            router_ms: Some(Stages { read: 0.5, convert: 0.25, encode: 4.0 }),
            buffers_ms: BufferAges { ahead: Some(summary), ..BufferAges::default() },
            begun_ms: Some(80.5),
            clock_bound_ms: Some(0.0625),
            clock_round_trips: 190,
            cpu_percent: Cpu { crosspoint: Some(20.0), generator: 1.0, browser: 60.0 },
            ages: [30.0, 45.0].into_iter().collect(),
            over_time: vec![(0.0, 30.0), (0.1, 45.0)],
            limits,
        }
    }

    #[test]
    fn table_has_a_row_for_what_was_measured_and_a_dash_for_what_was_not() {
        let table = report(Vec::new()).to_string();
        let row =
            |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default().split_ascii_whitespace().collect::<Vec<_>>();
        assert_eq!(row("shown")[1..], ["30.0", "42.0", "45.0", "58.0", "71.2", "31.5"]);
        assert_eq!(row("due to shown")[5..], ["30.0", "42.0", "45.0", "58.0", "71.2", "31.5"]);
        assert_eq!(row("received")[1..], ["–"; 6]);
        assert_eq!((row("… converting"), row("… sending")), (vec!["…", "converting", "0.2"], vec!["…", "sending,", "receiving", "–"]));
        assert_eq!((row("picture ahead")[4..].len(), row("pictures, with")[3..].len()), (6, 6));
        assert_eq!(row("due to decoded")[5..], ["30.0", "42.0", "45.0", "58.0", "71.2", "31.5"]);
        assert_eq!(row("decoded by a viewer")[4..], ["–"; 6]);
        assert!(table.contains("pulses played 100, heard 99 (99.0 %)"), "{table}");
        assert!(table.starts_with("screen 1280x720, drawn 30 times a second for 20 s, with sound\n"), "{table}");
        assert!(table.contains("first picture: 80.5 ms after ICE had a way"), "{table}");
        assert!(table.contains("drawn 600, shown 590 (98.3 %), again 3, out of order 0, torn 2, unreadable 1"), "{table}");
        assert!(table.contains("at most 0.062 ms (190 round trips)") && table.contains("drawn 58.0 ms (p99) after"), "{table}");
    }

    #[test]
    fn one_broken_limit_breaks_the_run() {
        let limit = |name, held| Limit { name, limit: 60.0, measured: Some(45.0), held };
        assert!(report(vec![limit("--max-p50-ms", true)]).held());
        let broken = report(vec![limit("--max-p50-ms", true), limit("--max-p95-ms", false)]);
        assert!(!broken.held() && broken.to_string().ends_with("BROKEN: --max-p95-ms 60 (measured 45.0)\n"));
    }

    #[test]
    fn json_names_its_units() {
        let json = serde_json::to_value(report(Vec::new())).unwrap();
        assert_eq!(json["ages_ms"]["drawn_to_shown"]["p95"], 45.0);
        assert_eq!(json["sound"]["due_to_heard"]["p99"], 58.0);
        assert_eq!(json["clock_bound_ms"], 0.0625);
    }
}
