//! Time on a media timeline.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::time::Duration;

/// A point or a signed distance on a media timeline, in nanoseconds.
///
/// The timeline is the stream's own: only differences between times of one stream mean anything. The range is ±292 years, so sums of
/// unwrapped 33-bit MPEG times cannot overflow.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The origin, and the empty distance.
    pub const ZERO: Self = Self(0);

    /// Makes a time from nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Makes a time from microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// Makes a time from milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Makes a time from ticks of the 90 kHz clock of MPEG systems (ISO/IEC 13818-1, 2.4.3.7) and of RTP video.
    #[must_use]
    pub const fn from_90khz(ticks: i64) -> Self {
        Self::from_ticks(ticks, 90_000)
    }

    /// Makes a time from `ticks` of a clock with `rate` ticks a second, rounded to nearest.
    ///
    /// # Panics
    /// When `rate` is 0.
    #[must_use]
    pub const fn from_ticks(ticks: i64, rate: u32) -> Self {
        Self(scale(ticks, 1_000_000_000, rate as i128))
    }

    /// The time in ticks of a clock with `rate` ticks a second, rounded to nearest.
    #[must_use]
    pub const fn to_ticks(self, rate: u32) -> i64 {
        scale(self.0, rate as i128, 1_000_000_000)
    }

    /// The time in ticks of the 90 kHz clock, rounded to nearest.
    #[must_use]
    pub const fn to_90khz(self) -> i64 {
        self.to_ticks(90_000)
    }

    /// The time in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The time in seconds, for people.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The distance as a [`Duration`], or nothing when it is negative.
    #[must_use]
    pub fn to_duration(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }

    /// The distance without its sign.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }
}

const fn scale(value: i64, numerator: i128, denominator: i128) -> i64 {
    let product = value as i128 * numerator;
    let half = if product < 0 { -(denominator / 2) } else { denominator / 2 };
    let scaled = (product + half) / denominator;
    if scaled > i64::MAX as i128 {
        i64::MAX
    } else if scaled < i64::MIN as i128 {
        i64::MIN
    } else {
        scaled as i64
    }
}

impl From<Duration> for MediaTime {
    fn from(duration: Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl Add for MediaTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for MediaTime {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for MediaTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl SubAssign for MediaTime {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for MediaTime {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_trip_at_every_media_rate() {
        for rate in [90_000, 48_000, 44_100, 1_000, 30] {
            for ticks in [-8_589_934_592, -1, 0, 1, 3_003, 8_589_934_591] {
                assert_eq!(MediaTime::from_ticks(ticks, rate).to_ticks(rate), ticks, "{ticks} at {rate}");
            }
        }
    }

    #[test]
    fn sums_saturate() {
        let end = MediaTime::from_nanos(i64::MAX);
        assert_eq!(end + MediaTime::from_millis(1), end);
        assert_eq!(-(-end - MediaTime::from_millis(1)), end);
    }
}
