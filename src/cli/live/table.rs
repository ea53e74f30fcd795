//! A comparison for a person.

use std::fmt::Write as _;

use crate::explore::comparison::{Agreement, BOUND, BOUND_OF_BULK, ComparisonReport, Distance, Group, Measure, Unit};
use crate::report::json::{RunReport, set_arguments};
use crate::report::style::{BAD, DIM, GOOD, UNSURE, count, counted, from_milliseconds, paint, seconds, span};
use crate::report::text;

/// How many runs are shown in words that do not agree, or say nothing.
const SHOWN_MAX: usize = 5;

/// The figures, each in a row.
pub(super) fn table(report: &ComparisonReport) -> String {
    let mut out = String::new();
    let head = line("", "", "simulated", "live", "ratio", "");
    let _ = writeln!(out, "{}", paint(DIM, head.trim_end()));
    let verdicts = |side: fn(&RunReport) -> String, of: fn(&crate::explore::comparison::PairReport) -> &RunReport| {
        let mut all: Vec<String> = report.runs.iter().map(|run| side(of(run))).collect();
        all.sort_unstable();
        all.dedup();
        if let [only] = all.as_slice() { only.clone() } else { "several".to_owned() }
    };
    let (one, other) = (verdicts(verdict, |run| &run.simulated), verdicts(verdict, |run| &run.live));
    let (style, word) = agreement(report.agreement);
    let mut row = line("verdict", "", &one, &other, "", "");
    row.truncate(row.trim_end().len());
    let _ = writeln!(out, "{row}  {}", paint(style, word));
    let mut last = None;
    for measure in &report.measures {
        let group = if last == Some(measure.group) { "" } else { name(measure.group) };
        last = Some(measure.group);
        let [simulated, live] = [measure.simulated, measure.live].map(|value| shown(measure, value));
        let ratio = measure.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let row = line(group, &title(measure), &simulated, &live, &ratio, "");
        let mark = mark(measure);
        let _ = writeln!(out, "{}{}", row.trim_end(), if mark.is_empty() { mark } else { format!("  {mark}") });
    }
    out
}

/// What all of it comes to.
pub(super) fn foot(report: &ComparisonReport, again: &str) -> String {
    let mut out = String::new();
    text::row(&mut out, "bounds", &bounds(report));
    let left_out: Vec<_> = report.runs.iter().filter(|run| !report.pooled.contains(&run.seed)).collect();
    if !left_out.is_empty() {
        let seeds: Vec<_> = left_out.iter().map(|run| run.seed.to_string()).collect();
        text::row(
            &mut out,
            "left out",
            &format!("of the figures, where verdicts are not the same: seed {}", seeds.join(", ")),
        );
    }
    if let Some(late) = &report.relay_late {
        let [p50, p99, most] = [late.p50_ms, late.p99_ms, late.max_ms].map(|ms| span(from_milliseconds(ms)));
        let packets = counted(late.count, "packet", "packets");
        text::row(&mut out, "relay", &format!("{packets} late by {p50} in the median, 99 % within {p99}, most {most}"));
    }
    let mut notes: Vec<&String> = report.runs.iter().flat_map(|run| &run.live.notes).collect();
    notes.sort_unstable();
    notes.dedup();
    for (place, note) in notes.into_iter().enumerate() {
        text::row(&mut out, if place == 0 { "notes" } else { "" }, note);
    }
    let wall = seconds(from_milliseconds(report.wall_ms));
    let pairs = counted(report.runs.len() as u64, "pair of runs", "pairs of runs");
    text::row(&mut out, "time", &format!("{pairs} in {wall}"));
    text::row(&mut out, "live", "not deterministic: that half is another each time");
    if report.interrupted {
        text::row(&mut out, "stopped", "by a signal: the other seeds are not compared");
    }
    out.push_str(&verdicts(report));
    let _ = writeln!(out, "again: {again}");
    out
}

/// Whether the verdicts agree, and those that do not.
fn verdicts(report: &ComparisonReport) -> String {
    let mut out = String::new();
    let name = format!("{}{}", report.sim, set_arguments(&report.set));
    let of = |agreement| report.runs.iter().filter(move |run| run.agreement == agreement);
    let (style, word) = agreement(report.agreement);
    let all = report.runs.len();
    let agree = of(Agreement::Agree).count();
    let _ = writeln!(
        out,
        "{} {name}: the verdicts of {agree} of {} agree",
        paint(style, word.to_uppercase()),
        counted(all as u64, "seed", "seeds")
    );
    for run in of(Agreement::Differ).chain(of(Agreement::Inconclusive)).take(SHOWN_MAX) {
        for (side, report) in [("simulated", &run.simulated), ("live", &run.live)] {
            let _ = writeln!(out, "  {side:<9} {}", text::failure_line(report));
        }
    }
    out
}

fn bounds(report: &ComparisonReport) -> String {
    let of = |distance| report.measures.iter().filter(|measure| measure.distance == distance).count() as u64;
    let [bound, bulk] = [BOUND, BOUND_OF_BULK].map(|bound| (bound * 100.0).round());
    let all = count(report.measures.len() as u64);
    let mut text = format!("{} of {all} figures within {bound} % of each other (bulk: {bulk} %)", of(Distance::Within));
    for (distance, words) in [
        (Distance::Tick, "not further than a tick"),
        (Distance::Chance, "not further than chance may have it"),
        (Distance::Off, "further"),
        (Distance::Alone, "told by one side only"),
    ] {
        if of(distance) > 0 {
            let _ = write!(text, ", {} {words}", of(distance));
        }
    }
    text
}

fn line(group: &str, name: &str, simulated: &str, live: &str, ratio: &str, mark: &str) -> String {
    format!("  {} {name:<28} {simulated:>12} {live:>12} {ratio:>7}  {mark}", paint(DIM, format_args!("{group:<9}")))
}

fn name(group: Group) -> &'static str {
    match group {
        Group::Work => "work",
        Group::Packets => "packets",
        Group::Faults => "faults",
        Group::Times => "times",
    }
}

fn title(measure: &Measure) -> String {
    measure.percent.map_or_else(|| measure.name.clone(), |percent| format!("{} p{percent}", measure.name))
}

fn shown(measure: &Measure, value: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    match measure.unit {
        Unit::Milliseconds => span(from_milliseconds(value)),
        Unit::InARun if (value - value.round()).abs() < 1e-9 && value >= 0.0 => format!("{value:.0}"),
        Unit::InARun => format!("{value:.1}"),
    }
}

/// How far it is off, if it is.
fn mark(measure: &Measure) -> String {
    let by = measure.ratio.map_or_else(
        || "none live".to_owned(),
        |ratio| {
            let percent = (ratio - 1.0).abs() * 100.0;
            format!("{percent:.*} % {}", usize::from(percent < 20.0), if ratio < 1.0 { "less" } else { "more" })
        },
    );
    match measure.distance {
        Distance::Within => String::new(),
        Distance::Tick => paint(DIM, format_args!("{by}: not more than a tick")),
        Distance::Chance if measure.samples == [1, 1] => paint(UNSURE, format_args!("{by}: one seed cannot tell")),
        Distance::Chance => paint(UNSURE, format_args!("{by}: chance may have it")),
        Distance::Off => paint(BAD, by),
        Distance::Alone => paint(UNSURE, "one side only tells it"),
    }
}

fn agreement(agreement: Agreement) -> (anstyle::Style, &'static str) {
    match agreement {
        Agreement::Agree => (GOOD, "agree"),
        Agreement::Differ => (BAD, "differ"),
        Agreement::Inconclusive => (UNSURE, "inconclusive"),
    }
}

fn verdict(report: &RunReport) -> String {
    report.verdict.clone()
}
