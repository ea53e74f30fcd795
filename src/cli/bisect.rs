//! `replay --bisect`: one case for `git bisect run`, judged by its invariant alone.

use super::args::Watching;
use super::out::Out;
use super::{Shell, here};
use crate::explore::Watcher;
use crate::explore::corpus::{self, Case};
use crate::report::judgement::Exit;
use crate::report::style::{BAD, GOOD, UNSURE, paint};
use crate::sim::Verdict;

pub(super) fn bisect(shell: &Shell, case: &str, watching: &Watching, out: &mut Out) -> anyhow::Result<Exit> {
    let (exit, told) = match judge(shell, case, watching) {
        Ok(judged) => judged,
        // Whatever is wrong with the case here, it may be right at another commit.
        Err(error) => (Exit::NotJudged, format!("{} {case}: {error:#}", paint(UNSURE, "NOT JUDGED"))),
    };
    out.line(&told)?;
    out.flush()?;
    Ok(exit)
}

fn judge(shell: &Shell, name: &str, watching: &Watching) -> anyhow::Result<(Exit, String)> {
    let files = corpus::files(&here()?, &[name.to_owned()])?;
    let Some(file) = files.first() else { anyhow::bail!("no such case") };
    let case = Case::load(file, &shell.open_library()?)?;
    let chosen = shell.understand(case.sim.clone())?;
    let ran = Watcher::new(Shell::launch(watching)?).run(&chosen.job(case.seed), &mut |_| {})?;
    let name = format!("{} seed={}", case.name, case.seed);
    let invariant = case.violation.as_deref().unwrap_or("every invariant");
    let holds = format!("{} {name}: {invariant} holds", paint(GOOD, "HOLDS"));
    Ok(match (ran.verdict(), &case.violation) {
        (Verdict::Inconclusive { reason }, _) if reason == Verdict::NO_WORK => {
            (Exit::NotJudged, format!("{} {name}: {reason}", paint(UNSURE, "NOT JUDGED")))
        }
        // A fault that the case names may not come here, and the invariant was watched all the same.
        (Verdict::Pass | Verdict::Inconclusive { .. }, _) => (Exit::Expected, holds),
        (verdict, violation) => {
            let finding = verdict.finding().map_or("", |finding| &finding.invariant);
            let message = verdict.finding().map(ToString::to_string).unwrap_or_default();
            if violation.as_ref().is_none_or(|violation| violation == finding) {
                (Exit::Found, format!("{} {name}: {message}", paint(BAD, "VIOLATED")))
            } else {
                let why = format!("the run ends before, with another violation: {message}");
                (Exit::NotJudged, format!("{} {name}: {why}", paint(UNSURE, "NOT JUDGED")))
            }
        }
    })
}
