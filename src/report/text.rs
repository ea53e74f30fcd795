//! A run for a person: its options before it, its result after it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::json::{RunReport, Times, Violation, set_arguments};
use super::style::{self, BAD, DIM, GOOD, STRONG, UNSURE, count, from_milliseconds, paint, span};
use crate::script::{ByteSize, DiskSettings, Script, Setting, show_duration};
use crate::sim::{Drawn, InertStep};

/// Which run it is that is shown, and of what.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The sim, as it was named.
    pub sim: &'a str,
    /// What was set on top of its script.
    pub set: &'a [Setting],
    /// The seed.
    pub seed: u64,
    /// The script's path.
    pub path: &'a str,
    /// The script.
    pub script: &'a Script,
    /// What the seed drew.
    pub drawn: &'a [Drawn],
}

/// What a run is made of: sim, seed, script and the effective options.
pub fn before(of: &Before<'_>) -> String {
    let mut out = format!("{}  seed {}\n", paint(STRONG, of.sim), paint(STRONG, of.seed));
    if !of.script.about.is_empty() {
        let _ = writeln!(out, "  {}", of.script.about);
    }
    let mut last = "";
    let settings = settings(of);
    for (name, text) in &settings {
        row(&mut out, if name == last { "" } else { name }, text);
        last = name;
    }
    out
}

/// The effective options, each with its name: several in a row may have one name.
pub fn settings(of: &Before<'_>) -> Vec<(String, String)> {
    let Before { set, path, script, drawn, .. } = *of;
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, text: String| rows.push((name.to_owned(), text));
    row("script", path.to_owned());
    for setting in set {
        row("set", setting.to_string());
    }
    if !script.variants.is_empty() {
        let names: Vec<_> = script.variants.iter().map(|variant| format!("@{}", variant.name)).collect();
        row("variants", names.join(" "));
    }
    row("duration", format!("{}, tick {}", show_duration(script.duration), show_duration(script.tick)));
    if !script.waiting.is_empty() {
        let hosts: Vec<_> = script.waiting.iter().map(ToString::to_string).collect();
        row("waiting", hosts.join(" "));
    }
    row("network", script.network.to_string());
    for rule in &script.links {
        row("link", rule.to_string());
    }
    row("tcp", script.tcp.to_string());
    row("udp", format!("buffer {}", ByteSize(script.udp_buffer_bytes)));
    if script.disk != DiskSettings::default() {
        row("disk", script.disk.to_string());
    }
    for table in [script.system.as_str(), "expect"] {
        let written = as_written(&script.source.text, table);
        if !written.is_empty() {
            row(table, written);
        }
    }
    if let Some(chaos) = &script.chaos {
        row("chaos", chaos.to_string());
    }
    for drawn in drawn {
        row("drawn", drawn_text(drawn));
    }
    for (number, step) in (1..).zip(&script.steps) {
        row("steps", format!("{number}. {step}"));
    }
    for (number, packet) in (1..).zip(&script.packets) {
        row("fates", format!("{number}. {packet}"));
    }
    rows
}

/// `raft.pre_vote = true, of "drawn"`, `step 2 at 1.3s, of at 1s..3s`, `chaos loss 3 %`
pub fn drawn_text(drawn: &Drawn) -> String {
    let Drawn { what, value, from } = drawn;
    let is = if what.contains('.') { " = " } else { " " };
    let of = from.as_ref().map_or(String::new(), |from| format!(", of {from}"));
    format!("{what}{is}{value}{of}")
}

/// What a run came to: the numbers, then the verdict.
pub fn after(report: &RunReport) -> String {
    let mut out = String::new();
    if report.hash.is_some() || report.live {
        numbers(&mut out, report);
    }
    out.push_str(&verdict(report));
    out
}

fn numbers(out: &mut String, report: &RunReport) {
    if !report.counters.is_empty() {
        row(out, "work", &counts(&report.counters));
    }
    let packets = &report.packets;
    let always = [("sent", packets.sent), ("delivered", packets.delivered), ("lost", packets.lost)];
    let sometimes = [
        ("retransmitted", packets.retransmitted),
        ("duplicated", packets.duplicated),
        ("corrupted", packets.corrupted),
        ("in flight", packets.in_flight),
    ];
    let shown = always.into_iter().chain(sometimes.into_iter().filter(|(_, n)| *n > 0));
    row(out, "packets", &join(shown));
    let kinds = [("fast", packets.fast), ("tail loss probes", packets.probes), ("after timeouts", packets.timeouts)];
    // Why a real kernel sends one again, nobody knows.
    let kinds: Vec<_> = kinds.into_iter().filter(|(_, n)| *n > 0).collect();
    if !kinds.is_empty() {
        row(out, "sent again", &join(kinds.into_iter()));
    }
    row(out, "faults", &if report.faults.is_empty() { "none".to_owned() } else { counts(&report.faults) });
    inert_rows(out, report);
    for (place, (name, times)) in report.times.iter().enumerate() {
        row(out, if place == 0 { "times" } else { "" }, &quantiles(name, times));
    }
    for (place, note) in report.notes.iter().enumerate() {
        row(out, if place == 0 { "notes" } else { "" }, note);
    }
    let records = style::counted(report.records, "record", "records");
    let Some(hash) = &report.hash else {
        let [run, all] = [report.sim_ms, report.wall_ms].map(|ms| style::seconds(from_milliseconds(ms)));
        row(out, "time", &format!("{run} of real time, {all} with begin and end"));
        return row(out, "live", &format!("not deterministic: no hash over {records}"));
    };
    let lane = report.lane.map_or(String::new(), |lane| format!(", {lane} lane"));
    let pace = style::pace(from_milliseconds(report.sim_ms), from_milliseconds(report.wall_ms));
    row(out, "time", &format!("{pace} ({} steps{lane})", count(report.steps)));
    row(out, "hash", &format!("{hash} over {records}"));
}

/// The faults that did nothing: how many, and which steps of the script.
fn inert_rows(out: &mut String, report: &RunReport) {
    let steps = report.inert_steps.iter().map(|InertStep { step, text, allowed, .. }| {
        format!("step {step} ({text}) did nothing{}", if *allowed { ", as it may" } else { "" })
    });
    let rows = inert(&report.inert, &report.faults).into_iter().chain(steps);
    for (place, text) in rows.enumerate() {
        row(out, if place == 0 { "inert" } else { "" }, &text);
    }
}

/// How many of the faults that began did nothing: `kill 1 of 3`.
pub fn inert(inert: &BTreeMap<String, u64>, faults: &BTreeMap<String, u64>) -> Option<String> {
    let of = |name: &String| faults.get(name).copied().unwrap_or(0);
    let parts = inert.iter().filter(|(_, n)| **n > 0);
    let parts: Vec<_> = parts.map(|(name, n)| format!("{name} {} of {}", count(*n), count(of(name)))).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The verdict alone; a failure with its facts and the command that makes it again.
pub fn verdict(report: &RunReport) -> String {
    let name = format!("{}{} seed={}", report.sim, set_arguments(&report.set), report.seed);
    match (&report.violation, report.as_expected) {
        (None, true) => format!("{} {name}\n", paint(GOOD, "PASS")),
        (Some(violation), true) => {
            let mut out = format!("{} {name}: violation as expected: {}\n", paint(GOOD, "PASS"), finding(violation));
            facts(&mut out, violation);
            out
        }
        _ => failure(report, &name),
    }
}

/// A failure on one line, without facts.
pub fn failure_line(report: &RunReport) -> String {
    verdict(report).lines().next().unwrap_or_default().to_owned()
}

fn failure(report: &RunReport, name: &str) -> String {
    let mut out = if let Some(violation) = &report.violation {
        let at = style::moment(from_milliseconds(violation.at_ms));
        format!("{} {name} at {at}: {}\n", paint(BAD, "FAIL"), finding(violation))
    } else {
        let (style, word) = if report.exit_code == 1 { (BAD, "FAIL") } else { (UNSURE, "INCONCLUSIVE") };
        format!("{} {name}: {}\n", paint(style, word), report.reason.as_deref().unwrap_or("no reason is known"))
    };
    if let Some(violation) = &report.violation {
        facts(&mut out, violation);
    }
    let _ = writeln!(out, "reproduce: {}", report.reproduce);
    if let Some(shrink) = &report.shrink {
        let _ = writeln!(out, "shrink:    {shrink}");
    }
    if let Some(keep) = &report.keep {
        let _ = writeln!(out, "keep:      {keep}");
    }
    out
}

fn finding(violation: &Violation) -> String {
    format!("{}: {}", violation.invariant, violation.message)
}

fn facts(out: &mut String, violation: &Violation) {
    for fact in &violation.facts {
        let at = style::moment(from_milliseconds(fact.at_ms));
        let _ = writeln!(out, "  {at} {} (record {})", fact.text, fact.record);
    }
}

/// A row of a table with a name before it.
pub fn row(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "  {} {value}", paint(DIM, format_args!("{name:<9}")));
}

/// Counters, by name.
pub fn counts(counters: &BTreeMap<String, u64>) -> String {
    join(counters.iter().map(|(name, n)| (name.as_str(), *n)))
}

fn join<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> String {
    let parts: Vec<_> = counts.map(|(name, n)| format!("{name} {}", count(n))).collect();
    parts.join(", ")
}

fn quantiles(name: &str, times: &Times) -> String {
    let [min, p50, p99, max] =
        [times.min_ms, times.p50_ms, times.p99_ms, times.max_ms].map(|value| span(from_milliseconds(value)));
    format!("{name} ({}): least {min}, median {p50}, 99 % within {p99}, most {max}", count(times.count))
}

/// The keys of a script's table, on one line, as they were written.
fn as_written(text: &str, table: &str) -> String {
    let document: toml::Table = toml::from_str(text).unwrap_or_default();
    let Some(toml::Value::Table(table)) = document.get(table) else { return String::new() };
    let parts: Vec<_> = table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::json::RunOf;
    use crate::sim::{Fact, Finding, Verdict};

    fn report(verdict: &Verdict, expected: Option<&str>) -> RunReport {
        let of = RunOf {
            program: "stormglass",
            sim: "raft/chaos",
            set: &[],
            script: "built in",
            seed: 24371,
            expected,
            drawn: &[],
        };
        RunReport::new(&of, verdict, None, Duration::ZERO)
    }

    fn two_leaders() -> Verdict {
        let fact = |ms, record, text: &str| Fact { at: Duration::from_millis(ms), record, text: text.to_owned() };
        Verdict::Violation(Finding {
            invariant: "election safety".to_owned(),
            at: Duration::from_millis(1482),
            record: 3071,
            message: "term 7 has two leaders".to_owned(),
            facts: vec![fact(1201, 2650, "n1 became leader of term 7"), fact(1482, 3071, "n3 became leader of term 7")],
        })
    }

    fn plain(text: &str) -> String {
        style::unpainted(text)
    }

    #[test]
    fn a_failure_says_what_contradicts_what_and_how_to_see_it_again() {
        let text = plain(&after(&report(&two_leaders(), None)));
        let expected = "FAIL raft/chaos seed=24371 at 1.482s: election safety: term 7 has two leaders\n  \
             1.201s n1 became leader of term 7 (record 2650)\n  \
             1.482s n3 became leader of term 7 (record 3071)\n\
             reproduce: stormglass run raft/chaos --seed 24371\n\
             shrink:    stormglass shrink raft/chaos --seed 24371\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_expected_violation_is_a_pass() {
        let text = plain(&verdict(&report(&two_leaders(), Some("election safety"))));
        let start = "PASS raft/chaos seed=24371: violation as expected: election safety: term 7 has two leaders\n";
        assert!(text.starts_with(start), "{text}");
        let text = plain(&verdict(&report(&Verdict::Pass, Some("election safety"))));
        let start = "FAIL raft/chaos seed=24371: the violation that the script expects did not come: election safety\n";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_run_that_says_nothing_says_why() {
        let nothing = Verdict::Inconclusive { reason: "no work was completed".to_owned() };
        let text = plain(&verdict(&report(&nothing, None)));
        assert!(text.starts_with("INCONCLUSIVE raft/chaos seed=24371: no work was completed\nreproduce: "), "{text}");
    }
}
