//! The arguments.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use anstream::ColorChoice;
use clap::{Args, Parser, Subcommand, ValueEnum};

mod sweep;

use crate::explore::log;
use crate::script::{ByteSize, Setting, parse_duration};
pub(super) use sweep::{MergeArgs, SweepArgs, SweepFiles};

mod exhaust;
#[cfg(all(feature = "live", target_os = "linux"))]
mod live;
mod show;

pub(super) use super::assist::{CompletionsArgs, ManArgs};
pub(super) use exhaust::ExhaustArgs;
#[cfg(all(feature = "live", target_os = "linux"))]
pub(super) use live::{KeeperArgs, LiveArgs, PartArgs};
pub(super) use show::{ShowArgs, View};

const EXIT_CODES: &str = "Exit codes: 0 as expected, 1 violation, 2 bad usage or script, 3 not deterministic, \
                          4 inconclusive, 125 not to be judged (replay --bisect), 130 interrupted.";

/// A deterministic simulation testbed: the same seed gives the same run, byte for byte.
#[derive(Debug, Parser)]
#[command(name = "stormglass", version = crate::VERSION, after_help = EXIT_CODES, infer_subcommands = false)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Whether output has colours.
    #[arg(long = "color", visible_alias = "colour", global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(super) colour: Colour,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List every sim, by system.
    List(ListArgs),
    /// Make one run.
    Run(RunArgs),
    /// Make one run in two fresh processes and compare all that happened.
    Verify(VerifyArgs),
    /// Make a failure small: a script of a few lines that breaks the same.
    Shrink(ShrinkArgs),
    /// Make a run again with each single fault that could hit it.
    Certify(CertifyArgs),
    /// Keep a run as a case in `seeds/`.
    Keep(KeepArgs),
    /// Make the saved cases in `seeds/` again: each must give its verdict and its hash.
    Replay(ReplayArgs),
    /// Run many seeds over all cores.
    Sweep(SweepArgs),
    /// Make one result of the shards of a sweep.
    Merge(MergeArgs),
    /// Hunt every planted bug: the checks must still catch it.
    Bugs(BugsArgs),
    /// Show every record of a run.
    Show(ShowArgs),
    /// Make a run, or two, into a page to look at.
    Report(ReportArgs),
    /// Make a published figure again: measured against published, with the error.
    Figure(FigureArgs),
    /// Visit every state of a small system within bounds.
    Exhaust(ExhaustArgs),
    /// Run a script on real processes and a real kernel.
    #[cfg(all(feature = "live", target_os = "linux"))]
    Live(LiveArgs),
    /// Print a JSON Schema.
    Schema(SchemaArgs),
    /// Print what makes a shell complete this command.
    Completions(CompletionsArgs),
    /// Print the page of this command for `man`, or write those of all calls.
    Man(ManArgs),
    /// Make runs for another process.
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Keep a host of a live run.
    #[cfg(all(feature = "live", target_os = "linux"))]
    #[command(hide = true)]
    Keeper(KeeperArgs),
    /// Play a host of a live run.
    #[cfg(all(feature = "live", target_os = "linux"))]
    #[command(hide = true)]
    Part(PartArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// List only sims that have one of these words in their name or their sentence.
    #[arg(value_name = "WORD")]
    pub(super) words: Vec<String>,
    /// Print one JSON list and nothing else, as `schema list` describes it.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// `system/name`, or the path of a script; `@` and a name after it choose a variant.
    pub(super) sim: String,
    #[command(flatten)]
    pub(super) set: SetArgs,
    #[command(flatten)]
    pub(super) seed: SeedArg,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// `system/name`, or the path of a script; `@` and a name after it choose a variant.
    pub(super) sim: String,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// Make one of the two runs in the turmoil lane and the other in the core lane.
    #[arg(long, conflicts_with = "lane")]
    pub(super) lanes: bool,
    #[command(flatten)]
    pub(super) seed: SeedArg,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct ShrinkArgs {
    /// The sim of the run, as in `run`; or a case of `seeds/`, by name or path.
    #[arg(value_name = "SIM|CASE")]
    pub(super) sim: String,
    #[command(flatten)]
    pub(super) set: SetArgs,
    #[command(flatten)]
    pub(super) seed: SeedArg,
    /// Save the script in this file, and no case in `seeds/`.
    #[arg(long, short, value_name = "FILE.toml")]
    pub(super) output: Option<PathBuf>,
    /// The name of the case and its script.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Why the case is kept.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: Option<String>,
    /// The most runs that are made.
    #[arg(long, value_name = "N", default_value = "5000")]
    pub(super) runs: NonZero<u64>,
    /// The most wall time that it takes. What comes out then depends on how fast the machine is.
    #[arg(long = "for", value_name = "TIME", value_parser = positive)]
    pub(super) time: Option<Duration>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) jobs: Jobs,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct CertifyArgs {
    /// `system/name`, or the path of a script; `@` and a name after it choose a variant.
    pub(super) sim: String,
    #[command(flatten)]
    pub(super) set: SetArgs,
    #[command(flatten)]
    pub(super) seed: SeedArg,
    /// Make only so many of the faults, chosen over all of them.
    #[arg(long, value_name = "N")]
    pub(super) sample: Option<NonZero<usize>>,
    /// How long a late packet takes; unless given, longer than every timeout of the system.
    #[arg(long, value_name = "TIME", value_parser = positive)]
    pub(super) late: Option<Duration>,
    /// How long a dead host is down.
    #[arg(long, value_name = "TIME", value_parser = positive, default_value = "500ms")]
    pub(super) down: Duration,
    /// How much longer a run with a fault goes on, to recover; unless given, the time down and five times that of a late
    /// packet.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(super) grace: Option<Duration>,
    /// How hosts die.
    #[arg(long, value_enum, default_value_t = Death::Kill)]
    pub(super) death: Death,
    /// Judge what the script expects, too: else its invariants alone are, for what it expects it expects of one run.
    #[arg(long)]
    pub(super) expect: bool,
    /// The folder for what is not survived, a script each, and for how far it is.
    #[arg(long, short, value_name = "DIR")]
    pub(super) output: Option<PathBuf>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) jobs: Jobs,
    #[command(flatten)]
    pub(super) watching: Watching,
}

/// How a host dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Death {
    /// Its process dies.
    Kill,
    /// It loses power.
    Power,
}

#[derive(Debug, Args)]
pub(super) struct KeepArgs {
    /// The sim of the run, as in `run`.
    pub(super) sim: String,
    #[command(flatten)]
    pub(super) set: SetArgs,
    #[command(flatten)]
    pub(super) seed: SeedArg,
    /// Why the case is kept.
    #[arg(long, value_name = "TEXT")]
    pub(super) why: String,
    /// The case's name; made of the sim and the seed if not given.
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Cases, by name or path; without one, all in `seeds/`.
    pub(super) case: Vec<String>,
    /// Where the verdict is as expected and the hash is not: write the new hash.
    #[arg(long)]
    pub(super) bless: bool,
    /// Judge one case by its invariant alone, for `git bisect run`: 1 if it is still violated, 0 if it holds, 125 if that
    /// cannot be told here.
    #[arg(long, value_name = "CASE", conflicts_with_all = ["case", "bless"])]
    pub(super) bisect: Option<String>,
    #[command(flatten)]
    pub(super) jobs: Jobs,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct BugsArgs {
    /// Bugs, by name; without one, all.
    pub(super) bug: Vec<String>,
    /// How many seeds are tried with all checks.
    #[arg(long, value_name = "N", default_value = "500")]
    pub(super) seeds: NonZero<u64>,
    /// How many seeds a control must get through: a bug that breaks nothing.
    #[arg(long, value_name = "N", default_value = "2000")]
    pub(super) control_seeds: NonZero<u64>,
    /// Hunt each bug in the core lane too, where its system has it: it must be found in the same seed, and how many times
    /// sooner that is gets a column.
    #[arg(long)]
    pub(super) lanes: bool,
    /// How many seeds are tried with each of the weaker checks; 0 leaves them out.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) weaker_seeds: u64,
    /// How many runs are made to shrink each failure that is found; 0 leaves it out.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub(super) shrink_runs: u64,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) jobs: Jobs,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// A sim, or `sim:SEED`; a case of `seeds/`, by name or path; or a file of `show --json` whose name ends in `.jsonl`.
    #[arg(required = true, num_args = 1..=2, value_name = "RUN")]
    pub(super) run: Vec<String>,
    /// Put two runs beside each other, and say where they part.
    #[arg(long)]
    pub(super) compare: bool,
    #[command(flatten)]
    pub(super) set: SetArgs,
    /// With `--compare`: give a key of the second run's script another value.
    #[arg(long, value_name = "KEY=VALUE", requires = "compare")]
    pub(super) set_b: Vec<Setting>,
    #[command(flatten)]
    pub(super) seed: SeedArg,
    /// The file that is written; its ending says what: `.html` a page for a browser, which needs no network; `.pcapng` a
    /// capture for Wireshark; `.perfetto.json` a trace for Perfetto's viewer.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: PathBuf,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct FigureArgs {
    /// The figure; without one, all are listed.
    pub(super) name: Option<String>,
    /// How many trials of each curve are made; as many as the figure has if not given.
    #[arg(long, value_name = "N")]
    pub(super) trials: Option<NonZero<u64>>,
    /// The first seed. Unless it is given, the same trials are made everywhere.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed, allow_hyphen_values = true)]
    pub(super) seeds_from: u64,
    #[command(flatten)]
    pub(super) lane: LaneArg,
    /// Draw the curves into this file, as SVG.
    #[arg(long, short, value_name = "FILE.svg")]
    pub(super) output: Option<PathBuf>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) jobs: Jobs,
    #[command(flatten)]
    pub(super) watching: Watching,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Of what.
    #[arg(value_enum, default_value_t = Shape::Script)]
    pub(super) of: Shape,
}

#[derive(Debug, Args)]
pub(super) struct WorkerArgs {
    /// As [`Watching::log`].
    #[arg(long)]
    pub(super) log: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is run")]
pub(super) struct SeedArg {
    /// The seed; without one, that of `STORMGLASS_SEED`, or a fresh one, which is printed.
    #[arg(long = "seed", value_name = "N", value_parser = seed, allow_hyphen_values = true)]
    pub(super) seed: Option<u64>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What is run")]
pub(super) struct SetArgs {
    /// Give a key of the script another value, as in `network.loss=0.1` or `duration=3s`; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) set: Vec<Setting>,
    /// Plant a bug in the system, in a build that has them; `bugs` lists them.
    #[arg(long, value_name = "NAME")]
    pub(super) bug: Option<String>,
    #[command(flatten)]
    pub(super) lane: LaneArg,
}

impl SetArgs {
    /// All settings but the bug, which needs to know the system.
    pub(super) fn settings(&self) -> impl Iterator<Item = Setting> {
        self.set.iter().cloned().chain(self.lane.setting())
    }
}

#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "What is run")]
pub(super) struct LaneArg {
    /// How hosts run and packets travel, the same as `--set lane=…`: `core` runs from event to event and gives the same
    /// run as `turmoil`, much sooner, for systems that have it.
    #[arg(long, value_enum)]
    pub(super) lane: Option<LaneName>,
}

impl LaneArg {
    /// The setting that it is.
    pub(super) fn setting(self) -> Option<Setting> {
        let lane = self.lane?.to_possible_value()?;
        Some(Setting::new("lane", lane.get_name()).expect("a key and a name"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LaneName {
    /// Each host in a runtime of its own, over turmoil's sockets, tick by tick.
    Turmoil,
    /// From event to event, without sockets and runtimes.
    Core,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "How runs are made")]
pub(super) struct Jobs {
    /// How many runs are made at once; as many as there are processors if not given.
    #[arg(long = "jobs", short, value_name = "N")]
    pub(super) jobs: Option<NonZero<usize>>,
}

/// How runs are watched.
#[derive(Debug, Args)]
#[command(next_help_heading = "How runs are made")]
pub(super) struct Watching {
    /// Print log lines of this level, or levels by target (`warn,stormglass::raft=debug`), to standard error.
    #[arg(long, value_name = "LEVEL", value_parser = filter)]
    pub(super) log: Option<String>,
    /// The wall time without any progress after which a run is stuck.
    #[arg(long, value_name = "TIME", env = "STORMGLASS_STALL", hide_env = true, default_value = "10s", value_parser = positive)]
    pub(super) stall: Duration,
    /// The most memory that a process of runs may take; a run that takes more is ended, and that is its result.
    #[arg(long, value_name = "SIZE", env = "STORMGLASS_MEMORY", hide_env = true, default_value = "2GiB")]
    pub(super) memory: ByteSize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// A script in `sims/`.
    Script,
    /// A case in `seeds/`.
    Case,
    /// The object of `bugs --json`.
    Bugs,
    /// The list of `list --json`.
    List,
    /// The object of `run --json`.
    Result,
    /// The object of `certify --json`.
    Certify,
    /// The object of `shrink --json`.
    Shrink,
    /// The object of `sweep --json`.
    Sweep,
    /// The object of `figure --json`.
    Figure,
    /// The object of `exhaust --json`.
    Exhaust,
    /// The object of `live --compare --json`.
    Comparison,
    /// A line of `show --json`.
    Records,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    pub(super) fn choice(self) -> ColorChoice {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
    }
}

/// A seed, as the call or the environment gives it.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

fn filter(text: &str) -> Result<String, String> {
    log::parse(text).map(|_| text.to_owned())
}

fn positive(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text)?;
    if time.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_arguments_fit_together() {
        Cli::command().debug_assert();
    }
}
