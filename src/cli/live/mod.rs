//! `live`: a script on real processes and a real kernel. What comes out is what a simulated run gives.

mod compare;
mod shrink;
mod sweep;
mod table;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::args::{LiveArgs, PartArgs, SetArgs};
use super::out::Out;
use super::report::{self, Form, Made};
use super::{Chosen, Shell, run};
use crate::explore::library::shown;
use crate::explore::{Ended, Ran, wall};
use crate::live::{self, LiveError, Lived, Options};
use crate::report::json::{RunOf, RunReport};
use crate::report::judgement::Exit;
use crate::report::page::{self, PageRun};
use crate::report::perfetto;
use crate::report::recording::Recording;
use crate::report::records::{End, Header, HostLine, RecordLine, SCHEMA_VERSION, ShowLine};
use crate::report::style::{DIM, STRONG, UNSURE, paint};
use crate::report::text;
use crate::rng::Seed;
use crate::script::{Script, show_duration};
use crate::sim::System;

/// How many of the last lines of output are shown after a failure.
const LAST_LINES: usize = 10;

pub(super) fn live(shell: &Shell, args: &LiveArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let subject = Subject::find(shell, args)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    wall::on_interrupt(move || flag.store(true, Ordering::Relaxed)).context("cannot listen for signals")?;
    tell_leftovers(args.json, out)?;
    if args.compare {
        return compare::compare(shell, &subject, args, &interrupted, out);
    }
    if let Some(seeds) = args.seeds {
        return sweep::sweep(shell, &subject, args, seeds, &interrupted, out);
    }
    if args.shrink {
        return shrink::shrink(shell, &subject, args, &interrupted, out);
    }
    let seed = super::seed(args.seed.seed)?;
    let forms = forms(args)?;
    if !args.json {
        out.rows(&subject.before(seed, &format!("seed {}", paint(STRONG, seed)), "live")?)?;
        out.line("")?;
        out.flush()?;
    }
    let keeps =
        Keeps { records: !forms.is_empty(), packets: forms.iter().any(|(_, form)| *form == Some(Form::Capture)) };
    let made = subject.make(seed, keeps, args.lines, &interrupted);
    let lived = match made {
        Err(LiveError::Interrupted) => {
            out.line(&paint(UNSURE, "INTERRUPTED"))?;
            return Ok(Exit::Interrupted);
        }
        other => other?,
    };
    let report = subject.report(&shell.program, seed, &lived);
    let files = Files { shell, subject: &subject, seed, report: &report };
    files.write(&forms, &lived, args.json, out)?;
    if let Some(path) = &args.junit {
        sweep::junit(&subject, seed, lived.into(), report.clone(), path)?;
    } else if report.exit_code != 0 && !args.json && !args.lines {
        out.rows(&last_lines(&lived))?;
    }
    if args.json {
        out.json(&report)?;
    } else {
        out.rows(&text::after(&report))?;
    }
    out.flush()?;
    Ok(run::exit(&report))
}

/// What is kept of a run.
#[derive(Clone, Copy)]
struct Keeps {
    records: bool,
    packets: bool,
}

const NOTHING: Keeps = Keeps { records: false, packets: false };

/// The sim that is run.
struct Subject {
    chosen: Chosen,
    system: &'static dyn System,
}

impl Subject {
    fn find(shell: &Shell, args: &LiveArgs) -> anyhow::Result<Self> {
        let chosen = shell.choose(&args.sim, &SetArgs { set: args.set.clone(), ..SetArgs::default() })?;
        let system = chosen.system.with_context(|| format!("no system `{}` here", chosen.script.system))?;
        Ok(Self { chosen, system })
    }

    /// Which run it is, and its options.
    fn before(&self, seed: u64, seeds: &str, how: &str) -> anyhow::Result<String> {
        let Chosen { sim, script, .. } = &self.chosen;
        let mut out = format!("{}  {seeds}  {}\n", paint(STRONG, &sim.name), paint(DIM, how));
        let _ = writeln!(out, "  {}", script.about);
        let mut last = String::new();
        for (name, text) in self.settings(seed)? {
            text::row(&mut out, if name == last { "" } else { &name }, &text);
            last = name;
        }
        Ok(out)
    }

    /// The effective options: without those that a kernel has of its own.
    fn settings(&self, seed: u64) -> anyhow::Result<Vec<(String, String)>> {
        let Chosen { sim, script, .. } = &self.chosen;
        let (drawn, path) = (self.chosen.drawn(seed)?, sim.place());
        let of = text::Before { sim: &sim.name, set: &sim.set, seed, path: &path, script, drawn: &drawn };
        let mut rows = Vec::new();
        for (name, text) in text::settings(&of) {
            match name.as_str() {
                "tcp" | "udp" | "disk" => {}
                "duration" => rows.push((name, show_duration(script.duration))),
                "live" => rows.extend(
                    live::commands(self.system, script, Seed(seed))?
                        .into_iter()
                        .map(|command| ("hosts".to_owned(), command)),
                ),
                _ => rows.push((name, text)),
            }
        }
        Ok(rows)
    }

    fn make(&self, seed: u64, keeps: Keeps, shows_lines: bool, interrupted: &AtomicBool) -> Result<Lived, LiveError> {
        let show = |host: &str, line: &str| anstream::println!("{} {line}", paint(DIM, format_args!("{host:>8} |")));
        let show: Option<&live::Show<'_>> = if shows_lines { Some(&show) } else { None };
        let options = Options { keep_records: keeps.records, keep_packets: keeps.packets, interrupted, show };
        live::run(self.system, &self.chosen.script, Seed(seed), &options)
    }

    fn report(&self, program: &str, seed: u64, lived: &Lived) -> RunReport {
        let (sim, expected) = (&self.chosen.sim, self.chosen.script.expect.violation.as_deref());
        let drawn = self.chosen.drawn(seed).unwrap_or_default();
        let place = sim.place();
        let of = RunOf { program, sim: &sim.name, set: &sim.set, script: &place, seed, expected, drawn: &drawn };
        RunReport::new(&of, &lived.outcome.verdict, Some(&lived.outcome), lived.wall).of_live(&of)
    }
}

impl From<Lived> for Ran {
    fn from(lived: Lived) -> Self {
        Self { wall: lived.wall, ended: Ended::Complete(Box::new(lived.outcome)) }
    }
}

/// Says what runs left that were killed, now that it is removed.
fn tell_leftovers(is_silent: bool, out: &mut Out) -> anyhow::Result<()> {
    for path in live::clean() {
        if !is_silent {
            out.line(&format!("{} was left by a live run that was killed, and is removed", shown(&path)))?;
        }
    }
    out.flush()
}

/// What the hosts printed last.
fn last_lines(lived: &Lived) -> String {
    let mut out = String::new();
    let from = lived.last_lines.len().saturating_sub(LAST_LINES);
    for (place, (host, line)) in lived.last_lines[from..].iter().enumerate() {
        text::row(&mut out, if place == 0 { "output" } else { "" }, &format!("{host} | {line}"));
    }
    out
}

/// A file that is written, and as what; `None`: as records.
type File<'a> = (&'a Path, Option<Form>);

fn forms(args: &LiveArgs) -> anyhow::Result<Vec<File<'_>>> {
    args.junit.as_deref().map_or(Ok(()), report::check_place)?;
    let mut forms: Vec<File<'_>> = Vec::new();
    for path in &args.output {
        let is_records = path.extension().is_some_and(|extension| extension == "jsonl");
        let also = ", `.jsonl` its records for `show` and `report`";
        let form = if is_records { None } else { Some(report::form(path, also)?) };
        report::check_place(path)?;
        forms.push((path, form));
    }
    Ok(forms)
}

/// Writes what was asked for.
struct Files<'a> {
    shell: &'a Shell,
    subject: &'a Subject,
    seed: u64,
    report: &'a RunReport,
}

impl Files<'_> {
    fn write(&self, forms: &[File<'_>], lived: &Lived, is_silent: bool, out: &mut Out) -> anyhow::Result<()> {
        if forms.is_empty() {
            return Ok(());
        }
        let made = self.made(lived)?;
        let mut silent = Out::silent();
        let out = if is_silent { &mut silent } else { out };
        for (path, form) in forms {
            let meaning = self.shell.meaning(&made);
            match form {
                Some(Form::Page) => {
                    let page = page::page(PageRun { run: &made.recording, meaning: &*meaning });
                    report::write_page(path, &page, out)?;
                }
                Some(Form::Capture) => self.capture(path, &made, lived, out)?,
                Some(Form::Perfetto) => {
                    let trace = perfetto::trace(&made.recording, &*meaning).to_string();
                    report::write(path, trace.as_bytes(), "open it at ui.perfetto.dev", out)?;
                }
                None => report::write(path, &lines(&made.recording)?, "its records, for `show` and `report`", out)?,
            }
        }
        Ok(())
    }

    #[cfg(feature = "captures")]
    fn capture(&self, path: &Path, made: &Made, lived: &Lived, out: &mut Out) -> anyhow::Result<()> {
        self.shell.write_capture_of(path, made, Some(&lived.packets), out)
    }

    #[cfg(not(feature = "captures"))]
    fn capture(&self, _: &Path, _: &Made, _: &Lived, _: &mut Out) -> anyhow::Result<()> {
        anyhow::bail!("this build has no feature `captures`")
    }

    /// The run as it would be had of a simulated one.
    fn made(&self, lived: &Lived) -> anyhow::Result<Made> {
        let Self { subject, seed, report, .. } = self;
        let nothing = crate::sim::trace::Trace::default();
        let trace = lived.outcome.trace.as_ref().unwrap_or(&nothing);
        let hosts = trace.hosts.iter().map(|(name, addr)| HostLine { name: name.clone(), addr: addr.to_string() });
        let records = trace.records.iter().map(|record| RecordLine::new(trace, record)).collect();
        let header = Header {
            kind: "run".to_owned(),
            schema: SCHEMA_VERSION,
            sim: report.sim.clone(),
            system: subject.chosen.script.system.clone(),
            set: report.set.clone(),
            seed: *seed,
            hosts: hosts.collect(),
            hash: None,
            live: true,
            drawn: report.drawn.clone(),
        };
        let (about, settings) = (subject.chosen.script.about.clone(), subject.settings(*seed)?);
        let recording = Recording { about, settings, ..Recording::new(header, report, records) };
        Ok(Made { recording, verdict: text::verdict(report), exit: run::exit(report) })
    }
}

/// Plays a host of a live run, in a process of its own.
pub(super) fn part(shell: &Shell, args: &PartArgs) -> anyhow::Result<Exit> {
    let PartArgs { host, script, seed, incarnation, since_us } = args;
    let text = fs::read_to_string(script).with_context(|| format!("cannot read {}", script.display()))?;
    let script = Script::parse(&script.display().to_string(), &text)?;
    let system = shell.systems.iter().find(|system| system.name() == script.system);
    let system = system.with_context(|| format!("there is no system `{}`", script.system))?;
    live::play(*system, &script, Seed(*seed), host, (*incarnation, Duration::from_micros(*since_us)))
        .map_err(anyhow::Error::msg)?;
    Ok(Exit::Expected)
}

/// As `show --json` prints it.
fn lines(run: &Recording) -> anyhow::Result<Vec<u8>> {
    let header = ShowLine::Header(run.header.clone());
    let records = run.records.iter().map(|record| ShowLine::Record(record.clone()));
    let end: End = run.end.clone();
    let mut bytes = Vec::new();
    for line in std::iter::once(header).chain(records).chain([ShowLine::End(end)]) {
        serde_json::to_writer(&mut bytes, &line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
