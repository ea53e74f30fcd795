//! Single-fault certificates: a run that passes, made again with each single fault that could have hit it.
//!
//! Of every packet it is tried what happens if just this one is lost, comes twice, or comes too late; and after every
//! record, what happens if one of the hosts dies just then. Everything up to the fault is as it was in the run that passes.
//!
//! A host that dies between two records of others in the same tick dies the same death: a crash point is a host, a tick,
//! and how many of the host's own records there were.

mod faults;
mod state;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

pub use faults::{Fault, Kind, Terms, all, sample};
pub use state::{Header, State, StateError};

use crate::sim::Verdict;

/// What came of a run with one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Survival {
    /// It passes all the same.
    Survived,
    /// It breaks something: an invariant, and how.
    Broke(String, String),
    /// It says nothing.
    Unsure(String),
}

impl Survival {
    /// What a verdict says of it.
    pub fn new(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Survived,
            Verdict::Inconclusive { reason } => Self::Unsure(reason.clone()),
            Verdict::Violation(finding)
            | Verdict::Panic(finding)
            | Verdict::Stuck(finding)
            | Verdict::Memory(finding) => Self::Broke(finding.invariant.clone(), finding.message.clone()),
        }
    }
}

/// How many faults of a kind there are, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tally {
    /// All that there are.
    pub of: u64,
    /// How many were tried.
    pub tried: u64,
    /// How many were survived.
    pub survived: u64,
    /// How many broke something.
    pub broke: u64,
    /// How many say nothing.
    pub unsure: u64,
}

impl Tally {
    /// Takes in a fault that was tried.
    pub fn add(&mut self, survival: &Survival) {
        self.tried += 1;
        match survival {
            Survival::Survived => self.survived += 1,
            Survival::Broke(..) => self.broke += 1,
            Survival::Unsure(_) => self.unsure += 1,
        }
    }
}

/// A certificate, as `certify --json` prints it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CertifyReport {
    /// The sim, with what was set on top of it.
    pub sim: String,
    /// The seed.
    pub seed: u64,
    /// The hash of the run that passes.
    pub hash: String,
    /// The exit code.
    pub exit_code: u8,
    /// Whether it was ended by a signal; the same call goes on.
    pub interrupted: bool,
    /// By kind: `losses`, `duplicates`, `delays`, `crashes`.
    pub faults: BTreeMap<String, Tally>,
    /// TCP segments, which are not copied: the receiver's TCP keeps one of each.
    pub segments: u64,
    /// How long late packets took, in milliseconds.
    pub late_ms: f64,
    /// How long dead hosts were down, in milliseconds.
    pub down_ms: f64,
    /// What was not survived, in order.
    pub broken: Vec<BrokenReport>,
    /// What says nothing, and why, in order.
    pub unsure: Vec<String>,
    /// The wall time that it took, in milliseconds.
    pub wall_ms: f64,
}

/// A fault that was not survived.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BrokenReport {
    /// The fault.
    pub fault: String,
    /// The invariant that it breaks.
    pub violation: String,
    /// How.
    pub message: String,
    /// The script that shows it.
    pub script: String,
    /// The command that runs it.
    pub reproduce: String,
}
