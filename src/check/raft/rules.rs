//! What a node is to be after a step, and what it is to say: figure 2 of the paper, with the options of the dissertation,
//! as a function of what the node was, what it took in and when.
//!
//! Written anew, and not asked of the core: what is checked must not do the checking. Only one thing is left open, the
//! timeout that an election timer is armed with.

use std::sync::Arc;
use std::time::Duration;

use crate::raft::by_node::ByNode;
use crate::raft::message::{
    AppendEntries, AppendEntriesResponse, PreVote, PreVoteResponse, RequestVote, RequestVoteResponse,
};
use crate::raft::{Config, LogPosition, Message, NodeId, Role, Status, TERM_MAX, Term};

/// What a step begins with.
pub(super) enum Input<'a> {
    /// A message of a member.
    Message(NodeId, &'a Message),
    /// Somebody wants the lead handed over.
    Transfer(NodeId),
    /// The deadline has come.
    Tick,
}

/// What is known of a node between two steps, beside its status. Times are on its own clock.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// When it last heard its leader.
    pub(super) heard_at: Duration,
    /// Who answered its candidacy, and what.
    pub(super) answers: ByNode<bool>,
    /// The leader told it to campaign.
    pub(super) is_successor: bool,
    /// When it last asked for votes, or sent heartbeats.
    pub(super) spoke_at: Duration,
    /// Of a leader's peers, when each last answered, and up to where its log is the leader's.
    pub(super) peers: ByNode<(Duration, u64)>,
    /// The successor that a leader was given, when the leader gives up on it, and whether it was told.
    pub(super) transfer: Option<(NodeId, Duration, bool)>,
}

/// What is to become of an election timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// It runs on.
    Kept,
    /// It starts afresh.
    Afresh,
    /// Who leads has none.
    Off,
}

/// What a node is to be after a step.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) role: Role,
    pub(super) term: Term,
    pub(super) voted_for: Option<NodeId>,
    pub(super) leader: Option<NodeId>,
    pub(super) timer: Timer,
    /// What the sender of the message is told.
    pub(super) answer: Option<Message>,
    /// Whether and how `AppendEntries` are answered depends on the log, and the checks of that see to it.
    pub(super) answer_is_free: bool,
    /// It is to speak to all peers that have not answered it: it asks for votes, or is heard as the leader.
    pub(super) speaks: bool,
    /// Whom it tells to campaign.
    pub(super) timeout_now: Option<NodeId>,
}

/// The rules of a cluster with these settings.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) config: Arc<Config>,
    quorum: usize,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        Self { config: Arc::new(config.clone()), quorum: config.members.len() / 2 + 1 }
    }

    /// What is due of a node that was `before` and takes in `input` at `now`; `known` is brought up to then.
    pub(super) fn step(&self, before: &Status, known: &mut Known, input: &Input<'_>, now: Duration) -> Due {
        let due = Due::nothing(before);
        match *input {
            Input::Message(_, message) if message.term() > TERM_MAX => due,
            Input::Message(from, message) => self.hear(before, known, due, from, message, now),
            Input::Transfer(to) => self.transfer(before, known, due, to, now),
            Input::Tick if before.role == Role::Leader => self.lead(known, due, now),
            Input::Tick => self.wait(before, known, due, now),
        }
    }

    fn hear(&self, b: &Status, known: &mut Known, mut due: Due, from: NodeId, message: &Message, now: Duration) -> Due {
        match message {
            Message::PreVote(ask) => {
                due.answer = Some(Message::PreVoteResponse(self.pre_vote(b, known, ask, now)));
            }
            Message::RequestVote(ask) => self.vote(b, known, &mut due, from, ask, now),
            Message::AppendEntries(append) => {
                follow(b, known, &mut due, from, append, now);
                if self.config.replication.is_some() && append.term >= b.term {
                    (due.answer, due.answer_is_free) = (None, true);
                }
            }
            Message::TimeoutNow(told) if told.term >= due.term => {
                due.learn(told.term);
                if due.role != Role::Leader {
                    self.campaign(b, known, &mut due, true, now);
                }
            }
            Message::PreVoteResponse(answer) if answer.term > due.term => due.learn(answer.term),
            Message::PreVoteResponse(answer) => {
                if due.role == Role::PreCandidate && answer.request_term == due.term {
                    known.count(from, answer.vote_granted);
                    if answer.vote_granted && known.votes() >= self.quorum {
                        self.campaign(b, known, &mut due, false, now);
                    }
                }
            }
            Message::RequestVoteResponse(answer) if answer.term > due.term => due.learn(answer.term),
            Message::RequestVoteResponse(answer) => {
                if due.role == Role::Candidate && answer.term == due.term {
                    known.count(from, answer.vote_granted);
                    if answer.vote_granted && known.votes() >= self.quorum {
                        self.win(b, known, &mut due, now);
                    }
                }
            }
            Message::AppendEntriesResponse(answer) if answer.term > due.term => due.learn(answer.term),
            Message::AppendEntriesResponse(answer) => self.answered(b, known, &mut due, from, answer, now),
            Message::TimeoutNow(_) => {}
        }
        due
    }

    /// Whether it has a leader that it heard within the least timeout, or is one that a majority answered within it.
    fn is_led(&self, b: &Status, known: &Known, now: Duration) -> bool {
        // Who has just started may have heard a leader before, and where there are leases that binds it.
        let leases = self.config.replication.as_ref().is_some_and(|replication| replication.lease.is_some());
        if leases && now < self.config.election_timeout_min {
            return true;
        }
        let heard_at = match b.role {
            Role::Leader => self.contact(known, now),
            Role::Follower if b.leader.is_some() => known.heard_at,
            _ => return false,
        };
        self.config.leader_stickiness && now < heard_at + self.config.election_timeout_min
    }

    /// When a majority had last answered a leader; itself it hears always.
    fn contact(&self, known: &Known, now: Duration) -> Duration {
        let mut contacts: Vec<Duration> = known.peers.values().map(|(at, _)| *at).collect();
        contacts.sort_unstable();
        // Of n members the leader is one: of the others, as many as make a majority with it.
        let others = self.quorum - 1;
        contacts.len().checked_sub(others).and_then(|place| contacts.get(place)).copied().unwrap_or(now)
    }

    fn pre_vote(&self, b: &Status, known: &Known, ask: &PreVote, now: Duration) -> PreVoteResponse {
        let log = LogPosition { last_index: ask.last_log_index, last_term: ask.last_log_term };
        let vote_granted = ask.term >= b.term && !self.is_led(b, known, now) && is_up_to_date(log, b.log);
        PreVoteResponse { term: b.term, request_term: ask.term, vote_granted }
    }

    fn vote(&self, b: &Status, known: &Known, due: &mut Due, from: NodeId, ask: &RequestVote, now: Duration) {
        if ask.term > b.term {
            if !ask.transfer && self.is_led(b, known, now) {
                return;
            }
            due.learn(ask.term);
        }
        let log = LogPosition { last_index: ask.last_log_index, last_term: ask.last_log_term };
        let is_free = match due.voted_for {
            Some(voted_for) => voted_for == from,
            None => is_up_to_date(log, b.log),
        };
        let vote_granted = ask.term == due.term && is_free;
        if vote_granted {
            due.voted_for = Some(from);
            if due.role != Role::Leader {
                due.timer = Timer::Afresh;
            }
        }
        due.answer = Some(Message::RequestVoteResponse(RequestVoteResponse { term: due.term, vote_granted }));
    }

    fn answered(
        &self,
        b: &Status,
        known: &mut Known,
        due: &mut Due,
        from: NodeId,
        answer: &AppendEntriesResponse,
        now: Duration,
    ) {
        if answer.term < b.term || b.role != Role::Leader {
            return;
        }
        let (_, before) = known.peers.get(from).copied().unwrap_or_default();
        let matched = if answer.success { before.max(answer.match_index) } else { before };
        known.peers.insert(from, (now, matched));
        known.give_up(now);
        if known.transfer.is_some_and(|(to, ..)| to == from) {
            due.timeout_now = self.tell_successor(b, known);
        }
    }

    fn transfer(&self, b: &Status, known: &mut Known, mut due: Due, to: NodeId, now: Duration) -> Due {
        let is_known = known.transfer.is_some_and(|(pending, ..)| pending == to);
        if b.role == Role::Leader && known.peers.get(to).is_some() && !is_known {
            known.transfer = Some((to, now + self.config.election_timeout_max, false));
            due.timeout_now = self.tell_successor(b, known);
        }
        due
    }

    /// A successor is told once its log is the leader's, and again, should that have been lost.
    fn tell_successor(&self, b: &Status, known: &mut Known) -> Option<NodeId> {
        let (to, _, is_told) = known.transfer.as_mut()?;
        let (_, matched) = known.peers.get(*to).copied()?;
        if matched < b.log.last_index || (*is_told && !self.config.resend) {
            return None;
        }
        *is_told = true;
        Some(*to)
    }

    fn lead(&self, known: &mut Known, mut due: Due, now: Duration) -> Due {
        let alone = now.saturating_sub(self.contact(known, now));
        if self.config.check_quorum && !known.peers.is_empty() && alone >= self.config.election_timeout_max {
            (due.role, due.leader, due.timer) = (Role::Follower, None, Timer::Afresh);
            return due;
        }
        known.give_up(now);
        due.speaks = known.spoke_at + self.config.heartbeat <= now;
        due
    }

    fn wait(&self, b: &Status, known: &mut Known, mut due: Due, now: Duration) -> Due {
        if b.timer_at.is_some_and(|at| at <= now) {
            if self.config.pre_vote {
                (due.role, due.leader, due.timer, due.speaks) = (Role::PreCandidate, None, Timer::Afresh, true);
                known.campaigns(b.id, false);
                if known.votes() >= self.quorum {
                    self.campaign(b, known, &mut due, false, now);
                }
            } else {
                self.campaign(b, known, &mut due, false, now);
            }
        } else if matches!(b.role, Role::PreCandidate | Role::Candidate) {
            due.speaks = self.config.resend && known.spoke_at + self.config.heartbeat <= now;
        }
        due
    }

    fn campaign(&self, b: &Status, known: &mut Known, due: &mut Due, is_successor: bool, now: Duration) {
        (due.role, due.term, due.voted_for, due.leader) = (Role::Candidate, due.term + 1, Some(b.id), None);
        (due.timer, due.speaks) = (Timer::Afresh, true);
        known.campaigns(b.id, is_successor);
        if known.votes() >= self.quorum {
            self.win(b, known, due, now);
        }
    }

    fn win(&self, b: &Status, known: &mut Known, due: &mut Due, now: Duration) {
        (due.role, due.leader, due.timer, due.speaks) = (Role::Leader, Some(b.id), Timer::Off, true);
        let peers = self.config.members.iter().filter(|member| **member != b.id);
        known.peers = peers.map(|peer| (*peer, (now, 0))).collect();
        known.transfer = None;
    }

    /// When a node that is this is to speak again, or to campaign, at the latest.
    pub(super) fn deadline(&self, status: &Status, known: &Known) -> Option<Duration> {
        let again = known.spoke_at + self.config.heartbeat;
        match status.role {
            Role::Leader => Some(known.transfer.map_or(again, |(_, abort_at, _)| abort_at.min(again))),
            Role::PreCandidate | Role::Candidate if self.config.resend => Some(status.timer_at?.min(again)),
            _ => status.timer_at,
        }
    }

    /// Whom a node speaks to that is this now: all of its peers who have not answered.
    pub(super) fn spoken_to<'a>(
        &'a self,
        due: &Due,
        known: &'a Known,
        id: NodeId,
    ) -> impl Iterator<Item = NodeId> + 'a {
        let leads = due.role == Role::Leader;
        let is_silent = move |peer: &NodeId| *peer != id && (leads || known.answers.get(*peer).is_none());
        self.config.members.iter().copied().filter(is_silent)
    }
}

/// A leader of this term or of a newer one is followed; one of an older term is told the term.
fn follow(b: &Status, known: &mut Known, due: &mut Due, from: NodeId, append: &AppendEntries, now: Duration) {
    let is_current = append.term >= b.term;
    if append.term == b.term && b.role == Role::Leader {
        return;
    }
    if is_current {
        due.learn(append.term);
        (due.role, due.leader, due.timer) = (Role::Follower, Some(from), Timer::Afresh);
        known.heard_at = now;
    }
    let there = (append.prev_log_index, append.prev_log_term) == (b.log.last_index, b.log.last_term);
    let success = is_current && (append.prev_log_index == 0 || there);
    let match_index = if success { append.prev_log_index } else { 0 };
    let answer = AppendEntriesResponse { term: due.term, success, match_index, round: append.round, conflict: None };
    due.answer = Some(Message::AppendEntriesResponse(answer));
}

/// §5.4.1.
fn is_up_to_date(log: LogPosition, than: LogPosition) -> bool {
    log.last_term > than.last_term || (log.last_term == than.last_term && log.last_index >= than.last_index)
}

impl Due {
    pub(super) fn nothing(before: &Status) -> Self {
        let &Status { role, term, voted_for, leader, .. } = before;
        let timer = if role == Role::Leader { Timer::Off } else { Timer::Kept };
        Self {
            role,
            term,
            voted_for,
            leader,
            timer,
            answer: None,
            answer_is_free: false,
            speaks: false,
            timeout_now: None,
        }
    }

    /// Rules for all servers: a newer term is entered, as a follower.
    fn learn(&mut self, term: Term) {
        if term <= self.term {
            return;
        }
        if self.role == Role::Leader {
            self.timer = Timer::Afresh;
        }
        (self.role, self.term, self.voted_for, self.leader) = (Role::Follower, term, None, None);
    }
}

impl Known {
    fn campaigns(&mut self, id: NodeId, is_successor: bool) {
        self.answers = ByNode::default();
        self.answers.insert(id, true);
        self.is_successor = is_successor;
    }

    fn count(&mut self, from: NodeId, granted: bool) {
        let granted = granted || self.answers.get(from) == Some(&true);
        self.answers.insert(from, granted);
    }

    fn votes(&self) -> usize {
        self.answers.values().filter(|granted| **granted).count()
    }

    fn give_up(&mut self, now: Duration) {
        self.transfer = self.transfer.filter(|(_, abort_at, _)| *abort_at > now);
    }
}
