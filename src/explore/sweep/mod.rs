//! A sim over many seeds: who failed, and what was reached.
//!
//! Seeds come one after the other, each with every sim before the next. They are judged in this order, so that what a
//! sweep comes to depends on its seeds alone and not on the number of workers. [`seeds`] are shared among shards, a
//! [`tally`] takes in one run after the other, a [`report`] is what comes of it all, [`merge`] makes one of
//! several, and [`junit`] and [`github`] show it.

pub mod github;
pub mod junit;
pub mod merge;
pub mod report;
pub mod seeds;
pub mod tally;

pub use report::{Ended, SimReport, Sometimes, SweepReport};
pub use seeds::{SeedRange, Shard};
pub use tally::Tally;
