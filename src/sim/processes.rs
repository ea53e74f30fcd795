//! A system's hosts as real processes, for a live run: as plain data, and who understands what they say.

use std::time::Duration;

use crate::events::Value;
use crate::script::SystemAction;

use super::recorder::Breach;

/// What a live run of a script is made of.
pub struct Processes {
    /// The hosts, as many as a simulated run has, with the same names and in the same order.
    pub hosts: Vec<Process>,
    /// Who understands what they say.
    pub witness: Box<dyn Witness>,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// The program, which stands beside this one.
    pub program: &'static str,
    /// Its arguments. `{dir}` stands for a directory of its own, `{addr}` for its address.
    pub arguments: Vec<String>,
    /// Whether the run waits for its end. It begins once all others are ready.
    pub workload: bool,
    /// A regular expression that is found in what it prints when it is ready.
    pub ready: Option<&'static str>,
}

/// Understands what real hosts say of themselves, and judges it.
pub trait Witness {
    /// A host has printed a line, which is given with the number of its record. What it says, if it tells an event.
    fn line(&mut self, host: &str, seen: (Duration, u64), line: &str) -> Option<Heard>;

    /// The process of a host is gone.
    fn ended(&mut self, host: &str, seen: (Duration, u64));

    /// Whether the system is in a state that a step's `when` names.
    fn holds(&self, state: &str) -> bool;

    /// The hosts that have a role.
    fn who(&self, role: &str) -> Vec<String>;

    /// Whether what a step of the system's own says was done at the start, by the arguments of its hosts. Of another, real
    /// processes cannot do it.
    fn is_done(&self, step: usize, action: &SystemAction) -> bool;

    /// The run is over: what is broken, and what was not checked, a sentence each.
    fn judge(&mut self, at: Duration) -> (Option<Breach>, Vec<String>);
}

/// An event that a host has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Its name; none: there is nothing to write down.
    pub name: Option<&'static str>,
    /// Its fields.
    pub fields: Vec<(&'static str, Value)>,
    /// What it counts.
    pub counts: Vec<(&'static str, u64)>,
    /// How much work was done by it.
    pub work: u64,
    /// A time that it tells, and of what.
    pub time: Option<(&'static str, Duration)>,
}
