//! `list`: every sim, by system, and its variants below it.

use super::out::Out;
use super::{Shell, fail};
use crate::report::judgement::Exit;
use crate::report::style::{BAD, DIM, STRONG, paint};
use crate::script::{Script, ScriptError};

pub(super) fn list(shell: &Shell, out: &mut Out) -> anyhow::Result<Exit> {
    let library = shell.open_library()?;
    let mut sims = Vec::new();
    for name in library.names() {
        sims.push((name, library.find(name)?.script()));
    }
    let width = sims.iter().flat_map(|(name, script)| rows(name, script)).map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut folder = "";
    for system in shell.systems.iter().filter(|system| !library.names().any(|name| is_in(name, system.name()))) {
        out.line(&format!("{}  {}", paint(STRONG, system.name()), system.about()))?;
        out.line(&paint(DIM, "  no sims"))?;
    }
    for (name, script) in &sims {
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
    out.flush()?;
    let wrong: Vec<_> = sims.into_iter().filter_map(|(_, script)| script.err()).collect();
    let exit = if wrong.is_empty() { Exit::Expected } else { Exit::Usage };
    for error in wrong {
        fail(&error.into());
    }
    Ok(exit)
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
