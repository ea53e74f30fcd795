//! What a script says of a Raft cluster: its table, and its keys in `[expect]`.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng as _;
use schemars::JsonSchema;
use serde::Deserialize;

use super::workload::Clients;
use crate::check::raft::{Conditions, Scope};
use crate::raft::config::{ConfigError, MEMBERS_MAX, Replication};
use crate::raft::{ClockRate, Config, LogPosition, NodeId};
use crate::rng::between;
use crate::script::{Latency, ScriptError, Section, Setting, TimeSpan};
use crate::sim::Setup;
use crate::systems::consensus::conditions;

/// The most that clocks may differ from the right time, as a fraction of it.
const DRIFT_MAX: f64 = 0.5;

/// The table `[raft]` of a script: a cluster whose nodes are called n1, n2 and so on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// How many nodes there are, or a list of numbers of which each seed draws one.
    nodes: Nodes,
    /// What election timeouts are drawn from: a range, or one time for all.
    election_timeout: Latency,
    /// Election timeouts are drawn in steps of this.
    timeout_resolution: TimeSpan,
    /// The time between a leader's heartbeats.
    heartbeat: TimeSpan,
    /// Ask whether an election could be won before raising the term for it.
    pre_vote: Switch,
    /// A leader that no majority answers steps down.
    check_quorum: Switch,
    /// A node that has just heard from its leader disregards candidates.
    leader_stickiness: Switch,
    /// A candidate asks again those who have not answered.
    resend: Switch,
    /// By how much clocks run fast or slow at most, as a fraction: 0.05 is 5 %. Each node's rate is drawn.
    clock_drift: f64,
    /// The last entry of single nodes' logs; the others' are empty. Or each seed draws them.
    logs: Logs,
    /// Logs are replicated, and so; they are where there are `clients`, too. Else they stand still, and there are elections
    /// and nothing else.
    replication: Option<ReplicationTable>,
    /// Clients of the cluster, called c1, c2 and so on.
    clients: Option<Clients>,
    /// The planted bug that all nodes run with, in a build that has them.
    bug: Option<String>,
    /// Which checks are made.
    check: Checks,
    /// The run ends once all steps are done and a majority follows a leader.
    until_led: bool,
    /// The run ends once a client's call was answered.
    until_answered: bool,
}

impl Default for Options {
    fn default() -> Self {
        let config = Config::new([]);
        Self {
            nodes: Nodes::Number(3),
            election_timeout: Latency::Uniform { min: config.election_timeout_min, max: config.election_timeout_max },
            timeout_resolution: TimeSpan(config.timeout_resolution),
            heartbeat: TimeSpan(config.heartbeat),
            pre_vote: Switch::Set(true),
            check_quorum: Switch::Set(true),
            leader_stickiness: Switch::Set(true),
            resend: Switch::Set(true),
            clock_drift: 0.0,
            logs: Logs::Given(BTreeMap::new()),
            replication: None,
            clients: None,
            bug: None,
            check: Checks::default(),
            until_led: false,
            until_answered: false,
        }
    }
}

/// How many nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number of nodes such as 3, or a list such as [3, 5, 7]")]
enum Nodes {
    /// So many.
    Number(u64),
    /// One of these.
    OneOf(Vec<u64>),
}

/// Something that is on, off, or drawn by each seed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "true, false or \"drawn\"")]
enum Switch {
    /// As it says.
    Set(bool),
    /// Each seed draws.
    Drawn(Drawn),
}

/// Each seed draws.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Drawn {
    /// With even odds.
    Drawn,
}

/// What the nodes' logs are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"drawn\", or a table such as { n1 = { last_index = 3, last_term = 1 } }")]
enum Logs {
    /// Every other seed has logs of which some are behind.
    Drawn(Drawn),
    /// By node.
    Given(BTreeMap<String, Log>),
}

/// The last entry of a log.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Log {
    /// Its index.
    last_index: u64,
    /// Its term.
    last_term: u64,
}

/// Which checks are made: all, or as few as others make, for comparison.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Checks {
    /// All of them.
    #[default]
    All,
    /// One leader per term, over history.
    OneLeaderPerTerm,
    /// One leader per term at each moment.
    LeadersOfOneMoment,
}

/// How logs are replicated.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ReplicationTable {
    /// Entries are put into one message as long as they come to at most so many bytes.
    batch_bytes: u64,
    /// The most entries in a message.
    batch_entries: u64,
    /// How many messages with entries may be under way to a peer, at the least and at the most.
    window: [u32; 2],
    /// Leaders answer reads by lease, with clocks that are off by this much at the most, as a fraction.
    lease: Option<f64>,
}

impl Default for ReplicationTable {
    fn default() -> Self {
        let Replication { batch_bytes, batch_entries, window, .. } = Replication::default();
        let (batch_bytes, batch_entries) = (batch_bytes as u64, batch_entries as u64);
        Self { batch_bytes, batch_entries, window: [*window.start(), *window.end()], lease: None }
    }
}

impl ReplicationTable {
    fn understand(&self) -> Replication {
        let many = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is too much is refused later")]
        let lease = self.lease.map(|drift| libm::round(drift.max(0.0) * 1e6) as u32);
        Replication {
            batch_bytes: many(self.batch_bytes),
            batch_entries: many(self.batch_entries),
            window: self.window[0]..=self.window[1],
            lease,
            ..Replication::default()
        }
    }
}

/// The cluster that a script and a seed come to.
pub(super) struct Cluster {
    pub(super) config: Config,
    pub(super) logs: BTreeMap<NodeId, LogPosition>,
    pub(super) clocks: BTreeMap<NodeId, ClockRate>,
    pub(super) scope: Scope,
    pub(super) conditions: Conditions,
    pub(super) until_led: bool,
    pub(super) until_answered: bool,
    pub(super) clients: Option<Clients>,
}

impl Cluster {
    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> {
        self.config.members.iter().copied()
    }
}

impl Options {
    /// Whether there are clients which speak HTTP.
    pub(super) fn speaks_http(&self) -> bool {
        self.clients.as_ref().is_some_and(|clients| clients.over.is_http())
    }

    /// Draws what is to be drawn and says what makes no sense.
    pub(super) fn cluster(&self, setup: &Setup<'_>) -> Result<Cluster, ScriptError> {
        let table = setup.table();
        let mut rng = setup.rng("raft");
        let count = self.count(table, &mut rng)?;
        let mut config = Config::new((1..=count).map(NodeId));
        (config.election_timeout_min, config.election_timeout_max) = self.timeouts(table)?;
        config.timeout_resolution = self.timeout_resolution.0;
        config.heartbeat = self.heartbeat.0;
        // Each is drawn whether or not it is used, so that setting one does not move the others.
        let mut drawn = |switch| {
            let even = rng.random_bool(0.5);
            match switch {
                Switch::Set(on) => on,
                Switch::Drawn(Drawn::Drawn) => even,
            }
        };
        config.pre_vote = drawn(self.pre_vote);
        config.check_quorum = drawn(self.check_quorum);
        config.leader_stickiness = drawn(self.leader_stickiness);
        config.resend = drawn(self.resend);
        plant(&mut config, self.bug.as_deref()).map_err(|message| table.error("bug", message))?;
        self.replicate(table, &mut config)?;
        let key = |error: &ConfigError| if error.is_about_replication() { "replication" } else { "heartbeat" };
        config.validate(NodeId(1)).map_err(|error| table.error(key(&error), error.to_string()))?;
        let clocks = self.clocks(table, &config, &mut rng)?;
        let (logs, scope, until_led) = (self.logs(setup, &config)?, self.check.into(), self.until_led);
        let log = |id: &NodeId| logs.get(id).copied().unwrap_or_default();
        let same_logs = config.members.iter().all(|id| log(id) == log(&NodeId(1)));
        let same_logs = same_logs && config.replication.is_none();
        let conditions = conditions::of(setup.script(), self.clock_drift, same_logs);
        let clients = self.clients.clone();
        clients.iter().try_for_each(|clients| clients.validate(table))?;
        let until_answered = self.until_answered;
        Ok(Cluster { config, logs, clocks, scope, conditions, until_led, until_answered, clients })
    }

    /// Logs are replicated, or stand still.
    fn replicate(&self, table: &Section, config: &mut Config) -> Result<(), ScriptError> {
        if self.replication.is_none() && self.clients.is_none() {
            return Ok(());
        }
        if !matches!(&self.logs, Logs::Given(logs) if logs.is_empty()) {
            let message = "these stand in for logs, and here logs are replicated: leave out one or the other";
            return Err(table.error("logs", message));
        }
        config.replication = Some(self.replication.clone().unwrap_or_default().understand());
        Ok(())
    }

    /// What the seed draws, said.
    pub(super) fn drawn(&self, setup: &Setup<'_>) -> Result<Vec<Setting>, ScriptError> {
        let Cluster { config, logs, .. } = self.cluster(setup)?;
        let mut said = Vec::new();
        if matches!(self.nodes, Nodes::OneOf(_)) {
            said.push(("nodes", config.members.len().to_string()));
        }
        let switches = [
            ("pre_vote", self.pre_vote, config.pre_vote),
            ("check_quorum", self.check_quorum, config.check_quorum),
            ("leader_stickiness", self.leader_stickiness, config.leader_stickiness),
            ("resend", self.resend, config.resend),
        ];
        let drawn = switches.into_iter().filter(|(_, switch, _)| matches!(switch, Switch::Drawn(_)));
        said.extend(drawn.map(|(key, _, on)| (key, on.to_string())));
        if matches!(self.logs, Logs::Drawn(_)) {
            let log = |(id, log): (&NodeId, &LogPosition)| {
                format!("{id} = {{ last_index = {}, last_term = {} }}", log.last_index, log.last_term)
            };
            let logs: Vec<String> = logs.iter().map(log).collect();
            said.push(("logs", if logs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", logs.join(", ")) }));
        }
        let setting = |(key, value): (&str, String)| {
            let setting = Setting::new(&format!("raft.{key}"), &value);
            setting.map_err(|message| setup.table().error(key, message))
        };
        said.into_iter().map(setting).collect()
    }

    /// How fast each node's clock is, in words; none where all are right.
    pub(super) fn clocks_drawn(&self, setup: &Setup<'_>) -> Result<Option<String>, ScriptError> {
        let right = f64::from(ClockRate::default().0);
        let clocks = self.cluster(setup)?.clocks;
        let off = |rate: ClockRate| (f64::from(rate.0) / right - 1.0) * 100.0;
        let words: Vec<String> = clocks.iter().map(|(id, rate)| format!("{id} {:+.2} %", off(*rate))).collect();
        Ok((self.clock_drift > 0.0).then(|| words.join(", ")))
    }

    fn count(&self, table: &Section, rng: &mut crate::rng::Rng) -> Result<u64, ScriptError> {
        let counts = match &self.nodes {
            Nodes::Number(count) => std::slice::from_ref(count),
            Nodes::OneOf(counts) => counts.as_slice(),
        };
        let drawn = between(rng, 0, (counts.len().max(1) - 1) as u64);
        if counts.is_empty() || counts.iter().any(|count| !(1..=MEMBERS_MAX as u64).contains(count)) {
            return Err(table.error("nodes", format!("expected 1 to {MEMBERS_MAX} nodes")));
        }
        Ok(counts[usize::try_from(drawn).expect("a place in the list")])
    }

    fn timeouts(&self, table: &Section) -> Result<(Duration, Duration), ScriptError> {
        match self.election_timeout {
            Latency::Constant(timeout) => Ok((timeout, timeout)),
            Latency::Uniform { min, max } => Ok((min, max)),
            _ => Err(table.error("election_timeout", "expected a range such as \"150ms..300ms\", or one time")),
        }
    }

    fn clocks(
        &self,
        table: &Section,
        config: &Config,
        rng: &mut crate::rng::Rng,
    ) -> Result<BTreeMap<NodeId, ClockRate>, ScriptError> {
        if !(0.0..=DRIFT_MAX).contains(&self.clock_drift) {
            return Err(table.error("clock_drift", format!("expected a fraction from 0 to {DRIFT_MAX}")));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most half a million")]
        let drift = libm::round(self.clock_drift * 1e6) as u64;
        let right = u64::from(ClockRate::default().0);
        let rate = |_| between(rng, right - drift, right + drift);
        let rates: Vec<u64> = config.members.iter().map(rate).collect();
        let rates = rates.into_iter().map(|rate| ClockRate(u32::try_from(rate).expect("below two million")));
        Ok(config.members.iter().copied().zip(rates).collect())
    }

    fn logs(&self, setup: &Setup<'_>, config: &Config) -> Result<BTreeMap<NodeId, LogPosition>, ScriptError> {
        let table = setup.table();
        let Logs::Given(logs) = &self.logs else {
            return Ok(draw_logs(config, &mut setup.rng("logs")));
        };
        let log = |(name, log): (&String, &Log)| {
            let id = node(name, config).map_err(|message| table.error(&format!("logs.{name}"), message))?;
            Ok((id, LogPosition { last_index: log.last_index, last_term: log.last_term }))
        };
        logs.iter().map(log).collect()
    }
}

/// Logs of which some are behind, for every other seed; else none.
fn draw_logs(config: &Config, rng: &mut crate::rng::Rng) -> BTreeMap<NodeId, LogPosition> {
    if rng.random_bool(0.5) {
        return BTreeMap::new();
    }
    let log = |_: &NodeId| LogPosition { last_index: between(rng, 1, 3), last_term: between(rng, 1, 2) };
    let logs: Vec<LogPosition> = config.members.iter().map(log).collect();
    config.members.iter().copied().zip(logs).collect()
}

/// Plants the bug of this name in every node.
#[cfg(feature = "planted-bugs")]
pub(super) fn plant(config: &mut Config, bug: Option<&str>) -> Result<(), String> {
    config.bug =
        bug.map(str::parse).transpose().map_err(|error: crate::raft::planted::UnknownBug| error.to_string())?;
    Ok(())
}

/// Says that there are none to plant.
#[cfg(not(feature = "planted-bugs"))]
pub(super) fn plant(_: &mut Config, bug: Option<&str>) -> Result<(), String> {
    let none = "this build has no planted bugs: build it with `--features planted-bugs`";
    bug.map_or(Ok(()), |_| Err(none.to_owned()))
}

/// The node of this name.
pub(super) fn node(name: &str, config: &Config) -> Result<NodeId, String> {
    let id = name.strip_prefix('n').and_then(|number| number.parse().ok()).map(NodeId);
    id.filter(|id| config.members.contains(id) && id.to_string() == *name).ok_or_else(|| {
        let last = config.members.last().map_or(0, |id| id.0);
        format!("`{name}` is no node: they are n1 to n{last}")
    })
}

impl From<Checks> for Scope {
    fn from(checks: Checks) -> Self {
        match checks {
            Checks::All => Self::All,
            Checks::OneLeaderPerTerm => Self::OneLeaderPerTerm,
            Checks::LeadersOfOneMoment => Self::LeadersOfOneMoment,
        }
    }
}

/// The keys of `[expect]` that are of this system.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    leader: Option<LeaderName>,
    by: Option<TimeSpan>,
    stable_from: Option<TimeSpan>,
}

/// What the script says of the leader in the end.
#[derive(Clone, Debug, Deserialize)]
struct LeaderName(String);

/// What a script expects of the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// Whatever comes.
    Any,
    /// A majority follows somebody in the end.
    Some,
    /// It follows nobody.
    None,
    /// It follows the leader that it followed first, in the same term.
    Unchanged,
    /// It follows a leader, and not the first one, or in another term.
    Changed,
    /// It follows this one.
    Node(NodeId),
}

/// [`Expect`], understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// What it says; where it says nothing, there is one as soon as there has to be.
    pub(super) leader: Option<Leader>,
    /// A majority has a leader for the first time by then.
    pub(super) by: Option<Duration>,
    /// From then on the lead does not change.
    pub(super) stable_from: Option<Duration>,
}

impl Expect {
    pub(super) fn understand(&self, section: &Section, config: &Config) -> Result<Expected, ScriptError> {
        let understood = |leader: &LeaderName| {
            Ok(match leader.0.as_str() {
                "any" => Leader::Any,
                "some" => Leader::Some,
                "none" => Leader::None,
                "unchanged" => Leader::Unchanged,
                "changed" => Leader::Changed,
                name => Leader::Node(node(name, config).map_err(|_| {
                    let message =
                        format!("`{name}` is no node, and none of `some`, `none`, `any`, `unchanged` and `changed`");
                    section.error("leader", message)
                })?),
            })
        };
        let leader = self.leader.as_ref().map(understood).transpose()?;
        Ok(Expected { leader, by: self.by.map(|by| by.0), stable_from: self.stable_from.map(|from| from.0) })
    }
}
