//! The arguments of `show`.

use clap::{Args, ValueEnum};

use super::{SeedArg, SetArgs, Watching};

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArgs {
    /// A sim, or `sim:SEED`; a case of `seeds/`, by name or path; or a file of `show --json` whose name ends in `.jsonl`.
    #[arg(value_name = "RUN")]
    pub(in crate::cli) run: String,
    #[command(flatten)]
    pub(in crate::cli) set: SetArgs,
    #[command(flatten)]
    pub(in crate::cli) seed: SeedArg,
    /// Print JSON Lines: a header, the records, the end. `schema records` describes them.
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Show what led to this record: the path of its causes.
    #[arg(long, value_name = "RECORD", value_parser = record, conflicts_with_all = ["json", "around", "host", "only", "follow"])]
    pub(in crate::cli) why: Option<u64>,
    /// Show the records around this one.
    #[arg(long, value_name = "RECORD", value_parser = record)]
    pub(in crate::cli) around: Option<u64>,
    /// How many records before and behind it `--around` shows.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "around")]
    pub(in crate::cli) context: u64,
    /// Show records of these hosts, and of packets to and from them.
    #[arg(long, value_name = "HOST,…", value_delimiter = ',')]
    pub(in crate::cli) host: Vec<String>,
    /// Show these topics: `faults`, `loss`, `packets`, `events`, `states`, the system's name (its events), or the name of a
    /// message or an event.
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    pub(in crate::cli) only: Vec<String>,
    /// Show the records as they come, this many simulated seconds a second.
    #[arg(long, value_name = "SPEED", num_args = 0..=1, default_missing_value = "1", value_parser = speed, conflicts_with = "json")]
    pub(in crate::cli) follow: Option<f64>,
    /// As lanes, one for each host, or as a list. Lanes on a terminal that is wide enough, a list elsewhere.
    #[arg(long, value_enum, value_name = "VIEW", conflicts_with = "json")]
    pub(in crate::cli) view: Option<View>,
    /// Never call a pager (`$PAGER`, or `less`), which a terminal gets otherwise.
    #[arg(long)]
    pub(in crate::cli) no_pager: bool,
    #[command(flatten)]
    pub(in crate::cli) watching: Watching,
}

/// How records are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum View {
    /// A lane for each host.
    Lanes,
    /// A line for each record.
    List,
}

fn record(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a record is named by its number, as `show` prints it before each: 157".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: Option<f64> = text.strip_suffix('x').unwrap_or(text).parse().ok();
    let positive = speed.filter(|speed| speed.is_finite() && *speed > 0.0);
    positive.ok_or_else(|| "a speed is a number above 0, of simulated seconds a second: 10, 0.1".to_owned())
}
