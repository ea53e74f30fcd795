//! What comes of a sweep, as data: what `sweep --json` writes and `merge` reads.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::seeds::{SeedRange, Shard};
use crate::report::json::{RunReport, is_false};
use crate::report::judgement::Exit;
use crate::sim::trace::TraceHash;

/// The version of these shapes; it grows when a field goes or changes its meaning.
pub const VERSION: u32 = 1;

/// A sweep. But for wall times it is the same whatever the number of jobs; merged of all its shards, it is that of the
/// whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepReport {
    /// The version of this format.
    pub version: u32,
    /// The first seed.
    pub first_seed: u64,
    /// The last seed; null: the sweep went on from seed to seed until something ended it.
    pub last_seed: Option<u64>,
    /// Which part of the seeds this is; null: all.
    pub shard: Option<ShardReport>,
    /// What ended it.
    pub ended: Ended,
    /// The exit code.
    pub exit_code: u8,
    /// The wall time of the whole sweep, in milliseconds; of merged shards, that of the longest.
    pub wall_ms: f64,
    /// What came of each sim.
    pub sims: Vec<SimReport>,
}

/// A part of a sweep: every `count`-th seed, from the first and `index` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardReport {
    /// Which one, from 0.
    pub index: u64,
    /// How many there are.
    pub count: u64,
}

/// What ended a sweep, the least of it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// All seeds were run.
    Complete,
    /// All was reached, and nothing new was seen for as many seeds as were asked for.
    Dry,
    /// The time was over.
    Time,
    /// A seed failed, and it was not to go on.
    Failure,
    /// A signal: some results are missing.
    Interrupted,
}

/// What came of one sim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SimReport {
    /// The sim, as it was named.
    pub sim: String,
    /// What was set on top of its script, each as `KEY=VALUE`.
    pub set: Vec<String>,
    /// The hash of the script's text with all that was set, 16 hexadecimal digits.
    #[schemars(with = "String")]
    pub script_hash: TraceHash,
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
    /// The sum of the hashes of all seeds, each with its run's hash, so that parts of a sweep can be added up; null of live
    /// runs.
    #[schemars(with = "Option<String>")]
    pub hash: Option<TraceHash>,
    /// Whether its hosts were real processes: such runs are not deterministic, and have no hash.
    #[serde(default, skip_serializing_if = "is_false")]
    pub live: bool,
    /// How many faults began, by name.
    pub faults: BTreeMap<String, u64>,
    /// How many of them did nothing: they touched no packet, no connection and no process.
    #[serde(default)]
    pub inert: BTreeMap<String, u64>,
    /// What must come about in some run, and whether it did.
    pub sometimes: Vec<Sometimes>,
    /// What was seen, as `kind (state)`: a kind of record and the state of the host that it is of; and the first seed in
    /// which it was.
    pub coverage: BTreeMap<String, u64>,
    /// Those that did not end as expected, by seed.
    pub failures: Vec<RunReport>,
    /// Failing seeds that came to something else when they were run again: they are not deterministic.
    pub not_deterministic: Vec<u64>,
}

/// Something that must come about in some run of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sometimes {
    /// What.
    pub name: String,
    /// The bounds on counters by which a run shows it, by name.
    pub counters: BTreeMap<String, String>,
    /// In how many seeds it did.
    pub seeds: u64,
    /// The first of them; null: it never did.
    pub first_seed: Option<u64>,
}

impl SimReport {
    /// The hash, or that there is none.
    pub fn hash_in_words(&self) -> String {
        self.hash.map_or_else(|| "live: not deterministic".to_owned(), |hash| hash.to_string())
    }

    /// What never came about.
    pub fn never(&self) -> impl Iterator<Item = &Sometimes> {
        self.sometimes.iter().filter(|sometimes| sometimes.seeds == 0)
    }

    /// What never came about, in words: of a family of faults also whether it never began, or never did anything.
    pub fn never_in_words(&self) -> String {
        let words = |sometimes: &Sometimes| {
            let family = sometimes.name.strip_prefix("fault ");
            let Some((family, begun)) = family.and_then(|family| Some((family, self.faults.get(family)?))) else {
                return sometimes.name.clone();
            };
            let why = match family {
                "duplicate" | "reorder" | "corrupt" => {
                    ": only datagrams show it, and where none are sent `chaos.families` should not name it"
                }
                "disk" => {
                    ": nothing was synced meanwhile, and where nothing ever is `chaos.families` should not name it"
                }
                _ => "",
            };
            format!("{} ({begun} began, and all were inert{why})", sometimes.name)
        };
        self.never().map(words).collect::<Vec<_>>().join(", ")
    }

    /// Takes in another part of the seeds.
    pub(super) fn add(&mut self, other: Self) {
        // What was read from a file may hold any numbers.
        let add = |own: &mut u64, other: u64| *own = own.saturating_add(other);
        add(&mut self.seeds, other.seeds);
        add(&mut self.passed, other.passed);
        add(&mut self.failed, other.failed);
        add(&mut self.inconclusive, other.inconclusive);
        self.sim_ms += other.sim_ms;
        let sum = |(own, other): (TraceHash, TraceHash)| TraceHash(own.0.wrapping_add(other.0));
        self.hash = self.hash.zip(other.hash).map(sum);
        for (name, count) in other.faults {
            add(self.faults.entry(name).or_default(), count);
        }
        for (name, count) in other.inert {
            add(self.inert.entry(name).or_default(), count);
        }
        for (own, other) in self.sometimes.iter_mut().zip(other.sometimes) {
            add(&mut own.seeds, other.seeds);
            own.first_seed = earlier(own.first_seed, other.first_seed);
        }
        for (pair, seed) in other.coverage {
            let first = self.coverage.entry(pair).or_insert(seed);
            *first = seed.min(*first);
        }
        self.failures.extend(other.failures);
        self.failures.sort_by_key(|failure| failure.seed);
        self.not_deterministic.extend(other.not_deterministic);
        self.not_deterministic.sort_unstable();
    }
}

pub(super) fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl SweepReport {
    /// The seeds of the sweep, of all its shards.
    pub fn range(&self) -> SeedRange {
        SeedRange { first: self.first_seed, last: self.last_seed }
    }

    /// What the sweep comes to. A failure counts most, then a run that is not deterministic, an interruption, and what
    /// says nothing: an inconclusive run, a sim without runs, or something that never came about. Whether it did is not
    /// for a shard to say.
    pub fn exit(&self) -> Exit {
        let says_nothing = |sim: &SimReport| {
            sim.inconclusive > 0 || (self.shard.is_none() && (sim.seeds == 0 || sim.never().count() > 0))
        };
        if self.sims.iter().any(|sim| !sim.not_deterministic.is_empty()) {
            Exit::NotDeterministic
        } else if self.sims.iter().any(|sim| sim.failed > 0) {
            Exit::Found
        } else if self.ended == Ended::Interrupted {
            Exit::Interrupted
        } else if self.sims.iter().any(says_nothing) {
            Exit::Inconclusive
        } else {
            Exit::Expected
        }
    }
}

impl From<Shard> for ShardReport {
    fn from(shard: Shard) -> Self {
        Self { index: shard.index, count: shard.count.get() }
    }
}

impl fmt::Display for ShardReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}
