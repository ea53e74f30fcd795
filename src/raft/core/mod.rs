//! The state machine: an input goes in, and what is to be done about it comes out.

mod election;
mod follow;
mod heartbeat;
mod progress;
mod reads;
mod replication;
mod role;
mod timer;
mod transfer;
pub mod untimed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "planted-bugs")]
pub(super) use role::Ballot;
pub(super) use role::State;
use timer::ElectionTimer;

use super::by_node::ByNode;
use super::config::{Config, ConfigError};
use super::event::{Event, Ignored};
use super::log::{Entry, Log};
use super::message::Message;
#[cfg(feature = "planted-bugs")]
use super::seed_document;
use super::{HardState, Input, LogIndex, LogPosition, NodeId, Output, Role, Status, TERM_MAX, Term};
use crate::rng::Rng;

/// One member's part in the protocol: no socket, no clock, no disk. See the [module](super) for how it is driven.
#[derive(Clone, Debug)]
pub struct Core {
    pub(super) id: NodeId,
    pub(super) config: Arc<Config>,
    /// Every other member.
    peers: ByNode<()>,
    /// `currentTerm` and `votedFor` (figure 2) as they are in memory.
    pub(super) hard_state: HardState,
    /// The same as the last [`Output::Persist`] has them.
    durable: HardState,
    log: Log,
    /// The log from here on has not been given out to be written.
    unwritten_from: LogIndex,
    /// Up to where the log is durable here.
    durable_index: LogIndex,
    /// What was given out to be written and is not durable, in order.
    writes: VecDeque<Write>,
    write_number: u64,
    /// `commitIndex`: up to where the log is known to be committed, and applied.
    commit_index: LogIndex,
    began: Duration,
    pub(super) state: State,
    /// Since when the node has its role.
    since: Duration,
    pub(super) timer: ElectionTimer,
    rng: Rng,
    /// The time of the input at hand.
    pub(super) now: Duration,
    /// The input at hand led to requests for votes, or to heartbeats.
    has_spoken: bool,
    /// What the input at hand has led to so far.
    outputs: Vec<Output>,
}

/// A part of the log that is being written.
#[derive(Clone, Debug)]
struct Write {
    number: u64,
    /// Up to where the log is durable once this is.
    last_index: LogIndex,
    began: Duration,
}

impl Core {
    /// A node that starts at `now` with what its disk has. It is a follower, with its election timer armed.
    pub fn new(
        id: NodeId,
        config: Config,
        hard_state: HardState,
        log: impl Into<Log>,
        rng: Rng,
        now: Duration,
    ) -> Result<Self, ConfigError> {
        config.validate(id)?;
        let log = log.into();
        let (base, last_index) = (log.base(), log.last().last_index);
        let replicates = config.replication.is_some();
        let peers = config.members.iter().filter(|member| **member != id).map(|peer| (*peer, ())).collect();
        let mut core = Self {
            id,
            config: Arc::new(config),
            peers,
            hard_state,
            durable: hard_state,
            log,
            unwritten_from: last_index + 1,
            durable_index: last_index,
            writes: VecDeque::new(),
            write_number: 0,
            // What is compacted was applied; a log that stands still has nothing committed.
            commit_index: if replicates { base.last_index } else { 0 },
            began: now,
            state: State::Follower { leader: None },
            since: now,
            timer: ElectionTimer::default(),
            rng,
            now,
            has_spoken: false,
            outputs: Vec::new(),
        };
        core.arm_timer();
        core.outputs.clear();
        Ok(core)
    }

    /// The event that tells of the start, for the driver to emit before any other.
    pub fn booted(&self) -> Event {
        let timer_at = self.timer.due().expect("a node starts with its timer armed");
        Event::Booted { term: self.term(), voted_for: self.voted_for(), timer_at }
    }

    /// Takes one input at `now` and returns what follows from it, to be executed strictly in order: a `Persist` must
    /// have reached the disk before the next output is begun.
    pub fn step(&mut self, now: Duration, input: Input) -> Vec<Output> {
        self.pass(now);
        #[cfg(feature = "planted-bugs")]
        if planted!(self, SeedDocument) {
            seed_document::step(self, &input);
            return std::mem::take(&mut self.outputs);
        }
        match input {
            Input::Tick => self.on_tick(),
            Input::Message { from, message } => self.on_message(from, &message),
            Input::TransferLeadership { to } => self.on_transfer(to),
            Input::Propose { commands } => self.on_propose(commands),
            Input::Read { id, by } => self.on_read(id, by),
            Input::Synced { number } => self.on_synced(number),
        }
        self.write();
        std::mem::take(&mut self.outputs)
    }

    /// [`step`](Self::step) with an [`Input::Message`] that stays where it is.
    pub fn receive(&mut self, now: Duration, from: NodeId, message: &Message) -> Vec<Output> {
        if planted!(self, SeedDocument) {
            return self.step(now, Input::Message { from, message: message.clone() });
        }
        self.pass(now);
        self.on_message(from, message);
        self.write();
        std::mem::take(&mut self.outputs)
    }

    fn pass(&mut self, now: Duration) {
        assert!(now >= self.now, "{}: time went back from {:?} to {now:?}", self.id, self.now);
        self.now = now;
        self.has_spoken = false;
        self.timer.age();
    }

    /// What a [`Persist`](Output::Persist) of the last step had written is durable, and meanwhile it has become `now`. A node
    /// that waits for its disk hears nobody: its election timer, if that step armed it, and the time until it asks again
    /// begin only now.
    pub fn written(&mut self, now: Duration) {
        let began = std::mem::replace(&mut self.now, now);
        assert!(now >= began, "{}: time went back from {began:?} to {now:?}", self.id);
        if planted!(self, TimerRunsWhileWriting) {
            return;
        }
        self.timer.begin_anew(now);
        let again = now + self.config.heartbeat;
        match &mut self.state {
            State::PreCandidate { resend_at, .. } | State::Candidate { resend_at, .. } if self.has_spoken => {
                *resend_at = resend_at.map(|_| again);
            }
            State::Leader(lead) if self.has_spoken => lead.heartbeat_at = again,
            _ => {}
        }
    }

    /// Takes back what [`step`](Self::step) returned, once it is done: the next step need not ask for memory then.
    pub fn reuse(&mut self, mut outputs: Vec<Output>) {
        outputs.clear();
        self.outputs = outputs;
    }

    /// The next election timeout is this one, instead of a drawn one: also that of the timer that runs already, and
    /// again at each arming until it has run out.
    pub fn pin_next_timeout(&mut self, timeout: Duration) {
        self.timer.pin(timeout);
    }

    /// The log's last entry is this one: what elections compare (§5.4.1), where logs stand still.
    pub fn set_log_position(&mut self, log: LogPosition) {
        assert!(self.config.replication.is_none(), "a log that is replicated is what it is");
        self.log = log.into();
    }

    /// The log's last entry.
    #[inline]
    pub(super) fn last_log(&self) -> LogPosition {
        self.log.last()
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The entry at an index, which is kept as long as it is not compacted.
    pub fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.log.get(index)
    }

    /// When the node next wants a [`Input::Tick`], on the clock that `now` is read from.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            _ if planted!(self, SeedDocument) => self.timer.due(),
            State::Leader(lead) => Some(self.lead_deadline(lead)),
            State::Follower { .. } => self.timer.due(),
            State::PreCandidate { resend_at, .. } | State::Candidate { resend_at, .. } => {
                self.timer.due().into_iter().chain(*resend_at).min()
            }
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.state.role()
    }

    /// `currentTerm`.
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// `votedFor`: whom it voted for in its term.
    pub fn voted_for(&self) -> Option<NodeId> {
        self.hard_state.voted_for
    }

    /// The leader of its term, where it knows one; itself when it leads.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.state {
            State::Follower { leader } => leader.as_ref().map(|leader| leader.id),
            State::Leader(_) => Some(self.id),
            State::PreCandidate { .. } | State::Candidate { .. } => None,
        }
    }

    /// All that there is to know of it at once.
    pub fn status(&self) -> Status {
        Status {
            id: self.id,
            role: self.role(),
            term: self.term(),
            voted_for: self.voted_for(),
            leader: self.leader(),
            since: self.since,
            timer_at: self.timer.due(),
            log: self.log.last(),
            commit: self.commit_index,
            durable: self.durable_index,
        }
    }

    fn on_message(&mut self, from: NodeId, message: &Message) {
        if !self.is_peer(from) {
            return self.ignore(from, message, Ignored::NotAPeer);
        }
        if message.term() > TERM_MAX {
            return self.ignore(from, message, Ignored::TermTooHigh);
        }
        match message {
            Message::PreVote(ask) => self.on_pre_vote(from, ask),
            Message::PreVoteResponse(answer) => self.on_pre_vote_response(from, answer.clone()),
            Message::RequestVote(ask) => self.on_request_vote(from, ask),
            Message::RequestVoteResponse(answer) => self.on_request_vote_response(from, answer.clone()),
            Message::AppendEntries(append) => self.on_append_entries(from, append),
            Message::AppendEntriesResponse(answer) => self.on_append_entries_response(from, answer),
            Message::TimeoutNow(now) => self.on_timeout_now(from, now.clone()),
        }
    }

    fn on_tick(&mut self) {
        match &self.state {
            State::Leader(_) => self.on_lead_tick(),
            _ if self.timer.is_due(self.now) => {
                self.timer.unpin();
                self.campaign();
            }
            State::PreCandidate { resend_at: Some(at), .. } | State::Candidate { resend_at: Some(at), .. } => {
                if *at <= self.now {
                    self.ask_silent_peers();
                }
            }
            State::Follower { .. } | State::PreCandidate { .. } | State::Candidate { .. } => {}
        }
    }

    /// Every other member, in order.
    pub(super) fn peers(&self) -> Vec<NodeId> {
        self.peers.nodes().collect()
    }

    /// Whether this is another member.
    #[inline]
    pub(super) fn is_peer(&self, id: NodeId) -> bool {
        self.peers.get(id).is_some()
    }

    pub(super) fn quorum(&self) -> usize {
        if planted!(self, HalfIsAQuorum) {
            return (self.config.members.len() / 2).max(1);
        }
        self.config.quorum()
    }

    /// The only place where the term changes, and the only one that frees the vote.
    fn set_term(&mut self, term: Term) {
        let from = self.term();
        assert!(term > from, "{}: the term must grow, from {from} to {term}", self.id);
        self.hard_state = HardState { term, voted_for: None };
        self.emit(Event::TermRaised { from, to: term });
    }

    fn vote_for(&mut self, candidate: NodeId) {
        let free = self.voted_for().is_none_or(|voted| voted == candidate) || planted!(self, LeaderVotesAgain);
        assert!(free, "{}: the vote of term {} is {:?}'s, not {candidate}'s", self.id, self.term(), self.voted_for());
        self.hard_state.voted_for = Some(candidate);
    }

    /// Has term and vote written before what comes next.
    pub(super) fn persist(&mut self) {
        if planted!(self, ReplyBeforeSync) {
            return;
        }
        self.write();
    }

    fn write(&mut self) {
        if self.durable == self.hard_state || planted!(self, VoteNotPersisted) {
            return;
        }
        if planted!(self, TermWithoutVoteNotWritten) && self.voted_for().is_none() {
            return;
        }
        if planted!(self, TwoWrites) && self.durable.term != self.term() && self.voted_for().is_some() {
            self.outputs.push(Output::Persist(HardState { term: self.term(), voted_for: None }));
        }
        self.outputs.push(Output::Persist(self.hard_state));
        self.durable = self.hard_state;
    }

    /// **Invariant:** whatever a message gives away of term and vote is durable before it leaves.
    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        self.persist();
        self.outputs.push(Output::Send { to, message });
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    pub(super) fn ignore(&mut self, from: NodeId, message: &Message, why: Ignored) {
        self.emit(Event::Ignored { from, message: message.name(), term: message.term(), why });
    }
}
