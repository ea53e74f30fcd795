//! Steps: when something happens, and what.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::show::own_action;
use super::{Latency, LinkRule, Section, Source};

/// One step of a script.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When it fires, at the earliest.
    pub trigger: Trigger,
    /// How much later than that it may fire: each seed draws a time from zero to this one.
    pub spread: Duration,
    /// What it does.
    pub action: Action,
    /// After how long it is undone; `None`: never, or by a later step.
    pub lasts: Option<Duration>,
    /// Whether it may do nothing. Of another, that it did nothing makes a run inconclusive.
    pub may_be_inert: bool,
    /// The line of the script; 0 for a step that was generated.
    pub line: usize,
}

/// When a step fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// At this time of the run.
    At(Duration),
    /// This long after the step before it fired (the first: after the run began).
    After(Duration),
    /// When the step before it has fired and the system is in the state of this name.
    When(String),
    /// Right after the record of this number, be it in the middle of a tick. Such a step waits for no other, and no other
    /// for it.
    Record(u64),
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// No packet passes between hosts of different groups; hosts of no group are untouched.
    Partition(Vec<Vec<HostPattern>>),
    /// No packet passes from some hosts to others; the way back stays open.
    Cut {
        /// Senders.
        from: Vec<HostPattern>,
        /// Receivers.
        to: Vec<HostPattern>,
    },
    /// Ends every partition, cut, hold, drop, and change of links and disks, of the steps before.
    Heal,
    /// Changes links.
    Link(LinkRule),
    /// The disks' syncs take another time, or the disks fail.
    Disk {
        /// Whose disks.
        hosts: Vec<HostPattern>,
        /// How long a sync takes; `None`: as long as before.
        sync: Option<Latency>,
        /// How they fail, if they do.
        fault: Option<DiskFault>,
    },
    /// The process dies.
    Kill(Vec<HostPattern>),
    /// The machine loses power.
    Power(Vec<HostPattern>),
    /// The process stands still.
    Pause(Vec<HostPattern>),
    /// A process that stood still goes on.
    Resume(Vec<HostPattern>),
    /// A dead or waiting host starts (again); one that runs is killed first.
    Restart(Vec<HostPattern>),
    /// Packets that match wait on the link until they are released.
    Hold(MessageRule),
    /// Packets that match are lost.
    Drop(MessageRule),
    /// Ends every hold; what waited goes on its way.
    Release,
    /// What the script's system alone understands.
    System(SystemAction),
}

/// How a disk fails, while a step of it is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// Syncs of files fail. What was to be durable is not, and no later sync makes it so: it has to be written anew.
    SyncFails,
    /// Syncs do not come to their end before the step does.
    SyncHangs,
    /// Nothing more can be written.
    NoSpace,
    /// Of what was not synced, a power loss leaves a part: writes are cut in two.
    TornWrites,
    /// At once, a bit of what is on the disk is another.
    BitFlip,
    /// When its host starts next, the disk is empty.
    Emptied,
}

impl DiskFault {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::SyncFails, Self::SyncHangs, Self::NoSpace, Self::TornWrites, Self::BitFlip, Self::Emptied];

    /// Its name in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::SyncFails => "sync-fails",
            Self::SyncHangs => "sync-hangs",
            Self::NoSpace => "no-space",
            Self::TornWrites => "torn-writes",
            Self::BitFlip => "bit-flip",
            Self::Emptied => "emptied",
        }
    }
}

/// An action of the script's own system: a step's table under the system's name. The system says what it means, with
/// [`crate::sim::Setup::actions`].
#[derive(Clone, Debug, PartialEq)]
pub struct SystemAction {
    /// The table, for the system to read.
    pub section: Section,
    /// How the action is shown: the system's name, and the table on one line.
    pub(super) shown: String,
}

impl SystemAction {
    /// The action of a system whose table in a step is this one, in TOML.
    ///
    /// # Panics
    /// It is no table.
    pub fn new(system: &str, table: &str) -> Self {
        let text = format!("[[step]]\n{system} = {table}\n");
        let read = DeTable::parse(&text).unwrap_or_else(|error| panic!("{table}: {error}")).into_inner();
        let step = read.get("step").and_then(|steps| steps.get_ref().get(0));
        let shown = match step.and_then(|step| step.get_ref().get(system)).map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => own_action(system, table),
            _ => panic!("{table} is no table"),
        };
        let source = Arc::new(Source::new("chaos", &text));
        Self { section: Section::of_step(&source, 0, system), shown }
    }
}

/// Which packets a hold or drop is for.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageRule {
    /// Senders.
    pub from: Vec<HostPattern>,
    /// Receivers.
    pub to: Vec<HostPattern>,
    /// The message's name, as the system labels its packets; `None`: every packet.
    pub message: Option<String>,
    /// How many packets it is for; `None`: all, until it ends.
    pub count: Option<u64>,
}

/// Names hosts: a name, or a beginning and `*`; in steps also a [role](super::roles), such as `@leader`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPattern(pub String);

impl HostPattern {
    /// Whether it names this host.
    pub fn matches(&self, host: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(start) => host.starts_with(start),
            None => self.0 == host,
        }
    }
}
