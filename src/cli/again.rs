//! A failing run of a sweep again, with everything on: its records, and the same text that `run` prints.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Chosen, Shell, run};
use crate::explore::casebook::usual_name;
use crate::explore::{Launch, Ran, Seen, Watcher};
use crate::report::json::RunReport;
use crate::report::records::{End, Header, SCHEMA_VERSION, ShowLine};
use crate::report::text;

/// What a run came to when it was made again.
pub(super) struct Again {
    /// Its files, if they were to be saved.
    pub(super) saved: Vec<PathBuf>,
    /// Whether it came to the same.
    pub(super) is_same: bool,
}

/// Makes a run of a sweep again, with its records, and saves it in a folder if one is given. A run whose process did not
/// live to its end has no records, and was made twice already: of it, only the text is saved.
pub(super) fn again(
    shell: &Shell,
    launch: &Launch,
    chosen: &Chosen,
    first: &RunReport,
    folder: Option<&Path>,
) -> anyhow::Result<Again> {
    let name = usual_name(&chosen.sim.name, first.seed);
    let file = |extension: &str| folder.map(|folder| folder.join(format!("{name}.{extension}")));
    let mut saved = Vec::new();
    let mut report = first.clone();
    if first.hash.is_some() {
        let path = file("jsonl");
        let ran = records(launch, chosen, first.seed, path.as_deref())?;
        report = run::report(&shell.program, chosen, first.seed, &ran);
        if let Some(path) = path {
            end(&path, &report)?;
            saved.push(path);
        }
    }
    if let Some(path) = file("txt") {
        let Chosen { sim, script, .. } = chosen;
        let (set, place) = (&sim.set, sim.place());
        let before = text::before(&text::Before {
            sim: &sim.name,
            set,
            seed: first.seed,
            path: &place,
            script,
            drawn: &first.drawn,
        });
        let whole = format!("{before}\n{}", text::after(&report));
        let plain = crate::report::style::unpainted(&whole);
        fs::write(&path, plain).with_context(|| format!("cannot write {}", path.display()))?;
        saved.push(path);
    }
    let is_same = report.hash == first.hash && report.verdict == first.verdict && report.violation == first.violation;
    Ok(Again { saved, is_same })
}

/// Makes the run, and writes its records but for the end.
fn records(launch: &Launch, chosen: &Chosen, seed: u64, path: Option<&Path>) -> anyhow::Result<Ran> {
    let mut job = chosen.job(seed);
    job.keep_records = true;
    let mut writer: Box<dyn Write> = match path {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?))
        }
        None => Box::new(io::sink()),
    };
    let mut result = Ok(());
    let ran = Watcher::new(launch.clone()).run(&job, &mut |seen| {
        let line = match seen {
            Seen::Finished { outcome, hosts } => ShowLine::Header(Header {
                kind: "run".to_owned(),
                schema: SCHEMA_VERSION,
                sim: chosen.sim.name.clone(),
                system: chosen.script.system.clone(),
                set: chosen.sim.set.iter().map(ToString::to_string).collect(),
                seed,
                hosts,
                hash: Some(outcome.hash.to_string()),
                live: false,
                drawn: chosen.drawn(seed).unwrap_or_default(),
            }),
            Seen::Record(record) => ShowLine::Record(*record),
            Seen::Time(_) | Seen::Threads(_) => return,
        };
        if result.is_ok() {
            result = write_line(&mut writer, &line);
        }
    })?;
    result
        .and_then(|()| Ok(writer.flush()?))
        .with_context(|| format!("cannot write {}", path.unwrap_or(Path::new("")).display()))?;
    Ok(ran)
}

fn end(path: &Path, report: &RunReport) -> anyhow::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    write_line(&mut file, &ShowLine::End(End::new(report)))
}

fn write_line(writer: &mut impl Write, line: &ShowLine) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(writer.write_all(&text)?)
}
