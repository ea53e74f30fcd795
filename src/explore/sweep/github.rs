//! A sweep as GitHub Actions shows it: annotations, which are lines of a job's log, and a summary in Markdown.

use std::fmt::Write as _;

use super::report::{SimReport, SweepReport};
use crate::report::json::{RunReport, set_arguments};
use crate::report::style::{count, unpainted};
use crate::report::text;

/// How many annotations of a kind GitHub shows of a step.
const ANNOTATIONS: usize = 10;

/// How many failures the summary has in full: it may not be larger than 1 MiB.
const IN_FULL: usize = 20;

/// The lines that make annotations: an error for each failure, a warning for each sim that says nothing.
pub fn annotations(sweep: &SweepReport) -> String {
    let mut out = String::new();
    let failures = sweep.sims.iter().flat_map(|sim| &sim.failures);
    for run in failures.filter(|run| run.exit_code == 1).take(ANNOTATIONS) {
        let title = format!("{}{} seed={}", run.sim, set_arguments(&run.set), run.seed);
        let is_built_in = run.script == "built in";
        let file = if is_built_in { String::new() } else { format!("file={},", property(&run.script)) };
        let _ = writeln!(out, "::error {file}title={}::{}", property(&title), data(&plain(run)));
    }
    for sim in sweep.sims.iter().filter(|sim| sim.failed == 0).take(ANNOTATIONS) {
        let reasons = reasons(sweep, sim);
        if !reasons.is_empty() {
            let title = format!("{} is inconclusive", title(sim));
            let _ = writeln!(out, "::warning title={}::{}", property(&title), data(&reasons.join("; ")));
        }
    }
    out
}

/// The summary.
pub fn summary(sweep: &SweepReport) -> String {
    let shard = sweep.shard.map_or(String::new(), |shard| format!(", shard {shard}"));
    let mut out = format!("### Sweep of seeds {}{shard}\n\n", sweep.range());
    out.push_str("| | sim | seeds | passed | failed | inconclusive | hash |\n|---|---|--:|--:|--:|--:|---|\n");
    for sim in &sweep.sims {
        let mark = match (sim.failed, reasons(sweep, sim).is_empty()) {
            (0, true) => "✅",
            (0, false) => "⚠️",
            _ => "❌",
        };
        let numbers = [sim.seeds, sim.passed, sim.failed, sim.inconclusive].map(count).join(" | ");
        let _ =
            writeln!(out, "| {mark} | `{}` | {numbers} | `{}` |", title(sim).replace('|', "\\|"), sim.hash_in_words());
    }
    for sim in &sweep.sims {
        for reason in reasons(sweep, sim) {
            let _ = writeln!(out, "\n⚠️ `{}`: {reason}", title(sim));
        }
    }
    let failures: Vec<_> = sweep.sims.iter().flat_map(|sim| &sim.failures).filter(|run| run.exit_code == 1).collect();
    for run in failures.iter().take(IN_FULL) {
        let _ = writeln!(out, "\n```text\n{}```", plain(run));
    }
    if failures.len() > IN_FULL {
        let _ = writeln!(out, "\nand {} more", count((failures.len() - IN_FULL) as u64));
    }
    out.push('\n');
    out
}

/// Why a sim says nothing.
fn reasons(sweep: &SweepReport, sim: &SimReport) -> Vec<String> {
    let mut reasons = Vec::new();
    if sim.inconclusive > 0 {
        reasons.push(format!("{} of {} runs say nothing", count(sim.inconclusive), count(sim.seeds)));
    }
    let never = sim.never_in_words();
    if sweep.shard.is_none() && !never.is_empty() {
        reasons.push(format!("never came about in {} seeds: {never}", count(sim.seeds)));
    }
    reasons
}

fn title(sim: &SimReport) -> String {
    format!("{}{}", sim.sim, set_arguments(&sim.set))
}

fn plain(run: &RunReport) -> String {
    unpainted(&text::verdict(run))
}

/// A message, as a workflow command takes it.
fn data(text: &str) -> String {
    text.trim_end().replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_escaped() {
        assert_eq!(data("50 %\r\nof it: a, b\n"), "50 %25%0D%0Aof it: a, b");
        assert_eq!(property("a: b, c"), "a%3A b%2C c");
    }
}
