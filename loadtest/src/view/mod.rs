//! Viewers of every kind, some of which behave badly, and what each of them got.
//!
//! ```text
//! clip ─▶ publish ─▶ crosspoint ─feed─▶ WebSocket viewers ─┐
//!     a display ─────────┘    └─RTMP, WebRTC▶ players, peers ─┴▶ accounts: pictures, ages, gaps, losses
//!                                  └ a bad link may lie in between
//! ```

pub(crate) mod account;
pub(crate) mod crowd;
mod report;
pub(crate) mod stage;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;

use self::crowd::Crowd;
use self::report::Report;
use self::stage::Stage;
use crate::cli::View;
use crate::fanout::viewer::locally;
use crate::impair::Impairment;
use crate::machine::Machine;
use crate::process::own_cpu_ms;
use crate::progress::Progress;
use crate::report::note;

/// Measures, prints the report, and says whether the limits held.
///
/// # Errors
/// When something that is needed cannot be started, or ends.
pub(crate) async fn run(options: &View) -> Result<bool> {
    let report = locally(measure(options)).await?;
    crate::report::print(&report, &options.common)?;
    Ok(report.held())
}

async fn measure(options: &View) -> Result<Report> {
    let machine = Machine::look("/bin/true".as_ref());
    note("encoding the frames");
    let seconds = options.seconds + WARM_UP_SECONDS;
    let mut stage = Stage::start(&options.common.crosspoint, seconds, options.crowd.needs_display()).await?;
    let publishing = stage.publish();
    note("viewers come in");
    let crowd = Crowd::join(&stage, &options.crowd, options.link()).await?;
    sleep(Duration::from_secs(WARM_UP_SECONDS.into())).await;
    note("watching");
    let (relay_ms, own_ms, start) = (stage.relay.process().threads_cpu_ms()?, own_cpu_ms(), Instant::now());
    let progress = Progress::over("watching", options.seconds);
    publishing.await??;
    stage.schedule.stop(Instant::now());
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    let percent = |ms: f64| ms / 10.0 / seconds;
    let (relay_percent, own_percent) = (percent(stage.relay.process().threads_cpu_ms()? - relay_ms), percent(own_cpu_ms() - own_ms));
    // What is on its way arrives: a link may be as late as it was told to.
    sleep(SETTLE + options.link().delay).await;
    stage.relay.check()?;
    let done = crowd.done();
    let accounts = crowd.accounts(&stage.schedule, Instant::now());
    Ok(Report::new(machine, options, accounts, done, [relay_percent, own_percent]))
}

impl View {
    /// What lies between router and viewers.
    fn link(&self) -> Impairment {
        Impairment {
            delay: Duration::from_secs_f64(self.delay_ms / 1e3),
            loss: self.loss_percent / 1e2,
            corruption: self.corrupt_percent / 1e2,
            stall: None,
        }
    }
}

/// Before what counts: everybody is in and has a picture.
const WARM_UP_SECONDS: u32 = 3;
const SETTLE: Duration = Duration::from_millis(500);
