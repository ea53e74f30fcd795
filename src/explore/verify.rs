//! One run twice, in two fresh processes, the first record that differs, and what it depends on.

use std::time::Duration;

use super::job::Job;
use super::leak::{self, Leaks};
use super::wall::{self, Stopwatch};
use super::watcher::{Ended, JobError, Launch, Ran, Seen, Watcher};
use crate::report::differ;
use crate::report::records::{HostLine, RecordLine};
use crate::sim::Outcome;

/// How often the run is repeated with its records kept, to see a difference again.
const TRIES: u32 = 5;

/// The wall time between the beginnings of the two runs, so that a wall clock in whole seconds shows them two of them.
const APART: Duration = Duration::from_millis(1_050);

/// What two runs of one seed came to.
#[derive(Debug)]
pub enum Verified {
    /// They are the same.
    Same(Box<Same>),
    /// The process of one did not live to the end of its run.
    Cut(Ran),
    /// They differ.
    Differs(Box<Differs>),
}

/// A run that comes to the same again.
#[derive(Debug)]
pub struct Same {
    /// The first of the two.
    pub ran: Ran,
    /// What it would depend on if its program did not hold it; `None`: it holds nothing.
    pub leaks: Option<Leaks>,
}

/// How two runs of one seed differ.
#[derive(Debug)]
pub struct Differs {
    /// What they came to.
    pub outcomes: [Outcome; 2],
    /// The first record that differs; `None`: it was not seen again with the records kept.
    pub difference: Option<Difference>,
    /// What was found out of why; `None`: the two were to be made in different ways.
    pub leaks: Option<Leaks>,
}

/// The records of two runs, up to and with the first that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The hosts of the first run.
    pub hosts: Vec<HostLine>,
    /// The records that both have, in order.
    pub same: Vec<RecordLine>,
    /// What comes next, in each; `None`: its records end here. At least one is there.
    pub next: [Option<RecordLine>; 2],
}

/// Makes the run twice, a second apart, and, if the two differ, again until the difference is seen. Two of the same job are
/// then searched for [leaks](super::leak).
pub fn verify(launch: &Launch, jobs: [&Job; 2]) -> Result<Verified, JobError> {
    let is_one_job = jobs[0] == jobs[1];
    let began = Stopwatch::start();
    let first = fresh(launch, jobs[0])?;
    wall::wait_since(began, APART);
    let second = fresh(launch, jobs[1])?;
    let (one, other) = match (&first.ended, &second.ended) {
        (Ended::Complete(one), Ended::Complete(other)) => (one, other),
        (Ended::Cut(_), _) => return Ok(Verified::Cut(first)),
        (_, Ended::Cut(_)) => return Ok(Verified::Cut(second)),
    };
    if is_same(one, other) {
        let same = if is_one_job { leak::named(launch, jobs[0], first)? } else { Same { ran: first, leaks: None } };
        return Ok(Verified::Same(Box::new(same)));
    }
    let outcomes = [(**one).clone(), (**other).clone()];
    let difference = seen_again(launch, jobs)?;
    let leaks = is_one_job.then(|| leak::of_differing(launch, jobs[0])).transpose()?;
    Ok(Verified::Differs(Box::new(Differs { outcomes, difference, leaks })))
}

/// The first record that differs, if it is seen within some tries.
fn seen_again(launch: &Launch, jobs: [&Job; 2]) -> Result<Option<Difference>, JobError> {
    let [first_job, second_job] = jobs.map(|job| Job { keep_records: true, ..job.clone() });
    for _ in 0..TRIES {
        let began = Stopwatch::start();
        let first = recorded(launch, &first_job)?;
        wall::wait_since(began, APART);
        let difference = first_difference(first, recorded(launch, &second_job)?);
        if difference.is_some() {
            return Ok(difference);
        }
    }
    Ok(None)
}

/// Whether two runs came to the same, in their records and beside them.
pub(super) fn is_same(one: &Outcome, other: &Outcome) -> bool {
    one.hash == other.hash && differing_part(one, other).is_none()
}

/// The first part of two outcomes that differs: its name, and how.
pub fn differing_part(one: &Outcome, other: &Outcome) -> Option<(String, Vec<String>)> {
    let parts = |outcome| match serde_json::to_value(outcome) {
        Ok(serde_json::Value::Object(parts)) => parts,
        _ => serde_json::Map::new(),
    };
    let (one, other) = (parts(one), parts(other));
    // In which lane and how many steps a run was made is not a part of what happened in it.
    let of_lane = |name: &str| ["lane", "steps"].contains(&name);
    let (name, value) = one.iter().find(|(name, value)| !of_lane(name) && other.get(*name) != Some(*value))?;
    let how = differ::values(name, value, other.get(name).unwrap_or(&serde_json::Value::Null));
    Some((name.clone(), how))
}

pub(super) fn fresh(launch: &Launch, job: &Job) -> Result<Ran, JobError> {
    Watcher::new(launch.clone()).run(job, &mut |_| {})
}

pub(super) type Recorded = (Vec<HostLine>, Vec<RecordLine>);

pub(super) fn recorded(launch: &Launch, job: &Job) -> Result<Recorded, JobError> {
    let (mut hosts, mut records) = (Vec::new(), Vec::new());
    Watcher::new(launch.clone()).run(job, &mut |seen| match seen {
        Seen::Finished { hosts: found, .. } => hosts = found,
        Seen::Record(record) => records.push(*record),
        Seen::Time(_) | Seen::Threads(_) => {}
    })?;
    Ok((hosts, records))
}

pub(super) fn first_difference((hosts, first): Recorded, (_, second): Recorded) -> Option<Difference> {
    let same = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
    let next = [first.get(same).cloned(), second.get(same).cloned()];
    let mut first = first;
    first.truncate(same);
    if next == [None, None] { None } else { Some(Difference { hosts, same: first, next }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::records::WhatLine;

    fn records(kinds: &[WhatLine]) -> Recorded {
        let record = |(n, what): (u64, &WhatLine)| RecordLine {
            n,
            t_ns: n,
            host: None,
            cause: None,
            timer: false,
            what: what.clone(),
        };
        (Vec::new(), (0..).zip(kinds).map(record).collect())
    }

    #[test]
    fn the_first_difference_is_found() {
        use WhatLine::{Finished, Killed, Paused};
        let found = first_difference(records(&[Killed, Paused, Finished]), records(&[Killed, Finished])).unwrap();
        assert_eq!(found.same.len(), 1);
        assert_eq!(found.next.map(|record| record.unwrap().what), [Paused, Finished]);
        let found = first_difference(records(&[Killed]), records(&[Killed, Finished])).unwrap();
        assert_eq!(found.next.map(|record| record.map(|record| record.what)), [None, Some(Finished)]);
        assert_eq!(first_difference(records(&[Killed]), records(&[Killed])), None);
    }
}
