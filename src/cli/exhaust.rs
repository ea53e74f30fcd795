//! `exhaust`: every state of a small system.

use anyhow::Context as _;
use indicatif::ProgressBar;

use super::Shell;
use super::args::ExhaustArgs;
use super::out::Out;
use crate::explore::wall::Stopwatch;
use crate::model::{Bounds, Search};
use crate::report::judgement::Exit;

pub(super) fn exhaust(shell: &Shell, args: &ExhaustArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let known = shell.systems.iter().find(|system| system.name() == args.system);
    let system = known.with_context(|| format!("no system `{}`: `{} list` shows all", args.system, shell.program))?;
    if let Some(bug) = &args.bug {
        shell.plant(&args.system, bug)?;
    }
    let bounds = Bounds {
        nodes: args.nodes,
        terms: args.terms,
        messages: args.messages,
        crashes: args.crashes,
        duplicates: args.duplicates,
        states: args.states,
        symmetry: !args.no_symmetry,
        bug: args.bug.clone(),
    };
    let bar = ProgressBar::new_spinner();
    let mut watch = |states: usize, depth: usize| {
        bar.set_message(format!("{states} states, depth {depth}"));
        bar.tick();
    };
    let clock = Stopwatch::start();
    let searched = system.exhaust(&bounds, &mut watch);
    let seconds = clock.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let searched = searched.with_context(|| format!("the system `{}` has no model to search", args.system))?;
    let found = searched.map_err(anyhow::Error::msg)?;
    tell(&found, seconds, out)
}

fn tell(found: &Search, seconds: f64, out: &mut Out) -> anyhow::Result<Exit> {
    let Search { states, transitions, depth, exhausted, violation } = found;
    let rate = *states as f64 / seconds.max(1e-9);
    let exit = match violation {
        Some(violation) => {
            out.line(&format!("FAIL {}: {}", violation.broken.invariant, violation.broken.message))?;
            for (number, step) in violation.steps.iter().enumerate() {
                out.line(&format!("  {}. {step}", number + 1))?;
            }
            Exit::Found
        }
        None if *exhausted => {
            out.line("PASS no invariant is broken, and no state within the bounds is left")?;
            Exit::Expected
        }
        None => {
            out.line("CUT SHORT no invariant was broken before `--states` was reached")?;
            Exit::Inconclusive
        }
    };
    out.line(&format!(
        "{states} distinct states, {transitions} steps, depth {depth}, {seconds:.2} s, {rate:.0} states/s"
    ))?;
    out.flush()?;
    Ok(exit)
}
