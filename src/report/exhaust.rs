//! What a search of all states came to: as JSON, and for a person.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::style::{BAD, DIM, GOOD, UNSURE, count, counted, from_milliseconds, paint, seconds};
use super::text::row;

/// The object of `exhaust --json`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ExhaustReport {
    /// The system.
    pub system: String,
    /// The bug that was planted, if one was.
    pub bug: Option<String>,
    /// The one weaker check that was made, if not all were.
    pub check: Option<String>,
    /// How many hosts there are.
    pub nodes: u64,
    /// In how many terms a campaign may begin.
    pub terms: u64,
    /// How many messages may be in flight at once.
    pub messages: u64,
    /// How many power losses there may be in all.
    pub crashes: u64,
    /// How many duplicates of messages may arrive in all.
    pub duplicates: u64,
    /// How many clients' commands there may be in all; 0: there are elections and no logs.
    pub entries: u64,
    /// Whether states that differ in the names of hosts only were one.
    pub symmetry: bool,
    /// Distinct states that were visited.
    pub states: u64,
    /// Steps that were taken, also those to states that were known.
    pub transitions: u64,
    /// The most steps from the start to a state; of a violation, the length of its path.
    pub depth: u64,
    /// Whether no state within the bounds is left.
    pub exhausted: bool,
    /// Whether it was ended by a signal.
    pub interrupted: bool,
    /// The wall time that it took, in milliseconds.
    pub wall_ms: f64,
    /// Distinct states per second of wall time.
    pub states_per_second: f64,
    /// The violation that was found, if one was.
    pub violation: Option<PathReport>,
    /// The exit code.
    pub exit_code: u8,
}

/// A shortest path to a violation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PathReport {
    /// The invariant that the last step breaks.
    pub invariant: String,
    /// One sentence.
    pub message: String,
    /// No path at all is shorter; else none that a script can say is.
    pub shortest: bool,
    /// The steps, in words.
    pub steps: Vec<String>,
    /// The steps as a script, if a script can say them.
    pub script: Option<String>,
    /// Why it cannot.
    pub no_script: Option<String>,
    /// The file that the script was written to, if it was.
    pub file: Option<String>,
    /// What a run of the script came to.
    pub run: Option<ScriptRun>,
    /// The command that makes that run, if there is a file.
    pub reproduce: Option<String>,
}

/// What a run of the script came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ScriptRun {
    /// Whether it breaks the same invariant.
    pub same: bool,
    /// Its verdict, in a line.
    pub verdict: String,
}

/// The bounds, for before the search.
pub fn before(report: &ExhaustReport) -> String {
    let ExhaustReport { system, bug, check, nodes, terms, messages, crashes, duplicates, entries, symmetry, .. } =
        report;
    let mut out = String::new();
    let bug = bug.as_ref().map_or(String::new(), |bug| format!(" with {bug}"));
    row(&mut out, "system", &format!("{system}{bug}"));
    let flying = counted(*messages, "message", "messages");
    let mut bounds = format!(
        "{}, {}, at most {flying} in flight; in all {} and {}",
        counted(*nodes, "host", "hosts"),
        counted(*terms, "term", "terms"),
        counted(*crashes, "power loss", "power losses"),
        counted(*duplicates, "duplicate", "duplicates")
    );
    if *entries > 0 {
        let _ = write!(bounds, "; a log with {} of clients", counted(*entries, "entry", "entries"));
    }
    if !symmetry {
        bounds += "; without symmetry";
    }
    row(&mut out, "bounds", &bounds);
    if let Some(check) = check {
        row(&mut out, "check", &format!("{check} alone"));
    }
    out
}

/// What it came to.
pub fn after(report: &ExhaustReport) -> String {
    let ExhaustReport { states, transitions, depth, wall_ms, states_per_second, .. } = report;
    let mut out = String::new();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and small")]
    let rate = count(*states_per_second as u64);
    let took = seconds(from_milliseconds(*wall_ms));
    row(&mut out, "states", &format!("{} distinct in {took}, {rate} a second", count(*states)));
    row(&mut out, "steps", &format!("{}, depth {depth}", count(*transitions)));
    let system = &report.system;
    let Some(path) = &report.violation else {
        let (word, said) = match (report.exhausted, report.interrupted) {
            (true, _) => (paint(GOOD, "PASS"), "nothing is broken, and no state within the bounds is left"),
            (false, true) => (paint(UNSURE, "INTERRUPTED"), "nothing was broken so far"),
            (false, false) => (paint(UNSURE, "INCONCLUSIVE"), "nothing was broken before `--states` was reached"),
        };
        let _ = writeln!(out, "\n{word} {system}: {said}");
        return out;
    };
    let that = if path.shortest { "" } else { " that a script can say" };
    let _ = writeln!(out, "\nno path{that} is shorter than this one:");
    for (number, step) in path.steps.iter().enumerate() {
        let _ = writeln!(out, "  {}. {step}", number + 1);
    }
    if let Some(why) = &path.no_script {
        let _ = writeln!(out, "\nthere is no script of it: {why}");
    }
    if let Some(script) = &path.script {
        let _ = writeln!(out, "\nas a script:\n");
        for line in script.lines() {
            let _ =
                writeln!(out, "{}", if line.is_empty() { String::new() } else { format!("  {}", paint(DIM, line)) });
        }
        let _ = writeln!(out);
    }
    if let Some(file) = &path.file {
        row(&mut out, "script", file);
    }
    if let Some(run) = &path.run {
        let same = if run.same { "breaks the same" } else { "DOES NOT BREAK THE SAME" };
        row(&mut out, "its run", &format!("{same}: {}", run.verdict));
    }
    let _ = writeln!(
        out,
        "\n{} {system}: {}",
        paint(BAD, "FAIL"),
        paint(BAD, format!("{}: {}", path.invariant, path.message))
    );
    if let Some(reproduce) = &path.reproduce {
        let _ = writeln!(out, "reproduce: {reproduce}");
    }
    out
}
