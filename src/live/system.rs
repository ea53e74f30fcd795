//! Anyone's services as a system: a script of it names their commands in `[live.hosts]`.
//!
//! It is a system so that its scripts are read, validated, listed and completed as all others are. Only a live run can run
//! it.

use schemars::{Schema, schema_for};

use crate::script::document::Part::{Index, Key};
use crate::script::{Action, Family, Script, ScriptError, TcpSettings, Trigger};
use crate::sim::{Setup, System};

use super::plan::Plan;
use super::section::Table;

/// Anyone's services, in any language, as real processes.
pub struct Live;

/// All that is counted.
pub(super) const COUNTERS: [&str; 5] = ["ends", "expectations met", "lines", "starts", "tcp segments sent again"];

impl System for Live {
    fn name(&self) -> &'static str {
        "live"
    }

    fn about(&self) -> &'static str {
        "Real processes, of any language, on a real kernel: `stormglass live` runs them."
    }

    fn draws_from_tokio(&self) -> bool {
        false
    }

    fn runs_only_live(&self) -> bool {
        true
    }

    fn section_schema(&self) -> Schema {
        schema_for!(Table)
    }

    fn counters(&self) -> Option<Vec<&'static str>> {
        Some(COUNTERS.to_vec())
    }

    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError> {
        let table: Table = setup.section()?;
        let script = setup.script();
        let plan = table.plan(script)?;
        check(script, &table)?;
        for host in &plan.hosts {
            let name = host.name.clone();
            let refuse = |_| async { Err(Box::<dyn std::error::Error>::from("it is a real process")) };
            if host.workload { setup.workload(name, refuse) } else { setup.host(name, refuse) }
        }
        Ok(())
    }
}

/// The plan of a script of this system that was validated.
pub(super) fn plan(script: &Script) -> Result<Plan, ScriptError> {
    script.section.read::<Table>()?.plan(script)
}

/// What a script says that no live run can do is an error, and not ignored.
fn check(script: &Script, table: &Table) -> Result<(), ScriptError> {
    let cannot =
        |path: &[_], message: &str, expected: &str| Err(script.error_at_key(path, message).with_expected(expected));
    if script.lane.is_some() {
        return cannot(&[Key("lane")], "real processes run in no lane", "no such key");
    }
    if script.disk != crate::script::DiskSettings::default() {
        return cannot(&[Key("disk")], "the disks of real processes are this machine's", "no such table");
    }
    if script.tcp != TcpSettings::default() {
        return cannot(&[Key("network"), Key("tcp")], "the TCP of real processes is the kernel's", "no such table");
    }
    let names = table.names();
    let known = |path: &[_], message: Option<&String>| match message.filter(|name| !names.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let message = format!("no packet is called `{name}`: a [[live.message]] gives packets a name");
            Err(script.error_at_text(path, name, &message))
        }
    };
    for (index, step) in script.steps.iter().enumerate() {
        let place = [Key("step"), Index(index)];
        let at = |key| [place[0], place[1], Key(key)];
        if matches!(step.trigger, Trigger::Record(_)) {
            return cannot(&at("record"), "a live run never makes the same records twice", "`at` or `after`");
        }
        match &step.action {
            Action::Disk { .. } => {
                return cannot(&at("disk"), "the disks of real processes are this machine's", "another fault");
            }
            Action::Hold(rule) | Action::Drop(rule) => known(&place, rule.message.as_ref())?,
            _ => {}
        }
    }
    for (index, rule) in script.packets.iter().enumerate() {
        known(&[Key("packet"), Index(index)], rule.message.as_ref())?;
    }
    let families = script.chaos.as_ref().map_or(&[][..], |chaos| &chaos.families);
    let is_chosen = families.len() < Family::ALL.len();
    if is_chosen && families.contains(&Family::Disk) {
        let place = [Key("chaos"), Key("families")];
        return cannot(&place, "the disks of real processes are this machine's", "other families");
    }
    Ok(())
}
