//! Where a system meets the testbed: its hosts, workload, script section, packet labels and checks, behind one trait.

pub mod echo;
pub mod raft;

use schemars::Schema;

use crate::script::ScriptError;
use crate::sim::Setup;
use crate::sim::trace::{Label, Packet};

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

    /// Names a packet in the system's own words.
    fn label(&self, packet: &Packet) -> Option<Label> {
        let _ = packet;
        None
    }

    /// Reads the script's section and sets up hosts, workload and checks.
    fn build(&self, setup: &mut Setup<'_>) -> Result<(), ScriptError>;
}

/// The systems that come with the crate.
pub fn all() -> &'static [&'static dyn System] {
    &[&echo::Echo, &raft::Raft]
}
