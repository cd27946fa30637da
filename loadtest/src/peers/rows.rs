//! Which measurement answers which question, and what was aimed at.

use serde_json::Value;

use super::table::{Row, Series};
use crate::cli::{Group, Peers};

/// A command that measures something and says it as JSON.
pub(super) struct Measurement {
    pub(super) group: Group,
    /// The words behind our own name, or a whole command.
    pub(super) words: Vec<String>,
    pub(super) is_script: bool,
    /// Takes the answer apart.
    pub(super) rows: fn(&Value) -> Vec<Row>,
}

/// What is run for all rows, in the table's order.
pub(super) fn measurements(options: &Peers) -> Vec<Measurement> {
    let ours =
        |group, words: &str, rows| Measurement { group, words: words.split(' ').map(str::to_owned).collect(), is_script: false, rows };
    let Peers { rounds, seconds, viewers, .. } = options;
    let pin = if options.pin { " --pin" } else { "" };
    let turns = format!("--json --rounds {rounds} --seconds {seconds}");
    let folder = options.peers_folder.display();
    // Starting and settling take a screen longer than looking at it.
    let (screen_rounds, long) = (rounds.div_ceil(2), seconds * 3);
    let only = ["still", "caret", "scrolling", "motion"].map(|case| format!(" --only {case}")).concat();
    let script = format!("{PYTHON} {SCREEN} --json --rounds {screen_rounds} --seconds {seconds}{only}");
    vec![
        ours(Group::Webrtc, &format!("fanout-rtc --peers {turns} --viewers {viewers} --peers-folder {folder}{pin}"), webrtc),
        ours(Group::Fanout, &format!("fanout --peers --rtmp {turns} --viewers {viewers} --peers-folder {folder}{pin}"), fanout),
        Measurement { is_script: true, ..ours(Group::Screen, &script, screen) },
        ours(Group::Camera, &format!("ingest --peers --webrtc {turns} --peers-folder {folder}"), ingest),
        ours(Group::Camera, &format!("camera-latency --json --visible page --seconds {long}"), camera_latency),
        ours(Group::Camera, &format!("camera-latency --json --source whip --visible page --seconds {long}"), whip),
        ours(Group::Glass, &format!("glass --json --seconds {long}"), glass),
        ours(Group::Glass, &format!("glass --json --sound --seconds {long}"), glass_with_sound),
        ours(Group::Memory, &format!("idle --peers --json --peers-folder {folder}"), idle),
    ]
}

fn webrtc(answer: &Value) -> Vec<Row> {
    let all = |part: fn(&Value) -> Option<f64>| named(&answer["rows"], "costs", &|cost| part(cost));
    let part = |figure: fn(&Value) -> Option<f64>| all(figure).into_iter().filter(|series| series.name != ESTIMATED).collect();
    let estimated = all(|cost| cost["us"].as_f64()).into_iter().filter(|series| series.name != OURS).map(|series| match series {
        Series { name, rounds } if name == ESTIMATED => Series { name: OURS.to_owned(), rounds },
        peer => peer,
    });
    let mut rows = vec![
        row("WebRTC fan-out, processor time for a packet sent", "µs", part(|cost| cost["us"].as_f64()), "1.0", Some(3.5)),
        row("… with the ways of our viewers estimated", "µs", estimated.collect(), "", None),
        row("WebRTC memory for a viewer", "kB", part(|cost| cost["kb"].as_f64()), "50", Some(150.0)),
    ];
    // What a viewer of this picture takes, and so how many fit into a processor.
    let percent = named(&answer["rows"], "costs", &|cost| {
        Some(cost["us"].as_f64()? * cost["packets_per_second"].as_f64()? / cost["viewers"].as_f64()? / 1e4)
    });
    let percent = percent.into_iter().filter(|series| series.name != ESTIMATED).collect();
    rows.push(row("WebRTC viewer of 720p30 at 3 Mb/s", "% of a core", percent, "0.03", Some(0.11)));
    rows
}

fn fanout(answer: &Value) -> Vec<Row> {
    let all = named(&answer["rows"], "costs", &Value::as_f64);
    let of = |kind: &str| -> Vec<Series> {
        let of_kind = all.iter().filter_map(|series| Some(Series { name: series.name.strip_suffix(kind)?.to_owned(), ..series.clone() }));
        best_of_ours(of_kind.collect())
    };
    vec![
        row("WebSocket fan-out, for a frame and viewer", "µs", of(", websocket"), "10.1", Some(9.5)),
        row("RTMP fan-out, for a frame and viewer", "µs", of(", rtmp"), "10.1", Some(10.5)),
    ]
}

fn screen(answer: &Value) -> Vec<Row> {
    let case = |name: &str, figure: &str| -> Vec<Series> {
        let who = answer[name].as_object().into_iter().flatten();
        who.map(|(name, figures)| Series { name: name.clone(), rounds: numbers(&figures[figure]) }).collect()
    };
    let cpu = |name| case(name, "percent");
    // More is better: it has no aim, and its ratio says how much better others are.
    vec![
        row("720p screen that stands still (WebRTC, TS and RTMP viewers of ours)", "% of a core", cpu("still"), "0", Some(0.6)),
        row("… with a caret that blinks at 2 Hz", "% of a core", cpu("caret"), "0.8", Some(1.0)),
        row("… that scrolls at 30 fps, 3 Mb/s", "% of a core", cpu("scrolling"), "12.5", Some(12.0)),
        row("… its bitrate", "Mb/s", case("scrolling", "mbit_per_s"), "", None),
        row("… its PSNR (more is better)", "dB", case("scrolling", "psnr_db"), "", None),
        row("1080p screen in full motion at 30 fps", "% of a core", cpu("motion"), "", None),
    ]
}

fn ingest(answer: &Value) -> Vec<Row> {
    let all = named(&answer["rows"], "percent", &Value::as_f64);
    let webrtc = all.iter().filter_map(|series| Some(Series { name: series.name.strip_suffix(", webrtc")?.to_owned(), ..series.clone() }));
    let webrtc = webrtc.collect();
    let pictures = all.into_iter().filter(|series| !series.name.ends_with(", webrtc")).collect();
    vec![
        row("Ingest of 720p30 H.264 into the camera", "% of a core", pictures, "decoding", None),
        row("… with Opus over WebRTC (peers decode alone)", "% of a core", webrtc, "decoding", None),
    ]
}

fn camera_latency(answer: &Value) -> Vec<Row> {
    let page = &answer["parts_ms"]["sent_to_page"];
    vec![
        row("Last byte in → frame in the camera, p99", "ms", ours(&answer["server"]["p99_ms"]), "one decode", Some(5.0)),
        row("Last byte sent → frame in the page, p50", "ms", ours(&page["p50"]), "", None),
    ]
}

fn whip(answer: &Value) -> Vec<Row> {
    let page = &answer["parts_ms"]["due_to_page"];
    vec![
        row("Canvas of a publishing page → frame in the page by WHIP, p50", "ms", ours(&page["p50"]), "", Some(80.0)),
        row("… p95", "ms", ours(&page["p95"]), "", None),
    ]
}

fn glass(answer: &Value) -> Vec<Row> {
    let shown = &answer["ages_ms"]["due_to_shown"];
    vec![
        row("Screen → picture in Chromium by WebRTC, p50", "ms", ours(&shown["p50"]), "15 to 20", Some(35.0)),
        row("… p95", "ms", ours(&shown["p95"]), "", Some(60.0)),
    ]
}

fn glass_with_sound(answer: &Value) -> Vec<Row> {
    let (shown, heard) = (&answer["ages_ms"]["due_to_shown"], &answer["sound"]["due_to_heard"]);
    vec![
        row("… with sound in the stream, p50", "ms", ours(&shown["p50"]), "", Some(80.0)),
        row("Player → sound decoded by a WebRTC viewer, p50", "ms", ours(&heard["p50"]), "", None),
        row("… p95", "ms", ours(&heard["p95"]), "", None),
    ]
}

/// A figure that ours alone has, once.
fn ours(figure: &Value) -> Vec<Series> {
    vec![Series { name: OURS.to_owned(), rounds: vec![figure.as_f64()] }]
}

fn idle(answer: &Value) -> Vec<Row> {
    let private = named(&answer["rows"], "private_mib", &Value::as_f64);
    let resident = named(&answer["rows"], "resident_mib", &Value::as_f64);
    vec![row("Idle memory, private", "MiB", private, "5", Some(12.0)), row("Idle memory, resident", "MiB", resident, "5", None)]
}

/// A row from what all contenders gave, ours the first.
fn row(what: &'static str, unit: &'static str, series: Vec<Series>, floor: &'static str, aim: Option<f64>) -> Row {
    let (ours, peers) = series.into_iter().partition::<Vec<_>, _>(|series| series.name == OURS);
    Row { what, unit, ours: ours.into_iter().next().unwrap_or_default(), peers, floor, aim }
}

/// The series of rows with a name, of what `part` finds in each round.
fn named(rows: &Value, rounds: &str, part: &dyn Fn(&Value) -> Option<f64>) -> Vec<Series> {
    let series = |row: &Value| {
        let rounds = row[rounds].as_array()?.iter().map(part).collect();
        Some(Series { name: row["name"].as_str()?.to_owned(), rounds })
    };
    rows.as_array().into_iter().flatten().filter_map(series).collect()
}

/// Ours runs on two runtimes: the better one counts, as our own choice of it should have been.
fn best_of_ours(series: Vec<Series>) -> Vec<Series> {
    let (ours, others) = series.into_iter().partition::<Vec<_>, _>(|series| series.name.starts_with(OURS));
    let median = |series: &Series| series.spread().map_or(f64::INFINITY, |spread| spread.median);
    let best = ours.into_iter().min_by(|one, other| median(one).total_cmp(&median(other)));
    best.map(|best| Series { name: OURS.to_owned(), ..best }).into_iter().chain(others).collect()
}

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().into_iter().flatten().map(Value::as_f64).collect()
}

const OURS: &str = "crosspoint";
const ESTIMATED: &str = "crosspoint, ways estimated";
/// The tests' own: it starts a display, a sound server and every kind of viewer.
const SCREEN: &str = "server/e2e/screen_cpu.py";
const PYTHON: &str = ".venv/bin/python";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn better_runtime_of_ours_is_laid_beside_others() {
        let answer = json!({"rows": [
            {"name": "crosspoint epoll, websocket", "costs": [8.0, null]},
            {"name": "crosspoint uring, websocket", "costs": [6.0, 7.0]},
            {"name": "npm ws, websocket", "costs": [12.0, 14.0]},
            {"name": "crosspoint epoll, rtmp", "costs": [9.0, 9.0]},
        ]});
        let [websocket, rtmp] = &fanout(&answer)[..] else { panic!("two rows") };
        assert_eq!(websocket.ours.rounds, [Some(6.0), Some(7.0)]);
        assert_eq!(websocket.peers, [Series { name: "npm ws".into(), rounds: vec![Some(12.0), Some(14.0)] }]);
        assert_eq!((rtmp.ours.rounds.len(), rtmp.peers.len()), (2, 0));
    }

    #[test]
    fn publishers_over_webrtc_have_a_row_of_their_own() {
        let figures = |name: &str, percent: f64| json!({"name": name, "percent": [percent]});
        let rows = [figures("crosspoint", 7.0), figures("pixelflux virtual camera", 9.0), figures("crosspoint, webrtc", 8.0)];
        let [pictures, webrtc] = &ingest(&json!({"rows": [rows[0], rows[1], rows[2], figures("aiortc, webrtc", 16.0)]}))[..] else {
            panic!("two rows")
        };
        assert_eq!(
            (pictures.ours.rounds[0], pictures.peers[0].name.as_str(), pictures.peers.len()),
            (Some(7.0), "pixelflux virtual camera", 1)
        );
        assert_eq!((webrtc.ours.rounds[0], webrtc.peers[0].name.as_str(), webrtc.peers.len()), (Some(8.0), "aiortc", 1));
    }

    #[test]
    fn viewers_of_webrtc_share_a_core() {
        let cost = json!({"viewers": 200, "us": 5.0, "kb": 150.0, "packets_per_second": 64_000.0});
        let rows = webrtc(&json!({"rows": [{"name": "crosspoint", "costs": [cost]}, {"name": "janus", "costs": [null]}]}));
        // 320 packets a second at 5 µs.
        assert_eq!(rows[3].ours.rounds, [Some(0.16)]);
        assert_eq!(rows[0].peers, [Series { name: "janus".into(), rounds: vec![None] }]);
    }

    #[test]
    fn answer_without_figures_leaves_rows_without_any() {
        for rows in [webrtc, fanout, screen, ingest, camera_latency, whip, glass, glass_with_sound, idle] {
            for row in rows(&json!({})) {
                assert_eq!(row.ours.spread(), None, "{}", row.what);
            }
        }
    }
}
