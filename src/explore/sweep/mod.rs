//! A sim over many seeds: who failed, and what was reached.
//!
//! Seeds come one after the other, each with every sim before the next. They are judged in this order, so that what a
//! sweep comes to depends on its seeds alone and not on the number of workers. [`seeds`] are shared among shards, a
//! [`tally`] takes in one run after the other, a [`report`] is what comes of it all, [`merge`] makes one of
//! several, and [`junit`] and [`github`] show it.

#[cfg(feature = "cli")]
pub mod github;
#[cfg(feature = "cli")]
pub mod junit;
#[cfg(feature = "cli")]
pub mod merge;
#[cfg(feature = "cli")]
pub mod report;
pub mod seeds;
#[cfg(feature = "cli")]
pub mod tally;

#[cfg(feature = "cli")]
pub use report::{Ended, SimReport, Sometimes, SweepReport};
pub use seeds::{SeedRange, Shard};
#[cfg(feature = "cli")]
pub use tally::Tally;
