//! What crowds of publishers and viewers run with.

use clap::Args;

use super::{Common, parse_millis, parse_percent};
use crate::view::account::Behaviour;

/// Who watches.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Viewers")]
pub(crate) struct CrowdOptions {
    /// How many by WebSocket, of what is published.
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) websocket: u32,
    /// How many by RTMP, of a display: needs Xvfb and ffplay.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) rtmp: u32,
    /// How many by WebRTC, of the same.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=500))]
    pub(crate) webrtc: u32,
    /// How many of a hundred of each kind read for a second and then no more.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) stall: u32,
    /// How many of a hundred read less than comes (but by WebRTC, where nothing waits for a reader).
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) slow: u32,
    /// How many of a hundred leave after about a second and come again.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) leave: u32,
}

impl CrowdOptions {
    /// Whether anybody watches a display.
    pub(crate) fn needs_display(&self) -> bool {
        self.rtmp + self.webrtc > 0
    }

    /// How the viewer of this number behaves among `count` of its kind.
    pub(crate) fn behaviour(&self, nth: u32, count: u32) -> Behaviour {
        let (stall, slow, leave) = (count * self.stall / 100, count * self.slow / 100, count * self.leave / 100);
        match nth {
            _ if nth < stall => Behaviour::Stall,
            _ if nth < stall + slow => Behaviour::Slow,
            _ if nth < stall + slow + leave => Behaviour::Leave,
            _ => Behaviour::Steady,
        }
    }
}

/// What `publish` runs with.
#[derive(Args, Debug)]
pub(crate) struct Publish {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many by WebSocket.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) websocket: u32,
    /// How many by WebRTC, by an offer to the camera that is configured for it.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) webrtc: u32,
    /// How many by WHIP.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) whip: u32,
    /// How long to send.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub(crate) seconds: u32,
    /// The least share of what is sent that comes to the camera, of every publisher.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) min_shown_percent: Option<f64>,
    /// The most for the 99th percentile from arrival to the camera, of every publisher, by the router's own count.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_server_p99_ms: Option<f64>,
    /// The most for the 99th percentile of due at the publisher to read from the camera, of every publisher, of all pictures.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_age_p99_ms: Option<f64>,
}

/// What `soak` runs with.
#[derive(Args, Debug)]
pub(crate) struct Soak {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long to look.
    #[arg(long, value_name = "MINUTES", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub(crate) minutes: u32,
    /// Who watches.
    #[command(flatten)]
    pub(crate) crowd: CrowdOptions,
    /// The most for the 99th percentile of the ages of pictures, of all that were due to WebSocket viewers who read steadily.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_age_p99_ms: Option<f64>,
    /// The least share of what is published that they get.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) min_pictures_percent: Option<f64>,
    /// The most messages with bytes that nobody sent, of those that WebSocket viewers get who read steadily.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_corrupt_percent: Option<f64>,
    /// The most memory that it may grow by in an hour, by its second half.
    #[arg(long, value_name = "MIB", help_heading = "Limits")]
    pub(crate) max_mib_per_hour: Option<f64>,
    /// The most descriptors more in the last quarter than in the second.
    #[arg(long, value_name = "COUNT", help_heading = "Limits")]
    pub(crate) max_new_descriptors: Option<f64>,
}

/// What `view` runs with.
#[derive(Args, Debug)]
pub(crate) struct View {
    /// Those of all.
    #[command(flatten)]
    pub(crate) common: Common,
    /// How long to look.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=600))]
    pub(crate) seconds: u32,
    /// Who watches.
    #[command(flatten)]
    pub(crate) crowd: CrowdOptions,
    /// Let all that goes to viewers be late.
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = parse_millis, help_heading = "A bad link")]
    pub(crate) delay_ms: f64,
    /// Lose some of the WebSocket messages and the datagrams.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent, help_heading = "A bad link")]
    pub(crate) loss_percent: f64,
    /// Turn a bit over in some of them.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = parse_percent, help_heading = "A bad link")]
    pub(crate) corrupt_percent: f64,
    /// The least share of what is published that WebSocket viewers get who read steadily.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) min_pictures_percent: Option<f64>,
    /// The most for the 99th percentile of their pictures' ages.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_age_p99_ms: Option<f64>,
    /// The most for that of the time from one picture to the next, of all who read steadily.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_gap_p99_ms: Option<f64>,
    /// The most messages with bytes that nobody sent, of those that WebSocket viewers get who read steadily.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_corrupt_percent: Option<f64>,
    /// The most packets that never come to WebRTC viewers who read steadily.
    #[arg(long, value_name = "PERCENT", help_heading = "Limits")]
    pub(crate) max_missing_percent: Option<f64>,
    /// The most for the 95th percentile of the time from connecting to the first picture.
    #[arg(long, value_name = "MS", help_heading = "Limits")]
    pub(crate) max_join_p95_ms: Option<f64>,
}
