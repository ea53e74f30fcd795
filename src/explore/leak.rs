//! What a run depends on beside its script and its seed, found by experiment: one thing at a time is moved, and the run
//! made again.
//!
//! In a program that [holds](crate::held) its clock and entropy each can be moved exactly, and the others stay where they are.
//! Elsewhere there are but two experiments: to make the run twice within one second, and to look for threads while it goes
//! on. What they cannot tell apart is said to be so.

use std::time::Duration;

use super::job::Job;
use super::verify::{Difference, Same, first_difference, fresh, is_same, recorded};
use super::wall::{self, Stopwatch};
use super::watcher::{Ended, JobError, Launch, Ran, Seen, Watcher};
use crate::held::{Variation, is_held};
use crate::sim::Outcome;

/// How far away the wall clock is put: other in its hours, minutes, seconds and below.
const AWAY: Duration = Duration::from_millis(5 * 3_600_000 + 17 * 60_000 + 43_210);

/// How long threads are delayed, in wall time.
const LATE: Duration = Duration::from_millis(50);

/// How many pairs of runs are made within one second, and how many are begun for that on a machine that is busy.
const PAIRS: usize = 3;
const PAIRS_BEGUN: usize = 8;

/// The wall time that two runs have within one second.
const WITHIN: Duration = Duration::from_millis(900);

/// Something outside that a run depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leak {
    /// The wall clock.
    Clock,
    /// The wall clock, in whole seconds or more.
    WholeSeconds,
    /// The keys of hash maps, which are the order of what is in them.
    HashOrder,
    /// Bytes of the operating system's generator.
    Entropy,
    /// What a thread does when.
    Thread,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Leaks {
    /// On what the run depends, and how that shows; each was moved alone, and the run became another.
    pub moved: Vec<(Leak, Option<Difference>)>,
    /// The threads that the run was seen to start, by their names.
    pub threads: Vec<String>,
    /// Whether clock and entropy are held, so that on them it does not depend any more.
    pub is_held: bool,
    /// Whether something is left that no experiment tells.
    pub is_more: bool,
}

/// Looks for what a run depends on that came to something else the second time.
pub fn of_differing(launch: &Launch, job: &Job) -> Result<Leaks, JobError> {
    let (threads, _) = looked(launch, job, Variation::default())?;
    let mut leaks = Leaks { threads, is_held: is_held(), is_more: true, ..Leaks::default() };
    if !leaks.is_held && leaks.threads.is_empty() && same_within_a_second(launch, job)? {
        leaks.moved.push((Leak::WholeSeconds, None));
        leaks.is_more = false;
    }
    Ok(leaks)
}

/// Looks for what a run depends on that comes to the same again, because the program holds what it asks for; and whether
/// it starts threads, which nothing holds.
pub fn of_held(launch: &Launch, job: &Job, first: &Outcome) -> Result<Leaks, JobError> {
    let mut leaks = Leaks { is_held: true, ..Leaks::default() };
    let usual = Variation::default();
    for (leak, variation) in [
        (Leak::Clock, Variation { clock_ahead: AWAY, ..usual }),
        (Leak::HashOrder, Variation { keys: 1, ..usual }),
        (Leak::Entropy, Variation { entropy: 1, ..usual }),
        (Leak::Thread, Variation { threads_late: LATE, ..usual }),
    ] {
        let (threads, ran) = looked(launch, job, variation)?;
        leaks.threads.extend(threads);
        let is_other = match &ran.ended {
            Ended::Complete(outcome) => !is_same(outcome, first),
            Ended::Cut(_) => true,
        };
        if is_other {
            let [plain, varied] = [usual, variation]
                .map(|variation| Job { keep_records: true, variation, ..job.clone() })
                .map(|job| recorded(launch, &job));
            leaks.moved.push((leak, first_difference(plain?, varied?)));
        }
    }
    leaks.threads.sort();
    leaks.threads.dedup();
    Ok(leaks)
}

/// Makes the run, and says which threads it was seen to start.
fn looked(launch: &Launch, job: &Job, variation: Variation) -> Result<(Vec<String>, Ran), JobError> {
    let job = Job { look_for_threads: true, variation, ..job.clone() };
    let mut threads = Vec::new();
    let ran = Watcher::new(launch.clone()).run(&job, &mut |seen| {
        if let Seen::Threads(names) = seen {
            threads = names;
        }
    })?;
    Ok((threads, ran))
}

/// Whether pairs of runs come to the same, each within one second of the wall clock. Not if the runs take too long for
/// that.
fn same_within_a_second(launch: &Launch, job: &Job) -> Result<bool, JobError> {
    let mut same = 0;
    for _ in 0..PAIRS_BEGUN {
        wall::wait_for_a_second();
        let clock = Stopwatch::start();
        let pair = [fresh(launch, job)?, fresh(launch, job)?];
        let is_within = clock.elapsed() < WITHIN;
        let [Ended::Complete(one), Ended::Complete(other)] = pair.map(|ran| ran.ended) else { return Ok(false) };
        match (is_within, is_same(&one, &other)) {
            (true, true) => same += 1,
            (true, false) => return Ok(false),
            (false, _) => {}
        }
        if same == PAIRS {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A run that comes to the same again, and what of that is owed to the program's holding its clock and entropy.
pub fn named(launch: &Launch, job: &Job, first: Ran) -> Result<Same, JobError> {
    let leaks = match &first.ended {
        Ended::Complete(outcome) if is_held() => Some(of_held(launch, job, outcome)?),
        _ => None,
    };
    Ok(Same { ran: first, leaks })
}
