//! `sweep`: many seeds over all cores.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::again::again;
use super::args::SweepArgs;
use super::out::Out;
use super::progress::Progress;
use super::{Chosen, Shell, run, swept};
use crate::explore::library::shown;
use crate::explore::pool::{Finish, Results, run_all};
use crate::explore::sweep::report::VERSION;
use crate::explore::sweep::tally::{Tally, sometimes};
use crate::explore::sweep::{Ended, SeedRange, Shard, SweepReport};
use crate::explore::wall::{self, Stopwatch};
use crate::explore::{Job, JobError, Launch, Ran};
use crate::report::json::milliseconds;
use crate::report::judgement::Exit;
use crate::report::style::{BAD, counted, paint};
use crate::report::text;
use crate::rng;

/// How many failures are shown with their facts, and made again; the others get a line each.
const IN_FULL: usize = 10;

pub(super) fn sweep(shell: &Shell, args: &SweepArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let (seeds, shard) = seeds(args)?;
    args.files.check()?;
    if let Some(folder) = &args.save {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let chosen = args.sim.iter().map(|sim| shell.choose(sim, &args.set)).collect::<anyhow::Result<Vec<_>>>()?;
    let launch = Shell::launch(&args.watching)?;
    let runs = seeds.count(shard).map(|count| count.saturating_mul(chosen.len() as u64));
    let lanes = lanes(args.jobs.jobs, runs.unwrap_or(u64::MAX));
    let is_silent = args.files.is_json_alone();
    if args.seeds.is_none() && !is_silent {
        out.line(&format!("seeds {seeds}"))?;
        out.flush()?;
    }
    let tallies = chosen.iter().map(|chosen| Tally::new(&chosen.sim, sometimes(&chosen.script, chosen.system)));
    let mut sweep = Sweep {
        shell,
        first: seeds.first,
        shard,
        tallies: tallies.collect(),
        chosen: &chosen,
        progress: Progress::new(runs, args.time, is_silent),
        out,
        is_silent,
        keep_going: args.keep_going,
        until_dry: args.until_dry,
        last_new: 0,
        shown: 0,
        ended: Ended::Complete,
        error: None,
    };
    let is_time_over = Arc::new(AtomicBool::new(false));
    let jobs = until(args.time, is_time_over.clone(), jobs(&chosen, seeds, shard));
    let finish = run_all(&launch, jobs, lanes, &mut sweep)?;
    sweep.progress.finish();
    if let Some(error) = sweep.error {
        return Err(error);
    }
    let ended = match finish {
        Finish::Interrupted => Ended::Interrupted,
        Finish::All if is_time_over.load(Ordering::Relaxed) => Ended::Time,
        Finish::All | Finish::Stopped => sweep.ended,
    };
    let (mut tallies, wall) = (sweep.tallies, sweep.progress.elapsed());
    if ended != Ended::Interrupted {
        make_again(shell, &launch, &chosen, &mut tallies, args.save.as_deref(), is_silent, out)?;
    }
    let mut report = SweepReport {
        version: VERSION,
        first_seed: seeds.first,
        last_seed: seeds.last,
        shard: args.shard.map(Into::into),
        ended,
        exit_code: 0,
        wall_ms: milliseconds(wall),
        sims: tallies.into_iter().map(Tally::into_report).collect(),
    };
    report.exit_code = report.exit() as u8;
    if !is_silent {
        out.rows(&swept::sims(&report))?;
        let with = format!(" with {}", counted(lanes.get() as u64, "job", "jobs"));
        out.rows(&swept::whole(&report, runs, &with))?;
    }
    args.files.write(&report, out)?;
    out.flush()?;
    Ok(report.exit())
}

/// The seeds that are run, and which share of them.
fn seeds(args: &SweepArgs) -> anyhow::Result<(SeedRange, Shard)> {
    let mut named = BTreeSet::new();
    if let Some(twice) = args.sim.iter().find(|sim| !named.insert(*sim)) {
        anyhow::bail!("the sim `{twice}` is given twice");
    }
    let seeds = match args.seeds {
        Some(seeds) if seeds.last.is_none() && args.time.is_none() && args.until_dry.is_none() => {
            anyhow::bail!("the seeds {seeds} have no end: say when to stop, with `--for TIME` or `--until-dry N`");
        }
        Some(seeds) => seeds,
        None if args.shard.is_some() => {
            anyhow::bail!("`--shard` needs `--seeds`, such as `--seeds 0..`: all shards are of the same seeds");
        }
        None => SeedRange::from(rng::fresh_seed().0),
    };
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    if seeds.count(shard) == Some(0) {
        anyhow::bail!("shard {shard} of the seeds {seeds} has none: there are more shards than seeds");
    }
    Ok((seeds, shard))
}

pub(super) fn lanes(given: Option<NonZero<usize>>, runs: u64) -> NonZero<usize> {
    let enough = usize::try_from(runs).ok().and_then(NonZero::new).unwrap_or(NonZero::<usize>::MAX);
    given.unwrap_or_else(wall::cores).min(enough)
}

/// Every seed, with each sim.
fn jobs(chosen: &[Chosen], seeds: SeedRange, shard: Shard) -> impl Iterator<Item = Job> + Send + use<> {
    let jobs: Vec<_> = chosen.iter().map(|chosen| chosen.job(0)).collect();
    seeds.iter(shard).flat_map(move |seed| jobs.clone().into_iter().map(move |job| Job { seed, ..job }))
}

/// Jobs until the time is over, which it says.
fn until(
    time: Option<std::time::Duration>,
    is_over: Arc<AtomicBool>,
    jobs: impl Iterator<Item = Job> + Send + 'static,
) -> impl Iterator<Item = Job> + Send + 'static {
    let clock = Stopwatch::start();
    jobs.take_while(move |_| {
        let goes_on = time.is_none_or(|time| clock.elapsed() < time);
        is_over.fetch_or(!goes_on, Ordering::Relaxed);
        goes_on
    })
}

/// Makes the first failures again, with everything on.
fn make_again(
    shell: &Shell,
    launch: &Launch,
    chosen: &[Chosen],
    tallies: &mut [Tally],
    folder: Option<&Path>,
    is_silent: bool,
    out: &mut Out,
) -> anyhow::Result<()> {
    let mut left = IN_FULL;
    for (tally, chosen) in tallies.iter_mut().zip(chosen) {
        let failures: Vec<_> =
            tally.report().failures.iter().filter(|run| run.exit_code == 1).take(left).cloned().collect();
        left -= failures.len();
        for first in failures {
            let again = again(shell, launch, chosen, &first, folder)?;
            if !again.is_same {
                tally.differs(first.seed);
            }
            if is_silent {
                continue;
            }
            if !again.is_same {
                let verify = first.reproduce.replacen(" run ", " verify ", 1);
                let what = format!("NOT DETERMINISTIC {} seed={}", chosen.sim.title(), first.seed);
                out.line(&format!("{}: run again, it came to something else: {verify}", paint(BAD, what)))?;
            }
            let saved: Vec<_> = again.saved.iter().map(|path| shown(path)).collect();
            if !saved.is_empty() {
                out.line(&format!("saved:     {}", saved.join(", ")))?;
            }
        }
    }
    Ok(())
}

struct Sweep<'a> {
    shell: &'a Shell,
    first: u64,
    shard: Shard,
    chosen: &'a [Chosen],
    tallies: Vec<Tally>,
    progress: Progress,
    out: &'a mut Out,
    is_silent: bool,
    keep_going: bool,
    until_dry: Option<NonZero<u64>>,
    /// After how many seeds something new was seen last.
    last_new: u64,
    /// Failures that were printed.
    shown: usize,
    ended: Ended,
    error: Option<anyhow::Error>,
}

impl Results for Sweep<'_> {
    fn progress(&mut self) {
        self.progress.done();
    }

    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()> {
        match result.map_err(Into::into).and_then(|ran| self.take(index, &ran)) {
            Ok(_) if self.out.is_closed() => ControlFlow::Break(()),
            Ok(flow) => flow,
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl Sweep<'_> {
    fn take(&mut self, index: u64, ran: &Ran) -> anyhow::Result<ControlFlow<()>> {
        let sims = self.chosen.len() as u64;
        let (nth, place) = (index / sims, usize::try_from(index % sims)?);
        let seed = self.first + self.shard.index + nth * self.shard.count.get();
        let report = run::report(&self.shell.program, &self.chosen[place], seed, ran);
        let is_failure = report.exit_code == 1;
        if !report.as_expected && !self.is_silent {
            self.shown += 1;
            let text = if self.shown <= IN_FULL { text::verdict(&report) } else { text::failure_line(&report) + "\n" };
            let failed = self.tallies.iter().map(|tally| tally.report().failed).sum::<u64>() + u64::from(is_failure);
            self.progress.failed(failed);
            let out = &mut *self.out;
            self.progress.suspend(|| out.rows(&text).and_then(|()| out.flush()))?;
        }
        if self.tallies[place].add(ran, report) {
            self.last_new = nth + 1;
        }
        if is_failure && !self.keep_going {
            self.ended = Ended::Failure;
            return Ok(ControlFlow::Break(()));
        }
        let is_last = index % sims == sims - 1;
        if is_last && self.until_dry.is_some_and(|dry| self.is_dry(nth + 1, dry)) {
            self.ended = Ended::Dry;
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether all that must has come about, and nothing new was seen in the last `dry` of so many seeds.
    fn is_dry(&self, seeds: u64, dry: NonZero<u64>) -> bool {
        seeds - self.last_new >= dry.get() && self.tallies.iter().all(|tally| tally.report().never().count() == 0)
    }
}
