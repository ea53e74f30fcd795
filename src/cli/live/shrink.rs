//! `live --shrink`: a live failure made small. It may be flaky, so that a script is tried several times before it counts
//! as one that does not break, and it is said how often the one that is left did.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use super::super::Shell;
use super::super::args::LiveArgs;
use super::super::out::{self, Out};
use super::super::shrink::check_script;
use super::{Keeps, Subject};
use crate::explore::JobError;
use crate::explore::shrink::{self, Failing, Ground, Plan, Trials};
use crate::live::{self, LiveError, Lived, Options};
use crate::report::judgement::Exit;
use crate::report::records::RecordLine;
use crate::report::style::{BAD, GOOD, UNSURE, counted, paint};
use crate::report::text;
use crate::rng::Seed;
use crate::script::{Script, show_duration};
use crate::sim::{Finding, System};

pub(super) fn shrink(
    shell: &Shell,
    subject: &Subject,
    args: &LiveArgs,
    interrupted: &AtomicBool,
    out: &mut Out,
) -> anyhow::Result<Exit> {
    let [file] = args.output.as_slice() else {
        anyhow::bail!("`--shrink` writes a script: say where, with `--output FILE.toml`");
    };
    check_script(file)?;
    let seed = args.seed.seed.map_or_else(|| super::super::given_seed("a failure has a seed"), Ok)?;
    let title = format!("{} seed={seed}", subject.chosen.sim.title());
    let mut tries = Tries {
        system: subject.system,
        seed,
        interrupted,
        finding: None,
        repeats: args.repeats.get(),
        left: args.runs.get(),
        error: None,
    };
    let Some((finding, records)) = tries.first_finding(subject)? else {
        out.line(&format!(
            "{} {title}: nothing was broken in {}",
            paint(UNSURE, "INCONCLUSIVE"),
            counted(args.repeats.get(), "run", "runs")
        ))?;
        return Ok(Exit::Inconclusive);
    };
    out.line(&format!("shrinking {title}: {finding}"))?;
    out.flush()?;
    tries.finding = Some(finding.clone());
    let ground = Ground { system: subject.system, seed };
    let about =
        format!("Breaks {} with seed {seed}, live; shrunk from {}.", finding.invariant, subject.chosen.sim.name);
    let sim = &subject.chosen.sim;
    let failing = Failing { path: sim.path(), text: sim.text.clone(), apart: Vec::new(), ground };
    // Not with fates for single packets: no two live runs send the same ones.
    let starts = failing.starts(&records).map_err(anyhow::Error::msg)?.into_iter().skip(1);
    let starts: Vec<Plan> = starts.map(|plan| Plan { about: about.clone(), ..plan }).collect();
    let mut told = String::new();
    let shrunk = shrink::shrink(&starts, ground, &mut tries, &mut |progress| {
        let best = progress.best;
        let size = format!("  {}, {}", counted(best.steps.len() as u64, "step", "steps"), show_duration(best.duration));
        if told != size {
            let _ = out.line(&size).and_then(|()| out.flush());
            told = size;
        }
    });
    if let Some(error) = tries.error.take() {
        return Err(error.into());
    }
    let Some(shrunk) = shrunk? else {
        out.line(&format!(
            "{} {title}: written out, it did not break {} again",
            paint(UNSURE, "INCONCLUSIVE"),
            finding.invariant
        ))?;
        return Ok(Exit::Inconclusive);
    };
    let text = shrunk.plan.text();
    fs::write(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    let made = args.runs.get() - tries.left;
    let (broke, of) = tries.how_often(&text)?;
    let word = if shrunk.is_minimal { paint(GOOD, "SHRUNK") } else { paint(UNSURE, "SHRUNK") };
    out.line(&format!("\n{text}\n{word} {title}: {}", paint(BAD, &shrunk.finding)))?;
    let mut rows = String::new();
    text::row(
        &mut rows,
        "runs",
        &format!("{made}; the script that is left broke in {broke} of {of}: a live failure may be flaky"),
    );
    out.rows(&rows)?;
    let path = out::word(&file.display().to_string());
    out.line(&format!("reproduce: {} live {path} --seed {seed}", shell.program))?;
    out.flush()?;
    Ok(if interrupted.load(Ordering::Relaxed) { Exit::Interrupted } else { Exit::Expected })
}

/// Runs that are made to see whether a script breaks the same.
struct Tries<'a> {
    system: &'static dyn System,
    seed: u64,
    interrupted: &'a AtomicBool,
    finding: Option<Finding>,
    repeats: u64,
    left: u64,
    error: Option<LiveError>,
}

impl Tries<'_> {
    /// A run that breaks something, with its records.
    fn first_finding(&mut self, subject: &Subject) -> Result<Option<(Finding, Vec<RecordLine>)>, LiveError> {
        let keeps = Keeps { records: true, packets: false };
        for _ in 0..self.repeats {
            let Lived { outcome, .. } = subject.make(self.seed, keeps, false, self.interrupted)?;
            if let (Some(finding), Some(trace)) = (outcome.verdict.finding(), &outcome.trace) {
                let records = trace.records.iter().map(|record| RecordLine::new(trace, record));
                return Ok(Some((finding.clone(), records.collect())));
            }
        }
        Ok(None)
    }

    /// Whether one run of a script breaks the same, and what it finds.
    fn once(&mut self, text: &str) -> Result<Option<Finding>, LiveError> {
        self.left = self.left.saturating_sub(1);
        let script = Script::parse("shrunk.toml", text)?;
        let options = Options { keep_records: false, keep_packets: false, interrupted: self.interrupted, show: None };
        let lived = live::run(self.system, &script, Seed(self.seed), &options)?;
        let wanted = |finding: &&Finding| self.finding.as_ref().is_none_or(|wanted| finding.is_same(wanted));
        Ok(lived.outcome.verdict.finding().filter(wanted).cloned())
    }

    fn how_often(&mut self, text: &str) -> Result<(u64, u64), LiveError> {
        let mut broke = 0;
        for _ in 0..self.repeats {
            broke += u64::from(self.once(text)?.is_some());
        }
        Ok((broke, self.repeats))
    }
}

impl Trials for Tries<'_> {
    fn first(&mut self, scripts: &[String]) -> Result<Option<(usize, Finding)>, JobError> {
        for (place, text) in scripts.iter().enumerate() {
            for _ in 0..self.repeats {
                if self.is_over() {
                    return Ok(None);
                }
                match self.once(text) {
                    Ok(Some(finding)) => return Ok(Some((place, finding))),
                    Ok(None) => {}
                    // A script that makes no sense breaks nothing.
                    Err(LiveError::Script(_)) => break,
                    Err(error) => {
                        self.error.get_or_insert(error);
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.error.is_some() || self.interrupted.load(Ordering::Relaxed)
    }
}
