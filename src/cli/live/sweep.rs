//! `live --seeds`: a live run with each of some seeds, one after the other or side by side.

use std::fs;
use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use anyhow::Context as _;

use super::super::args::LiveArgs;
use super::super::out::Out;
use super::super::{Shell, report, swept};
use super::{NOTHING, Subject};
use crate::explore::Ran;
use crate::explore::sweep::report::VERSION;
use crate::explore::sweep::tally::{Tally, sometimes};
use crate::explore::sweep::{Ended, SeedRange, Shard, SweepReport, junit as xml};
use crate::explore::wall::{self, Stopwatch};
use crate::live::LiveError;
use crate::report::json::{RunReport, milliseconds};
use crate::report::judgement::Exit;
use crate::report::style::counted;
use crate::report::text;

pub(super) fn sweep(
    shell: &Shell,
    subject: &Subject,
    args: &LiveArgs,
    seeds: SeedRange,
    interrupted: &AtomicBool,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let Some(count) = seeds.count(Shard::WHOLE).filter(|count| *count > 0) else {
        anyhow::bail!("the seeds {seeds} have no end, or there are none: a live sweep is of seeds such as `0..20`");
    };
    args.junit.as_deref().map_or(Ok(()), report::check_place)?;
    let all: Vec<u64> = seeds.iter(Shard::WHOLE).collect();
    let clock = Stopwatch::start();
    let jobs = args.jobs.map_or(1, NonZero::get).min(all.len());
    let runs = Runs { shell, subject, interrupted, keep_going: args.keep_going, stop: AtomicBool::new(false) };
    let next = AtomicU64::new(0);
    let mut made = wall::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..jobs {
            let (sender, runs, all, next) = (sender.clone(), &runs, &all, &next);
            scope.spawn(move || runs.work(all, next, &sender));
        }
        drop(sender);
        let mut made = Vec::new();
        for result in receiver {
            let run: Made = result?;
            if !args.json {
                out.rows(&text::verdict(&run.2))?;
                out.flush()?;
            }
            made.push(run);
        }
        anyhow::Ok(made)
    })?;
    made.sort_by_key(|(seed, ..)| *seed);
    let ended = match (interrupted.load(Ordering::Relaxed), runs.stop.load(Ordering::Relaxed)) {
        (true, _) => Ended::Interrupted,
        (_, true) if !args.keep_going => Ended::Failure,
        _ => Ended::Complete,
    };
    let mut report = whole(subject, seeds, ended, made);
    report.wall_ms = milliseconds(clock.elapsed());
    if let Some(path) = &args.junit {
        write(path, &report)?;
    }
    if args.json {
        out.json(&report)?;
    } else {
        out.rows(&swept::sims(&report))?;
        let with = format!(" with {}", counted(jobs as u64, "job", "jobs"));
        out.rows(&swept::whole(&report, Some(count), &with))?;
    }
    out.flush()?;
    Ok(report.exit())
}

/// A run that was made.
type Made = (u64, Ran, RunReport);

/// What the threads of a sweep share.
struct Runs<'a> {
    shell: &'a Shell,
    subject: &'a Subject,
    interrupted: &'a AtomicBool,
    keep_going: bool,
    stop: AtomicBool,
}

impl Runs<'_> {
    fn work(&self, seeds: &[u64], next: &AtomicU64, made: &Sender<Result<Made, LiveError>>) {
        while !self.stop.load(Ordering::Relaxed) {
            let place = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(usize::MAX);
            let Some(seed) = seeds.get(place).copied() else { return };
            let lived = match self.subject.make(seed, NOTHING, false, self.interrupted) {
                Err(LiveError::Interrupted) => return,
                Err(error) => {
                    self.stop.store(true, Ordering::Relaxed);
                    let _ = made.send(Err(error));
                    return;
                }
                Ok(lived) => lived,
            };
            let report = self.subject.report(&self.shell.program, seed, &lived);
            if report.exit_code == 1 && !self.keep_going {
                self.stop.store(true, Ordering::Relaxed);
            }
            let _ = made.send(Ok((seed, lived.into(), report)));
        }
    }
}

fn whole(subject: &Subject, seeds: SeedRange, ended: Ended, made: Vec<Made>) -> SweepReport {
    let mut tally = Tally::new(&subject.chosen.sim, sometimes(&subject.chosen.script, subject.chosen.system));
    tally.live();
    for (_, ran, report) in made {
        tally.add(&ran, report);
    }
    let mut report = SweepReport {
        version: VERSION,
        first_seed: seeds.first,
        last_seed: seeds.last,
        shard: None,
        ended,
        exit_code: 0,
        wall_ms: 0.0,
        sims: vec![tally.into_report()],
    };
    report.exit_code = report.exit() as u8;
    report
}

/// One run as `JUnit` XML: a sweep of one seed.
pub(super) fn junit(subject: &Subject, seed: u64, ran: Ran, report: RunReport, path: &Path) -> anyhow::Result<()> {
    let wall_ms = report.wall_ms;
    let seeds = SeedRange { first: seed, last: Some(seed) };
    let mut report = whole(subject, seeds, Ended::Complete, vec![(seed, ran, report)]);
    report.wall_ms = wall_ms;
    write(path, &report)
}

fn write(path: &Path, report: &SweepReport) -> anyhow::Result<()> {
    let text = xml::document(report).map_err(anyhow::Error::msg)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
