//! `run`: one run, its options before it and its result after it.

use std::time::Duration;

use super::args::RunArgs;
use super::out::{self, Out};
use super::progress::rounded;
use super::{Chosen, Shell};
use crate::explore::{Ran, Seen, Watcher};
use crate::report::json::{RunOf, RunReport};
use crate::report::judgement::Exit;
use crate::report::text;
use crate::rng::Seed;
use crate::script::Lane;
use crate::sim::{Setup, Verdict};

pub(super) fn run(shell: &Shell, args: &RunArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let chosen = shell.choose(&args.sim, &args.set)?;
    let seed = super::seed(args.seed.seed)?;
    let drawn = chosen.drawn(seed)?;
    let launch = Shell::launch(&args.watching)?;
    if !args.json {
        let (sim, script) = (&chosen.sim, &chosen.script);
        let (sim, set, path) = (&sim.name, &sim.set, &sim.place());
        out.rows(&text::before(&text::Before { sim, set, seed, path, script, drawn: &drawn }))?;
        if let Some(note) = slow(&chosen, seed)? {
            out.rows(&note)?;
        }
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
    // Setting up many hosts takes a while before any time passes.
    bar.enable_steady_tick(Duration::from_millis(200));
    let ran = Watcher::new(launch).run(&chosen.job(seed), &mut |seen| {
        if let Seen::Time(at) = seen {
            bar.set_position(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
        }
    });
    bar.finish_and_clear();
    let ran = ran?;
    let report = RunReport { drawn, ..report(&shell.program, &chosen, seed, &ran) };
    if args.json {
        out.json(&report)?;
    } else {
        out.rows(&text::after(&report))?;
    }
    out.flush()?;
    Ok(exit(&report))
}

/// What a step of the turmoil lane costs for each host, idle or not, and for each link between two of them.
const HOST_COST: Duration = Duration::from_nanos(1600);
const LINK_COST: Duration = Duration::from_nanos(40);
/// The wall time from which a run is told to be a long one.
const LONG: Duration = Duration::from_secs(30);

/// Says of a run that takes minutes, because every tick is one of each host, that it does, and of the lane that has no
/// ticks.
fn slow(chosen: &Chosen, seed: u64) -> anyhow::Result<Option<String>> {
    let Some(system) = chosen.system else { return Ok(None) };
    let setup = Setup::built(system, &chosen.script, Seed(seed))?;
    let hosts = setup.host_names().len() as u64;
    let ticks = chosen.script.duration.as_secs_f64() / chosen.script.tick.as_secs_f64();
    let links = hosts * (hosts.max(1) - 1) / 2;
    let of_tick = HOST_COST.as_secs_f64() * hosts as f64 + LINK_COST.as_secs_f64() * links as f64;
    if setup.lane() == Lane::Core || ticks * of_tick < LONG.as_secs_f64() {
        return Ok(None);
    }
    let other = match system.script_lacks_in_core_lane(&chosen.script) {
        None => "`--lane core` makes the same run from event to event".to_owned(),
        Some(lacking) => {
            format!("the core lane, which goes from event to event, has no {lacking}; a longer `tick` helps")
        }
    };
    let about = rounded(Duration::from_secs_f64((ticks * of_tick).min(1e9)));
    let mut note = String::new();
    text::row(&mut note, "lane", &format!("turmoil: {hosts} hosts, tick by tick, take about {about} or more; {other}"));
    Ok(Some(note))
}

/// The report of a run.
pub(super) fn report(program: &str, chosen: &Chosen, seed: u64, ran: &Ran) -> RunReport {
    let (sim, expected) = (&chosen.sim, chosen.script.expect.violation.as_deref());
    // Of runs that pass in their thousands, nobody asks; and a script that is wrong has made no run.
    let drawn =
        if matches!(ran.verdict(), Verdict::Pass) { Vec::new() } else { chosen.drawn(seed).unwrap_or_default() };
    let of = RunOf { program, sim: &sim.name, set: &sim.set, script: &sim.place(), seed, expected, drawn: &drawn };
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
