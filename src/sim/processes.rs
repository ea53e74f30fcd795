//! A system's hosts as real processes, for a live run: as plain data, and who understands what they say.

use std::rc::Rc;
use std::time::Duration;

use crate::events::Value;
use crate::rng::Rng;
use crate::script::SystemAction;

use super::Setup;
use super::recorder::Breach;
use super::trace::Record;

/// Looks at every record of a live run; what it finds ends the run.
pub type Watcher = Box<dyn FnMut(&Record) -> Option<Breach>>;

/// What a live run of a script is made of.
pub struct Processes {
    /// The hosts, as many as a simulated run has, with the same names and in the same order.
    pub hosts: Vec<Process>,
    /// The longest IP packet that a host sends, in bytes.
    pub packets: PacketBytes,
    /// Who understands what they say.
    pub witness: Box<dyn Witness>,
}

/// The longest IP packet that a host sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketBytes {
    /// 1,500, as Ethernet has it.
    #[default]
    Ethernet,
    /// As long as IP has them, for a system of datagrams: each is one packet then, and never comes in pieces.
    Datagrams,
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// The program, which stands beside this one. `None`: this one, which plays the host ([`System::play`](super::System::play)).
    pub program: Option<&'static str>,
    /// Its arguments. `{dir}` stands for a directory of its own, `{addr}` for its address, `{incarnation}` for how
    /// often it was started before, `{since}` for how long the run has gone on when it is, in
    /// microseconds.
    pub arguments: Vec<String>,
    /// What is in its directory when it starts: names of files, and their texts.
    pub files: Vec<(&'static str, String)>,
    /// Whether it begins once all others are ready, but for workloads.
    pub last: bool,
    /// Whether the run waits for its end. It begins once all others are ready.
    pub workload: bool,
    /// A regular expression that is found in what it prints when it is ready.
    pub ready: Option<&'static str>,
}

impl Process {
    /// A host that this program plays ([`System::play`](super::System::play)), by the script of `setup`. It tells the event
    /// `listening` when it is ready, unless it is a workload.
    pub fn played(setup: &Setup<'_>, name: String, workload: bool) -> Self {
        let arguments = [
            "part".to_owned(),
            name.clone(),
            "--script={dir}/script.toml".to_owned(),
            format!("--seed={}", setup.seed().0),
            "--incarnation={incarnation}".to_owned(),
            "--since-us={since}".to_owned(),
        ];
        Self {
            name,
            program: None,
            arguments: arguments.into(),
            files: vec![("script.toml", setup.table().source.text.clone())],
            last: false,
            workload,
            ready: (!workload).then_some("\"event\":\"listening\""),
        }
    }
}

/// A host that this program plays in a process of its own.
pub struct Part {
    /// Its name.
    pub host: String,
    /// How often it was started before.
    pub incarnation: u32,
    /// How long the run had gone on when it was started.
    pub since: Duration,
    /// Its randomness, its own in each incarnation.
    pub rng: Rng,
    /// Tells an event, with its fields and what checks go by.
    pub tell: Rc<Tell>,
}

/// Takes an event's name and fields, and what checks go by.
pub type Tell = dyn Fn(&str, Vec<(&'static str, Value)>, serde_json::Value);

/// Understands what real hosts say of themselves, and judges it.
pub trait Witness {
    /// A host has printed a line, which is given with the number of its record. What it says, if it tells an event.
    fn line(&mut self, host: &str, seen: (Duration, u64), line: &str) -> Option<Heard>;

    /// Who is to see every record, if somebody is.
    fn watcher(&mut self) -> Option<Watcher> {
        None
    }

    /// The process of a host is gone.
    fn ended(&mut self, host: &str, seen: (Duration, u64));

    /// Whether the system is in a state that a step's `when` names.
    fn holds(&self, state: &str) -> bool;

    /// The hosts that have a role.
    fn who(&self, role: &str) -> Vec<String>;

    /// Whether what a step of the system's own says was done at the start, by the arguments of its hosts. Of another, real
    /// processes cannot do it.
    fn is_done(&self, step: usize, action: &SystemAction) -> bool;

    /// The run is over.
    fn judge(&mut self, end: &Ending) -> Judgement;
}

/// How a live run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// When.
    pub at: Duration,
    /// Whether the end came upon workloads in the middle of their work.
    pub is_cut_off: bool,
    /// Since when it had been [healed](super::Calm::Healed).
    pub healed: Option<Duration>,
}

/// What a witness says of a run that is over.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What is broken.
    pub breach: Option<Breach>,
    /// Why the run says nothing, if nothing is broken.
    pub doubt: Option<String>,
    /// What is to be read beside the verdict, such as what was not checked, a sentence each.
    pub notes: Vec<String>,
    /// Times that could not be told before, and of what.
    pub times: Vec<(&'static str, Duration)>,
    /// What simulated runs of the system count, and nobody tells of real processes: bounds on it are not checked.
    pub untold: &'static [&'static str],
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
