//! Processor time, the router's apart from the browser's and our own.

use serde::Serialize;

use crate::chromium::Chromium;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::process::own_cpu_ms;

/// Percent of one processor.
#[derive(Debug, Serialize)]
pub(crate) struct Cpu {
    /// Nothing for a router that was not started here.
    pub(crate) crosspoint: Option<f64>,
    pub(crate) generator: f64,
    pub(crate) browser: f64,
}

/// Processor time used so far, in milliseconds.
pub(crate) struct Usage {
    crosspoint: Option<f64>,
    generator: f64,
    browser: f64,
    at_ms: f64,
}

impl Usage {
    /// Looks at the processes now.
    pub(crate) fn of(crosspoint: &Crosspoint, chromium: &Chromium, clock: Clock) -> Self {
        Self { crosspoint: crosspoint.cpu_ms(), generator: own_cpu_ms(), browser: chromium.cpu_ms(), at_ms: clock.now_ms() }
    }

    /// The same with what else made load, in milliseconds.
    pub(crate) fn with_load(self, ms: f64) -> Self {
        Self { generator: self.generator + ms, ..self }
    }

    /// The mean use since `before`.
    pub(crate) fn since(&self, before: &Self) -> Cpu {
        let percent = |used: f64| used * 100.0 / (self.at_ms - before.at_ms);
        Cpu {
            crosspoint: self.crosspoint.zip(before.crosspoint).map(|(now, then)| percent(now - then)),
            generator: percent(self.generator - before.generator),
            browser: percent(self.browser - before.browser),
        }
    }
}
