//! A cluster whose messages are moved by hand, so that a test reads as a dialogue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::config::Replication;
use super::log::{Entry, Log, Payload};
use super::message::{AppendEntries, AppendEntriesResponse, PreVote, RequestVote, RequestVoteResponse, TimeoutNow};
use super::{
    Config, Core, Declined, Event, HardState, Input, LogChange, LogIndex, LogPosition, LogWrite, Message, NodeId,
    Output, ReadBy, Role, Term,
};
use crate::rng::Seed;

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub from: NodeId,
    pub to: NodeId,
    pub message: Message,
}

struct Node {
    core: Core,
    disk: HardState,
    boots: u64,
    /// The log as it is durable.
    file: Vec<Entry>,
    /// What is written and not durable.
    writes: VecDeque<LogWrite>,
    /// Its disk does not sync by itself.
    is_slow: bool,
    /// What the state machine has been given since the start.
    applied: Vec<String>,
    reads: Vec<(u64, Result<LogIndex, Declined>)>,
    declined: Vec<Declined>,
}

impl Node {
    fn new(core: Core) -> Self {
        Self {
            core,
            disk: HardState::default(),
            boots: 0,
            file: Vec::new(),
            writes: VecDeque::new(),
            is_slow: false,
            applied: Vec::new(),
            reads: Vec::new(),
            declined: Vec::new(),
        }
    }

    fn apply(&mut self, through: LogIndex) {
        for index in self.applied.len() as u64 + 1..=through {
            let entry = self.core.entry(index).expect("what is committed is there");
            self.applied.push(shown(entry));
        }
    }

    /// The oldest write is durable.
    fn sync_one(&mut self) -> Option<u64> {
        let LogWrite { number, change } = self.writes.pop_front()?;
        match change {
            LogChange::Append { first, entries } => {
                assert_eq!(first, self.file.len() as u64 + 1, "the log on disk has no gap");
                self.file.extend(entries);
            }
            LogChange::Truncate { from } => self.file.truncate(usize::try_from(from - 1).expect("few entries")),
        }
        Some(number)
    }
}

/// An entry as `term:command`; a blank one as `term:`.
fn shown(entry: &Entry) -> String {
    let command = entry.command().map_or_else(String::new, |command| String::from_utf8_lossy(command).into_owned());
    format!("{}:{command}", entry.term)
}

/// Entries from `term:command`.
pub(super) fn entries(shown: &[&str]) -> Vec<Entry> {
    let entry = |shown: &&str| {
        let (term, command) = shown.split_once(':').expect("term:command");
        let command = Bytes::from(command.to_owned());
        let payload = if command.is_empty() { Payload::Blank } else { Payload::Command(command) };
        Entry { term: term.parse().expect("a term"), payload }
    };
    shown.iter().map(entry).collect()
}
/// Cores, their disks, and what is between them. Time stands still except in [`fire`](Self::fire),
/// [`drive`](Self::drive) and [`wait`](Self::wait).
pub(super) struct Cluster {
    pub now: Duration,
    pub flying: Vec<Envelope>,
    pub events: Vec<(NodeId, Event)>,
    nodes: BTreeMap<NodeId, Node>,
    cuts: BTreeSet<(NodeId, NodeId)>,
    dead: BTreeSet<NodeId>,
}

pub(super) fn n(id: u64) -> NodeId {
    NodeId(id)
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn request_vote(term: Term) -> Message {
    Message::RequestVote(RequestVote { term, last_log_index: 0, last_log_term: 0, transfer: false })
}

pub(super) fn request_vote_with_log(term: Term, last_log_term: Term, last_log_index: u64) -> Message {
    Message::RequestVote(RequestVote { term, last_log_index, last_log_term, transfer: false })
}

pub(super) fn pre_vote(term: Term) -> Message {
    Message::PreVote(PreVote { term, last_log_index: 0, last_log_term: 0 })
}

pub(super) fn vote(term: Term, vote_granted: bool) -> Message {
    Message::RequestVoteResponse(RequestVoteResponse { term, vote_granted })
}

pub(super) fn heartbeat(term: Term) -> Message {
    let (prev_log_index, prev_log_term) = (0, 0);
    let (entries, leader_commit, round) = (vec![], 0, 0);
    Message::AppendEntries(AppendEntries { term, prev_log_index, prev_log_term, entries, leader_commit, round })
}

pub(super) fn heard(term: Term) -> Message {
    Message::AppendEntriesResponse(AppendEntriesResponse {
        term,
        success: true,
        match_index: 0,
        round: 0,
        conflict: None,
    })
}

pub(super) fn timeout_now(term: Term) -> Message {
    Message::TimeoutNow(TimeoutNow { term })
}

impl Cluster {
    /// `size` fresh nodes with every option on.
    pub fn new(size: u64) -> Self {
        Self::with(size, |_| {})
    }

    /// `size` fresh nodes with the paper's figure 2 and nothing more.
    pub fn plain(size: u64) -> Self {
        Self::with(size, |config| {
            config.pre_vote = false;
            config.check_quorum = false;
            config.leader_stickiness = false;
        })
    }

    /// `size` fresh nodes that replicate a log.
    pub fn replicating(size: u64) -> Self {
        Self::replicating_with(size, |_| {})
    }

    pub fn replicating_with(size: u64, adjust: impl Fn(&mut Replication)) -> Self {
        Self::with(size, |config| {
            let mut replication = Replication::default();
            adjust(&mut replication);
            config.replication = Some(replication);
        })
    }

    /// `size` fresh nodes.
    pub fn with(size: u64, adjust: impl Fn(&mut Config)) -> Self {
        let mut config = Config::new((1..=size).map(NodeId));
        adjust(&mut config);
        let mut cluster = Self {
            now: Duration::ZERO,
            flying: Vec::new(),
            events: Vec::new(),
            nodes: BTreeMap::new(),
            cuts: BTreeSet::new(),
            dead: BTreeSet::new(),
        };
        for id in 1..=size {
            let core = boot(n(id), &config, HardState::default(), Log::default(), 0, Duration::ZERO);
            cluster.nodes.insert(n(id), Node::new(core));
        }
        cluster
    }

    pub fn core(&self, id: u64) -> &Core {
        &self.nodes[&n(id)].core
    }

    pub fn core_mut(&mut self, id: u64) -> &mut Core {
        &mut self.nodes.get_mut(&n(id)).expect("a member").core
    }

    pub fn disk(&self, id: u64) -> HardState {
        self.nodes[&n(id)].disk
    }

    pub fn role(&self, id: u64) -> Role {
        self.core(id).role()
    }

    pub fn term(&self, id: u64) -> Term {
        self.core(id).term()
    }

    pub fn terms(&self) -> Vec<Term> {
        self.nodes.values().map(|node| node.core.term()).collect()
    }

    /// Who leads, among those alive.
    pub fn leaders(&self) -> Vec<u64> {
        let leads = |(id, node): (&NodeId, &Node)| (node.core.role() == Role::Leader).then_some(*id);
        self.nodes.iter().filter_map(leads).filter(|id| !self.dead.contains(id)).map(|id| id.0).collect()
    }

    /// Whether `id` emitted such an event.
    pub fn saw(&self, id: u64, what: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(at, event)| *at == n(id) && what(event))
    }

    /// What the node's last step wrote took so long.
    pub fn written(&mut self, id: u64, took: Duration) {
        self.now += took;
        let now = self.now;
        self.core_mut(id).written(now);
    }

    /// Gives `id` an input and executes what follows: disk, messages, events.
    pub fn step(&mut self, id: u64, input: Input) -> Vec<Output> {
        let from = n(id);
        let node = self.nodes.get_mut(&from).expect("a member");
        let outputs = node.core.step(self.now, input);
        for output in outputs.clone() {
            match output {
                Output::Persist(state) => node.disk = state,
                Output::Send { to, message } => {
                    if !self.cuts.contains(&(from, to)) && !self.dead.contains(&to) {
                        self.flying.push(Envelope { from, to, message });
                    }
                }
                Output::Event(event) => self.events.push((from, event)),
                Output::Write(write) => node.writes.push_back(write),
                Output::Apply { through } => node.apply(through),
                Output::Declined(why) => node.declined.push(why),
                Output::Read { id, outcome } => node.reads.push((id, outcome)),
            }
        }
        if !node.is_slow {
            self.sync(id);
        }
        outputs
    }

    /// What `id` has written becomes durable.
    pub fn sync(&mut self, id: u64) {
        let node = self.nodes.get_mut(&n(id)).expect("a member");
        let mut last = None;
        while let Some(number) = node.sync_one() {
            last = Some(number);
        }
        if let Some(number) = last {
            self.step(id, Input::Synced { number });
        }
    }

    /// From now on the disk of `id` syncs only when it is told to.
    pub fn slow_disk(&mut self, id: u64) {
        self.nodes.get_mut(&n(id)).expect("a member").is_slow = true;
    }

    /// `id` is asked to replicate a command.
    pub fn propose(&mut self, id: u64, command: &'static str) -> Vec<Output> {
        self.step(id, Input::Propose { commands: vec![Bytes::from_static(command.as_bytes())] })
    }

    /// `id` is asked to serve a read.
    pub fn read(&mut self, id: u64, read: u64, by: ReadBy) {
        self.step(id, Input::Read { id: read, by });
    }

    pub fn reads(&self, id: u64) -> &[(u64, Result<LogIndex, Declined>)] {
        &self.nodes[&n(id)].reads
    }

    pub fn declined(&self, id: u64) -> &[Declined] {
        &self.nodes[&n(id)].declined
    }

    /// The log of `id` in memory, as `term:command`.
    pub fn log(&self, id: u64) -> Vec<String> {
        self.core(id).log().entries_from(1).map(shown).collect()
    }

    /// What `id` has applied since it started.
    pub fn applied(&self, id: u64) -> &[String] {
        &self.nodes[&n(id)].applied
    }

    /// `id` starts with this log, in this term.
    pub fn give_entries(&mut self, id: u64, term: Term, shown: &[&str]) {
        let node = self.nodes.get_mut(&n(id)).expect("a member");
        node.file = entries(shown);
        node.disk = HardState { term, voted_for: None };
        self.restart(id);
    }

    /// Gives `to` a message as if `from` had sent it, and returns what `to` sends back.
    pub fn tell(&mut self, from: u64, to: u64, message: Message) -> Option<Message> {
        let outputs = self.step(to, Input::Message { from: n(from), message });
        let back = |output| match output {
            Output::Send { to, message } if to == n(from) => Some(message),
            _ => None,
        };
        outputs.into_iter().find_map(back)
    }

    /// Lets the election timer of `id` run out, and of nobody else.
    pub fn fire(&mut self, id: u64) {
        let due = self.core(id).status().timer_at.expect("its timer is armed");
        self.now = self.now.max(due);
        self.step(id, Input::Tick);
    }

    /// Delivers what flies, and what that leads to, until nothing does.
    pub fn deliver(&mut self) {
        self.deliver_where(|_| true);
    }

    /// The same with only those that pass; the others stay in the air.
    pub fn deliver_where(&mut self, passes: impl Fn(&Envelope) -> bool) {
        while let Some(index) = self.flying.iter().position(&passes) {
            let Envelope { from, to, message } = self.flying.remove(index);
            self.step(to.0, Input::Message { from, message });
        }
    }

    /// Takes out of the air what flies from one to another.
    pub fn take(&mut self, from: u64, to: u64) -> Vec<Message> {
        let (taken, left) =
            std::mem::take(&mut self.flying).into_iter().partition(|e| e.from == n(from) && e.to == n(to));
        self.flying = left;
        taken.into_iter().map(|envelope: Envelope| envelope.message).collect()
    }

    /// Loses all that flies.
    pub fn lose(&mut self) {
        self.flying.clear();
    }

    /// Lets time pass without anybody noticing.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets time pass on a network without delay: timers run out, messages arrive at once.
    pub fn drive(&mut self, time: Duration) {
        let end = self.now + time;
        self.deliver();
        while let Some((at, id)) = self.next_deadline().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.step(id.0, Input::Tick);
            self.deliver();
        }
        self.now = end;
    }

    fn next_deadline(&self) -> Option<(Duration, NodeId)> {
        let alive = self.nodes.iter().filter(|(id, _)| !self.dead.contains(id));
        alive.filter_map(|(id, node)| Some((node.core.deadline()?, *id))).min()
    }

    /// `id` campaigns and wins.
    pub fn elect(&mut self, id: u64) {
        self.fire(id);
        self.deliver();
        assert_eq!(self.leaders(), [id], "{:#?}", self.events);
    }

    /// `id` campaigns and wins, and what it says as the leader stays in the air.
    pub fn elect_without_entries(&mut self, id: u64) {
        self.fire(id);
        self.deliver_where(|envelope| !matches!(envelope.message, Message::AppendEntries(_)));
        assert_eq!(self.role(id), Role::Leader, "{:#?}", self.events);
    }

    /// `id`, which was dead, goes on as it was.
    pub fn revive(&mut self, id: u64) {
        self.dead.remove(&n(id));
    }

    /// Messages between the two are lost, until [`heal`](Self::heal).
    pub fn cut(&mut self, a: u64, b: u64) {
        self.cut_one_way(a, b);
        self.cut_one_way(b, a);
    }

    pub fn cut_one_way(&mut self, from: u64, to: u64) {
        self.cuts.insert((n(from), n(to)));
    }

    pub fn isolate(&mut self, id: u64) {
        let others: Vec<_> = self.nodes.keys().filter(|other| other.0 != id).map(|other| other.0).collect();
        others.into_iter().for_each(|other| self.cut(id, other));
    }

    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// `id` is dead: it neither hears nor wakes.
    pub fn kill(&mut self, id: u64) {
        self.dead.insert(n(id));
        self.flying.retain(|envelope| envelope.to != n(id));
    }

    /// `id` starts (again) with what its disk has.
    pub fn restart(&mut self, id: u64) {
        self.dead.remove(&n(id));
        let node = self.nodes.get_mut(&n(id)).expect("a member");
        node.boots += 1;
        let log = match node.core.config().replication {
            Some(_) => Log::new(LogPosition::default(), node.file.clone()),
            None => node.core.status().log.into(),
        };
        node.writes.clear();
        node.applied.clear();
        node.core = boot(n(id), &node.core.config().clone(), node.disk, log, node.boots, self.now);
    }

    /// `id` has a log that ends so.
    pub fn give_log(&mut self, id: u64, last_term: Term, last_index: u64) {
        self.core_mut(id).set_log_position(LogPosition { last_index, last_term });
    }

    /// `id` starts with this on its disk.
    pub fn give_disk(&mut self, id: u64, term: Term, voted_for: Option<u64>) {
        let disk = HardState { term, voted_for: voted_for.map(n) };
        self.nodes.get_mut(&n(id)).expect("a member").disk = disk;
        self.restart(id);
    }
}

fn boot(id: NodeId, config: &Config, disk: HardState, log: Log, boots: u64, now: Duration) -> Core {
    let rng = Seed(7).stream(&format!("{id} boot {boots}"));
    Core::new(id, config.clone(), disk, log, rng, now).expect("a valid configuration")
}
