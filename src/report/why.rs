//! Why something happened: the path of causes that leads to a record.

use super::recording::Recording;
use super::records::RecordLine;

/// The records that led to one, oldest first, itself last.
pub fn path(run: &Recording, record: u64) -> Vec<&RecordLine> {
    let at = |number: u64| usize::try_from(number).ok().and_then(|place| run.records.get(place));
    let mut path: Vec<&RecordLine> = std::iter::successors(at(record), |record| at(record.cause?)).collect();
    path.reverse();
    path
}

/// What is known of how the first record of a path came about, which has no cause itself.
pub fn origin(first: &RecordLine) -> &'static str {
    use super::records::WhatLine as What;
    match (&first.what, &first.host) {
        (What::Started { .. }, _) => "the run begins with it",
        (What::Fault { .. } | What::FaultEnded { .. }, _) => "the script or its chaos has it so",
        (_, None) => "the testbed did it",
        (_, Some(_)) => {
            "why is not known: a task did it that the host spawned without `Net::task`, or a socket that is not the testbed's"
        }
    }
}
