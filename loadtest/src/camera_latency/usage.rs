//! Processor time, the router's apart from the browser's and our own.

use super::report::Cpu;
use crate::chromium::Chromium;
use crate::clock::Clock;
use crate::crosspoint::Crosspoint;
use crate::process::own_cpu_ms;

/// Processor time used so far, in milliseconds.
pub(super) struct Usage {
    crosspoint: Option<f64>,
    generator: f64,
    browser: f64,
    at_ms: f64,
}

impl Usage {
    /// Looks at the processes now.
    pub(super) fn of(crosspoint: &Crosspoint, chromium: &Chromium, clock: Clock) -> Self {
        Self { crosspoint: crosspoint.cpu_ms(), generator: own_cpu_ms(), browser: chromium.cpu_ms(), at_ms: clock.now_ms() }
    }

    /// The mean use since `before`.
    pub(super) fn since(&self, before: &Self) -> Cpu {
        let percent = |used: f64| used * 100.0 / (self.at_ms - before.at_ms);
        Cpu {
            crosspoint: self.crosspoint.zip(before.crosspoint).map(|(now, then)| percent(now - then)),
            generator: percent(self.generator - before.generator),
            browser: percent(self.browser - before.browser),
        }
    }
}
