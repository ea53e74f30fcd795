//! A figure as a table: what was measured over what was published, and the error.

use std::fmt::Write as _;
use std::time::Duration;

use super::{CurveReport, FigureReport, Held, MeanReport, ShareReport};
use crate::report::style::{self, BAD, DIM, GOOD, STRONG, UNSURE, count, counted, from_milliseconds, paint};
use crate::report::text::{failure_line, row};

/// The columns of a number.
const COLUMN: usize = 9;

/// What is measured, against what, and with how many trials.
pub fn head(report: &FigureReport) -> String {
    let mut out = format!("{}  {}\n", paint(STRONG, &report.figure), report.about);
    row(&mut out, "source", &report.source);
    row(&mut out, "fitted", report.fitted.as_deref().unwrap_or("nothing"));
    let last = report.first_seed + (report.trials - 1);
    let seeds = format!("{} of each curve, seeds {}..={last}", count(report.trials), report.first_seed);
    row(&mut out, "trials", &seeds);
    out
}

/// The table of a curve, with times in milliseconds.
pub fn curve(curve: &CurveReport) -> String {
    let since = match curve.since_ms {
        0.0 => String::new(),
        since => format!(" less {since} ms"),
    };
    let mut out = format!("\n{}  {}, {}{since}, in ms\n", paint(STRONG, &curve.label), curve.sim, curve.time);
    let mut columns: Vec<Column> = curve
        .quantiles
        .iter()
        .map(|quantile| Column {
            name: percentile(quantile.share),
            measured: quantile.measured_ms.map_or("-".to_owned(), number),
            published: number(quantile.published_ms),
            error: quantile.error_percent,
            bound: quantile.within_percent.map(|within| format!("{within} %")),
            held: quantile.held,
        })
        .collect();
    columns.extend(curve.mean.as_ref().map(mean));
    if !columns.is_empty() {
        line(&mut out, "", columns.iter().map(|column| (column.name.clone(), None)));
        line(&mut out, "measured", columns.iter().map(|column| (column.measured.clone(), None)));
        line(&mut out, "published", columns.iter().map(|column| (column.published.clone(), None)));
        let error = |error: Option<f64>| error.map_or("-".to_owned(), |error| format!("{error:+.1} %"));
        line(&mut out, "error", columns.iter().map(|column| (error(column.error), None)));
        if columns.iter().any(|column| column.bound.is_some()) {
            line(&mut out, "within", columns.iter().map(|column| (column.bound.clone().unwrap_or_default(), None)));
            line(&mut out, "", columns.iter().map(|column| (column.held.map_or("", word).to_owned(), column.held)));
        }
    }
    if let Some(distance) = &curve.distance {
        let at = percentile(distance.share);
        row(&mut out, "distance", &format!("at most {:.1} %, at {at}", distance.percent));
    }
    if let Some(share) = &curve.share {
        self::share(&mut out, share, curve.trials);
    }
    if curve.never_came > 0 && curve.share.is_none() {
        row(&mut out, "never", &format!("in {} it did not come", counted(curve.never_came, "trial", "trials")));
    }
    failures(&mut out, curve);
    out
}

/// The verdict, and what it took.
pub fn foot(report: &FigureReport, jobs: u64) -> String {
    let held: Vec<Held> = report.curves.iter().flat_map(CurveReport::held).collect();
    let of = |wanted: Held| held.iter().filter(|held| **held == wanted).count() as u64;
    let made: u64 = report.curves.iter().map(|curve| curve.trials).sum();
    let asked = report.trials.saturating_mul(report.curves.len() as u64);
    let failed: u64 = report.curves.iter().map(|curve| curve.failed).sum();
    let (style, word) = match report.exit_code {
        0 => (GOOD, "PASS"),
        1 => (BAD, "FAIL"),
        130 => (UNSURE, "INTERRUPTED"),
        _ => (UNSURE, "INCONCLUSIVE"),
    };
    let bounds = counted(held.len() as u64, "bound", "bounds");
    let mut says = format!("{} of {bounds} hold", count(of(Held::Holds)));
    if of(Held::Fails) > 0 {
        let _ = write!(says, ", {} not", count(of(Held::Fails)));
    }
    if of(Held::TooFew) > 0 {
        let _ = write!(says, ", {} cannot be judged with so few trials", count(of(Held::TooFew)));
    }
    if failed > 0 {
        let _ = write!(says, "; {} did not end as expected", counted(failed, "trial", "trials"));
    }
    let mut out = format!("\n{} {}: {says}\n", paint(style, word), report.figure);
    let (wall, simulated) = (from_milliseconds(report.wall_ms), from_milliseconds(report.sim_ms));
    let _ = writeln!(out, "{}", pace(made, wall, simulated, jobs));
    if report.interrupted {
        let _ = writeln!(out, "interrupted: {} of {} trials were made", count(made), count(asked));
    }
    out
}

fn pace(made: u64, wall: Duration, simulated: Duration, jobs: u64) -> String {
    format!(
        "{} in {} with {}: {:.1} a second, {}",
        counted(made, "trial", "trials"),
        style::seconds(wall),
        counted(jobs, "job", "jobs"),
        made as f64 / wall.as_secs_f64().max(1e-9),
        style::ratio(simulated, wall)
    )
}

struct Column {
    name: String,
    measured: String,
    published: String,
    error: Option<f64>,
    bound: Option<String>,
    held: Option<Held>,
}

fn mean(mean: &MeanReport) -> Column {
    let half = mean.high_ms.map(|high| high - mean.measured_ms);
    Column {
        name: "mean".to_owned(),
        measured: number(mean.measured_ms),
        published: mean.published_ms.map_or("-".to_owned(), number),
        error: mean.error_percent,
        bound: mean.held.map(|_| half.map_or("-".to_owned(), |half| format!("{half:.1} ms"))),
        held: mean.held,
    }
}

fn line(out: &mut String, name: &str, cells: impl Iterator<Item = (String, Option<Held>)>) {
    let mut text = String::new();
    for (cell, held) in cells {
        let cell = format!("{cell:>COLUMN$}");
        text += &held.map_or(cell.clone(), |held| paint(style_of(held), cell));
    }
    let _ = writeln!(out, "  {} {}", paint(DIM, format_args!("{name:<9}")), text.trim_end());
}

fn share(out: &mut String, share: &ShareReport, trials: u64) {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let ShareReport { measured, low, high, .. } = *share;
    row(out, "share", &share.of);
    let interval = format!("95 % interval {} to {} (Wilson)", percent(low), percent(high));
    let of = format!("{} of {}", count(share.happened), counted(trials, "trial", "trials"));
    row(out, "", &format!("measured {}, {of}, {interval}", percent(measured)));
    if let (Some(published), Some(held)) = (share.published, share.held) {
        row(out, "", &format!("published {}: {}", percent(published), paint(style_of(held), word(held))));
    }
}

fn failures(out: &mut String, curve: &CurveReport) {
    for failure in &curve.failures {
        let _ = writeln!(out, "{}\nreproduce: {}", failure_line(failure), failure.reproduce);
    }
    let more = curve.failed - curve.failures.len() as u64;
    if more > 0 {
        let _ = writeln!(out, "and {} more", counted(more, "trial", "trials"));
    }
}

/// `p50`, `p99.9`.
fn percentile(share: f64) -> String {
    format!("p{}", libm::round(share * 1e6) / 1e4)
}

/// With about four digits.
fn number(ms: f64) -> String {
    let digits = usize::from(ms < 99.95 && libm::round(ms * 10.0) % 10.0 != 0.0);
    format!("{ms:.digits$}")
}

fn word(held: Held) -> &'static str {
    match held {
        Held::Holds => "holds",
        Held::Fails => "FAILS",
        Held::TooFew => "too few",
    }
}

fn style_of(held: Held) -> anstyle::Style {
    match held {
        Held::Holds => GOOD,
        Held::Fails => BAD,
        Held::TooFew => UNSURE,
    }
}
