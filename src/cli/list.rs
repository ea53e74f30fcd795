//! `list`: every sim, by system.

use super::out::Out;
use super::{Shell, fail};
use crate::report::judgement::Exit;
use crate::report::style::{BAD, DIM, STRONG, paint};

pub(super) fn list(shell: &Shell, out: &mut Out) -> anyhow::Result<Exit> {
    let library = shell.open_library()?;
    let width = library.names().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut wrong = Vec::new();
    let mut folder = "";
    for system in shell.systems.iter().filter(|system| !library.names().any(|name| is_in(name, system.name()))) {
        out.line(&format!("{}  {}", paint(STRONG, system.name()), system.about()))?;
        out.line(&paint(DIM, "  no sims"))?;
    }
    for name in library.names() {
        let own = name.split('/').next().unwrap_or_default();
        if own != folder {
            folder = own;
            let system = shell.systems.iter().find(|system| system.name() == own);
            let about = system.map_or("no such system in this program", |system| system.about());
            out.line(&format!("{}  {about}", paint(STRONG, own)))?;
        }
        let sim = library.find(name)?;
        let about = match sim.script() {
            Ok(script) => script.about,
            Err(error) => {
                wrong.push(error);
                paint(BAD, "its script has a mistake (see below)")
            }
        };
        out.rows(&format!("  {name:width$}  {about}\n"))?;
    }
    out.flush()?;
    let exit = if wrong.is_empty() { Exit::Expected } else { Exit::Usage };
    for error in wrong {
        fail(&error.into());
    }
    Ok(exit)
}

fn is_in(name: &str, system: &str) -> bool {
    name.split_once('/').is_some_and(|(folder, _)| folder == system)
}
