//! A figure as a picture: the share of trials over time, and published quantiles as rings.

use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::IntoDrawingArea as _;
use plotters::element::{Circle, PathElement};
use plotters::prelude::{IntoLogRange as _, SVGBackend};
use plotters::series::LineSeries;
use plotters::style::{BLACK, Color as _, IntoFont as _, RGBColor, ShapeStyle, WHITE};

use super::picture::{Line, Picture};

const SIZE: (u32, u32) = (880, 520);

/// The colours of Okabe and Ito (2008), which those who are colour-blind tell apart; without the yellow, which is
/// hard to see on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// The most points that a curve is drawn with.
const POINTS: usize = 1_000;

type Failure = Box<dyn std::error::Error>;

/// The picture as SVG: the same for the same trials, byte for byte.
pub fn draw(picture: &Picture) -> Result<String, Failure> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        // A ground of its own, so that it can be read on a dark page too.
        area.fill(&WHITE)?;
        let (min, max) = picture.range_ms;
        let shares = 0.0..100.0;
        let mut builder = ChartBuilder::on(&area);
        builder
            .caption(&picture.title, ("sans-serif", 19).into_font().color(&BLACK))
            .margin(16)
            .margin_right(28)
            .x_label_area_size(50)
            .y_label_area_size(62);
        if picture.logarithmic {
            draw_in(builder.build_cartesian_2d((min..max).log_scale(), shares)?, picture)?;
        } else {
            draw_in(builder.build_cartesian_2d(min..max, shares)?, picture)?;
        }
        area.present()?;
    }
    Ok(text)
}

fn draw_in<'a, X>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, RangedCoordf64>>,
    picture: &Picture,
) -> Result<(), Failure>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(&picture.axis)
        .y_desc("share of trials")
        .x_label_formatter(&|ms| format!("{ms:.0} ms"))
        .y_label_formatter(&|share| format!("{share:.0} %"))
        .x_labels(9)
        .label_style(("sans-serif", 14).into_font().color(&BLACK))
        .axis_desc_style(("sans-serif", 15).into_font().color(&BLACK))
        .bold_line_style(BLACK.mix(0.15))
        .light_line_style(BLACK.mix(0.0))
        .draw()?;
    for (line, colour) in picture.lines.iter().zip(COLOURS.iter().cycle()) {
        let stroke = ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: 2 };
        let (min, max) = picture.range_ms;
        let inside: Vec<_> = points(line).into_iter().filter(|(ms, _)| (min..=max).contains(ms)).collect();
        let beyond = if inside.is_empty() { " (beyond)" } else { "" };
        chart
            .draw_series(LineSeries::new(inside, stroke))?
            .label(format!("{}{beyond}", line.label))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], stroke));
        let rings = line.published.iter().filter(|(ms, _)| (min..=max).contains(ms));
        chart.draw_series(rings.map(|(ms, share)| Circle::new((*ms, 100.0 * share), 5, stroke)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .label_font(("sans-serif", 14).into_font().color(&BLACK))
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .margin(12)
        .draw()?;
    Ok(())
}

/// The curve in percent, thinned: even steps of the share of trials, of which the eye tells no more.
fn points(line: &Line) -> Vec<(f64, f64)> {
    let (values, trials) = (&line.sorted_ms, line.trials.max(1) as f64);
    let Some(last) = values.len().checked_sub(1) else { return Vec::new() };
    let steps = last.clamp(1, POINTS);
    let places = (0..=steps).map(|step| step * last / steps);
    places.map(|place| (values[place], 100.0 * (place + 1) as f64 / trials)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let line = |label: &str, times: std::ops::Range<u32>| Line {
            label: label.to_owned(),
            sorted_ms: times.map(|n| 10.0 + f64::from(n) / 100.0).collect(),
            trials: 10_000,
            published: vec![(20.0, 0.1), (2e6, 0.9)],
        };
        let lines = vec![line("a < b & c", 0..10_000), line("never", 0..0)];
        let (title, axis) = ("title".to_owned(), "axis".to_owned());
        Picture { title, axis, range_ms: (10.0, 1_000.0), logarithmic: true, lines }
    }

    #[test]
    fn a_picture_is_small_and_the_same_each_time() {
        let drawn = draw(&picture()).unwrap();
        assert_eq!(drawn, draw(&picture()).unwrap());
        assert!(drawn.len() < 40_000, "{} bytes", drawn.len());
        assert!(drawn.contains("a &lt; b &amp; c") && drawn.contains("never (beyond)"), "{drawn}");
        // One ring for each curve: the others are beyond the axis.
        assert_eq!(drawn.matches("<circle").count(), 2);
    }

    #[test]
    fn an_axis_need_not_be_logarithmic_nor_a_curve_have_trials() {
        let mut picture = Picture { logarithmic: false, range_ms: (0.0, 50.0), ..picture() };
        assert!(draw(&picture).unwrap().contains("title"));
        for line in &mut picture.lines {
            (line.sorted_ms, line.trials) = (Vec::new(), 0);
        }
        assert!(draw(&picture).unwrap().contains("a &lt; b &amp; c (beyond)"));
    }
}
