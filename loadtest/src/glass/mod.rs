//! How old the screen is when a viewer over WebRTC shows it.
//!
//! ```text
//! painter ─X11▶ Xvfb ─▶ crosspoint ─WebRTC▶ Chromium, <video>
//!    │drawn_ms                                 │numbers and times
//!    └──────────────────▶ ages ◀───────────────┘
//!
//! pacat ─▶ PulseAudio ─▶ crosspoint ─WebRTC▶ a peer on str0m, which decodes
//!    │played_ms                                │pulses and times
//!    └──────────────────▶ ages ◀───────────────┘
//! ```

mod ages;
pub(crate) mod painter;
mod report;
mod sound;
mod stages;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use self::ages::{Ages, BufferAges};
use self::painter::Painter;
use self::report::Report;
use self::sound::{Heard, Listener, Player};
use self::stages::Counters;
use crate::chromium::Chromium;
use crate::cli::Glass;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::display::Display;
use crate::distribution::Summary;
use crate::limit::Limit;
use crate::machine::Machine;
use crate::page::{Page, Scripts};
use crate::progress::Progress;
use crate::publish::Sent;
use crate::report::note;
use crate::scratch;
use crate::sight::{Seen, Sight};
use crate::sound::Sound;
use crate::usage::Usage;

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &Glass) -> Result<bool> {
    let report = measure(options).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

async fn measure(options: &Glass) -> Result<Report> {
    let machine = Machine::look(&options.chromium);
    let format = options.format;
    let clock = Clock::start();
    let display = Display::start((format.width(), format.height()), None).await?;
    let painter = Painter::connect(display.name())?;
    let page = Page::serve(SCRIPTS, clock).await?;
    let sound = if options.sound { Some(Sound::start(true).await?) } else { None };
    let address = sound.as_ref().map(Sound::address);
    let mut crosspoint = Crosspoint::of_display(&options.common.crosspoint, display.name(), address, page.origin()).await?;
    let stream = json!({"mode": "webrtc", "id": STREAM, "framerate": format.frame_rate()});
    crosspoint.endpoint.post("/stream/start", Some(&stream)).await?;
    let whep = format!("/whep/{STREAM}");
    let mut sounds = match address {
        Some(address) => {
            let player = Player::start(address, clock)?;
            Some((player, Listener::join(&crosspoint.endpoint, &whep, clock).await?))
        }
        None => None,
    };
    note("opening the page");
    let wanted = json!({"whep": crosspoint.endpoint.url(&whep), "sound": options.sound});
    let folder = scratch::folder(&std::env::temp_dir())?;
    let mut chromium = Chromium::start(&options.chromium, folder, None, &page.url(&wanted))?;
    let live = page.wait("the stream in the page", OPEN, |account| account.opened.is_some() && account.video.is_live()).await;
    // What ended says more than what did not come.
    chromium.check()?;
    crosspoint.check()?;
    live?;

    note("drawing");
    page.account().buffers.clear();
    let counted = Counters::ask(&crosspoint.endpoint).await?;
    let before = Usage::of(&crosspoint, &chromium, clock);
    let progress = Progress::over("drawing", options.seconds + WARM_UP_SECONDS);
    let drawn = draw(painter, options, clock).await?;
    drop(progress);
    let last = u32::try_from(drawn.len()).context("counting pictures")? - 1;
    // The last picture may be one that is never seen.
    let _ = page.wait("the last picture", LAST_PICTURE, |account| account.video.newest() == Some(last)).await;
    let end_ms = clock.now_ms();
    let cpu_percent = Usage::of(&crosspoint, &chromium, clock).since(&before);
    let router_ms = Counters::ask(&crosspoint.endpoint).await?.since(&counted);
    crosspoint.check()?;
    chromium.check()?;
    let warm_up = warm_up(options);
    let counted_ms = [drawn[warm_up].due_ms, end_ms];
    let sound = sounds.take().map(|(player, listener)| hear(player, &listener, counted_ms)).transpose()?;
    let account = page.account();
    ensure!(account.failed.is_none(), "the page: {}", account.failed.as_deref().unwrap_or_default());
    let sight = Sight::of(&account.video.ours(), drawn.len(), warm_up);
    let all_ms = sight.ages_ms(&drawn, warm_up, end_ms);
    let ages = Ages::of(&drawn, &sight, warm_up, &all_ms);
    let (limits, over_time) = (limits(options, &ages, &sight.seen, sound.as_ref()), sight.over_time(&drawn, warm_up));
    Ok(Report {
        machine,
        width: format.width(),
        height: format.height(),
        frame_rate: format.frame_rate(),
        seconds: options.seconds,
        sound,
        torn_percent: sight.torn_percent(),
        pictures: sight.seen,
        ages_ms: ages,
        router_ms,
        buffers_ms: BufferAges::of(&account.buffers),
        begun_ms: account.begun_ms,
        clock_bound_ms: account.video.clock.bound_ms(),
        clock_round_trips: account.video.clock.round_trips(),
        cpu_percent,
        ages: all_ms,
        over_time,
        limits,
    })
}

/// What was heard of what counts.
fn hear(player: Player, listener: &Listener, [start_ms, end_ms]: [f64; 2]) -> Result<Heard> {
    listener.check()?;
    let (played, waits) = player.finish()?;
    Ok(Heard::of(played, &waits, &listener.ear(), start_ms, end_ms))
}

fn limits(given: &Glass, ages: &Ages, seen: &Seen, sound: Option<&Heard>) -> Vec<Limit> {
    let sound_age = |part: fn(Summary) -> f64| sound.and_then(|sound| sound.due_to_heard).map(part);
    let age = |part: fn(Summary) -> f64| ages.due_to_shown.map(part);
    let limits = [
        Limit::most("--max-p50-ms", given.max_p50_ms, age(|age| age.p50)),
        Limit::most("--max-p95-ms", given.max_p95_ms, age(|age| age.p95)),
        Limit::most("--max-p99-ms", given.max_p99_ms, age(|age| age.p99)),
        Limit::least("--min-shown-percent", given.min_shown_percent, Some(seen.percent)),
        Limit::most("--max-sound-p50-ms", given.max_sound_p50_ms, sound_age(|age| age.p50)),
        Limit::most("--max-sound-p95-ms", given.max_sound_p95_ms, sound_age(|age| age.p95)),
    ];
    limits.into_iter().flatten().collect()
}

/// Draws a picture a period; says when each was drawn.
async fn draw(mut painter: Painter, options: &Glass, clock: Clock) -> Result<Vec<Sent>> {
    let rate = options.format.frame_rate();
    let counted = options.seconds * rate;
    let period = Duration::from_secs(1) / rate;
    // It slips by a period over the run against whoever looks at the display at the same rate, so that every phase counts alike.
    let period = period + period / counted;
    let pictures = warm_up(options) as u32 + counted;
    // The painter waits for the X server, and answers about the clock must not wait for it.
    let drawing = tokio::task::spawn_blocking(move || {
        let (start, start_ms) = (Instant::now(), clock.now_ms());
        let mut drawn = Vec::new();
        for number in 0..pictures {
            let due = period * number;
            thread::sleep((start + due).saturating_duration_since(Instant::now()));
            let at_ms = clock.now_ms();
            painter.draw(number)?;
            drawn.push(Sent { due_ms: start_ms + due.as_secs_f64() * 1e3, at_ms });
        }
        Ok(drawn)
    });
    drawing.await.context("drawing")?
}

/// The pictures drawn before those that count.
fn warm_up(options: &Glass) -> usize {
    (options.format.frame_rate() * WARM_UP_SECONDS) as usize
}

const SCRIPTS: Scripts = &[("/page.js", include_str!("page.js"))];
const STREAM: &str = "glass";
/// Drawn before what counts: the encoder, the viewer's buffer and the browser find their pace.
const WARM_UP_SECONDS: u32 = 2;
/// A cold browser on a busy machine.
const OPEN: Duration = Duration::from_secs(60);
/// The slowest picture anybody would call live, and a batch of reports.
const LAST_PICTURE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::distribution::Distribution;
    use crate::page::Sighting;

    #[test]
    fn all_pictures_are_held_to_the_limits_not_those_shown_alone() {
        let drawn: Vec<Sent> = (0..100).map(|nth| f64::from(nth) * 10.0).map(|at_ms| Sent { due_ms: at_ms, at_ms }).collect();
        let sighting = |number: u32| Sighting { top: Some(number), bottom: Some(number), at_ms: f64::from(number) * 10.0 + 5.0, way: None };
        // Nothing for half a second: what is shown is as young as ever.
        let sightings: Vec<Sighting> = (0..100).filter(|number| !(40..90).contains(number)).map(sighting).collect();
        let sight = Sight::of(&sightings, 100, 0);
        let ages = Ages::of(&drawn, &sight, 0, &sight.ages_ms(&drawn, 0, 1_000.0));
        assert_eq!(ages.drawn_to_shown.map(|age| age.max), Some(5.0));
        let limits = |given: &str| {
            let Command::Glass(options) = Cli::command_of(&format!("loadtest glass {given}")) else { panic!("glass was asked for") };
            let ages_heard: Distribution = [60.0, 90.0].into_iter().collect();
            let heard = Heard { due_to_heard: ages_heard.summary(), ..Heard::default() };
            limits(&options, &ages, &sight.seen, options.sound.then_some(&heard))
        };
        let held = limits("--max-p50-ms 20 --max-p95-ms 470 --max-p99-ms 510 --min-shown-percent 50");
        assert_eq!((held.len(), Limit::broken(&held)), (4, Vec::new()));
        assert_eq!(Limit::broken(&limits("--max-p50-ms 4 --max-p95-ms 50 --max-p99-ms 50 --min-shown-percent 51")).len(), 4);
        let held = limits("--sound --max-sound-p50-ms 61 --max-sound-p95-ms 90");
        assert_eq!((held.len(), Limit::broken(&held)), (2, Vec::new()));
        assert_eq!(Limit::broken(&limits("--sound --max-sound-p50-ms 59 --max-sound-p95-ms 89")).len(), 2);
    }
}
