//! What a sweep came to, for people and for machines: the same for one that was made and for one that was merged.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{env, io};

use anyhow::Context as _;

use super::args::SweepFiles;
use super::out::{self, Out};
use crate::explore::sweep::{Ended, SimReport, SweepReport};
use crate::explore::sweep::{github, junit};
use crate::report::style::{self, BAD, GOOD, STRONG, UNSURE, count, counted, from_milliseconds, paint};
use crate::report::text;

/// Where JSON is printed instead of written.
const STDOUT: &str = "-";

impl SweepFiles {
    /// Whether nothing but JSON is printed.
    pub(super) fn is_json_alone(&self) -> bool {
        self.json.as_ref().is_some_and(|path| path == Path::new(STDOUT))
    }

    /// Finds out before a long sweep that its result could not be written.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for path in self.json.iter().filter(|path| *path != Path::new(STDOUT)).chain(&self.junit) {
            if let Some(folder) = out::missing_folder(path) {
                anyhow::bail!("cannot write {}: there is no folder {}", path.display(), folder.display());
            }
        }
        Ok(())
    }

    /// Writes all that was asked for.
    pub(super) fn write(&self, report: &SweepReport, out: &mut Out) -> anyhow::Result<()> {
        match &self.json {
            Some(_) if self.is_json_alone() => out.json(report)?,
            Some(path) => save(path, &(serde_json::to_string_pretty(report)? + "\n"))?,
            None => {}
        }
        if let Some(path) = &self.junit {
            save(path, &junit::document(report).map_err(anyhow::Error::msg)?)?;
        }
        if env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
            self.tell_github(report, out)?;
        }
        Ok(())
    }

    /// Annotates the workflow's run, and adds to the summary of its job.
    fn tell_github(&self, report: &SweepReport, out: &mut Out) -> anyhow::Result<()> {
        if !self.is_json_alone() {
            out.text(&github::annotations(report))?;
        }
        if let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
            let path = Path::new(&path);
            let append = || -> io::Result<()> {
                File::options().append(true).create(true).open(path)?.write_all(github::summary(report).as_bytes())
            };
            append().with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What came of each sim, for a person.
pub(super) fn sims(report: &SweepReport) -> String {
    let mut out = String::new();
    for sim in &report.sims {
        let (style, word) = word(report, sim);
        let shard = report.shard.map_or(String::new(), |shard| format!(" shard {shard}"));
        let _ = writeln!(out, "{} {} seeds {}{shard}", paint(style, word), paint(STRONG, title(sim)), report.range());
        let (passed, failed) = (count(sim.passed), count(sim.failed));
        let seeds = format!("{passed} passed, {failed} failed, {} inconclusive", count(sim.inconclusive));
        text::row(&mut out, "seeds", &seeds);
        let none = || "none".to_owned();
        text::row(&mut out, "faults", &if sim.faults.is_empty() { none() } else { text::counts(&sim.faults) });
        if let Some(inert) = text::inert(&sim.inert, &sim.faults) {
            text::row(&mut out, "inert", &inert);
        }
        if !sim.sometimes.is_empty() {
            let (all, never) = (sim.sometimes.len(), sim.never().count());
            let mut told = format!("{} of {all} came about", all - never);
            if never > 0 {
                let _ = write!(told, "; never: {}", sim.never_in_words());
            }
            text::row(&mut out, "sometimes", &told);
        }
        text::row(
            &mut out,
            if sim.live { "real time" } else { "simulated" },
            &style::long_seconds(from_milliseconds(sim.sim_ms)),
        );
        match sim.hash {
            None => text::row(&mut out, "live", "not deterministic: no hash"),
            Some(hash) => text::row(&mut out, "hash", &format!("{hash} over {}", counted(sim.seeds, "seed", "seeds"))),
        }
    }
    out
}

/// The sim's name, and what was set on top of it.
fn title(sim: &SimReport) -> String {
    format!("{}{}", sim.sim, crate::report::json::set_arguments(&sim.set))
}

fn word(report: &SweepReport, sim: &SimReport) -> (anstyle::Style, &'static str) {
    let says_nothing = sim.inconclusive > 0 || (report.shard.is_none() && (sim.seeds == 0 || sim.never().count() > 0));
    match report.ended {
        _ if sim.failed > 0 => (BAD, "FAIL"),
        Ended::Interrupted => (UNSURE, "INTERRUPTED"),
        Ended::Failure => (UNSURE, "STOPPED"),
        _ if says_nothing => (UNSURE, "INCONCLUSIVE"),
        _ => (GOOD, "PASS"),
    }
}

/// What all of it came to, in a line, and what ended it, if that was not the last seed.
pub(super) fn whole(report: &SweepReport, runs: Option<u64>, with: &str) -> String {
    let done: u64 = report.sims.iter().map(|sim| sim.seeds).sum();
    let simulated: Duration = report.sims.iter().map(|sim| from_milliseconds(sim.sim_ms)).sum();
    let wall = from_milliseconds(report.wall_ms);
    let rate = done as f64 / wall.as_secs_f64().max(1e-9);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} in {}{with}: {rate:.1} a second, {}",
        counted(done, "run", "runs"),
        style::seconds(wall),
        style::ratio(simulated, wall)
    );
    let of = runs.map_or(String::new(), |runs| format!(" of {}", count(runs)));
    let made = format!("after {}{of} runs", count(done));
    let _ = match report.ended {
        Ended::Complete => Ok(()),
        Ended::Dry => writeln!(out, "dry: all came about, and nothing new was seen any more, {made}"),
        Ended::Time => writeln!(out, "the time was over {made}"),
        Ended::Failure => writeln!(out, "stopped at the first failure, {made}; `--keep-going` goes on"),
        Ended::Interrupted => writeln!(out, "interrupted {made}"),
    };
    out
}
