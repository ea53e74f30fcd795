//! `exhaust`: every state of a small system.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::args::ExhaustArgs;
use super::out::{self, Out};
use super::shrink::check_script;
use super::{Shell, here};
use crate::explore::library::shown;
use crate::explore::wall::{self, Stopwatch};
use crate::explore::{Job, Watcher};
use crate::model::{Bounds, End, Search, Violation};
use crate::report::exhaust::{ExhaustReport, PathReport, ScriptRun, after, before};
use crate::report::json::{milliseconds, quoted};
use crate::report::judgement::Exit;
use crate::report::style::count;
use crate::script::{Setting, settings};
use crate::sim::Verdict;

pub(super) fn exhaust(shell: &Shell, args: &ExhaustArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let known = shell.systems.iter().find(|system| system.name() == args.system);
    let system = known.with_context(|| format!("no system `{}`: `{} list` shows all", args.system, shell.program))?;
    let plant = args.bug.as_ref().map(|bug| shell.plant(&args.system, bug)).transpose()?;
    args.output.as_deref().map_or(Ok(()), check_script)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    wall::on_interrupt(move || flag.store(true, Ordering::Relaxed))?;
    let bar = if args.json { indicatif::ProgressBar::hidden() } else { out::bar(0, "  {spinner} {msg}, {elapsed}") };
    let mut goes_on = |states: usize, depth: usize| {
        bar.set_message(format!("{} states, depth {depth}", count(states as u64)));
        bar.tick();
        !interrupted.load(Ordering::Relaxed)
    };
    let clock = Stopwatch::start();
    let searched = system.exhaust(&bounds(args), &mut goes_on);
    let wall_ms = milliseconds(clock.elapsed());
    bar.finish_and_clear();
    let searched = searched.with_context(|| format!("the system `{}` has no model to search", args.system))?;
    let found = searched.map_err(anyhow::Error::msg)?;
    let mut report = report(args, &found, wall_ms);
    if let End::Violated(violation) = &found.end {
        report.violation = Some(path(shell, args, violation, plant.as_ref())?);
    }
    if args.json {
        out.json(&report)?;
    } else {
        out.rows(&before(&report))?;
        out.rows(&after(&report))?;
    }
    out.flush()?;
    Ok(exit(&found.end))
}

fn bounds(args: &ExhaustArgs) -> Bounds {
    let ExhaustArgs { nodes, terms, messages, crashes, duplicates, entries, .. } = *args;
    let (symmetry, scripted) = (!args.no_symmetry, args.scripted);
    let (check, bug) = (args.check.clone(), args.bug.clone());
    Bounds {
        nodes,
        terms,
        messages,
        crashes,
        duplicates,
        entries,
        states: args.states.get(),
        symmetry,
        check,
        scripted,
        bug,
    }
}

fn exit(end: &End) -> Exit {
    match end {
        End::Exhausted => Exit::Expected,
        End::Violated(_) => Exit::Found,
        End::TooManyStates => Exit::Inconclusive,
        End::Interrupted => Exit::Interrupted,
    }
}

fn report(args: &ExhaustArgs, found: &Search, wall_ms: f64) -> ExhaustReport {
    ExhaustReport {
        system: args.system.clone(),
        bug: args.bug.clone(),
        check: args.check.clone(),
        nodes: args.nodes,
        terms: args.terms,
        messages: args.messages as u64,
        crashes: args.crashes.into(),
        duplicates: args.duplicates.into(),
        entries: args.entries.into(),
        symmetry: !args.no_symmetry,
        states: found.states as u64,
        transitions: found.transitions,
        depth: found.depth as u64,
        exhausted: found.end == End::Exhausted,
        interrupted: found.end == End::Interrupted,
        wall_ms,
        states_per_second: found.states as f64 / (wall_ms / 1000.0).max(1e-9),
        violation: None,
        exit_code: exit(&found.end) as u8,
    }
}

/// The path, its script, and what a run of that comes to.
fn path(
    shell: &Shell,
    args: &ExhaustArgs,
    violation: &Violation,
    plant: Option<&Setting>,
) -> anyhow::Result<PathReport> {
    let Violation { is_shortest, broken, steps, script } = violation;
    let mut report = PathReport {
        invariant: broken.invariant.clone(),
        message: broken.message.clone(),
        shortest: *is_shortest,
        steps: steps.clone(),
        script: script.clone().ok(),
        no_script: script.clone().err(),
        file: None,
        run: None,
        reproduce: None,
    };
    let Ok(text) = script else { return Ok(report) };
    let planted = settings::apply(text, plant.map_or(&[][..], std::slice::from_ref))?;
    // Errors name a file in a folder that is there.
    let path = args.output.clone().unwrap_or(here()?.join("path.toml"));
    let job = Job { path: shown(&path), text: planted, seed: 0, ..Job::default() };
    let ran = Watcher::new(Shell::launch(&args.watching)?).run(&job, &mut |_| {})?;
    report.run = Some(told(ran.verdict(), &broken.invariant));
    if let Some(file) = &args.output {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let bug = args.bug.as_ref().map_or(String::new(), |bug| format!(" --bug {bug}"));
        let (program, shown) = (quoted(&shell.program), shown(file));
        report.reproduce = Some(format!("{program} run {}{bug} --seed 0", quoted(&shown)));
        report.file = Some(shown);
    }
    Ok(report)
}

fn told(verdict: &Verdict, invariant: &str) -> ScriptRun {
    let said = match (verdict.finding(), verdict) {
        (Some(finding), _) => finding.to_string(),
        (None, Verdict::Inconclusive { reason }) => format!("it is inconclusive: {reason}"),
        (None, _) => "it passes".to_owned(),
    };
    ScriptRun { same: verdict.finding().is_some_and(|finding| finding.invariant == invariant), verdict: said }
}
