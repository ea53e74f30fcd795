//! Scripts as plain data: what a run is made of, before anything runs.
//!
//! A script is a TOML file that a person writes without knowing Rust. [`Script::parse`] turns its text into the types
//! below and refuses what it does not understand, with the file, the line and what was expected ([`error`]). The
//! testbed reads nothing but these types, so that a script may come from a file, from a generator or from a test.
//!
//! [`settings`] go into the text before that: those of a call, and those of the [`Variant`]s that a script has.

pub mod action;
mod comparison;
pub(crate) mod document;
pub mod error;
mod latency;
mod packet;
mod raw;
pub mod roles;
pub mod schema;
mod section;
pub mod settings;
mod show;
#[cfg(test)]
mod tests;
mod time_range;
mod units;
pub(crate) mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use document::Part;

pub use action::{Action, DiskFault, HostPattern, MessageRule, Step, SystemAction, Trigger};
pub use comparison::Comparison;
pub use error::{ScriptError, Source};
pub(crate) use error::{did_you_mean, one_of};
pub use latency::Latency;
pub use packet::{Fate, PacketRule};
pub use settings::{Setting, SettingError};
pub use time_range::TimeRange;
pub use units::{ByteSize, Chance, TimeSpan, parse_duration, show_duration};

/// One script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where the text came from, for errors.
    pub source: Arc<Source>,
    /// One sentence: what happens and what is expected.
    pub about: String,
    /// The system's name; its own settings are in [`Script::section`].
    pub system: String,
    /// The simulated time after which the run ends.
    pub duration: Duration,
    /// The resolution of simulated time.
    pub tick: Duration,
    /// How hosts run and packets travel; `None`: from event to event where the system can, and over turmoil's sockets else.
    pub lane: Option<Lane>,
    /// Hosts that do not run until a step starts them.
    pub waiting: Vec<HostPattern>,
    /// What every link does.
    pub network: LinkSettings,
    /// The TCP model's constants.
    pub tcp: TcpSettings,
    /// The bytes a UDP socket's receive buffer holds.
    pub udp_buffer_bytes: u64,
    /// The disk of every host.
    pub disk: DiskSettings,
    /// What single links do instead, in order: a later rule wins over an earlier one.
    pub links: Vec<LinkRule>,
    /// The faults, in the order written.
    pub steps: Vec<Step>,
    /// What becomes of single packets.
    pub packets: Vec<PacketRule>,
    /// Swarm testing instead of, or on top of, the steps.
    pub chaos: Option<Chaos>,
    /// What the run must end with.
    pub expect: Expect,
    /// What must come about in some run of a sweep.
    pub sometimes: Vec<Sometimes>,
    /// The system's own table, as written.
    pub section: Section,
    /// The script with other settings, each with a name.
    pub variants: Vec<Variant>,
}

impl Script {
    /// An error that points at a text in the value at this place.
    pub(crate) fn error_at_text(&self, path: &[Part<'_>], text: &str, message: &str) -> ScriptError {
        match document::Document::parse(&self.source) {
            Ok(document) => document.error_at_text(path, text, message),
            Err(error) => error,
        }
    }

    /// An error that points at the last key of this place.
    pub(crate) fn error_at_key(&self, path: &[Part<'_>], message: &str) -> ScriptError {
        match document::Document::parse(&self.source) {
            Ok(document) => document.point_at_key(path, message.to_owned()),
            Err(error) => error,
        }
    }

    /// An error about its lane.
    pub(crate) fn error_in_lane(&self, message: &str) -> ScriptError {
        self.error_at(&[Part::Key("lane")], message)
    }

    fn error_at(&self, path: &[Part<'_>], message: &str) -> ScriptError {
        match document::Document::parse(&self.source) {
            Ok(document) => document.error_at(path, message),
            Err(error) => error,
        }
    }
}

/// How hosts run and packets travel. Each lane gives the same run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// Each host in a runtime of its own, over turmoil's sockets, tick by tick.
    Turmoil,
    /// From event to event: for systems whose hosts are a core that takes inputs.
    Core,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turmoil => "turmoil",
            Self::Core => "core",
        })
    }
}

/// A script with some settings on top, which has a name: `raft/race@no-pre-vote` is a variant of `raft/race`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name: lower case letters, digits and `-`.
    pub name: String,
    /// One sentence: what is different, and what comes of it.
    pub about: String,
    /// What it sets, in order; there is at least one.
    pub settings: Vec<Setting>,
}

/// What a link does to packets, one direction. `None`: as the rule below it says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LinkSettings {
    /// One-way latency of a packet.
    pub latency: Option<Latency>,
    /// The chance that a packet is lost, in `[0, 1]`.
    pub loss: Option<f64>,
    /// Losses that come in bursts.
    pub burst: Option<Burst>,
    /// The chance that a datagram arrives twice.
    pub duplicate: Option<f64>,
    /// The chance that a bit of a datagram is flipped.
    pub corrupt: Option<f64>,
    /// Datagrams that arrive out of order.
    pub reorder: Option<Reorder>,
}

/// Burst loss after Gilbert (1960) and Elliott (1963): a link is in a good or a bad state, and moves between them at
/// each packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// The chance to go from good to bad at a packet.
    pub enter: f64,
    /// The chance to go back. The mean burst is `1 / leave` packets.
    pub leave: f64,
    /// The chance that a packet is lost in the bad state. The good state loses what [`LinkSettings::loss`] says.
    pub loss: f64,
}

/// Reordering: a datagram is held back for longer than its latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Reorder {
    /// The chance that a datagram is held back.
    pub chance: f64,
    /// By how much.
    pub extra: Latency,
}

/// Settings for the links from some hosts to others.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkRule {
    /// Senders.
    pub from: Vec<HostPattern>,
    /// Receivers.
    pub to: Vec<HostPattern>,
    /// Whether it holds for the way back too.
    pub both_ways: bool,
    /// What the links do.
    pub settings: LinkSettings,
    /// The line of the script.
    pub line: usize,
}

/// The algorithm that opens and closes TCP's congestion window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Congestion {
    /// Linux's default (RFC 9438).
    Cubic,
    /// RFC 5681.
    Reno,
    /// No congestion window: what the receiver's window allows is sent.
    None,
}

/// What Linux lets one set of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of Linux's")]
pub struct TcpSettings {
    /// The algorithm of the congestion window.
    pub congestion: Congestion,
    /// Segments that may be sent at first.
    pub initial_window: u32,
    /// Selective acknowledgements.
    pub sack: bool,
    /// Loss detection by time.
    pub rack: bool,
    /// Tail loss probes.
    pub probe: bool,
    /// Whether acknowledgements wait for data to ride on.
    pub delayed_ack: bool,
    /// Whether small segments that follow each other are sent again as one.
    pub collapse: bool,
    /// The receive window, in bytes, if it is fixed.
    pub window_bytes: Option<u64>,
    /// The least that a retransmission waits beyond the round trip.
    pub rto_min: Duration,
    /// The timeout of the first SYN.
    pub syn_rto: Duration,
    /// The most that a timeout grows to by doubling.
    pub rto_max: Duration,
    /// Retransmissions of a data segment before the connection is given up.
    pub tries: u32,
    /// Retransmissions of a SYN before the connect is given up, beyond those in equal steps.
    pub syn_tries: u32,
    /// Retransmissions of a SYN in equal steps, before they double.
    pub syn_linear: u32,
    /// Retransmissions of the answer to a SYN.
    pub synack_tries: u32,
}

/// What a host's disk does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskSettings {
    /// How long a sync takes, of a file or of the directory.
    pub sync: Latency,
}

impl Default for DiskSettings {
    fn default() -> Self {
        Self { sync: Latency::Constant(Duration::ZERO) }
    }
}

/// Swarm testing: the seed draws which families of fault exist in this run, how hard each is, and a list of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Chaos {
    /// The families that may be drawn.
    pub families: Vec<Family>,
    /// Hosts that faults of hosts (kill, power, pause, disk) may hit.
    pub hosts: Vec<HostPattern>,
    /// The time between one fault's start and the next one's.
    pub every: Latency,
    /// How long a fault lasts.
    pub lasts: Latency,
    /// When everything heals and the liveness phase begins.
    pub until: Duration,
    /// The line of the script.
    pub line: usize,
}

/// A family of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Packets lost one by one.
    Loss,
    /// Packets lost in bursts.
    Burst,
    /// Latencies that grow and scatter.
    Latency,
    /// Datagrams that arrive twice.
    Duplicate,
    /// Datagrams out of order.
    Reorder,
    /// Datagrams with a flipped bit.
    Corrupt,
    /// Groups of hosts that do not reach each other.
    Partition,
    /// Links that are cut one way.
    OneWay,
    /// Processes that die.
    Kill,
    /// Machines that lose power.
    Power,
    /// Processes that stand still.
    Pause,
    /// Disks whose syncs take long.
    Disk,
    /// What an operator does to the system, if it lets one do something: hands over the lead, say.
    Operator,
    /// Disks that fail. Only where a script names it: what a system does not survive is no fault of it.
    BadDisk,
}

impl Family {
    /// All that can be named.
    pub const EVERY: [Self; 14] = {
        let mut every = [Self::BadDisk; 14];
        let mut place = 0;
        while place < Self::ALL.len() {
            every[place] = Self::ALL[place];
            place += 1;
        }
        every
    };

    /// All that are drawn where a script names none, in the order in which they are drawn.
    pub const ALL: [Self; 13] = [
        Self::Loss,
        Self::Burst,
        Self::Latency,
        Self::Duplicate,
        Self::Reorder,
        Self::Corrupt,
        Self::Partition,
        Self::OneWay,
        Self::Kill,
        Self::Power,
        Self::Pause,
        Self::Disk,
        Self::Operator,
    ];

    /// Its name in scripts and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Burst => "burst",
            Self::Latency => "latency",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt => "corrupt",
            Self::Partition => "partition",
            Self::OneWay => "one-way",
            Self::Kill => "kill",
            Self::Power => "power",
            Self::Pause => "pause",
            Self::Disk => "disk",
            Self::Operator => "operator",
            Self::BadDisk => "bad-disk",
        }
    }
}

/// What the run must end with.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The invariant that must be violated; `None`: none may be.
    pub violation: Option<String>,
    /// Bounds on counters, by name.
    pub counters: BTreeMap<String, (Comparison, usize)>,
    /// What the system itself is to expect: the other keys of `[expect]`.
    pub section: Section,
}

/// Something that must come about in some run of a sweep, though not in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sometimes {
    /// What, in a few words.
    pub name: String,
    /// A run shows it if these counters are within these bounds at its end.
    pub counters: BTreeMap<String, Comparison>,
}

impl Sometimes {
    /// What a run shows in which this counter is above 0.
    pub fn counted(name: &str, counter: &str) -> Self {
        Self { name: name.to_owned(), counters: BTreeMap::from([(counter.to_owned(), Comparison::Above(0))]) }
    }
}

/// A table that a system reads with its own types, kept as text so that its errors name the line.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    pub(crate) source: Arc<Source>,
    /// The table's name at the top level of the script, or in its step.
    pub(crate) name: String,
    /// The place in the script of the step that the table stands in, if it does in one.
    pub(crate) step: Option<usize>,
    /// Keys of the table that have been read already.
    pub(crate) taken: &'static [&'static str],
}
