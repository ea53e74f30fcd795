//! The roles, what a node holds only while it has one, and the only functions that change it.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::Core;
use super::progress::Progress;
use crate::raft::by_node::ByNode;
use crate::raft::event::Event;
use crate::raft::{LogIndex, NodeId, Role, Term};

/// A role with its data, which is gone with the role: a vote cannot outlive its candidacy.
#[derive(Clone, Debug)]
pub(in crate::raft) enum State {
    /// Follows the leader of the term, once it knows one.
    Follower {
        /// Whom, and when it was last heard.
        leader: Option<Contact>,
    },
    /// Asks for pre-votes.
    PreCandidate {
        /// The answers.
        ballot: Ballot,
        /// When it asks those again who did not answer.
        resend_at: Option<Duration>,
    },
    /// Asks for votes.
    Candidate {
        /// The answers.
        ballot: Ballot,
        /// When it asks those again who did not answer.
        resend_at: Option<Duration>,
        /// The leader told it to.
        transfer: bool,
    },
    /// Leads.
    Leader(Lead),
}

/// A leader, as its follower knows it.
#[derive(Clone, Debug)]
pub(in crate::raft) struct Contact {
    pub(super) id: NodeId,
    pub(super) heard_at: Duration,
    /// The latest of its `AppendEntries` that came.
    pub(super) round: u64,
    /// Up to where its messages say that the log is its own.
    pub(super) vouched: LogIndex,
    /// Up to where it was told that this is durable here.
    pub(super) acknowledged: LogIndex,
}

impl Contact {
    pub(super) fn new(id: NodeId, heard_at: Duration) -> Self {
        Self { id, heard_at, round: 0, vouched: 0, acknowledged: 0 }
    }
}

/// Who answered a candidate. Sets, not counters: a vote that arrives twice is one vote.
#[derive(Clone, Debug, Default)]
pub(in crate::raft) struct Ballot {
    pub(in crate::raft) granted: BTreeSet<NodeId>,
    pub(super) refused: BTreeSet<NodeId>,
    /// How many votes came twice, for the bug that counts them.
    #[cfg(feature = "planted-bugs")]
    pub(super) twice: usize,
}

/// What a leader holds.
#[derive(Clone, Debug)]
pub(in crate::raft) struct Lead {
    pub(super) progress: ByNode<Progress>,
    /// When the next heartbeat is due.
    pub(super) heartbeat_at: Duration,
    /// The handing over that is under way.
    pub(super) transfer: Option<Transfer>,
    /// A time by which a majority had answered, not always the latest: what spares most look at all peers.
    pub(super) contact_known: Cell<Duration>,
    /// The latest `AppendEntries` of this lead, counted from 1.
    pub(super) round: u64,
    /// The reads that wait, in the order in which they were asked.
    pub(super) reads: VecDeque<PendingRead>,
    /// A successor was told to campaign: for this one nobody stands by the leader, whenever it comes.
    pub(super) gave_up_lease: bool,
}

/// A read that waits for its round to be answered.
#[derive(Clone, Debug)]
pub(in crate::raft) struct PendingRead {
    /// Whose.
    pub(super) id: u64,
    /// What it must see at least; `None`: the leader has committed nothing in its term as yet.
    pub(super) index: Option<LogIndex>,
    /// The first message that was sent after it was asked.
    pub(super) round: u64,
}

/// A transfer of leadership that has not come to its end.
#[derive(Clone, Debug)]
pub(in crate::raft) struct Transfer {
    pub(super) to: NodeId,
    /// When the leader gives up on it.
    pub(super) abort_at: Duration,
    /// `TimeoutNow` was sent at least once.
    pub(super) told: bool,
}

impl State {
    pub(super) fn role(&self) -> Role {
        match self {
            Self::Follower { .. } => Role::Follower,
            Self::PreCandidate { .. } => Role::PreCandidate,
            Self::Candidate { .. } => Role::Candidate,
            Self::Leader(_) => Role::Leader,
        }
    }
}

impl Core {
    /// Follows in `term`, which is this one or a later one. Who was no leader keeps its timer running: only a leader
    /// that is heard and a vote that is granted start it afresh.
    pub(super) fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        let was = self.role();
        if term > self.term() {
            self.set_term(term);
        } else if planted!(self, StepDownClearsVote) {
            self.hard_state.voted_for = None;
        }
        let heard_at = self.now;
        self.enter(State::Follower { leader: leader.map(|id| Contact::new(id, heard_at)) });
        self.emit(Event::BecameFollower { term: self.term(), was, leader });
        if was == Role::Leader && leader.is_none() && !planted!(self, DemotedTimerUnarmed) {
            self.arm_timer();
        }
    }

    /// Begins to ask for pre-votes. Neither term nor vote change.
    pub(super) fn become_pre_candidate(&mut self) {
        let resend_at = self.resend_at();
        self.enter(State::PreCandidate { ballot: Ballot::default(), resend_at });
        self.emit(Event::BecamePreCandidate { term: self.term() });
        self.arm_timer();
    }

    /// Begins an election in the next term, with its own vote.
    pub(super) fn become_candidate(&mut self, transfer: bool) {
        self.set_term(self.term() + 1);
        self.vote_for(self.id);
        let resend_at = self.resend_at();
        self.enter(State::Candidate { ballot: Ballot::default(), resend_at, transfer });
        self.emit(Event::BecameCandidate { term: self.term(), transfer });
        self.arm_timer();
    }

    /// Leads the term that it was elected in.
    pub(in crate::raft) fn become_leader(&mut self) {
        let State::Candidate { ballot, .. } = &self.state else {
            panic!("{}: only a candidate is elected, not a {}", self.id, self.role());
        };
        let voters = ballot.granted.iter().copied().collect();
        let window = self.window();
        let fresh = Progress::new(self.now, self.log.last().last_index, &window);
        let progress = self.peers().into_iter().map(|peer| (peer, fresh.clone())).collect();
        self.timer.stop();
        self.enter(State::Leader(Lead {
            progress,
            heartbeat_at: self.now,
            transfer: None,
            contact_known: Cell::new(self.now),
            round: 0,
            reads: VecDeque::new(),
            gave_up_lease: false,
        }));
        self.emit(Event::BecameLeader { term: self.term(), voters });
    }

    fn enter(&mut self, state: State) {
        if state.role() != self.role() {
            self.since = self.now;
        }
        if let State::Leader(lead) = std::mem::replace(&mut self.state, state) {
            self.decline_reads(&lead);
        }
    }

    fn resend_at(&self) -> Option<Duration> {
        self.config.resend.then(|| self.now + self.config.heartbeat)
    }
}
