//! The arguments of `live`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;

use super::SeedArg;
use crate::explore::sweep::SeedRange;
use crate::script::Setting;

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the call")]
pub(in crate::cli) struct LiveArgs {
    /// `system/name`, or the path of a script; `@` and a name after it choose a variant.
    pub(in crate::cli) sim: String,
    /// Give a key of the script another value, as in `network.loss=0.1` or `duration=3s`; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", help_heading = "What is run")]
    pub(in crate::cli) set: Vec<Setting>,
    #[command(flatten)]
    pub(in crate::cli) seed: SeedArg,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Show what the hosts print, each line with its host.
    #[arg(long, conflicts_with_all = ["json", "seeds"])]
    pub(in crate::cli) lines: bool,
    /// Files that are written; their endings say what: `.html` a page, `.pcapng` a capture of the packets as they were on the
    /// wire, `.perfetto.json` a trace for Perfetto's viewer, `.jsonl` the records, for `show` and `report`. May be given
    /// several times.
    #[arg(long, short, value_name = "FILE")]
    pub(in crate::cli) output: Vec<PathBuf>,
    /// Make the same run simulated too, and put both side by side: verdicts, counts, and times at p50, p90 and p99. With
    /// `--seeds`, the figures of several seeds are pooled.
    #[arg(long, conflicts_with_all = ["output", "lines", "junit", "shrink", "keep_going"])]
    pub(in crate::cli) compare: bool,
    /// Make a run with each of these seeds, as `0..20` (without 20) or `0..=19`.
    #[arg(long, value_name = "A..B", allow_hyphen_values = true, conflicts_with_all = ["seed", "output", "shrink"], help_heading = "Many runs")]
    pub(in crate::cli) seeds: Option<SeedRange>,
    /// Go on after a failure, instead of stopping at the first.
    #[arg(long, requires = "seeds", help_heading = "Many runs")]
    pub(in crate::cli) keep_going: bool,
    #[arg(
        long,
        help = "Write the result into this file as JUnit XML",
        value_name = "FILE",
        help_heading = "Many runs"
    )]
    pub(in crate::cli) junit: Option<PathBuf>,
    /// How many runs are made side by side; one if not given, for they disturb each other where processors are few.
    #[arg(long, short, value_name = "N", requires = "seeds", help_heading = "Many runs")]
    pub(in crate::cli) jobs: Option<NonZero<usize>>,
    /// Make a failure small: a script of a few lines that breaks the same. It is written into the file of `--output`.
    #[arg(long, conflicts_with_all = ["json", "junit", "lines"], help_heading = "Many runs")]
    pub(in crate::cli) shrink: bool,
    /// With `--shrink`: how often a script is tried before it counts as one that does not break.
    #[arg(long, value_name = "N", default_value = "3", requires = "shrink", help_heading = "Many runs")]
    pub(in crate::cli) repeats: NonZero<u64>,
    /// With `--shrink`: the most runs that are made.
    #[arg(long, value_name = "N", default_value = "100", requires = "shrink", help_heading = "Many runs")]
    pub(in crate::cli) runs: NonZero<u64>,
}

/// A process of a live run.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeeperArgs {
    /// In its namespaces.
    #[arg(long)]
    pub(in crate::cli) inside: bool,
}

/// A host of a live run that this program plays.
#[derive(Debug, Args)]
pub(in crate::cli) struct PartArgs {
    /// The host.
    pub(in crate::cli) host: String,
    /// The script.
    #[arg(long)]
    pub(in crate::cli) script: PathBuf,
    #[arg(long)]
    pub(in crate::cli) seed: u64,
    /// How often it was started before.
    #[arg(long)]
    pub(in crate::cli) incarnation: u32,
    /// How long the run has gone on, in microseconds.
    #[arg(long, default_value_t = 0)]
    pub(in crate::cli) since_us: u64,
}
