//! Many runs: each in a process of its own that is watched, so that one which hangs, panics or eats memory is a result.
//!
//! A [`job::Job`] goes to a [`worker`] under a [`watcher`]; the [`pool`] keeps several of them busy. [`verify`] makes
//! one run twice, [`sweep`] makes one for each seed, [`figure`] makes the trials of a published figure, the [`ledger`]
//! hunts planted bugs, [`shrink`] makes a failure small with a [`crew`],
//! [`certify`] makes a run again with each single fault, [`corpus`] holds the saved cases,
//! which [`casebook`] writes, and the [`library`] finds the
//! script that a name stands for.
//!
//! **Invariant:** no run happens in the process of the command itself.

pub mod casebook;
pub mod certify;
pub mod corpus;
pub mod crew;
pub mod figure;
pub mod job;
pub mod ledger;
pub mod library;
pub mod log;
pub mod pool;
pub mod shrink;
pub mod statistics;
pub mod sweep;
pub mod verify;
pub mod wall;
pub mod watcher;
pub mod worker;

pub use job::Job;
pub use library::{Library, Sim};
pub use watcher::{Ended, JobError, Launch, Ran, Seen, Watcher};
