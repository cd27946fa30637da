//! The text format, by its kinds.

use std::fmt::{self, Display, Write as _};

use crate::histogram::HistogramStats;

/// A page of metrics, each of which is told once. Writing to it does not fail.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// What a histogram holds.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// Upper bounds, and how many were not above them, up to infinity.
    pub(super) cumulative: Vec<(f64, u64)>,
    pub(super) sum: f64,
}

impl Page {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, "counter", [(String::new(), value)]);
    }

    /// The same by one label.
    pub(super) fn counters<'a>(&mut self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (&'a str, impl Display)>) {
        self.family(name, help, "counter", values.into_iter().map(|(of, value)| (labels(&[(label, of)]), value)));
    }

    /// A number that is what it is now.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, help, "gauge", [(String::new(), value)]);
    }

    /// The same by one label.
    pub(super) fn gauges<'a>(&mut self, name: &str, help: &str, label: &str, values: impl IntoIterator<Item = (&'a str, impl Display)>) {
        self.family(name, help, "gauge", values.into_iter().map(|(of, value)| (labels(&[(label, of)]), value)));
    }

    /// The same by two.
    pub(super) fn gauges_by<'a>(
        &mut self,
        name: &str,
        help: &str,
        by: [&str; 2],
        values: impl IntoIterator<Item = (&'a str, &'a str, impl Display)>,
    ) {
        let values = values.into_iter().map(|(first, second, value)| (labels(&[(by[0], first), (by[1], second)]), value));
        self.family(name, help, "gauge", values);
    }

    /// How often what was how large.
    pub(super) fn histogram(&mut self, name: &str, help: &str, buckets: impl Into<Buckets>) {
        self.head(name, help, "histogram");
        self.buckets(name, None, &buckets.into());
    }

    /// The same by one label.
    pub(super) fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, impl Into<Buckets>)>,
    ) {
        self.head(name, help, "histogram");
        for (of, buckets) in values {
            self.buckets(name, Some((label, of)), &buckets.into());
        }
    }

    fn family(&mut self, name: &str, help: &str, kind: &str, values: impl IntoIterator<Item = (String, impl Display)>) {
        self.head(name, help, kind);
        for (labels, value) in values {
            self.line(format_args!("{PREFIX}{name}{labels} {value}"));
        }
    }

    fn buckets(&mut self, name: &str, label: Option<(&str, &str)>, Buckets { cumulative, sum }: &Buckets) {
        let own: Vec<_> = label.into_iter().collect();
        for (bound, count) in cumulative {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            let labels = labels(&[&own[..], &[("le", &bound)]].concat());
            self.line(format_args!("{PREFIX}{name}_bucket{labels} {count}"));
        }
        let (labels, count) = (labels(&own), cumulative.last().map_or(0, |(_, count)| *count));
        self.line(format_args!("{PREFIX}{name}_sum{labels} {sum}"));
        self.line(format_args!("{PREFIX}{name}_count{labels} {count}"));
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {PREFIX}{name} {help}"));
        self.line(format_args!("# TYPE {PREFIX}{name} {kind}"));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{line}");
    }
}

impl From<HistogramStats> for Buckets {
    fn from(stats: HistogramStats) -> Self {
        Self { cumulative: stats.cumulative().collect(), sum: stats.sum_seconds() }
    }
}

impl Buckets {
    /// Of counts that are not cumulative, by their upper bounds and behind the last of these.
    pub(super) fn of(bounds: &[u64], counts: &[u64], sum: u64) -> Self {
        let bounds = bounds.iter().map(|bound| *bound as f64).chain([f64::INFINITY]);
        let sums = counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Self { cumulative: bounds.zip(sums).collect(), sum: sum as f64 }
    }
}

/// Labels as they stand behind a name. Their values are words of ours, which need no escaping.
fn labels(pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let pairs: Vec<_> = pairs.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{{{}}}", pairs.join(","))
}

const PREFIX: &str = "crosspoint_";
