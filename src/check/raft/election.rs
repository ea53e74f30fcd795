//! E1 to E8: what must hold of each event of each node, given all that went before.

use std::time::Duration;

use super::Seen;
use super::history::{Checked, History};
use crate::raft::by_node::ByNode;
use crate::raft::server::Event;
use crate::raft::{Config, Event as CoreEvent, HardState, Message, NodeId, Role, Status, Term};
use crate::sim::Breach;

const E3: &str = "E3 durable before sent";
const E4: &str = "E4 terms never fall";
const E5: &str = "E5 honest terms";
const E7: &str = "E7 legal roles";
const E8: &str = "E8 an armed timer";

#[derive(Clone)]
pub(super) struct Election {
    quorum: usize,
    timeout_max: Duration,
    history: History,
    nodes: ByNode<Node>,
}

/// A node, as its events tell of it.
#[derive(Clone)]
struct Node {
    role: Role,
    /// The term in which it took on its role.
    role_term: Term,
    role_seen: Seen,
    /// The term in memory.
    term: Term,
    term_seen: Seen,
    disk: HardState,
    disk_seen: Seen,
    /// The longest election timeout that it was ever told to have, where that is beyond the settings'.
    timeout_allowed: Duration,
}

impl Election {
    pub(super) fn new(config: &Config) -> Self {
        let start = (Duration::ZERO, 0);
        let node = |id: &NodeId| {
            let node = Node {
                role: Role::Follower,
                role_term: 0,
                role_seen: start,
                term: 0,
                term_seen: start,
                disk: HardState::default(),
                disk_seen: start,
                timeout_allowed: Duration::ZERO,
            };
            (*id, node)
        };
        Self {
            // Counted here and not asked of the settings: what is checked must not do the checking.
            quorum: config.members.len() / 2 + 1,
            timeout_max: config.election_timeout_max,
            history: History::default(),
            nodes: config.members.iter().map(node).collect(),
        }
    }

    pub(super) fn allow_timeout(&mut self, id: NodeId, timeout: Duration) {
        let node = self.node(id);
        node.timeout_allowed = node.timeout_allowed.max(timeout);
    }

    pub(super) fn event(&mut self, id: NodeId, seen: Seen, event: &Event) -> Checked {
        match event {
            Event::Loaded(state) => self.loaded(id, seen, *state),
            Event::Persisted(state) => self.persisted(id, seen, *state),
            Event::Sending { to, message } => self.sending(id, seen, *to, message),
            Event::Core(event) => self.core(id, seen, event),
            Event::Stepped { status, done, .. } => self.stepped(seen, status, *done),
            Event::Received { .. }
            | Event::Commanded(_)
            | Event::Rejected { .. }
            | Event::SendFailed { .. }
            | Event::SocketError { .. } => Ok(()),
        }
    }

    pub(super) fn write_memory(&self, name: &dyn Fn(NodeId) -> u8, bytes: &mut Vec<u8>) {
        let node = |(id, node): (NodeId, &Node)| {
            let disk = (node.disk.term, node.disk.voted_for.map_or(0, name));
            (name(id), node.role as u8, node.role_term, node.term, disk)
        };
        let mut nodes: Vec<_> = self.nodes.iter().map(node).collect();
        nodes.sort_unstable();
        for (name, role, role_term, term, (disk_term, vote)) in nodes {
            bytes.extend([name, role, vote]);
            [role_term, term, disk_term].iter().for_each(|term| bytes.extend(term.to_le_bytes()));
        }
        self.history.write(name, bytes);
    }

    #[inline]
    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(id).expect("only members are watched")
    }

    /// A node starts with what is on its disk. A write that a power loss cut off may have completed after all.
    fn loaded(&mut self, id: NodeId, seen: Seen, state: HardState) -> Checked {
        self.persisted(id, seen, state)?;
        let node = self.node(id);
        (node.role, node.role_term, node.role_seen) = (Role::Follower, state.term, seen);
        (node.term, node.term_seen) = (state.term, seen);
        Ok(())
    }

    fn persisted(&mut self, id: NodeId, seen: Seen, state: HardState) -> Checked {
        let node = self.node(id);
        let (before, (at, record)) = (node.disk, node.disk_seen);
        if state.term < before.term {
            let text = format!("the durable term of {id} fell from {} to {}", before.term, state.term);
            let breach = Breach::new(E4, text).fact(at, record, format!("{id} had term {} on disk", before.term));
            return now(breach, seen, format!("{id} has term {} on disk", state.term));
        }
        (node.disk, node.disk_seen) = (state, seen);
        state.voted_for.map_or(Ok(()), |candidate| self.history.votes(id, state.term, candidate, seen))
    }

    pub(super) fn sending(&mut self, id: NodeId, seen: Seen, to: NodeId, message: &Message) -> Checked {
        let node = self.node(id);
        let (term, (at, record)) = (node.term, node.term_seen);
        if message.term() > term {
            let breach = Breach::new(E5, format!("{id} is in term {term} and sends {message}"));
            let breach = breach.fact(at, record, format!("{id} entered term {term}"));
            return now(breach, seen, format!("{id} sends {message} to {to}"));
        }
        let is_durable = self.is_durable(id, seen, to, message);
        match message {
            Message::RequestVote(ask) => self.vote_leaves(id, seen, ask.term, id),
            Message::RequestVoteResponse(answer) if answer.vote_granted => self.vote_leaves(id, seen, answer.term, to),
            Message::AppendEntries(append) => self.history.leads(id, append.term, seen),
            Message::TimeoutNow(told) => self.history.leads(id, told.term, seen),
            _ => Ok(()),
        }?;
        is_durable
    }

    /// Figure 2: persistent state is updated on stable storage before responding to RPCs, whatever the response.
    #[inline]
    fn is_durable(&mut self, id: NodeId, seen: Seen, to: NodeId, message: &Message) -> Checked {
        let node = self.node(id);
        let (term, (at, record), durable) = (node.term, node.term_seen, node.disk.term);
        if durable >= term {
            return Ok(());
        }
        let text = format!("{id} says {message} in term {term}, and its disk has term {durable}");
        let breach = Breach::new(E3, text).fact(at, record, format!("{id} entered term {term}"));
        now(breach, seen, format!("{id} sends {message} to {to}"))
    }

    fn vote_leaves(&mut self, id: NodeId, seen: Seen, term: Term, candidate: NodeId) -> Checked {
        // First whether it may be given at all: a second vote is the graver finding.
        self.history.votes(id, term, candidate, seen)?;
        let node = self.node(id);
        let (disk, (at, record)) = (node.disk, node.disk_seen);
        if disk == (HardState { term, voted_for: Some(candidate) }) {
            return Ok(());
        }
        let on_disk = match disk.voted_for {
            Some(voted_for) => format!("term {} with a vote for {voted_for}", disk.term),
            None => format!("term {} without a vote", disk.term),
        };
        let text = format!("the vote of {id} for {candidate} in term {term} leaves, and its disk has {on_disk}");
        let breach = Breach::new(E3, text).fact(at, record, format!("{id} had {on_disk} on disk"));
        now(breach, seen, format!("{id} votes for {candidate} in term {term}"))
    }

    fn core(&mut self, id: NodeId, seen: Seen, event: &CoreEvent) -> Checked {
        match *event {
            CoreEvent::TermRaised { to, .. } => {
                let node = self.node(id);
                (node.term, node.term_seen) = (to, seen);
                Ok(())
            }
            CoreEvent::BecameFollower { term, .. } => self.becomes(id, seen, Role::Follower, term),
            CoreEvent::BecamePreCandidate { term } => self.becomes(id, seen, Role::PreCandidate, term),
            CoreEvent::BecameCandidate { term, .. } => self.becomes(id, seen, Role::Candidate, term),
            CoreEvent::BecameLeader { term, .. } => {
                self.history.leads(id, term, seen)?;
                self.history.is_elected(id, term, self.nodes.nodes(), self.quorum, seen)?;
                self.becomes(id, seen, Role::Leader, term)
            }
            _ => Ok(()),
        }
    }

    fn becomes(&mut self, id: NodeId, seen: Seen, role: Role, term: Term) -> Checked {
        let node = self.node(id);
        let (was, was_in, (at, record)) = (node.role, node.role_term, node.role_seen);
        let legal = match role {
            // That its term does not fall is E4's.
            Role::Follower => true,
            Role::PreCandidate => was != Role::Leader && term == was_in,
            Role::Candidate => was != Role::Leader && term == was_in + 1,
            Role::Leader => was == Role::Candidate && term == was_in,
        };
        if !legal {
            let text = format!("{id}, a {was} of term {was_in}, became a {role} of term {term}");
            let breach = Breach::new(E7, text).fact(at, record, format!("{id} became a {was}"));
            return now(breach, seen, format!("{id} became a {role} of term {term}"));
        }
        (node.role, node.role_term, node.role_seen) = (role, term, seen);
        Ok(())
    }

    pub(super) fn stepped(&mut self, seen: Seen, status: &Status, shown: Duration) -> Checked {
        let Status { id, role, term, voted_for, leader, timer_at, .. } = *status;
        let timeout_max = self.timeout_max;
        let node = self.node(id);
        let known = node.term.max(node.disk.term);
        if term < known {
            let (at, record) = if node.disk.term > term { node.disk_seen } else { node.term_seen };
            let breach = Breach::new(E4, format!("the term of {id} fell from {known} to {term}"));
            let breach = breach.fact(at, record, format!("{id} was in term {known}"));
            return now(breach, seen, format!("{id} is in term {term}"));
        }
        let (at, record) = node.role_seen;
        if role != node.role {
            let breach = Breach::new(E7, format!("{id} is a {role} of term {term} and never became one"));
            let breach = breach.fact(at, record, format!("{id} became a {}", node.role));
            return now(breach, seen, format!("{id} is a {role}"));
        }
        if role != Role::Follower && node.role_term != term {
            let text = format!("{id} became a {role} of term {}, and is one of term {term}", node.role_term);
            let breach = Breach::new(E7, text).fact(at, record, format!("{id} became a {role}"));
            return now(breach, seen, format!("{id} is in term {term}"));
        }
        if role == Role::Leader && voted_for != Some(id) {
            let voted_for = voted_for.map_or("nobody".to_owned(), |id| id.to_string());
            let text = format!("{id} leads term {term} and its vote is {voted_for}'s");
            let breach = Breach::new(E8, text).fact(at, record, format!("{id} became leader"));
            return now(breach, seen, format!("its vote is {voted_for}'s"));
        }
        let due_max = shown + timeout_max.max(node.timeout_allowed);
        if role != Role::Leader && timer_at.is_none_or(|at| at > due_max) {
            let timer = timer_at.map_or("off".to_owned(), |at| format!("due in {:?}", at.saturating_sub(shown)));
            let text = format!("{id} is a {role} of term {term} and its election timer is {timer}");
            let breach = Breach::new(E8, text).fact(at, record, format!("{id} became a {role}"));
            return now(breach, seen, format!("its election timer is {timer}"));
        }
        leader.map_or(Ok(()), |leader| self.history.is_followed(id, leader, term, seen))
    }
}

/// The breach, with what is happening as its last fact.
fn now(breach: Breach, (at, record): Seen, text: String) -> Checked {
    Err(Box::new(breach.fact(at, record, text)))
}
