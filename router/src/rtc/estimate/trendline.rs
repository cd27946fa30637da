//! Whether packets take ever longer: the delay-based half's filter and detector (draft-ietf-rmcat-gcc-02, sections 5.2 to 5.4).

use super::Micros;

/// What the trend says of the queue before the narrowest part of the way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Usage {
    #[default]
    Normal,
    Over,
    Under,
}

/// A line through the delays of the last groups of packets, as libwebrtc draws it in place of the draft's Kalman filter.
///
/// Packets that leave within [`BURST`] are one group. Its delay is that of the packet that took least: what a picture's packets wait for
/// each other, and what one of them alone takes longer, is no queue.
#[derive(Debug)]
pub(super) struct Trendline {
    group: Option<Group>,
    /// That of the first group, to which others are compared; and when it arrived.
    origin: Option<(i64, i64)>,
    smoothed_ms: f64,
    /// When groups arrived, and their smoothed delays, in milliseconds.
    points: [(f64, f64); POINTS],
    groups: usize,
    threshold: f64,
    /// When the threshold was last adapted, by the viewer's clock.
    adapted_ms: Option<f64>,
    over_ms: f64,
    overs: u32,
    before: f64,
    usage: Usage,
}

/// Packets that left together.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: Micros,
    least: i64,
    /// When the packet that took least arrived.
    arrived: i64,
    /// How long after the group before it left.
    apart: Micros,
}

impl Trendline {
    pub(super) fn new() -> Self {
        Self {
            group: None,
            origin: None,
            smoothed_ms: 0.0,
            points: [(0.0, 0.0); POINTS],
            groups: 0,
            threshold: THRESHOLD,
            adapted_ms: None,
            over_ms: 0.0,
            overs: 0,
            before: 0.0,
            usage: Usage::Normal,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes when a packet left and arrived; gives the least delay of the group before, if this is the next one's first.
    pub(super) fn handle_arrival(&mut self, sent: Micros, arrived: i64, delay: i64) -> Option<i64> {
        let Some(group) = &mut self.group else {
            self.group = Some(Group { first: sent, least: delay, arrived, apart: 0 });
            return None;
        };
        if sent <= group.first + BURST {
            // One of an older group comes too late.
            if sent >= group.first && delay < group.least {
                (group.least, group.arrived) = (delay, arrived);
            }
            return None;
        }
        let ended = *group;
        *group = Group { first: sent, least: delay, arrived, apart: sent - ended.first };
        self.handle_group(ended);
        Some(ended.least)
    }

    fn handle_group(&mut self, group: Group) {
        let (least, since) = *self.origin.get_or_insert((group.least, group.arrived));
        let delay_ms = (group.least - least) as f64 / 1e3;
        let at_ms = (group.arrived - since) as f64 / 1e3;
        self.smoothed_ms = SMOOTHS * self.smoothed_ms + (1.0 - SMOOTHS) * delay_ms;
        self.points[self.groups % POINTS] = (at_ms, self.smoothed_ms);
        self.groups += 1;
        if self.groups >= POINTS {
            self.detect(slope(&self.points).unwrap_or(self.before), group.apart as f64 / 1e3, at_ms);
        }
    }

    fn detect(&mut self, trend: f64, apart_ms: f64, at_ms: f64) {
        let scaled = self.groups.min(MOST_GROUPS) as f64 * trend * GAIN;
        if scaled > self.threshold {
            self.over_ms += if self.overs == 0 { apart_ms / 2.0 } else { apart_ms };
            self.overs += 1;
            if self.over_ms > OVER_MS && self.overs > 1 && trend >= self.before {
                (self.over_ms, self.overs) = (0.0, 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.overs) = (0.0, 0);
            self.usage = if scaled < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.before = trend;
        self.adapt(scaled.abs(), at_ms);
    }

    /// The threshold follows the trend, so that jitter is not taken for a queue, nor others' queues for ours (section 5.4).
    fn adapt(&mut self, scaled: f64, at_ms: f64) {
        let passed = (at_ms - self.adapted_ms.replace(at_ms).unwrap_or(at_ms)).clamp(0.0, MOST_PASSED_MS);
        if scaled > self.threshold + SPIKE {
            return;
        }
        let gain = if scaled < self.threshold { FALLS } else { RISES };
        self.threshold = (self.threshold + gain * (scaled - self.threshold) * passed).clamp(LEAST_THRESHOLD, MOST_THRESHOLD);
    }
}

/// That of the line of least squares.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        let off = point.0 - x;
        (above + off * (point.1 - y), below + off * off)
    });
    (below > 0.0).then(|| above / below)
}

/// Section 5.2: packets that leave within 5 ms are a group.
const BURST: Micros = 5_000;
/// What follows is libwebrtc's: how many groups the line goes through, and how much of the past is in a delay.
const POINTS: usize = 20;
const SMOOTHS: f64 = 0.9;
/// By how much a slope is made comparable to a threshold in milliseconds.
const GAIN: f64 = 4.0;
const MOST_GROUPS: usize = 60;
/// A trend above the threshold must last so long, over two groups at least.
const OVER_MS: f64 = 10.0;
const THRESHOLD: f64 = 12.5;
const LEAST_THRESHOLD: f64 = 6.0;
const MOST_THRESHOLD: f64 = 600.0;
/// The draft's gains, per millisecond.
const RISES: f64 = 0.0087;
const FALLS: f64 = 0.039;
const MOST_PASSED_MS: f64 = 100.0;
/// What is so far above the threshold, as a route that changes, does not move it.
const SPIKE: f64 = 15.0;

#[cfg(test)]
mod tests {
    use super::*;

    /// The usage after pictures 33 ms apart, each of five packets of which the nth takes `delay(picture)` and a millisecond more.
    fn after(delay: impl Fn(u64) -> i64) -> Usage {
        let mut trendline = Trendline::new();
        for picture in 0..90 {
            for packet in 0..5 {
                let (sent, delay) = (picture * 33_000, 1_000_000 + delay(picture) + packet * 1_000);
                trendline.handle_arrival(sent, sent as i64 + delay, delay);
            }
        }
        trendline.usage()
    }

    #[test]
    fn queue_that_grows_is_over_one_that_shrinks_is_under() {
        assert_eq!(after(|_| 25_000), Usage::Normal);
        assert_eq!(after(|picture| 25_000 + picture as i64 * 4_000), Usage::Over);
        assert_eq!(after(|picture| 625_000 - picture as i64 * 4_000), Usage::Under);
        assert_eq!(after(|picture| 25_000 + picture as i64 * 7), Usage::Normal, "200 ppm");
    }

    #[test]
    fn jitter_is_no_trend() {
        assert_eq!(after(|picture| 25_000 + (picture as i64 * 7_919 % 20) * 1_000), Usage::Normal);
    }
}
