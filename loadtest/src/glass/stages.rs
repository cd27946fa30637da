//! What the router says of its own part of the way.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::client::Endpoint;

/// What a stage of the router took for a picture, on average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Stages {
    /// Reading the display.
    pub(super) read: f64,
    /// Converting what changed.
    pub(super) convert: f64,
    /// Encoding.
    pub(super) encode: f64,
}

/// Its counters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counters {
    seconds: [f64; 3],
    captures: f64,
    pictures: f64,
}

impl Counters {
    /// Asks for them.
    ///
    /// # Errors
    /// When there is no answer, or one without them.
    pub(super) async fn ask(endpoint: &Endpoint) -> Result<Self> {
        Self::parse(&endpoint.text("/metrics").await?).context("the router's metrics")
    }

    fn parse(metrics: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix("crosspoint_")?.strip_prefix(name)?.strip_prefix(' '))?;
            line.parse().ok()
        };
        let stage = |stage: &str| value(&format!("screen_stage_seconds_total{{stage=\"{stage}\"}}"));
        Some(Self {
            seconds: [stage("read")?, stage("convert")?, value("screen_encode_seconds_sum")?],
            captures: value("screen_captures_total")?,
            pictures: value("screen_pictures_total{codec=\"h264\"}")?,
        })
    }

    /// What a picture took since `before`, in milliseconds; nothing without pictures.
    pub(super) fn since(&self, before: &Self) -> Option<Stages> {
        let [read, convert, encode] = [0, 1, 2].map(|nth| (self.seconds[nth] - before.seconds[nth]) * 1e3);
        let (captures, pictures) = (self.captures - before.captures, self.pictures - before.pictures);
        (captures > 0.0 && pictures > 0.0).then(|| Stages { read: read / captures, convert: convert / captures, encode: encode / pictures })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_means_of_what_came_between() {
        let page = |seconds: f64, count: u32| {
            format!(
                "# HELP crosspoint_screen_captures_total x\ncrosspoint_screen_captures_total {count}\n\
                 crosspoint_screen_pictures_total{{codec=\"h264\"}} {count}\n\
                 crosspoint_screen_stage_seconds_total{{stage=\"read\"}} {seconds}\n\
                 crosspoint_screen_stage_seconds_total{{stage=\"convert\"}} 0.5\n\
                 crosspoint_screen_encode_seconds_sum 1\n"
            )
        };
        let [before, after] = [(0.25, 10), (0.5, 60)].map(|(seconds, count)| Counters::parse(&page(seconds, count)).unwrap());
        assert_eq!(after.since(&before), Some(Stages { read: 5.0, convert: 0.0, encode: 0.0 }));
        assert_eq!(before.since(&before), None);
        assert_eq!(Counters::parse("crosspoint_screen_captures_total 1\n"), None);
    }
}
