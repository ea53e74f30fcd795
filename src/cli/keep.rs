//! `keep`: a run that is worth keeping becomes a case in `seeds/`.

use std::path::{Path, PathBuf};

use super::args::KeepArgs;
use super::out::{self, Out};
use super::{Chosen, Shell, here, run};
use crate::explore::Watcher;
use crate::explore::casebook::{NewCase, check_name, free_name, named_from, usual_name, write_new};
use crate::explore::library::{above, shown};
use crate::report::judgement::Exit;
use crate::report::style::{GOOD, UNSURE, paint};
use crate::report::text;
use crate::script::Setting;
use crate::sim::Verdict;

pub(super) fn keep(shell: &Shell, args: &KeepArgs, out: &mut Out) -> anyhow::Result<Exit> {
    if args.why.trim().is_empty() {
        anyhow::bail!("`--why` says nothing: a case says why it is kept");
    }
    let chosen = shell.choose(&args.sim, &args.set)?;
    let seed = super::seed(args.seed.seed)?;
    let path = new_case(args.name.as_deref(), &usual_name(&chosen.sim.name, seed))?;
    let ran = Watcher::new(Shell::launch(&args.watching)?).run(&chosen.job(seed), &mut |_| {})?;
    let report = run::report(&shell.program, &chosen, seed, &ran);
    let (finding, outcome) = (ran.verdict().finding(), ran.outcome());
    let is_kept = !matches!(ran.verdict(), Verdict::Inconclusive { .. });
    let (true, Some(outcome)) = (is_kept, outcome) else {
        out.rows(&text::verdict(&report))?;
        let why = "such a run cannot be kept: it has no verdict that a case could expect, or no hash";
        out.line(&format!("{}: {why}", paint(UNSURE, "not kept")))?;
        out.flush()?;
        return Ok(Exit::Inconclusive);
    };
    let (bug, set) = apart(&chosen);
    let folder = path.parent().unwrap_or(Path::new("."));
    let case = NewCase {
        sim: named_from(folder, &chosen.sim)?,
        set: &set,
        bug: bug.as_ref().map(Setting::value),
        seed,
        violation: finding.map(|finding| finding.invariant.as_str()),
        hash: outcome.hash,
        why: &args.why,
    };
    write_new(&path, &case.text())?;
    out.rows(&text::verdict(&report))?;
    out.line(&format!("{} {}", paint(GOOD, "kept in"), shown(&path)))?;
    out.text(&next(&shell.program, &path))?;
    out.flush()?;
    Ok(Exit::Expected)
}

/// What may be done with a case, as lines to paste.
pub(super) fn next(program: &str, case: &Path) -> String {
    let file = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let own = std::env::current_exe().unwrap_or_default();
    let own = shown(&own);
    let judge = format!("cargo build || exit 125; {} replay --bisect ../seeds-kept/{file}", out::word(&own));
    format!(
        "replay:    {program} replay {}\n\
         bisect:    cp -r seeds ../seeds-kept && git bisect start HEAD GOOD && git bisect run sh -c {}\n",
        out::word(&shown(case)),
        out::word(&judge)
    )
}

/// What plants a bug, and all other settings on top of a sim.
pub(super) fn apart(chosen: &Chosen) -> (Option<Setting>, Vec<Setting>) {
    let key = format!("{}.bug", chosen.script.system);
    let (bug, set): (Vec<_>, Vec<_>) = chosen.sim.set.iter().cloned().partition(|setting| setting.key() == key);
    (bug.into_iter().next_back(), set)
}

/// The folder of the cases.
pub(super) fn seeds() -> anyhow::Result<PathBuf> {
    let folder = above(&here()?, "seeds");
    folder.ok_or_else(|| anyhow::anyhow!("no folder `seeds` here or above: make one where the cases are to be kept"))
}

/// The file of a case that is not there yet, by the name that was given or the usual one.
pub(super) fn new_case(named: Option<&str>, usual: &str) -> anyhow::Result<PathBuf> {
    let folder = seeds()?;
    let name = named.unwrap_or(usual);
    check_name(name).map_err(anyhow::Error::msg)?;
    let path = folder.join(format!("{name}.toml"));
    if path.exists() {
        let free = free_name(&folder, name);
        anyhow::bail!("{} is there already: give the case another name, such as `--name {free}`", shown(&path));
    }
    Ok(path)
}
