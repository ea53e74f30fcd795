//! What a run came to: verdict, numbers, hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::script::Lane;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::trace::{Trace, TraceHash};

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The hash over all records.
    pub hash: TraceHash,
    /// The simulated time that passed.
    pub simulated: Duration,
    /// The lane that it was made in.
    pub lane: Lane,
    /// The steps that it was made in: every tick in the turmoil lane, and in the core lane those with something to do.
    pub steps: u64,
    /// The number of records.
    pub records: u64,
    /// What became of the packets.
    pub packets: PacketCounts,
    /// How many faults began, by their name (`partition`, `kill` …).
    pub faults: BTreeMap<String, u64>,
    /// How many of them did nothing: they touched no packet, no connection and no process.
    pub inert: BTreeMap<String, u64>,
    /// The steps of the script that did nothing.
    pub inert_steps: Vec<InertStep>,
    /// The system's own counters.
    pub counters: BTreeMap<String, u64>,
    /// The system's own times (of requests, say), by name.
    pub times: BTreeMap<String, Quantiles>,
    /// Each of these times, in order, as long as it is to be had: a worker hands them on only where they are asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub samples: BTreeMap<String, Vec<Duration>>,
    /// What is to be read beside the verdict: checks that were not made, say, and why.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What it has shown, to compare it with other runs: `kind (state)`, of records and the hosts that they are of.
    pub coverage: BTreeSet<String>,
    /// The records, if they were kept.
    #[serde(skip)]
    pub trace: Option<Trace>,
}

impl Outcome {
    /// A counter by its name: of packets, of faults, or the system's own. One that nobody counted is 0.
    pub fn counter(&self, name: &str) -> u64 {
        counter(name, &self.packets, [&self.faults, &self.inert], self.counters.get(name).copied())
    }
}

/// A step of a script that did nothing while it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InertStep {
    /// Its number in the script, from 1.
    pub step: u64,
    /// Its line in the script.
    pub line: u64,
    /// The step, as it was to be done; a role stands for those who had it.
    pub text: String,
    /// Whether the script says that it may be.
    pub allowed: bool,
}

/// A counter by its name, which is `own` where it is neither of packets nor of faults.
pub(crate) fn counter(
    name: &str,
    packets: &PacketCounts,
    [faults, inert]: [&BTreeMap<String, u64>; 2],
    own: Option<u64>,
) -> u64 {
    let PacketCounts { sent, delivered, lost, retransmitted, fast, probes, timeouts, .. } = *packets;
    let PacketCounts { duplicated, corrupted, in_flight, .. } = *packets;
    match name {
        "packets.sent" => sent,
        "packets.delivered" => delivered,
        "packets.lost" => lost,
        "packets.retransmitted" => retransmitted,
        "packets.fast" => fast,
        "packets.probes" => probes,
        "packets.timeouts" => timeouts,
        "packets.duplicated" => duplicated,
        "packets.corrupted" => corrupted,
        "packets.in_flight" => in_flight,
        _ => {
            let of = |counts: &BTreeMap<String, u64>, fault: &str| counts.get(fault).copied().unwrap_or(0);
            let faults_of = name.strip_prefix("faults.").map(|fault| of(faults, fault));
            let inert_of = name.strip_prefix("inert.").map(|fault| of(inert, fault));
            let acted = name.strip_prefix("acted.").map(|fault| of(faults, fault).saturating_sub(of(inert, fault)));
            faults_of.or(inert_of).or(acted).unwrap_or_else(|| own.unwrap_or(0))
        }
    }
}

/// Packets, counted. Every transmission is accounted for:
/// `sent + retransmitted + duplicated = delivered + lost + in_flight`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketCounts {
    /// Packets that hosts handed to the network.
    pub sent: u64,
    /// Transmissions that arrived.
    pub delivered: u64,
    /// Transmissions that were lost.
    pub lost: u64,
    /// TCP segments sent again.
    pub retransmitted: u64,
    /// Of these, those that later ones had overtaken: fast retransmissions.
    pub fast: u64,
    /// Of these, tail loss probes.
    pub probes: u64,
    /// Of these, those after a timeout.
    pub timeouts: u64,
    /// Copies that the network made.
    pub duplicated: u64,
    /// Datagrams of which the network flipped a bit.
    pub corrupted: u64,
    /// Transmissions under way, or held, when the run ended.
    pub in_flight: u64,
}

impl PacketCounts {
    /// The names of the counters.
    pub const NAMES: [&str; 7] = [
        "packets.sent",
        "packets.delivered",
        "packets.lost",
        "packets.retransmitted",
        "packets.duplicated",
        "packets.corrupted",
        "packets.in_flight",
    ];
}

/// Quantiles of a set of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many durations there were.
    pub count: u64,
    /// The shortest.
    pub min: Duration,
    /// The median.
    pub p50: Duration,
    /// Of 100, 99 are at most this.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// The verdict over a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Verdict {
    /// Nothing was violated, and work was done.
    Pass,
    /// An invariant was violated.
    Violation(Finding),
    /// A host, or the testbed, panicked.
    Panic(Finding),
    /// A task kept its thread and never yielded. Only a watching process can tell.
    Stuck(Finding),
    /// The process of the run took more memory than it may. Only a watching process can tell.
    Memory(Finding),
    /// The run says nothing: no work was completed, or a step never fired.
    Inconclusive {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    /// Why a run is inconclusive in which hosts did nothing.
    pub const NO_WORK: &str = "no work was completed";
}

/// What was found, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The invariant's name; `panic`, `stuck` and `memory` for those.
    pub invariant: String,
    /// When, in simulated time.
    pub at: Duration,
    /// The record at which it was found.
    pub record: u64,
    /// One sentence.
    pub message: String,
    /// The facts that contradict each other, oldest first.
    pub facts: Vec<Fact>,
}

impl Finding {
    /// The invariant that a script's own bounds are.
    pub const EXPECTATION: &str = "expectation";

    /// Whether another run breaks the same: the same invariant, and of a script's own bounds that of the same counter.
    pub fn is_same(&self, other: &Self) -> bool {
        let counter = |finding: &Self| finding.message.split(" is ").next().unwrap_or_default().to_owned();
        self.invariant == other.invariant && (self.invariant != Self::EXPECTATION || counter(self) == counter(other))
    }
}

/// One fact of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// When.
    pub at: Duration,
    /// The record that shows it.
    pub record: u64,
    /// What, beginning with the host.
    pub text: String,
}

impl Verdict {
    /// Its name in output and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Violation(_) => "violation",
            Self::Panic(_) => "panic",
            Self::Stuck(_) => "stuck",
            Self::Memory(_) => "memory",
            Self::Inconclusive { .. } => "inconclusive",
        }
    }

    /// What was found, if something was.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Violation(finding) | Self::Panic(finding) | Self::Stuck(finding) | Self::Memory(finding) => {
                Some(finding)
            }
            Self::Pass | Self::Inconclusive { .. } => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.message)
    }
}
