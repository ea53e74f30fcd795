//! `sweep`: many seeds over all cores.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::time::Duration;

use indicatif::ProgressBar;

use super::args::SweepArgs;
use super::out::{self, Out};
use super::run;
use super::{Chosen, Shell};
use crate::explore::pool::{Finish, Results, run_all};
use crate::explore::sweep::{SeedRange, SweepReport, Tally, exit};
use crate::explore::wall::{self, Stopwatch};
use crate::explore::{JobError, Ran};
use crate::report::json::milliseconds;
use crate::report::judgement::Exit;
use crate::report::style::{self, BAD, GOOD, STRONG, UNSURE, count, counted, paint};
use crate::report::text;

/// How many failures are shown with their facts; the others get a line each.
const IN_FULL: u64 = 10;

pub(super) fn sweep(shell: &Shell, args: &SweepArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let mut named = BTreeSet::new();
    if let Some(twice) = args.sim.iter().find(|sim| !named.insert(*sim)) {
        anyhow::bail!("the sim `{twice}` is given twice");
    }
    let chosen = args.sim.iter().map(|sim| shell.choose(sim, &args.set)).collect::<anyhow::Result<Vec<_>>>()?;
    let (seeds, launch) = (args.seeds, Shell::launch(&args.watching)?);
    let runs = seeds.count().saturating_mul(chosen.len() as u64);
    let lanes = lanes(args.jobs.jobs, runs);
    let template = "  {bar:30} {human_pos}/{human_len} runs, {per_sec}, {eta} left{msg}";
    let mut sweep = Sweep {
        shell,
        seeds,
        tallies: chosen.iter().map(|chosen| Tally::new(&chosen.sim.name, &chosen.script)).collect(),
        chosen: &chosen,
        bar: if args.json { ProgressBar::hidden() } else { out::bar(runs, template) },
        out,
        is_json: args.json,
        shown: 0,
        error: None,
    };
    let jobs: Vec<_> = chosen.iter().map(|chosen| chosen.job(0)).collect();
    let jobs =
        jobs.into_iter().flat_map(move |job| seeds.iter().map(move |seed| crate::explore::Job { seed, ..job.clone() }));
    let clock = Stopwatch::start();
    let finish = run_all(&launch, jobs, lanes, &mut sweep)?;
    let wall = clock.elapsed();
    sweep.bar.finish_and_clear();
    let (tallies, error) = (sweep.tallies, sweep.error);
    if let Some(error) = error {
        return Err(error);
    }
    let is_interrupted = finish == Finish::Interrupted;
    let exit = exit(&tallies, is_interrupted);
    if args.json {
        out.json(&SweepReport {
            first_seed: seeds.first,
            last_seed: seeds.last,
            interrupted: is_interrupted,
            exit_code: exit as u8,
            wall_ms: milliseconds(wall),
            sims: tallies.iter().map(Into::into).collect(),
        })?;
    } else {
        out.rows(&summary(&tallies, seeds, wall, lanes))?;
        if is_interrupted {
            let done = tallies.iter().map(Tally::seeds).sum();
            out.line(&format!("interrupted: {} of {} runs were made", count(done), count(runs)))?;
        }
    }
    out.flush()?;
    Ok(exit)
}

pub(super) fn lanes(given: Option<NonZero<usize>>, runs: u64) -> NonZero<usize> {
    let enough = usize::try_from(runs).ok().and_then(NonZero::new).unwrap_or(NonZero::<usize>::MAX);
    given.unwrap_or_else(wall::cores).min(enough)
}

struct Sweep<'a> {
    shell: &'a Shell,
    seeds: SeedRange,
    chosen: &'a [Chosen],
    tallies: Vec<Tally>,
    bar: ProgressBar,
    out: &'a mut Out,
    is_json: bool,
    /// Failures that were printed.
    shown: u64,
    error: Option<anyhow::Error>,
}

impl Results for Sweep<'_> {
    fn progress(&mut self) {
        self.bar.inc(1);
    }

    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()> {
        let told = result.map_err(Into::into).and_then(|ran| self.take(index, &ran));
        match told {
            Ok(()) if self.out.is_closed() => ControlFlow::Break(()),
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl Sweep<'_> {
    fn take(&mut self, index: u64, ran: &Ran) -> anyhow::Result<()> {
        let per_sim = self.seeds.count();
        let place = usize::try_from(index / per_sim)?;
        let seed = self.seeds.first + index % per_sim;
        let report = run::report(&self.shell.program, &self.chosen[place], seed, ran);
        if !report.as_expected && !self.is_json {
            self.shown += 1;
            let text = if self.shown <= IN_FULL { text::verdict(&report) } else { text::failure_line(&report) + "\n" };
            let failed = self.tallies.iter().map(|tally| tally.failed).sum::<u64>() + u64::from(report.exit_code == 1);
            self.bar.set_message(format!(", {failed} failed"));
            let out = &mut *self.out;
            self.bar.suspend(|| out.rows(&text).and_then(|()| out.flush()))?;
        }
        self.tallies[place].add(ran, report);
        Ok(())
    }
}

fn summary(tallies: &[Tally], seeds: SeedRange, wall: Duration, lanes: NonZero<usize>) -> String {
    let mut out = String::new();
    for tally in tallies {
        let (style, word) = match (tally.failed, tally.inconclusive) {
            (0, 0) if tally.seeds() < seeds.count() => (UNSURE, "INTERRUPTED"),
            (0, 0) => (GOOD, "PASS"),
            (0, _) => (UNSURE, "INCONCLUSIVE"),
            _ => (BAD, "FAIL"),
        };
        let seeds = format!("seeds {seeds}");
        let _ = writeln!(out, "{} {} {seeds}", paint(style, word), paint(STRONG, &tally.sim));
        let (passed, failed) = (count(tally.passed), count(tally.failed));
        text::row(
            &mut out,
            "seeds",
            &format!("{passed} passed, {failed} failed, {} inconclusive", count(tally.inconclusive)),
        );
        let none = || "none".to_owned();
        text::row(&mut out, "faults", &if tally.faults.is_empty() { none() } else { text::counts(&tally.faults) });
        if !tally.families.is_empty() {
            text::row(&mut out, "", &format!("never fired: {}", tally.families.join(", ")));
        }
        text::row(&mut out, "simulated", &style::long_seconds(tally.simulated));
        text::row(&mut out, "hash", &format!("{} over all seeds", tally.hash()));
    }
    let runs: u64 = tallies.iter().map(Tally::seeds).sum();
    let simulated: Duration = tallies.iter().map(|tally| tally.simulated).sum();
    let rate = runs as f64 / wall.as_secs_f64().max(1e-9);
    let _ = writeln!(
        out,
        "{} in {} with {}: {rate:.1} a second, {}",
        counted(runs, "run", "runs"),
        style::seconds(wall),
        counted(lanes.get() as u64, "job", "jobs"),
        style::ratio(simulated, wall)
    );
    out
}
