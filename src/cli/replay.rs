//! `replay`: the saved cases again, each with the verdict and the hash that it expects.

use std::fmt::Write as _;
use std::num::NonZero;
use std::ops::ControlFlow;

use super::args::ReplayArgs;
use super::out::Out;
use super::run;
use super::{Chosen, Shell, here};
use crate::explore::corpus::{self, Case};
use crate::explore::pool::{Finish, Results, run_all};
use crate::explore::{JobError, Ran, wall};
use crate::report::judgement::Exit;
use crate::report::style::{BAD, DIM, GOOD, UNSURE, counted, paint};
use crate::report::text;

pub(super) fn replay(shell: &Shell, args: &ReplayArgs, out: &mut Out) -> anyhow::Result<Exit> {
    if let Some(case) = &args.bisect {
        return super::bisect::bisect(shell, case, &args.watching, out);
    }
    let library = shell.open_library()?;
    let (mut cases, mut skipped) = (Vec::new(), Vec::new());
    for file in corpus::files(&here()?, &args.case)? {
        let case = Case::load(&file, &library)?;
        if case.bug.is_some() && shell.planted_bugs().is_err() {
            skipped.push(case);
            continue;
        }
        let chosen = shell.understand(case.sim.clone())?;
        cases.push((case, chosen));
    }
    tell_skipped(&skipped, out)?;
    if cases.is_empty() {
        // A check of nothing is no pass.
        let why = if skipped.is_empty() { "there are no cases in seeds/" } else { "no case is left" };
        out.line(&format!("{}: {why}", paint(UNSURE, "INCONCLUSIVE")))?;
        out.flush()?;
        return Ok(Exit::Inconclusive);
    }
    let jobs: Vec<_> = cases.iter().map(|(case, chosen)| chosen.job(case.seed)).collect();
    let lanes =
        args.jobs.jobs.unwrap_or_else(wall::cores).min(NonZero::new(jobs.len()).unwrap_or(NonZero::<usize>::MIN));
    let launch = Shell::launch(&args.watching)?;
    let width = cases.iter().map(|(case, _)| case.name.chars().count()).max().unwrap_or(0);
    let mut replay =
        Replay { shell, cases: &cases, bless: args.bless, width, out, counts: Counts::default(), error: None };
    let finish = run_all(&launch, jobs.into_iter(), lanes, &mut replay)?;
    let (counts, error) = (replay.counts, replay.error);
    if let Some(error) = error {
        return Err(error);
    }
    out.line(&counts.summary(cases.len(), finish))?;
    out.flush()?;
    Ok(match finish {
        _ if counts.changed > 0 => Exit::Found,
        Finish::Interrupted => Exit::Interrupted,
        Finish::All | Finish::Stopped => Exit::Expected,
    })
}

/// Names the cases that this build cannot make.
fn tell_skipped(skipped: &[Case], out: &mut Out) -> anyhow::Result<()> {
    if skipped.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = skipped.iter().map(|case| case.name.as_str()).collect();
    let cases = counted(skipped.len() as u64, "case", "cases");
    let why = "this build has no planted bugs; build it with `--features planted-bugs`";
    out.rows(&format!("{} {cases}: {why}\n", paint(UNSURE, "skipped")))?;
    out.rows(&format!("        {}\n", paint(DIM, names.join(", "))))
}

#[derive(Clone, Copy, Default)]
struct Counts {
    kept: u64,
    blessed: u64,
    changed: u64,
}

impl Counts {
    fn summary(self, cases: usize, finish: Finish) -> String {
        let mut text = format!("{}: {} as expected", counted(cases as u64, "case", "cases"), self.kept);
        if self.blessed > 0 {
            let _ = write!(text, ", {} blessed", self.blessed);
        }
        if self.changed > 0 {
            let _ = write!(text, ", {} not", self.changed);
        }
        if finish == Finish::Interrupted {
            text += ", interrupted before the rest";
        }
        text
    }
}

struct Replay<'a> {
    shell: &'a Shell,
    cases: &'a [(Case, Chosen)],
    bless: bool,
    width: usize,
    out: &'a mut Out,
    counts: Counts,
    error: Option<anyhow::Error>,
}

impl Results for Replay<'_> {
    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()> {
        let (case, chosen) = &self.cases[usize::try_from(index).unwrap_or(usize::MAX)];
        let told = result.map_err(Into::into).and_then(|ran| self.tell(case, chosen, &ran));
        if let Err(error) = told {
            self.error = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

impl Replay<'_> {
    fn tell(&mut self, case: &Case, chosen: &Chosen, ran: &Ran) -> anyhow::Result<()> {
        let name = format!("{:width$}  {} seed={}", case.name, case.sim.title(), case.seed, width = self.width);
        let hash = ran.outcome().map(|outcome| outcome.hash);
        if !case.expects(ran.verdict()) {
            self.counts.changed += 1;
            let mut report = run::report(&self.shell.program, chosen, case.seed, ran);
            // What the case expects counts here, not what the script does.
            (report.as_expected, report.exit_code) = (false, report.exit_code.max(1));
            let got = if report.verdict == "pass" { "it passed".to_owned() } else { text::failure_line(&report) };
            self.out.line(&format!(
                "{} {name}: verdict changed: expected {}, got:",
                paint(BAD, "FAIL   "),
                case.expected()
            ))?;
            self.out.line(&format!("          {got}"))?;
            self.out.line(&format!("          kept because: {}", case.why))?;
            self.out.line(&format!("          reproduce: {}", report.reproduce))?;
        } else if hash == Some(case.hash) {
            self.counts.kept += 1;
            self.out.line(&format!("{} {name}  {}, hash {}", paint(GOOD, "ok     "), case.expected(), case.hash))?;
        } else if let (true, Some(hash)) = (self.bless, hash) {
            case.bless(hash)?;
            self.counts.blessed += 1;
            self.out.line(&format!("{} {name}  hash {} is now {hash}", paint(UNSURE, "blessed"), case.hash))?;
        } else {
            self.counts.changed += 1;
            let hash = hash.map_or("none".to_owned(), |hash| hash.to_string());
            self.out.line(&format!("{} {name}: hash changed from {} to {hash}", paint(BAD, "FAIL   "), case.hash))?;
            let hint = format!("after an intended change: {} replay --bless {}", self.shell.program, case.name);
            self.out.line(&paint(DIM, format_args!("          {hint}")))?;
        }
        self.out.flush()
    }
}
