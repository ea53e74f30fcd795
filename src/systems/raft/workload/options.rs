//! What a script says of the clients.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::raft::client::Patience;
use crate::script::{Latency, ScriptError, Section, TimeSpan};

const CLIENTS_MAX: u64 = 1000;
const KEYS_MAX: u64 = 10_000;
const VALUE_BYTES_MAX: u64 = crate::raft::kv::VALUE_BYTES_MAX as u64;

const THINK: Latency = Latency::Uniform { min: Duration::ZERO, max: Duration::from_millis(50) };

/// The table `[raft.clients]`: each client has one call at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::systems::raft) struct Clients {
    /// How many there are.
    pub(super) count: u64,
    /// How long each waits between the end of a call and the next, in a closed loop.
    think: Option<Latency>,
    /// In an open loop: how long after it was to begin a call it is to begin the next, whether or not that one is over. A
    /// call that is to begin when another is not over begins after that, and its time counts from when it was to begin.
    every: Option<Latency>,
    /// When they begin.
    pub(super) from: TimeSpan,
    /// When they begin no more calls; never, unless it is given.
    pub(super) until: Option<TimeSpan>,
    /// How many keys there are.
    pub(super) keys: u64,
    /// The share of calls that go to the first key; the others go to any.
    pub(super) hot: f64,
    /// How long values are, in bytes, at the least.
    pub(super) value_bytes: u64,
    /// How often each operation is called, in proportion.
    pub(super) mix: Mix,
    /// How reads are made: for each call one of these is drawn.
    pub(super) reads: Vec<Reads>,
    /// What they speak.
    pub(in crate::systems::raft) over: Over,
    /// After how long without an answer a client asks again.
    pub(super) retry: TimeSpan,
    /// After how long it gives up.
    pub(super) give_up: TimeSpan,
}

/// What clients speak.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(in crate::systems::raft) enum Over {
    /// The cluster's own datagrams.
    #[default]
    Datagrams,
    /// HTTP, to fronts that ask the cluster for them: in the turmoil lane.
    Http,
}

impl Over {
    pub(in crate::systems::raft) fn is_http(self) -> bool {
        self == Self::Http
    }
}

/// How often each operation is called, in proportion.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mix {
    /// Reads of one key.
    pub(super) get: u32,
    /// Writes.
    pub(super) put: u32,
    /// Removals.
    pub(super) delete: u32,
    /// Writes that compare first.
    pub(super) cas: u32,
    /// Additions to a value.
    pub(super) append: u32,
    /// Reads of all keys.
    pub(super) scan: u32,
}

/// How a read is made.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reads {
    /// Through the log.
    Log,
    /// By a round of heartbeats.
    Index,
    /// By the leader's lease, where it has one.
    Lease,
    /// Of whatever a node has. Such reads are not checked.
    Stale,
}

impl Default for Mix {
    fn default() -> Self {
        Self { get: 5, put: 4, delete: 1, cas: 2, append: 2, scan: 0 }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            count: 3,
            think: None,
            every: None,
            from: TimeSpan(Duration::ZERO),
            until: None,
            keys: 5,
            hot: 0.0,
            value_bytes: 0,
            mix: Mix::default(),
            reads: vec![Reads::Index],
            over: Over::Datagrams,
            retry: TimeSpan(Duration::from_millis(200)),
            give_up: TimeSpan(Duration::from_secs(2)),
        }
    }
}

/// What a client's calls follow each other by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So long after the end of the last.
    Closed(Latency),
    /// So long after the last was to begin.
    Open(Latency),
}

impl Clients {
    /// How whoever asks the cluster asks.
    pub(in crate::systems::raft) fn patience(&self) -> Patience {
        Patience { retry: self.retry.0, deadline: self.give_up.0 }
    }

    pub(super) fn pace(&self) -> Pace {
        self.every.map_or_else(|| Pace::Closed(self.think.unwrap_or(THINK)), Pace::Open)
    }

    pub(in crate::systems::raft) fn validate(&self, table: &Section) -> Result<(), ScriptError> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            let message = format!("expected {least} to {most}");
            if (least..=most).contains(&value) { Ok(()) } else { Err(table.error(&format!("clients.{key}"), message)) }
        };
        within("count", self.count, 1, CLIENTS_MAX)?;
        within("keys", self.keys, 1, KEYS_MAX)?;
        within("value_bytes", self.value_bytes, 0, VALUE_BYTES_MAX)?;
        if self.think.is_some() && self.every.is_some() {
            let message = "expected either this, an open loop, or `think`, a closed one";
            return Err(table.error("clients.every", message));
        }
        if self.every.is_some_and(|every| every.middle().is_zero()) {
            return Err(table.error("clients.every", "expected a time above 0"));
        }
        if !(0.0..=1.0).contains(&self.hot) {
            return Err(table.error("clients.hot", "expected a share from 0 to 1"));
        }
        if self.reads.is_empty() {
            return Err(table.error("clients.reads", "expected one of log, index, lease and stale, or several"));
        }
        if self.retry.0.is_zero() || self.give_up.0 < self.retry.0 {
            return Err(table.error("clients.retry", "expected a time above 0 and not above `give_up`"));
        }
        let Mix { get, put, delete, cas, append, scan } = self.mix;
        if self.over.is_http() && scan > 0 {
            return Err(table.error("clients.mix", "expected no `scan`: there is none over HTTP"));
        }
        if [get, put, delete, cas, append, scan].iter().all(|weight| *weight == 0) {
            return Err(table.error("clients.mix", "expected a number above 0 for one operation at least"));
        }
        Ok(())
    }
}
