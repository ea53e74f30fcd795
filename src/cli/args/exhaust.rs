//! The arguments of `exhaust`.

use std::num::NonZero;
use std::path::PathBuf;

use clap::Args;

use super::Watching;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExhaustArgs {
    /// The system.
    pub(in crate::cli) system: String,
    /// How many hosts there are.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(in crate::cli) nodes: u64,
    /// In how many terms a campaign may begin.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(in crate::cli) terms: u64,
    /// How many messages may be in flight at once.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(in crate::cli) messages: usize,
    /// How many power losses there may be in all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) crashes: u8,
    /// How many duplicates of messages may arrive in all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) duplicates: u8,
    /// How many clients' commands there may be in all, where logs are replicated; 0: there are elections and no logs.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) entries: u8,
    /// Give up at this many distinct states.
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub(in crate::cli) states: NonZero<usize>,
    /// Tell states apart that differ in the names of hosts only.
    #[arg(long)]
    pub(in crate::cli) no_symmetry: bool,
    /// Look on for a path that a script can say, where it cannot say the shortest.
    #[arg(long)]
    pub(in crate::cli) scripted: bool,
    /// Make this weaker check alone, such as `one-leader-per-term`.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) check: Option<String>,
    /// Plant this bug; needs a build with `--features planted-bugs`.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) bug: Option<String>,
    /// Write the script of what is found into this file.
    #[arg(long, short, value_name = "FILE.toml")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    #[command(flatten)]
    pub(in crate::cli) watching: Watching,
}
