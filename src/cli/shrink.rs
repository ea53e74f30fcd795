//! `shrink`: a failure made small, as a script that a person reads.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::args::ShrinkArgs;
use super::keep::{apart, new_case, next};
use super::out::{self, Out};
use super::{Chosen, Shell, here, run};
use crate::explore::casebook::{NewCase, usual_name, write_new};
use crate::explore::corpus::{self, Case};
use crate::explore::crew::Crew;
use crate::explore::library::{LibraryError, is_path, read, shown, stem};
use crate::explore::shrink::{Attempt, Failing, Ground, Plan, ShrinkReport, Shrunk, SizeReport};
use crate::explore::{Watcher, wall};
use crate::report::json::milliseconds;
use crate::report::judgement::Exit;
use crate::report::style::{BAD, DIM, GOOD, STRONG, UNSURE, count, counted, from_milliseconds, paint, seconds};
use crate::report::text;
use crate::script::{Setting, settings, show_duration};
use crate::sim::Finding;
use crate::sim::trace::TraceHash;

pub(super) fn shrink(shell: &Shell, args: &ShrinkArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let subject = Subject::find(shell, args)?;
    let place = Place::choose(args, &subject)?;
    let failing = subject.failing(shell)?;
    let launch = Shell::launch(&args.watching)?;
    let crew = Crew::new(&launch, args.jobs.jobs.unwrap_or_else(wall::cores), args.time)?;
    let title = format!("{} seed={}", subject.chosen.sim.title(), subject.seed);
    let mut screen = Screen::new(args.json, out);
    screen.line(&format!("shrinking {}", paint(STRONG, &title)))?;
    let of = (&subject.chosen.sim.name, subject.seed);
    let about = |finding: &Finding| format!("Breaks {} with seed {}; shrunk from {}.", finding.invariant, of.1, of.0);
    let attempt = failing.shrink(&launch, &crew, args.runs.get(), &about, &mut |progress| {
        screen.progress(progress.stage, progress.best);
    });
    screen.bar.finish_and_clear();
    let why = match attempt? {
        Attempt::Shrunk(shrunk, runs) => {
            let saved = place.save(shell, &subject, &failing, &shrunk, &launch)?;
            let report = saved.report(&subject, &shrunk, runs, &crew);
            if args.json {
                out.json(&report)?;
            } else {
                out.text(&summary(&title, &shrunk, &report))?;
                if let Some(case) = &report.case {
                    out.text(&next(&shell.program, Path::new(case)))?;
                }
            }
            out.flush()?;
            return Ok(if crew.is_interrupted() { Exit::Interrupted } else { Exit::Expected });
        }
        Attempt::Unbroken(ran) => {
            let report = run::report(&shell.program, &subject.chosen, subject.seed, &ran);
            out.rows(&text::verdict(&report))?;
            "nothing is broken in this run, so there is nothing to shrink".to_owned()
        }
        Attempt::NotAgain(_) if crew.is_over() => "there was no time for a try".to_owned(),
        Attempt::NotAgain(finding) => format!("written out, the run does not break {}", finding.invariant),
    };
    out.line(&format!("{} {title}: {why}", paint(UNSURE, "INCONCLUSIVE")))?;
    out.flush()?;
    Ok(Exit::Inconclusive)
}

/// Where it is shown how far it is.
struct Screen<'a> {
    bar: indicatif::ProgressBar,
    is_json: bool,
    out: &'a mut Out,
    told: String,
}

impl<'a> Screen<'a> {
    fn new(is_json: bool, out: &'a mut Out) -> Self {
        let bar = if is_json { indicatif::ProgressBar::hidden() } else { out::bar(0, "  {spinner} {msg}, {elapsed}") };
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self { bar, is_json, out, told: String::new() }
    }

    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        if self.is_json {
            return Ok(());
        }
        self.out.line(line)?;
        self.out.flush()
    }

    /// On a terminal a line that changes, else a line whenever there is less than before.
    fn progress(&mut self, stage: &str, best: &Plan) {
        let size = size(best);
        self.bar.set_message(format!("{stage}: {size}"));
        if self.bar.is_hidden() && self.told != size {
            // A reader who has gone away is noticed at the end.
            let _ = self.line(&format!("  {size}"));
            self.told = size;
        }
    }
}

fn size(plan: &Plan) -> String {
    let (steps, packets) = (plan.steps.len() as u64, plan.packets.len() as u64);
    format!(
        "{}, {}, {}",
        counted(steps, "step", "steps"),
        counted(packets, "packet", "packets"),
        show_duration(plan.duration)
    )
}

/// The run that is to be shrunk.
struct Subject {
    chosen: Chosen,
    seed: u64,
    /// The case that it was given by.
    case: Option<String>,
}

impl Subject {
    fn find(shell: &Shell, args: &ShrinkArgs) -> anyhow::Result<Self> {
        let Some(file) = case_file(&args.sim)? else {
            let chosen = shell.choose(&args.sim, &args.set)?;
            let seed = args.seed.seed.map_or_else(|| super::given_seed("a failure has a seed"), Ok)?;
            return Ok(Self { chosen, seed, case: None });
        };
        let case = Case::load(&file, &shell.open_library()?)?;
        if args.seed.seed.is_some() || args.set.bug.is_some() || args.set.settings().next().is_some() {
            anyhow::bail!("{} is a case, which has a seed and settings of its own", shown(&file));
        }
        let chosen = shell.understand(case.sim)?;
        Ok(Self { chosen, seed: case.seed, case: Some(case.name) })
    }

    fn failing(&self, shell: &Shell) -> anyhow::Result<Failing> {
        let script = &self.chosen.script;
        let system = shell.systems.iter().find(|system| system.name() == script.system);
        let system = *system.with_context(|| format!("no system `{}` here", script.system))?;
        let (bug, set) = apart(&self.chosen);
        // The bug is no part of the script: what is shrunk is what it takes to see it.
        let text = match &bug {
            None => self.chosen.sim.text.clone(),
            Some(_) => without_bug(&self.chosen, &set)?,
        };
        let ground = Ground { system, seed: self.seed };
        Ok(Failing { path: self.chosen.sim.path(), text, apart: bug.into_iter().collect(), ground })
    }

    fn bug(&self) -> Option<Setting> {
        apart(&self.chosen).0
    }
}

/// The script's text with its variant and all settings but that of a bug.
fn without_bug(chosen: &Chosen, set: &[Setting]) -> anyhow::Result<String> {
    let Some(base) = chosen.sim.base() else { return Ok(chosen.sim.text.clone()) };
    let base = match &chosen.sim.variant {
        Some(variant) => base.variant(variant)?,
        None => base,
    };
    Ok(settings::apply(&base.text, set)?)
}

/// The file of a case, if this names one: by its path, or by its name where no sim has it.
fn case_file(name: &str) -> anyhow::Result<Option<PathBuf>> {
    if is_path(name) {
        let path = PathBuf::from(name);
        let table: toml::Table = toml::from_str(&read(&path)?).unwrap_or_default();
        return Ok((table.contains_key("sim") && table.contains_key("verdict")).then_some(path));
    }
    if name.contains('/') {
        return Ok(None);
    }
    match corpus::files(&here()?, &[name.to_owned()]) {
        Err(LibraryError::NoCase { .. }) => Ok(None),
        files => Ok(files?.into_iter().next()),
    }
}

/// Where the script goes, and the case, if there is to be one.
struct Place {
    script: PathBuf,
    case: Option<PathBuf>,
    why: Option<String>,
}

/// What was saved.
struct Saved {
    script: PathBuf,
    case: Option<PathBuf>,
    hash: Option<TraceHash>,
    reproduce: String,
}

impl Place {
    /// Before hours are spent: whether it can be saved there.
    fn choose(args: &ShrinkArgs, subject: &Subject) -> anyhow::Result<Self> {
        let why = args.why.clone();
        if let Some(file) = &args.output {
            if args.name.is_some() || why.is_some() {
                anyhow::bail!("`--output` saves the script alone: `--name` and `--why` are for a case in `seeds/`");
            }
            check_script(file)?;
            return Ok(Self { script: file.clone(), case: None, why });
        }
        let usual = match (&subject.case, subject.bug()) {
            (Some(case), _) => format!("shrunk-{case}"),
            (None, Some(bug)) => format!("shrunk-{}", bug.value()),
            (None, None) => format!("shrunk-{}", usual_name(&subject.chosen.sim.name, subject.seed)),
        };
        let case = new_case(args.name.as_deref(), &usual).context("`--output FILE.toml` saves the script elsewhere")?;
        let name = stem(&case);
        let script = name.strip_prefix("shrunk-").unwrap_or(&name);
        let script = case.with_file_name("shrunk").join(format!("{script}.toml"));
        if script.exists() {
            anyhow::bail!("{} is there already: take another name, with `--name`", shown(&script));
        }
        Ok(Self { script, case: Some(case), why })
    }

    fn save(
        self,
        shell: &Shell,
        subject: &Subject,
        failing: &Failing,
        shrunk: &Shrunk,
        launch: &crate::explore::Launch,
    ) -> anyhow::Result<Saved> {
        let text = shrunk.plan.text();
        let ran = Watcher::new(launch.clone()).run(&failing.job(&text), &mut |_| {})?;
        let hash = ran.outcome().map(|outcome| outcome.hash);
        let bug = subject.bug();
        let Self { script, case, why } = self;
        if let Some(folder) = script.parent().filter(|_| case.is_some()) {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", shown(folder)))?;
        }
        match &case {
            Some(_) => write_new(&script, &text)?,
            None => fs::write(&script, &text).with_context(|| format!("cannot write {}", script.display()))?,
        }
        let planted = bug.as_ref().map(|bug| format!(" --bug {}", bug.value())).unwrap_or_default();
        let seed = subject.seed;
        let reproduce = format!("{} run {}{planted} --seed {seed}", shell.program, out::word(&shown(&script)));
        // A run that is stuck has no hash, and no case.
        let case = case.filter(|_| hash.is_some());
        if let (Some(case), Some(hash)) = (&case, hash) {
            let usual = || format!("Shrunk from {}, seed {seed}: {}", subject.chosen.sim.name, shrunk.finding);
            let why = why.unwrap_or_else(usual);
            let new = NewCase {
                sim: format!("shrunk/{}.toml", stem(&script)),
                set: &[],
                bug: bug.as_ref().map(Setting::value),
                seed,
                violation: Some(&shrunk.finding.invariant),
                hash,
                why: &why,
            };
            write_new(case, &new.text())?;
        }
        Ok(Saved { script, case, hash, reproduce })
    }
}

impl Saved {
    fn report(self, subject: &Subject, shrunk: &Shrunk, runs: u64, crew: &Crew) -> ShrinkReport {
        ShrinkReport {
            sim: subject.chosen.sim.title(),
            seed: subject.seed,
            violation: shrunk.finding.invariant.clone(),
            from: SizeReport::new(&shrunk.from),
            to: SizeReport::new(&shrunk.plan),
            minimal: shrunk.is_minimal,
            interrupted: crew.is_interrupted(),
            runs,
            wall_ms: milliseconds(crew.elapsed()),
            script: shown(&self.script),
            case: self.case.as_deref().map(shown),
            hash: self.hash.map(|hash| hash.to_string()),
            reproduce: self.reproduce,
            text: shrunk.plan.text(),
        }
    }
}

fn summary(title: &str, shrunk: &Shrunk, report: &ShrinkReport) -> String {
    let mut out = String::new();
    let lines = |of: &SizeReport| counted(of.lines as u64, "line", "lines");
    text::row(&mut out, "from", &format!("{}, {}", size(&shrunk.from), lines(&report.from)));
    text::row(&mut out, "to", &format!("{}, {}", size(&shrunk.plan), lines(&report.to)));
    let took = seconds(from_milliseconds(report.wall_ms));
    let rest = match (report.minimal, report.interrupted) {
        (true, _) => "nothing more can be taken out",
        (false, true) => "interrupted: the smallest so far",
        (false, false) => "no more runs or time: the smallest so far",
    };
    text::row(&mut out, "runs", &format!("{} in {took}; {rest}", count(report.runs)));
    text::row(&mut out, "script", &report.script);
    if let Some(case) = &report.case {
        text::row(&mut out, "case", case);
    }
    text::row(&mut out, "hash", report.hash.as_deref().unwrap_or("none: the run is stuck"));
    let _ = writeln!(out);
    for line in report.text.lines() {
        let _ = writeln!(out, "{}", if line.is_empty() { String::new() } else { format!("  {}", paint(DIM, line)) });
    }
    let word = if report.minimal { paint(GOOD, "SHRUNK") } else { paint(UNSURE, "SHRUNK") };
    let _ = writeln!(out, "\n{word} {title}: {}", paint(BAD, &shrunk.finding));
    let _ = writeln!(out, "reproduce: {}", report.reproduce);
    out
}

/// Says what is wrong with the path of a script before the work that it is for, and not after.
pub(super) fn check_script(file: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(is_path(&file.display().to_string()), "{}: the path of a script ends in `.toml`", file.display());
    if let Some(folder) = out::missing_folder(file) {
        anyhow::bail!("{}: there is no folder {}", file.display(), folder.display());
    }
    anyhow::ensure!(!file.is_dir(), "{}: it is a folder", file.display());
    Ok(())
}
