//! `bugs`: the ledger of planted bugs.

use std::fmt::Write as _;
use std::num::NonZero;

use super::args::{BugsArgs, LaneArg, LaneName};
use super::out::{self, Out};
use super::{Shell, is_planted};
use crate::explore::Launch;
use crate::explore::Sim;
use crate::explore::crew::Crew;
use crate::explore::ledger::{BugReport, Hunt, HuntReport, LedgerReport, Quarry, ShrunkReport, hunt};
use crate::explore::pool::Finish;
use crate::explore::shrink::{Attempt, Failing, Ground, SizeReport};
use crate::explore::wall::{self, Stopwatch};
use crate::report::json::milliseconds;
use crate::report::judgement::Exit;
use crate::report::style::{self, BAD, DIM, GOOD, STRONG, UNSURE, count, counted, from_milliseconds, paint};
use crate::script::Setting;
use crate::sim::{PlantedBug, System, WeakerCheck};

pub(super) fn bugs(shell: &Shell, args: &BugsArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let planted = shell.planted_bugs()?;
    let known: Vec<_> = planted.iter().map(|(_, bug)| *bug).collect();
    for name in &args.bug {
        is_planted(name, &known).map_err(anyhow::Error::msg)?;
    }
    let is_meant = |bug: &PlantedBug| args.bug.is_empty() || args.bug.iter().any(|name| name == bug.name);
    let entries = planted.into_iter().filter(|(_, bug)| is_meant(bug));
    let entries =
        entries.map(|(system, bug)| Entry::new(shell, args, system, bug)).collect::<anyhow::Result<Vec<_>>>()?;
    let hunts: Vec<Hunt> = entries.iter().flat_map(|entry| entry.hunts.iter().map(|(_, hunt)| hunt.clone())).collect();
    let bar = if args.json { indicatif::ProgressBar::hidden() } else { bar(hunts.len()) };
    let launch = Shell::launch(&args.watching)?;
    let clock = Stopwatch::start();
    let lanes = args.jobs.jobs.unwrap_or_else(wall::cores);
    let (quarries, finish) = hunt(&launch, hunts, lanes, &mut || bar.inc(1))?;
    bar.finish_and_clear();
    let mut quarries = quarries.into_iter();
    let mut bugs: Vec<_> = entries.iter().map(|entry| entry.report(&mut quarries)).collect();
    let mut finish = finish;
    if args.shrink_runs > 0 && finish == Finish::All {
        let bar = if args.json { indicatif::ProgressBar::hidden() } else { out::bar(bugs.len() as u64, SHRINKING) };
        let crew = Crew::new(&launch, lanes, None)?;
        for (entry, bug) in entries.iter().zip(&mut bugs) {
            bug.shrunk = entry.shrink(&launch, &crew, bug, args.shrink_runs)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        if crew.is_interrupted() {
            finish = Finish::Interrupted;
        }
    }
    let report = LedgerReport {
        exit_code: exit(&bugs, finish) as u8,
        interrupted: finish == Finish::Interrupted,
        wall_ms: milliseconds(clock.elapsed()),
        bugs,
    };
    if args.json {
        out.json(&report)?;
    } else {
        out.text(&table(&report, &titles(&entries)))?;
        out.text(&summary(&shell.program, &report, lanes))?;
    }
    out.flush()?;
    Ok(exit(&report.bugs, finish))
}

fn bar(hunts: usize) -> indicatif::ProgressBar {
    let bar = out::bar(hunts as u64, "  {bar:30} {pos}/{len} hunts, {elapsed}");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

const SHRINKING: &str = "  {bar:30} {pos}/{len} shrunk, {elapsed}";

/// A bug, and the hunts for it: with all checks first.
struct Entry {
    system: &'static dyn System,
    sim: Sim,
    bug: &'static PlantedBug,
    hunts: Vec<(&'static str, Hunt)>,
    /// Whether the second hunt is the first one again, in the core lane.
    in_core_lane: bool,
}

impl Entry {
    fn new(
        shell: &Shell,
        args: &BugsArgs,
        system: &'static dyn System,
        bug: &'static PlantedBug,
    ) -> anyhow::Result<Self> {
        let sim = shell.open_library()?.find(bug.sim)?;
        let set =
            |key: &str, value| Setting::new(&format!("{}.{key}", system.name()), value).map_err(anyhow::Error::msg);
        let hunt = |check: Option<&WeakerCheck>, lane, seeds| {
            let check_setting = check.map(|check| set("check", check.name)).transpose()?;
            let lane = LaneArg { lane }.setting();
            let settings: Vec<_> = [set("bug", bug.name)?].into_iter().chain(check_setting).chain(lane).collect();
            let job = shell.understand(sim.clone().with(&settings)?)?.job(0);
            let hunt = Hunt { job, seeds, invariant: check.map(|check| check.invariant) };
            anyhow::Ok((check.map_or("all", |check| check.name), hunt))
        };
        let seeds = if bug.caught_by.is_empty() { args.control_seeds } else { args.seeds };
        let in_core_lane = args.lanes && system.lacks_in_core_lane().is_none();
        let mut hunts = vec![hunt(None, in_core_lane.then_some(LaneName::Turmoil), seeds.get())?];
        if in_core_lane {
            hunts.push(hunt(None, Some(LaneName::Core), seeds.get())?);
        }
        if args.weaker_seeds > 0 {
            for check in system.weaker_checks() {
                hunts.push(hunt(Some(check), None, args.weaker_seeds)?);
            }
        }
        Ok(Self { system, sim, bug, hunts, in_core_lane })
    }

    fn report(&self, quarries: &mut impl Iterator<Item = Quarry>) -> BugReport {
        let mut hunts: Vec<_> = (self.hunts.iter().zip(quarries))
            .map(|((check, hunt), quarry)| HuntReport::new(check, hunt.seeds, &quarry))
            .collect();
        let found = hunts.remove(0);
        let core_lane = self.in_core_lane.then(|| hunts.remove(0));
        let Self { bug, .. } = self;
        let is_known = |invariant: &String| bug.caught_by.iter().any(|known| is_of(invariant, known));
        let as_expected = match &found.caught_by {
            Some(invariant) => is_known(invariant),
            None => bug.caught_by.is_empty() && !found.is_cut_short(),
        };
        let as_expected = as_expected && core_lane.as_ref().is_none_or(|core| core.agrees(&found));
        BugReport {
            system: self.system.name().to_owned(),
            bug: bug.name.to_owned(),
            about: bug.about.to_owned(),
            source: bug.source.to_owned(),
            sim: bug.sim.to_owned(),
            may_break: bug.caught_by.iter().map(|&name| name.to_owned()).collect(),
            as_expected,
            found,
            core_lane,
            weaker: hunts,
            shrunk: None,
        }
    }

    /// Makes what was found small.
    fn shrink(
        &self,
        launch: &Launch,
        crew: &Crew,
        found: &BugReport,
        runs: u64,
    ) -> anyhow::Result<Option<ShrunkReport>> {
        if found.found.caught_by.is_none() {
            return Ok(None);
        }
        let bug = Setting::new(&format!("{}.bug", self.system.name()), self.bug.name).map_err(anyhow::Error::msg)?;
        let ground = Ground { system: self.system, seed: found.found.seeds - 1 };
        let (path, text) = (self.sim.path(), self.sim.text.clone());
        let failing = Failing { path, text, apart: vec![bug], ground };
        let about = |finding: &crate::sim::Finding| format!("Breaks {}.", finding.invariant);
        Ok(match failing.shrink(launch, crew, runs, &about, &mut |_| {})? {
            Attempt::Shrunk(shrunk, runs) => Some(ShrunkReport {
                from: SizeReport::new(&shrunk.from),
                to: SizeReport::new(&shrunk.plan),
                minimal: shrunk.is_minimal,
                runs,
            }),
            Attempt::Unbroken(_) | Attempt::NotAgain(_) => None,
        })
    }
}

/// Whether an invariant's name begins with this word: E1 is not E10.
fn is_of(invariant: &str, word: &str) -> bool {
    invariant.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// A bug that is not caught counts more than an interruption.
fn exit(bugs: &[BugReport], finish: Finish) -> Exit {
    let is_wrong = |bug: &&BugReport| !bug.as_expected && !bug.found.is_cut_short();
    if bugs.iter().any(|bug| is_wrong(&bug)) {
        Exit::Found
    } else if finish == Finish::Interrupted {
        Exit::Interrupted
    } else {
        Exit::Expected
    }
}

/// What heads the columns of the weaker checks.
fn titles(entries: &[Entry]) -> Vec<&'static str> {
    let mut titles = Vec::new();
    let is_weaker = |entry: &&Entry| entry.hunts.len() > 1 + usize::from(entry.in_core_lane);
    for check in entries.iter().filter(is_weaker).flat_map(|entry| entry.system.weaker_checks()) {
        if !titles.contains(&check.title) {
            titles.push(check.title);
        }
    }
    titles
}

/// A line for each bug, the columns as wide as they need to be.
fn table(report: &LedgerReport, weaker: &[&str]) -> String {
    let head = ["bug", "caught by", "seeds", "simulated", "wall"].map(str::to_owned);
    let is_shrunk = report.bugs.iter().any(|bug| bug.shrunk.is_some());
    let shrunk = is_shrunk.then(|| "shrunk".to_owned());
    let is_in_core_lane = report.bugs.iter().any(|bug| bug.core_lane.is_some());
    let core_lane = is_in_core_lane.then(|| "core lane".to_owned());
    let head = head
        .into_iter()
        .chain(core_lane)
        .chain(shrunk)
        .chain(weaker.iter().map(|&title| title.to_owned()))
        .chain(["sim".to_owned()])
        .collect();
    let rows: Vec<Vec<String>> =
        [head].into_iter().chain(report.bugs.iter().map(|bug| row(bug, is_shrunk, is_in_core_lane))).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            let is_name = column < 2 || column + 1 == row.len();
            let _ = if is_name { write!(line, "{cell:width$}  ") } else { write!(line, "{cell:>width$}  ") };
        }
        let line = line.trim_end();
        let bug = number.checked_sub(1).map(|place| &report.bugs[place]);
        let style = match bug {
            None => DIM,
            Some(bug) if bug.as_expected => style::PLAIN,
            Some(bug) if bug.found.is_cut_short() => UNSURE,
            Some(_) => BAD,
        };
        let _ = writeln!(text, "{}", paint(style, line));
    }
    text
}

fn row(bug: &BugReport, is_shrunk: bool, is_in_core_lane: bool) -> Vec<String> {
    let HuntReport { caught_by, seeds, sim_ms, wall_ms, .. } = &bug.found;
    let caught_by = match caught_by {
        Some(invariant) if bug.as_expected => invariant.clone(),
        Some(invariant) => format!("{invariant} (not {})", bug.may_break.join(", ")),
        None if bug.found.is_cut_short() => "interrupted".to_owned(),
        None if bug.as_expected => "nothing, as it should".to_owned(),
        None => "NOT CAUGHT".to_owned(),
    };
    let simulated = format!("{:.1} s", from_milliseconds(*sim_ms).as_secs_f64());
    let numbers = [count(*seeds), simulated, style::span(from_milliseconds(*wall_ms))];
    let weaker = bug.weaker.iter().map(|hunt| hunt.caught_by.as_ref().map_or("-".to_owned(), |_| count(hunt.seeds)));
    let shrunk = bug.shrunk.as_ref().map_or("-".to_owned(), |shrunk| {
        format!("{} to {}", count(shrunk.from.faults() as u64), count(shrunk.to.faults() as u64))
    });
    let shrunk = is_shrunk.then_some(shrunk);
    let sooner = |core: &HuntReport| format!("{:.0}x", wall_ms / core.wall_ms.max(f64::EPSILON));
    let core_lane = is_in_core_lane.then(|| bug.core_lane.as_ref().map_or("-".to_owned(), sooner));
    [bug.bug.clone(), caught_by]
        .into_iter()
        .chain(numbers)
        .chain(core_lane)
        .chain(shrunk)
        .chain(weaker)
        .chain([bug.sim.clone()])
        .collect()
}

/// What shrinking comes to over all bugs.
fn medians(report: &LedgerReport) -> String {
    let of = |size: fn(&ShrunkReport) -> usize| {
        let mut sizes: Vec<usize> = report.bugs.iter().filter_map(|bug| bug.shrunk.as_ref()).map(size).collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied()
    };
    let (Some(from), Some(to)) = (of(|shrunk| shrunk.from.faults()), of(|shrunk| shrunk.to.faults())) else {
        return String::new();
    };
    format!(
        "shrunk: the steps and single packets of the failure, and what is left of them; medians {} and {}\n",
        count(from as u64),
        count(to as u64)
    )
}

fn summary(program: &str, report: &LedgerReport, lanes: NonZero<usize>) -> String {
    let mut text = String::new();
    let weaker = report.bugs.iter().flat_map(|bug| &bug.weaker).next();
    if let Some(hunt) = weaker {
        let seeds = counted(hunt.seeds_max, "seed", "seeds");
        let _ =
            writeln!(text, "history, moment: the seeds until such a weaker check sees it; -: it does not in {seeds}");
    }
    if report.bugs.iter().any(|bug| bug.core_lane.is_some()) {
        let _ = writeln!(text, "core lane: how many times sooner it finds the same, in wall time");
    }
    let _ = write!(text, "{}", medians(report));
    let (controls, bugs): (Vec<_>, Vec<_>) = report.bugs.iter().partition(|bug| bug.may_break.is_empty());
    let right = |of: &[&BugReport]| of.iter().filter(|bug| bug.as_expected).count();
    let (word, style) = match (report.exit_code, report.interrupted) {
        (0, _) => ("PASS", GOOD),
        (_, true) => ("INTERRUPTED", UNSURE),
        _ => ("FAIL", BAD),
    };
    let caught = format!("{} of {} caught", right(&bugs), counted(bugs.len() as u64, "bug", "bugs"));
    let mut parts = if bugs.is_empty() { Vec::new() } else { vec![caught] };
    for control in controls {
        let (name, seeds) = (paint(STRONG, &control.bug), counted(control.found.seeds, "seed", "seeds"));
        let verb = if control.as_expected || control.found.is_cut_short() { "not caught" } else { "CAUGHT" };
        parts.push(format!("the control {name} {verb} in {seeds}"));
    }
    let took = style::seconds(from_milliseconds(report.wall_ms));
    parts.push(format!("{took} with {}", counted(lanes.get() as u64, "job", "jobs")));
    let _ = writeln!(text, "{} {}", paint(style, word), parts.join("; "));
    for bug in report.bugs.iter().filter(|bug| bug.found.caught_by.is_some() && !bug.as_expected) {
        let seed = bug.found.seeds - 1;
        let _ = writeln!(text, "reproduce: {program} run {} --bug {} --seed {seed}", bug.sim, bug.bug);
    }
    text
}
