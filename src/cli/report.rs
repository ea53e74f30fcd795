//! `report`: a run as a file to look at. The file's ending chooses the form.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::args::{ReportArgs, SetArgs, Watching};
use super::out::{self, Out};
use super::{Chosen, Shell, here, run};
use crate::explore::corpus::{self, Case};
use crate::explore::{Seen, Watcher};
#[cfg(feature = "captures")]
use crate::report::capture;
use crate::report::judgement::Exit;
use crate::report::page::{self, PageRun};
use crate::report::perfetto;
use crate::report::recording::{Meanings, Recording};
use crate::report::records::{Header, SCHEMA_VERSION};
use crate::report::style::{count, counted};
use crate::report::text;

pub(super) fn report(shell: &Shell, args: &ReportArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let form = check_output(&args.output)?;
    if args.compare {
        anyhow::ensure!(form == Form::Page, "`--compare` makes a page: the name of its file ends in `.html`");
        return compare(shell, args, out);
    }
    let [name] = args.run.as_slice() else {
        anyhow::bail!("two runs are named: say `--compare` to see them beside each other");
    };
    let made = shell.record(name, args.seed.seed, &args.set, &args.watching)?;
    match form {
        Form::Page => {
            let meaning = shell.meaning(&made);
            write_page(&args.output, &page::page(PageRun { run: &made.recording, meaning: &*meaning }), out)?;
        }
        Form::Capture => shell.write_capture(&args.output, &made, out)?,
        Form::Perfetto => {
            let trace = perfetto::trace(&made.recording, &*shell.meaning(&made)).to_string();
            write(&args.output, trace.as_bytes(), "open it at ui.perfetto.dev", out)?;
        }
    }
    out.rows(&made.verdict)?;
    out.flush()?;
    Ok(made.exit)
}

fn compare(shell: &Shell, args: &ReportArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let [a, b] = args.run.as_slice() else {
        anyhow::bail!("`--compare` takes two runs, and one is named");
    };
    let mut set_b = args.set.clone();
    set_b.set.extend(args.set_b.iter().cloned());
    let a = shell.record(a, args.seed.seed, &args.set, &args.watching)?;
    let seed = args.seed.seed.unwrap_or(a.recording.header.seed);
    let b = shell.record(b, Some(seed), &set_b, &args.watching)?;
    let (of_a, of_b) = (shell.meaning(&a), shell.meaning(&b));
    let one = PageRun { run: &a.recording, meaning: &*of_a };
    let other = PageRun { run: &b.recording, meaning: &*of_b };
    write_page(&args.output, &page::comparison(one, other), out)?;
    for made in [&a, &b] {
        out.rows(&made.verdict)?;
    }
    out.flush()?;
    Ok(Exit::Expected)
}

/// A run with its records, made now or read from a file.
pub(super) struct Made {
    pub(super) recording: Recording,
    /// The verdict in words.
    pub(super) verdict: String,
    pub(super) exit: Exit,
}

/// A run of which there is only a verdict.
#[derive(Debug, thiserror::Error)]
#[error("the run has no records, for its process did not live to its end")]
pub(super) struct NoRecords {
    /// As `run` prints it.
    pub(super) verdict: String,
    /// As that of `run`.
    pub(super) exit: Exit,
}

impl Shell {
    /// Makes the run that is named, or reads it.
    pub(super) fn record(
        &self,
        name: &str,
        seed: Option<u64>,
        set: &SetArgs,
        watching: &Watching,
    ) -> anyhow::Result<Made> {
        if has_ending(Path::new(name), "jsonl") {
            return self.read(Path::new(name));
        }
        let (chosen, seed) = self.choose_run(name, seed, set)?;
        let mut job = chosen.job(seed);
        job.keep_records = true;
        let (mut records, mut hosts, mut hash) = (Vec::new(), Vec::new(), None);
        let ran = Watcher::new(Self::launch(watching)?).run(&job, &mut |seen| match seen {
            Seen::Finished { outcome, hosts: known } => (hosts, hash) = (known, Some(outcome.hash.to_string())),
            Seen::Record(record) => records.push(*record),
            Seen::Time(_) | Seen::Threads(_) => {}
        })?;
        let report = run::report(&self.program, &chosen, seed, &ran);
        let verdict = text::verdict(&report);
        if hash.is_none() {
            return Err(NoRecords { verdict, exit: run::exit(&report) }.into());
        }
        let (kind, schema, sim) = ("run".to_owned(), SCHEMA_VERSION, report.sim.clone());
        let (system, set) = (chosen.script.system.clone(), report.set.clone());
        let drawn = chosen.drawn(seed)?;
        let header = Header { kind, schema, sim, system, set, seed, hosts, hash, live: false, drawn: drawn.clone() };
        let (sim, set, path) = (&chosen.sim.name, &chosen.sim.set, &chosen.sim.place());
        let settings = text::settings(&text::Before { sim, set, seed, path, script: &chosen.script, drawn: &drawn });
        let about = chosen.script.about.clone();
        let recording = Recording { about, settings, ..Recording::new(header, &report, records) };
        Ok(Made { recording, verdict, exit: run::exit(&report) })
    }

    /// A run that `show --json` saved.
    fn read(&self, path: &Path) -> anyhow::Result<Made> {
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let recording = Recording::read(&text, &self.program)
            .with_context(|| format!("{shown} is not a run as `show --json` prints it"))?;
        let (records, end) = (counted(recording.end.records, "record", "records"), &recording.end);
        let exit = match end.exit_code {
            0 => Exit::Expected,
            4 => Exit::Inconclusive,
            _ => Exit::Found,
        };
        let verdict = format!("{shown}: {}, {records}\n", end.verdict);
        Ok(Made { recording, verdict, exit })
    }

    /// The run of a sim, with `:SEED` after it or without, or of a saved case.
    fn choose_run(&self, name: &str, seed: Option<u64>, set: &SetArgs) -> anyhow::Result<(Chosen, u64)> {
        if let Some(case) = self.case(name)? {
            let sim = case.sim.with(&set.settings().collect::<Vec<_>>())?;
            return Ok((self.understand(sim)?, case.seed));
        }
        let own = name.rsplit_once(':').and_then(|(sim, seed)| Some((sim, seed.parse().ok()?)));
        let (name, seed) = own.map_or((name, seed), |(sim, own)| (sim, Some(own)));
        Ok((self.choose(name, set)?, super::seed(seed)?))
    }

    /// The case of this name in `seeds/`, or at this path; `None` if it names a sim.
    fn case(&self, name: &str) -> anyhow::Result<Option<Case>> {
        let Ok(files) = corpus::files(&here()?, &[name.to_owned()]) else { return Ok(None) };
        let Some(path) = files.first().filter(|path| has_ending(path, "toml") && is_case(path)) else {
            return Ok(None);
        };
        let case = Case::load(path, &self.open_library()?)?;
        if case.bug.is_some() {
            self.planted_bugs()?;
        }
        Ok(Some(case))
    }

    /// What the events of a run mean: its system says, if this program has it.
    pub(super) fn meaning(&self, made: &Made) -> Box<Meanings<'static>> {
        let system = self.systems.iter().copied().find(|system| system.name() == made.recording.header.system);
        Box::new(move |event, fields| system?.meaning(event, fields))
    }
}

/// Whether a TOML file is a case: what a script calls `system`, a case calls `sim`.
fn is_case(path: &Path) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("sim") && !table.contains_key("system"))
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension == ending)
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Page,
    Capture,
    Perfetto,
}

impl Form {
    /// By the ending of the file's name.
    const ENDINGS: [(&str, Self); 3] =
        [(".html", Self::Page), (".pcapng", Self::Capture), (".perfetto.json", Self::Perfetto)];
}

/// Says what is wrong with the file's path before the run is made, and not after.
pub(super) fn check_output(path: &Path) -> anyhow::Result<Form> {
    let form = form(path, "")?;
    check_place(path)?;
    Ok(form)
}

/// What a file of this name is to be; `also` says what else there is.
pub(super) fn form(path: &Path, also: &str) -> anyhow::Result<Form> {
    let shown = path.display();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let form = Form::ENDINGS.into_iter().find(|(ending, _)| name.ends_with(ending));
    let (_, form) = form.with_context(|| {
        format!("cannot write {shown}: its ending must say what it is to be: `.html` a page, `.pcapng` a capture for Wireshark, `.perfetto.json` a trace for Perfetto{also}")
    })?;
    let is_made = cfg!(feature = "captures") || form != Form::Capture;
    anyhow::ensure!(is_made, "cannot write {shown}: this build has no feature `captures`");
    Ok(form)
}

/// Says what is wrong with where a file is to be.
pub(super) fn check_place(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(folder) = out::missing_folder(path) {
        anyhow::bail!("cannot write {shown}: there is no directory {}", folder.display());
    }
    anyhow::ensure!(!path.is_dir(), "cannot write {shown}: it is a directory");
    Ok(())
}

pub(super) fn write_page(path: &Path, page: &str, out: &mut Out) -> anyhow::Result<()> {
    write(path, page.as_bytes(), "open it in a browser", out)
}

pub(super) fn write(path: &Path, bytes: &[u8], hint: &str, out: &mut Out) -> anyhow::Result<()> {
    let shown = path.display();
    fs::write(path, bytes).with_context(|| format!("cannot write {shown}"))?;
    out.line(&format!("{shown}: {} KiB, {hint}", bytes.len().div_ceil(1024)))
}

impl Shell {
    #[cfg(not(feature = "captures"))]
    #[allow(clippy::unused_self, reason = "called as where there are captures, and never: the file's name was refused")]
    fn write_capture(&self, _: &Path, _: &Made, _: &mut Out) -> anyhow::Result<()> {
        anyhow::bail!("this build has no feature `captures`")
    }

    /// Writes the capture, and beside it the dissector of the system's messages, if it has one.
    #[cfg(feature = "captures")]
    fn write_capture(&self, path: &Path, made: &Made, out: &mut Out) -> anyhow::Result<()> {
        self.write_capture_of(path, made, None, out)
    }

    /// The same, of packets as they were on the wire, if these are there.
    #[cfg(feature = "captures")]
    pub(super) fn write_capture_of(
        &self,
        path: &Path,
        made: &Made,
        wire: Option<&std::collections::BTreeMap<u64, bytes::Bytes>>,
        out: &mut Out,
    ) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        let written = capture::write(&made.recording, wire, &mut bytes).context("cannot make the capture")?;
        let hint = format!("{} packets; open it in Wireshark", count(written.packets));
        write(path, &bytes, &hint, out)?;
        let system = self.systems.iter().find(|system| system.name() == made.recording.header.system);
        let Some(dissector) = system.and_then(|system| system.dissector()) else { return Ok(()) };
        let script = path.with_extension("lua");
        let hint = format!("names its messages: wireshark -X lua_script:{} {}", script.display(), path.display());
        write(&script, dissector.as_bytes(), &hint, out)
    }
}
