//! The arguments of `sweep` and `merge`.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Jobs, SetArgs, Watching, positive};
use crate::explore::sweep::{SeedRange, Shard};

const EXIT_CODES: &str = "Exit codes: 0 as expected, 1 a seed failed, 2 bad usage or script, 3 a failing seed came to \
                          something else when it was run again, 4 inconclusive: a run said nothing, or what must \
                          sometimes come about never did (a shard leaves that to `merge`), 130 interrupted.";

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct SweepArgs {
    /// `system/name`, or the path of a script; `@` and a name after it choose a variant.
    #[arg(required = true)]
    pub(in crate::cli) sim: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) set: SetArgs,
    /// The seeds, as `0..200` (without 200), `0..=199`, or `0..`, on and on. Unless given, from a fresh one on.
    #[arg(long, value_name = "A..B", allow_hyphen_values = true, required_unless_present_any = ["time", "until_dry"])]
    pub(in crate::cli) seeds: Option<SeedRange>,
    /// The wall time after which no other run is begun.
    #[arg(long = "for", id = "time", value_name = "TIME", value_parser = positive)]
    pub(in crate::cli) time: Option<Duration>,
    /// Stop once all that must sometimes come about has, and nothing new was seen for so many seeds.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) until_dry: Option<NonZero<u64>>,
    /// Run only a share of the seeds: the I-th of N, counted from 0. `merge` makes one result of all of them.
    #[arg(long, value_name = "I/N")]
    pub(in crate::cli) shard: Option<Shard>,
    /// Go on after a failure, instead of stopping at the first.
    #[arg(long)]
    pub(in crate::cli) keep_going: bool,
    /// Save the first ten failures in this folder: what `run` prints, and what `show --json` does.
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) save: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) files: SweepFiles,
    #[command(flatten)]
    pub(in crate::cli) jobs: Jobs,
    #[command(flatten)]
    pub(in crate::cli) watching: Watching,
}

/// Where results go.
#[derive(Debug, Args)]
pub(in crate::cli) struct SweepFiles {
    /// Write the result into this file as JSON, as `schema sweep` describes it; `-`: print it, and nothing else.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) json: Option<PathBuf>,
    #[arg(long, help = "Write the result into this file as JUnit XML", value_name = "FILE")]
    pub(in crate::cli) junit: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct MergeArgs {
    /// What `sweep --shard --json` wrote, each shard once.
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) results: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) files: SweepFiles,
}
