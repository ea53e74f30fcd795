//! The ledger of planted bugs: whether the checks still catch each of them, how soon, and what weaker checks would see.
//!
//! A [`Hunt`] makes one run after another, from seed 0 on, until one is caught. Hunts go on beside each other, and what
//! they find does not depend on how many do.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::job::Job;
use super::pool::{Finish, Results, run_all};
use super::shrink::SizeReport;
use super::watcher::{JobError, Launch, Ran};
use crate::report::json::milliseconds;
use crate::sim::Verdict;

/// A search for the first seed in which something is caught.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The run; its seed is not looked at.
    pub job: Job,
    /// How many seeds are tried.
    pub seeds: u64,
    /// The one invariant that is looked for; without it, whatever comes.
    pub invariant: Option<&'static str>,
}

/// What a hunt came to.
#[derive(Clone, Debug, Default)]
pub struct Quarry {
    /// How many seeds were tried, the one that was caught included.
    pub seeds: u64,
    /// The simulated time of all of them. A run that was cut off counts for nothing.
    pub simulated: Duration,
    /// The wall time of all of them, one after the other.
    pub wall: Duration,
    /// The last of them, and the invariant that it broke.
    pub caught: Option<(u64, String)>,
}

/// Which seed of which hunt each job is, in the order in which they were taken.
type Taken = Arc<Mutex<Vec<(usize, u64)>>>;

/// Hunts, `lanes` runs at a time. `progress` is called after each hunt that is over.
pub fn hunt(
    launch: &Launch,
    hunts: Vec<Hunt>,
    lanes: NonZero<usize>,
    progress: &mut dyn FnMut(),
) -> Result<(Vec<Quarry>, Finish), JobError> {
    let is_over: Arc<Vec<AtomicBool>> = Arc::new(hunts.iter().map(|_| AtomicBool::new(false)).collect());
    let taken = Taken::default();
    let sought = hunts.iter().map(|hunt| (hunt.seeds, hunt.invariant)).collect();
    let mut book = Book {
        quarries: vec![Quarry::default(); hunts.len()],
        sought,
        is_over: is_over.clone(),
        taken: taken.clone(),
        progress,
        error: None,
    };
    let jobs = hunts.into_iter().enumerate().flat_map(move |(place, Hunt { job, seeds, .. })| {
        let (is_over, taken) = (is_over.clone(), taken.clone());
        let wanted = move |_: &u64| !is_over[place].load(Ordering::Relaxed);
        (0..seeds).take_while(wanted).map(move |seed| {
            taken.lock().unwrap_or_else(PoisonError::into_inner).push((place, seed));
            Job { seed, ..job.clone() }
        })
    });
    let finish = run_all(launch, jobs, lanes, &mut book)?;
    match book.error {
        Some(error) => Err(error),
        None => Ok((book.quarries, finish)),
    }
}

struct Book<'a> {
    quarries: Vec<Quarry>,
    /// How many seeds each hunt tries, and what it looks for.
    sought: Vec<(u64, Option<&'static str>)>,
    is_over: Arc<Vec<AtomicBool>>,
    taken: Taken,
    progress: &'a mut dyn FnMut(),
    error: Option<JobError>,
}

impl Results for Book<'_> {
    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()> {
        let ran = match result {
            Ok(ran) => ran,
            Err(error) => {
                self.error = Some(error);
                return ControlFlow::Break(());
            }
        };
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((place, seed)) = usize::try_from(index).ok().and_then(|index| taken.get(index).copied()) else {
            return ControlFlow::Continue(());
        };
        drop(taken);
        // A seed after the one that was caught had been taken already.
        if self.is_over[place].load(Ordering::Relaxed) {
            return ControlFlow::Continue(());
        }
        let quarry = &mut self.quarries[place];
        quarry.seeds += 1;
        quarry.simulated += ran.outcome().map_or(Duration::ZERO, |outcome| outcome.simulated);
        quarry.wall += ran.wall;
        let (limit, invariant) = self.sought[place];
        let is_sought = |found: &String| invariant.is_none_or(|invariant| invariant == found);
        quarry.caught = caught(ran.verdict()).filter(is_sought).map(|found| (seed, found));
        if quarry.caught.is_some() || quarry.seeds == limit {
            self.is_over[place].store(true, Ordering::Relaxed);
            (self.progress)();
        }
        ControlFlow::Continue(())
    }
}

/// What a verdict accuses the run of.
fn caught(verdict: &Verdict) -> Option<String> {
    verdict.finding().map(|finding| finding.invariant.clone())
}

/// The ledger, as `bugs --json` prints it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LedgerReport {
    /// The exit code.
    pub exit_code: u8,
    /// Whether it was ended by a signal: what some hunts say is not the whole then.
    pub interrupted: bool,
    /// The wall time of all, in milliseconds.
    pub wall_ms: f64,
    /// The bugs.
    pub bugs: Vec<BugReport>,
}

/// One bug of the ledger.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BugReport {
    /// Its system.
    pub system: String,
    /// Its name.
    pub bug: String,
    /// What is wrong, in a line.
    pub about: String,
    /// Where it was found.
    pub source: String,
    /// The sim in which it is looked for.
    pub sim: String,
    /// The invariants that it is known to break, each by the beginning of its name; none: a control, which breaks none.
    pub may_break: Vec<String>,
    /// Whether the ledger is as it should be: caught by one of those, or, a control, not at all.
    pub as_expected: bool,
    /// What all checks find.
    pub found: HuntReport,
    /// With `--lanes`, what all checks find in the core lane, where the system has it: the same, sooner.
    pub core_lane: Option<HuntReport>,
    /// What weaker checks find, by the value of the key `check`.
    pub weaker: Vec<HuntReport>,
    /// How small the failure that was found can be made; none: nothing was found, or it was not tried.
    pub shrunk: Option<ShrunkReport>,
}

/// What came of shrinking a failure.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ShrunkReport {
    /// What its run came to, written out.
    pub from: SizeReport,
    /// What is left of it.
    pub to: SizeReport,
    /// Whether nothing more could be taken out.
    pub minimal: bool,
    /// How many runs were made for it.
    pub runs: u64,
}

/// What one hunt came to.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HuntReport {
    /// Which checks were made: `all`, also in the core lane, or a value of the key `check`.
    pub check: String,
    /// How many seeds were tried, from 0 on, up to the first that was caught.
    pub seeds: u64,
    /// How many would have been tried.
    pub seeds_max: u64,
    /// The invariant that was broken; none: it was not caught.
    pub caught_by: Option<String>,
    /// The simulated time of all of them, in milliseconds.
    pub sim_ms: f64,
    /// The wall time of all of them, in milliseconds, as if one had been made after the other.
    pub wall_ms: f64,
}

impl HuntReport {
    /// The report of a hunt.
    pub fn new(check: &str, seeds_max: u64, quarry: &Quarry) -> Self {
        Self {
            check: check.to_owned(),
            seeds: quarry.seeds,
            seeds_max,
            caught_by: quarry.caught.as_ref().map(|(_, invariant)| invariant.clone()),
            sim_ms: milliseconds(quarry.simulated),
            wall_ms: milliseconds(quarry.wall),
        }
    }

    /// Whether another hunt came to the same, as far as both went.
    pub fn agrees(&self, other: &Self) -> bool {
        let same = (self.seeds, &self.caught_by) == (other.seeds, &other.caught_by);
        same || self.is_cut_short() || other.is_cut_short()
    }

    /// Whether nothing was caught and seeds are left that were not tried.
    pub fn is_cut_short(&self) -> bool {
        self.caught_by.is_none() && self.seeds < self.seeds_max
    }
}
