//! What must hold of an election, over all that ever happened: crashes reset nothing here.
//!
//! E1 one leader per term · E2 a vote of a term never changes · E3 what leaves is durable · E4 terms never fall · E5 a
//! message's term is at most its sender's · E6 a leader has the votes of a majority of all members · E7 only legal role
//! changes, and a candidacy raises the term by one · E8 a leader voted for itself, everybody else has a timer running.

use std::collections::BTreeMap;
use std::time::Duration;

use stormglass::raft::{Config, Event, HardState, Message, NodeId, Role, Status, Term};

type Checked = Result<(), String>;

pub struct History {
    quorum: usize,
    timeout_max: Duration,
    leader_of: BTreeMap<Term, NodeId>,
    vote_of: BTreeMap<(NodeId, Term), NodeId>,
    /// The role and term that each node's events say it has.
    roles: BTreeMap<NodeId, (Role, Term)>,
}

impl History {
    pub fn new(config: &Config) -> Self {
        Self {
            quorum: config.members.len() / 2 + 1,
            timeout_max: config.election_timeout_max,
            leader_of: BTreeMap::new(),
            vote_of: BTreeMap::new(),
            roles: config.members.iter().map(|id| (*id, (Role::Follower, 0))).collect(),
        }
    }

    /// How many terms had a leader.
    pub fn leaders(&self) -> u64 {
        self.leader_of.len() as u64
    }

    /// The latest term of any node.
    pub fn last_term(&self) -> Term {
        self.roles.values().map(|(_, term)| *term).max().unwrap_or(0)
    }

    pub fn persisted(&mut self, id: NodeId, before: HardState, after: HardState) -> Checked {
        if after.term < before.term {
            return Err(format!("E4: the durable term of {id} fell from {} to {}", before.term, after.term));
        }
        after.voted_for.map_or(Ok(()), |candidate| self.votes(id, after.term, candidate))
    }

    pub fn sent(&mut self, id: NodeId, term: Term, disk: HardState, to: NodeId, message: &Message) -> Checked {
        if message.term() > term {
            return Err(format!("E5: {id} is in term {term} and sends {message}"));
        }
        match message {
            Message::RequestVote(ask) => self.vote_leaves(id, ask.term, id, disk),
            Message::RequestVoteResponse(answer) if answer.vote_granted => self.vote_leaves(id, answer.term, to, disk),
            Message::AppendEntries(append) => self.leads(id, append.term),
            _ => Ok(()),
        }
    }

    fn vote_leaves(&mut self, id: NodeId, term: Term, candidate: NodeId, disk: HardState) -> Checked {
        if disk != (HardState { term, voted_for: Some(candidate) }) {
            return Err(format!(
                "E3: the vote of {id} for {candidate} in term {term} leaves while its disk has {disk:?}"
            ));
        }
        self.votes(id, term, candidate)
    }

    fn votes(&mut self, id: NodeId, term: Term, candidate: NodeId) -> Checked {
        let first = *self.vote_of.entry((id, term)).or_insert(candidate);
        if first != candidate {
            return Err(format!("E2: {id} voted in term {term} for {first} and for {candidate}"));
        }
        Ok(())
    }

    fn leads(&mut self, id: NodeId, term: Term) -> Checked {
        let first = *self.leader_of.entry(term).or_insert(id);
        if first != id {
            return Err(format!("E1: term {term} has two leaders, {first} and {id}"));
        }
        Ok(())
    }

    pub fn event(&mut self, id: NodeId, event: &Event) -> Checked {
        match *event {
            Event::BecameFollower { term, .. } => self.changes(id, Role::Follower, term),
            Event::BecamePreCandidate { term } => self.changes(id, Role::PreCandidate, term),
            Event::BecameCandidate { term, .. } => self.changes(id, Role::Candidate, term),
            Event::BecameLeader { term, .. } => {
                self.changes(id, Role::Leader, term)?;
                self.leads(id, term)?;
                self.is_elected(id, term)
            }
            _ => Ok(()),
        }
    }

    fn changes(&mut self, id: NodeId, role: Role, term: Term) -> Checked {
        let (was, was_in) = self.roles[&id];
        let legal = match role {
            Role::Follower => term >= was_in,
            Role::PreCandidate => was != Role::Leader && term == was_in,
            Role::Candidate => was != Role::Leader && term == was_in + 1,
            Role::Leader => was == Role::Candidate && term == was_in,
        };
        if !legal {
            return Err(format!("E7: {id}, a {was} of term {was_in}, became a {role} of term {term}"));
        }
        self.roles.insert(id, (role, term));
        Ok(())
    }

    fn is_elected(&self, id: NodeId, term: Term) -> Checked {
        let voters: Vec<_> =
            self.roles.keys().filter(|voter| self.vote_of.get(&(**voter, term)) == Some(&id)).collect();
        if voters.len() < self.quorum {
            return Err(format!(
                "E6: {id} leads term {term} with the votes of {voters:?} only, {} are needed",
                self.quorum
            ));
        }
        Ok(())
    }

    pub fn state(&self, status: &Status, disk: HardState, now: Duration) -> Checked {
        let Status { id, role, term, voted_for, timer_at, .. } = *status;
        if term < disk.term {
            return Err(format!("E4: {id} is in term {term}, and its disk in {}", disk.term));
        }
        if role == Role::Leader {
            if voted_for != Some(id) {
                return Err(format!("E8: {id} leads term {term} and voted for {voted_for:?}"));
            }
        } else if timer_at.is_none_or(|at| at > now + self.timeout_max) {
            return Err(format!("E8: at {now:?} {id} is a {role} whose election timer is due at {timer_at:?}"));
        }
        Ok(())
    }

    pub fn restarted(&mut self, id: NodeId, term: Term) {
        self.roles.insert(id, (Role::Follower, term));
    }
}
