//! The systems of this program, by the binaries that stand beside it.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::RegexBuilder;

use crate::report::json::quoted;
use crate::script::document::Part;
use crate::script::{Action, DiskSettings, Family, Script, ScriptError, TcpSettings, Trigger};
use crate::sim::trace::{Label, Packet};
use crate::sim::{Process, Processes, Setup, System};

use super::LiveError;
use super::plan::{HostPlan, Pattern, Plan, Ready};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// The plan of a script of a system whose hosts can be real processes.
pub(super) fn plan(system: &'static dyn System, setup: &Setup<'_>) -> Result<Plan, LiveError> {
    let script = setup.script();
    let Some(processes) = system.processes(setup) else {
        let message = format!("no live run can be made of system `{}`: no binaries of it are known", script.system);
        return Err(at_system(script, &message).into());
    };
    let Processes { hosts, packets, witness } = processes?;
    refuse_steps(script)?;
    let namer = Arc::new(move |packet: &Packet| -> Option<Label> { system.label(packet) });
    let hosts = hosts.into_iter().map(host).collect::<Result<Vec<_>, _>>()?;
    let (expectations, witness) = (Vec::new(), Some(witness));
    Ok(Plan { hosts, packets, expectations, ready_within: READY_WITHIN, namer, witness, notes: notes(script) })
}

/// Steps that no real process can take.
fn refuse_steps(script: &Script) -> Result<(), ScriptError> {
    for (index, step) in script.steps.iter().enumerate() {
        let cannot =
            |key, message| script.error_at_key(&[Part::Key("step"), Part::Index(index), Part::Key(key)], message);
        if matches!(step.action, Action::Disk { .. }) {
            return Err(cannot(
                "disk",
                "the disks of real processes are this machine's: no live run can be made of it",
            ));
        }
        if matches!(step.trigger, Trigger::Record(_)) {
            return Err(cannot(
                "record",
                "a live run never makes the same records twice: no live run can be made of it",
            ));
        }
    }
    Ok(())
}

fn at_system(script: &Script, message: &str) -> ScriptError {
    script.error_at_key(&[Part::Key("system")], message)
}

fn host(process: Process) -> Result<HostPlan, LiveError> {
    let Process { name, program, arguments, files, last, workload, ready } = process;
    let here = std::env::current_exe().map_err(|error| LiveError::Unable(error.to_string()))?;
    let path = program.map_or_else(|| here.clone(), |program| here.with_file_name(program));
    if !path.exists() {
        let beside = path.display();
        let message = format!("there is no {beside}: `cargo build --bins` and `cargo install` put it there");
        return Err(LiveError::Unable(message));
    }
    let words: Vec<String> = arguments.iter().map(|argument| quoted(argument)).collect();
    let pattern = |text: &str| {
        let regex = RegexBuilder::new(text).unicode(false).build().expect("it is a regular expression");
        Ready::Line(Pattern { text: text.to_owned(), regex })
    };
    Ok(HostPlan {
        name,
        command: format!("exec {} {}", quoted(&path.display().to_string()), words.join(" ")),
        env: Vec::new(),
        files,
        last,
        directory: None,
        workload,
        ready: ready.map(pattern),
        memory_bytes_max: None,
        time_max: None,
    })
}

/// What the script says that real processes and a real kernel have their own way of.
fn notes(script: &Script) -> Vec<String> {
    let mut notes = Vec::new();
    if script.tcp != TcpSettings::default() {
        notes.push("[network.tcp] is not heeded live: TCP is the kernel's".to_owned());
    }
    if script.disk != DiskSettings::default() {
        notes.push("[disk] is not heeded live: disks are this machine's".to_owned());
    }
    let is_drawn = |family| script.chaos.as_ref().is_some_and(|chaos| chaos.families.contains(&family));
    if is_drawn(Family::Disk) || is_drawn(Family::Operator) {
        notes.push("what chaos draws of disks and operators is left out live".to_owned());
    }
    notes
}
