//! E1 to E8 and E10: what must hold of each fact of each node, given all that went before.

use std::sync::Arc;

use super::history::{Checked, History};
use super::{Seen, Settings};
use crate::consensus::by_node::ByNode;
use crate::consensus::{Fact, HardState, NodeId, Part, Role, Says, Term};
use crate::sim::Breach;

pub(super) const E3: &str = "E3 durable before sent";
pub(super) const E4: &str = "E4 terms never fall";
pub(super) const E5: &str = "E5 honest terms";
pub(super) const E7: &str = "E7 legal roles";
/// What a leader breaks that has not voted for itself, or a timer that is not armed.
pub(in crate::check) const E8: &str = "E8 an armed timer";

const UNTOLD_DISK: &str = "; nothing durable was ever told: a system that cannot tell of it says that it lacks it";

#[derive(Clone)]
pub(in crate::check) struct Election {
    quorum: usize,
    tells_durable: bool,
    tells_votes: bool,
    /// Checks that are not made, by the beginning of their names.
    exempt: Arc<[String]>,
    /// Whether anything durable has been told.
    any_durable: bool,
    history: History,
    nodes: ByNode<Node>,
}

/// A node, as its facts tell of it.
#[derive(Clone)]
struct Node {
    role: Role,
    /// The term in which it took on its role.
    role_term: Term,
    role_seen: Seen,
    /// Whether it tells of each role that it takes on.
    tells_roles: bool,
    /// The term in memory.
    term: Term,
    term_seen: Seen,
    disk: HardState,
    disk_seen: Seen,
    /// The vote that it has written last, since it started.
    written: Option<(Term, NodeId)>,
}

/// What a node must have gone through, to be what it is at rest.
#[derive(Clone, Copy, Default)]
pub(super) struct Passed {
    pub(super) entered: Option<Term>,
    pub(super) became: Option<(Role, Term)>,
}

impl Election {
    pub(super) fn new(settings: &Settings) -> Self {
        let start = Default::default();
        let node = Node {
            role: Role::Follower,
            role_term: 0,
            role_seen: start,
            tells_roles: false,
            term: 0,
            term_seen: start,
            disk: HardState::default(),
            disk_seen: start,
            written: None,
        };
        let tells_durable = settings.tells(Part::Durable);
        Self {
            // Counted here and not asked of the settings: what is checked must not do the checking.
            quorum: settings.members.len() / 2 + 1,
            tells_durable,
            tells_votes: tells_durable || settings.tells(Part::Votes),
            exempt: settings.exempt.keys().cloned().collect(),
            any_durable: false,
            history: History::default(),
            nodes: settings.members.iter().map(|id| (*id, node.clone())).collect(),
        }
    }

    /// Takes in a fact.
    #[inline]
    pub(in crate::check) fn tell(&mut self, id: NodeId, seen: Seen, fact: &Fact) -> Checked {
        match *fact {
            Fact::Loaded(state) => self.loaded(id, seen, state),
            Fact::Persisted(state) => self.persisted(id, seen, state),
            Fact::Entered { term } => {
                self.entered(id, seen, term);
                Ok(())
            }
            Fact::Became { role, term, .. } => {
                self.node(id).tells_roles = true;
                self.becomes(id, seen, role, term)
            }
            Fact::Is { role, term, leader } => {
                self.stands(id, seen, role, term)?;
                self.follows(id, seen, leader, term)
            }
            Fact::Sending { to, term, says } => self.sending(id, seen, to, term, says),
            Fact::Answered { .. } | Fact::Applied { .. } => Ok(()),
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
        match self.nodes.get_mut(id) {
            Some(node) => node,
            None => panic!("a fact is told of {id}, which is no member of the cluster that is watched"),
        }
    }

    /// When a node took on its role.
    pub(in crate::check) fn role_seen(&self, id: NodeId) -> Seen {
        self.nodes.get(id).map(|node| node.role_seen).unwrap_or_default()
    }

    /// A node's process has ended. What was not durable is gone.
    pub(super) fn down(&mut self, id: NodeId) {
        let tells_durable = self.tells_durable;
        let node = self.node(id);
        if !tells_durable {
            node.term = 0;
        }
        (node.role, node.role_term) = (Role::Follower, node.term);
    }

    /// What a node has gone through since it last told of itself, if it is this now.
    #[inline]
    pub(super) fn passed(&self, id: NodeId, role: Role, term: Term) -> Passed {
        let Some(node) = self.nodes.get(id) else { return Passed::default() };
        let is_new = !node.tells_roles && (role, term) != (node.role, node.role_term);
        Passed { entered: (term > node.term).then_some(term), became: is_new.then_some((role, term)) }
    }

    #[inline]
    pub(super) fn entered(&mut self, id: NodeId, seen: Seen, term: Term) {
        let node = self.node(id);
        (node.term, node.term_seen) = (term, seen);
    }

    /// A node starts with what is on its disk. A write that a power loss cut off may have completed after all.
    fn loaded(&mut self, id: NodeId, seen: Seen, state: HardState) -> Checked {
        self.persisted(id, seen, state)?;
        let node = self.node(id);
        node.written = state.voted_for.map(|candidate| (state.term, candidate));
        (node.role, node.role_term, node.role_seen) = (Role::Follower, state.term, seen);
        (node.term, node.term_seen) = (state.term, seen);
        Ok(())
    }

    fn persisted(&mut self, id: NodeId, seen: Seen, state: HardState) -> Checked {
        self.any_durable = true;
        let node = self.node(id);
        let (before, (at, record)) = (node.disk, node.disk_seen);
        (node.disk, node.disk_seen) = (state, seen);
        if state.term < before.term {
            let text = format!("the durable term of {id} fell from {} to {}", before.term, state.term);
            let breach = Breach::new(E4, text).fact(at, record, format!("{id} had term {} on disk", before.term));
            self.heed(now(breach, seen, format!("{id} has term {} on disk", state.term)))?;
        }
        let Some(candidate) = state.voted_for else { return Ok(()) };
        self.node(id).written = Some((state.term, candidate));
        let voted = self.history.votes(id, state.term, candidate, seen);
        self.heed(voted)
    }

    #[inline]
    fn sending(&mut self, id: NodeId, seen: Seen, to: NodeId, term: Term, says: Says) -> Checked {
        let node = self.node(id);
        let (own, (at, record)) = (node.term, node.term_seen);
        if term > own {
            let breach = Breach::new(E5, format!("{id} is in term {own} and sends {says} of term {term}"));
            let breach = breach.fact(at, record, format!("{id} entered term {own}"));
            self.heed(now(breach, seen, format!("{id} sends {says} to {to}")))?;
        }
        let is_durable = self.is_durable(id, seen, to, says);
        match says {
            Says::Candidacy => self.vote_leaves(id, seen, term, id),
            Says::Vote => self.vote_leaves(id, seen, term, to),
            Says::Lead => {
                let led = self.history.leads(id, term, seen);
                self.heed(led)
            }
            Says::Other => Ok(()),
        }?;
        self.heed(is_durable)
    }

    /// Figure 2: persistent state is updated on stable storage before responding to RPCs, whatever the response.
    #[inline]
    fn is_durable(&mut self, id: NodeId, seen: Seen, to: NodeId, says: Says) -> Checked {
        let (tells_durable, any_durable) = (self.tells_durable, self.any_durable);
        let node = self.node(id);
        let (term, (at, record), durable) = (node.term, node.term_seen, node.disk.term);
        if durable >= term || !tells_durable {
            return Ok(());
        }
        let hint = if any_durable { "" } else { UNTOLD_DISK };
        let text = format!("{id} sends {says} to {to} in term {term}, and its disk has term {durable}{hint}");
        let breach = Breach::new(E3, text).fact(at, record, format!("{id} entered term {term}"));
        now(breach, seen, format!("{id} sends {says} to {to}"))
    }

    fn vote_leaves(&mut self, id: NodeId, seen: Seen, term: Term, candidate: NodeId) -> Checked {
        let is_known = self.history.vote(id, term).is_some_and(|(known, _)| known == candidate);
        // First whether it may be given at all: a second vote is the graver finding.
        let voted = self.history.votes(id, term, candidate, seen);
        self.heed(voted)?;
        let tells_durable = self.tells_durable;
        let node = self.node(id);
        let (disk, (at, record)) = (node.disk, node.disk_seen);
        // One that was durable in its own term may leave late: in a newer one it binds nobody, and in its own it may have
        // been replaced by the leader that was elected.
        let was_durable = node.written == Some((term, candidate)) || is_known && disk.term > term;
        if was_durable || !tells_durable {
            return Ok(());
        }
        let on_disk = match disk.voted_for {
            Some(voted_for) => format!("term {} with a vote for {voted_for}", disk.term),
            None => format!("term {} without a vote", disk.term),
        };
        let text = format!("the vote of {id} for {candidate} in term {term} leaves, and its disk has {on_disk}");
        let breach = Breach::new(E3, text).fact(at, record, format!("{id} had {on_disk} on disk"));
        self.heed(now(breach, seen, format!("{id} votes for {candidate} in term {term}")))
    }

    /// A node took on a role, as it tells itself.
    fn becomes(&mut self, id: NodeId, seen: Seen, role: Role, term: Term) -> Checked {
        let node = self.node(id);
        let (was, was_in) = (node.role, node.role_term);
        let legal = match role {
            // That its term does not fall is E4's.
            Role::Follower => true,
            Role::PreCandidate => was != Role::Leader && term == was_in,
            Role::Candidate => was != Role::Leader && term == was_in + 1,
            Role::Leader => was == Role::Candidate && term == was_in,
        };
        self.takes_on(id, seen, role, term, legal)
    }

    /// A node is found in another role than it last had: what may lie between is what several steps may come to.
    pub(super) fn is_found(&mut self, id: NodeId, seen: Seen, role: Role, term: Term) -> Checked {
        let node = self.node(id);
        let (was, was_in) = (node.role, node.role_term);
        let legal = match role {
            Role::Follower | Role::PreCandidate => true,
            Role::Candidate => term > was_in,
            Role::Leader => term > was_in || was == Role::Candidate,
        };
        self.takes_on(id, seen, role, term, legal)
    }

    fn takes_on(&mut self, id: NodeId, seen: Seen, role: Role, term: Term, is_legal: bool) -> Checked {
        if role == Role::Leader {
            self.leads(id, seen, term)?;
        }
        let node = self.node(id);
        let (was, was_in, (at, record)) = (node.role, node.role_term, node.role_seen);
        if !is_legal {
            let text = format!("{id}, a {was} of term {was_in}, became a {role} of term {term}");
            let breach = Breach::new(E7, text).fact(at, record, format!("{id} became a {was}"));
            self.heed(now(breach, seen, format!("{id} became a {role} of term {term}")))?;
        }
        let node = self.node(id);
        (node.role, node.role_term, node.role_seen) = (role, term, seen);
        if role == Role::Leader { self.has_voted_for_itself(id, seen, term) } else { Ok(()) }
    }

    fn leads(&mut self, id: NodeId, seen: Seen, term: Term) -> Checked {
        let led = self.history.leads(id, term, seen);
        self.heed(led)?;
        if !self.tells_votes {
            return Ok(());
        }
        self.heed(self.history.is_elected(id, term, self.nodes.nodes(), self.quorum, seen))
    }

    fn has_voted_for_itself(&self, id: NodeId, seen: Seen, term: Term) -> Checked {
        match self.history.vote(id, term) {
            Some((candidate, (at, record))) if candidate != id => {
                let breach = Breach::new(E8, format!("{id} leads term {term} and its vote is {candidate}'s"));
                let breach = breach.fact(at, record, format!("{id} voted for {candidate} in term {term}"));
                self.heed(now(breach, seen, format!("{id} became leader")))
            }
            _ => Ok(()),
        }
    }

    /// A node is this, at rest.
    #[inline]
    pub(in crate::check) fn stands(&mut self, id: NodeId, seen: Seen, role: Role, term: Term) -> Checked {
        let node = self.node(id);
        let known = node.term.max(node.disk.term);
        if term < known {
            let (at, record) = if node.disk.term > term { node.disk_seen } else { node.term_seen };
            let breach = Breach::new(E4, format!("the term of {id} fell from {known} to {term}"));
            let breach = breach.fact(at, record, format!("{id} was in term {known}"));
            self.heed(now(breach, seen, format!("{id} is in term {term}")))?;
        }
        let node = self.node(id);
        let (at, record) = node.role_seen;
        if role != node.role {
            let breach = Breach::new(E7, format!("{id} is a {role} of term {term} and never became one"));
            let breach = breach.fact(at, record, format!("{id} became a {}", node.role));
            return self.heed(now(breach, seen, format!("{id} is a {role}")));
        }
        if role != Role::Follower && node.role_term != term {
            let text = format!("{id} became a {role} of term {}, and is one of term {term}", node.role_term);
            let breach = Breach::new(E7, text).fact(at, record, format!("{id} became a {role}"));
            return self.heed(now(breach, seen, format!("{id} is in term {term}")));
        }
        Ok(())
    }

    /// A node follows somebody, or nobody that it knows.
    #[inline]
    pub(in crate::check) fn follows(&self, id: NodeId, seen: Seen, leader: Option<NodeId>, term: Term) -> Checked {
        leader.map_or(Ok(()), |leader| self.heed(self.history.is_followed(id, leader, term, seen)))
    }

    /// What was found, unless the system says that it does not promise that.
    #[inline]
    fn heed(&self, found: Checked) -> Checked {
        found.or_else(|breach| if super::is_of(&self.exempt, &breach.invariant) { Ok(()) } else { Err(breach) })
    }
}

/// The breach, with what is happening as its last fact.
pub(in crate::check) fn now(breach: Breach, (at, record): Seen, text: String) -> Checked {
    Err(Box::new(breach.fact(at, record, text)))
}
