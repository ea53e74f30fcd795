//! What came of shrinking, as data.

use schemars::JsonSchema;
use serde::Serialize;

use super::Plan;
use crate::report::json::milliseconds;

/// What came of shrinking, as `shrink --json` prints it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShrinkReport {
    /// The sim, with what was set on top of it.
    pub sim: String,
    /// The seed, which is also the script's.
    pub seed: u64,
    /// The invariant that is broken.
    pub violation: String,
    /// What the run came to, written out.
    pub from: SizeReport,
    /// What is left of it.
    pub to: SizeReport,
    /// Whether nothing more could be taken out; false: there was no time or no run left to try.
    pub minimal: bool,
    /// Whether it was ended by a signal.
    pub interrupted: bool,
    /// How many runs were made.
    pub runs: u64,
    /// The wall time that it took, in milliseconds.
    pub wall_ms: f64,
    /// The file of the script.
    pub script: String,
    /// The file of the case, if one was saved.
    pub case: Option<String>,
    /// The hash of the script's run.
    pub hash: Option<String>,
    /// The command that runs it.
    pub reproduce: String,
    /// The script itself.
    pub text: String,
}

/// How much there is of a script.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SizeReport {
    /// Its steps.
    pub steps: usize,
    /// Packets that it gives a fate.
    pub packets: usize,
    /// How long it runs, in milliseconds.
    pub sim_ms: f64,
    /// Lines of its text that say something.
    pub lines: usize,
}

impl SizeReport {
    /// Steps, and packets that have a fate.
    pub fn faults(&self) -> usize {
        self.steps + self.packets
    }

    /// Of a plan.
    pub fn new(plan: &Plan) -> Self {
        let lines = plan.text().lines().filter(|line| !line.is_empty()).count();
        let sim_ms = milliseconds(plan.duration);
        Self { steps: plan.steps.len(), packets: plan.packets.len(), sim_ms, lines }
    }
}
