//! `live --compare`: the same seeds simulated and live, in one table.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use anyhow::Context as _;
use clap::Parser;
use indicatif::ProgressBar;

use super::super::args::{LiveArgs, Watching};
use super::super::out::{self, Out};
use super::super::{Shell, run, sweep};
use super::{NOTHING, Subject, table};
use crate::explore::comparison::{ComparisonReport, Half, Of, Pair};
use crate::explore::crew::Crew;
use crate::explore::sweep::Shard;
use crate::explore::wall::{self, Stopwatch};
use crate::explore::{Job, JobError, Ran};
use crate::live::{self, Lateness, LiveError, Lived};
use crate::report::json::{Times, milliseconds, quoted, set_arguments};
use crate::report::judgement::Exit;
use crate::rng::Seed;

/// How simulated runs are watched where the call does not say it.
#[derive(Parser)]
struct AsUsual {
    #[command(flatten)]
    watching: Watching,
}

pub(super) fn compare(
    shell: &Shell,
    subject: &Subject,
    args: &LiveArgs,
    interrupted: &AtomicBool,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    if subject.system.runs_only_live() {
        anyhow::bail!(
            "{} has nothing to be compared with: its hosts are real processes, of which there is no simulated run",
            subject.chosen.sim.name
        );
    }
    let (seeds, which) = seeds(args)?;
    // What no real process can do is refused before anything is simulated.
    live::commands(subject.system, &subject.chosen.script, Seed(seeds[0]))?;
    if !args.json {
        out.rows(&subject.before(seeds[0], which.trim_start_matches('-'), "simulated and live")?)?;
        out.line("")?;
        out.flush()?;
    }
    let clock = Stopwatch::start();
    let simulated = simulated(subject, &seeds)?;
    // One after the other: what is simulated takes the processors that a live run needs.
    let bar = if args.json { ProgressBar::hidden() } else { bar(seeds.len()) };
    let jobs = args.jobs.map_or(1, NonZero::get).min(seeds.len());
    let lived = lived(subject, &seeds[..simulated.len()], jobs, interrupted, &bar);
    bar.finish_and_clear();
    let lived = lived?;
    let mut late = Lateness::default();
    lived.iter().flatten().for_each(|lived| late.add_all(&lived.lateness));
    let pairs: Vec<Pair> = seeds
        .iter()
        .zip(simulated)
        .zip(lived)
        .filter_map(|((seed, ran), lived)| Some(pair(shell, subject, *seed, ran, lived?)))
        .collect();
    let of = Of {
        sim: &subject.chosen.sim.name,
        set: &subject.chosen.sim.set,
        script: &subject.chosen.sim.place(),
        tick: subject.chosen.script.tick,
        relay_late: relay_late(&late),
        interrupted: pairs.len() < seeds.len(),
        wall: clock.elapsed(),
    };
    let again = format!(
        "{} live {}{} --compare {which}",
        quoted(&shell.program),
        quoted(&subject.chosen.sim.name),
        set_arguments(&subject.chosen.sim.set)
    );
    let report = ComparisonReport::new(&of, pairs);
    if args.json {
        out.json(&report)?;
    } else {
        out.text(&table::table(&report))?;
        out.rows(&table::foot(&report, &again))?;
    }
    out.flush()?;
    Ok(report.exit())
}

/// The seeds, and the option that says them.
fn seeds(args: &LiveArgs) -> anyhow::Result<(Vec<u64>, String)> {
    let Some(range) = args.seeds else {
        let seed = super::super::seed(args.seed.seed)?;
        return Ok((vec![seed], format!("--seed {seed}")));
    };
    range
        .count(Shard::WHOLE)
        .with_context(|| format!("the seeds {range} have no end: a comparison is of seeds such as `0..20`"))?;
    Ok((range.iter(Shard::WHOLE).collect(), format!("--seeds {range}")))
}

fn bar(seeds: usize) -> ProgressBar {
    out::bar(seeds as u64, "  {bar:30} {human_pos} of {human_len} live runs, {elapsed}, {eta} left")
}

/// The simulated runs: of all seeds, or of as many of the first as were made before a signal.
fn simulated(subject: &Subject, seeds: &[u64]) -> anyhow::Result<Vec<Ran>> {
    let watching = AsUsual::try_parse_from(["live"])?.watching;
    let jobs: Vec<Job> = seeds.iter().map(|seed| Job { keep_times: true, ..subject.chosen.job(*seed) }).collect();
    let crew = Crew::new(&Shell::launch(&watching)?, sweep::lanes(None, jobs.len() as u64), None)?;
    let (mut made, mut failed) = (Vec::new(), None::<JobError>);
    crew.round(&jobs, &mut |_, result| match result {
        Ok(ran) => {
            made.push(ran);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    failed.map_or(Ok(made), |error| Err(error.into()))
}

/// The live runs; `None` for those that were not made before a signal.
fn lived(
    subject: &Subject,
    seeds: &[u64],
    jobs: usize,
    interrupted: &AtomicBool,
    bar: &ProgressBar,
) -> Result<Vec<Option<Lived>>, LiveError> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, results) = channel();
    wall::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(place) else { break };
                    let _ = sender.send((place, subject.make(*seed, NOTHING, false, interrupted)));
                }
            });
        }
        drop(sender);
        let mut made: Vec<Option<Lived>> = seeds.iter().map(|_| None).collect();
        let mut failed = None;
        for (place, result) in results {
            bar.inc(1);
            match result {
                Ok(lived) => made[place] = Some(lived),
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    if !matches!(error, LiveError::Interrupted) {
                        failed = Some(error);
                    }
                }
            }
        }
        failed.map_or(Ok(made), Err)
    })
}

fn pair(shell: &Shell, subject: &Subject, seed: u64, ran: Ran, lived: Lived) -> Pair {
    let simulated = Half { report: run::report(&shell.program, &subject.chosen, seed, &ran), ran };
    let report = subject.report(&shell.program, seed, &lived);
    Pair { simulated, live: Half { report, ran: lived.into() } }
}

fn relay_late(late: &Lateness) -> Option<Times> {
    let [min_ms, p50_ms, p99_ms] = [0, 50, 99].map(|percent| milliseconds(late.quantile(percent)));
    let of = Times { count: late.count(), min_ms, p50_ms, p99_ms, max_ms: milliseconds(late.most()) };
    (of.count > 0).then_some(of)
}
