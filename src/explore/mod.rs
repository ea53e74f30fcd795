//! Many runs: each in a process of its own that is watched, so that one which hangs, panics or eats memory is a result.
//!
//! A [`job::Job`] goes to a [`worker`] under a [`watcher`]; the [`pool`] keeps several of them busy. [`verify`] makes
//! one run twice and a [`leak`] names what it depends on, [`sweep`] makes one for each seed, [`figure`] makes the trials of a published figure, the [`ledger`]
//! hunts planted bugs, [`shrink`] makes a failure small with a [`crew`],
//! [`certify`] makes a run again with each single fault, a [`comparison`] puts simulated and live runs side by side, [`corpus`] holds the saved cases,
//! which [`casebook`] writes, and the [`library`] finds the
//! script that a name stands for.
//!
//! **Invariant:** no run happens in the process of the command itself.

#[cfg(feature = "cli")]
pub mod casebook;
#[cfg(feature = "cli")]
pub mod certify;
#[cfg(feature = "cli")]
pub mod comparison;
#[cfg(feature = "cli")]
pub mod corpus;
#[cfg(feature = "cli")]
pub mod crew;
#[cfg(feature = "cli")]
pub mod figure;
#[cfg(feature = "cli")]
pub mod job;
#[cfg(feature = "cli")]
pub mod leak;
#[cfg(feature = "cli")]
pub mod ledger;
pub mod library;
#[cfg(feature = "cli")]
pub mod log;
#[cfg(feature = "cli")]
pub mod pool;
#[cfg(feature = "cli")]
pub mod shrink;
#[cfg(feature = "cli")]
pub mod statistics;
pub mod sweep;
#[cfg(feature = "cli")]
pub mod verify;
#[cfg(feature = "cli")]
pub mod wall;
#[cfg(feature = "cli")]
pub mod watcher;
#[cfg(feature = "cli")]
pub mod worker;

#[cfg(feature = "cli")]
pub use job::Job;
pub use library::{Library, Sim};
#[cfg(feature = "cli")]
pub use watcher::{Ended, JobError, Launch, Ran, Seen, Watcher};
