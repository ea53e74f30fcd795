//! The trait through which a system meets the testbed: its hosts, workload, script section, packet labels and checks.

use std::time::Duration;

use indexmap::IndexMap;
use schemars::Schema;

use crate::events::Value;
use crate::figure::Figure;
use crate::model::{Bounds, Search};
use crate::rng::Rng;
use crate::script::{Action, Script, ScriptError, Setting, Sometimes};

use super::meaning::Meaning;
use super::trace::{Label, Packet};
use super::{HostResult, Part, Processes, Setup};

/// A system that the testbed can run.
pub trait System: Sync {
    /// Its name: of its folder in `sims/`, and of its table in a script.
    fn name(&self) -> &'static str;

    /// One sentence for `list`.
    fn about(&self) -> &'static str;

    /// The scripts that are built into the program: name and text.
    fn sims(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Published figures that its sims are to come to.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }

    /// What its hosts need and the core lane does not have. `None`: it runs there, too, and [`build`](Self::build) adds its
    /// hosts with [`Setup::core_host`] then.
    fn lacks_in_core_lane(&self) -> Option<&'static str> {
        Some("runtime for tasks, nor sockets")
    }

    /// The same of one script: a system that runs in the core lane may have scripts which do not.
    fn script_lacks_in_core_lane(&self, script: &Script) -> Option<&'static str> {
        let _ = script;
        self.lacks_in_core_lane()
    }

    /// Whether its hosts may draw from tokio's own generator: by a `select!` without `biased;`, or by tasks that wait for
    /// one `tokio::sync::watch`. It is seeded only in a build with `--cfg tokio_unstable`, and without that flag no run of
    /// such a system begins. `false` declares that they do not, and every build will do; then tasks are spawned through
    /// [`Net::task`](crate::net::Net::task), without which a panic in one that nobody awaits goes unnoticed there.
    fn draws_from_tokio(&self) -> bool {
        true
    }

    /// Its hosts as real processes, for a live run. `None`: it has none.
    fn processes(&self, setup: &Setup<'_>) -> Option<Result<Processes, ScriptError>> {
        let _ = setup;
        None
    }

    /// Plays a host on real sockets until it ends, in a process of a live run whose script this is. `None`: it has none that
    /// this program plays.
    fn play(&self, setup: &Setup<'_>, part: Part) -> Option<HostResult> {
        let _ = (setup, part);
        None
    }

    /// Whether its hosts are real processes, which `stormglass live` alone runs: a run of the testbed is refused.
    fn runs_only_live(&self) -> bool {
        false
    }

    /// The JSON Schema of its table in a script.
    fn section_schema(&self) -> Schema {
        schemars::json_schema!({ "type": "object" })
    }

    /// The JSON Schema of its table in a step, if it has steps of its own; [`Setup::actions`] gives them their meaning.
    fn step_schema(&self) -> Option<Schema> {
        None
    }

    /// The states that a step's `when` may name; [`Setup::state`] gives each its meaning.
    fn states(&self) -> &'static [&'static str] {
        &[]
    }

    /// The roles that a step's hosts may name, as `@leader` and `@any-leader`; [`Setup::role`] gives each its meaning.
    fn roles(&self) -> &'static [&'static str] {
        &[]
    }

    /// Names a packet in the system's own words.
    fn label(&self, packet: &Packet) -> Option<Label> {
        let _ = packet;
        None
    }

    /// The names that [`label`](Self::label) gives packets, for a script's `message` to be one of them. `None`: any.
    fn messages(&self) -> Option<Vec<&'static str>> {
        None
    }

    /// What its runs can count, by [`Events::count`](super::Events::count), for a script's bounds to be on one of them.
    /// `None`: anything.
    fn counters(&self) -> Option<Vec<&'static str>> {
        None
    }

    /// What an event of its hosts, by its name and fields, says of the host or of the workload.
    fn meaning(&self, event: &str, fields: &IndexMap<String, Value>) -> Option<Meaning> {
        let _ = (event, fields);
        None
    }

    /// What makes Wireshark understand its messages: a dissector in Lua.
    fn dissector(&self) -> Option<&'static str> {
        None
    }

    /// What must come about in some run of a sweep of this script, beside what the script says itself.
    fn sometimes(&self, script: &Script) -> Vec<Sometimes> {
        let _ = script;
        Vec::new()
    }

    /// The wrong versions of it that its checks must catch: none in a build without them. A script's table of the system
    /// has a key `bug` for their names.
    fn bugs(&self) -> &'static [PlantedBug] {
        &[]
    }

    /// Checks that are weaker than its own, to show what those are worth. A script's table of the system has a key
    /// `check` for their names.
    fn weaker_checks(&self) -> &'static [WeakerCheck] {
        &[]
    }

    /// What an operator does to it at some moment of a run with chaos: steps of its own, and faults that go with them.
    /// What was done should show in [`sometimes`](Self::sometimes).
    fn operate(&self, hosts: &[String], rng: &mut Rng) -> Vec<Action> {
        let _ = (hosts, rng);
        Vec::new()
    }

    /// What the seed draws in its own table, as settings that say it: with them, the same seed gives the same run.
    fn drawn(&self, setup: &Setup<'_>) -> Result<Vec<Setting>, ScriptError> {
        let _ = setup;
        Ok(Vec::new())
    }

    /// All that the seed draws in its own table, each as a key of the script and what came of it: what [`drawn`](Self::drawn)
    /// says, and what no setting can say.
    fn drew(&self, setup: &Setup<'_>) -> Result<Vec<(String, String)>, ScriptError> {
        Ok(self.drawn(setup)?.iter().map(|setting| (setting.key().to_owned(), setting.value().to_owned())).collect())
    }

    /// The numbers in its table that a failure may be shrunk by: of hosts, or of what they have to do.
    fn sizes(&self, setup: &Setup<'_>) -> Result<Vec<Size>, ScriptError> {
        let _ = setup;
        Ok(Vec::new())
    }

    /// The time after which each of its timeouts has run out: a packet that takes so long is late for all of them.
    fn patience(&self, setup: &Setup<'_>) -> Result<Duration, ScriptError> {
        let _ = setup;
        Ok(Duration::from_secs(1))
    }

    /// Visits every state of a small one within bounds: none if it cannot be stepped so. `goes_on` hears how many states
    /// were visited and how deep, and says whether to go on.
    ///
    /// # Errors
    /// What is wrong with the bounds.
    fn exhaust(
        &self,
        bounds: &Bounds,
        goes_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Option<Result<Search, String>> {
        let _ = (bounds, goes_on);
        None
    }

    /// Reads the script's section and sets up hosts, workload and checks.
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError>;
}

/// A number of things in a system's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Its key.
    pub key: &'static str,
    /// How many there are.
    pub value: u64,
    /// The fewest that make sense.
    pub least: u64,
}

/// A wrong version of a system, and by what it is to be caught.
#[derive(Clone, Copy, Debug)]
pub struct PlantedBug {
    /// Its name, as the key `bug` has it.
    pub name: &'static str,
    /// What is wrong, in a line.
    pub about: &'static str,
    /// Where it was found.
    pub source: &'static str,
    /// The sim that brings it to light.
    pub sim: &'static str,
    /// The invariants that it breaks, one or the other by seed, each by the beginning of its name. None: it breaks
    /// nothing, and is there to show that the checks do not cry wolf.
    pub caught_by: &'static [&'static str],
}

/// A check as others make it, for comparison.
#[derive(Clone, Copy, Debug)]
pub struct WeakerCheck {
    /// Its name, as the key `check` has it.
    pub name: &'static str,
    /// What heads its column.
    pub title: &'static str,
    /// The one invariant that it checks.
    pub invariant: &'static str,
}
