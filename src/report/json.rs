//! Results as data: what `--json` prints, with a schema.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judgement::Judgement;
use crate::script::{Lane, Setting};
use crate::sim::{Drawn, Finding, InertStep, Outcome, PacketCounts, Quantiles, Verdict};

/// The result of one run, as `run --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunReport {
    /// The sim, as it was named.
    pub sim: String,
    /// What was set on top of its script, each as `KEY=VALUE`.
    pub set: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The script's path, or `built in`.
    pub script: String,
    /// What the seed drew before the run began: options, times of steps, chaos.
    #[serde(default)]
    pub drawn: Vec<Drawn>,
    /// `pass`, `violation`, `panic`, `stuck`, `memory` or `inconclusive`.
    pub verdict: String,
    /// Whether the verdict is the one that the script expects.
    pub as_expected: bool,
    /// The exit code of `run`: 0 as expected, 1 not, 4 inconclusive.
    pub exit_code: u8,
    /// The hash over all records, 16 hexadecimal digits; null if the process of the run did not live to its end, and of a
    /// live run.
    pub hash: Option<String>,
    /// Whether its hosts were real processes: such a run is not deterministic, and its times are real ones.
    #[serde(default, skip_serializing_if = "is_false")]
    pub live: bool,
    /// The simulated time that passed, in milliseconds.
    pub sim_ms: f64,
    /// The wall time that it took, in milliseconds. All else is the same in every run of the seed.
    pub wall_ms: f64,
    /// The lane in which it was made: `core`, from event to event, or `turmoil`, tick by tick; null if its process did not
    /// live to its end. It changes nothing but the wall time and the number of steps.
    #[serde(default)]
    pub lane: Option<Lane>,
    /// The steps in which it was made: ticks in the turmoil lane, and those with something to do in the core lane.
    pub steps: u64,
    /// The number of records.
    pub records: u64,
    /// What became of the packets.
    pub packets: Packets,
    /// How many faults began, by name.
    pub faults: BTreeMap<String, u64>,
    /// How many of them did nothing: they touched no packet, no connection and no process.
    #[serde(default)]
    pub inert: BTreeMap<String, u64>,
    /// The steps of the script that did nothing. One that may not makes the run inconclusive.
    #[serde(default)]
    pub inert_steps: Vec<InertStep>,
    /// The system's counters.
    pub counters: BTreeMap<String, u64>,
    /// What is to be read beside the verdict: checks that were not made, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The system's times.
    pub times: BTreeMap<String, Times>,
    /// What was found, if something was.
    pub violation: Option<Violation>,
    /// Why it is inconclusive, or what did not come that was expected.
    pub reason: Option<String>,
    /// The command that makes the run again.
    pub reproduce: String,
    /// The command that makes a failure small, if it is one.
    pub shrink: Option<String>,
    /// The command that keeps a failure as a case, if it is one that has a hash: all but why it is kept.
    pub keep: Option<String>,
}

/// Packets, counted: `sent + retransmitted + duplicated = delivered + lost + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Packets {
    /// Packets that hosts handed to the network.
    pub sent: u64,
    /// Transmissions that arrived.
    pub delivered: u64,
    /// Transmissions that were lost.
    pub lost: u64,
    /// TCP segments sent again.
    pub retransmitted: u64,
    /// Of these, those that later segments had overtaken: fast retransmissions.
    #[serde(default)]
    pub fast: u64,
    /// Of these, tail loss probes.
    #[serde(default)]
    pub probes: u64,
    /// Of these, those after a timeout.
    #[serde(default)]
    pub timeouts: u64,
    /// Copies that the network made.
    pub duplicated: u64,
    /// Datagrams of which the network flipped a bit.
    pub corrupted: u64,
    /// Transmissions under way, or held, at the end.
    pub in_flight: u64,
}

/// Quantiles of a set of durations, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub min_ms: f64,
    /// The median.
    pub p50_ms: f64,
    /// Of 100, 99 are at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What was found: a violation, a panic, or a run that stuck or took too much memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// The invariant's name; `panic`, `stuck` and `memory` for those.
    pub invariant: String,
    /// When, in milliseconds of simulated time.
    pub at_ms: f64,
    /// The record at which it was found.
    pub record: u64,
    /// One sentence.
    pub message: String,
    /// The facts that contradict each other, oldest first.
    pub facts: Vec<FactReport>,
}

/// One fact of a finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FactReport {
    /// When, in milliseconds of simulated time.
    pub at_ms: f64,
    /// The record that shows it.
    pub record: u64,
    /// What, beginning with the host.
    pub text: String,
}

/// Which run a report is of.
#[derive(Clone, Copy, Debug)]
pub struct RunOf<'a> {
    /// The command's own name, for the line that reproduces it.
    pub program: &'a str,
    /// The sim, as it was named.
    pub sim: &'a str,
    /// What was set on top of its script.
    pub set: &'a [Setting],
    /// The script's path, or `built in`.
    pub script: &'a str,
    /// The seed.
    pub seed: u64,
    /// The violation that the script expects.
    pub expected: Option<&'a str>,
    /// What the seed drew.
    pub drawn: &'a [Drawn],
}

impl RunReport {
    /// The report of a run; without an outcome of one whose process did not live to its end.
    pub fn new(of: &RunOf<'_>, verdict: &Verdict, outcome: Option<&Outcome>, wall: Duration) -> Self {
        let judgement = Judgement::new(verdict, of.expected);
        let reason = match (verdict, judgement, of.expected) {
            (Verdict::Inconclusive { reason }, ..) => Some(reason.clone()),
            (_, Judgement::ViolationMissing, Some(expected)) => {
                Some(format!("the violation that the script expects did not come: {expected}"))
            }
            _ => None,
        };
        let is_failure = judgement == Judgement::Found;
        let until = verdict.finding().map_or(Duration::ZERO, |finding| finding.at);
        let times = outcome.map(|outcome| outcome.times.iter().map(|(name, times)| (name.clone(), times.into())));
        Self {
            sim: of.sim.to_owned(),
            set: of.set.iter().map(ToString::to_string).collect(),
            seed: of.seed,
            script: of.script.to_owned(),
            drawn: of.drawn.to_vec(),
            verdict: verdict.name().to_owned(),
            as_expected: judgement.is_as_expected(),
            exit_code: judgement.exit() as u8,
            hash: outcome.map(|outcome| outcome.hash.to_string()),
            live: false,
            sim_ms: milliseconds(outcome.map_or(until, |outcome| outcome.simulated)),
            wall_ms: milliseconds(wall),
            lane: outcome.map(|outcome| outcome.lane),
            steps: outcome.map_or(0, |outcome| outcome.steps),
            records: outcome.map_or(0, |outcome| outcome.records),
            packets: outcome.map(|outcome| (&outcome.packets).into()).unwrap_or_default(),
            faults: outcome.map(|outcome| outcome.faults.clone()).unwrap_or_default(),
            inert: outcome.map(|outcome| outcome.inert.clone()).unwrap_or_default(),
            inert_steps: outcome.map(|outcome| outcome.inert_steps.clone()).unwrap_or_default(),
            counters: outcome.map(|outcome| outcome.counters.clone()).unwrap_or_default(),
            notes: outcome.map(|outcome| outcome.notes.clone()).unwrap_or_default(),
            times: times.into_iter().flatten().collect(),
            violation: verdict.finding().map(Violation::from),
            reason,
            reproduce: reproduce(of.program, of.sim, of.set, of.seed),
            shrink: is_failure.then(|| call("shrink", of.program, of.sim, of.set, of.seed)),
            // A case has a hash.
            keep: (is_failure && outcome.is_some())
                .then(|| call("keep", of.program, of.sim, of.set, of.seed) + " --why '…'"),
        }
    }
}

impl RunReport {
    /// The same of a live run: it has no hash, and what makes it again, or makes it small, is `live`.
    #[must_use]
    pub fn of_live(mut self, of: &RunOf<'_>) -> Self {
        (self.live, self.hash, self.lane, self.keep) = (true, None, None, None);
        self.reproduce = live_again(of.program, of.sim, of.set, of.seed);
        self.shrink = self.shrink.map(|_| self.reproduce.clone() + " --shrink");
        self
    }
}

impl From<&Finding> for Violation {
    fn from(finding: &Finding) -> Self {
        let facts = finding.facts.iter().map(|fact| FactReport {
            at_ms: milliseconds(fact.at),
            record: fact.record,
            text: fact.text.clone(),
        });
        Self {
            invariant: finding.invariant.clone(),
            at_ms: milliseconds(finding.at),
            record: finding.record,
            message: finding.message.clone(),
            facts: facts.collect(),
        }
    }
}

impl From<&PacketCounts> for Packets {
    fn from(counts: &PacketCounts) -> Self {
        let PacketCounts { sent, delivered, lost, retransmitted, fast, probes, timeouts, .. } = *counts;
        let PacketCounts { duplicated, corrupted, in_flight, .. } = *counts;
        Self { sent, delivered, lost, retransmitted, fast, probes, timeouts, duplicated, corrupted, in_flight }
    }
}

impl From<&Quantiles> for Times {
    fn from(times: &Quantiles) -> Self {
        Self {
            count: times.count,
            min_ms: milliseconds(times.min),
            p50_ms: milliseconds(times.p50),
            p99_ms: milliseconds(times.p99),
            max_ms: milliseconds(times.max),
        }
    }
}

/// The command that makes a run again.
pub fn reproduce(program: &str, sim: &str, set: &[impl Display], seed: u64) -> String {
    call("run", program, sim, set, seed)
}

/// The command that makes a live run of a seed again, which need not come to the same.
pub fn live_again(program: &str, sim: &str, set: &[impl Display], seed: u64) -> String {
    call("live", program, sim, set, seed)
}

fn call(name: &str, program: &str, sim: &str, set: &[impl Display], seed: u64) -> String {
    format!("{} {name} {}{} --seed {seed}", quoted(program), quoted(sim), set_arguments(set))
}

/// Settings as a call takes them: ` --set KEY=VALUE` for each, with a space before it.
pub(crate) fn set_arguments(set: &[impl Display]) -> String {
    set.iter().flat_map(|setting| [" --set ".to_owned(), quoted(&setting.to_string())]).collect()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

/// A word as a shell takes it for one.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./+=:@,%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A duration in milliseconds, exact to the nanosecond as far as the number goes.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_reproduces_a_run_is_for_a_shell() {
        assert_eq!(
            reproduce("stormglass", "echo/chaos@x", &[] as &[Setting], 7),
            "stormglass run echo/chaos@x --seed 7"
        );
        let line = reproduce("stormglass", "my sims/it's.toml", &[] as &[Setting], 7);
        assert_eq!(line, r"stormglass run 'my sims/it'\''s.toml' --seed 7");
        let set = ["network.loss=0.1", "expect.counters.answers=> 0"].map(|set| set.parse::<Setting>().unwrap());
        let line = reproduce("stormglass", "a/b", &set, 7);
        assert_eq!(line, "stormglass run a/b --set network.loss=0.1 --set 'expect.counters.answers=> 0' --seed 7");
    }
}
