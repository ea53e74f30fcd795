//! One run twice, in two fresh processes, and the first record that differs.

use super::job::Job;
use super::watcher::{Ended, JobError, Launch, Ran, Seen, Watcher};
use crate::report::records::{HostLine, RecordLine};
use crate::sim::Outcome;

/// How often the run is repeated with its records kept, to see a difference again.
const TRIES: u32 = 5;

/// What two runs of one seed came to.
#[derive(Debug)]
pub enum Verified {
    /// They are the same.
    Same(Ran),
    /// The process of one did not live to the end of its run.
    Cut(Ran),
    /// They differ.
    Differs(Box<Differs>),
}

/// How two runs of one seed differ.
#[derive(Debug)]
pub struct Differs {
    /// What they came to.
    pub outcomes: [Outcome; 2],
    /// The first record that differs; `None`: it was not seen again with the records kept.
    pub difference: Option<Difference>,
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

/// Makes the run twice and, if the two differ, again until the difference is seen.
pub fn verify(launch: &Launch, jobs: [&Job; 2]) -> Result<Verified, JobError> {
    let (first, second) = (fresh(launch, jobs[0])?, fresh(launch, jobs[1])?);
    let (one, other) = match (&first.ended, &second.ended) {
        (Ended::Complete(one), Ended::Complete(other)) => (one, other),
        (Ended::Cut(_), _) => return Ok(Verified::Cut(first)),
        (_, Ended::Cut(_)) => return Ok(Verified::Cut(second)),
    };
    if one.hash == other.hash && differing_part(one, other).is_none() {
        return Ok(Verified::Same(first));
    }
    let outcomes = [(**one).clone(), (**other).clone()];
    let [first_job, second_job] = jobs.map(|job| Job { keep_records: true, ..job.clone() });
    for _ in 0..TRIES {
        let difference = first_difference(recorded(launch, &first_job)?, recorded(launch, &second_job)?);
        if difference.is_some() {
            return Ok(Verified::Differs(Box::new(Differs { outcomes, difference })));
        }
    }
    Ok(Verified::Differs(Box::new(Differs { outcomes, difference: None })))
}

/// The first part of two outcomes that differs, by its name.
pub fn differing_part(one: &Outcome, other: &Outcome) -> Option<String> {
    let parts = |outcome| match serde_json::to_value(outcome) {
        Ok(serde_json::Value::Object(parts)) => parts,
        _ => serde_json::Map::new(),
    };
    let (one, other) = (parts(one), parts(other));
    // In which lane and how many steps a run was made is not a part of what happened in it.
    let of_lane = |name: &str| ["lane", "steps"].contains(&name);
    let differs = |(name, value): &(String, _)| !of_lane(name) && other.get(name) != Some(value);
    one.into_iter().find(differs).map(|(name, _)| name)
}

fn fresh(launch: &Launch, job: &Job) -> Result<Ran, JobError> {
    Watcher::new(launch.clone()).run(job, &mut |_| {})
}

type Recorded = (Vec<HostLine>, Vec<RecordLine>);

fn recorded(launch: &Launch, job: &Job) -> Result<Recorded, JobError> {
    let (mut hosts, mut records) = (Vec::new(), Vec::new());
    Watcher::new(launch.clone()).run(job, &mut |seen| match seen {
        Seen::Finished { hosts: found, .. } => hosts = found,
        Seen::Record(record) => records.push(*record),
        Seen::Time(_) => {}
    })?;
    Ok((hosts, records))
}

fn first_difference((hosts, first): Recorded, (_, second): Recorded) -> Option<Difference> {
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
