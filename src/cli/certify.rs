//! `certify`: a run that passes, again with each single fault.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;

use super::args::{CertifyArgs, Death};
use super::keep::apart;
use super::out::{self, Out};
use super::sweep::lanes;
use super::{Chosen, Shell, run};
use crate::explore::casebook::usual_name;
use crate::explore::certify::{
    BrokenReport, CertifyReport, Fault, Header, Kind, State, Survival, Tally, Terms, all, sample,
};
use crate::explore::library::shown;
use crate::explore::pool::{Finish, Results, run_all};
use crate::explore::wall::Stopwatch;
use crate::explore::{Job, JobError, Ran, Seen, Watcher};
use crate::report::json::milliseconds;
use crate::report::judgement::Exit;
use crate::report::records::{RecordLine, WhatLine};
use crate::report::style::{BAD, GOOD, STRONG, UNSURE, count, counted, from_milliseconds, paint, seconds};
use crate::report::text;
use crate::rng::Seed;
use crate::script::{Setting, show_duration};
use crate::sim::{Setup, Verdict};

/// How many faults that were not survived are shown; all are saved.
const SHOWN: usize = 10;

pub(super) fn certify(shell: &Shell, args: &CertifyArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let clock = Stopwatch::start();
    let chosen = judged(shell, shell.choose(&args.sim, &args.set)?, args.expect)?;
    let seed = super::seed(args.seed.seed)?;
    let launch = Shell::launch(&args.watching)?;
    let (ran, records) = record(&launch, &chosen, seed)?;
    let (Verdict::Pass, Some(outcome)) = (ran.verdict(), ran.outcome()) else {
        let report = run::report(&shell.program, &chosen, seed, &ran);
        out.rows(&text::verdict(&report))?;
        let hint = if args.expect { "" } else { " (without what the script expects: `--expect` judges that too)" };
        out.line(&format!("only a run that passes can be certified{hint}"))?;
        out.flush()?;
        return Ok(if report.exit_code == 4 { Exit::Inconclusive } else { Exit::Found });
    };
    let late = late(shell, &chosen, seed, args.late)?;
    let duration = chosen.script.duration + args.grace.unwrap_or(args.down + late * 5);
    let terms = Terms { late, down: args.down, duration, power: args.death == Death::Power };
    let faults = all(&records, terms);
    let places = match args.sample {
        Some(count) => sample(count.get(), faults.len(), Seed(seed)),
        None => (0..faults.len()).collect(),
    };
    let usual = format!("certify-{}", usual_name(&chosen.sim.name, seed));
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from(usual));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", shown(&folder)))?;
    let header = Header {
        script: chosen.sim.text.clone(),
        seed,
        hash: outcome.hash.to_string(),
        times: [terms.late, terms.down, terms.duration].map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        power: terms.power,
        faults: faults.len(),
        tried: places.len(),
    };
    let state = State::open(&folder.join("state.jsonl"), &header)?;
    let whole = Whole { shell, chosen: &chosen, seed, faults: &faults, places: &places, folder: &folder, terms };
    if !args.json {
        out.rows(&whole.before(&header, &records, args.expect, &state))?;
        out.flush()?;
    }
    let (state, finish) = whole.make(args, &launch, state)?;
    let report = whole.report(&state, &header, &records, finish, clock.elapsed())?;
    if finish == Finish::All {
        state.remove()?;
        // Where nothing was saved, nothing stays.
        let _ = fs::remove_dir(&folder);
    }
    if args.json {
        out.json(&report)?;
    } else {
        out.rows(&whole.after(&report))?;
    }
    out.flush()?;
    Ok(exit(&report))
}

fn exit(report: &CertifyReport) -> Exit {
    match report.exit_code {
        0 => Exit::Expected,
        1 => Exit::Found,
        130 => Exit::Interrupted,
        _ => Exit::Inconclusive,
    }
}

/// The sim as it is judged: without what its script expects of one run, unless that is wanted.
fn judged(shell: &Shell, chosen: Chosen, expect: bool) -> anyhow::Result<Chosen> {
    if let Some(violation) = &chosen.script.expect.violation {
        anyhow::bail!("this sim expects a violation ({violation}): only a run that passes can be certified");
    }
    let mut sim = chosen.sim;
    let mut document: toml_edit::DocumentMut = sim.text.parse()?;
    if !expect {
        document.remove("expect");
    }
    document.remove("variant");
    sim.text = document.to_string();
    shell.understand(sim)
}

fn record(launch: &crate::explore::Launch, chosen: &Chosen, seed: u64) -> anyhow::Result<(Ran, Vec<RecordLine>)> {
    let mut records = Vec::new();
    let job = Job { keep_records: true, ..chosen.job(seed) };
    let ran = Watcher::new(launch.clone()).run(&job, &mut |seen| {
        if let Seen::Record(record) = seen {
            records.push(*record);
        }
    })?;
    Ok((ran, records))
}

/// How long a late packet takes.
fn late(shell: &Shell, chosen: &Chosen, seed: u64, given: Option<Duration>) -> anyhow::Result<Duration> {
    if let Some(late) = given {
        return Ok(late);
    }
    let system = shell.systems.iter().find(|system| system.name() == chosen.script.system);
    let system = system.with_context(|| format!("no system `{}` here", chosen.script.system))?;
    Ok(system.patience(&Setup::new(*system, &chosen.script, Seed(seed)))?)
}

/// The certificate that is asked for.
struct Whole<'a> {
    shell: &'a Shell,
    chosen: &'a Chosen,
    seed: u64,
    faults: &'a [Fault],
    /// Those that are tried.
    places: &'a [usize],
    folder: &'a Path,
    terms: Terms,
}

impl Whole<'_> {
    fn title(&self) -> String {
        format!("{} seed={}", self.chosen.sim.title(), self.seed)
    }

    fn before(&self, header: &Header, records: &[RecordLine], expect: bool, state: &State) -> String {
        let mut out = format!("certifying {}\n", paint(STRONG, self.title()));
        let sent = records.iter().filter(|record| matches!(record.what, WhatLine::Sent(_))).count() as u64;
        let size = format!(
            "{} and {}",
            counted(sent, "packet", "packets"),
            counted(records.len() as u64, "record", "records")
        );
        text::row(&mut out, "run", &format!("passes with {size}, hash {}", header.hash));
        let judged = if expect {
            "invariants, and what the script expects"
        } else {
            "invariants; not what the script expects of the one run"
        };
        text::row(&mut out, "judged", judged);
        let death = if self.terms.power { "without power" } else { "dead" };
        let [late, down, duration] = [self.terms.late, self.terms.down, self.terms.duration].map(show_duration);
        let late = format!("one each, in {duration}; late: takes {late}; {death} for {down}");
        text::row(&mut out, "faults", &late);
        if self.places.len() < self.faults.len() {
            text::row(
                &mut out,
                "sample",
                &format!("{} of {} faults", count(self.places.len() as u64), count(self.faults.len() as u64)),
            );
        }
        if !state.done.is_empty() {
            text::row(&mut out, "goes on", &format!("{} were tried before", count(state.done.len() as u64)));
        }
        out
    }

    /// Makes what is left to be made.
    fn make(
        &self,
        args: &CertifyArgs,
        launch: &crate::explore::Launch,
        state: State,
    ) -> anyhow::Result<(State, Finish)> {
        let left: Vec<usize> = self.places.iter().copied().filter(|place| !state.done.contains_key(place)).collect();
        let duration = self.terms.duration;
        let jobs: Vec<(Fault, Job)> =
            left.iter().map(|place| (self.faults[*place].clone(), self.chosen.job(self.seed))).collect();
        let jobs = jobs
            .into_iter()
            .map(move |(fault, job)| Job { text: fault.script(&job.text, "one fault", duration), ..job });
        let template = "  {bar:30} {human_pos}/{human_len} faults, {per_sec}, {eta} left{msg}";
        let bar = if args.json { ProgressBar::hidden() } else { out::bar(self.places.len() as u64, template) };
        bar.set_position(state.done.len() as u64);
        let lanes = lanes(args.jobs.jobs, left.len() as u64);
        let mut trying = Trying { left: &left, state, bar, broke: 0, error: None };
        let finish = if left.is_empty() { Finish::All } else { run_all(launch, jobs, lanes, &mut trying)? };
        trying.bar.finish_and_clear();
        match trying.error {
            Some(error) => Err(error),
            None => Ok((trying.state, finish)),
        }
    }

    fn report(
        &self,
        state: &State,
        header: &Header,
        records: &[RecordLine],
        finish: Finish,
        wall: Duration,
    ) -> anyhow::Result<CertifyReport> {
        let mut tallies: BTreeMap<Kind, Tally> = Kind::ALL.map(|kind| (kind, Tally::default())).into();
        let (mut broken, mut unsure) = (Vec::new(), Vec::new());
        for fault in self.faults {
            tallies.entry(fault.kind()).or_default().of += 1;
        }
        for (place, survival) in &state.done {
            let fault = &self.faults[*place];
            tallies.entry(fault.kind()).or_default().add(survival);
            match survival {
                Survival::Survived => {}
                Survival::Broke(violation, message) => broken.push(self.save(*place, fault, violation, message)?),
                Survival::Unsure(reason) => unsure.push(format!("{fault}: {reason}")),
            }
        }
        let interrupted = finish == Finish::Interrupted;
        let exit = match (broken.is_empty(), interrupted, unsure.is_empty()) {
            (false, ..) => Exit::Found,
            (true, true, _) => Exit::Interrupted,
            (true, false, false) => Exit::Inconclusive,
            (true, false, true) => Exit::Expected,
        };
        let is_segment = |record: &&RecordLine| matches!(&record.what, WhatLine::Sent(sent) if sent.transport != "udp");
        let key = |kind: Kind| if kind == Kind::Crash { "crashes" } else { kind.plural() }.to_owned();
        Ok(CertifyReport {
            sim: self.chosen.sim.title(),
            seed: self.seed,
            hash: header.hash.clone(),
            exit_code: exit as u8,
            interrupted,
            faults: tallies.into_iter().map(|(kind, tally)| (key(kind), tally)).collect(),
            segments: records.iter().filter(is_segment).count() as u64,
            late_ms: milliseconds(self.terms.late),
            down_ms: milliseconds(self.terms.down),
            broken,
            unsure,
            wall_ms: milliseconds(wall),
        })
    }

    /// Saves the script of a fault that was not survived.
    fn save(&self, place: usize, fault: &Fault, violation: &str, message: &str) -> anyhow::Result<BrokenReport> {
        let kind = match fault.kind() {
            Kind::Loss => "loss",
            Kind::Duplicate => "duplicate",
            Kind::Delay => "delay",
            Kind::Crash => "crash",
        };
        let file = self.folder.join(format!("{kind}-{place}.toml"));
        let about =
            format!("{} seed {} with one fault ({fault}): breaks {violation}.", self.chosen.sim.name, self.seed);
        // A bug is planted by the call, not by the script.
        let (bug, _) = apart(self.chosen);
        let text = fault.script(&without(&self.chosen.sim.text, bug.as_ref()), &about, self.terms.duration);
        fs::write(&file, text).with_context(|| format!("cannot write {}", shown(&file)))?;
        let planted = bug.map(|bug| format!(" --bug {}", bug.value())).unwrap_or_default();
        let script = shown(&file);
        let reproduce = format!("{} run {}{planted} --seed {}", self.shell.program, out::word(&script), self.seed);
        let (violation, message) = (violation.to_owned(), message.to_owned());
        Ok(BrokenReport { fault: fault.to_string(), violation, message, script, reproduce })
    }

    fn after(&self, report: &CertifyReport) -> String {
        let mut out = String::new();
        let tally = |kind: Kind| {
            let key = if kind == Kind::Crash { "crashes" } else { kind.plural() };
            (kind, report.faults.get(key).copied().unwrap_or_default())
        };
        let tallies = Kind::ALL.map(tally);
        for (kind, tally) in tallies {
            let mut line = format!("{} of {} survived", count(tally.survived), count(tally.tried));
            for (number, word) in [(tally.broke, "not"), (tally.unsure, "say nothing")] {
                if number > 0 {
                    let _ = write!(line, ", {} {word}", count(number));
                }
            }
            if tally.tried < tally.of {
                let share = 100.0 * tally.tried as f64 / tally.of as f64;
                let _ = write!(line, "; {share:.1} % of {}", count(tally.of));
            }
            if kind == Kind::Duplicate && report.segments > 0 {
                let _ = write!(line, "; {} TCP segments come once, whatever the network does", count(report.segments));
            }
            let name = if kind == Kind::Crash { "crashes" } else { kind.plural() };
            let _ = writeln!(out, "  {name:<10} {line}");
        }
        for broken in report.broken.iter().take(SHOWN) {
            let _ = writeln!(out, "{} {}: {}: {}", paint(BAD, "BROKE"), broken.fault, broken.violation, broken.message);
            let _ = writeln!(out, "reproduce: {}", broken.reproduce);
        }
        if report.broken.len() > SHOWN {
            let more = (report.broken.len() - SHOWN) as u64;
            let _ = writeln!(out, "and {} more, all in {}", count(more), shown(self.folder));
        }
        for unsure in report.unsure.iter().take(SHOWN) {
            let _ = writeln!(out, "{} {unsure}", paint(UNSURE, "INCONCLUSIVE"));
        }
        out + &self.verdict(report, &tallies)
    }

    fn verdict(&self, report: &CertifyReport, tallies: &[(Kind, Tally)]) -> String {
        let took = seconds(from_milliseconds(report.wall_ms));
        let list = |of: fn(&Tally) -> u64| {
            let parts: Vec<String> =
                tallies.iter().map(|(kind, tally)| format!("{} {}", count(of(tally)), kind.plural())).collect();
            parts.join(", ")
        };
        let (tried, of) = (tallies.iter().map(|(_, tally)| tally.tried).sum::<u64>(), self.faults.len() as u64);
        let (style, word, says) = match report.exit_code {
            0 if tried == of => (GOOD, "CERTIFIED", format!("all {} survived", list(|tally| tally.survived))),
            0 => {
                let share = 100.0 * tried as f64 / of.max(1) as f64;
                (
                    GOOD,
                    "SAMPLED",
                    format!("all {} survived, {share:.1} % of {} faults", list(|tally| tally.survived), count(of)),
                )
            }
            1 => (
                BAD,
                "FAIL",
                format!(
                    "{} of {} faults not survived: {}",
                    count(report.broken.len() as u64),
                    count(tried),
                    list(|tally| tally.broke)
                ),
            ),
            130 => (
                UNSURE,
                "INTERRUPTED",
                format!(
                    "{} of {} faults were tried; the same call goes on",
                    count(tried),
                    count(self.places.len() as u64)
                ),
            ),
            _ => (
                UNSURE,
                "INCONCLUSIVE",
                format!("{} of {} faults say nothing", count(report.unsure.len() as u64), count(tried)),
            ),
        };
        format!("{} {}: {says} ({took})\n", paint(style, word), self.title())
    }
}

/// A script without the setting that plants a bug.
fn without(text: &str, bug: Option<&Setting>) -> String {
    let Some((system, key)) = bug.and_then(|bug| bug.key().split_once('.')) else { return text.to_owned() };
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else { return text.to_owned() };
    if let Some(table) = document.get_mut(system).and_then(toml_edit::Item::as_table_like_mut) {
        table.remove(key);
    }
    document.to_string()
}

/// Takes down what comes of each.
struct Trying<'a> {
    left: &'a [usize],
    state: State,
    bar: ProgressBar,
    broke: u64,
    error: Option<anyhow::Error>,
}

impl Results for Trying<'_> {
    fn progress(&mut self) {
        self.bar.inc(1);
    }

    fn next(&mut self, index: u64, result: Result<Ran, JobError>) -> ControlFlow<()> {
        let place = usize::try_from(index).ok().and_then(|index| self.left.get(index)).copied().unwrap_or_default();
        let told = result.map_err(anyhow::Error::from).and_then(|ran| {
            let survival = Survival::new(ran.verdict());
            if matches!(survival, Survival::Broke(..)) {
                self.broke += 1;
                self.bar.set_message(format!(", {} not survived", self.broke));
            }
            Ok(self.state.add(place, survival)?)
        });
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}
