//! What came of one sim's seeds so far.

use std::collections::BTreeMap;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::report::{SimReport, Sometimes, earlier};
use crate::explore::library::Sim;
use crate::explore::watcher::Ran;
use crate::report::json::{RunReport, milliseconds};
use crate::script::{self, Comparison, Family, Script};
use crate::sim::Outcome;
use crate::sim::System;
use crate::sim::trace::TraceHash;

/// Takes in one run after the other.
pub struct Tally {
    report: SimReport,
    /// What must come about in some run, as the report has it.
    sometimes: Vec<script::Sometimes>,
    simulated: Duration,
}

impl Tally {
    /// Of no seed yet.
    pub fn new(sim: &Sim, sometimes: Vec<script::Sometimes>) -> Self {
        let reached = sometimes.iter().map(|sometimes| Sometimes {
            name: sometimes.name.clone(),
            counters: sometimes.counters.iter().map(|(name, bound)| (name.clone(), bound.to_string())).collect(),
            seeds: 0,
            first_seed: None,
        });
        let report = SimReport {
            sim: sim.name.clone(),
            set: sim.set.iter().map(ToString::to_string).collect(),
            script_hash: TraceHash(xxh3_64(sim.text.as_bytes())),
            seeds: 0,
            passed: 0,
            failed: 0,
            inconclusive: 0,
            sim_ms: 0.0,
            hash: Some(TraceHash(0)),
            live: false,
            faults: BTreeMap::new(),
            inert: BTreeMap::new(),
            sometimes: reached.collect(),
            coverage: BTreeMap::new(),
            failures: Vec::new(),
            not_deterministic: Vec::new(),
        };
        Self { report, sometimes, simulated: Duration::ZERO }
    }

    /// Takes in one seed's run, and says whether it showed something that none did before.
    pub fn add(&mut self, ran: &Ran, run: RunReport) -> bool {
        let mut is_new = false;
        let report = &mut self.report;
        let came_to = match ran.outcome() {
            Some(outcome) => outcome.hash.0,
            None => xxh3_64(run.verdict.as_bytes()),
        };
        let own = of_seed(run.seed, came_to);
        report.hash = report.hash.map(|sum| TraceHash(sum.0.wrapping_add(own)));
        report.seeds += 1;
        match run.exit_code {
            0 => report.passed += 1,
            4 => report.inconclusive += 1,
            _ => report.failed += 1,
        }
        if let Some(outcome) = ran.outcome() {
            self.simulated += outcome.simulated;
            report.sim_ms = milliseconds(self.simulated);
            for (name, count) in &outcome.faults {
                *report.faults.entry(name.clone()).or_default() += count;
            }
            for (name, count) in &outcome.inert {
                *report.inert.entry(name.clone()).or_default() += count;
            }
            for pair in &outcome.coverage {
                is_new |= !report.coverage.contains_key(pair);
                let first = report.coverage.entry(pair.clone()).or_insert(run.seed);
                *first = run.seed.min(*first);
            }
            for (sometimes, reached) in self.sometimes.iter().zip(&mut report.sometimes) {
                if shows(outcome, sometimes) {
                    is_new |= reached.seeds == 0;
                    reached.seeds += 1;
                    reached.first_seed = earlier(reached.first_seed, Some(run.seed));
                }
            }
        }
        if !run.as_expected {
            report.failures.push(run);
        }
        is_new
    }

    /// A failing seed came to something else when it was run again.
    pub fn differs(&mut self, seed: u64) {
        self.report.not_deterministic.push(seed);
    }

    /// They are runs of real processes, which are not deterministic: they have no hash.
    pub fn live(&mut self) {
        (self.report.live, self.report.hash) = (true, None);
    }

    /// What came of them.
    pub fn report(&self) -> &SimReport {
        &self.report
    }

    /// What came of them in the end.
    pub fn into_report(mut self) -> SimReport {
        // After an interruption the last ones came out of order.
        self.report.failures.sort_by_key(|failure| failure.seed);
        self.report
    }
}

/// Whether a run shows that something came about.
fn shows(outcome: &Outcome, sometimes: &script::Sometimes) -> bool {
    sometimes.counters.iter().all(|(name, bound): (&String, &Comparison)| bound.holds(outcome.counter(name)))
}

/// What a seed adds to the hash of a sweep.
fn of_seed(seed: u64, came_to: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&came_to.to_le_bytes());
    xxh3_64(&bytes)
}

/// What must come about in some run of a script: what it says itself, what its system does, and that each family of faults
/// that it draws from does something.
pub fn sometimes(script: &Script, system: Option<&dyn System>) -> Vec<script::Sometimes> {
    let mut all = script.sometimes.clone();
    let families = script.chaos.iter().flat_map(|chaos| &chaos.families);
    // What an operator does is the system's own to count.
    let families = families.filter(|family| **family != Family::Operator).map(|family| family.name());
    let fault = |family| script::Sometimes::counted(&format!("fault {family}"), &format!("acted.{family}"));
    let others =
        system.map(|system| system.sometimes(script)).unwrap_or_default().into_iter().chain(families.map(fault));
    for other in others {
        // The script has the last word.
        if all.iter().all(|own| own.name != other.name) {
            all.push(other);
        }
    }
    all
}
