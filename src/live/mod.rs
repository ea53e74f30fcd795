//! The third world: a script's hosts as real processes, on a real kernel, in a network whose packets are in the testbed's
//! hand.
//!
//! Each host has namespaces of its own, kept by a [keeper]; all their packets pass through a [relay] that asks the engine
//! of simulated runs what becomes of them; a [conductor] carries out the script's steps, takes everything down into
//! the same records as a simulated run's, and a [judge] gives the verdict. [`Live`] is the system of anyone's
//! services: its scripts name their commands ([`section`]).
//!
//! What it cannot be is deterministic: processes and kernel do what they do when they do it. The fates of packets are a
//! function of the seed all the same, by each packet's number on its link.
//!
//! **Invariant:** no packet leaves the namespaces of a run: these have no other device than the one whose other end the
//! relay holds.
//!
//! **Invariant:** a run whose relay was later than the latencies that it had to make says nothing.

mod conductor;
mod expect;
mod http;
mod judge;
mod keeper;
mod leftovers;
mod netlink;
mod ours;
mod plan;
mod relay;
mod section;
mod system;
mod wall;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;

use crate::events::{Line, Value};
use crate::rng::Seed;
use crate::script::{Script, ScriptError};
use crate::sim::{Outcome, Part, Setup, System};

pub use relay::Lateness;
pub use system::Live;

/// Hears a line that a host prints, with the host's name before it.
pub type Show<'a> = dyn Fn(&str, &str) + 'a;

/// What is wanted of a live run.
pub struct Options<'a> {
    /// Whether its records are kept.
    pub keep_records: bool,
    /// Whether its packets are kept as they were on the wire.
    pub keep_packets: bool,
    /// Set when the run is to end at once.
    pub interrupted: &'a AtomicBool,
    /// Hears each line that a host prints, with the host's name.
    pub show: Option<&'a Show<'a>>,
}

/// A live run that was made.
pub struct Lived {
    /// What it came to. Its hash means nothing: another run of the same seed has another.
    pub outcome: Outcome,
    /// How late its relay was.
    pub lateness: Lateness,
    /// Each packet as it was on the wire, by its number, if they were wanted.
    pub packets: BTreeMap<u64, Bytes>,
    /// Real time from beginning to end.
    pub wall: Duration,
    /// What the hosts printed last, each line with the host's name.
    pub last_lines: Vec<(String, String)>,
}

/// Why there is no live run.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The script is wrong.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The machine does not let it.
    #[error("no live run can be made here: {0}")]
    Unable(String),
    /// It was ended from outside.
    #[error("interrupted")]
    Interrupted,
}

/// Runs a script with a seed on real processes.
///
/// # Errors
/// What is wrong with the script, what the machine lacks, or that somebody ended it.
pub fn run(
    system: &'static dyn System,
    script: &Script,
    seed: Seed,
    options: &Options<'_>,
) -> Result<Lived, LiveError> {
    let setup = Setup::built(system, script, seed)?;
    let plan = plan_of(system, &setup)?;
    conductor::conduct(system, plan, script, seed, options)
}

fn plan_of(system: &'static dyn System, setup: &Setup<'_>) -> Result<plan::Plan, LiveError> {
    if system.runs_only_live() { Ok(system::plan(setup.script())?) } else { ours::plan(system, setup) }
}

/// What a script runs on its hosts: `name: command`.
///
/// # Errors
/// What is wrong with the script, or what is missing.
pub fn commands(system: &'static dyn System, script: &Script, seed: Seed) -> Result<Vec<String>, LiveError> {
    let plan = plan_of(system, &Setup::built(system, script, seed)?)?;
    Ok(plan.hosts.iter().map(|host| format!("{}: {}", host.name, host.command)).collect())
}

/// Removes what runs left that were killed, and names it.
pub fn clean() -> Vec<PathBuf> {
    leftovers::clean()
}

/// What this program does when it is called as `keeper`: not for people.
pub fn keep(is_inside: bool) -> ExitCode {
    keeper::main(is_inside)
}

/// Plays a host of a live run in this process until it ends: how often it was started before, and how long the run has gone
/// on, are given. What it does is told on stdout, as lines of JSON.
///
/// # Errors
/// What is wrong with the script, that nobody plays this host, or why it ended.
pub fn play(
    system: &'static dyn System,
    script: &Script,
    seed: Seed,
    host: &str,
    (incarnation, since): (u32, Duration),
) -> Result<(), String> {
    let setup = Setup::built(system, script, seed).map_err(|error| error.to_string())?;
    let last_ns = Cell::new(0);
    let tell = move |event: &str, fields: Vec<(&'static str, Value)>, fact| {
        last_ns.set(wall::since_1970_ns().max(last_ns.get()));
        let line = Line { fact: Some(fact), ..Line::named(last_ns.get(), event, fields) };
        if let Ok(line) = serde_json::to_string(&line) {
            // Nobody reads it any more: then this process ends soon.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    };
    let rng = seed.stream(&format!("{host}.{incarnation}"));
    let part = Part { host: host.to_owned(), incarnation, since, rng, tell: Rc::new(tell) };
    let played =
        system.play(&setup, part).ok_or_else(|| format!("nobody plays `{host}` of system `{}`", script.system))?;
    played.map_err(|error| format!("{host}: {error}"))
}
