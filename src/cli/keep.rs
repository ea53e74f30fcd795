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
    let Built { build, binary } = built(&std::env::current_exe().unwrap_or_default());
    let judge = format!("{build} || exit 125; {} replay --bisect ../seeds-kept/{file}", out::word(&shown(&binary)));
    format!(
        "replay:    {program} replay {}\n\
         bisect:    cp -r seeds ../seeds-kept && git bisect start HEAD GOOD && git bisect run sh -c {}\n",
        out::word(&shown(case)),
        out::word(&judge)
    )
}

/// How a program is built again, and where that puts it.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    build: String,
    binary: PathBuf,
}

/// How the program that runs was built, by where cargo has put it: `target/PROFILE/` or `target/TRIPLE/PROFILE/`. One that
/// was installed is made in the repository that is bisected.
fn built(own: &Path) -> Built {
    let name = own.file_name().unwrap_or_default();
    let folder = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let profile_folder = own.parent().unwrap_or(Path::new(""));
    let above = profile_folder.parent().unwrap_or(Path::new(""));
    let is_target = |path: &Path| folder(path) == "target" || path.join("CACHEDIR.TAG").exists();
    let triple = above.parent().is_some_and(is_target).then(|| folder(above)).filter(|_| !is_target(above));
    let (profile, binary) = if is_target(above) || triple.is_some() {
        (folder(profile_folder), own.to_owned())
    } else {
        ("release".to_owned(), Path::new("target/release").join(name))
    };
    let profile = match profile.as_str() {
        "debug" => String::new(),
        "release" => " --release".to_owned(),
        other => format!(" --profile {}", out::word(other)),
    };
    let triple = triple.map_or(String::new(), |triple| format!(" --target {}", out::word(&triple)));
    let features = if cfg!(feature = "planted-bugs") { " --features planted-bugs" } else { "" };
    Built { build: format!("cargo build{profile}{triple}{features}"), binary }
}

/// What plants a bug, and all other settings on top of a sim.
pub(super) fn apart(chosen: &Chosen) -> (Option<Setting>, Vec<Setting>) {
    let key = format!("{}.bug", chosen.script.system);
    let (bug, set): (Vec<_>, Vec<_>) = chosen.sim.set.iter().cloned().partition(|setting| setting.key() == key);
    (bug.into_iter().next_back(), set)
}

/// The folder of the cases: here or above, or where it is to be made, beside `sims/`.
pub(super) fn seeds() -> anyhow::Result<PathBuf> {
    let here = here()?;
    let beside_sims = || above(&here, "sims").and_then(|sims| Some(sims.parent()?.join("seeds")));
    Ok(above(&here, "seeds").or_else(beside_sims).unwrap_or_else(|| here.join("seeds")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bisection_builds_the_program_that_it_then_runs() {
        let features = if cfg!(feature = "planted-bugs") { " --features planted-bugs" } else { "" };
        for (own, build, binary) in [
            ("/a/target/debug/counter", "cargo build", "/a/target/debug/counter"),
            ("/a/target/release/counter", "cargo build --release", "/a/target/release/counter"),
            ("/a/target/ci/counter", "cargo build --profile ci", "/a/target/ci/counter"),
            (
                "/a/target/x86_64-unknown-linux-musl/release/counter",
                "cargo build --release --target x86_64-unknown-linux-musl",
                "/a/target/x86_64-unknown-linux-musl/release/counter",
            ),
            ("/home/a/.cargo/bin/counter", "cargo build --release", "target/release/counter"),
        ] {
            let expected = Built { build: build.to_owned() + features, binary: PathBuf::from(binary) };
            assert_eq!(built(Path::new(own)), expected, "{own}");
        }
    }
}
