//! A sim over many seeds: who failed, and what fired.
//!
//! The hash of a sweep runs over its seeds and their hashes, in order, so that two sweeps can be compared whatever the
//! number of workers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use super::watcher::Ran;
use crate::report::json::{RunReport, milliseconds};
use crate::report::judgement::Exit;
use crate::script::Script;

/// The seeds of a sweep: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl SeedRange {
    /// How many there are, short of one in the whole range of 64 bits.
    pub fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = u64> + Send + Clone + 'static {
        self.first..=self.last
    }
}

impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}

impl FromStr for SeedRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "a range of seeds is written `A..B`, without B, or `A..=B`, with it";
        let (first, last) = text.split_once("..").ok_or(expected)?;
        let (last, included) = last.strip_prefix('=').map_or((last, false), |last| (last, true));
        let seed = |text: &str| {
            text.trim().parse::<u64>().map_err(|_| format!("`{text}` is not a seed (0 to {}); {expected}", u64::MAX))
        };
        let (first, end) = (seed(first)?, seed(last)?);
        if first > end {
            let dots = if included { "..=" } else { ".." };
            return Err(format!("the range runs backwards: did you mean `{end}{dots}{first}`?"));
        }
        match if included { Some(end) } else { end.checked_sub(1).filter(|last| *last >= first) } {
            Some(last) => Ok(Self { first, last }),
            None => Err(format!("the range is empty: `{first}..={end}` would include {end}")),
        }
    }
}

/// What came of one sim's seeds, so far.
pub struct Tally {
    /// The sim, as it was named.
    pub sim: String,
    /// Seeds as expected.
    pub passed: u64,
    /// Seeds that failed.
    pub failed: u64,
    /// Seeds that said nothing.
    pub inconclusive: u64,
    /// The simulated time of all.
    pub simulated: Duration,
    /// How many faults began, by name.
    pub faults: BTreeMap<String, u64>,
    /// Families that the script may draw and that never fired.
    pub families: Vec<String>,
    /// Those that did not end as expected.
    pub failures: Vec<RunReport>,
    hash: Xxh3,
}

impl Tally {
    /// Of no seed yet.
    pub fn new(sim: &str, script: &Script) -> Self {
        let families = script.chaos.iter().flat_map(|chaos| &chaos.families);
        Self {
            sim: sim.to_owned(),
            passed: 0,
            failed: 0,
            inconclusive: 0,
            simulated: Duration::ZERO,
            faults: BTreeMap::new(),
            families: families.map(|family| family.name().to_owned()).collect(),
            failures: Vec::new(),
            hash: Xxh3::new(),
        }
    }

    /// Takes in one seed's run; they come in order.
    pub fn add(&mut self, ran: &Ran, report: RunReport) {
        self.hash.update(&report.seed.to_le_bytes());
        if let Some(outcome) = ran.outcome() {
            self.hash.update(&outcome.hash.0.to_le_bytes());
            self.simulated += outcome.simulated;
            for (name, count) in &outcome.faults {
                *self.faults.entry(name.clone()).or_default() += count;
                self.families.retain(|family| family != name);
            }
        } else {
            self.hash.update(report.verdict.as_bytes());
        }
        match report.exit_code {
            0 => self.passed += 1,
            4 => self.inconclusive += 1,
            _ => self.failed += 1,
        }
        if !report.as_expected {
            self.failures.push(report);
        }
    }

    /// How many seeds were taken in.
    pub fn seeds(&self) -> u64 {
        self.passed + self.failed + self.inconclusive
    }

    /// The hash over all seeds and their hashes.
    pub fn hash(&self) -> String {
        format!("{:016x}", self.hash.digest())
    }
}

/// A sweep, as `sweep --json` prints it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SweepReport {
    /// The first seed.
    pub first_seed: u64,
    /// The last seed.
    pub last_seed: u64,
    /// Whether it was ended by a signal: some seeds are missing then.
    pub interrupted: bool,
    /// The exit code.
    pub exit_code: u8,
    /// The wall time of the whole sweep, in milliseconds.
    pub wall_ms: f64,
    /// What came of each sim.
    pub sims: Vec<SimReport>,
}

/// What came of one sim in a sweep.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SimReport {
    /// The sim, as it was named.
    pub sim: String,
    /// How many seeds were run.
    pub seeds: u64,
    /// How many were as expected.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many said nothing.
    pub inconclusive: u64,
    /// The simulated time of all, in milliseconds.
    pub sim_ms: f64,
    /// The hash over all seeds and their hashes, in order.
    pub hash: String,
    /// How many faults began, by name.
    pub faults: BTreeMap<String, u64>,
    /// Families of faults that the script may draw and that never fired.
    pub never_fired: Vec<String>,
    /// Those that did not end as expected, in order.
    pub failures: Vec<RunReport>,
}

impl From<&Tally> for SimReport {
    fn from(tally: &Tally) -> Self {
        Self {
            sim: tally.sim.clone(),
            seeds: tally.seeds(),
            passed: tally.passed,
            failed: tally.failed,
            inconclusive: tally.inconclusive,
            sim_ms: milliseconds(tally.simulated),
            hash: tally.hash(),
            faults: tally.faults.clone(),
            never_fired: tally.families.clone(),
            failures: tally.failures.clone(),
        }
    }
}

/// The exit code of a sweep: a failure counts more than an interruption, and that more than a run that said nothing.
pub fn exit(tallies: &[Tally], interrupted: bool) -> Exit {
    if tallies.iter().any(|tally| tally.failed > 0) {
        Exit::Found
    } else if interrupted {
        Exit::Interrupted
    } else if tallies.iter().any(|tally| tally.inconclusive > 0) {
        Exit::Inconclusive
    } else {
        Exit::Expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_half_open_unless_it_says_so() {
        let parse = |text: &str| text.parse::<SeedRange>();
        assert_eq!(parse("0..200").unwrap(), SeedRange { first: 0, last: 199 });
        assert_eq!(parse("5..=5").unwrap(), SeedRange { first: 5, last: 5 });
        assert_eq!(parse("0..=18446744073709551615").unwrap().count(), u64::MAX);
        for (text, reason) in [
            ("7", "is written `A..B`"),
            ("a..b", "`a` is not a seed"),
            ("..5", "`` is not a seed"),
            ("5..", "`` is not a seed"),
            ("5..5", "the range is empty: `5..=5` would include 5"),
            ("9..3", "runs backwards: did you mean `3..9`"),
            ("0..18446744073709551616", "is not a seed (0 to 18446744073709551615)"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
