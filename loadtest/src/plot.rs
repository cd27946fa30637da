//! Pictures of a run, as SVG: one below the other in one file.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, BLUE, ChartBuilder, Circle, Color as _, DrawingArea, IntoDrawingArea as _, IntoFont as _, LineSeries, PathElement, Rectangle,
    SVGBackend, Text, WHITE,
};

use crate::distribution::{Distribution, Spread};

/// What can be drawn of a report.
pub(crate) trait Draw {
    /// Its pictures; those of which nothing was measured are left out.
    fn charts(&self) -> Vec<Chart>;
}

/// A picture.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chart {
    title: String,
    /// What the axes are of.
    x_name: String,
    y_name: String,
    /// Their ends.
    x: (f64, f64),
    y: (f64, f64),
    shapes: Shapes,
}

#[derive(Clone, Debug, PartialEq)]
enum Shapes {
    /// Upright, from corner to corner.
    Bars(Vec<[(f64, f64); 2]>),
    Line(Vec<(f64, f64)>),
    /// Lying, from the top down.
    Rows(Vec<(String, Spread)>),
}

impl Chart {
    /// How often values occur, in a hundred steps from the least to the most.
    pub(crate) fn histogram(title: impl Into<String>, unit: &str, values: &Distribution) -> Option<Self> {
        let least = values.steps().next()?.0;
        let most = values.steps().fold(least, |most, (value, _)| most.max(value));
        let step = ((most - least) / STEPS as f64).max(f64::EPSILON);
        let mut counts = [0_u64; STEPS];
        for (value, count) in values.steps() {
            counts[(((value - least).max(0.0) / step) as usize).min(STEPS - 1)] += count;
        }
        let left = |nth: usize| least + step * nth as f64;
        let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let shapes = Shapes::Bars(bars.map(|(nth, &count)| [(left(nth), 0.0), (left(nth + 1), count as f64)]).collect());
        let high = counts.iter().copied().max().unwrap_or(1) as f64 * 1.05;
        Some(Self { title: title.into(), x_name: unit.into(), y_name: "how often".into(), x: (least, left(STEPS)), y: (0.0, high), shapes })
    }

    /// A figure over something else, of points from left to right.
    pub(crate) fn line(title: impl Into<String>, x_name: &str, unit: &str, points: Vec<(f64, f64)>) -> Option<Self> {
        let last = points.last()?.0;
        let high = points.iter().map(|point| point.1).fold(0.0, f64::max);
        let (x, y) = ((0.0, last.max(1.0)), (0.0, (high * 1.1).max(1.0)));
        Some(Self { title: title.into(), x_name: x_name.into(), y_name: unit.into(), x, y, shapes: Shapes::Line(points) })
    }

    /// Contenders beside each other: a bar to the median, and a line from the least to the most.
    pub(crate) fn rows(title: impl Into<String>, unit: &str, rows: impl IntoIterator<Item = (String, Option<Spread>)>) -> Option<Self> {
        let rows: Vec<(String, Spread)> = rows.into_iter().filter_map(|(name, spread)| Some((name, spread?))).collect();
        let most = rows.iter().map(|(_, spread)| spread.most).reduce(f64::max)?;
        let (x, y) = ((0.0, if most > 0.0 { most * 1.1 } else { 1.0 }), (0.0, rows.len() as f64));
        Some(Self { title: title.into(), x_name: unit.into(), y_name: String::new(), x, y, shapes: Shapes::Rows(rows) })
    }

    fn height(&self) -> u32 {
        match &self.shapes {
            Shapes::Bars(_) | Shapes::Line(_) => HEIGHT,
            Shapes::Rows(rows) => ROWS_HEIGHT + ROW_HEIGHT * u32::try_from(rows.len()).unwrap_or(1),
        }
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        // Its errors are of the file alone, behind types of the library's own.
        let told = |error: String| anyhow!("drawing: {error}");
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(self.x.0..self.x.1, self.y.0..self.y.1)
            .map_err(|error| told(error.to_string()))?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.x_name).y_desc(&self.y_name).max_light_lines(1);
        if matches!(self.shapes, Shapes::Rows(_)) {
            mesh.disable_y_mesh().y_labels(0);
        }
        mesh.draw().map_err(|error| told(error.to_string()))?;
        let drawn = match &self.shapes {
            Shapes::Bars(bars) => chart.draw_series(bars.iter().map(|corners| Rectangle::new(*corners, BLUE.filled()))).map(drop),
            Shapes::Line(points) => {
                let dots = points.iter().filter(|_| points.len() <= DOTTED).map(|point| Circle::new(*point, 3, BLUE.filled()));
                let line = LineSeries::new(points.iter().copied(), &BLUE);
                chart.draw_series(line).map(drop).and_then(|()| chart.draw_series(dots).map(drop))
            }
            Shapes::Rows(rows) => {
                let top = |nth: usize| (rows.len() - nth) as f64;
                let numbered = || rows.iter().enumerate();
                let bars = numbered().map(|(nth, (_, spread))| {
                    Rectangle::new([(0.0, top(nth) - 0.9), (spread.median, top(nth) - 0.5)], BLUE.mix(0.5).filled())
                });
                let spreads = numbered().map(|(nth, (_, spread))| {
                    PathElement::new([(spread.least, top(nth) - 0.7), (spread.most, top(nth) - 0.7)], BLACK.stroke_width(2))
                });
                let names = numbered().map(|(nth, (name, spread))| {
                    let Spread { least, median, most } = spread;
                    Text::new(
                        format!("{name}: {median:.2} ({least:.2} to {most:.2})"),
                        (0.0, top(nth) - 0.1),
                        ("sans-serif", 13).into_font(),
                    )
                });
                chart
                    .draw_series(bars)
                    .map(drop)
                    .and_then(|()| chart.draw_series(spreads).map(drop))
                    .and_then(|()| chart.draw_series(names).map(drop))
            }
        };
        drawn.map_err(|error| told(error.to_string()))
    }
}

/// Draws charts into a file, one below the other.
///
/// # Errors
/// When there are none, or the file cannot be written.
pub(crate) fn draw(path: &Path, charts: &[Chart]) -> Result<()> {
    ensure!(!charts.is_empty(), "there is nothing to draw");
    let told = |error: String| anyhow!("drawing {}: {error}", path.display());
    let mut rest = SVGBackend::new(path, (WIDTH, charts.iter().map(Chart::height).sum())).into_drawing_area();
    rest.fill(&WHITE).map_err(|error| told(error.to_string()))?;
    for chart in charts {
        let (area, below) = rest.split_vertically(chart.height());
        chart.draw(&area)?;
        rest = below;
    }
    rest.present().map_err(|error| told(error.to_string()))
}

const WIDTH: u32 = 960;
const HEIGHT: u32 = 360;
/// What a chart of rows takes beside its rows, and for each.
const ROWS_HEIGHT: u32 = 100;
const ROW_HEIGHT: u32 = 44;
const STEPS: usize = 100;
/// Up to so many points of a line are shown: one alone would be none.
const DOTTED: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(charts: &[Chart]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        draw(&path, charts).unwrap();
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn pictures_have_their_names_and_what_was_measured() {
        let bars = |values: &[f64]| {
            let chart = Chart::histogram("ages", "ms", &values.iter().copied().collect()).unwrap();
            drawn(&[chart]).matches("fill=\"#0000FF\"").count()
        };
        assert_eq!((bars(&[5.0, 5.0, 6.0, 40.0]), bars(&[7.0; 20])), (3, 1));
        let line = Chart::line("memory", "seconds", "MiB", vec![(0.0, 7.0), (1.0, 8.0), (2.0, 8.5)]).unwrap();
        let spread = |median| Some(Spread { least: median - 1.0, median, most: median + 1.0 });
        let rows = [("ours".to_owned(), spread(2.0)), ("theirs".to_owned(), spread(5.0)), ("gone".to_owned(), None)];
        let rows = Chart::rows("cost", "µs", rows).unwrap();
        let both = drawn(&[line.clone(), rows.clone()]);
        assert!(
            ["memory", "seconds", "MiB", "cost", "ours: 2.00 (1.00 to 3.00)", "theirs: 5.00"].iter().all(|told| both.contains(told)),
            "{both}"
        );
        assert!(
            !both.contains("gone")
                && both.contains("<polyline")
                && both.matches("<circle").count() == 3
                && both.contains(&format!("height=\"{}\"", line.height() + rows.height()))
        );
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        assert_eq!(Chart::histogram("ages", "ms", &Distribution::default()), None);
        assert_eq!(Chart::line("memory", "seconds", "MiB", Vec::new()), None);
        assert_eq!(Chart::rows("cost", "µs", [("gone".to_owned(), None)]), None);
        assert!(draw(Path::new("/nowhere/plot.svg"), &[]).is_err());
    }
}
