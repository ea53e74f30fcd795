//! `list`: every sim, by system, and its variants below it.

use schemars::JsonSchema;
use serde::Serialize;

use super::args::ListArgs;
use super::out::Out;
use super::{Shell, fail};
use crate::explore::Library;
use crate::report::judgement::Exit;
use crate::report::style::{BAD, DIM, STRONG, paint};
use crate::script::{Script, ScriptError, one_of};
use crate::sim::System;

/// A sim, as `list --json` has it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ListedSim {
    /// Its name: `system/name`.
    sim: String,
    /// Its system.
    system: String,
    /// What happens, and what is expected; null: its script has a mistake.
    about: Option<String>,
    /// What is wrong with its script.
    error: Option<String>,
    /// Its variants.
    variants: Vec<ListedVariant>,
}

/// A variant of a sim.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedVariant {
    /// How it is called: `system/name@variant`.
    sim: String,
    /// What is different, and what comes of it.
    about: String,
}

impl ListedSim {
    fn new(name: &str, script: &Result<Script, ScriptError>) -> Self {
        let variants = script.iter().flat_map(|script| &script.variants);
        let variants = variants
            .map(|variant| ListedVariant { sim: format!("{name}@{}", variant.name), about: variant.about.clone() });
        Self {
            sim: name.to_owned(),
            system: name.split('/').next().unwrap_or_default().to_owned(),
            about: script.as_ref().ok().map(|script| script.about.clone()),
            error: script.as_ref().err().map(ToString::to_string),
            variants: variants.collect(),
        }
    }
}

/// Whether a sim is asked for: one of the words is in its name, or in that of a variant, or in a sentence of these.
fn is_wanted(words: &[String], name: &str, script: &Result<Script, ScriptError>) -> bool {
    let rows = || rows(name, script).into_iter().map(|(name, about)| format!("{name} {about}").to_lowercase());
    words.is_empty() || words.iter().any(|word| rows().any(|row| row.contains(&word.to_lowercase())))
}

pub(super) fn list(shell: &Shell, args: &ListArgs, out: &mut Out) -> anyhow::Result<Exit> {
    let library = shell.open_library()?;
    let mut sims = Vec::new();
    for name in library.names() {
        let script = library.find(name)?.script();
        if is_wanted(&args.words, name, &script) {
            sims.push((name, script));
        }
    }
    if sims.is_empty() && !args.words.is_empty() {
        anyhow::bail!("no sim has {} in its name or its sentence", one_of(args.words.iter().map(String::as_str)));
    }
    if args.json {
        let listed: Vec<_> = sims.iter().map(|(name, script)| ListedSim::new(name, script)).collect();
        out.json(&listed)?;
    } else {
        print(shell, (&library, &sims), args.words.is_empty(), out)?;
    }
    out.flush()?;
    let wrong: Vec<_> = sims.into_iter().filter_map(|(_, script)| script.err()).collect();
    let exit = if wrong.is_empty() { Exit::Expected } else { Exit::Usage };
    for error in wrong {
        fail(&error.into());
    }
    Ok(exit)
}

type Sims<'a> = [(&'a str, Result<Script, ScriptError>)];

fn print(shell: &Shell, (library, sims): (&Library, &Sims<'_>), all: bool, out: &mut Out) -> anyhow::Result<()> {
    let width = sims.iter().flat_map(|(name, script)| rows(name, script)).map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut folder = "";
    // Scripts of real processes are anyone's own.
    let has_none = |system: &&&dyn System| {
        all && !system.runs_only_live() && !library.names().any(|name| is_in(name, system.name()))
    };
    for system in shell.systems.iter().filter(has_none) {
        out.line(&format!("{}  {}", paint(STRONG, system.name()), system.about()))?;
        out.line(&paint(DIM, "  no sims"))?;
    }
    for (name, script) in sims {
        let own = name.split('/').next().unwrap_or_default();
        if own != folder {
            folder = own;
            let system = shell.systems.iter().find(|system| system.name() == own);
            let about = system.map_or("no such system in this program", |system| system.about());
            out.line(&format!("{}  {about}", paint(STRONG, own)))?;
        }
        for (name, about) in rows(name, script) {
            out.rows(&format!("{name:width$}  {about}\n"))?;
        }
    }
    Ok(())
}

/// A sim and its variants, each with its sentence.
fn rows(name: &str, script: &Result<Script, ScriptError>) -> Vec<(String, String)> {
    let Ok(script) = script else {
        return vec![(format!("  {name}"), paint(BAD, "its script has a mistake (see below)"))];
    };
    let variants = script.variants.iter();
    let variants = variants.map(|variant| (format!("    {name}@{}", variant.name), variant.about.clone()));
    [(format!("  {name}"), script.about.clone())].into_iter().chain(variants).collect()
}

fn is_in(name: &str, system: &str) -> bool {
    name.split_once('/').is_some_and(|(folder, _)| folder == system)
}
