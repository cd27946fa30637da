//! Limits that a run is held against.

use std::fmt;

use serde::Serialize;

use crate::report::number;

/// A figure and what it may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// The flag that gave it.
    pub name: &'static str,
    /// What was given.
    pub limit: f64,
    /// What was measured; nothing when there was nothing to measure.
    pub measured: Option<f64>,
    /// Whether it held. What could not be measured did not.
    pub held: bool,
}

impl Limit {
    /// A limit that `measured` may not exceed; nothing when none was given.
    pub fn most(name: &'static str, limit: Option<f64>, measured: Option<f64>) -> Option<Self> {
        let limit = limit?;
        Some(Self { name, limit, measured, held: measured.is_some_and(|measured| measured <= limit) })
    }

    /// A limit that `measured` may not stay below; nothing when none was given.
    pub fn least(name: &'static str, limit: Option<f64>, measured: Option<f64>) -> Option<Self> {
        let limit = limit?;
        Some(Self { name, limit, measured, held: measured.is_some_and(|measured| measured >= limit) })
    }
}

#[cfg(test)]
impl Limit {
    /// The names of those that were broken.
    pub fn broken(limits: &[Self]) -> Vec<&'static str> {
        limits.iter().filter(|limit| !limit.held).map(|limit| limit.name).collect()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.held { "held" } else { "BROKEN" };
        write!(f, "{verdict}: {} {} (measured {})", self.name, self.limit, number(self.measured))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_up_to_and_including_themselves() {
        let held = |limit: Option<Limit>| limit.map(|limit| limit.held);
        assert_eq!(held(Limit::most("--max", Some(5.0), Some(5.0))), Some(true));
        assert_eq!(held(Limit::most("--max", Some(5.0), Some(5.1))), Some(false));
        assert_eq!(held(Limit::least("--min", Some(98.0), Some(98.0))), Some(true));
        assert_eq!(held(Limit::least("--min", Some(98.0), Some(97.9))), Some(false));
        assert_eq!(held(Limit::most("--max", None, Some(5.0))), None);
    }

    #[test]
    fn what_could_not_be_measured_breaks_its_limit() {
        assert_eq!(Limit::most("--max", Some(5.0), None).map(|limit| limit.held), Some(false));
    }
}
