//! Pictures of a run, as SVG.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use plotters::prelude::{BLUE, ChartBuilder, Color as _, IntoDrawingArea as _, LineSeries, Rectangle, SVGBackend, WHITE};

use crate::distribution::Distribution;

/// Draws how often values occur, in a hundred steps from the least to the most.
///
/// # Errors
/// When there are none, or the file cannot be written.
pub(crate) fn histogram(path: &Path, title: &str, unit: &str, values: &Distribution) -> Result<()> {
    let least = values.steps().next().context("there is nothing to draw")?.0;
    let most = values.steps().fold(least, |most, (value, _)| most.max(value));
    let step = ((most - least) / STEPS as f64).max(f64::EPSILON);
    let mut counts = [0_u64; STEPS];
    for (value, count) in values.steps() {
        counts[(((value - least).max(0.0) / step) as usize).min(STEPS - 1)] += count;
    }
    let high = counts.iter().copied().max().unwrap_or(1) as f64 * 1.05;
    let end = least + step * STEPS as f64;
    let bars = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let left = |nth: usize| least + step * nth as f64;
    let bars = bars.map(|(nth, &count)| [(left(nth), 0.0), (left(nth + 1), count as f64)]).collect();
    draw(path, title, (unit, "how often"), (least, end), (0.0, high), Shapes::Bars(bars))
}

/// Draws a figure over the seconds of a run.
///
/// # Errors
/// When there is none, or the file cannot be written.
pub(crate) fn time_line(path: &Path, title: &str, unit: &str, points: &[(f64, f64)]) -> Result<()> {
    let last = points.last().context("there is nothing to draw")?.0;
    let high = points.iter().map(|point| point.1).fold(0.0, f64::max);
    draw(path, title, ("seconds", unit), (0.0, last.max(1.0)), (0.0, (high * 1.1).max(1.0)), Shapes::Line(points.to_vec()))
}

enum Shapes {
    Bars(Vec<[(f64, f64); 2]>),
    Line(Vec<(f64, f64)>),
}

fn draw(
    path: &Path,
    title: &str,
    (x_name, y_name): (&str, &str),
    (left, right): (f64, f64),
    (bottom, top): (f64, f64),
    shapes: Shapes,
) -> Result<()> {
    // Its errors are of the file alone, behind types of the library's own.
    let told = |error: String| anyhow!("drawing {}: {error}", path.display());
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| told(error.to_string()))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(left..right, bottom..top)
        .map_err(|error| told(error.to_string()))?;
    chart.configure_mesh().x_desc(x_name).y_desc(y_name).draw().map_err(|error| told(error.to_string()))?;
    let drawn = match shapes {
        Shapes::Bars(bars) => chart.draw_series(bars.into_iter().map(|corners| Rectangle::new(corners, BLUE.filled()))).map(drop),
        Shapes::Line(points) => chart.draw_series(LineSeries::new(points, &BLUE)).map(drop),
    };
    drawn.map_err(|error| told(error.to_string()))?;
    area.present().map_err(|error| told(error.to_string()))
}

const SIZE: (u32, u32) = (960, 480);
const STEPS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_their_names_and_what_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plot.svg");
        let bars = |values: &[f64]| {
            histogram(&path, "ages", "ms", &values.iter().copied().collect()).unwrap();
            std::fs::read_to_string(&path).unwrap().matches("fill=\"#0000FF\"").count()
        };
        assert_eq!(bars(&[5.0, 5.0, 6.0, 40.0]), 3);
        assert_eq!(bars(&[7.0; 20]), 1);
        assert!(std::fs::read_to_string(&path).unwrap().contains("ages"));
        time_line(&path, "memory", "MiB", &[(0.0, 7.0), (1.0, 8.0), (2.0, 8.5)]).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains("<polyline"));
        assert!(histogram(&path, "ages", "ms", &Distribution::default()).is_err() && time_line(&path, "memory", "MiB", &[]).is_err());
    }
}
