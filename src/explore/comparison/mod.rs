//! Simulated and live runs of the same seeds, side by side: whether their verdicts agree, and how far their figures are from
//! each other.
//!
//! Figures are of all seeds whose verdicts agree, pooled: a lossy run alone has too few samples for its slowest hundredth.
//! They are simulated over live, as the guide's page on how true the network is has them, and are held to the bounds
//! that TCP is held to there.

mod measures;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::watcher::Ran;
use crate::report::json::{RunReport, Times, milliseconds};
use crate::report::judgement::Exit;
use crate::script::Setting;
use crate::sim::Verdict;

pub use measures::{BOUND, BOUND_OF_BULK, Distance, Group, Measure, Unit};

/// A seed's run, made twice: simulated, and on real processes.
pub struct Pair {
    /// Simulated.
    pub simulated: Half,
    /// Live.
    pub live: Half,
}

/// One of the two runs.
pub struct Half {
    /// The run.
    pub ran: Ran,
    /// Its report.
    pub report: RunReport,
}

/// Whether two verdicts are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// They are, and of a violation its invariant too.
    Agree,
    /// They are not.
    Differ,
    /// One of them says nothing, so that there is nothing to compare.
    Inconclusive,
}

/// What a comparison came to, as `live --compare --json` prints it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComparisonReport {
    /// The sim, as it was named.
    pub sim: String,
    /// What was set on top of its script, each as `KEY=VALUE`.
    pub set: Vec<String>,
    /// The script's path, or `built in`.
    pub script: String,
    /// Whether the verdicts of all seeds agree.
    pub agreement: Agreement,
    /// The exit code of the call: 0 they agree, 1 they do not, 4 some say nothing, 130 interrupted.
    pub exit_code: u8,
    /// Always true: half of it is of real processes, and another each time.
    pub live: bool,
    /// Whether seeds are missing because it was interrupted.
    pub interrupted: bool,
    /// The seeds whose runs the figures are of.
    pub pooled: Vec<u64>,
    /// Each figure of both.
    pub measures: Vec<Measure>,
    /// How late the relay of the live runs was, over the packets of all.
    pub relay_late: Option<Times>,
    /// Each seed's two runs.
    pub runs: Vec<PairReport>,
    /// The wall time that all of it took, in milliseconds.
    pub wall_ms: f64,
}

/// A seed's two runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairReport {
    /// The seed.
    pub seed: u64,
    /// Whether their verdicts agree.
    pub agreement: Agreement,
    /// The simulated one.
    pub simulated: RunReport,
    /// The live one.
    pub live: RunReport,
}

/// Of what it is.
pub struct Of<'a> {
    /// The sim, as it was named.
    pub sim: &'a str,
    /// What was set on top of its script.
    pub set: &'a [Setting],
    /// The script's path, or `built in`.
    pub script: &'a str,
    /// The grain of simulated times.
    pub tick: Duration,
    /// How late the relay of the live runs was.
    pub relay_late: Option<Times>,
    /// Whether seeds are missing.
    pub interrupted: bool,
    /// The wall time that it took.
    pub wall: Duration,
}

impl Agreement {
    /// Of two verdicts.
    pub fn of(simulated: &Verdict, live: &Verdict) -> Self {
        match (simulated, live) {
            (Verdict::Inconclusive { .. }, _) | (_, Verdict::Inconclusive { .. }) => Self::Inconclusive,
            (one, other) if one.name() != other.name() => Self::Differ,
            (one, other) => match (one.finding(), other.finding()) {
                (Some(one), Some(other)) if !one.is_same(other) => Self::Differ,
                _ => Self::Agree,
            },
        }
    }

    /// Of many: a difference outweighs what says nothing.
    fn of_all(all: &[Self]) -> Self {
        if all.contains(&Self::Differ) {
            Self::Differ
        } else if all.is_empty() || all.contains(&Self::Inconclusive) {
            Self::Inconclusive
        } else {
            Self::Agree
        }
    }
}

impl ComparisonReport {
    /// Compares the runs of some seeds, in their order.
    pub fn new(of: &Of<'_>, pairs: Vec<Pair>) -> Self {
        let agreement = |pair: &Pair| Agreement::of(pair.simulated.ran.verdict(), pair.live.ran.verdict());
        let agreeing: Vec<&Pair> = pairs.iter().filter(|pair| agreement(pair) == Agreement::Agree).collect();
        // Where none does, what they came to is all there is to look at.
        let pooled = if agreeing.is_empty() { pairs.iter().collect() } else { agreeing };
        let measures = measures::measures(&pooled, of.tick);
        let pooled = pooled.iter().map(|pair| pair.live.report.seed).collect();
        let run = |pair: Pair| PairReport {
            seed: pair.live.report.seed,
            agreement: agreement(&pair),
            simulated: pair.simulated.report,
            live: pair.live.report,
        };
        let runs: Vec<PairReport> = pairs.into_iter().map(run).collect();
        let agreement = Agreement::of_all(&runs.iter().map(|run| run.agreement).collect::<Vec<_>>());
        let mut report = Self {
            sim: of.sim.to_owned(),
            set: of.set.iter().map(ToString::to_string).collect(),
            script: of.script.to_owned(),
            agreement,
            exit_code: 0,
            live: true,
            interrupted: of.interrupted,
            pooled,
            measures,
            relay_late: of.relay_late,
            runs,
            wall_ms: milliseconds(of.wall),
        };
        report.exit_code = report.exit() as u8;
        report
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self.agreement {
            Agreement::Differ => Exit::Found,
            _ if self.interrupted => Exit::Interrupted,
            Agreement::Inconclusive => Exit::Inconclusive,
            Agreement::Agree => Exit::Expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Finding;

    fn broken(invariant: &str, message: &str) -> Verdict {
        let (invariant, message) = (invariant.to_owned(), message.to_owned());
        Verdict::Violation(Finding { invariant, at: Duration::ZERO, record: 0, message, facts: Vec::new() })
    }

    #[test]
    fn verdicts_agree_if_they_are_of_the_same_invariant() {
        let nothing = Verdict::Inconclusive { reason: "no work".to_owned() };
        let found = broken("order", "2 before 1");
        for (one, other, expected) in [
            (&Verdict::Pass, &Verdict::Pass, Agreement::Agree),
            (&found, &broken("order", "7 before 5"), Agreement::Agree),
            (&found, &broken("liveness", "it stands"), Agreement::Differ),
            (&broken("expectation", "answers is 3"), &broken("expectation", "lost is 3"), Agreement::Differ),
            (&Verdict::Pass, &found, Agreement::Differ),
            (&found, &Verdict::Pass, Agreement::Differ),
            (&Verdict::Pass, &nothing, Agreement::Inconclusive),
            // Two runs that say nothing say nothing about each other.
            (&nothing, &nothing, Agreement::Inconclusive),
        ] {
            assert_eq!(Agreement::of(one, other), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_difference_in_one_seed_is_one_in_all_and_none_is_no_agreement() {
        use Agreement::{Agree, Differ, Inconclusive};
        assert_eq!(Agreement::of_all(&[Agree, Agree]), Agree);
        assert_eq!(Agreement::of_all(&[Agree, Differ, Inconclusive]), Differ);
        assert_eq!(Agreement::of_all(&[Agree, Inconclusive]), Inconclusive);
        assert_eq!(Agreement::of_all(&[]), Inconclusive);
    }
}
