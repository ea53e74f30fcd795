//! `run`: one run, its options before it and its result after it.

use super::args::RunArgs;
use super::out::{self, Out};
use super::{Chosen, Shell};
use crate::explore::{Ran, Seen, Watcher};
use crate::report::json::{RunOf, RunReport};
use crate::report::judgement::Exit;
use crate::report::text;

pub(super) fn run(shell: &Shell, args: &RunArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let chosen = shell.choose(&args.sim, &args.set)?;
    let seed = super::seed(args.seed.seed)?;
    let launch = Shell::launch(&args.watching)?;
    if !args.json {
        let (sim, script) = (&chosen.sim, &chosen.script);
        let (sim, set, path) = (&sim.name, &sim.set, &sim.place());
        out.rows(&text::before(&text::Before { sim, set, seed, path, script }))?;
        out.line("")?;
        out.flush()?;
    }
    let length = u64::try_from(chosen.script.duration.as_millis()).unwrap_or(u64::MAX);
    // Log lines and a bar would write over each other.
    let bar = if args.watching.log.is_some() {
        indicatif::ProgressBar::hidden()
    } else {
        out::bar(length, "  {bar:40} {percent} % of the simulated time, {elapsed}")
    };
    let ran = Watcher::new(launch).run(&chosen.job(seed), &mut |seen| {
        if let Seen::Time(at) = seen {
            bar.set_position(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        }
    });
    bar.finish_and_clear();
    let ran = ran?;
    let report = report(&shell.program, &chosen, seed, &ran);
    if args.json {
        out.json(&report)?;
    } else {
        out.rows(&text::after(&report))?;
    }
    out.flush()?;
    Ok(exit(&report))
}

/// The report of a run.
pub(super) fn report(program: &str, chosen: &Chosen, seed: u64, ran: &Ran) -> RunReport {
    let (sim, expected) = (&chosen.sim, chosen.script.expect.violation.as_deref());
    let of = RunOf { program, sim: &sim.name, set: &sim.set, script: &sim.place(), seed, expected };
    RunReport::new(&of, ran.verdict(), ran.outcome(), ran.wall)
}

/// The exit code of one run.
pub(super) fn exit(report: &RunReport) -> Exit {
    match report.exit_code {
        0 => Exit::Expected,
        4 => Exit::Inconclusive,
        _ => Exit::Found,
    }
}
