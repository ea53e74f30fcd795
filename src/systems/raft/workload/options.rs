//! What a script says of the clients.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::script::{Latency, ScriptError, Section, TimeSpan};

const CLIENTS_MAX: u64 = 1000;
const KEYS_MAX: u64 = 10_000;
const VALUE_BYTES_MAX: u64 = crate::raft::kv::VALUE_BYTES_MAX as u64;

/// The table `[raft.clients]`: each client has one call at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::systems::raft) struct Clients {
    /// How many there are.
    pub(super) count: u64,
    /// How long each waits between the end of a call and the next.
    pub(super) think: Latency,
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
    /// After how long without an answer a client asks again.
    pub(super) retry: TimeSpan,
    /// After how long it gives up.
    pub(super) give_up: TimeSpan,
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
            think: Latency::Uniform { min: Duration::ZERO, max: Duration::from_millis(50) },
            from: TimeSpan(Duration::ZERO),
            until: None,
            keys: 5,
            hot: 0.0,
            value_bytes: 0,
            mix: Mix::default(),
            reads: vec![Reads::Index],
            retry: TimeSpan(Duration::from_millis(200)),
            give_up: TimeSpan(Duration::from_secs(2)),
        }
    }
}

impl Clients {
    pub(in crate::systems::raft) fn validate(&self, table: &Section) -> Result<(), ScriptError> {
        let within = |key: &str, value: u64, least: u64, most: u64| {
            let message = format!("expected {least} to {most}");
            if (least..=most).contains(&value) { Ok(()) } else { Err(table.error(&format!("clients.{key}"), message)) }
        };
        within("count", self.count, 1, CLIENTS_MAX)?;
        within("keys", self.keys, 1, KEYS_MAX)?;
        within("value_bytes", self.value_bytes, 0, VALUE_BYTES_MAX)?;
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
        if [get, put, delete, cas, append, scan].iter().all(|weight| *weight == 0) {
            return Err(table.error("clients.mix", "expected a number above 0 for one operation at least"));
        }
        Ok(())
    }
}
